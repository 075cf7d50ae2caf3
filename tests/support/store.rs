//! A registry, a table with one image, a Nix that builds it in a store of its own, and
//! podman and Docker with storages of their own.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use super::image::{Compression, Format, Layer, push};
use super::nix::Nix;
use super::registry::Registry;
use super::{Outcome, Workspace, program, project};

pub const REPOSITORY: &str = "demo/app";
pub const SHOW: &[&str] = &["/bin/busybox", "cat", "/hello.txt"];

/// A project that tracks the tag 1 of [`REPOSITORY`], and a Nix that builds it.
pub struct Store {
    pub registry: Registry,
    pub workspace: Workspace,
    pub nix: Nix,
}

impl Store {
    pub fn new() -> Self {
        let registry = Registry::start();
        let entry = json!({
            "image": format!("{}/{REPOSITORY}", registry.address),
            "platforms": ["linux/amd64"], "strategies": {}, "tags": ["1"], "store": true,
        });
        let workspace = Workspace::tracking(&json!([entry]).to_string());
        let nix = Nix::without_plugin()
            .set("sandbox", "false")
            .set("substituters", "");
        let bin = nix.home().join("fetcher/bin");
        std::fs::create_dir_all(&bin).unwrap();
        symlink(program(), bin.join("nix-oci-hashes")).unwrap();
        Self {
            registry,
            workspace,
            nix,
        }
    }

    /// Pushes the version of the image that says `text`, and refreshes the table.
    pub fn push(&self, format: Format, text: &str) -> String {
        let last = match format {
            Format::Oci => Compression::Zstd,
            Format::Docker => Compression::Gzip,
        };
        self.push_with(format, last, text)
    }

    /// As [`push`](Self::push), with this compression of the last layer.
    pub fn push_with(&self, format: Format, last: Compression, text: &str) -> String {
        let layers = [
            Layer::busybox(Compression::Gzip),
            Layer::new("about.txt", b"an image of the tests", Compression::None),
            Layer::new("hello.txt", text.as_bytes(), last),
        ];
        let digest = push(&self.registry, (REPOSITORY, "1"), format, &layers, SHOW);
        self.workspace.run(&["refresh"]).code(0);
        digest
    }

    /// The name that a loaded image has.
    pub fn loaded_name(&self, digest: &str) -> String {
        let tag = digest.replace(':', "-");
        format!("{}/{REPOSITORY}:{tag}", self.registry.address)
    }

    pub fn reference(&self) -> String {
        format!("{}/{REPOSITORY}:1", self.registry.address)
    }

    /// `lib.image` of the table, with `more` arguments.
    pub fn image(&self, more: &str) -> String {
        format!(
            r#"((import {project}/nix/lib.nix {{ digests = {digests}; }}).image ({{
                 pkgs = {{
                   stdenv = {{
                     hostPlatform.system = "x86_64-linux";
                     buildPlatform.system = "x86_64-linux";
                   }};
                   runtimeShell = "/bin/bash"; coreutils = "/usr"; gnutar = "/usr";
                 }};
                 fetcher = "{home}/fetcher"; certificates = "/etc/ssl/certs/ca-certificates.crt";
                 image = "{image}";
               }} // {{ {more} }}))"#,
            project = project().display(),
            digests = self.workspace.path("digests.json").display(),
            home = self.nix.home().display(),
            image = self.reference(),
        )
    }

    pub fn try_build(&self, expression: &str, environment: &[(&str, &str)]) -> Outcome {
        let mut command = self.nix.command_of("nix-build");
        command.args(["--no-out-link", "--expr", expression]);
        let mut command = self.nix.local(command);
        command.envs(environment.iter().copied());
        Outcome::of(&mut command)
    }

    /// Builds an attribute of `lib.image`.
    #[track_caller]
    pub fn build(&self, attribute: &str, more: &str) -> PathBuf {
        let expression = format!("{}.{attribute}", self.image(more));
        let built = self.try_build(&expression, &[]).code(0).stdout;
        built.trim().into()
    }

    pub fn eval(&self, expression: &str) -> Outcome {
        let mut command = self.nix.command_of("nix-instantiate");
        command.args(["--eval", "--strict", "--json", "--expr", expression]);
        Outcome::of(&mut self.nix.local(command))
    }

    /// What was asked of the registry since the first `before` requests.
    pub fn requests_since(&self, before: usize) -> Vec<String> {
        self.registry.requests().split_off(before)
    }
}

