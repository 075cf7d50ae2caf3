//! A real Nix with the plugin, in a home and with a store of its own.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{Outcome, project};

pub struct Nix {
    home: TempDir,
    plugin: Option<PathBuf>,
}

impl Nix {
    /// Nix with the plugin that `make test` has built.
    pub fn with_plugin() -> Self {
        let plugin = std::env::var_os("NIX_OCI_HASHES_PLUGIN")
            .expect("NIX_OCI_HASHES_PLUGIN names the plugin; run the tests with 'make test'");
        let plugin = PathBuf::from(plugin);
        assert!(
            plugin.is_file(),
            "{} is missing; run 'make plugin'",
            plugin.display()
        );
        Self {
            home: tempfile::tempdir().unwrap(),
            plugin: Some(plugin),
        }
    }

    /// Nix as it comes.
    pub fn without_plugin() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            plugin: None,
        }
    }

    /// A folder that Nix may read from in the tests.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn command(&self) -> Command {
        let plugin = self.plugin.as_deref().map(Path::display);
        let config = format!(
            "experimental-features = nix-command\nbuild-users-group =\nplugin-files = {}\n",
            plugin.map(|plugin| plugin.to_string()).unwrap_or_default()
        );
        let mut command = Command::new("nix");
        command
            .current_dir(project())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home())
            .env("NIX_CONF_DIR", self.home())
            .env("NIX_CONFIG", config)
            .stdin(Stdio::null());
        command
    }

    /// `nix eval` of an expression, impure, so that it may read the tests' files.
    pub fn eval(&self, expression: &str) -> Outcome {
        self.eval_with(&["--impure", "--expr", expression])
    }

    pub fn eval_with(&self, arguments: &[&str]) -> Outcome {
        let store = self.home().join("store");
        let mut command = self.command();
        command.args(["eval", "--json", "--store"]).arg(store);
        Outcome::of(command.args(arguments))
    }

    /// The value of an expression that evaluates.
    #[track_caller]
    pub fn value(&self, expression: &str) -> serde_json::Value {
        let outcome = self.eval(expression).code(0);
        serde_json::from_str(&outcome.stdout).unwrap()
    }

    /// The message of an expression that fails, from `error: ` on.
    #[track_caller]
    pub fn error(&self, expression: &str) -> String {
        let outcome = self.eval(expression).code(1);
        let message = outcome.stderr.strip_prefix("error: ");
        message
            .unwrap_or_else(|| panic!("one error: {outcome:#?}"))
            .to_owned()
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
