//! The verbs other than refresh and lookup.
use crate::support::fake::{Fake, digest_of, index, two_platform_index};
use crate::support::server::FakeResponse;
use crate::support::{Clone, Outcome, Workspace, committed_table};
use serde_json::{Value, json};

fn run(workspace: &Workspace, arguments: &[&str]) -> Outcome {
    workspace.run(arguments)
}

/// A registry whose image has these tags, each for linux/amd64 and linux/arm64.
fn registry_with_tags(tags: &[&str]) -> Fake {
    let fake = Fake::start();
    fake.tags(tags);
    for tag in tags {
        fake.head(tag, &digest_of(&two_platform_index()));
    }
    fake.manifest(&digest_of(&two_platform_index()), &two_platform_index());
    fake
}

#[test]
fn add_finds_platforms_and_versions_and_pins_them() {
    let fake = registry_with_tags(&["1", "1.2", "1.2.3", "1.2.4", "2.0.0-rc1", "latest", "edge"]);
    let workspace = Workspace::new();
    let outcome = run(&workspace, &["add", &fake.image()]).code(0);
    let entry = format!(
        "{{\n    \"image\": \"{}\",\n    \"platforms\": [\"linux/amd64\", \"linux/arm64\"],\n    \"tags\": [\"latest\"]\n  }}",
        fake.image()
    );
    let line = entry.split_whitespace().collect::<Vec<_>>().join(" ");
    let written = workspace.read("images.json");
    assert!(
        written == format!("[\n  {entry}\n]\n") || written == format!("[\n  {line}\n]\n"),
        "{written}"
    );
    assert!(
        outcome
            .stdout
            .ends_with("5 added, 0 moved, 0 removed, 0 kept: digests.json written\n"),
        "{outcome:#?}"
    );
    let table = workspace.table();
    let pins = table["images"][fake.image()].as_object().unwrap();
    assert_eq!(
        pins.len(),
        5,
        "a prerelease and 'edge' are skipped: {pins:?}"
    );
    assert_eq!(workspace.files(), ["digests.json", "images.json"]);
    run(&workspace, &["check"]).code(0);

    let outcome = run(&workspace, &["add", &fake.image()]).code(1);
    outcome.error("is tracked already; change its entry in images.json");
    let outcome = run(&workspace, &["remove", &fake.image()]).code(0);
    assert!(
        outcome.stdout.contains("removed, with 5 pins"),
        "{outcome:#?}"
    );
    assert_eq!(workspace.read("images.json"), "[]\n");
    assert_eq!(workspace.table()["images"], json!({}));
    run(&workspace, &["remove", &fake.image()])
        .code(1)
        .error("is not tracked; 'nix-oci-hashes list' shows");
}

/// A registry with the tags of linuxserver's qbittorrent, where 5.2.3 is `latest`.
fn qbittorrent() -> (Fake, usize) {
    let lists = include_str!("../cases/linuxserver.json");
    let lists: Value = serde_json::from_str(lists).unwrap();
    let tags = lists["images"]["docker.io/linuxserver/qbittorrent"]
        .as_array()
        .unwrap();
    let mut tags: Vec<&str> = tags.iter().map(|tag| tag.as_str().unwrap()).collect();
    if !tags.contains(&"latest") {
        tags.push("latest");
    }
    let fake = Fake::start();
    fake.tags(&tags);
    for tag in ["5.2.3", "latest"] {
        fake.head(tag, &digest_of(&two_platform_index()));
    }
    let old = index(&[("linux", "amd64"), ("linux", "arm64"), ("linux", "arm")]);
    for body in [&two_platform_index(), &old] {
        fake.manifest(&digest_of(body), body);
    }
    let other = FakeResponse::status(200).with_header("docker-content-digest", &digest_of(&old));
    fake.rule(move |request| {
        let is_tag = request.path.starts_with("/v2/app/manifests/");
        (request.method == "HEAD" && is_tag).then(|| other.clone())
    });
    (fake, tags.len())
}

