//! An entry of images.json in words.

use std::collections::BTreeSet;

use nix_oci_hashes::images::{Repushed, SignedBy, Strategy, TrackedImage};
use nix_oci_hashes::reference::Precision;

/// Each term of the policy with its descriptions.
pub(super) fn describe(entry: &TrackedImage) -> Vec<(&'static str, Vec<String>)> {
    let strategies = entry.strategies.iter();
    let strategies =
        strategies.map(|(precision, strategy)| strategy_words(entry, *precision, strategy));
    let patterns = entry.patterns.iter().map(ToString::to_string);
    let rows = [
        ("Versions", strategies.collect()),
        ("Variants", variants(entry)),
        ("Patterns", patterns.collect()),
        ("Other tags", texts(&entry.tags)),
        (
            "Never",
            entry.ignore.iter().map(ToString::to_string).collect(),
        ),
        ("Platforms", texts(&entry.platforms)),
        ("New digests", vec![new_digests(entry)]),
        ("Signed by", entry.signed_by.iter().map(signer).collect()),
        (
            "Versions pushed again",
            vec![repushed(entry.repushed).to_owned()],
        ),
        ("Nix store", nix_store(entry.store)),
    ];
    rows.into_iter()
        .filter(|(_, words)| !words.is_empty())
        .collect()
}

fn strategy_words(entry: &TrackedImage, precision: Precision, strategy: &Strategy) -> String {
    let such_as = match precision {
        Precision::Major => "one number, such as 34",
        Precision::MajorMinor => "two numbers, such as 34.0",
        Precision::MajorMinorPatch => "three numbers or more, such as 34.0.4",
    };
    match strategy {
        Strategy::Newest => format!("{such_as}: the {} newest", entry.keep_newest()),
        Strategy::Matching(requirements) => {
            let requirements: Vec<String> = requirements.iter().map(ToString::to_string).collect();
            let keep = entry.keep.map(|keep| format!("the {keep} newest "));
            let keep = keep.unwrap_or_default();
            format!("{such_as}: {keep}{}", requirements.join(" or "))
        }
        Strategy::Since(first) => {
            let since = first
                .iter()
                .map(|(variant, version)| format!("from {}{variant} on", version.to_pin()));
            format!("{such_as}: {}", since.collect::<Vec<_>>().join(", "))
        }
    }
}

/// The variants, unless only plain tags are followed.
fn variants(entry: &TrackedImage) -> Vec<String> {
    let variants = texts(&entry.variants);
    if variants.iter().all(String::is_empty) {
        return Vec::new();
    }
    let name = |variant: String| {
        if variant.is_empty() {
            "none".to_owned()
        } else {
            variant
        }
    };
    variants.into_iter().map(name).collect()
}

fn texts<T: ToString>(values: &BTreeSet<T>) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn new_digests(entry: &TrackedImage) -> String {
    match entry.minimum_age {
        Some(age) => format!("pinned once refreshes have seen them for {age}"),
        None => "pinned by the next refresh".to_owned(),
    }
}

fn signer(signed_by: &SignedBy) -> String {
    match signed_by {
        SignedBy::GitHub(repository) => format!("workflows of github.com/{repository}"),
        SignedBy::Identity { issuer, identity } => format!("{identity}, confirmed by {issuer}"),
        SignedBy::Key(file) => format!("the key {}", file.display()),
    }
}

fn repushed(repushed: Repushed) -> &'static str {
    match repushed {
        Repushed::Report => "pinned, and a person has to review them",
        Repushed::Expected => "pinned: this project rebuilds its releases",
        Repushed::Hold => "not pinned until a person takes them",
    }
}

fn nix_store(store: bool) -> Vec<String> {
    if store {
        vec!["pin.store = true works: the manifests are recorded".to_owned()]
    } else {
        Vec::new()
    }
}
