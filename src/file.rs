//! Atomic replacement of files, and locks, so that one run at a time rewrites a file.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, ErrorKind, Read as _, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::json;
pub use crate::json::{FileError, plain};

/// Characters by which the names of new files differ.
const RANDOM: usize = 6;
/// What the names of new files have that no other program's have.
const OURS: &str = ".nix-oci-hashes-";
/// Neither a link nor a pipe may lead elsewhere or make the open wait.
const PLAIN: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK);

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
    let mut file = NewFile::create(path)?;
    content(&mut file).map_err(|error| not_written(path, &error))?;
    file.commit_synced()
}

/// A new file that takes the place of the one at a path once it is whole. Dropped
/// before that, it leaves nothing behind.
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
    /// A new file for `path`. A link is followed; the mode of a file that exists is
    /// kept.
    ///
    /// # Errors
    /// Where it cannot be created beside `path`.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        let out = open_out(path).map_err(|error| not_written(path, &error))?;
        let path = path.to_owned();
        Ok(Self { path, out })
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// Where that fails; what is at the path is then what it was.
    pub fn commit(self) -> Result<(), FileError> {
        self.persist(false)
    }

    /// As [`commit`](Self::commit), and the content outlives a power cut.
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
                    // The new file is in place, whole. Only whether a power cut could
                    // bring the old one back hangs on this, and some file systems do
                    // not offer it.
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

/// What the regular file of this user at `path` holds; nothing where there is
/// something else, more than `most` bytes, or nothing.
pub fn read_own(path: &Path, most: u64) -> Option<Vec<u8>> {
    let flags = PLAIN.bits().cast_signed();
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

/// Puts a file with `content` at `path`, in place of whatever is there, links and
/// pipes too. It is not synced: for what may be lost.
///
/// # Errors
/// Where that fails; what is at `path` is then what it was.
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

fn open_out(path: &Path) -> io::Result<Out> {
    if is_special(path) {
        let file = File::options().write(true).open(path)?;
        return Ok(Out::Special(BufWriter::new(file)));
    }
    let target = real_path(path)?;
    // Opened first, so that a folder that cannot be synced is an error before
    // anything has changed.
    let folder = File::open(folder_of(&target))?;
    let file = new_file(&target, 0o666)?;
    if let Ok(old) = fs::metadata(&target) {
        file.as_file().set_permissions(old.permissions())?;
    }
    Ok(Out::File {
        file: BufWriter::new(file),
        target,
        folder,
    })
}

/// Whether something other than a file or a folder is there.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir())
}

/// A new file beside `target`, which is gone unless it takes its place. `mode` is
/// what it is created with; the umask is applied.
fn new_file(target: &Path, mode: u32) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.permissions(fs::Permissions::from_mode(mode));
    let prefix = temporary_prefix(target);
    let builder = builder.prefix(&prefix).rand_bytes(RANDOM);
    builder.tempfile_in(folder_of(target))
}

/// How the name of the new file begins, before it takes the place of the old.
fn temporary_prefix(target: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(target.file_name().unwrap_or_default());
    prefix.push(OURS);
    prefix
}

/// The path of a file, or of one to be created, with all symbolic links resolved.
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

/// An exclusive advisory lock on a file, held while a run rewrites it. The lock is on
/// a file beside it with `.lock` at the end of its name, which is removed on drop. A
/// lock file that a killed run has left does not block.
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
    /// Where the folder cannot be written to.
    pub fn try_take_beside(path: &Path) -> Result<Option<Self>, FileError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let lock_path = PathBuf::from(name);
        loop {
            let file = open_lock(&lock_path).map_err(|error| match error {
                Refused::Io(error) => not_locked(path, &error),
                Refused::File(error) => error,
            })?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => return Ok(None),
                // A file system without locks has nobody to lock out.
                Err(TryLockError::Error(error)) if error.kind() != ErrorKind::Unsupported => {
                    return Err(not_locked(path, &error));
                }
                _ => {}
            }
            // The run before may have removed the file between these two steps.
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

/// Why there is no lock to take.
enum Refused {
    Io(io::Error),
    /// It is of the lock's own file.
    File(FileError),
}

/// Opens or makes the file that is locked, which has to be a regular one.
fn open_lock(path: &Path) -> Result<File, Refused> {
    let open =
        |options: &mut fs::OpenOptions| options.custom_flags(PLAIN.bits().cast_signed()).open(path);
    let opened = open(File::options().create(true).truncate(false).write(true));
    let opened = match opened {
        // One that another user has made can be locked all the same.
        Err(error) if error.kind() == ErrorKind::PermissionDenied && path.exists() => {
            open(File::options().read(true))
        }
        opened => opened,
    };
    let is_file = fs::symlink_metadata(path).is_ok_and(|there| there.is_file());
    match opened {
        Ok(file) if file.metadata().is_ok_and(|there| there.is_file()) => Ok(file),
        Err(error) if is_file && error.kind() == ErrorKind::PermissionDenied => {
            let message = "it belongs to another user, whose run may be at work";
            let remedy = "remove it once none is";
            Err(Refused::File(FileError::new(
                path.display(),
                message,
                remedy,
            )))
        }
        Err(error) if is_file || fs::symlink_metadata(path).is_err() => Err(Refused::Io(error)),
        _ => {
            let message = "it is no regular file, and cannot be a lock";
            Err(Refused::File(FileError::new(
                path.display(),
                message,
                "remove it",
            )))
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
        if is_ours && entry.file_type().is_ok_and(|there| there.is_file()) {
            // A file that stays does no harm.
            let _ = fs::remove_file(entry.path());
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The next run creates another; a file that stays does no harm.
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
    fn what_is_no_file_is_no_lock_and_nothing_waits_for_it() {
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
                error.contains("digests.json.lock: it is no regular file"),
                "{error}"
            );
            assert!(error.ends_with("; remove it"), "{error}");
            fs::remove_file(&lock).unwrap();
        }
        assert_eq!(fs::read(&other).unwrap(), b"kept");
    }

    #[test]
    fn of_what_others_put_in_its_place_nothing_is_read_or_written() {
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
