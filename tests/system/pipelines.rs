//! Runs the automatic refreshes of the documentation and of this repository step by
//! step: the workflows, the GitLab pipeline and the timer.
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::support::docs::{ADDRESS, blocks_of_kind};
use crate::support::shell::Shell;
use crate::support::{Outcome, Workspace, git, project};

/// A repository at `main` with the files of `shell`, and the repository that it pushes to.
fn repository(shell: &Shell) -> (Workspace, PathBuf) {
    let clone = blocks_of_kind("sh");
    let clone = clone.iter().find(|block| block.page == "docs/refresh.md");
    let clone = shell.folder(clone.unwrap());
    // One image has its manifests recorded.
    let images = clone.read("images.json");
    let images = images.replacen(
        "\"image\": \"docker.io/nextcloud\"",
        "\"image\": \"docker.io/nextcloud\", \"store\": true",
        1,
    );
    assert!(images.contains("store"), "{images}");
    clone.write("images.json", images);
    git(&clone.path(""), &["add", "-A"]);
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

/// Asserts that the last commit of `branch` in `origin` changes only the table and its
/// manifests.
#[track_caller]
fn assert_refreshed(origin: &Path, branch: &str) {
    let message = git(origin, &["log", "-1", "--format=%B", branch]);
    let (subject, body) = message.split_once("\n\n").unwrap();
    assert_eq!(subject, "gitlab-ce 18.6.1-ce.0 added, and 2 more");
    let line = "\ndocker.io/nextcloud: added 33.0.9, 34,";
    assert!(body.contains(line), "{message}");
    let files = git(origin, &["show", "--format=", "--name-only", branch]);
    let (table, manifests) = files.split_once('\n').unwrap();
    assert_eq!(table, "digests.json");
    let mut manifests = manifests.lines().peekable();
    assert!(manifests.peek().is_some(), "the manifests are committed");
    assert!(manifests.all(|file| file.starts_with("manifests/sha256-")));
    let table = git(origin, &["show", &format!("{branch}:digests.json")]);
    assert!(table.contains("\"docker.io/nextcloud\""), "{table}");
}

#[test]
fn the_timer_refreshes_and_pushes() {
    let shell = Shell::new();
    let timer = blocks_of_kind("nix")
        .into_iter()
        .find(|b| b.page == "docs/ci.md");
    let timer = shell.environment.value_of(&timer.unwrap().text);
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
        // The other keys of the step are indented less than the script.
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
fn the_action_proposes_what_has_changed() {
    let shell = Shell::new();
    shell.executable("gh", crate::support::GH);
    let (clone, origin) = repository(&shell);
    let workflow = blocks_of_kind("yaml").into_iter().next().unwrap();
    assert!(
        workflow
            .text
            .contains("- uses: nilp0inter/nix-oci-hashes@main")
    );
    let action = std::fs::read_to_string(project().join("action.yml")).unwrap();
    let steps = scripts(&action);
    assert_eq!(steps.len(), 6);
    for _ in 0..2 {
        git(&clone.path(""), &["checkout", "-q", "main"]);
        for step in &steps {
            let mut command = shell.command(&clone.path(""), step);
            command
                .env("TOOL", ADDRESS)
                .env("BASE", "main")
                .env("MINIMUM_AGE", "")
                .env("AUTO_MERGE", "")
                .env("RUNNER_TEMP", shell.bin.path(""))
                .env("GITHUB_STEP_SUMMARY", shell.bin.path("summary"))
                .env("GH_LOG", shell.bin.path("log"));
            let variables = action.lines().map(str::trim);
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
    assert!(asked.contains("--title gitlab-ce "), "{asked}");
    assert_eq!(asked.matches("pr edit 7").count(), 1, "{asked}");
}

/// The workflow of this repository, in a repository that it proposes to.
struct OwnWorkflow {
    shell: Shell,
    clone: Workspace,
    origin: PathBuf,
}

impl OwnWorkflow {
    fn new() -> Self {
        let shell = Shell::new();
        shell.executable("gh", crate::support::GH);
        let (clone, origin) = repository(&shell);
        for script in ["scripts/propose-refresh", "scripts/unpack-table"] {
            clone.write(script, std::fs::read(project().join(script)).unwrap());
            let executable = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(clone.path(script), executable).unwrap();
        }
        Self {
            shell,
            clone,
            origin,
        }
    }

    /// Runs the steps of the three jobs in one folder: the files that one job passes to
    /// the next keep their paths.
    fn run(&self) {
        git(&self.clone.path(""), &["checkout", "-q", "main"]);
        let workflow = project().join(".github/workflows/refresh.yml");
        let steps = scripts(&std::fs::read_to_string(workflow).unwrap());
        let (ask, rest) = steps.split_at(4);
        assert!(ask[3].contains("--shard") && rest.last().unwrap().contains("propose-refresh"));
        let run = |step: &str, index: &str, shard: &str| {
            let bin = &self.shell.bin;
            let mut command = self.shell.command(&self.clone.path(""), step);
            command
                .env("INDEX", index)
                .env("SHARD", shard)
                .env("ALL", "")
                .env("BASE", "main")
                .env("AUTO_MERGE", "1")
                .env("GH_LOG", bin.path("log"))
                .env("GITHUB_STEP_SUMMARY", bin.path("summary"))
                .env("GIT_CONFIG_GLOBAL", bin.path("gitconfig"));
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
    }
}

#[test]
fn the_workflow_of_this_repository_proposes_what_has_changed() {
    let workflow = OwnWorkflow::new();
    workflow.run();
    assert_refreshed(&workflow.origin, "refresh");
    let bin = &workflow.shell.bin;
    let asked = bin.read("log");
    assert!(
        asked.contains("pr create") && asked.contains("pr merge --auto"),
        "{asked}"
    );
    assert_eq!(bin.read("summary"), bin.read("log.body"));
}

/// A digest that is too young keeps its age over runs whose pull request nobody merges.
#[test]
fn the_workflow_commits_the_ages_of_pending_digests() {
    let workflow = OwnWorkflow::new();
    let images = workflow.clone.read("images.json");
    let images = images.replacen(
        "\"image\": \"docker.io/nextcloud\"",
        "\"image\": \"docker.io/nextcloud\", \"minimumAge\": \"3d\"",
        1,
    );
    workflow.clone.write("images.json", images);
    let clone = workflow.clone.path("");
    git(&clone, &["commit", "-qam", "Wait for three days"]);
    let run = || {
        workflow.run();
        let pending = git(&workflow.origin, &["show", "refresh:pending.json"]);
        let pending: serde_json::Value = serde_json::from_str(&pending).unwrap();
        let tags = pending["images"]["docker.io/nextcloud"]
            .as_object()
            .unwrap();
        tags.values().next().unwrap()[0].clone()
    };
    let first = run();
    // An age is in whole seconds.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let second = run();
    assert_eq!(first["digest"], second["digest"]);
    assert!(second["age"].as_u64() > first["age"].as_u64(), "{second}");
}

#[test]
fn the_workflow_of_this_repository_publishes_the_table() {
    let shell = Shell::new();
    let (clone, _) = repository(&shell);
    let workflow = project().join(".github/workflows/site.yml");
    for step in scripts(&std::fs::read_to_string(workflow).unwrap()) {
        Outcome::of(&mut shell.command(&clone.path(""), &step)).code(0);
    }
    let page = clone.read("site/index.html");
    assert!(
        page.contains("images/docker.io/nextcloud/index.html"),
        "{page}"
    );
}

#[test]
fn the_pipeline_of_gitlab_proposes_what_has_changed() {
    let shell = Shell::new();
    let (clone, origin) = repository(&shell);
    let pipeline = project().join("docs/examples/gitlab-ci.yml");
    let scripts = scripts(&std::fs::read_to_string(pipeline).unwrap());
    let [pending, ask, propose @ ..] = &scripts[..] else {
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
    for shard in ["1", "2"] {
        run(&format!("{pending}\n{ask}"), shard);
    }
    // GitLab runs all lines of a job in one shell.
    run(&propose.join("\n"), "1");
    assert_refreshed(&origin, "refresh");
    let body = git(&origin, &["log", "-1", "--format=%b", "refresh"]);
    assert!(body.contains("added"), "{body}");
    assert!(!body.contains('|'), "counts alone: {body}");
}
