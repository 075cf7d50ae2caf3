//! From tags in a real registry to answers of a real Nix.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

use serde_json::json;
use support::Workspace;
use support::nix::Nix;
use support::registry::Registry;

const BOTH: &[&str] = &["linux/amd64", "linux/arm64/v8"];

#[test]
fn pins_become_answers_and_follow_a_tag_that_moves() {
    let registry = Registry::start();
    let image = format!("{}/demo/app", registry.address);
    let mut digests = std::collections::BTreeMap::new();
    for tag in ["1", "1.4", "1.4.1", "1.4.2", "1.5.0-rc1", "latest"] {
        let text = if ["1.4.1", "1.5.0-rc1"].contains(&tag) {
            tag
        } else {
            "1.4.2"
        };
        digests.insert(tag, registry.push("demo/app", tag, text, BOTH));
    }
    let workspace =
        Workspace::tracking(&json!([{ "image": image, "tags": ["latest"] }]).to_string());

    let outcome = workspace.run(&["refresh"]).code(0);
    assert!(
        outcome
            .stdout
            .ends_with("5 added, 0 moved, 0 removed, 0 kept: digests.json written\n"),
        "{outcome:#?}"
    );
    let table = workspace.table();
    let pins = table["images"][&image].as_object().unwrap();
    let tags: Vec<&String> = pins.keys().collect();
    assert_eq!(tags.len(), 5, "a prerelease is not taken: {tags:?}");
    for (tag, pin) in pins {
        assert_eq!(pin["digest"], json!(digests[tag.as_str()]), "{tag}");
        assert_eq!(pin["platforms"].as_object().unwrap().len(), 2, "{tag}");
    }

    let nix = Nix::with_plugin();
    let ask = |argument: &str| {
        let digests = workspace.path("digests.json");
        nix.value(&format!(
            "builtins.ociHash {{ image = \"{image}\"; digests = {}; {argument} }}",
            digests.display()
        ))
    };
    assert_eq!(
        ask("version = \"1\";"),
        json!(format!("{image}:1@{}", digests["1"]))
    );
    let arm64 = pins["1"]["platforms"]["linux/arm64"].as_str().unwrap();
    assert_eq!(
        ask("version = \"1\"; platform = \"aarch64-linux\";"),
        json!(format!("{image}:1@{arm64}"))
    );

    let moved = registry.push("demo/app", "1", "1.4.3", BOTH);
    let repushed = registry.push("demo/app", "1.4.2", "1.4.2 again", BOTH);
    let outcome = workspace.run(&["refresh", "--check"]).code(3);
    assert!(outcome.stdout.contains("moved"), "{outcome:#?}");
    let outcome = workspace.run(&["refresh"]).code(0);
    let short = |digest: &str| digest["sha256:".len()..][..12].to_owned();
    for line in [
        format!(
            "moved      {image}:1      {} -> {}\n",
            short(&digests["1"]),
            short(&moved)
        ),
        format!(
            "re-pushed  {image}:1.4.2  {} -> {}, though it is a full version\n",
            short(&digests["1.4.2"]),
            short(&repushed)
        ),
    ] {
        assert!(outcome.stdout.contains(&line), "{outcome:#?}");
    }
    assert_eq!(ask("version = \"1\";"), json!(format!("{image}:1@{moved}")));
    assert_eq!(
        ask("version = \"^1\"; platform = \"x86_64-linux\";"),
        json!(format!(
            "{image}:1.4.2@{}",
            workspace.table()["images"][&image]["1.4.2"]["platforms"]["linux/amd64"]
                .as_str()
                .unwrap()
        ))
    );
}

