//! `nix-oci-hashes merge`: joins the tables of several runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Result, bail};
use nix_oci_hashes::file::{self, Lock};
use nix_oci_hashes::images;
use nix_oci_hashes::reference::Digest;
use nix_oci_hashes::table::Table;
use nix_oci_hashes::table::manifests::Manifests;
use nix_oci_hashes::table::merge::Merge;

use super::files::{check_apart, check_folder};
use super::manifests::{copy, needed};
use super::output;
use super::remedy;

/// Join the tables that several runs of 'refresh --shard' have written
///
/// With --output, joins the manifests beside them too.
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
    let mut merge = Merge::default();
    for path in &arguments.file {
        merge.add(&output::name_of(&path), Table::read(path, remedy::TABLE)?)?;
    }
    let table = merge.finish();
    let tracked = match &arguments.images {
        Some(path) => Some(images::read(path, remedy::IMAGES)?),
        None => None,
    };
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
    match &arguments.output {
        None => output::print(&table.to_json())?,
        Some(path) => {
            let needed = match &tracked {
                Some(tracked) => needed(tracked, &table),
                None => all_manifests(&table),
            };
            let parts: Vec<Manifests> = arguments
                .file
                .iter()
                .map(|part| Manifests::beside(part))
                .collect();
            let manifests = Manifests::beside(path);
            copy(&parts, &manifests, &needed)?;
            file::write(path, table.to_json().as_bytes())?;
            manifests.remove_others(&needed)?;
        }
    }
    Ok(output::DONE)
}

/// The manifests that any pin names.
fn all_manifests(table: &Table) -> BTreeSet<&Digest> {
    let pins = table.images.values().flat_map(BTreeMap::values);
    pins.flat_map(|pin| pin.platforms.values()).collect()
}
