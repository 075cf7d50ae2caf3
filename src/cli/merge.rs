//! `nix-oci-hashes merge`: joins the tables of several runs.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use nix_oci_hashes::file::{self, Lock};
use nix_oci_hashes::images::{self, TrackedImage};
use nix_oci_hashes::reference::ImageName;
use nix_oci_hashes::table::Table;
use nix_oci_hashes::table::manifests::Manifests;
use nix_oci_hashes::table::merge::Merge;
use nix_oci_hashes::table::pending::Pending;

use super::files::{check_apart, check_folder, is_same, read_table, write_pending};
use super::manifests::{copy, manifests_of, needed, unneeded};
use super::output;
use super::remedy;

/// Join the tables that several runs of 'refresh --shard' have written
///
/// With --output, joins the manifests and the pending digests beside them too.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The parts, in any order
    #[arg(required = true)]
    file: Vec<PathBuf>,

    /// Write the table here [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Fail if the table misses an image of this images.json, as when a shard is missing
    #[arg(long, value_name = "FILE")]
    images: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8> {
    let files = [
        ("--images", &arguments.images),
        ("--output", &arguments.output),
    ];
    let files = files.map(|(flag, path)| Some((flag, path.as_deref()?)));
    check_apart(&files.into_iter().flatten().collect::<Vec<_>>())?;
    // Locked before anything is read, because the output may be a part too.
    let _lock = match &arguments.output {
        None => None,
        Some(path) => {
            check_folder(path)?;
            Some(Lock::take(path)?)
        }
    };
    let waiting = match arguments.output.as_deref() {
        // What cannot be read is replaced, as the old table is.
        Some(path) if !file::is_special(path) => {
            Pending::read(&Pending::beside(path)).unwrap_or_default()
        }
        _ => Pending::default(),
    };
    let tracked = match &arguments.images {
        Some(path) => Some(images::read(path, remedy::IMAGES)?),
        None => None,
    };
    let mut merge = Merge::default();
    for path in &arguments.file {
        let table = Table::read(path, remedy::TABLE)?;
        if !Pending::beside(path).exists() {
            check_ages(
                path,
                &table,
                &waiting,
                tracked.as_deref().unwrap_or_default(),
            )?;
        }
        merge.add(&output::name_of(&path), table)?;
    }
    let table = merge.finish();
    if let Some(tracked) = &tracked {
        let missing = tracked
            .iter()
            .filter(|entry| !table.images.contains_key(&entry.image));
        let missing: Vec<&str> = missing.map(|entry| entry.image.as_str()).collect();
        if let [first, others @ ..] = &missing[..] {
            let others = match others.len() {
                0 => " is".to_owned(),
                n => format!(" and {n} other tracked images are"),
            };
            bail!("{first}{others} in none of the parts; is a part missing?");
        }
    }
    let Some(path) = arguments.output.as_deref() else {
        output::print(&table.to_json())?;
        return Ok(output::DONE);
    };
    if file::is_special(path) {
        // A pipe has nothing beside it.
        file::write(path, table.to_json().as_bytes())?;
        return Ok(output::DONE);
    }
    let old = read_table(path).ok();
    let old = old.and_then(|(table, digest)| digest.map(|_| table));
    let manifests = Manifests::beside(path);
    let needed = match &tracked {
        Some(tracked) => needed(tracked, &table),
        None => manifests_of(table.images.values()),
    };
    let parts = arguments.file.iter().map(|part| Manifests::beside(part));
    copy(&parts.collect::<Vec<_>>(), &manifests, &needed)?;
    let tracked = tracked.unwrap_or_default();
    // Without an old table, no pin is known to be new.
    if let Some(old) = &old {
        let is_part = arguments.file.iter().any(|part| is_same(part, path));
        check_recorded(&tracked, old, is_part, &table, &manifests)?;
    }
    let pending = joined_pending(&arguments.file)?;
    write_pending(path, &pending)?;
    file::write(path, table.to_json().as_bytes())?;
    manifests.remove(&unneeded(&tracked, &old.unwrap_or_default(), &table))?;
    Ok(output::DONE)
}

/// Checks a part without pending digests beside it. Fails if digests of its images are
/// `waiting`: their ages would begin anew. Says so if they may have begun in this part.
fn check_ages(
    part: &Path,
    table: &Table,
    waiting: &Pending,
    tracked: &[TrackedImage],
) -> Result<()> {
    let path = Pending::beside(part);
    let name = output::name_of(&path);
    let is_of_part = |image: &&ImageName| table.images.contains_key(*image);
    if let Some(image) = waiting.images.keys().find(is_of_part) {
        bail!(
            "{name}: there is no such file, and digests of {image} wait for their age; pass it on \
             with its part"
        );
    }
    let aged = tracked.iter().filter(|entry| entry.minimum_age.is_some());
    if let Some(image) = aged.map(|entry| &entry.image).find(is_of_part) {
        anstream::eprintln!(
            "note: {name} is not there; if a refresh has written it, pass it on with its part, or the ages \
             of digests of {image} never grow"
        );
    }
    Ok(())
}

/// The pending digests beside the parts.
fn joined_pending(parts: &[PathBuf]) -> Result<Pending> {
    let mut joined = Pending::default();
    for part in parts {
        let path = Pending::beside(part);
        for (image, tags) in Pending::read(&path)?.images {
            if joined
                .images
                .get(&image)
                .is_some_and(|other| *other != tags)
            {
                bail!(
                    "{}: {image} has other candidates than in another part; each image is in one shard",
                    output::name_of(&path)
                );
            }
            joined.images.insert(image, tags);
        }
    }
    Ok(joined)
}

/// Fails if a pin of an image with `store` is new and a manifest of it is not recorded:
/// it was recorded beside a part.
fn check_recorded(
    tracked: &[TrackedImage],
    old: &Table,
    is_part: bool,
    table: &Table,
    manifests: &Manifests,
) -> Result<()> {
    for TrackedImage { image, .. } in tracked.iter().filter(|tracked| tracked.store) {
        let old_pins = old.images.get(image);
        // Of an image in another part, no pin is known to be new.
        if is_part && old_pins.is_none() {
            continue;
        }
        for (tag, pin) in table.images.get(image).into_iter().flatten() {
            let old_pin = old_pins.and_then(|pins| pins.get(tag));
            let is_new = old_pin.is_none_or(|old| old.digest != pin.digest);
            let mut digests = pin.platforms.values();
            if is_new && digests.any(|digest| manifests.read(digest).is_none()) {
                bail!(
                    "{image}:{tag} is new, and a manifest of it is beside none of the parts; \
                     pass on the folder 'manifests' with each part"
                );
            }
        }
    }
    Ok(())
}