#[test]
fn add_follows_the_version_of_latest_and_lists_skipped_tags() {
    let (fake, count) = qbittorrent();
    let workspace = Workspace::new();
    let outcome = run(&workspace, &["add", &fake.image()]).code(0);
    let written = workspace.read("images.json");
    let entry: Value = serde_json::from_str(&written).unwrap();
    assert_eq!(
        entry[0]["strategies"],
        json!({ "major-minor-patch": "<14" })
    );
    assert_eq!(entry[0]["keep"], json!(3));
    assert_eq!(entry[0]["tags"], json!(["latest"]));
    let pinned = workspace.table()["images"][fake.image()].clone();
    let pinned: Vec<&String> = pinned.as_object().unwrap().keys().collect();
    assert_eq!(pinned, ["5.2.1", "5.2.2", "5.2.3", "latest"]);
    for line in [
        "'latest' and 5.2.3 are the same image.",
        "5.2.3 5.2.2 5.2.1",
        "does not satisfy '<14' of 'major-minor-patch'",
        "20.04.1",
        "of other variants: ",
    ] {
        assert!(outcome.stdout.contains(line), "{}", outcome.stdout);
    }
    let heads = fake.requests();
    let heads = heads
        .iter()
        .filter(|request| request.method.as_str() == "HEAD")
        .count();
    assert!(
        count > 300 && heads <= 70,
        "{heads} of {count} tags got a HEAD request"
    );
}

#[test]
fn add_changes_nothing_else_in_the_file() {
    let fake = registry_with_tags(&["1.2.3"]);
    let workspace = Workspace::new();
    let old = "[\n    {\"image\":\"docker.io/a\",\n     \"keep\" : 2},\n\n    {\"image\":\"quay.io/z/z\"}\n]";
    workspace.write("images.json", old);
    workspace.write("digests.json", fake.old_table());
    run(
        &workspace,
        &["add", &fake.image(), "--platform", "x86_64-linux"],
    )
    .code(0);
    let entry = format!(
        "{{ \"image\": \"{}\", \"platforms\": [\"linux/amd64\"], \"strategies\": {{ \"major-minor-patch\": true }} }}",
        fake.image()
    );
    let fields = entry
        .replace("{ \"image", "{\n        \"image")
        .replace(", \"", ",\n        \"")
        .replace("true } }", "true }\n    }");
    assert_eq!(
        workspace.read("images.json"),
        old.replacen("[\n    ", &format!("[\n    {fields},\n\n    "), 1)
    );
    // Only the new image is pinned: the other images get no request.
    assert!(workspace.table()["images"][fake.image()]["1.2.3"].is_object());
}

#[test]
fn a_failed_add_explains_why_and_writes_nothing() {
    let fake = registry_with_tags(&["1.2.3"]);
    let words = registry_with_tags(&["pr-1", "commit-abc"]);
    let windows = Fake::start();
    windows.serve(&index(&[("windows", "amd64")]));
    let nothing = Fake::start();
    for (registry, arguments, message) in [
        (
            &fake,
            &["--platform", "linux/s390x"][..],
            "is not for linux/s390x; it is for linux/amd64, linux/arm64",
        ),
        (
            &words,
            &[],
            "has no version among its 2 tags: commit-abc, pr-1; write an entry yourself, such as",
        ),
        (&nothing, &[], "the registry has no image"),
    ] {
        let workspace = Workspace::new();
        let image = registry.image();
        let arguments = [&["add", &image, "--retries", "0"][..], arguments].concat();
        run(&workspace, &arguments).code(1).error(message);
        assert!(workspace.files().is_empty(), "{:?}", workspace.files());
    }
    // An image without the default platforms is tracked for the platform that it has.
    let workspace = Workspace::new();
    run(&workspace, &["add", &windows.image()]).code(0);
    assert!(
        workspace
            .read("images.json")
            .contains("[\"windows/amd64\"]")
    );
}

#[test]
fn resolve_asks_the_registry_and_not_the_table() {
    let fake = registry_with_tags(&["1", "latest"]);
    let workspace = fake.workspace();
    let image = fake.image();
    let (index, amd64) = (digest_of(&two_platform_index()), digest_of("amd64"));
    for (arguments, answer) in [
        (
            &[&*format!("{image}:1")][..],
            format!("{image}:1@{index}\n"),
        ),
        (&[&*image], format!("{image}:latest@{index}\n")),
        (
            &[&*format!("{image}:1"), "--platform", "x86_64-linux"],
            format!("{image}:1@{amd64}\n"),
        ),
        (
            &[&*format!("{image}:1@{index}")],
            format!("{image}:1@{index}\n"),
        ),
        (
            &[&*format!("{image}:1@{amd64}")],
            format!("{image}:1@{amd64}\n"),
        ),
        (
            &[&*format!("{image}@{index}"), "--platform", "linux/amd64"],
            format!("{image}@{index}\n"),
        ),
    ] {
        let outcome = run(&workspace, &[&["resolve"][..], arguments].concat()).code(0);
        assert_eq!(outcome.stdout, answer);
    }
    for (arguments, message) in [
        (&[&*format!("{image}:9")][..], "the registry has no tag"),
        (
            &[&*format!("{image}:1"), "--platform", "linux/s390x"],
            "is not for linux/s390x; it is for linux/amd64, linux/arm64",
        ),
        (
            &[&*format!("{image}@{}", digest_of("gone"))],
            "the registry has nothing of",
        ),
        (
            &[&*format!("{image}:1@{}", digest_of("other"))],
            "is not what the tag points to now, sha256:",
        ),
        (
            &[&*format!("{image}:1@{amd64}"), "--platform", "linux/arm64"],
            "is not what the tag points to now",
        ),
        (&["A B"], "invalid image reference 'A B'"),
        (&[&*format!("{image}:^9")], "the registry has no tag of"),
    ] {
        let outcome = run(
            &workspace,
            &[&["resolve", "--retries", "0"][..], arguments].concat(),
        )
        .code(1);
        assert!(outcome.stderr.contains(message), "{outcome:#?}");
    }
    assert_eq!(workspace.read("digests.json"), fake.old_table());
}

