//! A shell with the programs and the registry that the documentation's commands use.
//!
//! A registry on loopback replaces Docker Hub. `nix run` and `nix build` would need
//! nixpkgs; here they use the programs that cargo has built.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::docs::{ADDRESS, Block, BlockEnvironment, blocks_of_kind};
use super::nix::loader;
use super::registry::Registry;
use super::{Outcome, Workspace, git, project, proxy};

pub struct Shell {
    pub environment: BlockEnvironment,
    pub bin: Workspace,
    proxy: String,
    authority: PathBuf,
    _registries: [Registry; 2],
}

/// A wrapper of `nix`. `run` and `build` use the programs that cargo has built. Nix 2.8
/// has another command to update one input.
const NIX: &str = r#"#!/usr/bin/env bash
set -eu
case "$1" in
run)
  program=$COMMAND
  if [[ $2 = *#propose-refresh ]]; then program=$PROJECT/scripts/propose-refresh; fi
  while [ "$1" != -- ]; do shift; done
  shift
  exec "$program" "$@"
  ;;
build)
  case "$*" in
  *--out-link*) exec ln -sfn "$PLUGIN" "$4" ;;
  *.#nix-oci-hashes) mkdir -p result/bin && exec ln -sfn "$COMMAND" result/bin/ ;;
  esac
  ;;
esac
arguments=()
for argument in "$@"; do
  arguments+=("${argument/"$ADDRESS"/"$CLONE"}")
done
if [ "$1 $2" = "flake update" ] && [[ $("$REAL_NIX" --version) = *" 2.8."* ]]; then
  arguments=(flake lock --update-input "$3")
fi
exec "$REAL_NIX" "${arguments[@]}" --offline
"#;

/// Checks only that the target exists. Continuous integration runs the targets.
const MAKE: &str = r#"#!/usr/bin/env bash
exec /usr/bin/env -u MAKEFLAGS -u MAKELEVEL "$REAL_MAKE" --dry-run -C "$PROJECT" "$1" >/dev/null
"#;

impl Shell {
    pub fn new() -> Self {
        let registry = Registry::start();
        let platforms = ["linux/amd64", "linux/arm64"];
        for (repository, tags) in [
            (
                "library/nextcloud",
                &[
                    "32",
                    "33.0.9",
                    "34",
                    "34-apache",
                    "34-fpm",
                    "34.0",
                    "34.0.4",
                    "35.0.0-rc1",
                    "latest",
                    "stable",
                ][..],
            ),
            ("library/caddy", &["2", "2.11", "2.11.4", "latest"]),
            ("grafana/grafana", &["13", "13.2", "13.2.3", "latest"]),
            ("gitlab/gitlab-ce", &["18.6.1-ce.0", "latest"]),
            ("gitea/gitea", &["1", "1.24", "1.24.6", "latest"]),
            (
                "linuxserver/qbittorrent",
                &[
                    "4.6.7", "5.2.1", "5.2.2", "5.2.3", "14.3.9", "20.04.1", "113", "latest",
                ],
            ),
        ] {
            for tag in tags {
                let of = match (repository, *tag) {
                    ("linuxserver/qbittorrent", "latest") => "5.2.3",
                    (_, tag) => tag,
                };
                let text = format!("{repository} {of}");
                registry.push(repository, tag, &text, &platforms);
            }
        }
        let (hub, authority) = registry.with_certificate_for("registry-1.docker.io");
        let bin = Workspace::new();
        std::os::unix::fs::symlink(
            env!("CARGO_BIN_EXE_nix-oci-hashes"),
            bin.path("nix-oci-hashes"),
        )
        .unwrap();
        let shell = Self {
            environment: BlockEnvironment::new(),
            bin,
            proxy: proxy::to_server(&hub.address),
            authority,
            _registries: [hub, registry],
        };
        let identity = "[user]\n  name = test\n  email = test@example.org\n";
        shell.bin.write("gitconfig", identity);
        shell.executable("nix", NIX);
        shell.executable("make", MAKE);
        shell
    }

    pub fn executable(&self, name: &str, text: &str) {
        self.bin.write(name, text);
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.bin.path(name), mode).unwrap();
    }

    pub fn command(&self, folder: &Path, script: &str) -> Command {
        let which = |program: &str| {
            let script = format!("command -v {program}");
            let outcome = Outcome::of(Command::new("sh").args(["-c", &script])).code(0);
            outcome.stdout.trim().to_owned()
        };
        let nix = &self.environment.nix;
        let mut command = nix.local(nix.command_of("bash"));
        let path = std::env::var("PATH").unwrap();
        command
            .args(["-euo", "pipefail", "-c", script])
            .current_dir(folder)
            .env("PATH", format!("{}:{path}", self.bin.path("").display()))
            .env("REAL_NIX", which("nix"))
            .env("REAL_MAKE", which("make"))
            .env("PROJECT", project())
            .env("COMMAND", env!("CARGO_BIN_EXE_nix-oci-hashes"))
            .env("PLUGIN", loader().with_file_name("../../.."))
            .env("ADDRESS", ADDRESS)
            .env("CLONE", self.environment.clone_url())
            .env("HTTPS_PROXY", &self.proxy)
            .env("SSL_CERT_FILE", &self.authority)
            .env("GIT_CONFIG_NOSYSTEM", "1");
        command
    }

    /// A folder with the files that a reader of the block's page has.
    pub fn folder(&self, block: &Block) -> Workspace {
        let folder = Workspace::new();
        git(&folder.path(""), &["init", "-q"]);
        if block.text.contains("flake init") {
            return folder;
        }
        let flake = blocks_of_kind("nix")
            .into_iter()
            .find(|block| block.text.contains("outputs ="));
        let flake = self.environment.with_inputs(&flake.unwrap().text);
        folder.write("flake.nix", flake);
        let compose = "services:\n  web:\n    image: docker.io/caddy:2.11\n";
        for name in ["docker-compose.yml", "compose.yaml"] {
            folder.write(name, compose);
        }
        folder.write("Dockerfile", "FROM docker.io/caddy:2\n");
        folder.write(
            "configuration.nix",
            "{ image = \"docker.io/grafana/grafana:13\"; }\n",
        );
        if !block.text.contains(" add ") {
            let images = blocks_of_kind("json")
                .into_iter()
                .find(|b| b.page == "docs/images-json.md");
            folder.write("images.json", images.unwrap().text);
        }
        git(&folder.path(""), &["add", "-A"]);
        folder
    }
}
