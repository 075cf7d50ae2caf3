//! The reference registry server, on a free port of loopback, with real images.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::certificate::Certificate;
use super::{Outcome, project};

pub struct Registry {
    folder: Rc<TempDir>,
    log: PathBuf,
    server: Child,
    pub address: String,
}

/// The user name and the password of a guarded registry.
pub const USER: (&str, &str) = ("me", "a secret");

impl Registry {
    /// Starts a server; it is stopped when this is dropped.
    pub fn start() -> Self {
        Self::serve(
            Rc::new(tempfile::tempdir().unwrap()),
            "open",
            json!({}),
            json!({}),
        )
    }

    /// Starts a second server over the same images, with TLS and a password. Also
    /// returns the certificate file of its authority.
    pub fn guarded(&self) -> (Self, PathBuf) {
        let hash = bcrypt::hash(USER.1, 4).unwrap();
        let file = self.folder.path().join("htpasswd");
        std::fs::write(&file, format!("{}:{hash}\n", USER.0)).unwrap();
        let auth = json!({ "htpasswd": { "realm": "test", "path": file } });
        self.with_tls("guarded", "127.0.0.1", auth)
    }

    /// Starts a second server over the same images, with a TLS certificate for `host`.
    /// Also returns the certificate file of its authority.
    pub fn with_certificate_for(&self, host: &str) -> (Self, PathBuf) {
        self.with_tls("named", host, json!({}))
    }

    fn with_tls(&self, name: &str, host: &str, auth: Value) -> (Self, PathBuf) {
        let at = |end: &str| self.folder.path().join(format!("{name}{end}"));
        let certificate = Certificate::for_host(host);
        std::fs::write(at("-ca.pem"), certificate.authority()).unwrap();
        std::fs::write(at(".pem"), certificate.server()).unwrap();
        std::fs::write(at(".key"), certificate.key()).unwrap();
        let tls = json!({ "certificate": at(".pem"), "key": at(".key") });
        let folder = Rc::clone(&self.folder);
        let server = Self::serve(folder, name, json!({ "tls": tls }), auth);
        (server, at("-ca.pem"))
    }

    fn serve(folder: Rc<TempDir>, name: &str, mut http: Value, auth: Value) -> Self {
        http["addr"] = json!("127.0.0.1:0");
        let mut config = json!({
            "version": 0.1,
            "storage": { "filesystem": { "rootdirectory": folder.path().join("data") } },
            "http": http,
        });
        if auth != json!({}) {
            config["auth"] = auth;
        }
        // JSON is valid YAML.
        let config_file = folder.path().join(format!("{name}.yml"));
        std::fs::write(&config_file, config.to_string()).unwrap();
        let log_file = folder.path().join(format!("{name}.log"));
        let log = File::create(&log_file).unwrap();
        let server = ["docker-registry", "registry"]
            .iter()
            .find_map(|program| {
                Command::new(program)
                    .arg("serve")
                    .arg(&config_file)
                    .stdin(Stdio::null())
                    .stdout(log.try_clone().unwrap())
                    .stderr(log.try_clone().unwrap())
                    .spawn()
                    .ok()
            })
            .expect("the registry server is missing; run 'scripts/setup'");
        let mut registry = Self {
            folder,
            log: log_file,
            server,
            address: String::new(),
        };
        registry.address = registry.wait_for_address();
        registry
    }

    fn wait_for_address(&self) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let log = self.log();
            if let Some((_, rest)) = log.split_once("listening on ")
                && let Some((address, _)) = rest.split_once(['"', ','])
            {
                return address.to_owned();
            }
            assert!(
                Instant::now() < deadline,
                "the registry does not start: {log}"
            );
            sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Every GET and HEAD request so far, such as `HEAD /v2/a/manifests/1`.
    pub fn requests(&self) -> Vec<String> {
        // Among other lines, the log has an access log in Apache's format.
        let log = self.log();
        let requests = log.lines().filter_map(|line| {
            let (_, request) = line.split_once("] \"")?;
            let (request, _) = request.split_once(" HTTP/")?;
            let asks = request.starts_with("GET ") || request.starts_with("HEAD ");
            asks.then(|| request.to_owned())
        });
        requests.collect()
    }

    /// Pushes an image whose content is `text`, and returns its digest.
    #[track_caller]
    pub fn push(&self, repository: &str, tag: &str, text: &str, platforms: &[&str]) -> String {
        let mut command = Command::new(project().join("scripts/push-image"));
        command
            .args([&self.address, repository, tag, text])
            .args(platforms);
        Outcome::of(&mut command).code(0).stdout.trim().to_owned()
    }

    /// Pushes an index for each tag. They differ only in an annotation, which is the
    /// text that comes with the tag.
    pub fn push_many(&self, repository: &str, tags: &[(String, String)], platforms: &[&str]) {
        self.push(repository, "base", repository, platforms);
        run(async {
            const INDEX: &str = "application/vnd.oci.image.index.v1+json";
            let client = client();
            let base = client.get(self.url(repository, "manifests/base"));
            let base = base.header("accept", INDEX).send().await.unwrap();
            let base: Value = serde_json::from_slice(&base.bytes().await.unwrap()).unwrap();
            for (tag, text) in tags {
                let mut index = base.clone();
                index["annotations"] = json!({ "org.opencontainers.image.version": text });
                let request = client.put(self.url(repository, &format!("manifests/{tag}")));
                let request = request.header("content-type", INDEX);
                let answer = request.body(index.to_string()).send().await.unwrap();
                assert!(answer.status().is_success(), "{answer:?}");
            }
        });
    }

    /// Pushes one blob, which the server checks against its digest.
    pub fn push_blob(&self, repository: &str, content: &[u8], digest: &str) {
        let content = content.to_owned();
        run(async {
            let client = client();
            let upload = client.post(self.url(repository, "blobs/uploads/"));
            let upload = upload.send().await.unwrap();
            let location = upload.headers()["location"].to_str().unwrap();
            let request = client.put(format!("{location}&digest={digest}"));
            let answer = request.body(content).send().await.unwrap();
            assert!(answer.status().is_success(), "{answer:?}");
        });
    }

    /// Pushes a manifest or an index, whose media type it names itself.
    pub fn push_manifest(&self, repository: &str, reference: &str, content: &str) {
        let parsed: Value = serde_json::from_str(content).unwrap();
        run(async {
            let request = client().put(self.url(repository, &format!("manifests/{reference}")));
            let request = request.header("content-type", parsed["mediaType"].as_str().unwrap());
            let answer = request.body(content.to_owned()).send().await.unwrap();
            assert!(answer.status().is_success(), "{answer:?}");
        });
    }

    /// The folder in which the server stores pushed images.
    pub fn storage(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn url(&self, repository: &str, what: &str) -> String {
        format!("http://{}/v2/{repository}/{what}", self.address)
    }
}

fn client() -> reqwest::Client {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

fn run(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work);
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
