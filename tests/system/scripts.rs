//! The scripts of the workflows, with a temporary repository and a fake `gh` that
//! records its calls.
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::support::{Outcome, Workspace, git, project};

struct Repository(Workspace);

impl Repository {
    fn new() -> Self {
        let repository = Self(Workspace::new());
        let space = &repository.0;
        space.write("gh/gh", crate::support::GH);
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(space.path("gh/gh"), executable).unwrap();
        git(
            &space.path("gh"),
            &["init", "-q", "--bare", "../origin.git"],
        );
        git(&space.path("gh"), &["init", "-q", "-b", "main", "../clone"]);
        space.write("clone/digests.json", "old\n");
        space.write("clone/images.json", "[]\n");
        let clone = space.path("clone");
        git(&clone, &["add", "-A"]);
        git(&clone, &["commit", "-qm", "Begin"]);
        git(&clone, &["remote", "add", "origin", "../origin.git"]);
        repository
    }

    fn environment(&self, command: &mut Command) {
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", self.0.path("gh").display());
        command.env("PATH", path).env("GH_LOG", self.0.path("log"));
        for role in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{role}_NAME"), "test")
                .env(format!("GIT_{role}_EMAIL"), "test@example.org");
        }
    }

    /// Runs `scripts/propose-refresh` in a clone at `main`, with a report that needs no
    /// review.
    fn propose(&self, report: &str) -> Outcome {
        self.propose_with(report, Some(""))
    }

    /// As `propose`, with the output of 'nix-oci-hashes review'.
    fn propose_with(&self, report: &str, review: Option<&str>) -> Outcome {
        self.0.write("report.md", report);
        let mut command = Command::new(project().join("scripts/propose-refresh"));
        self.environment(&mut command);
        command.env("AUTO_MERGE", "1");
        command.current_dir(self.0.path("clone"));
        command.arg(self.0.path("report.md"));
        if let Some(review) = review {
            self.0.write("review", review);
            command.arg(self.0.path("review"));
        }
        Outcome::of(&mut command).code(0)
    }

    fn gh_calls(&self) -> String {
        std::fs::read_to_string(self.0.path("log")).unwrap_or_default()
    }
}

#[test]
fn an_unchanged_table_is_not_proposed() {
    let repository = Repository::new();
    let said = repository.propose("**0 added**\n").stdout;
    assert_eq!(said, "Nothing has changed: nothing to propose.\n");
    assert_eq!(
        repository.gh_calls().lines().count(),
        1,
        "{}",
        repository.gh_calls()
    );
}

/// What a refresh finds in pending.json after `--take-pending`.
#[test]
fn ages_are_taken_from_a_branch_that_began_with_those_of_main() {
    let repository = Repository::new();
    let space = &repository.0;
    let clone = space.path("clone");
    let take = || {
        git(&clone, &["switch", "-q", "main"]);
        let mut command = Command::new(project().join("scripts/propose-refresh"));
        repository.environment(&mut command);
        let command = command.arg("--take-pending").current_dir(&clone);
        Outcome::of(command).code(0);
        std::fs::read_to_string(clone.join("pending.json")).ok()
    };
    assert_eq!(take(), None, "there is no branch");
    space.write("clone/pending.json", "one day\n");
    repository.propose("**0 added**\n");
    assert_eq!(take().as_deref(), Some("one day\n"));
    // Main has other ages since: those of the branch are older.
    space.write("clone/pending.json", "two days\n");
    git(&clone, &["add", "pending.json"]);
    git(&clone, &["commit", "-qm", "Merge"]);
    assert_eq!(take().as_deref(), Some("two days\n"));
    // A branch may have removed the file.
    std::fs::remove_file(clone.join("pending.json")).unwrap();
    repository.propose("**0 added**\n");
    assert_eq!(take(), None);
    // With nothing to propose, the branch goes: its ages are out of date.
    git(&clone, &["checkout", "-q", "main", "--", "."]);
    repository.propose("**0 added**\n");
    let branches = git(&space.path("origin.git"), &["branch", "--list", "refresh"]);
    assert_eq!(branches, "");
    assert_eq!(take().as_deref(), Some("two days\n"));
}

