//! What the tests share: a folder to work in, the command, and the outcome of
//! a process as a user sees it.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test file uses its own part of it"
)]

#[cfg(feature = "system-tests")]
pub mod browser;
#[cfg(feature = "system-tests")]
pub mod certificate;
#[cfg(feature = "system-tests")]
pub mod crowd;
#[cfg(feature = "system-tests")]
pub mod docs;
pub mod fake;
#[cfg(feature = "system-tests")]
pub mod image;
#[cfg(feature = "system-tests")]
pub mod latency;
#[cfg(feature = "system-tests")]
pub mod nix;
#[cfg(feature = "system-tests")]
pub mod proxy;
#[cfg(feature = "system-tests")]
pub mod registry;
pub mod server;
#[cfg(feature = "system-tests")]
pub mod shell;
pub mod sigstore;
#[cfg(feature = "system-tests")]
pub mod store;
pub mod versions;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// A fake `gh`. Records its arguments and the body of a pull request in files. `create`
/// opens pull request 7, `close` closes it, and `merge` turns automatic merging on or
/// off. Pull request 9 is from a fork: a list that does not leave out forks returns it.
pub const GH: &str = r#"#!/usr/bin/env bash
set -eu
printf '%s\n' "$*" >>"$GH_LOG"
state() { cat "$GH_LOG.$1" 2>/dev/null || true; }
case "$1 $2" in
"pr list")
  [[ "$*" = *"isCrossRepository | not"* ]] || { echo 9; exit; }
  case "$*" in
  *"[0].number // empty") state open ;;
  *"[0].autoMergeRequest // empty") state auto ;;
  *) exit 1 ;;
  esac
  ;;
"pr create") echo 7 >"$GH_LOG.open" ;;
"pr close") rm "$GH_LOG.open" ;;
"pr merge") case "$3" in
  --auto) echo '{}' >"$GH_LOG.auto" ;;
  --disable-auto) rm "$GH_LOG.auto" ;;
  esac ;;
esac
while [ $# -gt 0 ]; do
  if [ "$1" = --body-file ]; then cp "$2" "$GH_LOG.body"; fi
  shift
done
"#;

/// A folder with images.json and digests.json, gone when dropped.
pub struct Workspace(TempDir);

impl Workspace {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A workspace that tracks what `images` says, with no table yet.
    pub fn tracking(images: &str) -> Self {
        let workspace = Self::new();
        workspace.write("images.json", images);
        workspace
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// `digests.json`, parsed without our own parser.
    pub fn table(&self) -> serde_json::Value {
        serde_json::from_str(&self.read("digests.json")).unwrap()
    }

    /// Runs `nix-oci-hashes` here.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(&mut self.command(arguments))
    }

    /// Runs `nix-oci-hashes` here and kills it after this time. Returns whether it was still
    /// at work.
    pub fn run_and_kill(&self, arguments: &[&str], after: Duration) -> bool {
        let mut command = self.command(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(after);
        let was_at_work = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        child.wait().unwrap();
        was_at_work
    }

    /// `nix-oci-hashes` here, with a home that does not exist, and without the
    /// environment variables for certificates, credentials and proxies.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).current_dir(self.0.path());
        command.env("HOME", "/nonexistent");
        for name in [
            "DOCKER_CONFIG",
            "REGISTRY_AUTH_FILE",
            "XDG_CONFIG_HOME",
            "XDG_RUNTIME_DIR",
            "NIX_SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "SSL_CERT_FILE",
            "ALL_PROXY",
            "HTTPS_PROXY",
            "HTTP_PROXY",
            "all_proxy",
            "https_proxy",
            "http_proxy",
        ] {
            command.env_remove(name);
        }
        command
    }

    pub fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

/// How a process ended and what it printed.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    pub fn of(command: &mut Command) -> Self {
        let Output {
            status,
            stdout,
            stderr,
        } = command
            .output()
            .unwrap_or_else(|error| panic!("{command:?}: {error}; run the tests with 'make test'"));
        Self {
            code: status.code(),
            stdout: String::from_utf8(stdout).unwrap(),
            // Nix prints its input unescaped, so this may not be UTF-8.
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    /// Asserts that the exit code is `code`, and returns the outcome.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Asserts that standard error is one line that starts with `error: ` and contains
    /// `message`, and that standard output is empty.
    #[track_caller]
    pub fn error(self, message: &str) -> Self {
        assert_eq!(self.stderr.lines().count(), 1, "{self:#?}");
        assert!(self.stderr.starts_with("error: "), "{self:#?}");
        assert!(self.stderr.contains(message), "{self:#?}");
        assert_eq!(self.stdout, "", "{self:#?}");
        self
    }
}

/// The command `nix-oci-hashes`. Benchmarks set the variable to the release build.
pub fn program() -> PathBuf {
    let program = std::env::var_os("NIX_OCI_HASHES_COMMAND");
    program.map_or_else(
        || env!("CARGO_BIN_EXE_nix-oci-hashes").into(),
        PathBuf::from,
    )
}

/// The folder of the project.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The committed table. Automatic refreshes change its digests, so tests must read them
/// from here.
pub fn committed_table() -> serde_json::Value {
    let table = std::fs::read_to_string(project().join("digests.json")).unwrap();
    serde_json::from_str(&table).unwrap()
}

/// The path of the cases that every lookup has to agree on, and their content.
pub fn lookup_cases() -> (PathBuf, serde_json::Value) {
    let path = project().join("tests/cases/lookup.json");
    let text = std::fs::read_to_string(&path).unwrap();
    (path, serde_json::from_str(&text).unwrap())
}

/// The pinned reference for `docker.io/nextcloud:34` in the committed table: of the index, or of the
/// manifest for a platform.
pub fn nextcloud_34(platform: Option<&str>) -> String {
    let pin = &committed_table()["images"]["docker.io/nextcloud"]["34"];
    let digest = platform.map_or(&pin["digest"], |platform| &pin["platforms"][platform]);
    format!("docker.io/nextcloud:34@{}", digest.as_str().unwrap())
}

/// `text` with every digest blanked, to compare lines without their digests.
pub fn without_digests(text: &str) -> String {
    let mut parts = text.split("sha256:");
    let mut blanked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        blanked.push_str("sha256:...");
        blanked.push_str(part.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
    }
    blanked
}

/// A clone of the project with its uncommitted changes, removed on drop.
pub struct Clone(TempDir);

impl Clone {
    pub fn of_the_project() -> Self {
        let clone = Self(tempfile::tempdir().unwrap());
        let files = git(project(), &["ls-files", "-z", "-co", "--exclude-standard"]);
        for file in files.split_terminator('\0') {
            let (from, to) = (project().join(file), clone.path().join(file));
            // A deleted file may still be in git's index.
            if from.is_file() {
                std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                std::fs::copy(from, to).unwrap();
            }
        }
        git(clone.path(), &["init", "-q"]);
        git(clone.path(), &["add", "-A"]);
        git(clone.path(), &["commit", "-qm", "Clone"]);
        clone
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// The output of git, in a folder of any owner and without the user's configuration.
pub fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(folder).args(["-c", "safe.directory=*"]);
    for role in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{role}_NAME"), "test")
            .env(format!("GIT_{role}_EMAIL"), "test@example.org");
    }
    Outcome::of(command.args(arguments)).code(0).stdout
}