const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn list_shows_images_and_tags() {
    let workspace = Workspace::new();
    let outcome = workspace.run(&["list"]).code(0);
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    let images = committed_table()["images"].as_object().unwrap().len();
    assert_eq!(lines.len(), images + 1);
    assert!(lines[0].starts_with("IMAGE  "), "{}", lines[0]);
    let nextcloud = lines
        .iter()
        .find(|line| line.starts_with("docker.io/nextcloud "))
        .unwrap();
    let cells: Vec<&str> = nextcloud
        .split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect();
    let pinned = &committed_table()["images"]["docker.io/nextcloud"][cells[2]];
    assert!(pinned.is_object(), "{nextcloud}");
    assert_eq!(cells[3], "linux/amd64, linux/arm64", "{nextcloud}");

    let outcome = workspace.run(&["list", "nextcloud"]).code(0);
    let tags: Vec<&str> = outcome
        .stdout
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    let place = |tag: &str| tags.iter().position(|shown| *shown == tag);
    assert_eq!(place("TAG"), Some(0), "{tags:?}");
    assert!(
        place("33") < place("34") && place("34") < place("34.0.4"),
        "{tags:?}"
    );
    assert!(outcome.stdout.contains("sha256:"));

    let outcome = workspace.run(&["list", "--json"]).code(0);
    let list: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert!(list["docker.io/nextcloud"]["34"]["platforms"]["linux/amd64"].is_string());
    let outcome = workspace.run(&["list", "nextcloud", "--json"]).code(0);
    let list: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert!(list["34"]["digest"].is_string());
    workspace
        .run(&["list", "nextclud"])
        .code(1)
        .error("is not tracked");
    // The newest tag is chosen by version, not alphabetically.
    let pin = format!(r#"{{ "digest": "{DIGEST}" }}"#);
    workspace.write(
        "digests.json",
        format!(r#"{{ "version": 1, "images": {{ "docker.io/a": {{ "1.9": {pin}, "1.10": {pin}, "latest": {pin} }} }} }}"#),
    );
    let outcome = workspace.run(&["list"]).code(0);
    assert!(outcome.stdout.contains("  1.10  "), "{outcome:#?}");
}

#[test]
fn check_passes_on_the_committed_files() {
    let clone = Clone::of_the_project();
    let at = |name: &str| clone.path().join(name).display().to_string();
    let (images, digests) = (at("images.json"), at("digests.json"));
    let workspace = Workspace::new();
    workspace
        .run(&["check", "--images", &images, "--digests", &digests])
        .code(0);
}

#[test]
fn check_names_every_fault_and_its_remedy() {
    let workspace = Workspace::tracking(
        r#"[{ "image": "docker.io/a", "platforms": ["linux/amd64"], "tags": ["latest"] }, { "image": "docker.io/b" }]"#,
    );
    workspace.write(
        "digests.json",
        format!(
            r#"{{ "version": 1, "images": {{
                "docker.io/a": {{ "1": {{ "digest": "{DIGEST}", "platforms": {{ "linux/arm64": "{DIGEST}" }} }}, "2": {{ "digest": "{DIGEST}" }} }},
                "docker.io/c": {{}} }} }}"#
        ),
    );
    let outcome = workspace.run(&["check"]).code(1);
    for fault in [
        "waits  docker.io/a  latest\nwaits  docker.io/b  all its tags\n",
        "fault  docker.io/a:1: pinned for linux/arm64, which is not tracked",
        "docker.io/c: in the table, and not tracked",
        "digests.json: not in canonical form; run 'nix-oci-hashes merge digests.json --output digests.json'",
        "2 images, 2 pins (1 without platforms until a refresh verifies them; 2 not pinned yet): not all is well",
    ] {
        assert!(outcome.stdout.contains(fault), "{fault}: {outcome:#?}");
    }
    // The suggested command fixes it.
    workspace
        .run(&["merge", "digests.json", "--output", "digests.json"])
        .code(0);
    assert!(
        !workspace
            .run(&["check"])
            .code(1)
            .stdout
            .contains("canonical")
    );
    // Pins that the next refresh adds are not an error.
    for images in ["{}", "{\n    \"docker.io/a\": {}\n  }"] {
        workspace.write(
            "digests.json",
            format!("{{\n  \"version\": 1,\n  \"images\": {images}\n}}\n"),
        );
        let outcome = workspace.run(&["check"]).code(0);
        let end = "2 images, 0 pins (2 not pinned yet): all is well\nRun 'nix-oci-hashes refresh' to pin what waits.\n";
        assert!(outcome.stdout.ends_with(end), "{outcome:#?}");
    }
    for (file, content, message) in [
        ("digests.json", "{", "digests.json:1:1: EOF"),
        ("images.json", "[{}]", "missing field `image`"),
    ] {
        workspace.write(file, content);
        workspace.run(&["check"]).code(1).error(message);
    }
}

