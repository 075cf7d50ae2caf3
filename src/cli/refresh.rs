//! `nix-oci-hashes refresh`: follow the registries and rewrite the table.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nix_oci_hashes::images;
use nix_oci_hashes::refresh::{Options, refresh};
use nix_oci_hashes::table::Table;

use super::network::{self, Network};
use super::progress::Bars;
use super::report;

/// Some images failed; the rest was written.
const SOME_FAILED: u8 = 2;
/// `--check`: the table is not up to date.
const WOULD_WRITE: u8 = 3;

/// Find new versions and new digests in the registries and rewrite the table
///
/// Exits with 0 when done, 1 on an error of its own (a bad file, a bad flag, a
/// table that cannot be written), 2 if some images failed (the rest is
/// written), 3 if --check would write.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Which images are tracked
    #[arg(long, value_name = "FILE", default_value = "images.json")]
    images: PathBuf,

    /// The table of pins; made where there is none
    #[arg(long, value_name = "FILE", default_value = "digests.json")]
    digests: PathBuf,

    /// Write nothing, and exit with 3 if there is something to write
    #[arg(long)]
    check: bool,

    #[command(flatten)]
    network: Network,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8> {
    let images = images::read(&arguments.images)?;
    let path = &arguments.digests;
    let (old, old_text) = read_table(path)?;
    let client = arguments.network.client()?;
    let runtime = network::runtime()?;
    let bars = Bars::default();
    let (table, report) =
        runtime.block_on(refresh(&images, &old, &client, &Options::default(), &bars));
    bars.finish();

    let stale = old_text.as_deref() != Some(table.to_json().as_bytes());
    let mut written = Ok(());
    let outcome = match (stale, arguments.check) {
        (false, _) => "is up to date",
        (true, true) => "is not up to date",
        (true, false) => {
            written = table.write(path);
            if written.is_ok() {
                "written"
            } else {
                "not written"
            }
        }
    };
    let outcome = format!("{} {outcome}", path.display());
    let printed = super::print(&report::render(&report, &outcome));
    written?;
    printed?;
    Ok(if stale && arguments.check {
        WOULD_WRITE
    } else if report.problems.is_empty() {
        super::DONE
    } else {
        SOME_FAILED
    })
}

/// The table and its text; an empty table where there is no file yet.
fn read_table(path: &Path) -> Result<(Table, Option<Vec<u8>>)> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // Found out now, not when every registry has been asked.
            let folder = path.parent().unwrap_or(Path::new(""));
            if !folder.as_os_str().is_empty() && !folder.is_dir() {
                bail!(
                    "{}: its folder does not exist; create it first",
                    path.display()
                );
            }
            Ok((Table::default(), None))
        }
        _ => {
            let text = std::fs::read(path)
                .with_context(|| format!("{}: see that you may read it", path.display()))?;
            let table = Table::parse(&text, &path.display().to_string())?;
            Ok((table, Some(text)))
        }
    }
}
