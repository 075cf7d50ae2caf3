//! Compares the strategy `true` with the choices of application maintainers.
//!
//! On each day, the newest stable tag that the maintainers chose must be among the tags
//! that `true` selects from the tags known by that day.
use std::collections::{BTreeMap, BTreeSet};

use nix_oci_hashes::images;
use nix_oci_hashes::reference::{HexBuilds, Tag, VariantPattern, Version, by_version};
use nix_oci_hashes::refresh::{Options, plan};
use nix_oci_hashes::table::Pins;
use serde_json::{Value, json};

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
    let plan = plan(&tracked[0], &Pins::new(), listed, &Options::default());
    plan.requested().cloned().collect()
}

#[test]
fn true_selects_what_maintainers_chose() {
    let file: Value = serde_json::from_str(include_str!("../cases/app-histories.json")).unwrap();
    let mut steps = 0;
    let mut missed: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut no_versions: BTreeMap<&str, usize> = BTreeMap::new();
    for (image, history) in file["images"].as_object().unwrap() {
        let patterns = PATTERNS.iter().find(|(of, _)| of == image);
        let mut days: BTreeMap<&str, BTreeSet<Tag>> = BTreeMap::new();
        for (tag, day) in history.as_object().unwrap() {
            let tags = days.entry(day.as_str().unwrap()).or_default();
            tags.insert(tag.parse().unwrap());
        }
        let mut known = BTreeSet::new();
        for (day, tags) in days {
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
