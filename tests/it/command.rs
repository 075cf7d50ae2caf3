//! The command line, without a registry.
use std::process::{Command, Stdio};

use crate::support::{Workspace, nextcloud_34};

const NEXTCLOUD: &str = r#"[{ "image": "docker.io/nextcloud" }]"#;

/// A table that is not in canonical form, so that any write changes the file.
const OLD: &str = "{ \"version\": 1, \"images\": { \"docker.io/nextcloud\": {} } }";

#[test]
fn lookup_answers_from_the_built_in_table() {
    let workspace = Workspace::new();
    let outcome = workspace.run(&["lookup", "nextcloud:34"]).code(0);
    assert_eq!(outcome.stdout, format!("{}\n", nextcloud_34(None)));
    let outcome = workspace
        .run(&[
            "lookup",
            "docker.io/nextcloud:34",
            "--platform",
            "aarch64-linux",
        ])
        .code(0);
    let arm64 = nextcloud_34(Some("linux/arm64"));
    assert_eq!(outcome.stdout, format!("{arm64}\n"));
}

#[test]
fn lookup_prefers_the_local_table_and_accepts_the_digests_flag() {
    let workspace = Workspace::new();
    let digest = format!("sha256:{}", "12".repeat(32));
    let table = format!(
        r#"{{ "version": 1, "images": {{ "docker.io/a": {{ "1": {{ "digest": "{digest}" }} }} }} }}"#
    );
    workspace.write("digests.json", &table);
    let answer = format!("docker.io/a:1@{digest}\n");
    assert_eq!(workspace.run(&["lookup", "a:1"]).code(0).stdout, answer);
    workspace.write("other.json", &table);
    workspace.write("digests.json", OLD);
    let arguments = ["lookup", "a:1", "--digests", "other.json"];
    assert_eq!(workspace.run(&arguments).code(0).stdout, answer);
}

#[test]
fn lookup_misses_name_alternatives() {
    let workspace = Workspace::new();
    for (reference, message) in [
        (
            "nextclud:34",
            "docker.io/nextclud is not tracked; did you mean docker.io/nextcloud? To track it, run 'nix-oci-hashes add",
        ),
        ("nextcloud:99", "no pinned tag '99'; pinned are "),
        ("", "invalid image reference ''"),
        ("a b", "invalid image reference 'a b'"),
        ("Nextcloud:34", "did you mean 'nextcloud'?"),
    ] {
        workspace.run(&["lookup", reference]).code(1).error(message);
    }
    workspace.write("digests.json", OLD);
    workspace
        .run(&["lookup", "nextcloud:34"])
        .code(1)
        .error("docker.io/nextcloud is tracked but not pinned yet; run 'nix-oci-hashes refresh'");
}

#[test]
fn a_bad_table_is_one_error_and_stays_as_it_is() {
    for (content, message) in [
        ("", "digests.json: the file is empty"),
        ("{ \"version\": 1,", "digests.json:1:15: EOF while parsing"),
        ("[]", "digests.json:1:"),
        (
            "{ \"version\": 1, \"images\": { \"a\": {}, \"a\": {} } }",
            "duplicate key 'docker.io/a'",
        ),
        (
            "{ \"version\": 1, \"images\": {}, \"extra\": 0 }",
            "unknown field `extra`",
        ),
        (
            "{ \"version\": 1, \"images\": { \"a\": { \"1\": { \"digest\": \"sha256:1\" } } } }",
            "invalid digest 'sha256:1'",
        ),
        (
            "{ \"version\": 1, \"images\": { \"A\": {} } }",
            "invalid image reference 'A'",
        ),
        (&"[".repeat(10_000_000), "digests.json:1:"),
    ] {
        let workspace = Workspace::tracking(NEXTCLOUD);
        workspace.write("digests.json", content);
        for arguments in [
            &["refresh"][..],
            &["refresh", "--check"],
            &["lookup", "a:1"],
        ] {
            workspace.run(arguments).code(1).error(message);
        }
        assert_eq!(workspace.read("digests.json"), content);
        assert_eq!(workspace.files(), ["digests.json", "images.json"]);
    }
}

