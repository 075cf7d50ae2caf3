//! Every Nix and shell block of the documentation, run as it stands.
//!
//! Docker Hub is a registry on loopback; `github:nilp0inter/nix-oci-hashes` is a
//! clone of the project; nixpkgs is the stand-in of `tests/nix`. What only nixpkgs
//! could build, `nix run` and `nix build`, is what cargo has built.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::nix::{Nix, loader};
use support::registry::Registry;
use support::{Clone, Outcome, Workspace, git, project, proxy};

const ADDRESS: &str = "github:nilp0inter/nix-oci-hashes";

struct Block {
    page: String,
    line: usize,
    kind: String,
    text: String,
}

impl Block {
    fn name(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }
}

fn pages() -> Vec<PathBuf> {
    let listed = git(project(), &["ls-files", "*.md", ":!.github"]);
    listed.lines().map(PathBuf::from).collect()
}

/// The fenced blocks of all pages.
fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(project().join(&page)).unwrap();
        let mut open: Option<Block> = None;
        for (i, line) in text.lines().enumerate() {
            match (line.strip_prefix("```"), &mut open) {
                (Some(kind), None) => {
                    open = Some(Block {
                        page: page.display().to_string(),
                        line: i + 1,
                        kind: kind.to_owned(),
                        text: String::new(),
                    });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some(block)) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, None) => assert!(
                    !line.starts_with("    "),
                    "{}:{}: fence it, and say of what kind it is",
                    page.display(),
                    i + 1
                ),
            }
        }
        assert!(open.is_none(), "{}: a fence is not closed", page.display());
    }
    blocks
}

fn of_kind(kind: &str) -> Vec<Block> {
    let all = blocks().into_iter();
    all.filter(|block| block.kind == kind).collect()
}

#[test]
fn every_block_says_of_what_kind_it_is() {
    let mut shell = 0;
    for block in blocks() {
        let known = ["console", "ini", "json", "nix", "sh", "text", "yaml"];
        assert!(
            known.contains(&&*block.kind),
            "{}: '{}'",
            block.name(),
            block.kind
        );
        shell += usize::from(block.kind == "sh");
    }
    assert!(shell > 15);
}

#[test]
fn links_lead_to_pages_and_headings() {
    for page in pages() {
        let text = std::fs::read_to_string(project().join(&page)).unwrap();
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.starts_with("https://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = page.parent().unwrap().join(file);
            let target = if file.is_empty() {
                page.clone()
            } else {
                target
            };
            let target = project().join(target);
            assert!(target.exists(), "{}: {link}", page.display());
            if !heading.is_empty() {
                let target = std::fs::read_to_string(target).unwrap();
                let mut headings = target.lines().filter(|line| line.starts_with('#'));
                assert!(
                    headings.any(|line| anchor(line) == heading),
                    "{}: {link}",
                    page.display()
                );
            }
        }
    }
}

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// What the blocks find around them.
struct Around {
    clone: Clone,
    space: Workspace,
    nix: Nix,
}

impl Around {
    fn new() -> Self {
        let nix = Nix::with_plugin().set("experimental-features", "nix-command flakes");
        let around = Self {
            clone: Clone::of_the_project(),
            space: Workspace::new(),
            nix,
        };
        let table = std::fs::read(project().join("digests.json")).unwrap();
        around.space.write("digests.json", table);
        around.space.write("docker-compose.nix", "{ }");
        git(&around.space.path(""), &["init", "-q"]);
        around
    }

    fn clone_url(&self) -> String {
        format!("git+file://{}", self.clone.path().display())
    }

    /// With the inputs of here.
    fn with_inputs(&self, text: &str) -> String {
        let stand_in = format!("path:{}", self.clone.path().join("tests/nix").display());
        text.replace(ADDRESS, &self.clone_url())
            .replace("github:NixOS/nixpkgs/nixos-unstable", &stand_in)
    }

    fn value(&self, arguments: &[&str]) -> Value {
        let mut command = self.nix.local(self.nix.command());
        command.current_dir(self.space.path(""));
        command.args(["eval", "--offline", "--json", "--no-write-lock-file"]);
        let outcome = Outcome::of(command.args(arguments)).code(0);
        serde_json::from_str(&outcome.stdout).unwrap()
    }

