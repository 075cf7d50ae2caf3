//! Failures: those of one registry for one reason are one line.

use nix_oci_hashes::reference::ImageName;
use nix_oci_hashes::refresh::{Problem, Report};

use crate::cli::remedy;

/// Most images and tags that a line names.
const NAMES_SHOWN: usize = 3;

/// Images or tags that have failed for one reason.
pub(super) struct Failure<'a> {
    /// The images, of one registry.
    pub(super) images: Vec<&'a ImageName>,
    /// The images, or tags of them.
    names: Vec<String>,
    /// Why, with the remedy.
    reason: String,
    /// The whole sentence on the first of them.
    first: String,
}

/// The failures of a report, in its order. With `explain`, each is one of its own.
pub(super) fn failures(report: &Report) -> Vec<Failure<'_>> {
    let mut failures: Vec<Failure<'_>> = Vec::new();
    for (image, problem) in &report.problems {
        let (name, reason) = match problem {
            Problem::Image(error) => (image.to_string(), remedy::sentence(error)),
            Problem::Tag { tag, error } => (format!("{image}:{tag}"), remedy::sentence(error)),
            other => (image.to_string(), remedy::problem(other)),
        };
        let same = failures.iter_mut().find(|failure| {
            let registry = failure.images[0].registry();
            !report.explain && registry == image.registry() && failure.reason == reason
        });
        match same {
            Some(failure) => {
                failure.images.push(image);
                failure.names.push(name);
            }
            None => failures.push(Failure {
                images: vec![image],
                names: vec![name],
                reason,
                first: remedy::problem(problem),
            }),
        }
    }
    failures
}

impl Failure<'_> {
    /// The image, or the registry of several failures.
    pub(super) fn what(&self) -> &str {
        match &self.names[..] {
            [_] => self.images[0].as_str(),
            _ => self.images[0].registry(),
        }
    }

    /// The reason, and which images or tags it concerns, if there are several.
    pub(super) fn how(&self) -> String {
        let count = self.names.len();
        if count == 1 {
            return self.first.clone();
        }
        let shown = self.names[..count.min(NAMES_SHOWN)].join(", ");
        let more = match count.saturating_sub(NAMES_SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more; --verbose names them"),
        };
        format!("{}: {shown}{more}", self.reason)
    }
}
