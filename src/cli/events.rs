//! What each commit changed in the table.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use nix_oci_hashes::file::FileError;
use nix_oci_hashes::images::TrackedImage;
use nix_oci_hashes::reference::ImageName;
use nix_oci_hashes::refresh::{Change, compare};
use nix_oci_hashes::table::{LazyTable, Table};

use super::output;
use super::revisions::{Commit, Log, read_each};

/// A change that a commit made.
pub(super) struct Event<'a> {
    pub(super) commit: &'a Commit,
    pub(super) change: Change,
}

/// The changes of `image`, or of all images, in the last `most` commits of the table
/// `file`; oldest first.
pub(super) fn events<'a>(
    file: &Path,
    log: &'a Log,
    most: usize,
    image: Option<&ImageName>,
    tracked: &[TrackedImage],
) -> Result<Vec<Event<'a>>> {
    let mut events = Vec::new();
    // The commit before the first has what that one changed.
    let last = &log.commits[..log.commits.len().min(most.saturating_add(1))];
    // What the first commit of a shallow clone changed is unknown.
    let is_whole = !log.is_shallow && log.commits.len() <= most;
    let mut old: Option<LazyTable> = is_whole.then(|| Table::default().into());
    read_each(file, last.iter().rev(), |commit, text| {
        let new = match text {
            Some(text) => LazyTable::from_text(text, &output::name_of(&file)),
            None => Table::default().into(),
        };
        let empty = Table::default().into();
        // A table that could not be read then changed nothing.
        let Ok(changes) = changes(old.as_ref().unwrap_or(&empty), &new, image, tracked) else {
            return Ok(());
        };
        if old.is_some() {
            events.extend(changes.into_iter().map(|change| Event { commit, change }));
        }
        old = Some(new);
        Ok(())
    })?;
    Ok(events)
}

fn changes(
    old: &LazyTable,
    new: &LazyTable,
    image: Option<&ImageName>,
    tracked: &[TrackedImage],
) -> Result<Vec<Change>, FileError> {
    let images = match image {
        Some(image) => BTreeSet::from([image.clone()]),
        None => old.differing(new)?,
    };
    let part = |table: &LazyTable| {
        let mut part = Table::default();
        for image in &images {
            if let Some(pins) = table.pins(image)? {
                part.images.insert(image.clone(), (*pins).clone());
            }
        }
        Ok(part)
    };
    let (old, new) = (part(old)?, part(new)?);
    if old == new {
        return Ok(Vec::new());
    }
    Ok(compare(tracked, &old, &new).changes)
}
