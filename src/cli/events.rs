//! What each commit changed in the table.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use nix_oci_hashes::file::FileError;
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
    let mut old: Option<LazyTable> = is_whole.then(|| Table::default().into());
    let last: Vec<&Commit> = last.collect();
    read_each(file, last.into_iter().rev(), |commit, text| {
        let new = LazyTable::from_text(text, &output::name_of(&file));
        let changes = match &old {
            Some(old) => changes(tracked, old, &new),
            None => new.whole().map(|_| Vec::new()),
        };
        // A table that could not be read then changed nothing.
        let Ok(changes) = changes else {
            return Ok(());
        };
        for change in changes {
            let image = events.entry(change.image.clone()).or_default();
            image.push(Event { commit, change });
        }
        old = Some(new);
        Ok(())
    })?;
    Ok(events)
}

fn changes(
    tracked: &[TrackedImage],
    old: &LazyTable,
    new: &LazyTable,
) -> Result<Vec<Change>, FileError> {
    let images = old.differing(new)?;
    let part = |table: &LazyTable| {
        let mut part = Table::default();
        for image in &images {
            if let Some(pins) = table.pins(image)? {
                part.images.insert(image.clone(), (*pins).clone());
            }
        }
        Ok(part)
    };
    Ok(compare(tracked, &part(old)?, &part(new)?).changes)
}
