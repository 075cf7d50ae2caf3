//! Files that other programs and other runs use too: replaced whole or not at
//! all, and worked on by one run at a time.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::json::{self, FileError};

/// Characters by which the names of new files differ.
const RANDOM: usize = 6;

/// Writes `content` to `path`, whole or not at all: to a new file beside it,
/// synced, then renamed over it. A link is followed; the mode of a file that
/// exists is kept.
///
/// # Errors
/// Where that fails; the file at `path` is then what it was.
pub fn write(path: &Path, content: &[u8]) -> Result<(), FileError> {
    write_with(path, |out| out.write_all(content))
}

/// As [`write`], of what `content` writes piece by piece.
///
/// # Errors
/// As [`write`].
pub fn write_with(
    path: &Path,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), FileError> {
    replace(path, content, true)
}

/// As [`write`], but not synced: for what may be lost.
///
/// # Errors
/// As [`write`].
pub fn write_unsynced(path: &Path, content: &[u8]) -> Result<(), FileError> {
    replace(path, |out| out.write_all(content), false)
}

fn replace(
    path: &Path,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    is_synced: bool,
) -> Result<(), FileError> {
    write_atomically(path, content, is_synced).map_err(|error| {
        let message = format!("cannot be written: {}", json::plain(&error));
        let remedy = "the file is as it was; see that its folder is writable and not full";
        FileError::new(path.display(), message, remedy)
    })
}

fn write_atomically(
    path: &Path,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    is_synced: bool,
) -> io::Result<()> {
    if is_special(path) {
        // A pipe or a device has nothing to keep, and is not to be replaced.
        let mut out = BufWriter::new(File::options().write(true).open(path)?);
        content(&mut out)?;
        return out.flush();
    }
    let target = real_path(path)?;
    let folder = folder_of(&target);
    // Opened before anything is changed: a folder that cannot be synced is an
    // error while the old file is still there.
    let synced = File::open(folder)?;
    let prefix = temporary_prefix(&target);
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).rand_bytes(RANDOM);
    // What a program that just creates a file asks for; the umask is applied.
    builder.permissions(fs::Permissions::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    if let Ok(old) = fs::metadata(&target) {
        file.as_file().set_permissions(old.permissions())?;
    }
    let mut out = BufWriter::new(&mut file);
    content(&mut out)?;
    out.flush()?;
    drop(out);
    if is_synced {
        file.as_file().sync_all()?;
    }
    file.persist(&target)?;
    // The new file is in place, whole. Only whether a power cut could bring the
    // old one back hangs on this, and some file systems do not offer it.
    if is_synced {
        let _ = synced.sync_all();
    }
    Ok(())
}

/// Whether something other than a file or a folder is there.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir())
}

/// How the name of the new file begins, before it takes the place of the old.
fn temporary_prefix(target: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(target.file_name().unwrap_or_default());
    prefix.push(".");
    prefix
}