    /// The values of a block: those of an expression, of a function of what a
    /// module takes, or of bindings.
    fn value_of(&self, text: &str) -> Value {
        let is_binding = text.trim_end().ends_with(';');
        let text = if is_binding {
            format!("{{ {text} }}")
        } else {
            text.to_owned()
        };
        let arguments = "{ nix-oci-hashes, pkgs, lib, fetchTarball, ... }:\n";
        self.space.write("block.nix", format!("{arguments}{text}"));
        let expression = format!(
            "let
               flake = builtins.getFlake \"{url}\";
               scope = {{
                 nix-oci-hashes = flake // {{ packages.x86_64-linux.default = \"the command\"; }};
                 pkgs = {{
                   stdenv.hostPlatform.system = \"x86_64-linux\";
                   dockerTools.pullImage = {{ imageName, imageDigest, hash, os, arch, finalImageTag }}@arguments: arguments;
                   git = \"git\";
                   openssh = \"openssh\";
                 }};
                 lib.mkForce = value: value;
                 fetchTarball = _: flake.outPath;
               }};
               block = import ./block.nix scope;
               value = if builtins.isFunction block then block scope else block;
               isModule = builtins.isAttrs value && (value ? virtualisation.oci-containers || value ? nix.ociHashes);
               nixos = import {clone}/tests/nix/nixos.nix {{
                 modules = [ flake.nixosModules.default (removeAttrs value [ \"imports\" ]) ];
               }};
             in
             if isModule then {{ inherit (nixos) failed images settings; }} else value",
            url = self.clone_url(),
            clone = self.clone.path().display(),
        );
        self.space.write("expression.nix", expression);
        self.value(&["--impure", "-f", "expression.nix"])
    }

    /// What a block that is a flake makes of its containers.
    fn value_of_flake(&self, text: &str) -> Value {
        self.space.write("flake.nix", self.with_inputs(text));
        git(&self.space.path(""), &["add", "-A"]);
        self.value(&[
            ".#nixosConfigurations.machine",
            "--apply",
            "machine: { inherit (machine) failed images settings; }",
        ])
    }
}

#[test]
fn nix_blocks_evaluate_to_what_they_say() {
    let around = Around::new();
    let blocks = of_kind("nix");
    assert!(blocks.len() > 15);
    for block in blocks {
        let name = block.name();
        println!("{name}");
        // What stands in a comment behind it is its value.
        let (text, answer) = match block.text.trim_end().rsplit_once("\n# ") {
            Some((text, answer)) if !answer.contains('\n') => (text, Some(answer)),
            _ => (&*block.text, None),
        };
        let value = if text.contains("outputs =") {
            around.value_of_flake(text)
        } else {
            around.value_of(text)
        };
        let printed = value.to_string();
        if let Some(answer) = answer {
            assert_eq!(printed, answer, "{name}");
        }
        if let Some(failed) = value.get("failed") {
            assert_eq!(failed, &serde_json::json!([]), "{name}");
        }
        let is_pinned = printed.contains("@sha256:") || printed.contains("\"sha256:");
        let wants_pin = ["ociHash ", "ociHash\n", "pin =", "pullArgs"];
        let wants_pin = wants_pin.iter().any(|word| text.contains(word));
        assert!(is_pinned || !wants_pin, "{name}: {printed}");
    }
}

/// A shell with what the documentation takes for granted.
struct Shell {
    around: Around,
    bin: Workspace,
    proxy: String,
    authority: PathBuf,
    _registries: [Registry; 2],
}

/// `nix`, but for what only nixpkgs could build. 2.8 updates one input by another
/// name.
const NIX: &str = r#"#!/usr/bin/env bash
set -eu
case "$1" in
run)
  while [ "$1" != -- ]; do shift; done
  shift
  exec "$COMMAND" "$@"
  ;;
build) exec ln -sfn "$PLUGIN" "$4" ;;
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

/// Whether there is such a target: continuous integration runs them themselves.
const MAKE: &str = r#"#!/usr/bin/env bash
exec /usr/bin/env -u MAKEFLAGS -u MAKELEVEL "$REAL_MAKE" --dry-run -C "$PROJECT" "$1" >/dev/null
"#;

impl Shell {
    fn new() -> Self {
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
        ] {
            for tag in tags {
                let text = format!("{repository} {tag}");
                registry.push(repository, tag, &text, &platforms);
            }
        }
        let (hub, authority) = registry.in_the_name_of("registry-1.docker.io");
        let bin = Workspace::new();
        let executable = |name: &str, text: &str| {
            bin.write(name, text);
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(bin.path(name), mode).unwrap();
        };
        executable("nix", NIX);
        executable("make", MAKE);
        std::os::unix::fs::symlink(
            env!("CARGO_BIN_EXE_nix-oci-hashes"),
            bin.path("nix-oci-hashes"),
        )
        .unwrap();
        Self {
            around: Around::new(),
            bin,
            proxy: proxy::leading_to(&hub.address),
            authority,
            _registries: [hub, registry],
        }
    }

