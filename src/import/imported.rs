//! What an import has found in a file.

use crate::reference::{ImageName, Reference, ReferenceError};
use crate::text::Plain;

/// What a file has.
#[derive(Debug, Default)]
pub struct Imported {
    /// The references, in the order of the file.
    pub found: Vec<Found>,
    /// Entries of an `images.json`, each as it was written.
    pub entries: Vec<(ImageName, String)>,
    /// What looks like an image and is not taken.
    pub left: Vec<Left>,
}

/// A reference, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The line, from 1 on.
    pub line: usize,
    /// The reference.
    pub reference: Reference,
}

/// What is not taken, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The line, from 1 on.
    pub line: usize,
    /// The text, safe to print.
    pub text: String,
    /// Why it is not taken.
    pub reason: String,
}

impl Imported {
    /// Takes what a file has where a reference is meant.
    pub(super) fn take(&mut self, line: usize, text: &str) {
        match text.parse() {
            Ok(reference) => self.found.push(Found { line, reference }),
            Err(error) => {
                let error: ReferenceError = error;
                self.leave(line, text, &error.to_string());
            }
        }
    }

    pub(super) fn leave(&mut self, line: usize, text: &str, reason: &str) {
        self.left.push(Left {
            line,
            text: Plain(text).to_string(),
            reason: reason.to_owned(),
        });
    }
}
