//! A registry in this process that responds by the rules of a test.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Workspace;
use super::server::{FakeResponse, ReceivedRequest, serve};

pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

pub fn digest_of(content: &str) -> String {
    let hash = Sha256::digest(content);
    let hex: Vec<String> = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", hex.concat())
}

/// The text of an index for these platforms, with an attestation manifest.
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

pub fn two_platform_index() -> String {
    index(&[("linux", "amd64"), ("linux", "arm64")])
}

/// An index for two platforms that differs by `name` alone.
pub fn named_index(name: &str) -> String {
    let manifest = |architecture: &str| {
        json!({
            "mediaType": IMAGE, "size": 1,
            "digest": digest_of(&format!("{name} {architecture}")),
            "platform": { "os": "linux", "architecture": architecture },
        })
    };
    let manifests = [manifest("amd64"), manifest("arm64")];
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests }).to_string()
}

type Rule = Box<dyn Fn(&ReceivedRequest) -> Option<FakeResponse> + Send>;

/// A registry that responds by the rules of a test, and with 404 if no rule applies.
pub struct Fake {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    requests: Vec<ReceivedRequest>,
}

impl Fake {
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let address = serve(move |request| {
            let mut state = shared.lock().unwrap();
            state.requests.push(request.clone());
            let answer = state.rules.iter().find_map(|rule| rule(request));
            answer.unwrap_or_else(|| FakeResponse::status(404))
        });
        Self { address, state }
    }

    pub fn image(&self) -> String {
        format!("{}/app", self.address)
    }

    /// Adds a rule. Earlier rules take precedence.
    pub fn rule(&self, rule: impl Fn(&ReceivedRequest) -> Option<FakeResponse> + Send + 'static) {
        self.state.lock().unwrap().rules.push(Box::new(rule));
    }

    pub fn answer(&self, method: &str, at: &str, answer: FakeResponse) {
        let (method, path) = (method.to_owned(), format!("/v2/app/{at}"));
        self.rule(move |request| {
            (request.method == method && request.path == path).then(|| answer.clone())
        });
    }

    pub fn tags(&self, tags: &[&str]) {
        let list = FakeResponse::json(&json!({ "name": "app", "tags": tags }));
        self.answer("GET", "tags/list", list);
    }

    pub fn head(&self, tag: &str, digest: &str) {
        let answer = FakeResponse::status(200).with_header("docker-content-digest", digest);
        self.answer("HEAD", &format!("manifests/{tag}"), answer);
    }

    pub fn manifest(&self, reference: &str, body: &str) {
        let answer = FakeResponse::status(200).with_body(INDEX, body.to_owned());
        self.answer("GET", &format!("manifests/{reference}"), answer);
    }

    /// Serves the one tag 1, which points to `body`.
    pub fn serve(&self, body: &str) {
        self.tags(&["1"]);
        self.head("1", &digest_of(body));
        self.manifest(&digest_of(body), body);
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

    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.state.lock().unwrap().requests.clone()
    }
}

/// A loopback address on which nothing listens.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}
