//! Replaces files atomically, and locks them so that only one run at a time rewrites a file.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, ErrorKind, Read as _, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::json;
pub use crate::json::{FileError, plain};

/// Random characters at the end of a temporary file's name.
const RANDOM_CHARACTERS: usize = 6;
/// Marks the names of this program's temporary files.
const TEMPORARY_MARK: &str = ".nix-oci-hashes-";
/// Flags for opening a file: do not follow a link, do not wait for a pipe.
const OPEN_FLAGS: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK);

/// Writes `content` to `path`, whole or not at all: writes a new file beside it, syncs
/// it, then renames it over the old one. Follows a link, and keeps the mode of an
/// existing file.
///
/// # Errors
/// If that fails; the file at `path` is then unchanged.
pub fn write(path: &Path, content: &[u8]) -> Result<(), FileError> {
    write_with(path, |out| out.write_all(content))
}

/// As [`write`], for content that is written piece by piece.
///
/// # Errors
/// As [`write`].
pub fn write_with(
    path: &Path,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), FileError> {
    let mut file = NewFile::create(path)?;
    content(&mut file).map_err(|error| not_written(path, &error))?;
    file.commit_synced()
}

/// As [`write`], through a temporary file of `locked`, whose lock the caller has: the next
/// run that takes the lock removes what a killed one left. Both have to be on one file
/// system.
///
/// # Errors
/// As [`write`].
pub fn write_under_lock(path: &Path, locked: &Path, content: &[u8]) -> Result<(), FileError> {
    let mut file = NewFile::through(path, locked)?;
    file.append(content)?;
    file.commit_synced()
}

/// A new file that replaces the one at a path when it is committed. If it is dropped
/// before that, nothing is left behind.
pub struct NewFile {
    path: PathBuf,
    out: Out,
}

enum Out {
    /// A pipe or a device, which has no old content, and must not be replaced by a
    /// file.
    Special(BufWriter<File>),
    File {
        file: BufWriter<tempfile::NamedTempFile>,
        target: PathBuf,
        folder: File,
    },
}

impl NewFile {
    /// A new file for `path`. Follows a link, and keeps the mode of an existing file.
    ///
    /// # Errors
    /// If it cannot be created beside `path`.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        Self::through(path, path)
    }

    /// A new file for `path`, which is a temporary file of `owner` until then.
    fn through(path: &Path, owner: &Path) -> Result<Self, FileError> {
        let out = open_out(path, owner).map_err(|error| not_written(path, &error))?;
        let path = path.to_owned();
        Ok(Self { path, out })
    }

    /// Writes `part` at its end.
    ///
    /// # Errors
    /// If that fails, as on a full disk.
    pub fn append(&mut self, part: &[u8]) -> Result<(), FileError> {
        self.write_all(part)
            .map_err(|error| not_written(&self.path, &error))
    }

    /// Moves the file to its path.
    ///
    /// # Errors
    /// If that fails; the file at the path is then unchanged.
    pub fn commit(self) -> Result<(), FileError> {
        self.persist(false)
    }

    /// As [`commit`](Self::commit), and syncs the content, so that it survives a power cut.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn commit_synced(self) -> Result<(), FileError> {
        self.persist(true)
    }

    fn persist(self, synced: bool) -> Result<(), FileError> {
        let Self { path, out } = self;
        let persist = || match out {
            Out::Special(mut out) => out.flush(),
            Out::File {
                file,
                target,
                folder,
            } => {
                let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
                if synced {
                    file.as_file().sync_all()?;
                }
                file.persist(target)?;
                if synced {
                    // The new file is complete and in place. This sync only keeps a
                    // power cut from bringing the old one back, and some file systems
                    // do not support it.
                    let _ = folder.sync_all();
                }
                Ok(())
            }
        };
        persist().map_err(|error: io::Error| not_written(&path, &error))
    }
}

impl Write for NewFile {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        match &mut self.out {
            Out::Special(out) => out.write(part),
            Out::File { file, .. } => file.write(part),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.out {
            Out::Special(out) => out.flush(),
            Out::File { file, .. } => file.flush(),
        }
    }
}

/// The content of the file at `path`. `None` if there is no file, if it is not a
/// regular file of this user, or if it has more than `most` bytes.
pub fn read_own(path: &Path, most: u64) -> Option<Vec<u8>> {
    let flags = OPEN_FLAGS.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path);
    let file = file.ok()?;
    let there = file.metadata().ok()?;
    let is_own = there.is_file() && there.uid() == rustix::process::geteuid().as_raw();
    if !is_own || there.len() > most {
        return None;
    }
    let mut content = Vec::new();
    file.take(most).read_to_end(&mut content).ok()?;
    Some(content)
}

