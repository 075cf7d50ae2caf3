//! `nix-oci-hashes review`: the changes that a person has to review before a merge.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use nix_oci_hashes::file::plain;
use nix_oci_hashes::reference::{Digest, ImageName, Platform, Tag};
use serde::Deserialize;

use super::output;

/// Exit code: a person has to review something.
const TO_REVIEW: u8 = 3;
/// The version of docs/schema/report.schema.json.
const VERSION: u64 = 1;

/// List what a person has to look at before the table of a refresh is merged
///
/// That is a full version that was pushed again, and a tracked platform that a tag
/// is no longer for. Exits with 0 and prints nothing if there is nothing of the
/// kind, with 3 and a line for each if there is, and with 1 if a report cannot be
/// read.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The reports, as 'refresh --json' has printed them
    #[arg(required = true)]
    file: Vec<PathBuf>,
}

/// The members of a report that this verb reads.
#[derive(Deserialize)]
struct Report {
    version: u64,
    changes: Vec<Change>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    kind: Kind,
    image: ImageName,
    tag: Tag,
    old: Option<Digest>,
    new: Option<Digest>,
    #[serde(default)]
    platforms_removed: Vec<Platform>,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Added,
    Moved,
    #[serde(rename = "re-pushed")]
    Repushed,
    Verified,
    Platforms,
    Version,
    Removed,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8> {
    let mut lines = Vec::new();
    for path in &arguments.file {
        let name = output::name_of(&path);
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) => bail!("{name}: {}; name a file that you may read", plain(&error)),
        };
        let report: Report = serde_json::from_slice(&text)
            .with_context(|| format!("{name} is no report; write one with 'refresh --json'"))?;
        if report.version != VERSION {
            bail!(
                "{name}: its version is {}, not {VERSION}; use the nix-oci-hashes that wrote it",
                report.version
            );
        }
        lines.extend(report.changes.iter().filter_map(line));
    }
    output::print(&lines.concat())?;
    Ok(if lines.is_empty() {
        output::DONE
    } else {
        TO_REVIEW
    })
}

fn line(change: &Change) -> Option<String> {
    let Change { image, tag, .. } = change;
    let lost: Vec<&str> = change
        .platforms_removed
        .iter()
        .map(Platform::as_str)
        .collect();
    let lost = match lost.join(", ") {
        // In a change of the kind 'platforms', they were taken out of images.json.
        lost if !lost.is_empty() && change.kind != Kind::Platforms => {
            format!(", no longer for {lost}")
        }
        _ => String::new(),
    };
    let kind = match change.kind {
        Kind::Repushed => "re-pushed",
        _ if !lost.is_empty() => "moved",
        _ => return None,
    };
    let digest = |digest: &Option<Digest>| digest.as_ref().map(ToString::to_string);
    let (old, new) = (digest(&change.old), digest(&change.new));
    let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
    Some(format!("{kind} {image}:{tag} {old} -> {new}{lost}\n"))
}