#[test]
fn merge_joins_parts_and_names_a_conflict() {
    let workspace = Workspace::new();
    let part = |image: &str, tag: &str, digest: &str| {
        format!(
            r#"{{ "version": 1, "images": {{ "{image}": {{ "{tag}": {{ "digest": "{digest}" }} }} }} }}"#
        )
    };
    workspace.write("a.json", part("docker.io/a", "1", DIGEST));
    workspace.write("b.json", part("docker.io/b", "1", DIGEST));
    workspace.write(
        "c.json",
        part("docker.io/a", "1", &DIGEST.replace('b', "c")),
    );
    let joined = workspace.run(&["merge", "a.json", "b.json"]).code(0).stdout;
    let other = workspace
        .run(&["merge", "b.json", "a.json", "a.json"])
        .code(0)
        .stdout;
    assert_eq!(joined, other);
    workspace
        .run(&["merge", "a.json", "b.json", "--output", "digests.json"])
        .code(0);
    assert_eq!(workspace.read("digests.json"), joined);
    workspace
        .run(&[
            "merge",
            "a.json",
            "b.json",
            "c.json",
            "--output",
            "digests.json",
        ])
        .code(1)
        .error("docker.io/a:1 is pinned to sha256:ba7816");
    workspace.write(
        "images.json",
        r#"[{ "image": "docker.io/a" }, { "image": "docker.io/b" }, { "image": "docker.io/d" }]"#,
    );
    workspace
        .run(&[
            "merge",
            "a.json",
            "--images",
            "images.json",
            "--output",
            "digests.json",
        ])
        .code(1)
        .error(
            "docker.io/b and 1 other tracked images are in none of the parts; is a part missing?",
        );
    workspace
        .run(&["merge", "a.json", "missing.json"])
        .code(1)
        .error("missing.json: No such file");
    assert_eq!(workspace.read("digests.json"), joined);
    assert_eq!(
        workspace.files(),
        ["a.json", "b.json", "c.json", "digests.json", "images.json"]
    );
}

