//! `site`: what is written, and what is refused. `tests/system/site.rs` looks at the pages
//! in a browser.

use serde_json::json;

use crate::support::fake::digest_of;
use crate::support::{Workspace, git, project};

const PAGE: &str = "site/images/docker.io/app/index.html";

fn table(content: &str) -> String {
    let pins = json!({ "latest": { "digest": digest_of(content) } });
    json!({ "version": 1, "images": { "docker.io/app": pins } }).to_string()
}

fn workspace() -> Workspace {
    let workspace = Workspace::tracking(r#"[{ "image": "docker.io/app" }]"#);
    workspace.write("digests.json", table("a"));
    workspace
}

fn commit(workspace: &Workspace, content: &str) {
    workspace.write("digests.json", table(content));
    let folder = workspace.path("");
    git(&folder, &["add", "digests.json", "images.json"]);
    git(&folder, &["commit", "-qm", "Refresh"]);
}

#[test]
fn site_writes_into_a_new_folder_only() {
    let workspace = workspace();
    let built = workspace.run(&["site", "--output", "site"]).code(0);
    let expected = "images: 1, tags: 1; open site/index.html\n";
    assert_eq!(built.stdout, expected);
    let again = workspace.run(&["site", "--output", "site"]).code(1);
    let expected = "error: site: this folder is not empty; name a new folder, or remove it\n";
    assert_eq!(again.stderr, expected);
    let file = workspace.run(&["site", "--output", "digests.json"]).code(1);
    let expected = "error: digests.json: this is a file; name a new folder\n";
    assert_eq!(file.stderr, expected);
}

#[test]
fn the_table_is_part_of_the_site_in_canonical_form() {
    let workspace = workspace();
    workspace.run(&["site", "--output", "site"]).code(0);
    workspace
        .run(&["merge", "digests.json", "--output", "merged.json"])
        .code(0);
    let table = workspace.read("site/digests.json");
    assert_eq!(table, workspace.read("merged.json"));
}

#[test]
fn without_git_there_is_no_history() {
    let workspace = workspace();
    workspace.run(&["site", "--output", "site"]).code(0);
    assert!(!workspace.read(PAGE).contains("History"));
    assert!(
        !workspace
            .path("site/images/docker.io/app/atom.xml")
            .exists()
    );
}

#[test]
fn an_image_that_waits_for_its_first_refresh_has_a_page() {
    let workspace = Workspace::tracking(r#"[{ "image": "docker.io/app", "minimumAge": "3d" }]"#);
    workspace.run(&["site", "--output", "site"]).code(0);
    let page = workspace.read(PAGE);
    assert!(page.contains("No tag is pinned yet"), "{page}");
    assert!(
        page.contains("once refreshes have seen them for 3d"),
        "{page}"
    );
}

#[test]
fn nothing_to_show_is_an_error() {
    let workspace = Workspace::new();
    let outcome = workspace.run(&["site", "--output", "site"]).code(1);
    let expected = "error: there is no image yet; track one with 'nix-oci-hashes add IMAGE'\n";
    assert_eq!(outcome.stderr, expected);
    assert!(!workspace.path("site").exists());
}

#[test]
fn a_page_is_never_replaced_by_that_of_another_image() {
    let workspace = Workspace::tracking(
        r#"[{ "image": "docker.io/app" }, { "image": "docker.io/app/index.html" }]"#,
    );
    let outcome = workspace.run(&["site", "--output", "site"]).code(1);
    assert!(outcome.stderr.contains("cannot be written"), "{outcome:#?}");
}

#[test]
fn the_lines_for_the_table_of_this_repository_need_not_name_it() {
    let workspace = Workspace::new();
    let digests = project().join("digests.json");
    let digests = digests.to_str().unwrap();
    workspace
        .run(&["site", "--output", "site", "--digests", digests])
        .code(0);
    let page = workspace.read("site/images/docker.io/nextcloud/index.html");
    assert!(!page.contains("digests = ./digests.json"), "{page}");
    assert!(
        page.contains("builtins.ociHash &#34;docker.io/nextcloud:<"),
        "{page}"
    );
}

#[test]
fn a_shallow_clone_claims_nothing_of_what_it_does_not_know() {
    let workspace = workspace();
    git(&workspace.path(""), &["init", "-q", "-b", "main"]);
    for content in ["a", "b", "c"] {
        commit(&workspace, content);
    }
    let url = format!("file://{}", workspace.path("").display());
    let clone = Workspace::new();
    git(&clone.path(""), &["clone", "-q", "--depth", "2", &url, "."]);
    let outcome = clone.run(&["history", "docker.io/app"]).code(0);
    assert_eq!(outcome.stdout.lines().count(), 1, "{outcome:#?}");
    assert!(outcome.stdout.contains("moved"), "{outcome:#?}");
    assert!(
        outcome.stderr.contains("git fetch --unshallow"),
        "{outcome:#?}"
    );
    clone.run(&["site", "--output", "site"]).code(0);
    let page = clone.read(PAGE);
    assert!(page.contains("moved") && !page.contains("added"), "{page}");

    let clone = Workspace::new();
    git(&clone.path(""), &["clone", "-q", "--depth", "1", &url, "."]);
    let outcome = clone.run(&["history", "docker.io/app"]).code(1);
    assert!(
        outcome.stderr.contains("no changes in this clone"),
        "{outcome:#?}"
    );
}
