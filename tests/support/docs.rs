//! The documentation, and an environment in which its blocks run.
//!
//! `github:nilp0inter/nix-oci-hashes` is a clone of the project; nixpkgs is the
//! stand-in of `tests/nix`.

use std::path::PathBuf;

use serde_json::Value;

use super::nix::Nix;
use super::{Clone, Outcome, Workspace, git, project};

/// The flake's address in the documentation.
pub const ADDRESS: &str = "github:nilp0inter/nix-oci-hashes";

pub struct Block {
    pub page: String,
    pub line: usize,
    pub kind: String,
    pub text: String,
}

impl Block {
    pub fn name(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }
}

pub fn pages() -> Vec<PathBuf> {
    let listed = git(project(), &["ls-files", "*.md", ":!.github"]);
    listed.lines().map(PathBuf::from).collect()
}

/// The fenced blocks of all pages.
pub fn blocks() -> Vec<Block> {
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

pub fn blocks_of_kind(kind: &str) -> Vec<Block> {
    let all = blocks().into_iter();
    all.filter(|block| block.kind == kind).collect()
}

/// The environment of the blocks: a clone, a folder, and Nix with the plugin.
pub struct BlockEnvironment {
    pub clone: Clone,
    pub space: Workspace,
    pub nix: Nix,
}

impl BlockEnvironment {
    pub fn new() -> Self {
        let nix = Nix::with_plugin().set("experimental-features", "nix-command flakes");
        let environment = Self {
            clone: Clone::of_the_project(),
            space: Workspace::new(),
            nix,
        };
        let table = std::fs::read(project().join("digests.json")).unwrap();
        environment.space.write("digests.json", table);
        environment.space.write("docker-compose.nix", "{ }");
        git(&environment.space.path(""), &["init", "-q"]);
        environment
    }

    pub fn clone_url(&self) -> String {
        format!("git+file://{}", self.clone.path().display())
    }

    /// Replaces the inputs of a flake by local ones.
    pub fn with_inputs(&self, text: &str) -> String {
        let stand_in = format!("path:{}", self.clone.path().join("tests/nix").display());
        text.replace(ADDRESS, &self.clone_url())
            .replace("github:NixOS/nixpkgs/nixos-unstable", &stand_in)
    }

    pub fn value(&self, arguments: &[&str]) -> Value {
        let mut command = self.nix.local(self.nix.command());
        command.current_dir(self.space.path(""));
        command.args(["eval", "--offline", "--json", "--no-write-lock-file"]);
        let outcome = Outcome::of(command.args(arguments)).code(0);
        serde_json::from_str(&outcome.stdout).unwrap()
    }

    /// The value of a block: an expression, a function of a module's arguments, or
    /// bindings.
    pub fn value_of(&self, text: &str) -> Value {
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
                 nix-oci-hashes = flake // {{
                   packages.x86_64-linux.default = \"the command\";
                   # The image of the tests, whose manifest is recorded.
                   lib = flake.lib // {{
                     image = arguments: flake.lib.image (arguments // {{
                       image = \"registry.example/app:1\";
                       digests = {clone}/tests/nix/store/digests.json;
                       recorded = true;
                     }});
                   }};
                 }};
                 pkgs = {{
                   stdenv.hostPlatform.system = \"x86_64-linux\";
                   stdenv.buildPlatform.system = \"x86_64-linux\";
                   runtimeShell = \"/bin/bash\";
                   coreutils = \"/usr\";
                   gnutar = \"/usr\";
                   cacert = \"/cacert\";
                   skopeo = \"/skopeo\";
                   callPackage = _: _: \"/nix-oci-hashes\";
                   dockerTools.pullImage = {{ imageName, imageDigest, hash, os, arch, finalImageTag }}@arguments: arguments;
                   git = \"git\";
                   openssh = \"openssh\";
                 }};
                 lib.mkForce = value: value;
                 fetchTarball = _: flake.outPath;
               }};
               block = import ./block.nix scope;
               value = if builtins.isFunction block then block scope else block;
               program =
                 if value ? services.podman.containers then \"podman\"
                 else if value ? virtualisation.quadlet then \"quadlet\"
                 else if value ? virtualisation.arion then \"arion\"
                 else null;
               given = import {clone}/tests/nix/programs.nix {{
                 self = flake.outPath;
                 inherit program;
                 given = removeAttrs (value.virtualisation.arion.projects.web.settings or value) [ \"imports\" ];
               }};
               isModule = value ? virtualisation.oci-containers || value ? nix.ociHashes;
               nixos = import {clone}/tests/nix/nixos.nix {{
                 modules = [ flake.nixosModules.default (removeAttrs value [ \"imports\" ]) ];
               }};
             in
             if !builtins.isAttrs value then value
             else if program != null then {{ inherit (given) failed images; }}
             else if isModule then {{ inherit (nixos) failed images settings; }}
             else value",
            url = self.clone_url(),
            clone = self.clone.path().display(),
        );
        self.space.write("expression.nix", expression);
        self.value(&["--impure", "-f", "expression.nix"])
    }

    /// The settings, container images and failed assertions of a block that is a flake.
    pub fn value_of_flake(&self, text: &str) -> Value {
        self.space.write("flake.nix", self.with_inputs(text));
        git(&self.space.path(""), &["add", "-A"]);
        self.value(&[
            ".#nixosConfigurations.machine",
            "--apply",
            "machine: { inherit (machine) failed images settings; }",
        ])
    }
}
