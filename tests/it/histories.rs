//! Compares the strategy `true` with the choices of application maintainers.
//!
//! On each day, the newest stable tag that the maintainers chose must be among the tags
//! that `true` selects from the tags known by that day.
use std::collections::{BTreeMap, BTreeSet};

use nix_oci_hashes::images;
use nix_oci_hashes::reference::{HexBuilds, Tag, VariantPattern, Version, by_version};
use nix_oci_hashes::refresh::{Options, plan};
use nix_oci_hashes::table::Pins;
use nix_oci_hashes::table::pending::PendingTags;
use serde_json::{Value, json};

use crate::support::project;

const RELEASE: &str = "RELEASE.{major}-{minor}-{patch}T{build}-{build}-{build}Z";

/// Images whose tags are versions only with a pattern.
const PATTERNS: &[(&str, &[&str])] = &[
    ("minio/minio", &[RELEASE]),
    ("quay.io/minio/aistor/minio", &[RELEASE]),
    (
        "fireflyiii/data-importer",
        &["version-{major}.{minor}.{patch}"],
    ),
    (
        "geti2p/i2p",
        &[
            "i2p-{major}.{minor}.{patch}",
            "i2p-{major}.{minor}.{patch}-{build}",
        ],
    ),
    (
        "ghcr.io/lukegus/termix",
        &["release-{major}.{minor}.{patch}"],
    ),
];

/// Images for which `true` does not select the maintainers' choice: how often, and why.
const EXCEPTIONS: &[(&str, usize, &str)] = &[
    (
        "ghcr.io/coollabsio/coolify",
        33,
        "prereleases of 4.0.0 alone: a requirement has to name one",
    ),
    (
        "ghcr.io/linuxserver/lazylibrarian",
        1,
        "commits, one of which has digits alone (60706032-ls291)",
    ),
    (
        "mrcas/kapowarr",
        1,
        "a prerelease before the first release (v1.0.0-beta-4)",
    ),
    (
        "rustfs/rustfs",
        35,
        "prereleases of 1.0.0 alone: a requirement has to name one",
    ),
];

/// Images whose maintainers chose tags that are no versions: on how many days, and which.
const NO_VERSIONS: &[(&str, usize, &str)] = &[
    ("1337kavin/bg-helper-server", 1, "latest"),
    ("1337kavin/piped-proxy", 1, "latest"),
    ("amrit3701/lens", 3, "words such as backend-latest"),
    ("ghcr.io/journeydocker/plex-auto-languages", 1, "a word"),
    (
        "ghcr.io/linuxserver/lazylibrarian",
        59,
        "commits such as e65abd21-ls144",
    ),
    ("ghcr.io/logseq/logseq-webapp", 1, "latest"),
    (
        "ghcr.io/toeverything/affine-graphql",
        2,
        "a word and a commit, stable-e043ecf",
    ),
    ("lancachenet/monolithic", 1, "latest"),
    ("machines/filestash", 1, "latest"),
    ("nextpvr/nextpvr_amd64", 1, "stable"),
    (
        "opencloudeu/web-extensions",
        9,
        "many programs in one repository, such as draw-io-1.0.0",
    ),
    ("plexinc/pms-docker", 1, "plexpass"),
    (
        "tensorchord/pgvecto-rs",
        1,
        "a version within words, pg15-v0.2.0",
    ),
];

/// The tags that an entry selects from those that a registry lists.
fn selected(entry: &Value, listed: &BTreeSet<Tag>) -> BTreeSet<Tag> {
    let content = json!([entry]).to_string();
    let tracked = images::parse(content.as_bytes(), "images.json").unwrap();
    let plan = plan(
        &tracked[0],
        &Pins::new(),
        &PendingTags::new(),
        listed,
        &Options::default(),
    );
    plan.requested().cloned().collect()
}

/// The tags that maintainers chose on each day.
fn days(history: &Value) -> BTreeMap<&str, BTreeSet<Tag>> {
    let mut days: BTreeMap<&str, BTreeSet<Tag>> = BTreeMap::new();
    for (tag, day) in history.as_object().unwrap() {
        let tags = days.entry(day.as_str().unwrap()).or_default();
        tags.insert(tag.parse().unwrap());
    }
    days
}

/// The entries of this repository, by image.
fn catalogue() -> BTreeMap<String, Value> {
    let text = std::fs::read_to_string(project().join("images.json")).unwrap();
    let entries: Vec<Value> = serde_json::from_str(&text).unwrap();
    let entries = entries.into_iter();
    entries
        .map(|entry| (entry["image"].as_str().unwrap().to_owned(), entry))
        .collect()
}

