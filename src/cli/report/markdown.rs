//! The report of a refresh as Markdown, for the body of a pull request.

use std::fmt::Write as _;

use nix_oci_hashes::reference::{Digest, ImageName};
use nix_oci_hashes::refresh::{Change, ChangeKind, Report};

use super::details::ChangeDetails;
use super::failures::failures;
use super::{UNRECORDED, held_words, lost_words, platforms, sum, versions, word};

/// Tables with more rows than this are folded.
const LONG: usize = 12;
/// Longest report, in bytes. The limit of GitHub is 65,536 characters.
const LONGEST: usize = 60_000;

/// The report as Markdown. `outcome` says whether the table was written.
pub(in crate::cli) fn render(report: &Report, outcome: &str) -> String {
    let mut text = format!("**{}**: {outcome}\n", sum(report));
    let of = |wanted: &'static str| {
        let changes = report.changes.iter();
        changes.filter(move |change| word(&change.kind) == wanted)
    };
    let has_lost = |change: &&Change| matches!(&change.kind, ChangeKind::Moved { repushed: false, lost, .. } if !lost.is_empty());
    let repushed: Vec<_> = of("re-pushed")
        .map(|change| moved(report, change))
        .collect();
    let lost: Vec<_> = of("moved")
        .filter(has_lost)
        .map(|change| moved(report, change))
        .collect();
    if !repushed.is_empty() {
        text.push_str(
            "\n> [!WARNING]\n> Full versions have been pushed again: what their tags point to is no \
             longer what was pinned.\n> See what has changed before you merge.\n",
        );
    }
    // Changes that a person has to review come first and are never cut.
    table(&mut text, "re-pushed", MOVED, &repushed, usize::MAX);
    table(
        &mut text,
        "moved, without a tracked platform",
        MOVED,
        &lost,
        usize::MAX,
    );
    let failed = failures(report).into_iter().map(|failure| {
        let what = match &failure.images[..] {
            [image] => link(image),
            _ => code(failure.what()),
        };
        [what, code(&failure.how())]
    });
    let failed: Vec<_> = failed.collect();
    table(&mut text, "failed", &["image", "why"], &failed, LONGEST);
    let others: Vec<_> = of("moved")
        .filter(|change| !has_lost(change))
        .map(|change| moved(report, change))
        .collect();
    table(&mut text, "moved", MOVED, &others, LONGEST);
    for word in ["added", "verified", "removed"] {
        let rows: Vec<_> = of(word).map(|change| single(report, change)).collect();
        table(&mut text, word, &["image", "tag", "digest"], &rows, LONGEST);
    }
    let other = of("platforms").map(|change| {
        [
            link(&change.image),
            code(change.tag.as_str()),
            platforms(&change.kind),
        ]
    });
    table(
        &mut text,
        "with other platforms",
        &["image", "tag", "platforms"],
        &other.collect::<Vec<_>>(),
        LONGEST,
    );
    let recorded = of("version").map(|change| {
        let how = match &change.kind {
            ChangeKind::Version { old, new } => versions(old.as_deref(), new.as_deref()),
            _ => String::new(),
        };
        [link(&change.image), code(change.tag.as_str()), code(&how)]
    });
    let recorded: Vec<_> = recorded.collect();
    let head = &["image", "tag", "old -> new"];
    table(&mut text, "with another version", head, &recorded, LONGEST);
    notices(&mut text, report);
    quotas(&mut text, report);
    text
}

/// Notices: what is not a change of the table but may need attention.
fn notices(text: &mut String, report: &Report) {
    let held = report.held.iter().map(|held| {
        [
            link(&held.image),
            code(held.tag.as_str()),
            short(&held.digest),
            code(&held_words(held)),
        ]
    });
    table(
        text,
        "held: the tags keep their pins",
        &["image", "tag", "digest", "why"],
        &held.collect::<Vec<_>>(),
        LONGEST,
    );
    let gone = report.gone.iter().map(|gone| {
        let pin = if gone.pinned { "its pin is kept" } else { "" };
        [link(&gone.image), code(gone.tag.as_str()), pin.to_owned()]
    });
    table(
        text,
        "no longer in the registry",
        &["image", "tag", ""],
        &gone.collect::<Vec<_>>(),
        LONGEST,
    );
    let missing = report.missing_platforms.iter().map(|missing| {
        [
            link(&missing.image),
            code(missing.platform.as_str()),
            missing.pins.to_string(),
        ]
    });
    table(
        text,
        "without a tracked platform",
        &["image", "platform", "pins"],
        &missing.collect::<Vec<_>>(),
        LONGEST,
    );
    let unrecorded = report
        .missing_manifests
        .iter()
        .map(|missing| [link(&missing.image), missing.manifests.to_string()]);
    table(
        text,
        &format!("with manifests {UNRECORDED}"),
        &["image", "manifests"],
        &unrecorded.collect::<Vec<_>>(),
        LONGEST,
    );
    let ambiguous = report.ambiguous.iter().map(|of| {
        [
            link(&of.image),
            code(of.tag.as_str()),
            code(of.platform.as_str()),
        ]
    });
    table(
        text,
        "with a platform listed more than once: the first is pinned",
        &["image", "tag", "platform"],
        &ambiguous.collect::<Vec<_>>(),
        LONGEST,
    );
}

