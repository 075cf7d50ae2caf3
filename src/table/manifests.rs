//! The manifests that a refresh records beside a table, in files `manifests/sha256-<hex>.json`.
//! A file has exactly the bytes that its digest is of.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::file;
use crate::json::{self, FileError};
use crate::reference::Digest;

/// The folder's name.
const FOLDER: &str = "manifests";
/// Largest manifest, in bytes: registries set this limit.
const LARGEST: u64 = 4 << 20;

/// The recorded manifests of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifests {
    table: PathBuf,
    folder: PathBuf,
}

impl Manifests {
    /// The folder beside the table at `path`.
    pub fn beside(path: &Path) -> Self {
        Self {
            table: path.to_owned(),
            folder: path.with_file_name(FOLDER),
        }
    }

    /// The file of the manifest of `digest`.
    pub fn file(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string().replacen(':', "-", 1);
        self.folder.join(format!("{name}.json"))
    }

    /// Whether there is a file for `digest`, of any content.
    pub fn has_file(&self, digest: &Digest) -> bool {
        self.file(digest).exists()
    }

    /// The manifest of `digest`. `None` if there is no file, or if its content has another
    /// digest.
    pub fn read(&self, digest: &Digest) -> Option<Vec<u8>> {
        let path = self.file(digest);
        let length = fs::metadata(&path).ok()?.len();
        let bytes = (length <= LARGEST).then(|| fs::read(&path).ok())??;
        digest.matches(&bytes).then_some(bytes)
    }

    /// Records the manifest of `digest`, whole or not at all. The caller has the lock of
    /// the table.
    ///
    /// # Errors
    /// If the folder or the file cannot be written.
    pub fn write(&self, digest: &Digest, manifest: &[u8]) -> Result<(), FileError> {
        fs::create_dir_all(&self.folder).map_err(|error| {
            let message = format!("cannot be created: {}", json::plain(&error));
            let remedy = "see that its folder is writable and not full";
            FileError::new(self.folder.display(), message, remedy)
        })?;
        file::write_under_lock(&self.file(digest), &self.table, manifest)
    }

    /// The digests in the names of the files. Other files are ignored.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn digests(&self) -> Result<BTreeSet<Digest>, FileError> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
            entries => entries.map_err(|error| self.unreadable(&error))?,
        };
        let mut digests = BTreeSet::new();
        for entry in entries {
            let name = entry.map_err(|error| self.unreadable(&error))?.file_name();
            let digest = name.to_str().and_then(|name| name.strip_suffix(".json"));
            let digest = digest.map(|name| name.replacen('-', ":", 1));
            digests.extend(digest.and_then(|digest| digest.parse().ok()));
        }
        Ok(digests)
    }

    /// Removes the manifests of these digests, and the folder if it is empty then.
    ///
    /// # Errors
    /// If a file cannot be removed.
    pub fn remove(&self, digests: &BTreeSet<&Digest>) -> Result<(), FileError> {
        for digest in digests.iter().filter(|digest| self.has_file(digest)) {
            let path = self.file(digest);
            fs::remove_file(&path).map_err(|error| {
                let message = format!("cannot be removed: {}", json::plain(&error));
                FileError::new(path.display(), message, "remove it: no pin needs it")
            })?;
        }
        // This fails if the folder has other files, which are kept.
        let _ = fs::remove_dir(&self.folder);
        Ok(())
    }

    fn unreadable(&self, error: &std::io::Error) -> FileError {
        let message = json::plain(error);
        let remedy = "see that it is a folder that you may read";
        FileError::new(self.folder.display(), message, remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::Algorithm;

    #[test]
    fn a_manifest_is_read_back_only_with_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let manifests = Manifests::beside(&folder.path().join("digests.json"));
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let digest = Digest::of(algorithm, b"{}");
            assert_eq!(manifests.read(&digest), None);
            manifests.write(&digest, b"{}").unwrap();
            assert_eq!(manifests.read(&digest).unwrap(), b"{}");
            fs::write(manifests.file(&digest), "{}\n").unwrap();
            assert_eq!(manifests.read(&digest), None);
            assert!(manifests.has_file(&digest));
        }
    }

    #[test]
    fn removes_what_it_is_told_to_and_an_empty_folder() {
        let folder = tempfile::tempdir().unwrap();
        let manifests = Manifests::beside(&folder.path().join("digests.json"));
        let [a, b] = [b"a", b"b"].map(|text| Digest::of(Algorithm::Sha256, text));
        manifests.remove(&[&a].into()).unwrap();
        manifests.write(&a, b"a").unwrap();
        manifests.write(&b, b"b").unwrap();
        let note = folder.path().join("manifests/README.md");
        fs::write(&note, "mine").unwrap();
        manifests.remove(&[&a].into()).unwrap();
        assert_eq!(manifests.digests().unwrap(), [b.clone()].into());
        manifests.remove(&[&a, &b].into()).unwrap();
        assert!(note.exists());
        fs::remove_file(note).unwrap();
        manifests.remove(&[&b].into()).unwrap();
        assert!(!folder.path().join("manifests").exists());
    }
}