/// Where a file is, or will be, behind all links.
///
/// # Errors
/// Where a folder on the way cannot be read.
pub fn real_path(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    // As many as Linux follows.
    for _ in 0..40 {
        match fs::canonicalize(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            real => return real,
        }
        match fs::read_link(&path) {
            // A link to a file that is yet to be made.
            Ok(target) => path = folder_of(&path).join(target),
            Err(_) => return Ok(path),
        }
    }
    Ok(path)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The right to rewrite a file, which one run has at a time. It is a lock on a
/// file beside it, named with `.lock` at the end, that is gone when this is
/// dropped; one that a killed run has left is no hindrance.
#[derive(Debug)]
pub struct Lock {
    /// Nothing, for what is no file and has no lock beside it.
    path: Option<PathBuf>,
    /// The lock ends when this is closed.
    _file: Option<File>,
}

impl Lock {
    /// Takes the lock of the file at `path`, which need not exist yet.
    ///
    /// # Errors
    /// Where another run has it, and where the folder cannot be written to.
    pub fn take(path: &Path) -> Result<Self, FileError> {
        Self::try_take(path)?.ok_or_else(|| {
            let message = "another nix-oci-hashes is at work on it";
            let remedy = "wait until that is done, then try again";
            FileError::new(path.display(), message, remedy)
        })
    }

    /// As [`Lock::take`], or nothing where another run has it.
    ///
    /// # Errors
    /// Where the folder cannot be written to.
    pub fn try_take(path: &Path) -> Result<Option<Self>, FileError> {
        let failed = |error: &io::Error| {
            let message = format!("cannot be locked: {}", json::plain(error));
            FileError::new(path.display(), message, "see that its folder is writable")
        };
        if is_special(path) {
            return Ok(Some(Self {
                path: None,
                _file: None,
            }));
        }
        let mut name = real_path(path).map_err(|e| failed(&e))?.into_os_string();
        name.push(".lock");
        let lock_path = PathBuf::from(name);
        loop {
            let file = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&lock_path)
                .map_err(|e| failed(&e))?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => return Ok(None),
                // A file system without locks has nobody to lock out.
                Err(TryLockError::Error(error)) if error.kind() != ErrorKind::Unsupported => {
                    return Err(failed(&error));
                }
                _ => {}
            }
            // The run before may have removed the file between these two steps.
            let here = file.metadata().map_err(|e| failed(&e))?;
            if fs::metadata(&lock_path).is_ok_and(|there| there.ino() == here.ino()) {
                remove_leftovers(&lock_path.with_extension(""));
                return Ok(Some(Self {
                    path: Some(lock_path),
                    _file: Some(file),
                }));
            }
        }
    }
}

/// Removes what runs that were killed while they wrote `target` have left. No
/// other run is at work on it: that is what the lock says.
fn remove_leftovers(target: &Path) {
    let prefix = temporary_prefix(target);
    let prefix = prefix.as_encoded_bytes();
    let Ok(entries) = fs::read_dir(folder_of(target)) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let end = name.as_encoded_bytes().strip_prefix(prefix);
        let is_ours =
            end.is_some_and(|end| end.len() == RANDOM && end.iter().all(u8::is_ascii_alphanumeric));
        if is_ours {
            // One that stays does no harm.
            let _ = fs::remove_file(entry.path());
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Whoever comes next makes another; one that stays does no harm.
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn writing_keeps_links_and_modes_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("digests.json");
        let link = folder.path().join("link.json");
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&file, &link).unwrap();
        write(&link, b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o640
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("digests.json");
        fs::create_dir(&file).unwrap();
        let error = write(&file, b"new").unwrap_err().to_string();
        assert!(error.contains("cannot be written"), "{error}");
        assert!(file.is_dir());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn one_has_the_lock_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("digests.json");
        let link = folder.path().join("link.json");
        fs::write(&file, "old").unwrap();
        symlink(&file, &link).unwrap();
        let lock = Lock::take(&file).unwrap();
        for name in [&file, &link] {
            let error = Lock::take(name).unwrap_err().to_string();
            assert!(
                error.contains("another nix-oci-hashes is at work on it; wait"),
                "{error}"
            );
        }
        drop(lock);
        drop(Lock::take(&link).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        // A link to what is not there yet leads there all the same.
        let early = folder.path().join("early.json");
        symlink("late.json", &early).unwrap();
        write(&early, b"new").unwrap();
        assert_eq!(fs::read(folder.path().join("late.json")).unwrap(), b"new");
        fs::remove_file(early).unwrap();
        fs::remove_file(folder.path().join("late.json")).unwrap();
        // What a killed run leaves is a file that nobody has locked, and maybe
        // half a table.
        fs::write(folder.path().join("digests.json.lock"), "").unwrap();
        fs::write(folder.path().join(".digests.json.a1B2c3"), "{").unwrap();
        drop(Lock::take(&file).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
