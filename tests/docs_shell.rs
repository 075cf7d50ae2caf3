//! The shell blocks, consoles and scripts of the documentation, run as they stand.
//!
//! Docker Hub is a registry on loopback. What only nixpkgs could build, `nix run`
//! and `nix build`, is what cargo has built.
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

use support::docs::{ADDRESS, Around, Block, of_kind};
use support::nix::loader;
use support::registry::Registry;
use support::{Clone, Outcome, Workspace, git, project, proxy, without_digests};

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
        std::os::unix::fs::symlink(
            env!("CARGO_BIN_EXE_nix-oci-hashes"),
            bin.path("nix-oci-hashes"),
        )
        .unwrap();
        let shell = Self {
            around: Around::new(),
            bin,
            proxy: proxy::leading_to(&hub.address),
            authority,
            _registries: [hub, registry],
        };
        let identity = "[user]\n  name = test\n  email = test@example.org\n";
        shell.bin.write("gitconfig", identity);
        shell.executable("nix", NIX);
        shell.executable("make", MAKE);
        shell
    }

    fn executable(&self, name: &str, text: &str) {
        self.bin.write(name, text);
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.bin.path(name), mode).unwrap();
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
            .env("SSL_CERT_FILE", &self.authority)
            .env("GIT_CONFIG_NOSYSTEM", "1");
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
        // Whoever works on a clone has told git who they are.
        command.env("GIT_CONFIG_GLOBAL", shell.bin.path("gitconfig"));
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
    assert!(committed.contains("images.json") && !committed.contains("digests.json"));
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
                    printed.any(|printed| without_digests(printed) == without_digests(line)),
                    "{name}: no line {line:?} in {outcome:#?}"
                );
            }
        }
    }
}

/// A repository with the files of `shell`, at `main`, and where it is pushed to.
fn repository(shell: &Shell) -> (Workspace, PathBuf) {
    let clone = of_kind("sh");
    let clone = clone.iter().find(|block| block.page == "docs/refresh.md");
    let clone = shell.folder(clone.unwrap());
    let origin = clone.path(".git/origin.git");
    git(
        &clone.path(""),
        &["init", "-q", "--bare", ".git/origin.git"],
    );
    git(&origin, &["config", "receive.advertisePushOptions", "true"]);
    git(&clone.path(""), &["checkout", "-q", "-b", "main"]);
    git(&clone.path(""), &["commit", "-qm", "Begin"]);
    let url = origin.to_str().unwrap();
    git(&clone.path(""), &["remote", "add", "origin", url]);
    git(&clone.path(""), &["push", "-q", "-u", "origin", "main"]);
    (clone, origin)
}

/// That `branch` of `origin` has a table more than `main` had.
#[track_caller]
fn assert_refreshed(origin: &Path, branch: &str) {
    let message = git(origin, &["log", "-1", "--format=%s", branch]);
    assert_eq!(message, "Refresh the pins\n");
    let files = git(origin, &["show", "--format=", "--name-only", branch]);
    assert_eq!(files, "digests.json\n");
    let table = git(origin, &["show", &format!("{branch}:digests.json")]);
    assert!(table.contains("\"docker.io/nextcloud\""), "{table}");
}

#[test]
fn the_timer_refreshes_and_pushes() {
    let shell = Shell::new();
    let timer = of_kind("nix").into_iter().find(|b| b.page == "docs/ci.md");
    let timer = shell.around.value_of(&timer.unwrap().text);
    let script = timer["systemd"]["services"]["refresh-pins"]["script"].as_str();
    let (clone, origin) = repository(&shell);
    let identity = &timer["systemd"]["services"]["refresh-pins"]["environment"];
    let run = || {
        let mut command = shell.command(&clone.path(""), script.unwrap());
        for (name, value) in identity.as_object().unwrap() {
            command.env(name, value.as_str().unwrap());
        }
        Outcome::of(&mut command).code(0)
    };
    run();
    assert_refreshed(&origin, "main");
    let pushed = git(&origin, &["rev-parse", "main"]);
    run();
    assert_eq!(git(&origin, &["rev-parse", "main"]), pushed);
}

/// The scripts of a pipeline in YAML: GitHub's `run`, GitLab's `script`, in order.
fn scripts(text: &str) -> Vec<String> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<&str> = text.lines().collect();
    let mut scripts = Vec::new();
    let mut list = None;
    for (i, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        if trimmed == "script:" {
            list = Some(indent(line));
        } else if list.is_some_and(|list| indent(line) <= list) {
            list = None;
        }
        let run = trimmed.strip_prefix("- run: ");
        let Some(item) = run.or_else(|| trimmed.strip_prefix("- ").filter(|_| list.is_some()))
        else {
            continue;
        };
        // The other keys of the step stand less far in.
        let inner = lines.get(i + 1).map_or(0, |below| indent(below));
        let below = lines[i + 1..]
            .iter()
            .take_while(|below| indent(below) >= inner);
        let below: Vec<&str> = below.map(|below| below.trim_start()).collect();
        scripts.push(match item {
            "|" => below.join("\n"),
            ">-" => below.join(" "),
            _ => item.to_owned(),
        });
    }
    scripts
}

