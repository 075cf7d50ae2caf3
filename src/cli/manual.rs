//! `nix-oci-hashes manual`: writes the manual pages, for packagers.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use nix_oci_hashes::file::plain;

use super::output;

/// Write the manual pages, one a verb, into a folder that exists
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    folder: PathBuf,
}

pub(super) fn run(arguments: &Arguments, command: clap::Command) -> Result<u8> {
    let folder = &arguments.folder;
    clap_mangen::generate_to(command, folder).map_err(|error| {
        anyhow!(
            "cannot write the manual pages to {}: {}; name a folder that exists and can be written to",
            output::name_of(&folder),
            plain(&error)
        )
    })?;
    Ok(output::DONE)
}