/// Replaces whatever is at `path`, even a link or a pipe, by a file with `content`.
/// The file is not synced, so use this only for data that may be lost.
///
/// # Errors
/// If that fails; what is at `path` is then unchanged.
pub fn write_own(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let write = || {
        let mut file = new_file(path, 0o600)?;
        file.write_all(content)?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|error: io::Error| not_written(path, &error))
}

fn not_written(path: &Path, error: &io::Error) -> FileError {
    let message = format!("cannot be written: {}", json::plain(error));
    let remedy = "the file is as it was; see that its folder is writable and not full";
    FileError::new(path.display(), message, remedy)
}

fn open_out(path: &Path, owner: &Path) -> io::Result<Out> {
    if is_special(path) {
        let file = File::options().write(true).open(path)?;
        return Ok(Out::Special(BufWriter::new(file)));
    }
    let target = real_path(path)?;
    // Opened first, so that a folder that cannot be synced is an error before
    // anything has changed.
    let folder = File::open(folder_of(&target))?;
    let file = new_file(&real_path(owner)?, 0o666)?;
    if let Ok(old) = fs::metadata(&target) {
        file.as_file().set_permissions(old.permissions())?;
    }
    Ok(Out::File {
        file: BufWriter::new(file),
        target,
        folder,
    })
}

/// Whether something other than a file or a folder, such as a pipe, is at `path`.
pub fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir())
}

/// A temporary file beside `target`, removed on drop unless it is persisted. The umask
/// is applied to `mode`.
fn new_file(target: &Path, mode: u32) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.permissions(fs::Permissions::from_mode(mode));
    let prefix = temporary_prefix(target);
    let builder = builder.prefix(&prefix).rand_bytes(RANDOM_CHARACTERS);
    builder.tempfile_in(folder_of(target))
}

/// The prefix of a temporary file's name.
fn temporary_prefix(target: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(target.file_name().unwrap_or_default());
    prefix.push(TEMPORARY_MARK);
    prefix
}

/// The path of a file, or of one to be created, with all symbolic links resolved.
///
/// # Errors
/// If a folder on the way cannot be read.
pub fn real_path(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    // As many as Linux follows.
    for _ in 0..40 {
        match fs::canonicalize(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            real => return real,
        }
        match fs::read_link(&path) {
            // A link to a file that does not exist yet.
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

/// An exclusive advisory lock on a file, held while a run rewrites it. The lock is on
/// a second file with `.lock` appended to the name, which is removed on drop. A lock
/// file that is left from a killed run does not block.
#[derive(Debug)]
pub struct Lock {
    /// The lock file; `None` for a pipe or a device.
    path: Option<PathBuf>,
    /// The lock ends when this is closed.
    _file: Option<File>,
}

impl Lock {
    /// Takes the lock of the file at `path`, which need not exist yet.
    ///
    /// # Errors
    /// If another run has it, and where the folder cannot be written to.
    pub fn take(path: &Path) -> Result<Self, FileError> {
        Self::try_take(path)?.ok_or_else(|| {
            let message = "another nix-oci-hashes is at work on it";
            let remedy = "wait until that is done, then try again";
            FileError::new(path.display(), message, remedy)
        })
    }

    /// As [`Lock::take`], but returns `None` if another run has it.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn try_take(path: &Path) -> Result<Option<Self>, FileError> {
        if is_special(path) {
            return Ok(Some(Self {
                path: None,
                _file: None,
            }));
        }
        Self::try_take_beside(&real_path(path).map_err(|error| not_locked(path, &error))?)
    }

    /// As [`Lock::try_take`], but does not follow a link at `path`.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn try_take_beside(path: &Path) -> Result<Option<Self>, FileError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let lock_path = PathBuf::from(name);
        loop {
            let file = open_lock(&lock_path).map_err(|error| match error {
                OpenLockError::Io(error) => not_locked(path, &error),
                OpenLockError::File(error) => error,
            })?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => return Ok(None),
                // Without support for locks in the file system, the run goes on unlocked.
                Err(TryLockError::Error(error)) if error.kind() != ErrorKind::Unsupported => {
                    return Err(not_locked(path, &error));
                }
                _ => {}
            }
            // The run that had the lock may have removed the file after it was opened here.
            let here = file.metadata().map_err(|e| not_locked(path, &e))?;
            if fs::symlink_metadata(&lock_path).is_ok_and(|there| there.ino() == here.ino()) {
                remove_leftovers(path);
                return Ok(Some(Self {
                    path: Some(lock_path),
                    _file: Some(file),
                }));
            }
        }
    }
}

fn not_locked(path: &Path, error: &io::Error) -> FileError {
    let message = format!("cannot be locked: {}", json::plain(error));
    FileError::new(path.display(), message, "see that its folder is writable")
}

/// Why the lock file cannot be opened.
enum OpenLockError {
    Io(io::Error),
    /// What is at the path of the lock file cannot be used.
    File(FileError),
}