#[test]
fn the_workflow_of_the_page_proposes_what_has_changed() {
    let shell = Shell::new();
    shell.executable("gh", support::GH);
    let (clone, origin) = repository(&shell);
    let workflow = of_kind("yaml").into_iter().next().unwrap();
    let steps = scripts(&workflow.text);
    assert_eq!(steps.len(), 2);
    for _ in 0..2 {
        git(&clone.path(""), &["checkout", "-q", "main"]);
        for step in &steps {
            let mut command = shell.command(&clone.path(""), step);
            command
                .env("BASE", "main")
                .env("GH_LOG", shell.bin.path("log"));
            let variables = workflow.text.lines().map(str::trim);
            for variable in variables.filter(|line| line.starts_with("GIT_")) {
                let (name, value) = variable.split_once(": ").unwrap();
                command.env(name, value);
            }
            Outcome::of(&mut command).code(0);
        }
        assert_refreshed(&origin, "refresh");
    }
    let asked = shell.bin.read("log");
    assert_eq!(asked.matches("pr create").count(), 1, "{asked}");
    assert_eq!(asked.matches("pr edit 7").count(), 1, "{asked}");
}

/// The steps of the three jobs, in one folder: what they hand to each other keeps
/// its path.
#[test]
fn the_workflow_of_this_repository_proposes_what_has_changed() {
    let shell = Shell::new();
    shell.executable("gh", support::GH);
    let (clone, origin) = repository(&shell);
    let script = std::fs::read(project().join("scripts/propose-refresh")).unwrap();
    clone.write("scripts/propose-refresh", script);
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(clone.path("scripts/propose-refresh"), executable).unwrap();
    let workflow = project().join(".github/workflows/refresh.yml");
    let steps = scripts(&std::fs::read_to_string(workflow).unwrap());
    let (ask, rest) = steps.split_at(3);
    assert!(ask[2].contains("--shard") && rest.last().unwrap().contains("propose-refresh"));
    let run = |step: &str, index: &str, shard: &str| {
        let mut command = shell.command(&clone.path(""), step);
        command
            .env("INDEX", index)
            .env("SHARD", shard)
            .env("ALL", "")
            .env("BASE", "main")
            .env("AUTO_MERGE", "1")
            .env("GH_LOG", shell.bin.path("log"))
            .env("GITHUB_STEP_SUMMARY", shell.bin.path("summary"))
            .env("GIT_CONFIG_GLOBAL", shell.bin.path("gitconfig"));
        Outcome::of(&mut command).code(0)
    };
    for (index, shard) in [("0", "1/2"), ("1", "2/2")] {
        for step in ask {
            run(step, index, shard);
        }
    }
    for step in rest {
        run(step, "", "");
    }
    assert_refreshed(&origin, "refresh");
    let asked = shell.bin.read("log");
    assert!(
        asked.contains("pr create") && asked.contains("pr merge --auto"),
        "{asked}"
    );
    assert_eq!(shell.bin.read("summary"), shell.bin.read("log.body"));
}

#[test]
fn the_pipeline_of_gitlab_proposes_what_has_changed() {
    let shell = Shell::new();
    let (clone, origin) = repository(&shell);
    let pipeline = project().join("docs/examples/gitlab-ci.yml");
    let scripts = scripts(&std::fs::read_to_string(pipeline).unwrap());
    let [ask, propose @ ..] = &scripts[..] else {
        panic!("two jobs")
    };
    let run = |script: &str, shard: &str| {
        let mut command = shell.command(&clone.path(""), script);
        command
            .env("TOOL", ADDRESS)
            .env("CI_NODE_INDEX", shard)
            .env("CI_NODE_TOTAL", "2")
            .env("CI_SERVER_HOST", "gitlab.example")
            .env("CI_PROJECT_PATH", "me/configuration")
            .env("CI_DEFAULT_BRANCH", "main")
            .env("REFRESH_TOKEN", "token")
            .env("GIT_CONFIG_COUNT", "1")
            .env(
                "GIT_CONFIG_KEY_0",
                format!("url.{}.insteadOf", origin.display()),
            )
            .env(
                "GIT_CONFIG_VALUE_0",
                "https://refresh:token@gitlab.example/me/configuration.git",
            );
        Outcome::of(&mut command).code(0)
    };
    run(ask, "1");
    run(ask, "2");
    // One shell for all lines of a job, as GitLab has it.
    run(&propose.join("\n"), "1");
    assert_refreshed(&origin, "refresh");
    let body = git(&origin, &["log", "-1", "--format=%b", "refresh"]);
    assert!(body.contains("added"), "{body}");
}