#[test]
fn import_takes_references_and_lists_what_it_skipped() {
    let workspace = Workspace::tracking(r#"[{ "image": "docker.io/redis" }]"#);
    workspace.write(
        "compose.yaml",
        format!(
            "services:\n  a: {{ image: 'nextcloud:34.0.4-fpm@{DIGEST}' }}\n  b: {{ image: 'redis:8' }}\n  c: {{ image: 'x/${{Y}}:1' }}\n  d: {{ image: 'caddy' }}\n"
        ),
    );
    workspace.write(
        "Dockerfile",
        format!("FROM alpine@{DIGEST}\nFROM postgres:17\n"),
    );
    workspace.write(
        "host.nix",
        format!(
            "{{ image = \"docker.io/nextcloud:34.0.4-fpm@{}\"; }}",
            DIGEST.replace('b', "c")
        ),
    );
    let arguments = ["import", "compose.yaml", "Dockerfile", "host.nix"];
    let dry = workspace
        .run(&[&arguments[..], &["--dry-run"]].concat())
        .code(0);
    assert_eq!(
        workspace.read("images.json"),
        r#"[{ "image": "docker.io/redis" }]"#
    );
    let outcome = workspace.run(&arguments).code(0);
    assert_eq!(outcome.stdout.lines().count(), dry.stdout.lines().count());
    let squeezed = outcome
        .stdout
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    for part in [
        &format!("took compose.yaml:2 docker.io/nextcloud:34.0.4-fpm@{DIGEST} pinned"),
        "left compose.yaml:3 docker.io/redis:8 its image is tracked already",
        "left compose.yaml:4 x/${Y}:1 the variable 'Y' has no value here",
        "took compose.yaml:5 docker.io/caddy tracked",
        &format!("left Dockerfile:1 docker.io/alpine@{DIGEST} it has no tag"),
        "took Dockerfile:2 docker.io/postgres:17 tracked",
        "pinned already, to ba7816bf8f01",
        "3 taken, 4 left: images.json and digests.json written; run 'nix-oci-hashes refresh'",
    ] {
        assert!(squeezed.contains(part), "{part}: {outcome:#?}");
    }
    let images: serde_json::Value = serde_json::from_str(&workspace.read("images.json")).unwrap();
    let names: Vec<&str> = images
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["image"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "docker.io/caddy",
            "docker.io/nextcloud",
            "docker.io/postgres",
            "docker.io/redis"
        ]
    );
    assert_eq!(images[0]["tags"], json!(["latest"]));
    assert_eq!(images[1]["variants"], json!(["-fpm"]));
    assert_eq!(images[2]["tags"], json!(["17"]));
    let answer = workspace
        .run(&[
            "lookup",
            "nextcloud:34.0.4-fpm",
            "--platform",
            "linux/arm64",
        ])
        .code(0);
    assert_eq!(
        answer.stdout,
        format!("docker.io/nextcloud:34.0.4-fpm@{DIGEST}\n")
    );
    // A second import has nothing to add.
    let before = workspace.read("digests.json");
    let outcome = workspace
        .run(&["import", "host.nix", "compose.yaml"])
        .code(0);
    assert!(outcome.stdout.contains("0 taken"), "{outcome:#?}");
    assert_eq!(workspace.read("digests.json"), before);
}

#[test]
fn import_takes_the_files_of_the_first_nix_oci_hashes() {
    let workspace = Workspace::new();
    let entry = "{\n    \"image\": \"docker.io/nextcloud\",\n    \"platforms\": [\"linux/amd64\"],\n    \"initialMajor\": [\"30\"],\n    \"initialMajorMinor\": []\n  }";
    std::fs::create_dir(workspace.path("old")).unwrap();
    workspace.write("old/images.json", format!("[\n  {entry}\n]\n"));
    let reference = format!("docker.io/nextcloud:30@{DIGEST}");
    workspace.write(
        "old/digests.json",
        json!({ "docker.io/nextcloud": { "30": { "linux/amd64": reference, "linux/arm64": reference } } }).to_string(),
    );
    workspace
        .run(&["import", "old/digests.json", "old/images.json"])
        .code(0);
    assert_eq!(workspace.read("images.json"), format!("[\n  {entry}\n]\n"));
    let table = workspace.table();
    assert_eq!(
        table["images"],
        json!({ "docker.io/nextcloud": { "30": { "digest": DIGEST } } })
    );
    let outcome = workspace.run(&["check"]).code(0);
    assert!(
        outcome.stdout.contains("(1 without platforms"),
        "{outcome:#?}"
    );
}

#[test]
fn import_of_unreadable_files_changes_nothing() {
    let workspace = Workspace::new();
    workspace.write("good.nix", "{ image = \"a:1\"; }");
    let mixed = [
        "import",
        "good.nix",
        "notes.txt",
        "--images",
        "i",
        "--digests",
        "d",
    ];
    workspace.write("bad.yaml", "a: b\n");
    workspace.write("notes.txt", "nothing");
    for (file, message) in [
        (
            "bad.yaml",
            "bad.yaml: it is neither a compose file nor a Kubernetes manifest; correct the file, or leave it out",
        ),
        ("notes.txt", "unknown file name 'notes.txt'"),
        ("missing.nix", "missing.nix: No such file or directory"),
    ] {
        workspace.run(&["import", file]).code(1).error(message);
        assert_eq!(workspace.files(), ["bad.yaml", "good.nix", "notes.txt"]);
    }
    workspace.run(&["import", "notes.txt", "bad.yaml"]).code(1);
    // One file that cannot be read does not stop the others.
    let outcome = workspace.run(&mixed).code(2);
    assert!(
        outcome
            .stdout
            .contains("failed  notes.txt: unknown file name 'notes.txt'"),
        "{outcome:#?}"
    );
    assert!(workspace.read("i").contains("docker.io/a"));
}