#[test]
fn a_quiet_day_costs_one_listing_and_one_head_a_tag() {
    let registry = Registry::start();
    for tag in ["1", "1.0", "1.0.0"] {
        registry.push("demo/app", tag, "same", BOTH);
    }
    registry.push("demo/one", "2.0.0", "one", &["single", "linux/amd64"]);
    let image = |name: &str| json!({ "image": format!("{}/demo/{name}", registry.address) });
    let workspace = Workspace::tracking(&json!([image("app"), image("one")]).to_string());

    workspace.run(&["refresh"]).code(0);
    let first = registry.requests();
    let count = |requests: &[String], start: &str| {
        requests
            .iter()
            .filter(|request| request.starts_with(start))
            .count()
    };
    assert_eq!(count(&first, "HEAD "), 4, "{first:?}");
    // The three tags share an index; the single image has a configuration too.
    assert_eq!(
        count(&first, "GET /v2/demo/app/manifests/sha256:"),
        1,
        "{first:?}"
    );
    assert_eq!(count(&first, "GET /v2/demo/one/"), 3, "{first:?}");
    assert_eq!(first.len(), 4 + 2 + 1 + 2, "{first:?}");

    let table = workspace.read("digests.json");
    let outcome = workspace.run(&["refresh"]).code(0);
    assert_eq!(
        outcome.stdout,
        "0 added, 0 moved, 0 removed, 4 kept: digests.json is up to date\n"
    );
    let mut second = registry.requests().split_off(first.len());
    second.sort();
    assert_eq!(
        second,
        [
            "GET /v2/demo/app/tags/list?n=1000",
            "GET /v2/demo/one/tags/list?n=1000",
            "HEAD /v2/demo/app/manifests/1",
            "HEAD /v2/demo/app/manifests/1.0",
            "HEAD /v2/demo/app/manifests/1.0.0",
            "HEAD /v2/demo/one/manifests/2.0.0",
        ]
    );
    assert_eq!(workspace.read("digests.json"), table);
}

#[test]
fn one_manifest_stands_for_the_tag_and_its_platform() {
    let registry = Registry::start();
    let digest = registry.push("demo/one", "2.0.0", "one", &["single", "linux/arm/v7"]);
    let image = format!("{}/demo/one", registry.address);
    let workspace = Workspace::tracking(
        &json!([{ "image": image, "platforms": ["armv7l-linux", "linux/amd64"] }]).to_string(),
    );
    workspace.run(&["refresh"]).code(0);
    assert_eq!(
        workspace.table()["images"][&image]["2.0.0"],
        json!({ "digest": digest, "platforms": { "linux/arm/v7": digest } })
    );
}

#[test]
fn what_leaves_images_json_leaves_the_table_and_what_is_published_stays() {
    let registry = Registry::start();
    for tag in ["1.0.0", "1.0.1", "1.0.2"] {
        registry.push("demo/app", tag, tag, BOTH);
    }
    registry.push("demo/other", "1", "other", BOTH);
    let app = format!("{}/demo/app", registry.address);
    let other = format!("{}/demo/other", registry.address);
    let workspace = Workspace::tracking(&json!([{ "image": app }, { "image": other }]).to_string());
    workspace.run(&["refresh"]).code(0);
    let before = workspace.table();

    let entry = json!({ "image": app, "keep": 1, "platforms": ["linux/arm64"] });
    workspace.write("images.json", json!([entry]).to_string());
    let outcome = workspace.run(&["refresh"]).code(0);
    assert!(
        outcome.stdout.contains(&format!("removed    {other}:1 "))
            && outcome.stdout.contains(&format!("platforms  {app}:1.0.0 "))
            && outcome.stdout.contains("  -linux/amd64\n"),
        "{outcome:#?}"
    );
    let after = workspace.table();
    assert_eq!(after["images"].as_object().unwrap().len(), 1);
    for tag in ["1.0.0", "1.0.1", "1.0.2"] {
        let (before, after) = (&before["images"][&app][tag], &after["images"][&app][tag]);
        assert_eq!(before["digest"], after["digest"]);
        assert_eq!(
            after["platforms"],
            json!({ "linux/arm64": before["platforms"]["linux/arm64"] })
        );
    }
}

#[test]
fn a_pin_without_platforms_is_verified() {
    let registry = Registry::start();
    let digest = registry.push("demo/app", "1.0.0", "x", BOTH);
    let image = format!("{}/demo/app", registry.address);
    let entry = json!({ "image": image, "strategies": {} });
    let workspace = Workspace::tracking(&json!([entry]).to_string());
    let table = json!({ "version": 1, "images": { &image: { "1.0.0": { "digest": digest } } } });
    workspace.write("digests.json", table.to_string());
    let outcome = workspace.run(&["refresh"]).code(0);
    assert!(outcome.stdout.starts_with("verified "), "{outcome:#?}");
    let pin = &workspace.table()["images"][&image]["1.0.0"];
    assert_eq!(pin["digest"], json!(digest));
    assert_eq!(pin["platforms"].as_object().unwrap().len(), 2);
}
