//! `nix-oci-hashes check`: whether both files are valid, canonical and consistent.

use std::collections::BTreeSet;
use std::path::Path;

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use nix_oci_hashes::images::{self, SignedBy, TrackedImage};
use nix_oci_hashes::reference::{Digest, ImageName, Platform, Version};
use nix_oci_hashes::refresh::{Withdrawn, withdrawn};
use nix_oci_hashes::signature::check_key;
use nix_oci_hashes::table::Table;
use nix_oci_hashes::table::manifests::Manifests;
use nix_oci_hashes::table::pending::Pending;

use super::files::Files;
use super::manifests::unneeded;
use super::network::{self, Network};
use super::output;
use super::progress::Bars;
use super::remedy;
use super::waiting::Waiting;

/// Check both files: well-formed, canonical, consistent
///
/// Exits with 0 if they are, or with 1 and remedies if not. Names what the next
/// refresh will do, which is no error. With --registry, exits with 1 too if a
/// digest has been withdrawn, and with 2 if a registry could not say.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    files: Files,

    /// Ask the registries too whether they still serve every pinned digest, with one HEAD each
    #[arg(long)]
    registry: bool,

    #[command(flatten)]
    network: Network,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8> {
    let Files { images, digests } = &arguments.files;
    let tracked = images::read(images, remedy::IMAGES)?;
    let (table, digest) = arguments.files.existing_table()?;
    let mut faults = faults(&tracked, &table);
    let canonical = Digest::of_written(|out| table.write(out))?;
    if digest.is_some_and(|digest| digest != canonical) {
        faults.push(format!(
            "{}: not in canonical form; run 'nix-oci-hashes merge {0} --output {0}'",
            output::name_of(&digests)
        ));
    }
    let pending = Pending::beside(digests);
    if !is_canonical(&pending)? {
        faults.push(format!(
            "{}: not in canonical form; {REFRESH}",
            output::name_of(&pending)
        ));
    }
    faults.extend(contradictions(&tracked, images));
    let manifests = Manifests::beside(digests);
    faults.extend(manifest_faults(&manifests, &tracked, &table)?);
    let waiting = Waiting::new(&tracked, &table, &manifests);
    let mut unknown = BTreeSet::new();
    if arguments.registry {
        let client = arguments.network.client()?;
        let bars = Bars::counting("digests");
        let work = withdrawn(&table, &client, &bars);
        let (found, errors) = network::runtime()?.block_on(work);
        bars.finish();
        faults.extend(found.iter().map(withdrawn_words));
        unknown = errors.iter().map(remedy::registry).collect();
    }
    let mut out = waiting.to_string();
    for fault in &faults {
        out.push_str(&format!("{RED}fault{RED:#}  {fault}\n"));
    }
    for error in &unknown {
        out.push_str(&format!("{RED}failed{RED:#}  {error}\n"));
    }
    let pins = table.images.values().flat_map(|pins| pins.values());
    let unverified = pins.clone().filter(|pin| pin.platforms.is_empty()).count();
    let counts = [
        (
            unverified,
            "without platforms until a refresh verifies them",
        ),
        (waiting.pins(), "not pinned yet"),
        (waiting.manifests(), "manifests not recorded yet"),
    ];
    let counts: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let counts = match &*counts.join("; ") {
        "" => String::new(),
        counts => format!(" ({counts})"),
    };
    out.push_str(&format!(
        "{} images, {} pins{counts}: {}\n",
        tracked.len(),
        pins.count(),
        match (faults.is_empty(), unknown.is_empty()) {
            (false, _) => "not all is well",
            (true, false) => "a registry could not say",
            (true, true) => "all is well",
        }
    ));
    if !waiting.is_empty() {
        out.push_str("Run 'nix-oci-hashes refresh' to pin what waits.\n");
    }
    output::print(&out)?;
    Ok(match (faults.is_empty(), unknown.is_empty()) {
        (false, _) => output::FAILED,
        (true, false) => output::SOME_FAILED,
        (true, true) => output::DONE,
    })
}

