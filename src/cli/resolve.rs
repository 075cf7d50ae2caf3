//! `nix-oci-hashes resolve`: the answer of the registry, without a table.

use anyhow::Result;
use nix_oci_hashes::resolve::resolve;

use super::lookup::QueryArguments;
use super::network::{self, Network};
use super::output;

/// Ask the registry what a reference points to now, and print it pinned
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    query_arguments: QueryArguments,

    #[command(flatten)]
    network: Network,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8> {
    let client = arguments.network.client()?;
    let query = arguments.query_arguments.query()?;
    let pinned = network::runtime()?.block_on(resolve(&client, &query))?;
    output::print(&format!("{pinned}\n"))?;
    Ok(output::DONE)
}
