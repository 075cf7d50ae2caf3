//! A real Nix with the plugin, in a home and with a store of its own.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{Outcome, project};

pub struct Nix {
    home: TempDir,
    program: PathBuf,
    config: String,
}

/// The loader that `make test` has built.
pub fn loader() -> PathBuf {
    let plugin = std::env::var_os("NIX_OCI_HASHES_PLUGIN")
        .expect("NIX_OCI_HASHES_PLUGIN names the plugin; run the tests with 'make test'");
    let plugin = PathBuf::from(plugin);
    assert!(
        plugin.is_file(),
        "{} is missing; run 'make plugin'",
        plugin.display()
    );
    plugin
}

/// The folder of the builds, one for each Nix.
pub fn builds() -> PathBuf {
    loader().with_file_name("../../nix-oci-hashes")
}

impl Nix {
    /// Nix with the plugin that `make test` has built.
    pub fn with_plugin() -> Self {
        Self::with_plugin_files(&loader())
    }

    /// Nix with `plugin-files` as given.
    pub fn with_plugin_files(path: &Path) -> Self {
        Self::without_plugin().set("plugin-files", path.display())
    }

    /// Nix as it comes.
    pub fn without_plugin() -> Self {
        let nix = Self {
            home: tempfile::tempdir().unwrap(),
            program: "nix".into(),
            config: String::new(),
        };
        nix.set("experimental-features", "nix-command")
            .set("build-users-group", "")
    }

    /// With one more setting.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.config.push_str(&format!("{name} = {value}\n"));
        self
    }

    /// Another program than the nix of PATH.
    #[must_use]
    pub fn running(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// Its version, such as `2.8.0`.
    pub fn version(&self) -> String {
        let outcome = Outcome::of(
            Self::without_plugin()
                .running(&self.program)
                .command()
                .arg("--version"),
        );
        outcome
            .code(0)
            .stdout
            .trim()
            .rsplit(' ')
            .next()
            .unwrap()
            .to_owned()
    }

    /// A folder that Nix may read from in the tests.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn command(&self) -> Command {
        self.command_of(&self.program)
    }

    /// Another of Nix's programs, such as `nix-build`, set up likewise.
    pub fn command_of(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(project())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home())
            .env("NIX_CONF_DIR", self.home())
            .env("NIX_CONFIG", &self.config)
            .stdin(Stdio::null());
        command
    }

    /// The store of its own, for programs that have to write to one.
    pub fn store(&self) -> PathBuf {
        self.home().join("store")
    }

    /// `nix eval` of an expression, impure, so that it may read the tests' files.
    pub fn eval(&self, expression: &str) -> Outcome {
        self.eval_with(&["--impure", "--expr", expression])
    }

    pub fn eval_with(&self, arguments: &[&str]) -> Outcome {
        let mut command = self.command();
        command
            .args(["eval", "--json", "--store"])
            .arg(self.store());
        Outcome::of(command.args(arguments))
    }

    /// The value of an expression that evaluates.
    #[track_caller]
    pub fn value(&self, expression: &str) -> serde_json::Value {
        let outcome = self.eval(expression).code(0);
        serde_json::from_str(&outcome.stdout).unwrap()
    }

    /// The message of an expression that fails, from `error: ` on. Later
    /// versions print what led to it before.
    #[track_caller]
    pub fn error(&self, expression: &str) -> String {
        let outcome = self.eval(expression).code(1);
        message(&outcome.stderr).unwrap_or_else(|| panic!("one error: {outcome:#?}"))
    }

    /// What `nix repl` prints for `input`.
    pub fn repl(&self, input: &str) -> String {
        let mut command = self.command();
        command.args(["repl", "--store", "dummy://"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    }
}

/// What follows the last `error: ` that begins a line.
fn message(stderr: &str) -> Option<String> {
    let mut found = None;
    let mut at = 0;
    for line in stderr.split_inclusive('\n') {
        if line.trim_start().starts_with("error: ") {
            found = Some(at + line.find("error: ").unwrap() + "error: ".len());
        }
        at += line.len();
    }
    found.map(|start| stderr[start..].to_owned())
}
