//! `nix-oci-hashes history`: when a tag pointed where.

use std::sync::Arc;

use anstyle::Style;
use anyhow::{Context as _, Result, bail};
use nix_oci_hashes::images::TrackedImage;
use nix_oci_hashes::reference::Reference;
use nix_oci_hashes::refresh::{Change, compare};
use nix_oci_hashes::table::{LazyTable, Pins, Table};
use serde_json::Value;

use super::columns::{Cell, align};
use super::files::Files;
use super::output;
use super::report::{json as report_json, terminal, word};
use super::revisions::{Commit, commits, read_each};

/// Show when a tag pointed where, from the table's history in git
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The tag, such as docker.io/nextcloud:34, or an image for all its tags
    reference: Reference,

    #[command(flatten)]
    files: Files,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a commit changed.
struct Event<'a> {
    commit: &'a Commit,
    change: Change,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8> {
    let Arguments {
        reference,
        files,
        json,
    } = arguments;
    if reference.digest.is_some() {
        bail!("a digest has no history; leave it out");
    }
    let commits = commits(&files.digests).with_context(|| {
        format!(
            "{}: its history cannot be read",
            output::name_of(&files.digests)
        )
    })?;
    let tracked = files.tracked_if_any()?;
    let events = events(reference, files, &commits, &tracked)?;
    if events.is_empty() {
        let name = output::name_of(&files.digests);
        bail!("{reference} was never pinned in {name}; 'nix-oci-hashes list' shows what is");
    }
    let text = if *json {
        let events = events.iter().rev().map(as_json);
        format!("{:#}\n", Value::from(events.collect::<Vec<_>>()))
    } else {
        align(&events.iter().rev().map(row).collect::<Vec<_>>())
    };
    output::print(&text)?;
    Ok(output::DONE)
}

/// The changes, oldest first.
fn events<'a>(
    reference: &Reference,
    files: &Files,
    commits: &'a [Commit],
    tracked: &[TrackedImage],
) -> Result<Vec<Event<'a>>> {
    let mut events = Vec::new();
    let mut old: Arc<Pins> = Arc::default();
    let table = |pins: &Pins| Table {
        images: [(reference.image.clone(), pins.clone())].into(),
    };
    read_each(&files.digests, commits.iter().rev(), |commit, text| {
        let lazy = LazyTable::from_text(text, &output::name_of(&files.digests));
        // A table that could not be read then changed nothing.
        let Ok(pins) = lazy.pins(&reference.image) else {
            return Ok(());
        };
        let pins = pins.unwrap_or_default();
        if pins == old {
            return Ok(());
        }
        let report = compare(tracked, &table(&old), &table(&pins));
        let changes = report.changes.into_iter().filter(|change| {
            let tag = reference.tag.as_ref();
            tag.is_none_or(|tag| *tag == change.tag)
        });
        events.extend(changes.map(|change| Event { commit, change }));
        old = pins;
        Ok(())
    })?;
    Ok(events)
}

fn row(Event { commit, change }: &Event<'_>) -> Vec<Cell> {
    let (colour, how) = terminal::words(&change.kind);
    vec![
        Cell::plain(commit.date.clone()),
        Cell::styled(
            commit.id.get(..10).unwrap_or_default(),
            Style::new().dimmed(),
        ),
        Cell::styled(word(&change.kind), colour.on_default()),
        Cell::plain(change.tag.as_str()),
        Cell::plain(how),
    ]
}

fn as_json(Event { commit, change }: &Event<'_>) -> Value {
    let mut value = report_json::change(change);
    value["commit"] = commit.id.clone().into();
    value["date"] = commit.date.clone().into();
    value
}
