//! The reference registry server, on a free port of loopback, with real images.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Outcome, project};

pub struct Registry {
    folder: TempDir,
    server: Child,
    pub address: String,
}

impl Registry {
    /// Starts a server; it is stopped when this is dropped.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = serde_json::json!({
            "version": 0.1,
            "storage": { "filesystem": { "rootdirectory": folder.path().join("data") } },
            "http": { "addr": "127.0.0.1:0" },
        });
        // YAML takes JSON as it is.
        std::fs::write(folder.path().join("config.yml"), config.to_string()).unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let server = ["docker-registry", "registry"]
            .iter()
            .find_map(|program| {
                Command::new(program)
                    .arg("serve")
                    .arg(folder.path().join("config.yml"))
                    .stdin(Stdio::null())
                    .stdout(log.try_clone().unwrap())
                    .stderr(log.try_clone().unwrap())
                    .spawn()
                    .ok()
            })
            .expect("the registry server is missing; run 'scripts/setup'");
        let mut registry = Self {
            folder,
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
                && let Some((address, _)) = rest.split_once('"')
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
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Every request so far that was no upload: `HEAD /v2/a/manifests/1`.
    pub fn requests(&self) -> Vec<String> {
        // An access log in Apache's format stands between the other lines.
        let log = self.log();
        let requests = log.lines().filter_map(|line| {
            let (_, request) = line.split_once("] \"")?;
            let (request, _) = request.split_once(" HTTP/")?;
            let asks = request.starts_with("GET ") || request.starts_with("HEAD ");
            asks.then(|| request.to_owned())
        });
        requests.collect()
    }

    /// Pushes an image whose content is `text` and gives its digest.
    #[track_caller]
    pub fn push(&self, repository: &str, tag: &str, text: &str, platforms: &[&str]) -> String {
        let mut command = Command::new(project().join("scripts/push-image"));
        command
            .args([&self.address, repository, tag, text])
            .args(platforms);
        Outcome::of(&mut command).code(0).stdout.trim().to_owned()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
