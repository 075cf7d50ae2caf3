//! `nix-oci-hashes diff`: what differs between two tables, or two NixOS generations.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nix_oci_hashes::refresh::compare;
use nix_oci_hashes::table::Table;

use super::files::{Files, read_table};
use super::generations::{self, Generation};
use super::output;
use super::report::{self, Outcome};
use super::revisions::table_at;

/// Show what differs between two tables, or between the containers of two NixOS generations
///
/// Each is a file, a git revision of the table such as HEAD~7, or a generation
/// such as /nix/var/nix/profiles/system-41-link or /run/current-system.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The old table or generation
    #[arg(default_value = "HEAD")]
    old: String,

    /// The new table or generation [default: the table of --digests]
    new: Option<String>,

    #[command(flatten)]
    files: Files,

    /// Print Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,

    /// Print a message for a commit of the new table
    #[arg(long, conflicts_with_all = ["json", "markdown"])]
    commit_message: bool,

    /// Print JSON: the report of docs/schema/report.schema.json, or a list of containers
    #[arg(long)]
    json: bool,
}

/// What an argument names.
enum Side {
    Table(Table),
    Generation(Generation),
}

pub(super) fn run(arguments: &Arguments) -> Result<u8> {
    let Arguments {
        old,
        new,
        files,
        markdown,
        commit_message,
        json,
    } = arguments;
    let name = output::name_of(&files.digests);
    let title = format!("{old} -> {}", new.as_deref().unwrap_or(&name));
    let old = side(old, files)?;
    let old = old.unwrap_or_else(|| {
        anstream::eprintln!("note: there was no {name} then: all pins are new");
        Side::Table(Table::default())
    });
    let new = match new {
        Some(new) => side(new, files)?.with_context(|| format!("{new} has no {name}"))?,
        None => Side::Table(files.existing_table()?.0),
    };
    let text = match (old, new) {
        (Side::Table(old), Side::Table(new)) => {
            let report = compare(&files.tracked_if_any()?, &old, &new);
            let outcome = if report.changes.is_empty() {
                Outcome::UpToDate
            } else {
                Outcome::NotUpToDate
            };
            if *commit_message {
                report::commit::render(&report, &old, &new)
            } else if *markdown {
                report::markdown::render(&report, &format!("`{title}`"))
            } else if *json {
                report::json::render(&report, &title, outcome)
            } else {
                report::terminal::render(&report, &title)
            }
        }
        (Side::Generation(old), Side::Generation(new)) => {
            let changes = generations::compare(&old, &new);
            if *commit_message {
                bail!("--commit-message needs two tables, and these are generations");
            }
            if *markdown {
                changes.to_markdown(&title)
            } else if *json {
                changes.to_json()
            } else {
                changes.to_text(&title)
            }
        }
        _ => bail!("one is a table and the other a generation; name two tables or two generations"),
    };
    output::print(&text)?;
    Ok(output::DONE)
}

/// What `name` names; `None` for a revision without the table.
fn side(name: &str, files: &Files) -> Result<Option<Side>> {
    let path = PathBuf::from(name);
    if path.is_dir() {
        return Ok(Some(Side::Generation(Generation::read(&path)?)));
    }
    if path.exists() {
        return Ok(Some(Side::Table(read_table(&path)?.0)));
    }
    if name.starts_with('-') || name.is_empty() {
        bail!("'{name}' is no file and no revision");
    }
    let digests: &Path = &files.digests;
    let text = table_at(digests, name).with_context(|| {
        format!(
            "{name} is no file, no generation, and no git revision of {}",
            output::name_of(&digests)
        )
    })?;
    let table = text.map(|text| Table::parse(&text, name)).transpose()?;
    Ok(table.map(Side::Table))
}
