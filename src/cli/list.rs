//! `nix-oci-hashes list`: the images and pins of the table.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use nix_oci_hashes::lookup::LookupError;
use nix_oci_hashes::reference::{ImageName, Platform, Tag};
use nix_oci_hashes::table::{Pin, Pins, Table};
use serde_json::{Map, Value, json};

use super::columns::{Cell, align};
use super::output;

/// Show the images of the table, or the tags of one
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Show the tags of this image
    image: Option<ImageName>,

    /// Print JSON: the pins by image and tag, or those of the image by tag
    #[arg(long)]
    json: bool,

    /// The table of pins [default: ./digests.json, or the built-in table where there is none]
    #[arg(long, value_name = "FILE")]
    digests: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8> {
    let table = super::lookup::table(arguments.digests.as_deref())?;
    let text = match &arguments.image {
        None if arguments.json => pretty(&images_json(&table)),
        None => images(&table),
        Some(image) => {
            let pins = table.images.get(image);
            let pins = pins.ok_or_else(|| LookupError::not_tracked(image, &table))?;
            if arguments.json {
                pretty(&pins_json(pins))
            } else {
                tags(pins)
            }
        }
    };
    output::print(&text)?;
    Ok(output::DONE)
}

fn images(table: &Table) -> String {
    let head = ["IMAGE", "TAGS", "NEWEST", "PLATFORMS"].map(Cell::bold);
    let mut rows = vec![Vec::from(head)];
    for (image, pins) in &table.images {
        let platforms: BTreeSet<&Platform> =
            pins.values().flat_map(|pin| pin.platforms.keys()).collect();
        let newest = in_order(pins)
            .into_iter()
            .rev()
            .find(|(tag, pin)| pin.version_of(tag).is_some());
        let newest = newest.map_or("-".to_owned(), |(tag, _)| tag.to_string());
        rows.push(vec![
            Cell::plain(image.as_str()),
            Cell::plain(pins.len().to_string()),
            Cell::plain(newest),
            Cell::plain(names(platforms)),
        ]);
    }
    align(&rows)
}

fn tags(pins: &Pins) -> String {
    let head = ["TAG", "DIGEST", "PLATFORMS"].map(Cell::bold);
    let mut rows = vec![Vec::from(head)];
    for (tag, pin) in in_order(pins) {
        rows.push(vec![
            Cell::plain(tag.as_str()),
            Cell::plain(pin.digest.to_string()),
            Cell::plain(names(pin.platforms.keys())),
        ]);
    }
    align(&rows)
}

/// The pins in version order: the newest version last, words before versions.
pub(super) fn in_order(pins: &Pins) -> Vec<(&Tag, &Arc<Pin>)> {
    let mut pins: Vec<_> = pins.iter().collect();
    pins.sort_by_cached_key(|(tag, pin)| pin.by_version(tag));
    pins
}

/// Platforms, or a dash where a pin has none yet.
fn names<'a>(platforms: impl IntoIterator<Item = &'a Platform>) -> String {
    let names: Vec<&str> = platforms.into_iter().map(Platform::as_str).collect();
    if names.is_empty() {
        "-".to_owned()
    } else {
        names.join(", ")
    }
}

fn images_json(table: &Table) -> Value {
    let images = table.images.iter();
    let images = images.map(|(image, pins)| (image.to_string(), pins_json(pins)));
    images.collect::<Map<_, _>>().into()
}

fn pins_json(pins: &Pins) -> Value {
    let pins = pins.iter().map(|(tag, pin)| {
        let platforms = pin.platforms.iter();
        let platforms: Map<String, Value> = platforms
            .map(|(platform, digest)| (platform.to_string(), digest.to_string().into()))
            .collect();
        let pin = json!({ "digest": pin.digest.to_string(), "platforms": platforms });
        (tag.to_string(), pin)
    });
    pins.collect::<Map<_, _>>().into()
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
