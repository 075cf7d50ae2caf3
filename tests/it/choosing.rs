//! Which tags of real projects a refresh requests.
//!
//! Each file in tests/cases/tags is the tag list of a project, and names its source.
use std::collections::{BTreeMap, BTreeSet};

use nix_oci_hashes::images;
use nix_oci_hashes::reference::{Tag, VariantPattern, by_version};
use nix_oci_hashes::refresh::{Decision, Options, Plan, RequestReason, plan};
use nix_oci_hashes::table::Pins;
use nix_oci_hashes::table::pending::PendingTags;
use serde_json::{Value, json};

/// The tags of `project` that an entry with `fields` requests.
fn requested(project: &str, fields: &str) -> Vec<String> {
    let path = format!(
        "{}/tests/cases/tags/{project}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let list: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    requested_from(&list, fields)
}

/// The tags of `list` that an entry with `fields` requests.
fn requested_from(list: &Value, fields: &str) -> Vec<String> {
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
    let plan = plan(&tracked, &Pins::new(), &PendingTags::new(), &tags, &options);
    assert!(
        tags.iter().all(|tag| plan.decisions.contains_key(tag)),
        "every tag has a reason"
    );
    assert_at_most_keep(&tracked, &plan);
    let mut taken: Vec<&Tag> = plan.requested().collect();
    taken.sort_by_cached_key(|tag| by_version(tag));
    taken.iter().map(ToString::to_string).collect()
}

/// Asserts that, without a requirement, at most `keep` releases of each precision and
/// variant are requested.
fn assert_at_most_keep(tracked: &images::TrackedImage, plan: &Plan) {
    let mut releases: BTreeMap<String, BTreeSet<Vec<u64>>> = BTreeMap::new();
    for (tag, decision) in &plan.decisions {
        if let Decision::Request(RequestReason::Newest { precision, .. }) = decision {
            let version = tracked
                .recorded_version(tag)
                .or_else(|| tag.version())
                .unwrap();
            let variant = VariantPattern::of_rebuild(version.variant());
            let numbers = version.numbers().to_vec();
            releases
                .entry(format!("{precision}{variant}"))
                .or_default()
                .insert(numbers);
        }
    }
    for (of, numbers) in releases {
        let is_single = tracked.variants.len() == 1;
        assert!(
            !is_single || numbers.len() <= tracked.keep_newest(),
            "{of}: {numbers:?}"
        );
    }
}

#[track_caller]
fn assert_requested(project: &str, fields: &str, expected: &[&str]) {
    assert_eq!(requested(project, fields), expected, "{project} {fields}");
}

#[test]
fn an_entry_without_fields_requests_the_newest_tags() {
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
        // Two releases differ in the fourth number.
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
        assert_requested(project, "", expected);
    }
}

#[test]
fn dates_counters_and_builds_are_no_releases() {
    for (project, expected) in [
        // Nightlies are builds of a release to come (12.3.0-17718666199).
        (
            "grafana",
            &["13.0", "13.1", "13.2.1", "13.2.2", "13.2.3"][..],
        ),
        // After 10.11 comes 12.0, without a third number; 2026041305 is a date.
        (
            "jellyfin",
            &[
                "10", "10.11", "10.11.9", "10.11.10", "10.11.11", "12", "12.0", "12.1",
            ],
        ),
        // 19.0-20260817 is a build of 19.0.
        ("odoo", &["17", "17.0", "18", "18.0", "19", "19.0"]),
        ("linuxserver-jellyfin", &["10.11.9", "10.11.10", "10.11.11"]),
        // 5 was the last major with short tags; those of 1 and 2 are older.
        (
            "elasticsearch",
            &[
                "1", "2", "5", "5.4", "5.5", "5.6", "9.4.5", "9.5.1", "9.5.2",
            ],
        ),
        ("photon", &["3.0", "4.0", "5.0"]),
        (
            "gitea",
            &["1", "1.25", "1.26", "1.27", "1.27.0", "1.27.1", "1.27.2"],
        ),
        (
            "keycloak",
            &["26.5", "26.6", "26.7", "26.7.0", "26.7.1", "26.7.2"],
        ),
        // Commits, and tags that need a pattern or a variant.
        ("huginn", &[]),
        ("minio", &[]),
        ("homebridge", &[]),
        ("sonarqube", &[]),
        ("immich-postgres", &[]),
    ] {
        assert_requested(project, "", expected);
    }
}

