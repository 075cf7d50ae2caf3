//! `diff` and `history`: tables of the past, and containers of generations.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::fake::digest_of;
use crate::support::{Workspace, git};

/// A table of `docker.io/app`, with the content that each tag points to.
fn table(tags: &[(&str, &str)]) -> String {
    let pins = tags.iter().map(|(tag, content)| {
        let digest = digest_of(content);
        let platform = digest_of(&format!("{content} amd64"));
        let pin = json!({ "digest": digest, "platforms": { "linux/amd64": platform } });
        ((*tag).to_owned(), pin)
    });
    let pins: serde_json::Map<String, Value> = pins.collect();
    json!({ "version": 1, "images": { "docker.io/app": pins } }).to_string()
}

fn short(content: &str) -> String {
    digest_of(content)["sha256:".len()..][..12].to_owned()
}

fn commit(workspace: &Workspace, tags: &[(&str, &str)]) {
    workspace.write("digests.json", table(tags));
    let folder = workspace.path("");
    git(&folder, &["add", "-A"]);
    git(&folder, &["commit", "-qm", "Refresh"]);
}

/// A repository whose table has changed twice.
fn repository() -> Workspace {
    let workspace = Workspace::tracking(r#"[{ "image": "docker.io/app" }]"#);
    git(&workspace.path(""), &["init", "-q", "-b", "main"]);
    commit(&workspace, &[("1", "a"), ("1.2.3", "a")]);
    commit(&workspace, &[("1", "b"), ("1.2.3", "a"), ("1.2.4", "b")]);
    commit(&workspace, &[("1", "b"), ("1.2.3", "c"), ("1.2.4", "b")]);
    workspace
}

#[test]
fn diff_compares_files_and_revisions_in_the_words_of_a_report() {
    let workspace = repository();
    workspace.write("other.json", table(&[("1", "b")]));
    let expected = format!(
        "moved      docker.io/app:1      {a} -> {b}\n\
         re-pushed  docker.io/app:1.2.3  {a} -> {c}, though it is a full version\n\
         added      docker.io/app:1.2.4  {b}\n\
         1 added, 1 moved, 0 removed, 0 kept, 1 re-pushed: HEAD~2 -> digests.json\n",
        a = short("a"),
        b = short("b"),
        c = short("c"),
    );
    let outcome = workspace.run(&["diff", "HEAD~2"]).code(0);
    assert_eq!(outcome.stdout, expected);
    let outcome = workspace.run(&["diff", "HEAD~1", "other.json"]).code(0);
    let removed = format!(
        "removed  docker.io/app:1.2.3  {}\nremoved  docker.io/app:1.2.4  {}\n",
        short("a"),
        short("b")
    );
    assert!(outcome.stdout.starts_with(&removed), "{outcome:#?}");
    // Without arguments: what is not committed yet.
    let outcome = workspace.run(&["diff"]).code(0);
    let nothing = "0 added, 0 moved, 0 removed, 3 kept: HEAD -> digests.json\n";
    assert_eq!(outcome.stdout, nothing);

    let outcome = workspace.run(&["diff", "HEAD~2", "--json"]).code(0);
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(report["counts"]["repushed"], 1);
    assert_eq!(report["outcome"], "not-up-to-date");
    let outcome = workspace.run(&["diff", "HEAD~2", "--markdown"]).code(0);
    assert!(outcome.stdout.contains("### 1 re-pushed"), "{outcome:#?}");
}

#[test]
fn diff_names_what_an_argument_may_be() {
    let workspace = repository();
    for (arguments, message) in [
        (
            &["diff", "nope"][..],
            "nope is no file, no generation, and no git revision of digests.json: git: ",
        ),
        (
            &["diff", "."],
            "the module nixosModules.default writes it, so name a generation that has it",
        ),
    ] {
        workspace.run(arguments).code(1).error(message);
    }
    let outside = Workspace::tracking("[]");
    outside.write("digests.json", table(&[]));
    outside.run(&["diff"]).code(1).error("git: ");
}

fn generation(workspace: &Workspace, name: &str, containers: &Value) {
    let file = json!({ "version": 1, "containers": containers });
    let path = Path::new(name).join("etc/nix-oci-hashes/containers.json");
    workspace.write(path.to_str().unwrap(), file.to_string());
}

#[test]
fn diff_says_what_an_update_does_to_the_containers_of_a_machine() {
    let workspace = Workspace::new();
    let of = |tag: &str, content: &str| format!("docker.io/app:{tag}@{}", digest_of(content));
    let old = json!({ "a": of("1", "a"), "b": of("1.2.3", "a"), "c": of("1", "a"), "same": of("2", "x") });
    let new = json!({
        "a": of("1", "b"), "b": of("1.2.4", "b"), "new": of("1.2.4", "b"), "same": of("2", "x"),
    });
    generation(&workspace, "system-41-link", &old);
    generation(&workspace, "system-42-link", &new);
    let arguments = ["diff", "system-41-link", "system-42-link"];
    let outcome = workspace.run(&arguments).code(0);
    assert_eq!(
        outcome.stdout,
        format!(
            "moved    a    docker.io/app:1, {a} -> {b}\n\
             moved    b    docker.io/app:1.2.3 -> 1.2.4, {a} -> {b}\n\
             removed  c    docker.io/app:1, {a}\n\
             added    new  docker.io/app:1.2.4, {b}\n\
             1 added, 2 moved, 1 removed, 1 kept: system-41-link -> system-42-link\n",
            a = short("a"),
            b = short("b"),
        )
    );
    let outcome = workspace.run(&[&arguments[..], &["--json"]].concat());
    let report: Value = serde_json::from_str(&outcome.code(0).stdout).unwrap();
    assert_eq!(report["changes"][1]["kind"], "moved");
    assert_eq!(report["changes"][1]["new"], of("1.2.4", "b"));
    let outcome = workspace.run(&[&arguments[..], &["--markdown"]].concat());
    assert!(outcome.code(0).stdout.contains("| moved | `a` |"));

    // The same full version with another digest.
    generation(&workspace, "again", &json!({ "b": of("1.2.3", "b") }));
    let outcome = workspace.run(&["diff", "system-41-link", "again"]).code(0);
    assert!(outcome.stdout.contains("re-pushed  b"), "{outcome:#?}");
    workspace.write("digests.json", table(&[]));
    workspace
        .run(&["diff", "system-41-link", "digests.json"])
        .code(1)
        .error("name two tables or two generations");
}

#[test]
fn history_says_when_a_tag_pointed_where() {
    let workspace = repository();
    let outcome = workspace.run(&["history", "app:1.2.3"]).code(0);
    let lines: Vec<Vec<&str>> = outcome
        .stdout
        .lines()
        .map(|line| line.splitn(5, "  ").collect())
        .collect();
    let expected = [["re-pushed", "1.2.3"], ["added    ", "1.2.3"]];
    assert_eq!(lines.len(), 2, "{outcome:#?}");
    for (line, [word, tag]) in lines.iter().zip(expected) {
        assert_eq!(line[2].trim(), word.trim(), "{outcome:#?}");
        assert!(outcome.stdout.contains(tag));
    }
    let outcome = workspace.run(&["history", "app", "--json"]).code(0);
    let events: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let events: Vec<String> = events
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            format!(
                "{} {}",
                event["kind"].as_str().unwrap(),
                event["tag"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        events,
        [
            "re-pushed 1.2.3",
            "added 1.2.4",
            "moved 1",
            "added 1.2.3",
            "added 1"
        ]
    );
    workspace
        .run(&["history", "nextcloud:34"])
        .code(1)
        .error("docker.io/nextcloud:34 was never pinned in digests.json");
}

#[test]
fn a_commit_message_says_what_has_changed() {
    let workspace = repository();
    let message = |old: &str| {
        let arguments = ["diff", old, "--commit-message"];
        workspace.run(&arguments).code(0).stdout
    };
    assert_eq!(
        message("HEAD~2"),
        "app 1.2.3 -> 1.2.4\n\n\
         docker.io/app: 1.2.3 -> 1.2.4; moved 1; re-pushed 1.2.3; added 1.2.4\n"
    );
    assert_eq!(
        message("HEAD~1"),
        "app:1.2.3 re-pushed\n\ndocker.io/app: re-pushed 1.2.3\n"
    );
    assert_eq!(message("HEAD"), "Refresh the pins\n");
    // The first table.
    git(&workspace.path(""), &["checkout", "-q", "--orphan", "new"]);
    git(
        &workspace.path(""),
        &["rm", "-q", "--cached", "digests.json"],
    );
    git(&workspace.path(""), &["commit", "-qm", "Begin"]);
    assert!(message("HEAD").starts_with("app 1.2.4 added\n\n"));
}

#[test]
fn a_commit_message_stays_short() {
    let workspace = Workspace::new();
    let images = |of: &str| {
        let pins = |i: i32| {
            let tag = |n: i32| (format!("{n}.0.{i}"), json!({ "digest": digest_of(of) }));
            (0..20).map(tag).collect::<serde_json::Map<_, _>>()
        };
        let images = (0..300).map(|i| {
            (
                format!("docker.io/{}/app{i:03}", "o".repeat(90)),
                pins(i).into(),
            )
        });
        let images: serde_json::Map<String, Value> = images.collect();
        json!({ "version": 1, "images": images }).to_string()
    };
    workspace.write("old.json", images("a"));
    workspace.write("new.json", images("b"));
    let arguments = ["diff", "old.json", "new.json", "--commit-message"];
    let message = workspace.run(&arguments).code(0).stdout;
    let subject = message.lines().next().unwrap();
    assert_eq!(subject, "20 tags of app000, and 299 more");
    assert!(message.len() < 21_000, "{}", message.len());
    assert!(message.contains(" and 12 more\n"), "{message}");
    assert!(message.ends_with(" more images\n"), "{message}");
}

/// The newest line is what is pinned, also where branches were merged.
#[test]
fn history_follows_the_branch_through_merges() {
    let workspace = repository();
    let folder = workspace.path("");
    git(&folder, &["checkout", "-qb", "side", "HEAD~1"]);
    commit(&workspace, &[("1", "side")]);
    git(&folder, &["checkout", "-q", "main"]);
    git(
        &folder,
        &["merge", "-q", "-s", "ours", "--no-commit", "side"],
    );
    commit(
        &workspace,
        &[("1", "merged"), ("1.2.3", "c"), ("1.2.4", "b")],
    );
    let outcome = workspace.run(&["history", "app:1"]).code(0);
    let ends: Vec<String> = outcome
        .stdout
        .lines()
        .map(|line| line.rsplit("  ").next().unwrap().to_owned())
        .collect();
    let moved = |old: &str, new: &str| format!("{} -> {}", short(old), short(new));
    assert_eq!(ends, [moved("b", "merged"), moved("a", "b"), short("a")]);
}

#[test]
fn diff_says_where_there_was_no_table() {
    let workspace = repository();
    let flags = ["diff", "--digests", "typo.json", "HEAD~1", "HEAD"];
    workspace.write("typo.json", table(&[]));
    let outcome = workspace.run(&flags).code(1);
    assert!(
        outcome.stderr.contains("HEAD has no typo.json"),
        "{outcome:#?}"
    );
    let outcome = workspace.run(&["diff", "--digests", "typo.json"]).code(0);
    let note = "note: there was no typo.json then: all pins are new\n";
    assert_eq!(outcome.stderr, note);
}

/// What each line of `history` says has happened, and to which tag.
fn history(workspace: &Workspace, arguments: &[&str]) -> Vec<String> {
    let arguments = [&["history"], arguments].concat();
    let outcome = workspace.run(&arguments).code(0);
    let words = outcome.stdout.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().skip(2).take(2).collect();
        words.join(" ")
    });
    words.collect()
}

