//! `nix-oci-hashes site`: the table as a website.

mod catalogue;
mod pages;
mod policy;
mod snippets;

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use nix_oci_hashes::file::plain;
use nix_oci_hashes::table::Table;

use catalogue::Catalogue;
use snippets::Answers;

use super::events::events;
use super::files::Files;
use super::output;
use super::revisions::log;

/// How many of the last commits are read for the history of the images.
const MOST_COMMITS: usize = 400;

/// Write a website with a page for each image
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The folder to write, which must be new or empty
    #[arg(long, value_name = "DIR")]
    output: PathBuf,

    /// The title of the front page
    #[arg(long, default_value = "Pinned container images")]
    title: String,

    #[command(flatten)]
    files: Files,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8> {
    let Arguments {
        output,
        title,
        files,
    } = arguments;
    let name = output::name_of(output);
    if std::fs::read_dir(output).is_ok_and(|mut files| files.next().is_some()) {
        bail!("{name}: this folder is not empty; name a new folder, or remove it");
    }
    if output.exists() && !output.is_dir() {
        bail!("{name}: this is a file; name a new folder");
    }
    let (table, _) = files.existing_table()?;
    let tracked = files.tracked_if_any()?;
    if table.images.is_empty() && tracked.is_empty() {
        bail!("there is no image yet; track one with 'nix-oci-hashes add IMAGE'");
    }
    let log = log(&files.digests);
    let events = match &log {
        Ok(log) => {
            log.note_if_shallow();
            events(&files.digests, log, MOST_COMMITS, None, &tracked)?
        }
        Err(error) => {
            anstream::eprintln!("note: the pages have no history: {error:#}");
            Vec::new()
        }
    };
    let answers = if Table::built_in().is_ok_and(|built_in| built_in == table) {
        Answers::BuiltIn
    } else {
        Answers::OwnTable
    };
    let catalogue = Catalogue::new(&table, &tracked, &events);
    for (path, text) in pages::render(&catalogue, title, answers)? {
        write(&output.join(path), &text)?;
    }
    write(&output.join("digests.json"), &table.to_json())?;
    let (images, tags) = (catalogue.images.len(), catalogue.tags());
    output::print(&format!(
        "images: {images}, tags: {tags}; open {name}/index.html\n"
    ))?;
    Ok(output::DONE)
}

/// Writes a new file, and its folder.
fn write(path: &Path, content: &str) -> Result<()> {
    let write = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // An image named like a page must not replace it.
        File::create_new(path)?.write_all(content.as_bytes())
    };
    write()
        .map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => anyhow!("two pages have one name"),
            _ => anyhow!(plain(&error)),
        })
        .with_context(|| format!("{}: cannot be written", output::name_of(&path)))
}
