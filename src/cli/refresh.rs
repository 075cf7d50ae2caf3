//! `nix-oci-hashes refresh`: follow the registries and rewrite the table.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use nix_oci_hashes::file::{self, Lock};
use nix_oci_hashes::images::{self, MinimumAge, TrackedImage};
use nix_oci_hashes::reference::{Algorithm, Digest, ImageName};
use nix_oci_hashes::refresh::{Options, Report, Scope, Services, Shard, State, refresh};
use nix_oci_hashes::table::pending::Pending;

use super::files::{
    Files, check_apart, check_folder, read_table, write_pending, write_pending_of_part,
};
use super::manifests::{ManifestRecorder, needed, unneeded};
use super::network::{self, Network};
use super::output;
use super::progress::Bars;
use super::remedy;
use super::report::{self, Outcome};
use super::signatures::Signatures;

/// Exit code of `--check`: the table is not up to date.
const WOULD_WRITE: u8 = 3;

/// Find new versions and new digests in the registries and rewrite the table
///
/// Exits with 0 when done, 1 on an error of its own (a bad file, a bad flag, a
/// table that cannot be written), 2 if some images failed (the rest is
/// written), 3 if --check would write.
#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Arguments {
    #[command(flatten)]
    files: Files,

    /// Write nothing, and exit with 3 if there is something to write
    #[arg(long)]
    check: bool,

    /// Request the digest of every pinned tag, also of full versions that no strategy selects any more
    #[arg(long)]
    all: bool,

    /// Pin a new digest once runs have seen it for so long, such as 3d, for all entries without 'minimumAge'
    #[arg(long, value_name = "AGE")]
    minimum_age: Option<MinimumAge>,

    /// Pin the new digests of --image at once, whatever 'minimumAge' and 'repushed' say; 'signedBy' still holds
    #[arg(long, requires = "image")]
    now: bool,

    /// Only this image; may be repeated
    #[arg(long, value_name = "IMAGE", conflicts_with = "shard")]
    image: Vec<ImageName>,

    /// Refresh one shard of the images, such as 1/4; the table then has this shard only, and 'merge' joins the shards
    #[arg(long, value_name = "K/N")]
    shard: Option<Shard>,

    /// Write the new table to this file, and do not change the old one
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    output: Option<PathBuf>,

    /// Print for every tag why its digest is requested, or why it is kept or left
    #[arg(long, short)]
    verbose: bool,

    /// Write the report here too, as Markdown for a pull request
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,

    /// Print the report as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    signatures: Signatures,

    #[command(flatten)]
    network: Network,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8> {
    let target = arguments
        .output
        .as_ref()
        .unwrap_or(&arguments.files.digests);
    check_files(arguments)?;
    // Locked before the files are read, so that nothing changes them meanwhile.
    let lock = (!arguments.check).then(|| Lock::take(target)).transpose()?;
    let images = images::read(&arguments.files.images, remedy::IMAGES)?;
    let options = Options {
        scope: scope(arguments, &images)?,
        all: arguments.all,
        explain: arguments.verbose,
        details: true,
        time: seconds_since_1970(),
        minimum_age: arguments.minimum_age,
        is_overriding: arguments.now,
    };
    let (table, old_digest) = read_table(&arguments.files.digests)?;
    let pending = Pending::read(&Pending::beside(&arguments.files.digests))?;
    let old = State { table, pending };
    let client = arguments.network.client()?;
    let runtime = network::runtime()?;
    let recorder = ManifestRecorder::new(target, &arguments.files.digests, arguments.check);
    let verifier = &arguments
        .signatures
        .verifier(&images, &arguments.files.images)?;
    let bars = Bars::counting("tags");
    let services = Services {
        client: &client,
        recorder: &recorder,
        verifier,
        progress: &bars,
    };
    let work = refresh(&images, &old, &options, &services);
    let (State { table, pending }, report) = runtime.block_on(work);
    let old = old.table;
    bars.finish();

    let current = match &arguments.output {
        Some(output) => digest_of_file(output),
        None => old_digest,
    };
    let needed = needed(&images, &table);
    // A shard or another output does not replace the old table.
    let is_part = arguments.output.is_some() || arguments.shard.is_some();
    let unneeded = if is_part {
        BTreeSet::new()
    } else {
        unneeded(&images, &old, &table)
    };
    let has_new_pins = current != Some(Digest::of_written(|out| table.write(out))?);
    let stale = has_new_pins
        || report.manifests_recorded > 0
        || recorder.has_to_copy(&needed)
        || recorder.has_to_remove(&unneeded);
    let mut written = Ok(());
    match (arguments.check, is_part) {
        (true, _) => {}
        (false, true) => write_pending_of_part(target, &pending)?,
        (false, false) => write_pending(target, &pending)?,
    }
    let outcome = match (stale, arguments.check) {
        (false, _) => Outcome::UpToDate,
        (true, true) => Outcome::NotUpToDate,
        (true, false) => {
            // Copied first, so that the table never names a manifest that is not recorded.
            recorder.copy(&needed)?;
            if has_new_pins {
                written = file::write_with(target, |out| table.write(out));
            }
            if written.is_ok() {
                recorder.remove(&unneeded)?;
                Outcome::Written
            } else {
                Outcome::NotWritten
            }
        }
    };
    drop(lock);
    // Frees memory for the report, which can be as large as the tables.
    drop((needed, unneeded));
    drop((old, table, images));
    let name = output::name_of(&target);
    let shown = show(arguments, &report, &name, outcome);
    written?;
    if let (Some(shard), Outcome::Written) = (arguments.shard, outcome) {
        anstream::eprintln!(
            "note: {name} has only part {shard}; join the parts with 'nix-oci-hashes merge'"
        );
    }
    shown?;
    Ok(if stale && arguments.check {
        WOULD_WRITE
    } else if report.problems.is_empty() {
        output::DONE
    } else {
        output::SOME_FAILED
    })
}

