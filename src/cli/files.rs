//! The two files that the verbs work on.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nix_oci_hashes::images::edit::Editor;
use nix_oci_hashes::images::{self, TrackedImage};
use nix_oci_hashes::table::Table;

/// The files, by their usual names.
#[derive(Debug, clap::Args)]
pub(super) struct Files {
    /// Which images are tracked
    #[arg(long, value_name = "FILE", default_value = "images.json")]
    pub(super) images: PathBuf,

    /// The table of pins; made where there is none
    #[arg(long, value_name = "FILE", default_value = "digests.json")]
    pub(super) digests: PathBuf,
}

impl Files {
    /// The text of images.json, to be changed; an empty list where there is no
    /// file yet.
    pub(super) fn editor(&self) -> Result<Editor> {
        let text = match std::fs::read_to_string(&self.images) {
            Err(error) if error.kind() == ErrorKind::NotFound => "[]\n".to_owned(),
            text => text
                .with_context(|| format!("{}: see that you may read it", self.images.display()))?,
        };
        Ok(Editor::new(&text, &self.images.display().to_string())?)
    }

    /// What the text of an editor tracks.
    pub(super) fn tracked(&self, editor: &Editor) -> Result<Vec<TrackedImage>> {
        let origin = self.images.display().to_string();
        Ok(images::parse(editor.text().as_bytes(), &origin)?)
    }
}

/// Found out now, not when every registry has been asked.
pub(super) fn check_folder(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    if !folder.as_os_str().is_empty() && !folder.is_dir() {
        bail!(
            "{}: its folder does not exist; create it first",
            path.display()
        );
    }
    Ok(())
}

/// The table and its text; an empty table where there is no file yet.
pub(super) fn read_table(path: &Path) -> Result<(Table, Option<Vec<u8>>)> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok((Table::default(), None)),
        _ => {
            let text = std::fs::read(path)
                .with_context(|| format!("{}: see that you may read it", path.display()))?;
            let table = Table::parse(&text, &path.display().to_string())?;
            Ok((table, Some(text)))
        }
    }
}
