//! What each commit changed in the table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use nix_oci_hashes::images::TrackedImage;
use nix_oci_hashes::reference::{ImageName, Reference};
use nix_oci_hashes::refresh::{Change, compare};
use nix_oci_hashes::table::{LazyTable, Pins, Table};

use super::output;
use super::revisions::{Commit, Log, read_each};

/// A change that a commit made.
pub(super) struct Event<'a> {
    pub(super) commit: &'a Commit,
    pub(super) change: Change,
}

/// The changes of one tag, or of all tags of one image, in the table `file`; oldest first.
pub(super) fn of_reference<'a>(
    reference: &Reference,
    file: &Path,
    log: &'a Log,
    tracked: &[TrackedImage],
) -> Result<Vec<Event<'a>>> {
    let mut events = Vec::new();
    // What the first commit of a shallow clone changed is unknown.
    let mut old: Option<Arc<Pins>> = (!log.is_shallow).then(Arc::default);
    let table = |pins: &Pins| Table {
        images: [(reference.image.clone(), pins.clone())].into(),
    };
    read_each(file, log.commits.iter().rev(), |commit, text| {
        let lazy = LazyTable::from_text(text, &output::name_of(&file));
        // A table that could not be read then changed nothing.
        let Ok(pins) = lazy.pins(&reference.image) else {
            return Ok(());
        };
        let pins = pins.unwrap_or_default();
        if let Some(old) = old.as_ref().filter(|old| **old != pins) {
            let report = compare(tracked, &table(old), &table(&pins));
            let changes = report.changes.into_iter().filter(|change| {
                let tag = reference.tag.as_ref();
                tag.is_none_or(|tag| *tag == change.tag)
            });
            events.extend(changes.map(|change| Event { commit, change }));
        }
        old = Some(pins);
        Ok(())
    })?;
    Ok(events)
}

/// The changes of every image in the last `most` commits of the table `file`; oldest
/// first.
pub(super) fn of_all<'a>(
    file: &Path,
    log: &'a Log,
    most: usize,
    tracked: &[TrackedImage],
) -> Result<BTreeMap<ImageName, Vec<Event<'a>>>> {
    let mut events: BTreeMap<ImageName, Vec<Event<'a>>> = BTreeMap::new();
    // One commit more: it is what the first of them changed.
    let last = log.commits.iter().take(most + 1);
    let is_whole = !log.is_shallow && log.commits.len() <= most;
    let mut old: Option<Table> = is_whole.then(Table::default);
    let last: Vec<&Commit> = last.collect();
    read_each(file, last.into_iter().rev(), |commit, text| {
        let Ok(new) = Table::parse(&text, &output::name_of(&file)) else {
            return Ok(());
        };
        if let Some(old) = &old {
            let (before, after) = differing(old, &new);
            for change in compare(tracked, &before, &after).changes {
                let image = events.entry(change.image.clone()).or_default();
                image.push(Event { commit, change });
            }
        }
        old = Some(new);
        Ok(())
    })?;
    Ok(events)
}

/// The images of both tables whose pins differ.
fn differing(old: &Table, new: &Table) -> (Table, Table) {
    let images: BTreeSet<&ImageName> = old.images.keys().chain(new.images.keys()).collect();
    let differs = |image: &&ImageName| old.images.get(*image) != new.images.get(*image);
    let images: Vec<&ImageName> = images.into_iter().filter(differs).collect();
    let part = |table: &Table| {
        let of = |image: &&ImageName| {
            let pins = table.images.get(*image)?;
            Some(((*image).clone(), pins.clone()))
        };
        Table {
            images: images.iter().filter_map(of).collect(),
        }
    };
    (part(old), part(new))
}