fn withdrawn_words(found: &Withdrawn) -> String {
    let Withdrawn {
        image,
        tag,
        digests,
        nearest,
    } = found;
    let digests: Vec<String> = digests.iter().map(ToString::to_string).collect();
    let remedy = match nearest {
        Some(nearest) => format!("use {image}:{nearest}, the nearest version that it has"),
        None => "no other version of its variant is pinned; use another tag".to_owned(),
    };
    format!(
        "{image}:{tag}: the registry no longer serves {}; {remedy}",
        digests.join(", ")
    )
}

/// Whether the pending digests are written as a refresh writes them.
fn is_canonical(path: &Path) -> Result<bool> {
    let pending = Pending::read(path)?;
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let is_missing = text.is_empty() && pending.images.is_empty();
    Ok(is_missing || text == pending.to_json())
}

/// Policies that no signature can satisfy.
fn contradictions(tracked: &[TrackedImage], images: &Path) -> Vec<String> {
    let folder = images.parent().unwrap_or(Path::new(""));
    let contradictions = tracked.iter().filter_map(|entry| {
        let policy = entry.signed_by.as_ref()?;
        let reason = match policy {
            SignedBy::Key(path) => check_key(&folder.join(path)).err()?.to_string(),
            _ => format!("{}; correct the entry", policy.contradiction()?),
        };
        Some(format!(
            "{}: no signature can satisfy 'signedBy': {reason}",
            entry.image
        ))
    });
    contradictions.collect()
}

const REFRESH: &str = "run 'nix-oci-hashes refresh'";
const RED: Style = AnsiColor::Red.on_default().bold();

/// Recorded manifests whose content has another digest, and those that only pins of images
/// without `store` name.
fn manifest_faults(
    manifests: &Manifests,
    tracked: &[TrackedImage],
    table: &Table,
) -> Result<Vec<String>> {
    let unneeded = unneeded(tracked, table, table);
    let mut faults = Vec::new();
    for digest in manifests.digests()? {
        let file = output::name_of(&manifests.file(&digest));
        if unneeded.contains(&digest) {
            faults.push(format!(
                "{file}: only pins of images without 'store' name it; {REFRESH}"
            ));
        } else if manifests.read(&digest).is_none() {
            faults.push(format!("{file}: its content has another digest; {REFRESH}"));
        }
    }
    Ok(faults)
}

/// Where the table contradicts `images.json`.
fn faults(tracked: &[TrackedImage], table: &Table) -> Vec<String> {
    let mut faults = Vec::new();
    for entry in tracked {
        let pins = table.images.get(&entry.image).into_iter().flatten();
        for (tag, pin) in pins {
            let version = entry.recorded_version(tag);
            if pin.version.as_deref() != version.as_ref() {
                let words = |version: Option<&Version>| match version {
                    Some(version) => format!("version '{}'", version.recorded()),
                    None => "no version".to_owned(),
                };
                faults.push(format!(
                    "{}:{tag}: records {}, where 'pattern' in images.json reads {}; {REFRESH}",
                    entry.image,
                    words(pin.version.as_deref()),
                    words(version.as_ref()),
                ));
            }
            if entry.ignores(tag) {
                faults.push(format!(
                    "{}:{tag}: pinned, and listed in 'ignore'; {REFRESH}",
                    entry.image
                ));
            }
            let untracked = |platform: &&Platform| !entry.platforms.contains(*platform);
            for platform in pin.platforms.keys().filter(untracked) {
                faults.push(format!(
                    "{}:{tag}: pinned for {platform}, which is not tracked; {REFRESH}",
                    entry.image
                ));
            }
        }
    }
    let names: BTreeSet<&ImageName> = tracked.iter().map(|entry| &entry.image).collect();
    for image in table.images.keys().filter(|image| !names.contains(image)) {
        faults.push(format!(
            "{image}: in the table, and not tracked; {REFRESH}, or add it to images.json"
        ));
    }
    faults
}