#[test]
fn the_newest_of_images_with_many_release_lines() {
    for (project, expected) in [
        (
            "mysql",
            &[
                "8", "9", "9.6", "9.7", "9.7.1", "9.7.2", "26", "26.7", "26.7.0",
            ][..],
        ),
        (
            "mongo",
            &[
                "6", "7", "8", "8.0", "8.2", "8.3", "8.3.4", "8.3.7", "8.3.8",
            ],
        ),
        (
            "node",
            &[
                "24", "25", "26", "26.5", "26.5.1", "26.6", "26.6.0", "26.7", "26.7.0",
            ],
        ),
        (
            "python",
            &[
                "2", "3", "3.12", "3.13", "3.14", "3.14.5", "3.14.6", "3.14.7",
            ],
        ),
        // The project's tag 6.0 points to the prerelease 6.0-alpha2.
        (
            "cassandra",
            &[
                "3", "4", "4.1", "5", "5.0", "5.0.7", "5.0.8", "5.0.9", "6.0",
            ],
        ),
        ("elasticsearch-elastic", &["9.5.1", "9.5.2", "9.5.3"]),
        (
            "authentik-server",
            &[
                "2026.2", "2026.5", "2026.8", "2026.8.1", "2026.8.2", "2026.8.3",
            ],
        ),
    ] {
        assert_requested(project, "", expected);
    }
}

