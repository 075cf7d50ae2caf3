//! `nix-oci-hashes resolve`: ask the registry, not the table.

use anyhow::Result;
use nix_oci_hashes::name::Reference;
use nix_oci_hashes::platform::Platform;
use nix_oci_hashes::resolve::resolve;

use super::network::{self, Network};

/// Ask the registry what a reference points to now, and print it pinned
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The reference, such as docker.io/nextcloud:34
    #[arg(value_name = "REF")]
    reference: Reference,

    /// Answer with this platform's manifest: linux/arm64, or a Nix system such as aarch64-linux
    #[arg(long)]
    platform: Option<Platform>,

    #[command(flatten)]
    network: Network,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8> {
    let client = arguments.network.client()?;
    let work = resolve(&client, &arguments.reference, arguments.platform.as_ref());
    let pinned = network::runtime()?.block_on(work)?;
    super::print(&format!("{pinned}\n"))?;
    Ok(super::DONE)
}