#[test]
fn completions_are_for_the_common_shells() {
    let workspace = Workspace::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let outcome = workspace.run(&["completions", shell]).code(0);
        for verb in ["refresh", "lookup", "import", "--insecure-registry"] {
            let flag = verb.trim_start_matches("--");
            assert!(outcome.stdout.contains(flag), "{shell} has no {verb}");
        }
    }
}

#[test]
fn one_file_cannot_have_two_roles() {
    let workspace = Workspace::tracking("[]");
    let table = "{ \"version\": 1, \"images\": {} }";
    workspace.write("digests.json", table);
    std::os::unix::fs::symlink("digests.json", workspace.path("link")).unwrap();
    for arguments in [
        &["refresh", "--shard", "1/2", "--output", "digests.json"][..],
        &["refresh", "--shard", "1/2", "--output", "./digests.json"],
        &["refresh", "--shard", "1/2", "--output", "link"],
        &["refresh", "--output", "images.json"],
        &["refresh", "--summary", "digests.json"],
        &["refresh", "--images", "digests.json"],
        &[
            "merge",
            "digests.json",
            "--images",
            "images.json",
            "--output",
            "images.json",
        ],
        &["add", "docker.io/a", "--images", "x", "--digests", "x"],
        &["remove", "docker.io/a", "--images", "digests.json"],
        &["import", "digests.json", "--images", "digests.json"],
    ] {
        let outcome = workspace.run(arguments).code(1);
        assert!(
            outcome.stderr.contains("; name two files"),
            "{arguments:?} {outcome:#?}"
        );
        assert_eq!(workspace.read("digests.json"), table);
        assert_eq!(workspace.read("images.json"), "[]");
    }
}

#[test]
fn add_keeps_a_concurrent_edit() {
    let fake = Fake::start();
    let list = FakeResponse::json(&json!({ "tags": ["1.2.3"] }))
        .after(std::time::Duration::from_millis(600));
    fake.answer("GET", "tags/list", list);
    fake.head("1.2.3", &digest_of(&two_platform_index()));
    fake.manifest(&digest_of(&two_platform_index()), &two_platform_index());
    let workspace = Workspace::tracking("[]");
    let mut child = workspace.command(&["add", &fake.image()]).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    workspace.write("images.json", r#"[{ "image": "docker.io/typed" }]"#);
    let status = child.wait().unwrap();
    assert!(status.success());
    let images = workspace.read("images.json");
    assert!(
        images.contains("docker.io/typed") && images.contains(&fake.image()),
        "{images}"
    );
}

#[test]
fn a_pipe_or_a_device_is_written_to_and_not_replaced() {
    use std::os::unix::fs::FileTypeExt as _;
    let workspace = Workspace::new();
    workspace.write("a.json", "{ \"version\": 1, \"images\": {} }");
    let pipe = workspace.path("pipe");
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .unwrap();
    assert!(made.success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::read_to_string(pipe).unwrap()
    });
    workspace
        .run(&["merge", "a.json", "--output", "pipe"])
        .code(0);
    assert!(reader.join().unwrap().contains("\"version\": 1"));
    assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
    let outcome = workspace
        .run(&["merge", "a.json", "--output", "/dev/stdout"])
        .code(0);
    assert!(outcome.stdout.contains("\"version\": 1"), "{outcome:#?}");
    assert_eq!(workspace.files(), ["a.json", "pipe"]);
}

#[test]
fn review_lists_the_changes_that_need_a_person() {
    let workspace = Workspace::new();
    let change = |kind: &str, tag: &str| json!({ "kind": kind, "image": "docker.io/a", "tag": tag, "old": DIGEST, "new": DIGEST });
    let mut lost = change("moved", "1");
    lost["platformsRemoved"] = json!(["linux/arm64"]);
    // A change of the kind 'platforms' drops platforms that images.json no longer lists.
    let mut untracked = change("platforms", "2");
    untracked["platformsRemoved"] = json!(["linux/arm64"]);
    let report = |changes: &[Value]| json!({ "version": 1, "changes": changes }).to_string();
    let quiet = [change("moved", "1"), change("added", "1.1"), untracked];
    workspace.write("quiet.json", report(&quiet));
    // The two changes to review come after many others.
    let mut noisy = vec![change("added", "9"); 5_000];
    noisy.extend([change("re-pushed", "1.0.0"), lost]);
    workspace.write("noisy.json", report(&noisy));
    let outcome = workspace.run(&["review", "quiet.json"]).code(0);
    assert_eq!(outcome.stdout, "");
    let outcome = workspace
        .run(&["review", "quiet.json", "noisy.json"])
        .code(3);
    assert_eq!(
        outcome.stdout,
        format!(
            "re-pushed docker.io/a:1.0.0 {DIGEST} -> {DIGEST}\nmoved docker.io/a:1 {DIGEST} -> {DIGEST}, no longer for linux/arm64\n"
        )
    );
    workspace.write("other.json", "{}");
    workspace.write(
        "newer.json",
        json!({ "version": 2, "changes": [] }).to_string(),
    );
    for (file, message) in [
        (
            "other.json",
            "is no report; write one with 'refresh --json'",
        ),
        ("newer.json", "its version is 2, not 1"),
        ("none.json", "none.json: No such file or directory"),
    ] {
        workspace.run(&["review", file]).code(1).error(message);
    }
}

