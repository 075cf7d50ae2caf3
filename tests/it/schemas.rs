//! The JSON Schemas accept the same files as the parsers.
use jsonschema::Validator;
use nix_oci_hashes::images;
use nix_oci_hashes::table::Table;
use serde_json::{Value, json};

fn read(path: &str) -> String {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

fn schema(name: &str) -> Validator {
    let schema: Value =
        serde_json::from_str(&read(&format!("docs/schema/{name}.schema.json"))).unwrap();
    jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .unwrap()
}

/// Whether the schema accepts an entry, and whether the parser does.
fn accepted(schema: &Validator, entry: &Value) -> (bool, bool) {
    let file = json!([entry]);
    let parsed = images::parse(file.to_string().as_bytes(), "images.json");
    (schema.is_valid(&file), parsed.is_ok())
}

#[test]
fn images_json() {
    let schema = schema("images");
    let committed: Value = serde_json::from_str(&read("images.json")).unwrap();
    assert!(schema.is_valid(&committed));
    for entry in [
        json!({ "image": "docker.io/nextcloud" }),
        json!({ "image": "localhost/a" }),
        json!({ "image": "registry:5000/a/b__c/d--e.f" }),
        json!({ "image": "[::1]:5000/a" }),
        json!({ "image": "GHCR.io/a" }),
        json!({ "image": "a.io/a", "platforms": ["linux/arm/v7", "x86_64-linux"] }),
        json!({ "image": "a.io/a", "strategies": {} }),
        json!({ "image": "a.io/a", "strategies": { "major": true, "major-minor": ">=1, <3", "major-minor-patch": "*" } }),
        json!({ "image": "a.io/a", "variants": ["", "-fpm", "-ce.#", "-ls#"], "keep": 5, "tags": ["latest", "v1_2"] }),
        json!({ "image": "a.io/a", "initialMajor": ["30", "stable"], "initialMajorMinor": [] }),
        json!({ "image": "a.io/a", "variants": ["-debian-#-r#", "-#"] }),
        json!({ "image": "a.io/a", "strategies": { "major": ["^17", "^21 || >=24 <26"] }, "keep": 1 }),
        json!({ "image": "a.io/a", "pattern": "RELEASE.{major}-{minor}-{patch}T{build}-{build}-{build}Z" }),
        json!({ "image": "a.io/a", "pattern": ["{major}_{build}-jdk", "{major}-{minor}"], "ignore": ["*-nightly", "20.04.1"] }),
        json!({ "image": "a.io/a", "minimumAge": "3d", "repushed": "hold" }),
        json!({ "image": "a.io/a", "minimumAge": "12h", "repushed": "expected" }),
        json!({ "image": "a.io/a", "minimumAge": "2w", "repushed": "report" }),
    ] {
        assert_eq!(accepted(&schema, &entry), (true, true), "{entry}");
    }
    for entry in [
        json!({}),
        json!([]),
        json!("docker.io/a"),
        json!({ "image": "nextcloud" }),
        json!({ "image": "docker.io/Nextcloud" }),
        json!({ "image": "docker.io/a:1" }),
        json!({ "image": "docker.io/a//b" }),
        json!({ "image": "docker.io/-a" }),
        json!({ "image": "https://docker.io/a" }),
        json!({ "image": "a.io/a", "tag": "latest" }),
        json!({ "image": "a.io/a", "minimumAge": "3 days" }),
        json!({ "image": "a.io/a", "minimumAge": "0d" }),
        json!({ "image": "a.io/a", "minimumAge": 3 }),
        json!({ "image": "a.io/a", "repushed": "ignore" }),
        json!({ "image": "a.io/a", "platforms": [] }),
        json!({ "image": "a.io/a", "platforms": ["linux"] }),
        json!({ "image": "a.io/a", "platforms": "linux/amd64" }),
        json!({ "image": "a.io/a", "strategies": { "patch": true } }),
        json!({ "image": "a.io/a", "strategies": { "major": false } }),
        json!({ "image": "a.io/a", "strategies": { "major": "newest" } }),
        json!({ "image": "a.io/a", "strategies": true }),
        json!({ "image": "a.io/a", "variants": ["fpm"] }),
        json!({ "image": "a.io/a", "variants": ["-##"] }),
        json!({ "image": "a.io/a", "variants": ["-#1"] }),
        json!({ "image": "a.io/a", "strategies": { "major": "34.0.4" } }),
        json!({ "image": "a.io/a", "strategies": { "major": [] } }),
        json!({ "image": "a.io/a", "strategies": { "major": [true] } }),
        json!({ "image": "a.io/a", "strategies": { "major": "^v2" } }),
        json!({ "image": "a.io/a", "strategies": { "major": "~>2" } }),
        json!({ "image": "a.io/a", "pattern": "{minor}" }),
        json!({ "image": "a.io/a", "pattern": "{major}{minor}" }),
        json!({ "image": "a.io/a", "pattern": "{major}.{number}" }),
        json!({ "image": "a.io/a", "pattern": [] }),
        json!({ "image": "a.io/a", "ignore": ["a b"] }),
        json!({ "image": "a.io/a", "ignore": "a" }),
        json!({ "image": "a.io/a", "keep": 0 }),
        json!({ "image": "a.io/a", "keep": "3" }),
        json!({ "image": "a.io/a", "tags": ["a b"] }),
        json!({ "image": "a.io/a", "tags": [""] }),
        json!({ "image": "a.io/a", "strategies": {}, "initialMajor": [] }),
    ] {
        assert_eq!(accepted(&schema, &entry), (false, false), "{entry}");
    }
}

#[test]
fn digests_json() {
    let schema = schema("digests");
    let committed: Value = serde_json::from_str(&read("digests.json")).unwrap();
    assert!(schema.is_valid(&committed));
    let digest = format!("sha256:{}", "0a".repeat(32));
    let with = |pin: Value| json!({ "version": 1, "images": { "a.io/a": { "1": pin } } });
    let recorded = |pin: Value| json!({ "version": 2, "images": { "a.io/a": { "1": pin } } });
    for (file, is_good) in [
        (json!({ "version": 1, "images": {} }), true),
        (json!({ "version": 1, "images": { "a.io/a": {} } }), true),
        (with(json!({ "digest": digest })), true),
        (
            with(json!({ "digest": format!("sha512:{}", "0a".repeat(64)) })),
            true,
        ),
        (
            with(json!({ "digest": digest, "platforms": { "linux/arm/v7": digest } })),
            true,
        ),
        (json!({ "version": 2, "images": {} }), true),
        (
            recorded(json!({ "digest": digest, "version": "17.0.8.1+1", "variant": "-jdk" })),
            true,
        ),
        (
            recorded(json!({ "digest": digest, "version": "2024.11" })),
            true,
        ),
        (
            recorded(json!({ "digest": digest, "version": "2024.01" })),
            false,
        ),
        (recorded(json!({ "digest": digest, "version": 1 })), false),
        (
            recorded(json!({ "digest": digest, "variant": "-jdk" })),
            false,
        ),
        (
            recorded(json!({ "digest": digest, "version": "1", "variant": "jdk" })),
            false,
        ),
        (json!({ "version": 3, "images": {} }), false),
        (json!({ "version": 1 }), false),
        (json!([]), false),
        (
            json!({ "version": 1, "images": { "a.io/a": { "a b": { "digest": digest } } } }),
            false,
        ),
        (with(json!({})), false),
        (with(json!({ "digest": "sha256:00" })), false),
        (with(json!({ "digest": digest.to_uppercase() })), false),
        (with(json!({ "digest": digest, "size": 1 })), false),
        (
            with(json!({ "digest": digest, "platforms": { "linux": digest } })),
            false,
        ),
        (
            with(json!({ "digest": digest, "platforms": { "linux/amd64": "x" } })),
            false,
        ),
    ] {
        let parsed = Table::parse(file.to_string().as_bytes(), "digests.json").is_ok();
        assert_eq!(
            (schema.is_valid(&file), parsed),
            (is_good, is_good),
            "{file}"
        );
    }
}

#[test]
fn the_report() {
    let schema = schema("report");
    // The snapshot of the command's own tests, which has every field.
    let snapshot =
        read("src/cli/report/snapshots/nix_oci_hashes__cli__report__tests__as_json.snap");
    let text = snapshot.splitn(3, "---\n").nth(2).unwrap();
    let mut report: Value = serde_json::from_str(text).unwrap();
    assert!(
        schema.is_valid(&report),
        "{:?}",
        schema
            .iter_errors(&report)
            .map(|e| e.to_string())
            .collect::<Vec<_>>()
    );
    // The schema rejects fields that it does not document.
    report["changes"][0]["extra"] = json!(1);
    assert!(!schema.is_valid(&report));
}
