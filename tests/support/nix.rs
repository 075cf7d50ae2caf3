//! A real Nix with the plugin, in a home and with a store of its own.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

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

/// A flavour of Nix. Its builds of the plugin have its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    Nix,
    Lix,
    Determinate,
}

/// A release of Nix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    pub flavour: Flavour,
    /// In the flavour's own numbers, such as `2.8.0`.
    pub version: String,
}

impl Release {
    /// The file name of the build for it.
    pub fn build(&self) -> String {
        format!("{}-{}.so", self.flavour.id(), self.version)
    }
}

impl Flavour {
    /// Its name in the names of builds.
    pub fn id(self) -> &'static str {
        match self {
            Self::Nix => "nix",
            Self::Lix => "lix",
            Self::Determinate => "determinate",
        }
    }

    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nix => "Nix",
            Self::Lix => "Lix",
            Self::Determinate => "Determinate Nix",
        }
    }
}

/// A Nix string literal.
pub fn literal(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace("${", "\\${");
    format!("\"{}\"", escaped.replace('\n', "\\n"))
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

    /// Nix without the plugin.
    pub fn without_plugin() -> Self {
        let nix = Self {
            home: tempfile::tempdir().unwrap(),
            program: "nix".into(),
            config: String::new(),
        };
        nix.set("experimental-features", "nix-command")
            .set("build-users-group", "")
            .set("substituters", "")
    }

    /// Adds a setting.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.config.push_str(&format!("{name} = {value}\n"));
        self
    }

    /// Runs `program` instead of the nix on PATH.
    #[must_use]
    pub fn running(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// What the program is. `nix --version` prints `nix (Nix) 2.35.2`,
    /// `nix (Determinate Nix 3.22.2) 2.35.2` or `nix (Lix, like Nix) 2.95.3`, and with Lix
    /// lines with details.
    pub fn release(&self) -> Release {
        let nix = Self::without_plugin().running(&self.program);
        let outcome = Outcome::of(nix.command().arg("--version")).code(0);
        let line = outcome.stdout.lines().next().unwrap().trim();
        let (product, cpp_nix) = line.rsplit_once(' ').unwrap();
        let (flavour, version) = match product.split_once("(Determinate Nix ") {
            Some((_, version)) => (Flavour::Determinate, version.trim_end_matches(')')),
            None if product.contains("(Lix") => (Flavour::Lix, cpp_nix),
            None => (Flavour::Nix, cpp_nix),
        };
        Release {
            flavour,
            version: version.to_owned(),
        }
    }

    /// A folder that Nix may read from in the tests.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn command(&self) -> Command {
        self.command_of(&self.program)
    }

    /// Another of Nix's programs, such as `nix-build`, with the same environment.
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

    /// Gives `command` a store and a state folder of its own, in which it can build.
    pub fn local(&self, mut command: Command) -> Command {
        let at = |name: &str| self.home().join("nix").join(name);
        // Unless its state folder exists, Nix connects to a daemon, and so does nix-daemon.
        std::fs::create_dir_all(at("var")).unwrap();
        command
            .env("NIX_STORE_DIR", at("store"))
            .env("NIX_STATE_DIR", at("var"))
            .env("NIX_LOG_DIR", at("log"))
            .env("NIX_DATA_DIR", at("share"));
        command
    }

    /// A separate store, for programs that have to write to one.
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

    /// The message of an expression that fails, after `error: `. Newer versions of Nix
    /// print a trace before it.
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

/// A running `nix repl`, which evaluates one expression at a time.
pub struct Repl {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    asked: usize,
}

impl Repl {
    pub fn of(nix: &Nix) -> Self {
        Self::start(nix.command())
    }

    /// Starts a REPL of `command`, a `nix` without a subcommand.
    pub fn start(mut command: Command) -> Self {
        command.args(["repl", "--store", "dummy://"]);
        // By default the collector does not run before hundreds of megabytes are used.
        command.env("GC_INITIAL_HEAP_SIZE", "1000000");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            stdin: child.stdin.take().unwrap(),
            stdout: child.stdout.take().unwrap(),
            child,
            asked: 0,
        }
    }

    /// What it prints for an expression that evaluates.
    pub fn value(&mut self, expression: &str) -> String {
        // The REPL repeats its input, so the end marker is an expression to evaluate.
        self.asked += 1;
        let asked = self.asked;
        let lines = format!("{expression}\n\"answer \" + \"{asked} ends\"\n");
        self.stdin.write_all(lines.as_bytes()).unwrap();
        let end = format!("answer {asked} ends");
        let mut printed = Vec::new();
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&printed).contains(&end) {
            let length = self.stdout.read(&mut buffer).unwrap();
            let so_far = String::from_utf8_lossy(&printed);
            assert!(length > 0, "nix repl ends: {so_far}");
            printed.extend_from_slice(&buffer[..length]);
        }
        String::from_utf8_lossy(&printed).into_owned()
    }

    /// Its process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory, in KiB.
    pub fn resident(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.unwrap().trim().trim_end_matches(" kB");
        number.parse().unwrap()
    }
}

impl Drop for Repl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text after the last `error: ` at the start of a line.
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