#[test]
fn a_requirement_can_replace_a_tag() {
    let fake = registry_with_tags(&["1.2", "1.2.3", "1.3.0-fpm", "1.10.0", "2.0.0", "latest"]);
    let workspace = fake.workspace();
    let image = fake.image();
    let digest = digest_of(&two_platform_index());
    for (arguments, tag) in [
        (&["^1"][..], "1.10.0"),
        (&[">=1.2 <1.3"], "1.2.3"),
        (&["^1 || ^2"], "2.0.0"),
        (&["^1", "--variant", "-fpm"], "1.3.0-fpm"),
        (&["1.2.x"], "1.2.3"),
    ] {
        let reference = format!("{image}:{}", arguments[0]);
        let arguments = [&["resolve", &reference][..], &arguments[1..]].concat();
        let outcome = run(&workspace, &arguments).code(0);
        assert_eq!(outcome.stdout, format!("{image}:{tag}@{digest}\n"));
    }
    run(&workspace, &["resolve", &format!("{image}:^3")])
        .code(1)
        .error("the registry has no tag of");
    // So can a lookup in the table.
    let outcome = run(&workspace, &["lookup", &format!("{image}:^1")]).code(0);
    assert_eq!(outcome.stdout, format!("{image}:1@{}\n", digest_of("old")));
    run(&workspace, &["lookup", &format!("{image}:~>1")])
        .code(1)
        .error("'~>' is no operator; write '~1' or '^1'");
}

#[test]
fn check_of_a_missing_named_table_is_an_error() {
    let workspace = Workspace::tracking("[]");
    workspace
        .run(&["check", "--digests", "typo.json"])
        .code(1)
        .error("typo.json: there is no such file");
    workspace.run(&["check"]).code(0);
}

#[test]
fn check_compares_recorded_versions_with_the_pattern() {
    let entry = r#"[{ "image": "docker.io/a", "pattern": "{major}-{minor}", "ignore": ["9-*"] }]"#;
    let workspace = Workspace::tracking(entry);
    let pin = |version: &str| json!({ "digest": DIGEST, "version": version });
    let table =
        |pins: Value| json!({ "version": 2, "images": { "docker.io/a": pins } }).to_string();
    workspace.write(
        "digests.json",
        table(json!({ "1-2": pin("1.2"), "latest": { "digest": DIGEST } })),
    );
    let canonical = ["merge", "digests.json", "--output", "digests.json"];
    workspace.run(&canonical).code(0);
    workspace.run(&["check"]).code(0);
    workspace.write(
        "digests.json",
        table(json!({ "1-2": pin("1.3"), "9-1": pin("9.1") })),
    );
    let outcome = workspace.run(&["check"]).code(1);
    for line in [
        "docker.io/a:1-2: records version '1.3', where 'pattern' in images.json reads version '1.2'",
        "docker.io/a:9-1: pinned, and listed in 'ignore'",
    ] {
        assert!(outcome.stdout.contains(line), "{outcome:#?}");
    }
}

#[test]
fn a_refresh_records_versions_and_removes_ignored_tags() {
    let fake = registry_with_tags(&["1-2", "1-3", "1-10", "latest"]);
    let workspace = fake.workspace();
    let entry = json!([{ "image": fake.image(), "pattern": "{major}-{minor}", "keep": 2, "tags": ["latest"], "ignore": ["1"] }]);
    workspace.write("images.json", entry.to_string());
    let outcome = run(&workspace, &["refresh"]).code(0);
    assert!(outcome.stdout.contains("removed  "), "{outcome:#?}");
    let table = workspace.table();
    assert_eq!(table["version"], json!(2));
    let pins = table["images"][fake.image()].as_object().unwrap();
    let versions: Vec<(&str, &Value)> = pins
        .iter()
        .map(|(tag, pin)| (tag.as_str(), &pin["version"]))
        .collect();
    assert_eq!(
        versions,
        [
            ("1-10", &json!("1.10")),
            ("1-3", &json!("1.3")),
            ("latest", &Value::Null)
        ]
    );
    run(&workspace, &["check"]).code(0);
    let outcome = run(&workspace, &["lookup", &format!("{}:^1", fake.image())]).code(0);
    assert!(outcome.stdout.contains(":1-10@"), "{outcome:#?}");
    // Without the pattern, refresh removes the recorded versions.
    workspace.write(
        "images.json",
        json!([{ "image": fake.image(), "strategies": {} }]).to_string(),
    );
    run(&workspace, &["refresh"]).code(0);
    assert_eq!(workspace.table()["version"], json!(1));
}

