//! The output of every verb: printed text and an exit code.

use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::Context as _;
use nix_oci_hashes::text::Plain;

/// Exit code: everything was done.
pub(super) const DONE: u8 = 0;
/// Exit code: a bad flag, a file that cannot be read or written, no answer.
pub(super) const FAILED: u8 = 1;
/// Exit code: some images failed; the rest was written.
pub(super) const SOME_FAILED: u8 = 2;

/// The name of a file, safe to print on a terminal.
pub(super) fn name_of(path: &impl AsRef<Path>) -> String {
    Plain(&path.as_ref().display().to_string()).to_string()
}

/// Prints on standard output, without colour where that is no terminal. A closed
/// pipe (`| head`) is no error.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = anstream::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}
