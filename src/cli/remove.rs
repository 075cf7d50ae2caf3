//! `nix-oci-hashes remove`: stop tracking an image.

use anyhow::{Result, bail};
use nix_oci_hashes::reference::ImageName;
use nix_oci_hashes::table::manifests::Manifests;
use nix_oci_hashes::table::pending::Pending;
use nix_oci_hashes::{file, images};

use super::files::{Files, read_table, write_pending};
use super::manifests::unneeded;
use super::output;

/// Take an image and its pins out of both files
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The image, such as docker.io/nextcloud
    image: ImageName,

    #[command(flatten)]
    files: Files,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8> {
    let Arguments { image, files } = arguments;
    let locks = files.lock()?;
    let mut editor = files.editor()?;
    let (old, _) = read_table(&files.digests)?;
    let mut table = old.clone();
    let was_tracked = editor.remove(image);
    let pins = table.images.remove(image);
    if !was_tracked && pins.is_none() {
        bail!("{image} is not tracked; 'nix-oci-hashes list' shows what is");
    }
    let mut pending = Pending::read(&Pending::beside(&files.digests))?;
    if was_tracked {
        file::write(&files.images, editor.text().as_bytes())?;
    }
    if pending.images.remove(image).is_some() {
        write_pending(&files.digests, &pending)?;
    }
    if pins.is_some() {
        file::write(&files.digests, table.to_json().as_bytes())?;
    }
    let images = images::parse(editor.text().as_bytes(), &output::name_of(&files.images))?;
    Manifests::beside(&files.digests).remove(&unneeded(&images, &old, &table))?;
    drop(locks);
    let pins = pins.map_or(0, |pins| pins.len());
    output::print(&format!("{image}: removed, with {pins} pins\n"))?;
    Ok(output::DONE)
}
