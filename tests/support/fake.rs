//! A registry in the test's own process, which answers what it is told to.

use std::net::{SocketAddr, TcpListener};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::Workspace;

pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

pub fn digest_of(content: &str) -> String {
    let hash = Sha256::digest(content);
    let hex: Vec<String> = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", hex.concat())
}

/// The text of an index for these platforms, with an attestation beside them.
pub fn index(platforms: &[(&str, &str)]) -> String {
    let entry = |os: &str, architecture: &str| {
        json!({
            "mediaType": IMAGE, "size": 1, "digest": digest_of(architecture),
            "platform": { "os": os, "architecture": architecture },
        })
    };
    let mut manifests: Vec<Value> = platforms.iter().map(|(os, arch)| entry(os, arch)).collect();
    manifests.push(entry("unknown", "unknown"));
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests }).to_string()
}

pub fn both() -> String {
    index(&[("linux", "amd64"), ("linux", "arm64")])
}

/// A registry that answers what a test gives it, and 404 to the rest.
pub struct Fake {
    pub server: MockServer,
}

impl Fake {
    pub async fn start() -> Self {
        Self {
            server: MockServer::start().await,
        }
    }

    pub fn image(&self) -> String {
        format!("{}/app", self.server.address())
    }

    pub async fn answer(&self, verb: &str, at: &str, answer: ResponseTemplate) {
        let mock = Mock::given(method(verb)).and(path(format!("/v2/app/{at}")));
        mock.respond_with(answer).mount(&self.server).await;
    }

    pub async fn tags(&self, tags: &[&str]) {
        let body = json!({ "name": "app", "tags": tags });
        self.answer(
            "GET",
            "tags/list",
            ResponseTemplate::new(200).set_body_json(body),
        )
        .await;
    }

    pub async fn head(&self, tag: &str, digest: &str) {
        let answer = ResponseTemplate::new(200).insert_header("docker-content-digest", digest);
        self.answer("HEAD", &format!("manifests/{tag}"), answer)
            .await;
    }

    pub async fn manifest(&self, reference: &str, body: &str) {
        let answer = ResponseTemplate::new(200).set_body_raw(body, INDEX);
        self.answer("GET", &format!("manifests/{reference}"), answer)
            .await;
    }

    /// Serves the one tag 1, which points to `body`.
    pub async fn serve(&self, body: &str) {
        self.tags(&["1"]).await;
        self.head("1", &digest_of(body)).await;
        self.manifest(&digest_of(body), body).await;
    }

    /// A workspace that tracks this image, whose tag 1 is pinned already.
    pub fn workspace(&self) -> Workspace {
        let workspace = Workspace::tracking(&json!([{ "image": self.image() }]).to_string());
        workspace.write("digests.json", self.old_table());
        workspace
    }

    /// The table before a test's refresh, in canonical form.
    pub fn old_table(&self) -> String {
        let (image, digest) = (self.image(), digest_of("old"));
        format!(
            r#"{{
  "version": 1,
  "images": {{
    "{image}": {{
      "1": {{
        "digest": "{digest}",
        "platforms": {{
          "linux/amd64": "{digest}"
        }}
      }}
    }}
  }}
}}
"#
        )
    }

    pub async fn requests(&self) -> Vec<Request> {
        self.server.received_requests().await.unwrap()
    }
}

/// An address of loopback on which nothing listens.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}
