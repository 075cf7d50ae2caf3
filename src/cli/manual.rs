//! `nix-oci-hashes manual`: the manual pages, for those who package the command.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::CommandFactory as _;
use nix_oci_hashes::json::plain;

/// Write the manual pages, one a verb, into a folder that exists
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    folder: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8> {
    let folder = &arguments.folder;
    clap_mangen::generate_to(super::Command::command(), folder).map_err(|error| {
        anyhow!(
            "cannot write the manual pages to {}: {}; name a folder that exists and can be written to",
            super::name_of(&folder),
            plain(&error)
        )
    })?;
    Ok(super::DONE)
}