/// Opens or creates the lock file, which must be a regular file.
fn open_lock(path: &Path) -> Result<File, OpenLockError> {
    let open = |options: &mut fs::OpenOptions| {
        options
            .custom_flags(OPEN_FLAGS.bits().cast_signed())
            .open(path)
    };
    let opened = open(File::options().create(true).truncate(false).write(true));
    let opened = match opened {
        // A lock file of another user can be locked if it is readable.
        Err(error) if error.kind() == ErrorKind::PermissionDenied && path.exists() => {
            open(File::options().read(true))
        }
        opened => opened,
    };
    let is_file = fs::symlink_metadata(path).is_ok_and(|there| there.is_file());
    match opened {
        Ok(file) if file.metadata().is_ok_and(|there| there.is_file()) => Ok(file),
        Err(error) if is_file && error.kind() == ErrorKind::PermissionDenied => {
            let message = "it belongs to another user, who may be running nix-oci-hashes";
            let remedy = "remove it when no nix-oci-hashes is running";
            Err(OpenLockError::File(FileError::new(
                path.display(),
                message,
                remedy,
            )))
        }
        Err(error) if is_file || fs::symlink_metadata(path).is_err() => {
            Err(OpenLockError::Io(error))
        }
        _ => {
            let message = "it is not a regular file, so it cannot be a lock file";
            Err(OpenLockError::File(FileError::new(
                path.display(),
                message,
                "remove it",
            )))
        }
    }
}

/// Removes the temporary files of runs that were killed while they wrote `target`, which is
/// no link. The caller has the lock that guards it, so no other run is using them.
pub fn remove_leftovers(target: &Path) {
    let prefix = temporary_prefix(target);
    let prefix = prefix.as_encoded_bytes();
    let Ok(entries) = fs::read_dir(folder_of(target)) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let end = name.as_encoded_bytes().strip_prefix(prefix);
        let is_ours = end.is_some_and(|end| {
            end.len() == RANDOM_CHARACTERS && end.iter().all(u8::is_ascii_alphanumeric)
        });
        if is_ours && entry.file_type().is_ok_and(|there| there.is_file()) {
            // A leftover does no harm.
            let _ = fs::remove_file(entry.path());
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A leftover lock file does no harm.
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
    fn only_one_run_at_a_time_has_the_lock() {
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
        // A link to a file that does not exist yet creates that file.
        let early = folder.path().join("early.json");
        symlink("late.json", &early).unwrap();
        write(&early, b"new").unwrap();
        assert_eq!(fs::read(folder.path().join("late.json")).unwrap(), b"new");
        fs::remove_file(early).unwrap();
        fs::remove_file(folder.path().join("late.json")).unwrap();
        // A killed run leaves an unlocked lock file, and maybe a partial table.
        fs::write(folder.path().join("digests.json.lock"), "").unwrap();
        let half = new_file(&file, 0o666).unwrap().keep().unwrap().1;
        let others = [
            ".digests.json.backup",
            ".digests.json.a1B2c3",
            "digests.json.old",
        ];
        for other in others {
            fs::write(folder.path().join(other), "{}").unwrap();
        }
        drop(Lock::take(&file).unwrap());
        assert!(!half.exists());
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            2 + others.len()
        );
    }

    fn pipe(path: &Path) {
        let mode = rustix::fs::Mode::from_bits_truncate(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
    }

    #[test]
    fn a_lock_file_that_is_not_a_regular_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("digests.json");
        let lock = folder.path().join("digests.json.lock");
        let other = folder.path().join("other");
        let makes: [&dyn Fn(); 3] = [
            &|| pipe(&lock),
            &|| symlink(&other, &lock).unwrap(),
            &|| {
                fs::write(&other, "kept").unwrap();
                symlink(&other, &lock).unwrap();
            },
        ];
        for make in makes {
            make();
            let error = Lock::take(&file).unwrap_err().to_string();
            assert!(
                error.contains("digests.json.lock: it is not a regular file"),
                "{error}"
            );
            assert!(error.ends_with("; remove it"), "{error}");
            fs::remove_file(&lock).unwrap();
        }
        assert_eq!(fs::read(&other).unwrap(), b"kept");
    }

    #[test]
    fn own_files_are_never_read_or_written_through_links_or_pipes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resolved.json");
        let other = folder.path().join("other");
        pipe(&path);
        assert_eq!(read_own(&path, 10), None);
        write_own(&path, b"new").unwrap();
        assert_eq!(read_own(&path, 10).unwrap(), b"new");
        assert_eq!(read_own(&path, 2), None);
        fs::write(&other, "kept").unwrap();
        fs::remove_file(&path).unwrap();
        symlink(&other, &path).unwrap();
        assert_eq!(read_own(&path, 10), None);
        write_own(&path, b"new").unwrap();
        assert_eq!(read_own(&path, 10).unwrap(), b"new");
        assert_eq!(fs::read(&other).unwrap(), b"kept");
    }
}