#[test]
fn a_changed_table_is_one_pull_request_that_merges_itself() {
    let repository = Repository::new();
    let clone = repository.0.path("clone");
    for (table, verb) in [
        ("new\n", "pr create --head refresh --base main"),
        ("newer\n", "pr edit 7"),
    ] {
        git(&clone, &["switch", "-q", "main"]);
        repository.0.write("clone/digests.json", table);
        repository
            .0
            .write("clone/images.json", "not to be committed\n");
        repository.propose("**1 moved**\n");
        repository.0.write("clone/images.json", "[]\n");
        let origin = repository.0.path("origin.git");
        let pushed = git(&origin, &["show", "refresh:digests.json"]);
        assert_eq!(pushed, table);
        // One commit on top of main, which changes only that file.
        let changed = git(&clone, &["diff", "--name-only", "main", "refresh"]);
        assert_eq!(changed, "digests.json\n");
        let commits = git(&clone, &["log", "--format=%s", "main..refresh"]);
        assert_eq!(commits, "Refresh the pins\n");
        let gh_calls = repository.gh_calls();
        assert!(gh_calls.contains(verb), "{gh_calls}");
        let head = git(&clone, &["rev-parse", "refresh"]);
        let merge = format!(
            "pr merge --auto --squash --subject Refresh the pins --body  --match-head-commit {} 7",
            head.trim()
        );
        assert!(gh_calls.contains(&merge), "{gh_calls}");
        assert_eq!(repository.0.read("log.body"), "**1 moved**\n");
    }
    assert_eq!(repository.gh_calls().matches("pr create").count(), 1);
}

#[test]
fn changes_that_need_review_are_not_merged_automatically() {
    let line = "re-pushed docker.io/a:1.2.3 sha256:00 -> sha256:11";
    for review in [Some(line), None] {
        let repository = Repository::new();
        let clone = repository.0.path("clone");
        // Automatic merging, allowed for the first table, is disabled for the second.
        repository.0.write("clone/digests.json", "new\n");
        repository.propose("**1 moved**\n");
        assert!(repository.gh_calls().contains("--auto --squash"));
        git(&clone, &["switch", "-q", "main"]);
        repository.0.write("clone/digests.json", "newer\n");
        // The text of the report does not matter. A long report is cut, the review is not.
        let report = format!("**2 changes**\n{}", "failed\n".repeat(20_000));
        let said = repository.propose_with(&report, review);
        assert!(
            said.stdout
                .contains("The pull request 7 is not merged by itself"),
            "{said:?}"
        );
        let gh_calls = repository.gh_calls();
        let (before, after) = gh_calls.rsplit_once("pr merge --disable-auto 7").unwrap();
        assert!(
            before.contains("--squash") && !after.contains("--squash"),
            "{gh_calls}"
        );
        assert!(after.contains("pr edit 7"), "{gh_calls}");
        let body = repository.0.read("log.body");
        assert!(body.len() < 62_000, "{}", body.len());
        if let Some(line) = review {
            assert!(
                body.starts_with("**A full version has been pushed again"),
                "{body}"
            );
            assert!(body.contains(line), "{body}");
        }
    }
}

#[test]
fn the_text_of_the_report_does_not_stop_a_merge() {
    let repository = Repository::new();
    repository.0.write("clone/digests.json", "new\n");
    repository.propose("### 2 re-pushed\n| `1`, no longer for linux/arm64 |\n");
    assert!(repository.gh_calls().contains("--auto --squash"));
}

#[test]
fn an_outdated_pull_request_is_closed() {
    let repository = Repository::new();
    repository.0.write("clone/digests.json", "new\n");
    repository.propose("**1 moved**\n");
    git(&repository.0.path("clone"), &["switch", "-q", "main"]);
    repository.propose("**0 moved**\n");
    assert!(
        repository.gh_calls().contains("pr close 7"),
        "{}",
        repository.gh_calls()
    );
}

#[test]
fn a_first_table_is_a_change() {
    let repository = Repository::new();
    let clone = repository.0.path("clone");
    git(&clone, &["rm", "-q", "digests.json"]);
    git(&clone, &["commit", "-qm", "Have no table"]);
    repository.0.write("clone/digests.json", "new\n");
    repository.propose("**1 added**\n");
    let origin = repository.0.path("origin.git");
    assert_eq!(git(&origin, &["show", "refresh:digests.json"]), "new\n");
}

#[test]
fn a_report_is_cut_to_what_a_pull_request_takes() {
    let repository = Repository::new();
    repository.0.write("clone/digests.json", "new\n");
    let line = format!("{}\n", "x".repeat(99));
    repository.propose(&line.repeat(1000));
    let body = repository.0.read("log.body");
    assert!(body.len() <= 61_000, "{}", body.len());
    assert!(body.starts_with(&line.repeat(600)));
    assert!(body.ends_with("\nThe report goes on; the run that made it has all of it.\n"));
}

