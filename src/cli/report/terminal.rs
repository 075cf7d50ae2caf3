//! The report of a refresh on a terminal: an aligned table with a line for each change, then
//! the counts.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use nix_oci_hashes::reference::{ImageName, Tag};
use nix_oci_hashes::refresh::{Change, ChangeKind, Report};

use super::details::ChangeDetails;
use super::failures::failures;
use super::{UNRECORDED, decisions, held_words, lost_words, platforms, sum, versions, word};
use crate::cli::columns::{Cell, align};

const YELLOW: Style = AnsiColor::Yellow.on_default();

/// The report as text with colour. `outcome` says whether the table was written.
pub(in crate::cli) fn render(report: &Report, outcome: &str) -> String {
    let mut rows: Vec<Vec<Cell>> = decisions(report).map(decision).collect();
    rows.extend(
        report
            .changes
            .iter()
            .map(|change| self::change(report, change)),
    );
    rows.extend(report.held.iter().map(|held| {
        let how = format!("{}, {}", held.digest.short(), held_words(held));
        row("held", YELLOW, format!("{}:{}", held.image, held.tag), how)
    }));
    rows.extend(report.gone.iter().map(|gone| {
        let pin = if gone.pinned { "; its pin is kept" } else { "" };
        row(
            "gone",
            YELLOW,
            format!("{}:{}", gone.image, gone.tag),
            format!("no longer in the registry{pin}"),
        )
    }));
    rows.extend(report.missing_platforms.iter().map(|missing| {
        let how = format!(
            "{} of its pins lack {}; 'refresh --all' requests it again; if the image is not built for it, take \
             it out of 'platforms' in images.json",
            missing.pins, missing.platform
        );
        row("notice", YELLOW, missing.image.to_string(), how)
    }));
    rows.extend(report.ambiguous.iter().map(|of| {
        let how = format!(
            "its index lists {} more than once, with different manifests; the first is pinned",
            of.platform
        );
        row("notice", YELLOW, format!("{}:{}", of.image, of.tag), how)
    }));
    rows.extend(report.missing_manifests.iter().map(|missing| {
        let how = format!("{} of its manifests are {UNRECORDED}", missing.manifests);
        row("notice", YELLOW, missing.image.to_string(), how)
    }));
    rows.extend(report.quotas.iter().map(|(registry, quota)| {
        let of = quota.limit.map(|limit| format!(" of {limit}"));
        let hours = quota.window.div_ceil(3600);
        let (remaining, of) = (quota.remaining, of.unwrap_or_default());
        let how = format!("{remaining}{of} pulls are left within {hours} hours");
        row("quota", AnsiColor::Cyan.on_default(), registry.clone(), how)
    }));
    rows.extend(failures(report).into_iter().map(|failure| {
        let style = AnsiColor::Red.on_default().bold();
        row("failed", style, failure.what().to_owned(), failure.how())
    }));
    let mut text = align(&rows);
    // Writing to a string does not fail.
    let _ = writeln!(text, "{}: {outcome}", sum(report));
    text
}

fn row(word: &str, style: Style, what: String, how: String) -> Vec<Cell> {
    vec![
        Cell::styled(word, style),
        Cell::plain(what),
        Cell::plain(how),
    ]
}

fn decision((image, tag, word, why): (&ImageName, &Tag, &str, String)) -> Vec<Cell> {
    let style = match word {
        "ask" => AnsiColor::Green.on_default(),
        "leave" => Style::new().dimmed(),
        _ => Style::new(),
    };
    row(word, style, format!("{image}:{tag}"), why)
}

fn change(report: &Report, change: &Change) -> Vec<Cell> {
    let Change { image, tag, kind } = change;
    let (colour, mut how) = words(kind);
    if let Some(details) = ChangeDetails::new(report, change) {
        let _ = write!(how, ", {}", details.words(str::to_owned));
        if let Some(link) = details.link() {
            let _ = write!(how, ", {link}");
        }
    }
    row(
        word(kind),
        colour.on_default(),
        format!("{image}:{tag}"),
        how,
    )
}

/// The colour of a change, and the old and new digests.
pub(in crate::cli) fn words(kind: &ChangeKind) -> (AnsiColor, String) {
    match kind {
        ChangeKind::Added { new } => (AnsiColor::Green, new.short().to_string()),
        ChangeKind::Moved {
            old,
            new,
            repushed,
            lost,
        } => {
            let how = format!("{} -> {}{}", old.short(), new.short(), lost_words(lost));
            if *repushed {
                (
                    AnsiColor::Red,
                    format!("{how}, though it is a full version"),
                )
            } else {
                (AnsiColor::Cyan, how)
            }
        }
        ChangeKind::Verified { digest } => {
            let how = format!("{}, platforms recorded", digest.short());
            (AnsiColor::Green, how)
        }
        ChangeKind::Platforms { .. } => (AnsiColor::Cyan, platforms(kind)),
        ChangeKind::Version { old, new } => {
            (AnsiColor::Cyan, versions(old.as_deref(), new.as_deref()))
        }
        ChangeKind::Removed { old } => (AnsiColor::Yellow, old.short().to_string()),
    }
}
