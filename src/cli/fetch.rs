//! `nix-oci-hashes fetch`: a manifest or a blob, by its digest.

use std::path::PathBuf;
use std::pin::pin;
use std::str::FromStr;

use anyhow::{Result, bail};
use futures_util::future::{Either, pending, select};
use indicatif::{ProgressBar, ProgressStyle};
use nix_oci_hashes::file::{self, NewFile, is_special};
use nix_oci_hashes::reference::{Digest, ImageName, Reference};
use nix_oci_hashes::registry::{Client, RegistryError};

use super::files::check_folder;
use super::network::{self, Network};
use super::output;
use super::remedy;

/// Fetch a manifest or a blob by its digest
///
/// The content is checked against the digest while it is streamed, and a broken
/// connection is resumed. The file appears only when it is complete and verified.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The image and the digest, such as docker.io/nextcloud@sha256:...
    reference: Reference,

    /// Write the content to this file
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,

    /// Fetch the blob of that digest, a layer or a configuration, not a manifest
    #[arg(long)]
    blob: bool,

    /// The size of the blob in its manifest; content of another size is refused
    #[arg(long, value_name = "BYTES", requires = "blob")]
    size: Option<u64>,

    /// Try this mirror of the registry first, for the same repository; may be repeated
    #[arg(long, value_name = "HOST[/PATH]")]
    mirror: Vec<Mirror>,

    /// Show no progress bar
    #[arg(long, short)]
    quiet: bool,

    #[command(flatten)]
    network: Network,
}

/// A registry that mirrors others, and the path below which it has their repositories.
#[derive(Debug, Clone)]
struct Mirror(String);

impl Mirror {
    /// The repository that mirrors `image`.
    fn of(&self, image: &ImageName) -> Result<ImageName> {
        let name = format!("{}/{}", self.0, image.repository());
        Ok(name.parse()?)
    }
}

impl FromStr for Mirror {
    type Err = anyhow::Error;

    fn from_str(input: &str) -> Result<Self> {
        let mirror = Self(input.trim_end_matches('/').to_owned());
        let registry = mirror.0.split('/').next().unwrap_or_default();
        let sample: ImageName = format!("{}/a", mirror.0).parse()?;
        if sample.registry() != registry.to_lowercase() {
            bail!("write a registry's host, such as mirror.example or localhost:5000");
        }
        Ok(mirror)
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<u8> {
    let Reference { image, digest, .. } = &arguments.reference;
    let Some(digest) = digest else {
        bail!(
            "{} has no digest; write IMAGE@DIGEST, which 'nix-oci-hashes resolve {0}' prints",
            arguments.reference
        );
    };
    check_folder(&arguments.output)?;
    if !arguments.mirror.is_empty() && is_special(&arguments.output) {
        bail!(
            "{}: it is not a file, so the part that a failing mirror sent could not be taken back; \
             leave --mirror out, or write to a file",
            output::name_of(&arguments.output)
        );
    }
    let mirrors = arguments.mirror.iter().map(|mirror| mirror.of(image));
    let mirrors: Vec<ImageName> = mirrors.collect::<Result<_>>()?;
    let client = arguments.network.client()?;
    let runtime = network::runtime()?;
    let fetch = |image: &ImageName| {
        let work = pin!(fetch(&client, image, digest, arguments));
        let interrupt = pin!(interrupt());
        match runtime.block_on(select(work, interrupt)) {
            Either::Left((result, _)) => result,
            // Dropping the work removes the temporary file.
            Either::Right(_) => bail!("interrupted; nothing was written"),
        }
    };
    for mirror in &mirrors {
        match fetch(mirror) {
            Ok(()) => return Ok(output::DONE),
            // Another mirror does not help if the file cannot be written.
            Err(error) if !error.is::<RegistryError>() => return Err(error),
            Err(error) => {
                anstream::eprintln!(
                    "warning: {}; trying the next registry",
                    remedy::error(&error)
                );
            }
        }
    }
    fetch(image)?;
    Ok(output::DONE)
}

/// Waits for Ctrl-C, for ever if the system does not report it.
async fn interrupt() {
    if tokio::signal::ctrl_c().await.is_err() {
        pending::<()>().await;
    }
}

async fn fetch(
    client: &Client,
    image: &ImageName,
    digest: &Digest,
    arguments: &Arguments,
) -> Result<()> {
    let Arguments { output, blob, .. } = arguments;
    if !blob {
        let manifest = client.manifest(image, digest).await?;
        return Ok(file::write(output, &manifest)?);
    }
    let mut blob = client.blob(image, digest, arguments.size).await?;
    let mut file = NewFile::create(output)?;
    let bar = if arguments.quiet {
        ProgressBar::hidden()
    } else {
        bar(image, digest, blob.size())
    };
    while let Some(chunk) = blob.chunk().await? {
        file.append(&chunk)?;
        bar.inc(chunk.len() as u64);
    }
    bar.finish_and_clear();
    Ok(file.commit()?)
}

/// A progress bar on a terminal; nothing in a pipe.
fn bar(image: &ImageName, digest: &Digest, size: u64) -> ProgressBar {
    let bar = ProgressBar::new(size);
    let template = "{prefix} {bar:30.cyan/dim} {bytes:>11}/{total_bytes:11} {bytes_per_sec} {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar.set_prefix(format!("{image} {}", digest.short()));
    bar
}