    fn command(&self, folder: &Path, script: &str) -> Command {
        let which = |program: &str| {
            let script = format!("command -v {program}");
            let outcome = Outcome::of(Command::new("sh").args(["-c", &script])).code(0);
            outcome.stdout.trim().to_owned()
        };
        let nix = &self.around.nix;
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
            .env("CLONE", self.around.clone_url())
            .env("HTTPS_PROXY", &self.proxy)
            .env("SSL_CERT_FILE", &self.authority);
        for role in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{role}_NAME"), "test")
                .env(format!("GIT_{role}_EMAIL"), "test@example.org");
        }
        command
    }

    /// A folder as somebody has it who reads that page.
    fn folder(&self, block: &Block) -> Workspace {
        let folder = Workspace::new();
        git(&folder.path(""), &["init", "-q"]);
        if block.text.contains("flake init") {
            return folder;
        }
        let flake = of_kind("nix")
            .into_iter()
            .find(|block| block.text.contains("outputs ="));
        let flake = self.around.with_inputs(&flake.unwrap().text);
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
            let images = of_kind("json")
                .into_iter()
                .find(|b| b.page == "docs/images-json.md");
            folder.write("images.json", images.unwrap().text);
        }
        git(&folder.path(""), &["add", "-A"]);
        folder
    }
}

#[test]
fn shell_blocks_run() {
    let shell = Shell::new();
    let clone = Clone::of_the_project();
    let own_table = of_kind("sh");
    let own_table = own_table
        .iter()
        .find(|b| b.page == "docs/your-own-table.md");
    let own_table = shell.folder(own_table.unwrap());
    for block in of_kind("sh") {
        println!("{}", block.name());
        // On these pages one block goes on from what the other has made.
        let fresh = shell.folder(&block);
        let folder = match &*block.page {
            "CONTRIBUTING.md" => clone.path(),
            "docs/your-own-table.md" => &own_table.path(""),
            _ => &fresh.path(""),
        };
        let mut command = shell.command(folder, &block.text);
        let outcome = Outcome::of(&mut command);
        assert_eq!(outcome.code, Some(0), "{}: {outcome:#?}", block.name());
    }
    // What the last page has made is used as it says.
    let table = own_table.read("digests.json");
    assert!(
        table.contains("\"docker.io/nextcloud\"") && table.contains("\"2.11\""),
        "{table}"
    );
    let committed = git(clone.path(), &["show", "--stat", "--format=%s"]);
    assert!(committed.starts_with("Track gitea\n"), "{committed}");
    assert!(committed.contains("digests.json") && committed.contains("images.json"));
}

#[test]
fn consoles_show_what_is_printed() {
    let shell = Shell::new();
    for block in of_kind("console") {
        let name = block.name();
        let folder = shell.folder(&block);
        for part in block.text.split("$ ").skip(1) {
            let (line, expected) = part.split_once('\n').unwrap();
            let outcome = Outcome::of(&mut shell.command(&folder.path(""), line));
            let mut printed = outcome.stdout.lines();
            for line in expected.lines() {
                assert!(
                    printed.any(|printed| printed == line),
                    "{name}: no line {line:?} in {outcome:#?}"
                );
            }
        }
    }
}

/// The stand-ins for a workflow's own tools are those of tests/scripts.rs; here the
/// file is looked at by the schema of GitHub's workflows, with `make lint`.
#[test]
fn the_workflow_of_the_page_is_that_of_this_repository_in_short() {
    let page = of_kind("yaml");
    let [workflow] = &page[..] else {
        panic!("one workflow in the documentation")
    };
    let own = std::fs::read_to_string(project().join(".github/workflows/refresh.yml")).unwrap();
    let mut actions = 0;
    for line in workflow.text.lines().filter(|line| line.contains("uses: ")) {
        assert!(own.contains(line.trim()), "{line}");
        actions += 1;
    }
    assert_eq!(actions, 2);
}
