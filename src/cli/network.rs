//! The flags of every verb that sends requests to registries.

use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix_oci_hashes::registry::{Client, Options};
use tokio::runtime::{Builder, Runtime};

/// How requests to registries are sent.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Network")]
pub(super) struct Network {
    /// Requests at once to each registry
    #[arg(long, value_name = "N", default_value = "32")]
    jobs: NonZeroUsize,

    /// Retries of a failed request
    #[arg(long, value_name = "N", default_value = "4")]
    retries: u32,

    /// Time limit for each registry, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "1800")]
    deadline: u32,

    /// Allow plain http for this registry if it has no https (always allowed on loopback); may be repeated
    #[arg(long, value_name = "HOST[:PORT]")]
    insecure_registry: Vec<String>,
}

impl Network {
    pub(super) fn client(&self) -> Result<Client> {
        let client = Client::new(Options {
            jobs: self.jobs,
            insecure_registries: self.insecure_registry.iter().cloned().collect(),
            retries: self.retries,
            deadline: Duration::from_secs(self.deadline.into()),
            ..Options::default()
        })?;
        Ok(client)
    }
}

/// An async runtime on this thread.
pub(super) fn runtime() -> Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the network runtime")
}
