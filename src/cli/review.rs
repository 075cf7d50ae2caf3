//! `nix-oci-hashes review`: what a person has to see before a refresh is merged.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use nix_oci_hashes::json::plain;
use serde::Deserialize;

/// Something has to be seen by a person.
const TO_REVIEW: u8 = 3;
/// The version of docs/schema/report.schema.json.
const VERSION: u64 = 1;

/// Say what in the reports of a refresh a person has to see before its table is merged
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

/// As far as it matters here.
#[derive(Deserialize)]
struct Report {
    version: u64,
    changes: Vec<Change>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    kind: String,
    image: String,
    tag: String,
    old: Option<String>,
    new: Option<String>,
    #[serde(default)]
    platforms_removed: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8> {
    let mut lines = Vec::new();
    for path in &arguments.file {
        let name = super::name_of(&path);
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
    super::print(&lines.concat())?;
    Ok(if lines.is_empty() {
        super::DONE
    } else {
        TO_REVIEW
    })
}

fn line(change: &Change) -> Option<String> {
    let Change { image, tag, .. } = change;
    let lost = match change.platforms_removed.join(", ") {
        // Those of the kind 'platforms' have left images.json.
        lost if !lost.is_empty() && change.kind != "platforms" => format!(", no longer for {lost}"),
        _ => String::new(),
    };
    let is_repushed = change.kind == "re-pushed";
    (is_repushed || !lost.is_empty()).then(|| {
        let digest = |digest: &Option<String>| digest.clone().unwrap_or_default();
        let (old, new) = (digest(&change.old), digest(&change.new));
        format!("{} {image}:{tag} {old} -> {new}{lost}\n", change.kind)
    })
}