#[test]
fn bad_tracked_images_are_one_error_and_the_table_stays() {
    for (content, message) in [
        ("", "images.json: the file is empty"),
        ("[", "images.json:1:1: EOF while parsing"),
        ("{}", "expected a list of images"),
        (
            "[{ \"image\": \"docker.io/a\", \"tag\": \"1\" }]",
            "images.json:1:32: unknown field `tag`",
        ),
        (
            "[{ \"image\": \"docker.io/a\" },\n { \"image\": \"docker.io/library/a\" }]",
            "images.json:2:",
        ),
        (
            "[{ \"image\": \"docker.io/A\" }]",
            "did you mean 'docker.io/a'",
        ),
        (
            "[{ \"image\": \"docker.io/a\", \"strategies\": { \"major\": \">=x\" } }]",
            "invalid version requirement '>=x'",
        ),
        (&"[".repeat(10_000_000), "images.json:1:"),
    ] {
        let workspace = Workspace::tracking(content);
        workspace.write("digests.json", OLD);
        workspace.run(&["refresh"]).code(1).error(message);
        assert_eq!(workspace.read("digests.json"), OLD);
    }
}

#[test]
fn missing_files_are_named() {
    let workspace = Workspace::new();
    workspace
        .run(&["refresh"])
        .code(1)
        .error("images.json: No such file or directory; create it with 'nix-oci-hashes add docker.io/nextcloud'");
    workspace
        .run(&["lookup", "a:1", "--digests", "nowhere.json"])
        .code(1)
        .error("nowhere.json: No such file or directory; run 'nix-oci-hashes refresh'");
    assert!(workspace.files().is_empty());
    workspace.write("images.json", NEXTCLOUD);
    workspace
        .run(&["refresh", "--digests", "nowhere/digests.json"])
        .code(1)
        .error("nowhere/digests.json: its folder does not exist; create it first");
}

#[test]
fn bad_flags_end_with_1_and_help_with_0() {
    let workspace = Workspace::new();
    for arguments in [
        &["refresh", "--nonsense"][..],
        &["refresh", "--jobs", "0"],
        &["lookup"],
        &["lookup", "a:1", "--platform", "amd64"],
        &["nonsense"],
        &[],
    ] {
        let outcome = workspace.run(arguments).code(1);
        assert!(!outcome.stderr.is_empty(), "{outcome:#?}");
    }
    let help = workspace.run(&["refresh", "--help"]).code(0).stdout;
    assert!(help.contains("--insecure-registry"), "{help}");
    let version = workspace.run(&["--version"]).code(0).stdout;
    assert_eq!(
        version,
        concat!("nix-oci-hashes ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn nothing_tracked_is_an_empty_table() {
    let workspace = Workspace::tracking("[]");
    workspace.write("digests.json", OLD);
    let outcome = workspace.run(&["refresh", "--check"]).code(3);
    assert_eq!(
        outcome.stdout,
        "0 added, 0 moved, 0 removed, 0 kept: digests.json is not up to date\n"
    );
    assert_eq!(workspace.read("digests.json"), OLD);
    workspace.run(&["refresh"]).code(0);
    assert_eq!(workspace.table()["images"], serde_json::json!({}));
    workspace.run(&["refresh", "--check"]).code(0);
}

#[test]
fn a_full_output_is_an_error_and_a_closed_pipe_is_not() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    let lookup = |stdout: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nix-oci-hashes"));
        command.args(["lookup", "nextcloud:34"]).stdout(stdout);
        command.output().unwrap()
    };
    let outcome = lookup(full.into());
    assert_eq!(outcome.status.code(), Some(1));
    let message = String::from_utf8(outcome.stderr).unwrap();
    assert!(
        message.starts_with("error: cannot write to standard output: No space left"),
        "{message}"
    );
    let outcome = lookup(closed.into());
    assert_eq!(outcome.status.code(), Some(0));
    assert_eq!(outcome.stderr, b"");
}

#[test]
fn manual_pages_are_written_for_packages() {
    let workspace = Workspace::new();
    workspace.run(&["manual", "."]).code(0);
    let pages = workspace.files();
    assert!(
        pages.contains(&"nix-oci-hashes-refresh.1".to_owned()),
        "{pages:?}"
    );
    let page = workspace.read("nix-oci-hashes.1");
    assert!(page.contains("nix\\-oci\\-hashes\\-lookup(1)"), "{page}");
    // This verb is for packagers, so the manual and the help do not list it.
    assert!(!page.contains("manual(1)"), "{page}");
    assert!(!workspace.run(&["--help"]).code(0).stdout.contains("manual"));
    let error = workspace.run(&["manual", "missing"]).code(1);
    error.error(
        "cannot write the manual pages to missing: No such file or directory; name a folder",
    );
}