#[test]
fn history_follows_a_table_that_was_moved_and_not_one_that_was_copied() {
    let workspace = repository();
    let folder = workspace.path("");
    std::fs::create_dir(workspace.path("laptop")).unwrap();
    let tags = [("1", "b"), ("1.2.3", "c")];
    workspace.write("laptop/digests.json", table(&tags));
    git(&folder, &["add", "-A"]);
    git(&folder, &["commit", "-qm", "Add the laptop"]);
    let copy = history(&workspace, &["app", "--digests", "laptop/digests.json"]);
    assert_eq!(copy, ["added 1.2.3", "added 1"]);
    let before = history(&workspace, &["app"]);
    git(&folder, &["mv", "digests.json", "server.json"]);
    git(&folder, &["commit", "-qm", "Name it after the server"]);
    assert_eq!(
        history(&workspace, &["app", "--digests", "server.json"]),
        before
    );
}

#[test]
fn history_follows_a_table_that_left_a_link_or_was_restored() {
    let workspace = repository();
    let folder = workspace.path("");
    let before = history(&workspace, &["app"]);
    std::fs::create_dir(workspace.path("pins")).unwrap();
    git(&folder, &["mv", "digests.json", "pins/digests.json"]);
    std::os::unix::fs::symlink("pins/digests.json", workspace.path("digests.json")).unwrap();
    git(&folder, &["add", "-A"]);
    git(&folder, &["commit", "-qm", "Move the table"]);
    let table = ["--digests", "pins/digests.json"];
    assert_eq!(
        history(&workspace, &[&["app"], &table[..]].concat()),
        before
    );

    let text = workspace.read("pins/digests.json");
    workspace.write("backup.json", &text);
    git(&folder, &["rm", "-q", "pins/digests.json"]);
    git(&folder, &["add", "-A"]);
    git(&folder, &["commit", "-qm", "Lose it"]);
    std::fs::create_dir_all(workspace.path("pins")).unwrap();
    workspace.write("pins/digests.json", &text);
    git(&folder, &["add", "-A"]);
    git(&folder, &["commit", "-qm", "Restore it"]);
    let of_tag = history(&workspace, &[&["app:1"], &table[..]].concat());
    assert_eq!(of_tag, ["added 1", "removed 1", "moved 1", "added 1"]);
}

