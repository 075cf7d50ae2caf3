//! The recorded manifests beside the table that a verb writes.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use nix_oci_hashes::file::FileError;
use nix_oci_hashes::images::TrackedImage;
use nix_oci_hashes::reference::Digest;
use nix_oci_hashes::refresh::Recorder;
use nix_oci_hashes::table::Table;
use nix_oci_hashes::table::manifests::Manifests;

/// Records manifests beside a new table. Those beside the old one need no request.
pub(super) struct ManifestRecorder {
    new: Manifests,
    old: Manifests,
    is_dry_run: bool,
}

impl ManifestRecorder {
    /// `new` is the path of the table to write, and `old` that of the table to start from.
    /// A dry run writes nothing.
    pub(super) fn new(new: &Path, old: &Path, is_dry_run: bool) -> Self {
        Self {
            new: Manifests::beside(new),
            old: Manifests::beside(old),
            is_dry_run,
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

    /// How many manifests beside the new table are not in `needed`.
    pub(super) fn count_others(&self, needed: &BTreeSet<&Digest>) -> Result<usize> {
        let there = self.new.digests()?;
        Ok(there.iter().filter(|one| !needed.contains(one)).count())
    }

    /// Removes the manifests beside the new table that are not in `needed`. To be called
    /// after the new table is written.
    pub(super) fn remove_others(&self, needed: &BTreeSet<&Digest>) -> Result<()> {
        self.new.remove_others(needed)?;
        Ok(())
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
    let pins = stored.filter_map(|tracked| table.images.get(&tracked.image));
    pins.flat_map(|pins| pins.values())
        .flat_map(|pin| pin.platforms.values())
        .collect()
}
