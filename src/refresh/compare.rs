//! The differences between any two tables, in the words of a refresh's report.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::full_versions;
use super::report::Report;
use crate::images::{Repushed, TrackedImage};
use crate::reference::{HexBuilds, ImageName, Platform, Tag};
use crate::table::{Pins, Table};

/// The differences between two tables. `tracked` tells full versions and platforms; an
/// image without an entry counts as one with the default entry, for all its platforms.
pub fn compare(tracked: &[TrackedImage], old: &Table, new: &Table) -> Report {
    let mut report = Report::default();
    let tracked: BTreeMap<&ImageName, &TrackedImage> =
        tracked.iter().map(|entry| (&entry.image, entry)).collect();
    let images: BTreeSet<&ImageName> = old.images.keys().chain(new.images.keys()).collect();
    for image in images {
        let pins = [old, new].map(|table| table.images.get(image));
        let pins: Vec<&Pins> = pins.into_iter().flatten().collect();
        let known = tracked.get(image).copied();
        let platforms: BTreeSet<Platform> = match known {
            Some(entry) => entry.platforms.clone(),
            None => pins
                .iter()
                .flat_map(|pins| pins.values())
                .flat_map(|pin| pin.platforms.keys().cloned())
                .collect(),
        };
        let entry = known
            .cloned()
            .unwrap_or_else(|| TrackedImage::new(image.clone()));
        let tags: BTreeSet<&Tag> = pins.iter().flat_map(|pins| pins.keys()).collect();
        let builds = HexBuilds::among(tags.iter().map(|tag| tag.as_str()));
        let never_repushed = if entry.repushed == Repushed::Expected {
            BTreeSet::new()
        } else {
            full_versions(&tags, &entry, &builds)
        };
        report.compare(image, old, new, &never_repushed, &platforms);
    }
    report.sort();
    report
}
