//! `nix-oci-hashes history`: when a tag pointed where.

use anstyle::Style;
use anyhow::{Context as _, Result, bail};
use nix_oci_hashes::reference::Reference;
use serde_json::Value;

use super::columns::{Cell, align};
use super::events::{Event, events};
use super::files::Files;
use super::output;
use super::report::{json as report_json, terminal, word};
use super::revisions::log;

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

pub(super) fn run(arguments: &Arguments) -> Result<u8> {
    let Arguments {
        reference,
        files,
        json,
    } = arguments;
    if reference.digest.is_some() {
        bail!("a digest has no history; leave it out");
    }
    let log = log(&files.digests).with_context(|| {
        format!(
            "{}: its history cannot be read",
            output::name_of(&files.digests)
        )
    })?;
    log.note_if_shallow();
    let tracked = files.tracked_if_any()?;
    let image = Some(&reference.image);
    let mut events = events(&files.digests, &log, usize::MAX, image, &tracked)?;
    if let Some(tag) = &reference.tag {
        events.retain(|event| event.change.tag == *tag);
    }
    if events.is_empty() {
        if log.is_shallow {
            bail!(
                "{reference} has no changes in this clone; get older ones with 'git fetch --unshallow'"
            );
        }
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

fn row(Event { commit, change }: &Event<'_>) -> Vec<Cell> {
    let (colour, how) = terminal::words(&change.kind);
    vec![
        Cell::plain(commit.date()),
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
    value["date"] = commit.date().into();
    value
}
