//! Runs the shell blocks and consoles of the documentation unchanged.
use crate::support::docs::blocks_of_kind;
use crate::support::shell::Shell;
use crate::support::{Clone, Outcome, git, without_digests};

#[test]
fn shell_blocks_run() {
    let shell = Shell::new();
    let clone = Clone::of_the_project();
    let own_table = blocks_of_kind("sh");
    let own_table = own_table
        .iter()
        .find(|b| b.page == "docs/your-own-table.md");
    let own_table = shell.folder(own_table.unwrap());
    for block in blocks_of_kind("sh") {
        println!("{}", block.name());
        // The blocks of these pages build on each other, so they share a folder.
        let fresh = shell.folder(&block);
        let folder = match &*block.page {
            "CONTRIBUTING.md" => clone.path(),
            "docs/your-own-table.md" => &own_table.path(""),
            _ => &fresh.path(""),
        };
        let mut command = shell.command(folder, &block.text);
        // A user has configured a name in git.
        command.env("GIT_CONFIG_GLOBAL", shell.bin.path("gitconfig"));
        let outcome = Outcome::of(&mut command);
        assert_eq!(outcome.code, Some(0), "{}: {outcome:#?}", block.name());
    }
    // The blocks of docs/your-own-table.md have pinned these images.
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
fn consoles_show_the_printed_lines_and_exit_codes() {
    let shell = Shell::new();
    for block in blocks_of_kind("console") {
        let name = block.name();
        let folder = shell.folder(&block);
        for part in block.text.split("$ ").skip(1) {
            let (line, expected) = part.split_once('\n').unwrap();
            let outcome = Outcome::of(&mut shell.command(&folder.path(""), line));
            let code = if expected.lines().any(|line| line.starts_with("error:")) {
                1
            } else if outcome.stdout.ends_with("is not up to date\n") {
                3
            } else {
                0
            };
            assert_eq!(outcome.code, Some(code), "{name}: {outcome:#?}");
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
