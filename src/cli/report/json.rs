//! The report of a refresh as JSON, of docs/schema/report.schema.json.

use nix_oci_hashes::refresh::{Change, ChangeKind, HoldReason, Problem, Report};
use serde_json::{Map, Value, json};

use super::details::ChangeDetails;
use super::{Outcome, counts, decisions, held_words, word};
use crate::cli::remedy;

/// The version of the schema.
const VERSION: u64 = 1;

/// The report as JSON. `outcome` says whether `table` was written.
pub(in crate::cli) fn render(report: &Report, table: &str, outcome: Outcome) -> String {
    let outcome = match outcome {
        Outcome::UpToDate => "up-to-date",
        Outcome::NotUpToDate => "not-up-to-date",
        Outcome::Written => "written",
        Outcome::NotWritten => "not-written",
    };
    let counts: Map<String, Value> = counts(report)
        .into_iter()
        .map(|(word, count)| (key(word).to_owned(), count.into()))
        .collect();
    let gone = report.gone.iter();
    let gone = gone.map(|gone| json!({ "image": gone.image.as_str(), "tag": gone.tag.as_str(), "pinned": gone.pinned }));
    let held = report.held.iter().map(|held| {
        let reason = match &held.reason {
            HoldReason::TooYoung { .. } => "minimumAge",
            HoldReason::Repushed => "repushed",
            HoldReason::Unsigned(_) => "signedBy",
        };
        json!({
            "image": held.image.as_str(), "tag": held.tag.as_str(), "digest": held.digest.to_string(),
            "reason": reason, "message": held_words(held),
        })
    });
    let missing = report.missing_platforms.iter().map(|missing| {
        json!({ "image": missing.image.as_str(), "platform": missing.platform.as_str(), "pins": missing.pins })
    });
    let ambiguous = report.ambiguous.iter().map(|of| {
        json!({ "image": of.image.as_str(), "tag": of.tag.as_str(), "platform": of.platform.as_str() })
    });
    let unrecorded = report
        .missing_manifests
        .iter()
        .map(|missing| json!({ "image": missing.image.as_str(), "manifests": missing.manifests }));
    let problems = report.problems.iter().map(|(image, problem)| {
        let tag = match problem {
            Problem::Image(_) => None,
            Problem::Tag { tag, .. }
            | Problem::NoSuchTag(tag)
            | Problem::NoPlatform { tag, .. }
            | Problem::NotRecorded { tag, .. } => Some(tag.as_str()),
        };
        json!({ "image": image.as_str(), "tag": tag, "message": remedy::problem(problem) })
    });
    let quotas = report.quotas.iter().map(|(registry, quota)| {
        json!({
            "registry": registry, "remaining": quota.remaining, "limit": quota.limit,
            "windowSeconds": quota.window,
        })
    });
    let decisions = decisions(report).map(|(image, tag, word, reason)| {
        json!({ "image": image.as_str(), "tag": tag.as_str(), "decision": word, "reason": reason })
    });
    let changes = report.changes.iter().map(|change| {
        let mut value = self::change(change);
        if let Some(details) = ChangeDetails::new(report, change) {
            value["details"] = details.json();
        }
        value
    });
    let document = json!({
        "version": VERSION,
        "table": table,
        "outcome": outcome,
        "counts": counts,
        "changes": changes.collect::<Vec<_>>(),
        "held": held.collect::<Vec<_>>(),
        "gone": gone.collect::<Vec<_>>(),
        "lacking": missing.collect::<Vec<_>>(),
        "ambiguous": ambiguous.collect::<Vec<_>>(),
        "missingManifests": unrecorded.collect::<Vec<_>>(),
        "problems": problems.collect::<Vec<_>>(),
        "quotas": quotas.collect::<Vec<_>>(),
        "decisions": decisions.collect::<Vec<_>>(),
    });
    format!("{document:#}\n")
}

/// A count's name as a key.
fn key(word: &str) -> &str {
    match word {
        "re-pushed" => "repushed",
        "with other platforms" => "platforms",
        "with another version" => "versions",
        "manifests recorded" => "manifestsRecorded",
        word => word,
    }
}

/// A change, of the schema's `changes`.
pub(in crate::cli) fn change(Change { image, tag, kind }: &Change) -> Value {
    let mut value = json!({ "kind": word(kind), "image": image.as_str(), "tag": tag.as_str() });
    match kind {
        ChangeKind::Added { new } => value["new"] = new.to_string().into(),
        ChangeKind::Moved { old, new, lost, .. } => {
            value["old"] = old.to_string().into();
            value["new"] = new.to_string().into();
            if !lost.is_empty() {
                let lost = lost.iter().map(ToString::to_string);
                value["platformsRemoved"] = lost.collect::<Vec<_>>().into();
            }
        }
        ChangeKind::Verified { digest } => value["new"] = digest.to_string().into(),
        ChangeKind::Platforms { added, removed } => {
            let names = |platforms: &[_]| {
                platforms
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
            };
            value["platformsAdded"] = names(added).into();
            value["platformsRemoved"] = names(removed).into();
        }
        ChangeKind::Version { old, new } => {
            value["oldVersion"] = old.clone().into();
            value["newVersion"] = new.clone().into();
        }
        ChangeKind::Removed { old } => value["old"] = old.to_string().into(),
    }
    value
}