#[test]
fn this_repository_takes_what_maintainers_chose() {
    let file: Value = serde_json::from_str(include_str!("../cases/app-histories.json")).unwrap();
    let catalogue = catalogue();
    let (mut images, mut days_seen) = (0, 0);
    let mut missed = Vec::new();
    for (name, history) in file["images"].as_object().unwrap() {
        let image = match name.split_once('/') {
            Some((host, _)) if host.contains('.') => name.clone(),
            _ => format!("docker.io/{name}"),
        };
        let Some(entry) = catalogue.get(&image) else {
            continue;
        };
        // A requirement leaves out old releases on purpose.
        if entry["strategies"].to_string().contains(">=") {
            continue;
        }
        images += 1;
        let variants = entry.get("variants").cloned().unwrap_or(json!([""]));
        let variants = variants.as_array().unwrap();
        let mut known = BTreeSet::new();
        for (day, tags) in days(history) {
            known.extend(tags.iter().cloned());
            let builds = HexBuilds::among(known.iter().map(Tag::as_str));
            let is_tracked = |tag: &&Tag| {
                let version = Version::parse_among(tag.as_str(), &builds, &[]);
                let variant = version.map(|version| VariantPattern::of_rebuild(version.variant()));
                variant.is_some_and(|variant| variants.contains(&json!(variant.as_str())))
            };
            let tracked = tags.iter().filter(is_tracked);
            let Some(choice) = tracked.max_by_key(|tag| by_version(tag)) else {
                continue;
            };
            days_seen += 1;
            if !selected(entry, &known).contains(choice) {
                missed.push(format!("{image} {day} {choice}"));
            }
        }
    }
    assert!(images > 70 && days_seen > 1_500, "{images} {days_seen}");
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn this_repository_takes_releases_of_official_images() {
    let file: Value = serde_json::from_str(include_str!("../cases/official-images.json")).unwrap();
    let mut images = 0;
    for (image, entry) in catalogue() {
        let Some(facts) = file["images"].get(&image) else {
            continue;
        };
        images += 1;
        assert_eq!(entry["repushed"], "expected", "{image}");
        let architectures = facts["architectures"].as_array().unwrap();
        for architecture in ["amd64", "arm64v8"] {
            assert!(architectures.contains(&json!(architecture)), "{image}");
        }
        let listed = facts["tags"].as_array().unwrap();
        let listed = listed.iter().map(|tag| tag.as_str().unwrap());
        let listed: BTreeSet<Tag> = listed.map(|tag| tag.parse().unwrap()).collect();
        let taken = selected(&entry, &listed);
        let versions = taken.iter().filter_map(Tag::version);
        assert!(versions.clone().count() >= 3, "{image}: {taken:?}");
        assert!(versions.clone().all(|version| !version.is_prerelease()));
        let empty = Vec::new();
        let words = entry["tags"].as_array().unwrap_or(&empty);
        for word in words.iter().map(|word| word.as_str().unwrap()) {
            assert!(listed.contains(&word.parse().unwrap()), "{image}:{word}");
        }
    }
    assert!(images >= 20, "{images}");
}

#[test]
fn the_readme_counts_the_tracked_images() {
    let readme = std::fs::read_to_string(project().join("README.md")).unwrap();
    let count = format!("The table tracks {} images", catalogue().len());
    assert!(readme.contains(&count), "{count}");
}

#[test]
fn true_selects_what_maintainers_chose() {
    let file: Value = serde_json::from_str(include_str!("../cases/app-histories.json")).unwrap();
    let mut steps = 0;
    let mut missed: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut no_versions: BTreeMap<&str, usize> = BTreeMap::new();
    for (image, history) in file["images"].as_object().unwrap() {
        let patterns = PATTERNS.iter().find(|(of, _)| of == image);
        let mut known = BTreeSet::new();
        for (day, tags) in days(history) {
            known.extend(tags.iter().cloned());
            let builds = HexBuilds::among(known.iter().map(Tag::as_str));
            // If several majors were updated on one day, compare with the newest.
            let choice = tags.iter().max_by_key(|tag| by_version(tag)).unwrap();
            let mut entry = json!({ "image": "r.example/a" });
            if let Some((_, patterns)) = patterns {
                entry["pattern"] = json!(patterns);
            } else if let Some(version) = Version::parse_among(choice.as_str(), &builds, &[]) {
                let variant = VariantPattern::of_rebuild(version.variant());
                entry["variants"] = json!([variant.as_str()]);
            } else {
                *no_versions.entry(image.as_str()).or_default() += 1;
                continue;
            }
            steps += 1;
            if !selected(&entry, &known).contains(choice) {
                let missed = missed.entry(image).or_default();
                missed.push(format!("{day} {choice}"));
            }
        }
    }
    let expected = NO_VERSIONS.iter().map(|(image, days, _)| (*image, *days));
    assert_eq!(no_versions, expected.collect());
    let unexpected: Vec<_> = missed
        .iter()
        .filter(|(image, tags)| {
            !EXCEPTIONS
                .iter()
                .any(|(of, times, _)| of == *image && *times == tags.len())
        })
        .collect();
    assert!(unexpected.is_empty(), "of {steps}: {unexpected:#?}");
    assert_eq!(missed.len(), EXCEPTIONS.len());
    assert!(steps > 5_000, "{steps}");
}
