//! The result of reading one file.

use crate::reference::{ImageName, Reference, ReferenceError};
use crate::text::Plain;

/// The references and entries of a file.
#[derive(Debug, Default)]
pub struct Imported {
    /// The references, in the order of the file.
    pub found: Vec<LocatedReference>,
    /// The entries of an `images.json`, each with its original text.
    pub entries: Vec<(ImageName, String)>,
    /// Texts that look like images and are skipped.
    pub skipped: Vec<Skipped>,
}

/// A reference, and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocatedReference {
    /// The line, from 1 on.
    pub line: usize,
    /// The parsed reference.
    pub reference: Reference,
}

/// A skipped text, and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The line, from 1 on.
    pub line: usize,
    /// The text, safe to print.
    pub text: String,
    /// The reason, as a sentence about the text.
    pub reason: String,
}

impl Imported {
    /// Adds `text` as a reference, or as skipped if it is not one.
    pub(super) fn take(&mut self, line: usize, text: &str) {
        match text.parse() {
            Ok(reference) => self.found.push(LocatedReference { line, reference }),
            Err(error) => {
                let error: ReferenceError = error;
                self.skip(line, text, &error.to_string());
            }
        }
    }

    /// Records that `text` is skipped.
    pub(super) fn skip(&mut self, line: usize, text: &str, reason: &str) {
        self.skipped.push(Skipped {
            line,
            text: Plain(text).to_string(),
            reason: reason.to_owned(),
        });
    }
}
