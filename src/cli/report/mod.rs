//! The report of a refresh: for the terminal, as Markdown for a pull request, and as JSON.

pub(super) mod commit;
mod details;
mod failures;
pub(super) mod json;
pub(super) mod markdown;
pub(super) mod terminal;

use std::fmt;
use std::time::Duration;

use nix_oci_hashes::reference::{ImageName, Platform, Tag, by_version};
use nix_oci_hashes::refresh::{ChangeKind, Decision, Held, HoldReason, Report};

/// What became of the table.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    UpToDate,
    NotUpToDate,
    Written,
    NotWritten,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UpToDate => "is up to date",
            Self::NotUpToDate => "is not up to date",
            Self::Written => "written",
            Self::NotWritten => "not written",
        })
    }
}

/// Why manifests of old pins are missing.
const UNRECORDED: &str = "not recorded: the registry no longer has them, or its pull quota is spent; the next refresh tries again";

/// The counts of a report in the order in which they are shown. The first four are shown
/// even if they are 0.
fn counts(report: &Report) -> [(&'static str, usize); 12] {
    let count = |word: &str| {
        let changes = report.changes.iter();
        changes
            .filter(|change| self::word(&change.kind) == word)
            .count()
    };
    [
        ("added", count("added")),
        ("moved", count("moved")),
        ("removed", count("removed")),
        ("kept", report.kept),
        ("re-pushed", count("re-pushed")),
        ("verified", count("verified")),
        ("with other platforms", count("platforms")),
        ("with another version", count("version")),
        ("manifests recorded", report.manifests_recorded),
        ("held", report.held.len()),
        ("gone", report.gone.len()),
        ("failed", report.problems.len()),
    ]
}

/// The counts in one line: `2 added, 1 moved, 0 removed, 9 kept`, then those that are not 0.
fn sum(report: &Report) -> String {
    let counts = counts(report).into_iter().enumerate();
    let told = counts.filter(|(i, (_, count))| *i < 4 || *count > 0);
    let parts: Vec<String> = told
        .map(|(_, (word, count))| format!("{count} {word}"))
        .collect();
    parts.join(", ")
}

/// The decision for every tag, in one word, and its reason, by image and version.
fn decisions(report: &Report) -> impl Iterator<Item = (&ImageName, &Tag, &'static str, String)> {
    let images = report.decisions.iter();
    images.flat_map(|(image, tags)| {
        let mut tags: Vec<_> = tags.iter().collect();
        tags.sort_by_cached_key(|(tag, _)| by_version(tag));
        tags.into_iter().map(move |(tag, decision)| {
            let (word, why) = match decision {
                Decision::Request(taken) => ("ask", taken.to_string()),
                Decision::Keep(kept) => ("keep", kept.to_string()),
                Decision::Skip(left) => ("leave", left.to_string()),
            };
            (image, tag, word, why)
        })
    })
}

/// One word for the change of a pin.
pub(super) fn word(kind: &ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added { .. } => "added",
        ChangeKind::Moved { repushed: true, .. } => "re-pushed",
        ChangeKind::Moved { .. } => "moved",
        ChangeKind::Verified { .. } => "verified",
        ChangeKind::Platforms { .. } => "platforms",
        ChangeKind::Version { .. } => "version",
        ChangeKind::Removed { .. } => "removed",
    }
}

/// Why a digest is not pinned, and how a person takes it.
fn held_words(Held { image, reason, .. }: &Held) -> String {
    match reason {
        HoldReason::TooYoung { age, minimum } => {
            format!("seen for {} of {minimum}", hours(*age))
        }
        HoldReason::Repushed => format!(
            "a full version that points to another digest; 'refresh --now --image {image}' takes it"
        ),
        HoldReason::Unsigned(unsigned) => unsigned.to_string(),
    }
}

/// `0h`, `47h` or `2d 3h`.
fn hours(age: Duration) -> String {
    let hours = age.as_secs() / 3600;
    match (hours / 24, hours % 24) {
        (0 | 1, _) => format!("{hours}h"),
        (days, 0) => format!("{days}d"),
        (days, hours) => format!("{days}d {hours}h"),
    }
}

/// `2025.9.7 -> 2025.9.8`, or `none` for a missing version.
fn versions(old: Option<&str>, new: Option<&str>) -> String {
    format!("{} -> {}", old.unwrap_or("none"), new.unwrap_or("none"))
}

/// `, no longer for linux/arm64`, or nothing.
fn lost_words(lost: &[Platform]) -> String {
    if lost.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = lost.iter().map(Platform::as_str).collect();
    format!(", no longer for {}", names.join(", "))
}

/// `+linux/arm64, -linux/386`
fn platforms(kind: &ChangeKind) -> String {
    let ChangeKind::Platforms { added, removed } = kind else {
        return String::new();
    };
    let added = added.iter().map(|platform| format!("+{platform}"));
    let removed = removed.iter().map(|platform| format!("-{platform}"));
    added.chain(removed).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