/// The pull quota that each registry has reported.
fn quotas(text: &mut String, report: &Report) {
    for (registry, quota) in &report.quotas {
        let of = quota.limit.map(|limit| format!(" of {limit}"));
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "\n{}: {}{} pulls are left within {} hours",
            code(registry),
            quota.remaining,
            of.unwrap_or_default(),
            quota.window.div_ceil(3600)
        );
    }
}

const MOVED: &[&str] = &["image", "tag", "old -> new"];

fn moved(report: &Report, change: &Change) -> [String; 3] {
    let Change { image, tag, kind } = change;
    let how = match kind {
        ChangeKind::Moved { old, new, lost, .. } => {
            format!("{} -> {}{}", short(old), short(new), lost_words(lost))
        }
        _ => String::new(),
    };
    let how = format!("{how}{}", details(report, change));
    [link(image), code(tag.as_str()), how]
}

fn single(report: &Report, change: &Change) -> [String; 3] {
    let Change { image, tag, kind } = change;
    let digest = match kind {
        ChangeKind::Added { new } | ChangeKind::Moved { new, .. } => short(new),
        ChangeKind::Verified { digest } => short(digest),
        ChangeKind::Removed { old } => short(old),
        ChangeKind::Platforms { .. } | ChangeKind::Version { .. } => String::new(),
    };
    let digest = format!("{digest}{}", details(report, change));
    [link(image), code(tag.as_str()), digest]
}

/// `, 34.0.4 -> 34.0.5, 2 of 14 layers differ (41 MB), [changes](https://...)`, or nothing.
fn details(report: &Report, change: &Change) -> String {
    let Some(details) = ChangeDetails::new(report, change) else {
        return String::new();
    };
    // A link has no character that means something in Markdown; a version may look like one.
    let link = details.link();
    let link = link.map_or(String::new(), |link| format!(", [changes]({link})"));
    format!(", {}{link}", details.words(code))
}

fn short(digest: &Digest) -> String {
    format!("`{}`", digest.short())
}

/// Appends a table with a heading. A long table is folded. Rows are left out if `text`
/// would become longer than `longest` bytes.
pub(in crate::cli) fn table<const N: usize>(
    text: &mut String,
    what: &str,
    head: &[&str],
    rows: &[[String; N]],
    longest: usize,
) {
    if rows.is_empty() {
        return;
    }
    let is_long = rows.len() > LONG;
    let title = format!("{} {what}", rows.len());
    // Writing to a string does not fail.
    let _ = if is_long {
        write!(text, "\n<details><summary>{title}</summary>\n\n")
    } else {
        write!(text, "\n### {title}\n\n")
    };
    let _ = writeln!(
        text,
        "| {} |\n|{}",
        head.join(" | "),
        " --- |".repeat(head.len())
    );
    for (i, row) in rows.iter().enumerate() {
        let line = format!("| {} |\n", row.join(" | "));
        if text.len() + line.len() > longest {
            let _ = writeln!(text, "\nand {} more", rows.len() - i);
            break;
        }
        text.push_str(&line);
    }
    if is_long {
        text.push_str("\n</details>\n");
    }
}

/// An image, linked to its page where its registry has one.
fn link(image: &ImageName) -> String {
    match page(image) {
        Some(page) => format!("[{image}]({page})"),
        None => code(image.as_str()),
    }
}

/// The page about an image that its registry has for people.
pub(in crate::cli) fn page(image: &ImageName) -> Option<String> {
    let path = image.repository();
    let parts = path.split('/').count();
    match image.registry() {
        "docker.io" => match path.strip_prefix("library/") {
            Some(official) => Some(format!("https://hub.docker.com/_/{official}")),
            None if parts == 2 => Some(format!("https://hub.docker.com/r/{path}")),
            None => None,
        },
        "ghcr.io" if parts >= 2 => Some(format!("https://ghcr.io/{path}")),
        "quay.io" if parts >= 2 => Some(format!("https://quay.io/repository/{path}")),
        "public.ecr.aws" if parts >= 2 => Some(format!("https://gallery.ecr.aws/{path}")),
        "mcr.microsoft.com" => Some(format!("https://mcr.microsoft.com/artifact/mar/{path}")),
        _ => None,
    }
}

/// `text` as code, in which nothing is a link, a mention or markup, and which
/// stays within its cell.
pub(in crate::cli) fn code(text: &str) -> String {
    let longest_run = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest_run + 1);
    let text = text.replace(['\n', '\r'], " ").replace('|', "\\|");
    let space = if text.starts_with('`') || text.ends_with('`') {
        " "
    } else {
        ""
    };
    format!("{fence}{space}{text}{space}{fence}")
}