#[test]
fn a_platform_that_is_listed_twice_is_reported() {
    let manifest = |of: &str| json!({ "mediaType": crate::support::fake::IMAGE, "size": 1, "digest": digest_of(of), "platform": { "os": "linux", "architecture": "amd64" } });
    let mut attestation = manifest("attestation");
    attestation["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest" });
    let manifests = [attestation, manifest("first"), manifest("second")];
    let index = json!({ "schemaVersion": 2, "mediaType": crate::support::fake::INDEX, "manifests": manifests });
    let fake = Fake::start();
    fake.serve(&index.to_string());
    let workspace = fake.workspace();
    let outcome = run(&workspace, &["refresh"]).code(0);
    let notice =
        "its index lists linux/amd64 more than once, with different manifests; the first is pinned";
    assert!(outcome.stdout.contains(notice), "{outcome:#?}");
    let pin = &workspace.table()["images"][fake.image()]["1"];
    assert_eq!(pin["platforms"]["linux/amd64"], json!(digest_of("first")));
}

#[test]
fn file_names_cannot_control_the_terminal() {
    let workspace = Workspace::new();
    let name = "\u{1b}[31mcompose\u{202e}.yaml";
    workspace.write(name, "services: { a: { image: 'docker.io/a:1' } }");
    let outcome = workspace.run(&["import", "--dry-run", name]).code(0);
    assert!(
        !outcome.stdout.contains(['\u{1b}', '\u{202e}']),
        "{outcome:#?}"
    );
    assert!(
        outcome.stdout.contains("\\u{1b}[31mcompose"),
        "{outcome:#?}"
    );
}

#[test]
fn a_proxy_that_cannot_be_used_is_named() {
    let workspace = Workspace::new();
    let mut command = workspace.command(&["resolve", "registry.example/a:1", "--retries", "0"]);
    command.env("HTTPS_PROXY", "ftp://proxy.example:21");
    Outcome::of(&mut command).code(1).error(
        "HTTPS_PROXY names a proxy of the scheme 'ftp', which is none of http, https, socks4",
    );
}

#[test]
fn the_table_of_the_first_nix_oci_hashes_is_recognised() {
    let workspace = Workspace::tracking(r#"[{ "image": "docker.io/a" }]"#);
    let table =
        json!({ "docker.io/a": { "1": { "linux/amd64": format!("docker.io/a:1@{DIGEST}") } } });
    workspace.write("digests.json", table.to_string());
    for arguments in [&["refresh"][..], &["check"], &["lookup", "docker.io/a:1"]] {
        workspace
            .run(arguments)
            .code(1)
            .error("it is a table of the first nix-oci-hashes; give it another name and take its pins over with 'nix-oci-hashes import FILE'");
    }
    assert_eq!(workspace.read("digests.json"), table.to_string());
}

#[test]
fn import_records_versions_and_skips_ignored_tags() {
    let entry =
        r#"[{ "image": "docker.io/a", "pattern": "r{major}-{minor}", "ignore": ["r9-*"] }]"#;
    let workspace = Workspace::tracking(entry);
    let image = |tag: &str| format!("docker.io/a:{tag}@{DIGEST}");
    let compose = format!(
        "services: {{ a: {{ image: '{}' }}, b: {{ image: '{}' }} }}",
        image("r1-2"),
        image("r9-1")
    );
    workspace.write("compose.yaml", compose);
    let outcome = workspace.run(&["import", "compose.yaml"]).code(0);
    assert!(
        outcome.stdout.contains("listed in 'ignore'"),
        "{outcome:#?}"
    );
    let pins = workspace.table()["images"]["docker.io/a"].clone();
    assert_eq!(
        pins,
        json!({ "r1-2": { "digest": DIGEST, "version": "1.2" } })
    );
    workspace.run(&["check"]).code(0);
}
