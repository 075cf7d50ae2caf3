//! The report of a refresh: an aligned table, a line a change, then the sum.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use nix_oci_hashes::refresh::{Change, ChangeKind, Report};

/// One line: what happened, to what, and how.
struct Row {
    word: &'static str,
    style: Style,
    what: String,
    how: String,
}

/// The report as text, with colour: `outcome` is what became of the table.
pub(super) fn render(report: &Report, outcome: &str) -> String {
    let mut rows: Vec<Row> = report.changes.iter().map(change).collect();
    rows.extend(report.gone.iter().map(|gone| {
        let pin = if gone.pinned { "; its pin is kept" } else { "" };
        Row {
            word: "gone",
            style: AnsiColor::Yellow.on_default(),
            what: format!("{}:{}", gone.image, gone.tag),
            how: format!("no longer in the registry{pin}"),
        }
    }));
    rows.extend(report.lacking.iter().map(|lacking| Row {
        word: "notice",
        style: AnsiColor::Yellow.on_default(),
        what: lacking.image.to_string(),
        how: format!(
            "{} of its pins lack {}, which the registry does not offer there; if none should have \
             it, take it out of 'platforms' in images.json",
            lacking.pins, lacking.platform
        ),
    }));
    rows.extend(report.problems.iter().map(|(image, problem)| Row {
        word: "failed",
        style: AnsiColor::Red.on_default().bold(),
        what: image.to_string(),
        how: problem.to_string(),
    }));
    let width = |cell: fn(&Row) -> &str| rows.iter().map(|row| cell(row).len()).max().unwrap_or(0);
    let (words, whats) = (width(|row| row.word), width(|row| &row.what));
    let mut text = String::new();
    for Row {
        word,
        style,
        what,
        how,
    } in &rows
    {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{style}{word:<words$}{style:#}  {what:<whats$}  {how}"
        );
    }
    let _ = writeln!(text, "{}: {outcome}", counts(report));
    text
}

fn change(Change { image, tag, kind }: &Change) -> Row {
    let (word, colour, how) = match kind {
        ChangeKind::Added { new } => ("added", AnsiColor::Green, new.short().to_owned()),
        ChangeKind::Moved { old, new, repushed } => {
            let how = format!("{} -> {}", old.short(), new.short());
            if *repushed {
                (
                    "re-pushed",
                    AnsiColor::Red,
                    format!("{how}, though it is a full version"),
                )
            } else {
                ("moved", AnsiColor::Cyan, how)
            }
        }
        ChangeKind::Verified { digest } => (
            "verified",
            AnsiColor::Green,
            format!("{}, platforms recorded", digest.short()),
        ),
        ChangeKind::Platforms { added, removed } => {
            let added = added.iter().map(|platform| format!("+{platform}"));
            let removed = removed.iter().map(|platform| format!("-{platform}"));
            let how: Vec<String> = added.chain(removed).collect();
            ("platforms", AnsiColor::Cyan, how.join(", "))
        }
        ChangeKind::Removed { old } => ("removed", AnsiColor::Yellow, old.short().to_owned()),
    };
    Row {
        word,
        style: colour.on_default(),
        what: format!("{image}:{tag}"),
        how,
    }
}

/// `2 added, 1 moved, 0 removed, 9 kept`, and what else there was.
fn counts(report: &Report) -> String {
    let count = |matches: fn(&ChangeKind) -> bool| {
        report
            .changes
            .iter()
            .filter(|change| matches(&change.kind))
            .count()
    };
    let always = [
        (
            "added",
            count(|kind| matches!(kind, ChangeKind::Added { .. })),
        ),
        (
            "moved",
            count(|kind| {
                matches!(
                    kind,
                    ChangeKind::Moved {
                        repushed: false,
                        ..
                    }
                )
            }),
        ),
        (
            "removed",
            count(|kind| matches!(kind, ChangeKind::Removed { .. })),
        ),
        ("kept", report.kept),
    ];
    let sometimes = [
        (
            "re-pushed",
            count(|kind| matches!(kind, ChangeKind::Moved { repushed: true, .. })),
        ),
        (
            "verified",
            count(|kind| matches!(kind, ChangeKind::Verified { .. })),
        ),
        (
            "with other platforms",
            count(|kind| matches!(kind, ChangeKind::Platforms { .. })),
        ),
        ("gone", report.gone.len()),
        ("failed", report.problems.len()),
    ];
    let sometimes = sometimes.into_iter().filter(|(_, count)| *count > 0);
    let parts: Vec<String> = always
        .into_iter()
        .chain(sometimes)
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
    parts.join(", ")
}