/// Podman with a storage of its own.
pub struct Podman {
    pub folder: tempfile::TempDir,
}

impl Podman {
    /// With the storage driver that works everywhere.
    pub fn new() -> Self {
        Self::with_driver("vfs")
    }

    pub fn with_driver(driver: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        let config = format!(
            "[storage]\ndriver = \"{driver}\"\ngraphroot = \"{path}/root\"\nrunroot = \"{path}/run\"\n"
        );
        std::fs::write(folder.path().join("storage.conf"), config).unwrap();
        // What works for root within a container, and apart from other podmans.
        let config = format!(
            "[engine]\ncgroup_manager = \"cgroupfs\"\nruntime = \"runc\"\ntmp_dir = \"{path}/tmp\"\n\
             [containers]\nnetns = \"none\"\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1000:1000\"]\n"
        );
        std::fs::write(folder.path().join("containers.conf"), config).unwrap();
        Self { folder }
    }

    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        let config = self.folder.path().join("storage.conf");
        command.env("CONTAINERS_STORAGE_CONF", config);
        command.env(
            "CONTAINERS_CONF",
            self.folder.path().join("containers.conf"),
        );
        command.args(arguments);
        command
    }

    pub fn outcome(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(&mut self.command("podman", arguments))
    }

    /// What a container of `image` prints.
    #[track_caller]
    pub fn run(&self, image: &str) -> String {
        let options = ["run", "--rm", "--pull=never", image];
        self.outcome(&options).code(0).stdout
    }

    pub fn script(&self, script: &str) -> Outcome {
        Outcome::of(&mut self.command("bash", &["-euc", script]))
    }

    pub fn images(&self) -> Vec<String> {
        let format = "{{.Repository}}:{{.Tag}}";
        let images = self.outcome(&["images", "--format", format]).code(0).stdout;
        let mut images: Vec<String> = images.lines().map(str::to_owned).collect();
        images.sort();
        images
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // Layers may be mounted.
        let _ = self.outcome(&["system", "reset", "--force"]);
    }
}

/// A Docker daemon of its own, without a network.
pub struct Docker {
    pub folder: tempfile::TempDir,
    daemon: Child,
}

impl Docker {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let daemon = Command::new("dockerd")
            .arg(format!("--host=unix://{}", at("socket")))
            .arg(format!("--data-root={}", at("data")))
            .arg(format!("--exec-root={}", at("exec")))
            .arg(format!("--pidfile={}", at("pid")))
            .args(["--iptables=false", "--bridge=none", "--storage-driver=vfs"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("dockerd: {error}; run 'make test-tools'"));
        let docker = Self { folder, daemon };
        let deadline = Instant::now() + Duration::from_secs(60);
        while docker.command("docker", &["info"]).status().unwrap().code() != Some(0) {
            let log = std::fs::read_to_string(docker.folder.path().join("log")).unwrap();
            assert!(Instant::now() < deadline, "dockerd does not start: {log}");
            std::thread::sleep(Duration::from_millis(100));
        }
        docker
    }

    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        let socket = self.folder.path().join("socket");
        command
            .env("DOCKER_HOST", format!("unix://{}", socket.display()))
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    pub fn script(&self, script: &str) -> Outcome {
        Outcome::of(
            self.command("bash", &["-euc", script])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped()),
        )
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // SIGTERM, so that it stops its containerd too.
        let id = rustix::process::Pid::from_child(&self.daemon);
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        let _ = self.daemon.wait();
    }
}