#[test]
fn a_release_has_notes_and_the_version_of_the_package() {
    let notes =
        |tag: &str| Outcome::of(Command::new(project().join("scripts/release-notes")).arg(tag));
    let version = env!("CARGO_PKG_VERSION");
    let text = notes(&format!("v{version}")).code(0).stdout;
    assert!(text.contains("builtins.ociHash"), "{text}");
    assert!(!text.contains("\n## "), "{text}");
    notes("v99.0.0").code(1).error("tag v");
}

/// A fake `docker` that records its arguments, and writes the digest as buildx does.
const DOCKER: &str = r#"#!/usr/bin/env bash
set -eu
printf '%s\n' "$*" >>"$DOCKER_LOG"
while [ $# -gt 0 ]; do
  if [ "$1" = --metadata-file ]; then
    printf '{\n  "buildx.build.ref": "x",\n  "containerimage.digest": "%s"\n}\n' "$DIGEST" >"$2"
  fi
  shift
done
"#;

#[test]
fn the_image_of_a_release_has_the_binaries_of_both_architectures() {
    let space = Workspace::new();
    let executable = || std::fs::Permissions::from_mode(0o755);
    space.write("bin/docker", DOCKER);
    std::fs::set_permissions(space.path("bin/docker"), executable()).unwrap();
    let script = std::fs::read(project().join("scripts/push-release")).unwrap();
    space.write("clone/scripts/push-release", script);
    let script = space.path("clone/scripts/push-release");
    std::fs::set_permissions(&script, executable()).unwrap();
    for arch in ["x86_64", "aarch64"] {
        space.write(&format!("clone/dist/nix-oci-hashes-{arch}-linux"), arch);
    }
    let clone = space.path("clone");
    git(&clone, &["init", "-q", "-b", "main"]);
    git(&clone, &["commit", "-q", "--allow-empty", "-m", "Begin"]);
    let digest = crate::support::fake::digest_of("image");
    let path = std::env::var("PATH").unwrap();
    let pushed = Command::new(&script)
        .args(["registry.example/nix-oci-hashes", "1.2.3"])
        .env("PATH", format!("{}:{path}", space.path("bin").display()))
        .env("DOCKER_LOG", space.path("log"))
        .env("DIGEST", &digest)
        .output()
        .unwrap();
    let pushed = String::from_utf8(pushed.stdout).unwrap();
    assert_eq!(pushed, format!("digest={digest}\n"));
    assert_eq!(space.read("clone/dist/amd64/nix-oci-hashes"), "x86_64");
    assert_eq!(space.read("clone/dist/arm64/nix-oci-hashes"), "aarch64");
    let log = space.read("log");
    for part in [
        "--platform linux/amd64,linux/arm64",
        "--tag registry.example/nix-oci-hashes:1.2.3",
        "--tag registry.example/nix-oci-hashes:latest",
        "--push .",
    ] {
        assert!(log.contains(part), "{log}");
    }
}

#[test]
fn only_the_files_of_a_refresh_are_taken_from_another_job() {
    let repository = Repository::new();
    let space = &repository.0;
    let clone = space.path("clone");
    for (file, content) in [
        ("digests.json", "new\n"),
        ("review", ""),
        ("manifests/sha256-a.json", "{}"),
        ("manifests/run", "evil"),
        ("scripts/propose-refresh", "evil"),
        (".git/hooks/pre-commit", "evil"),
    ] {
        space.write(&format!("job/{file}"), content);
    }
    std::os::unix::fs::symlink("/etc/passwd", space.path("job/report.md")).unwrap();
    space.write("clone/pending.json", "of an earlier run\n");
    let table = space.path("table.tar");
    let mut tar = Command::new("tar");
    tar.args(["--create", "--directory"]).arg(space.path("job"));
    Outcome::of(tar.arg("--file").arg(&table).arg(".")).code(0);
    let mut unpack = Command::new(project().join("scripts/unpack-table"));
    Outcome::of(unpack.arg(&table).current_dir(&clone)).code(0);
    let status = git(&clone, &["status", "--porcelain", "--untracked-files=all"]);
    let expected = " M digests.json\n?? manifests/sha256-a.json\n?? review";
    assert_eq!(status.trim_end(), expected);
    assert!(!clone.join(".git/hooks/pre-commit").exists());
}
