//! What is tracked and waits for a refresh: an entry or a tag is new, or its registry has
//! failed.

use std::fmt;

use anstyle::AnsiColor;
use nix_oci_hashes::images::TrackedImage;
use nix_oci_hashes::reference::{ImageName, Tag};
use nix_oci_hashes::table::Table;
use nix_oci_hashes::table::manifests::Manifests;

use super::columns::{Cell, align};
use super::manifests::needed;

/// What waits, by image.
pub(super) struct Waiting<'a>(Vec<Entry<'a>>);

struct Entry<'a> {
    image: &'a ImageName,
    /// Whether the table has no pin of the image.
    is_unpinned: bool,
    /// The tags of `tags` that are not pinned.
    tags: Vec<&'a Tag>,
    /// How many manifests are not recorded.
    manifests: usize,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(tracked: &'a [TrackedImage], table: &Table, manifests: &Manifests) -> Self {
        let images = tracked.iter().map(|entry| {
            let digests = needed(std::slice::from_ref(entry), table);
            let missing = digests.iter().filter(|digest| !manifests.has_file(digest));
            let pins = table.images.get(&entry.image);
            let pins = pins.filter(|pins| !pins.is_empty());
            let tags = entry.tags.iter();
            let unpinned = tags.filter(|tag| pins.is_some_and(|pins| !pins.contains_key(*tag)));
            Entry {
                image: &entry.image,
                is_unpinned: pins.is_none(),
                tags: unpinned.collect(),
                manifests: missing.count(),
            }
        });
        let waits = |image: &Entry<'_>| image.pins() + image.manifests > 0;
        Self(images.filter(waits).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many images and tags are not pinned.
    pub(super) fn pins(&self) -> usize {
        self.0.iter().map(Entry::pins).sum()
    }

    /// How many manifests are not recorded.
    pub(super) fn manifests(&self) -> usize {
        self.0.iter().map(|image| image.manifests).sum()
    }
}

impl Entry<'_> {
    fn pins(&self) -> usize {
        usize::from(self.is_unpinned) + self.tags.len()
    }

    /// `latest, stable; 2 manifests`
    fn words(&self) -> String {
        let tags: Vec<&str> = self.tags.iter().map(|tag| tag.as_str()).collect();
        let manifests = match self.manifests {
            0 => String::new(),
            1 => "1 manifest".to_owned(),
            manifests => format!("{manifests} manifests"),
        };
        let image = if self.is_unpinned { "all its tags" } else { "" };
        let parts = [image, &tags.join(", "), &manifests];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join("; ")
    }
}

/// A line for each image.
impl fmt::Display for Waiting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.0.iter().map(|image| {
            vec![
                Cell::styled("waits", AnsiColor::Yellow.on_default()),
                Cell::plain(image.image.to_string()),
                Cell::plain(image.words()),
            ]
        });
        f.write_str(&align(&rows.collect::<Vec<_>>()))
    }
}