#[test]
fn history_says_that_a_table_was_removed() {
    let workspace = repository();
    let folder = workspace.path("");
    git(&folder, &["config", "log.showRoot", "false"]);
    git(&folder, &["rm", "-q", "digests.json"]);
    git(&folder, &["commit", "-qm", "Remove the table"]);
    assert_eq!(
        history(&workspace, &["app:1"]),
        ["removed 1", "moved 1", "added 1"]
    );
}

#[test]
fn a_past_that_git_cannot_read_is_an_error() {
    let workspace = repository();
    let origin = workspace.path("");
    git(&origin, &["config", "uploadpack.allowFilter", "true"]);
    let clone = Workspace::new();
    let url = format!("file://{}", origin.display());
    git(
        &clone.path(""),
        &["clone", "-q", "--filter=blob:none", &url, "."],
    );
    std::fs::rename(workspace.path(".git"), workspace.path("gone")).unwrap();
    for arguments in [
        &["history", "docker.io/app"][..],
        &["site", "--output", "site"],
        &["diff", "HEAD~2"],
    ] {
        let outcome = clone.run(arguments).code(1);
        assert!(outcome.stderr.contains("error: "), "{outcome:#?}");
        assert!(outcome.stderr.contains("git"), "{outcome:#?}");
    }
}

#[test]
fn diff_takes_a_pipe_and_no_table_that_is_not_there() {
    let workspace = repository();
    workspace.write("other.json", table(&[("1", "b")]));
    let script = "exec \"$0\" diff <(cat other.json) digests.json";
    let command = env!("CARGO_BIN_EXE_nix-oci-hashes");
    let mut bash = std::process::Command::new("bash");
    bash.current_dir(workspace.path(""))
        .args(["-c", script, command]);
    let outcome = crate::support::Outcome::of(&mut bash).code(0);
    assert!(outcome.stdout.contains("2 added"), "{outcome:#?}");
    let arguments = ["diff", "--digests", "typo.json"];
    let outcome = workspace.run(&arguments).code(1);
    assert!(
        outcome.stderr.contains("typo.json: there is no such file"),
        "{outcome:#?}"
    );
}