#[test]
fn strategies_variants_and_tags() {
    assert_requested(
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
    assert_requested(
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
    assert_requested(
        "gitlab-ce",
        r#", "variants": ["-ce.#"], "tags": ["latest"]"#,
        &["19.2.4-ce.0", "19.3.0-ce.0", "19.4.1-ce.0", "latest"],
    );
    assert_requested(
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
    assert_requested(
        "immich-server",
        r#", "strategies": { "major": true, "major-minor-patch": ">=3.1" }, "tags": ["release"]"#,
        &["v2", "v3.1.0", "v3.2.0", "v3.2.2", "v3.2.4", "release"],
    );
    assert_requested(
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
    assert_requested(
        "traefik",
        r#", "strategies": { "major": true, "major-minor-patch": true }, "keep": 1"#,
        &["3", "v3", "3.7.11", "v3.7.11"],
    );
}

#[test]
fn patterns() {
    let minio =
        r#", "pattern": "RELEASE.{major}-{minor}-{patch}T{build}-{build}-{build}Z", "keep": 2"#;
    assert_requested(
        "minio",
        minio,
        &[
            "RELEASE.2025-09-06T17-38-46Z",
            "RELEASE.2025-09-07T16-13-09Z",
        ],
    );
    assert_requested(
        "eclipse-temurin",
        r#", "pattern": ["{major}.{minor}.{patch}_{build}-jdk", "{major}.{minor}.{patch}.{revision}_{build}-jdk"],
            "strategies": { "major-minor-patch": ["^17", "^21"] }, "keep": 1"#,
        &["17.0.20_8-jdk", "21.0.12_8-jdk"],
    );
    assert_requested(
        "homebridge",
        r#", "pattern": "{major}-{minor}-{patch}", "tags": ["latest"]"#,
        &["2026-05-22", "2026-06-24", "2026-09-02", "latest"],
    );
    // Skips the abandoned release line (v5.8.1) and tags with two numbers.
    assert_requested(
        "pihole",
        r#", "strategies": { "major-minor-patch": true }"#,
        &["2026.07.0", "2026.07.1", "2026.07.2"],
    );
}

#[test]
fn only_the_highest_build_of_a_release_is_requested() {
    for (project, fields, expected) in [
        (
            "odoo",
            r#", "variants": ["-#"], "strategies": { "major-minor": ">=18" }"#,
            &["18.0-20260817", "19.0-20260817"][..],
        ),
        (
            "grafana",
            r#", "variants": ["-security-#"]"#,
            &[
                "12.3.6-security-04",
                "12.4.3-security-02",
                "13.0.1-security-01",
            ],
        ),
        (
            "immich-postgres",
            r#", "variants": ["-vectorchord#.#.#-pgvectors#.#.#"], "strategies": { "major": ["^14", "^16"] }"#,
            &[
                "14-vectorchord0.4.3-pgvectors0.3.0",
                "16-vectorchord0.4.3-pgvectors0.3.0",
            ],
        ),
        (
            "bitnami-postgresql",
            r#", "variants": ["-debian-#-r#"]"#,
            &[
                "17.4.0-debian-12-r19",
                "17.5.0-debian-12-r20",
                "17.6.0-debian-12-r4",
            ],
        ),
        // Since 7.0.0, the counter has leading zeros.
        (
            "zammad",
            r#", "variants": ["-#"]"#,
            &["7.1.1-0035", "7.1.2-0016", "7.1.3-0014"],
        ),
        (
            "sonarqube",
            r#", "variants": ["-community"], "strategies": { "major-minor-patch": true }, "keep": 1"#,
            &["26.8.0.126808-community"],
        ),
    ] {
        assert_requested(project, fields, expected);
    }
}

#[test]
fn prerelease_words_that_are_listed_as_variants_are_variants() {
    let lists: Value = serde_json::from_str(include_str!("../cases/official-images.json")).unwrap();
    for (image, fields, expected) in [
        ("docker.io/openjdk", "", &[][..]),
        ("docker.io/openjdk", r#", "variants": ["-ea"]"#, &["28-ea"]),
        (
            "docker.io/haproxy",
            r#", "variants": ["-dev"]"#,
            &["3.5-dev"],
        ),
    ] {
        let list = json!({ "image": image, "tags": lists["images"][image]["tags"] });
        assert_eq!(requested_from(&list, fields), expected, "{image} {fields}");
    }
}

#[test]
fn abandoned_release_lines_are_skipped_by_a_bound_or_by_name() {
    let lists: Value = serde_json::from_str(include_str!("../cases/linuxserver.json")).unwrap();
    for (image, fields, expected) in [
        (
            "docker.io/linuxserver/qbittorrent",
            r#", "strategies": { "major-minor-patch": "<14" }, "keep": 3"#,
            &["5.2.1", "5.2.2", "5.2.3"][..],
        ),
        (
            "docker.io/linuxserver/qbittorrent",
            r#", "strategies": { "major-minor-patch": true }, "ignore": ["20.04.1", "14.*"], "keep": 1"#,
            &["5.2.3"],
        ),
        (
            "docker.io/linuxserver/unifi-network-application",
            r#", "strategies": { "major-minor-patch": true }, "keep": 1"#,
            &["10.4.57"],
        ),
        (
            "docker.io/linuxserver/sonarr",
            r#", "strategies": { "major-minor-patch": true }, "variants": ["", "-ls#"], "keep": 2"#,
            &["4.0.18", "4.0.18.2971-ls315", "4.0.19", "4.0.19.2979-ls316"],
        ),
    ] {
        let list = json!({ "image": image, "tags": lists["images"][image] });
        assert_eq!(requested_from(&list, fields), expected, "{image} {fields}");
    }
}

#[test]
fn prereleases_only_where_a_requirement_names_one() {
    assert_requested(
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
    assert_requested(
        "postgres",
        r#", "strategies": { "major": ">=19.0.0-beta1" }"#,
        &["19beta1", "19beta2", "19beta3"],
    );
    assert_requested(
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

/// Entries of the first nix-oci-hashes, which this project replaces.
#[test]
fn the_fields_of_the_first_nix_oci_hashes() {
    assert_requested(
        "home-assistant",
        r#", "initialMajor": [], "initialMajorMinor": ["2026.5"], "initialMajorMinorPatch": ["2026.8.1"]"#,
        &[
            "2026.5", "2026.6", "2026.7", "2026.8", "2026.8.1", "2026.8.2", "2026.8.3",
        ],
    );
    assert_requested(
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
    assert_requested(
        "open-webui",
        r#", "initialMajor": [], "initialMajorMinor": ["0.6", "0.6-ollama"],
            "initialMajorMinorPatch": ["0.9.5", "0.9.5-ollama", "main-ollama", "main"]"#,
        &[
            "0.6",
            "0.6-ollama",
            "0.7",
            "0.8",
            "0.9",
            "0.9.5",
            "v0.9.5",
            "0.9.5-ollama",
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
    assert_requested(
        "nextcloud",
        r#", "initialMajor": ["30"], "initialMajorMinor": ["30.0"], "initialMajorMinorPatch": []"#,
        &[
            "30", "30.0", "31", "31.0", "32", "32.0", "33", "33.0", "34", "34.0",
        ],
    );
}