/// Writes the report as Markdown, and prints it.
fn show(arguments: &Arguments, report: &Report, name: &str, outcome: Outcome) -> Result<()> {
    let summarized = match &arguments.summary {
        Some(path) => {
            let text = report::markdown::render(report, &format!("`{name}` {outcome}"));
            file::write(path, text.as_bytes())
        }
        None => Ok(()),
    };
    let text = if arguments.json {
        report::json::render(report, name, outcome)
    } else {
        report::terminal::render(report, &format!("{name} {outcome}"))
    };
    let printed = output::print(&text);
    summarized?;
    printed
}

/// Checks that the files are apart, and that those to write can be.
fn check_files(arguments: &Arguments) -> Result<()> {
    let outputs = [
        ("--output", &arguments.output),
        ("--summary", &arguments.summary),
    ];
    let outputs = outputs.map(|(flag, path)| Some((flag, path.as_deref()?)));
    let files = [
        ("--images", &*arguments.files.images),
        ("--digests", &*arguments.files.digests),
    ];
    let files: Vec<_> = files
        .into_iter()
        .chain(outputs.into_iter().flatten())
        .collect();
    check_apart(&files)?;
    for (_, path) in &files[1..] {
        check_folder(path)?;
    }
    Ok(())
}

/// The system's time.
fn seconds_since_1970() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    time.map_or(0, |time| time.as_secs())
}

/// The digest of a file's content; `None` if there is no file.
fn digest_of_file(path: &Path) -> Option<Digest> {
    // Reading a pipe would wait for ever.
    let is_file = !file::is_special(path);
    let text = is_file.then(|| std::fs::read(path).ok())??;
    Some(Digest::of(Algorithm::Sha256, &text))
}

fn scope(arguments: &Arguments, images: &[TrackedImage]) -> Result<Scope> {
    if let Some(shard) = arguments.shard {
        return Ok(Scope::Shard(shard));
    }
    if arguments.image.is_empty() {
        return Ok(Scope::All);
    }
    for image in &arguments.image {
        if !images.iter().any(|tracked| tracked.image == *image) {
            let file = output::name_of(&arguments.files.images);
            bail!("{image} is not in {file}; add it with 'nix-oci-hashes add {image}'");
        }
    }
    Ok(Scope::Images(arguments.image.iter().cloned().collect()))
}
