//! What is taken of the tag lists of real projects.
//!
//! Each file in tests/cases/tags is such a list and says where it is from.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;

use nix_oci_hashes::images;
use nix_oci_hashes::refresh::{Options, plan};
use nix_oci_hashes::table::Pins;
use nix_oci_hashes::tag::{Tag, by_version};
use serde_json::Value;

/// What an entry with `fields` asks for, of the tags that `project` has.
fn asked(project: &str, fields: &str) -> Vec<String> {
    let path = format!(
        "{}/tests/cases/tags/{project}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let list: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let entry = format!("[{{ \"image\": {} {fields} }}]", list["image"]);
    let tracked = images::parse(entry.as_bytes(), "images.json")
        .unwrap()
        .remove(0);
    let tags = list["tags"].as_array().unwrap().iter();
    let tags: BTreeSet<Tag> = tags
        .map(|tag| tag.as_str().unwrap().parse().unwrap())
        .collect();
    let options = Options {
        explain: true,
        ..Options::default()
    };
    let plan = plan(&tracked, &Pins::new(), &tags, &options);
    assert!(
        tags.iter().all(|tag| plan.decisions.contains_key(tag)),
        "every tag has a reason"
    );
    let mut taken: Vec<&Tag> = plan.ask().collect();
    taken.sort_by_cached_key(|tag| by_version(tag));
    taken.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn takes(project: &str, fields: &str, expected: &[&str]) {
    assert_eq!(asked(project, fields), expected, "{project} {fields}");
}

#[test]
fn an_entry_without_fields_takes_the_newest_of_what_there_is() {
    for (project, expected) in [
        (
            "home-assistant",
            &[
                "2026.6", "2026.7", "2026.8", "2026.8.1", "2026.8.2", "2026.8.3",
            ][..],
        ),
        (
            "nextcloud",
            &[
                "32", "32.0", "33", "33.0", "34", "34.0", "34.0.1", "34.0.2", "34.0.3",
            ],
        ),
        // Four numbers and a build: two builds of one release are two tags.
        (
            "plex",
            &[
                "1.43.3.10861-07dfddaeb",
                "1.43.3.10896-cb3ebc72d",
                "1.43.4.10903-e5521bd8c",
            ],
        ),
        // The project writes a release with `v`, without, or both ways.
        (
            "open-webui",
            &[
                "0.7", "0.8", "0.9", "0.11.0", "v0.11.0", "v0.11.3", "v0.11.4",
            ],
        ),
        // There is no third number, and no release of 19 yet.
        ("postgres", &["16", "17", "18", "18.3", "18.4", "18.6"]),
        (
            "traefik",
            &[
                "2", "v2", "3", "v3", "3.5", "v3.5", "3.6", "v3.6", "3.7", "v3.7", "3.7.9",
                "v3.7.9", "3.7.10", "v3.7.10", "3.7.11", "v3.7.11",
            ],
        ),
        // Every tag has a variant.
        ("gitlab-ce", &[]),
        ("immich-server", &["v2", "v3.2.0", "v3.2.2", "v3.2.4"]),
    ] {
        takes(project, "", expected);
    }
}

#[test]
fn strategies_variants_and_tags() {
    takes(
        "nextcloud",
        r#", "strategies": { "major": ">=33", "major-minor": ">=33", "major-minor-patch": true },
            "variants": ["", "-fpm"], "tags": ["latest"]"#,
        &[
            "33",
            "33-fpm",
            "33.0",
            "33.0-fpm",
            "34",
            "34-fpm",
            "34.0",
            "34.0-fpm",
            "34.0.1",
            "34.0.1-fpm",
            "34.0.2",
            "34.0.2-fpm",
            "34.0.3",
            "34.0.3-fpm",
            "latest",
        ],
    );
    takes(
        "postgres",
        r#", "strategies": { "major": ">=15", "major-minor": "^17" }, "variants": ["-alpine"]"#,
        &[
            "15-alpine",
            "16-alpine",
            "17-alpine",
            "17.5-alpine",
            "17.6-alpine",
            "17.7-alpine",
            "17.8-alpine",
            "17.9-alpine",
            "17.10-alpine",
            "17.11-alpine",
            "18-alpine",
        ],
    );
    takes(
        "gitlab-ce",
        r#", "variants": ["-ce.#"], "tags": ["latest"]"#,
        &["19.2.4-ce.0", "19.3.0-ce.0", "19.4.1-ce.0", "latest"],
    );
    takes(
        "gitlab-ce",
        r#", "variants": ["-ce.#"], "strategies": { "major-minor-patch": "~18.6" }"#,
        &[
            "18.6.0-ce.0",
            "18.6.1-ce.0",
            "18.6.2-ce.0",
            "18.6.3-ce.0",
            "18.6.4-ce.0",
            "18.6.5-ce.0",
            "18.6.6-ce.0",
            "18.6.7-ce.0",
            "18.6.8-ce.0",
        ],
    );
    takes(
        "immich-server",
        r#", "strategies": { "major": true, "major-minor-patch": ">=3.1" }, "tags": ["release"]"#,
        &["v2", "v3.1.0", "v3.2.0", "v3.2.2", "v3.2.4", "release"],
    );
    takes(
        "plex",
        r#", "strategies": { "major-minor-patch": "~1.43.2" }"#,
        &[
            "1.43.2.10687-563d026ea",
            "1.43.3.10828-00f62d37d",
            "1.43.3.10861-07dfddaeb",
            "1.43.3.10896-cb3ebc72d",
            "1.43.4.10903-e5521bd8c",
        ],
    );
    takes(
        "traefik",
        r#", "strategies": { "major": true, "major-minor-patch": true }, "keep": 1"#,
        &["3", "v3", "3.7.11", "v3.7.11"],
    );
}

#[test]
fn prereleases_only_where_a_requirement_names_one() {
    takes(
        "home-assistant",
        r#", "strategies": { "major-minor-patch": ">=2026.8.0-b5" }, "tags": ["stable", "beta"]"#,
        &[
            "2026.8.0b5",
            "2026.8.0b6",
            "2026.8.0",
            "2026.8.1",
            "2026.8.2",
            "2026.8.3",
            "beta",
            "stable",
        ],
    );
    takes(
        "postgres",
        r#", "strategies": { "major": ">=19.0.0-beta1" }"#,
        &["19beta1", "19beta2", "19beta3"],
    );
    takes(
        "traefik",
        r#", "strategies": { "major-minor-patch": ">=3.7.0-rc.2, <3.7.1" }"#,
        &[
            "3.7.0-rc.2",
            "v3.7.0-rc.2",
            "3.7.0-rc.3",
            "v3.7.0-rc.3",
            "3.7.0",
            "v3.7.0",
        ],
    );
}

/// The entries of the project that this one replaces, as they were written.
#[test]
fn the_fields_of_the_first_nix_oci_hashes() {
    takes(
        "home-assistant",
        r#", "initialMajor": [], "initialMajorMinor": ["2026.5"], "initialMajorMinorPatch": ["2026.8.1"]"#,
        &[
            "2026.5", "2026.6", "2026.7", "2026.8", "2026.8.1", "2026.8.2", "2026.8.3",
        ],
    );
    takes(
        "plex",
        r#", "initialMajor": [], "initialMajorMinor": [],
            "initialMajorMinorPatch": ["1.42.1.10060-4e8b05daf", "latest"]"#,
        &[
            "1.42.1.10060-4e8b05daf",
            "1.42.2.10156-f737b826c",
            "1.43.0.10467-2b1ba6e69",
            "1.43.0.10492-121068a07",
            "1.43.1.10576-06378bdcd",
            "1.43.1.10611-1e34174b1",
            "1.43.2.10687-563d026ea",
            "1.43.3.10828-00f62d37d",
            "1.43.3.10861-07dfddaeb",
            "1.43.3.10896-cb3ebc72d",
            "1.43.4.10903-e5521bd8c",
            "latest",
        ],
    );
    takes(
        "open-webui",
        r#", "initialMajor": [], "initialMajorMinor": ["0.6", "0.6-ollama"],
            "initialMajorMinorPatch": ["0.9.5", "0.9.5-ollama", "main-ollama", "main"]"#,
        &[
            "0.6",
            "0.6-ollama",
            "0.7",
            "0.8",
            "0.9",
            "v0.9.5",
            "v0.9.5-ollama",
            "v0.9.6",
            "v0.9.6-ollama",
            "v0.10.1",
            "v0.10.1-ollama",
            "v0.10.2",
            "v0.10.2-ollama",
            "0.11.0",
            "v0.11.0",
            "v0.11.0-ollama",
            "v0.11.3",
            "v0.11.4",
            "main",
            "main-ollama",
        ],
    );
    takes(
        "nextcloud",
        r#", "initialMajor": ["30"], "initialMajorMinor": ["30.0"], "initialMajorMinorPatch": []"#,
        &[
            "30", "30.0", "31", "31.0", "32", "32.0", "33", "33.0", "34", "34.0",
        ],
    );
}
