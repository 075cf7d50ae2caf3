//! The recorded manifests beside the table that a verb writes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use nix_oci_hashes::file::{FileError, is_special};
use nix_oci_hashes::images::TrackedImage;
use nix_oci_hashes::reference::{Digest, ImageName};
use nix_oci_hashes::refresh::Recorder;
use nix_oci_hashes::table::manifests::Manifests;
use nix_oci_hashes::table::{Pins, Table};

/// Records manifests beside a new table. Those beside the old one need no request.
pub(super) struct ManifestRecorder {
    new: Manifests,
    old: Manifests,
    is_dry_run: bool,
}

impl ManifestRecorder {
    /// `new` is the path of the table to write, and `old` that of the table to start from.
    /// A dry run writes nothing, and neither does a run whose table goes into a pipe.
    pub(super) fn new(new: &Path, old: &Path, is_dry_run: bool) -> Self {
        Self {
            new: Manifests::beside(new),
            old: Manifests::beside(old),
            is_dry_run: is_dry_run || is_special(new),
        }
    }

    /// Copies the manifests in `needed` from the old table's folder to that of the new one.
    /// To be called before the new table is written.
    pub(super) fn copy(&self, needed: &BTreeSet<&Digest>) -> Result<()> {
        if self.is_dry_run || self.new == self.old {
            return Ok(());
        }
        Ok(copy(std::slice::from_ref(&self.old), &self.new, needed)?)
    }

    /// Whether a manifest in `needed` is beside the old table only.
    pub(super) fn has_to_copy(&self, needed: &BTreeSet<&Digest>) -> bool {
        let is_left =
            |digest: &Digest| self.new.read(digest).is_none() && self.old.read(digest).is_some();
        self.new != self.old && needed.iter().any(|digest| is_left(digest))
    }

    /// Whether a manifest in `unneeded` is beside the new table.
    pub(super) fn has_to_remove(&self, unneeded: &BTreeSet<&Digest>) -> bool {
        unneeded.iter().any(|digest| self.new.has_file(digest))
    }

    /// Removes these manifests. To be called after the new table is written.
    pub(super) fn remove(&self, unneeded: &BTreeSet<&Digest>) -> Result<()> {
        Ok(self.new.remove(unneeded)?)
    }
}

impl Recorder for ManifestRecorder {
    fn has(&self, digest: &Digest) -> bool {
        self.new.read(digest).is_some() || self.old.read(digest).is_some()
    }

    fn record(&self, digest: &Digest, manifest: &[u8]) -> Result<(), FileError> {
        if self.is_dry_run {
            return Ok(());
        }
        self.new.write(digest, manifest)
    }
}

/// Copies the manifests in `needed` from the folders that have them.
pub(super) fn copy(
    from: &[Manifests],
    to: &Manifests,
    needed: &BTreeSet<&Digest>,
) -> Result<(), FileError> {
    for digest in needed.iter().filter(|digest| to.read(digest).is_none()) {
        let found = from.iter().find_map(|folder| folder.read(digest));
        if let Some(manifest) = found {
            to.write(digest, &manifest)?;
        }
    }
    Ok(())
}

/// The manifests that the pins of images with `store` name.
pub(super) fn needed<'a>(images: &[TrackedImage], table: &'a Table) -> BTreeSet<&'a Digest> {
    let stored = images.iter().filter(|tracked| tracked.store);
    manifests_of(stored.filter_map(|tracked| table.images.get(&tracked.image)))
}

/// The manifests that pins of `old` name and that `new` does not need: no pin of it names
/// them, or only those of images that are tracked without `store`. Other tables may share
/// the folder, so what `old` does not name is not for this table to remove.
pub(super) fn unneeded<'a>(
    images: &[TrackedImage],
    old: &'a Table,
    new: &Table,
) -> BTreeSet<&'a Digest> {
    let without = images.iter().filter(|tracked| !tracked.store);
    let without: BTreeSet<&ImageName> = without.map(|tracked| &tracked.image).collect();
    let kept = new.images.iter();
    let kept = kept.filter(|(image, _)| !without.contains(image));
    let kept = manifests_of(kept.map(|(_, pins)| pins));
    let mut named = manifests_of(old.images.values());
    named.retain(|digest| !kept.contains(digest));
    named
}

/// The manifests that these pins name.
pub(super) fn manifests_of<'a>(pins: impl Iterator<Item = &'a Pins>) -> BTreeSet<&'a Digest> {
    pins.flat_map(BTreeMap::values)
        .flat_map(|pin| pin.platforms.values())
        .collect()
}
