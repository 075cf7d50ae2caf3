//! The two files that the verbs work on.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use nix_oci_hashes::file::plain;
use nix_oci_hashes::file::{self, Lock};
use nix_oci_hashes::images::edit::Editor;
use nix_oci_hashes::images::{self, TrackedImage};
use nix_oci_hashes::reference::{Algorithm, Digest};
use nix_oci_hashes::table::Table;
use nix_oci_hashes::table::pending::Pending;

use super::output;
use super::remedy;

/// The usual name of the table.
const DIGESTS: &str = "digests.json";

/// The paths of both files.
#[derive(Debug, clap::Args)]
pub(super) struct Files {
    /// Which images are tracked
    #[arg(long, value_name = "FILE", default_value = "images.json")]
    pub(super) images: PathBuf,

    /// The table of pins
    #[arg(long, value_name = "FILE", default_value = DIGESTS)]
    pub(super) digests: PathBuf,
}

impl Files {
    /// An editor for images.json; for an empty list if there is no file yet.
    pub(super) fn editor(&self) -> Result<Editor> {
        let text = read(&self.images)?.unwrap_or_else(|| b"[]\n".to_vec());
        Ok(Editor::new(&text, &output::name_of(&self.images))?)
    }

    /// The entries of images.json; none if there is no file.
    pub(super) fn tracked_if_any(&self) -> Result<Vec<TrackedImage>> {
        if !self.images.exists() {
            return Ok(Vec::new());
        }
        Ok(images::read(&self.images, remedy::IMAGES)?)
    }

    /// The table and the digest of its text. A missing file is an error only if the user
    /// named it: the name may be misspelled.
    pub(super) fn existing_table(&self) -> Result<(Table, Option<Digest>)> {
        let (table, digest) = read_table(&self.digests)?;
        if digest.is_none() && self.digests != Path::new(DIGESTS) {
            bail!(
                "{}: there is no such file; name the table with --digests FILE, or make it with 'nix-oci-hashes refresh'",
                output::name_of(&self.digests)
            );
        }
        Ok((table, digest))
    }

    /// Checks both paths, then takes the locks of both files. Every verb takes them in
    /// this order, so that no two runs wait for each other.
    pub(super) fn lock(&self) -> Result<(Lock, Lock)> {
        check_apart(&[("--images", &self.images), ("--digests", &self.digests)])?;
        check_folder(&self.images)?;
        check_folder(&self.digests)?;
        Ok((Lock::take(&self.images)?, Lock::take(&self.digests)?))
    }
}

/// Fails if two flags name the same file: one use would overwrite the other. `files` are
/// flags and their paths.
pub(super) fn check_apart(files: &[(&str, &Path)]) -> Result<()> {
    for (i, (flag, path)) in files.iter().enumerate() {
        let same = files[..i].iter().find(|(_, other)| is_same(path, other));
        if let Some((other, _)) = same {
            bail!(
                "{other} and {flag} both name {}; name two files",
                output::name_of(&path)
            );
        }
    }
    Ok(())
}

/// Whether two paths lead to one file, which need not exist yet.
pub(super) fn is_same(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| {
        let path = file::real_path(path).ok()?;
        std::fs::canonicalize(&path).ok().or_else(|| {
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            let folder = std::fs::canonicalize(folder.unwrap_or(Path::new("."))).ok()?;
            Some(folder.join(path.file_name()?))
        })
    };
    a == b || real(a).is_some_and(|real_a| Some(real_a) == real(b))
}

/// Fails if the folder of `path` is missing. Called before the requests to registries, so
/// that they are not in vain.
pub(super) fn check_folder(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    if !folder.as_os_str().is_empty() && !folder.is_dir() {
        bail!(
            "{}: its folder does not exist; create it first",
            output::name_of(&path)
        );
    }
    Ok(())
}

/// The table and the digest of its text; an empty table where there is no file yet.
pub(super) fn read_table(path: &Path) -> Result<(Table, Option<Digest>)> {
    // A pipe can be read only once, so it is read into memory below.
    let is_file = std::fs::metadata(path).is_ok_and(|there| there.is_file());
    if is_file && let Ok((table, digest)) = File::open(path).and_then(Table::stream) {
        return Ok((table, Some(digest)));
    }
    let Some(text) = read(path)? else {
        return Ok((Table::default(), None));
    };
    let table = Table::parse(&text, &output::name_of(&path))?;
    Ok((table, Some(Digest::of(Algorithm::Sha256, &text))))
}

/// Writes the pending digests beside `table`, whose lock the caller has, or removes the file
/// if there are none. To be called before the table is written: what it pins stays pending
/// until the next run.
pub(super) fn write_pending(table: &Path, pending: &Pending) -> Result<()> {
    if !pending.images.is_empty() {
        return write_pending_of_part(table, pending);
    }
    let Some(path) = pending_to_write(table) else {
        return Ok(());
    };
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => bail!(
            "{}: cannot be removed: {}; remove it: no digest is pending",
            output::name_of(&path),
            plain(&error)
        ),
        _ => Ok(()),
    }
}

/// As [`write_pending`], for a part of a table: the file is there even if nothing is pending,
/// so that `merge` notices one that was not passed on.
pub(super) fn write_pending_of_part(table: &Path, pending: &Pending) -> Result<()> {
    if let Some(path) = pending_to_write(table) {
        file::write(&path, pending.to_json().as_bytes())?;
    }
    Ok(())
}

/// The file of pending digests beside `table`, behind links, without what killed runs have
/// left of it. A pipe has none.
fn pending_to_write(table: &Path) -> Option<PathBuf> {
    if file::is_special(table) {
        return None;
    }
    let path = Pending::beside(table);
    let path = file::real_path(&path).unwrap_or(path);
    file::remove_leftovers(&path);
    Some(path)
}

/// The bytes of a file; `None` where there is none yet.
fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => bail!(
            "{}: {}; see that it is a file that you may read",
            output::name_of(&path),
            plain(&error)
        ),
    }
}
