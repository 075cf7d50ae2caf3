//! The options of a refresh, and the trait that receives its progress.

use std::time::Duration;

use super::scope::Scope;
use crate::file::FileError;
use crate::images::MinimumAge;
use crate::reference::Digest;
use crate::registry::Client;
use crate::table::Table;
use crate::table::pending::Pending;

/// The options of a refresh.
#[derive(Debug, Clone, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub struct Options {
    /// The images that it refreshes.
    pub scope: Scope,
    /// Whether to request every pinned tag that the registry lists, including full
    /// versions that no strategy selects.
    pub all: bool,
    /// Whether the report has the decision for every tag.
    pub explain: bool,
    /// Whether the report has labels and layers of changed images.
    pub details: bool,
    /// The time of this run, in seconds since 1970, from which ages follow.
    pub time: u64,
    /// The minimum age for images whose entry has none.
    pub minimum_age: Option<MinimumAge>,
    /// Whether to take new digests whatever their age, and full versions that were
    /// pushed again. They need their signatures all the same.
    pub is_overriding: bool,
}

/// What a refresh changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The pins.
    pub table: Table,
    /// The digests that are too young to be pinned.
    pub pending: Pending,
}

/// What a refresh works with.
pub struct Services<'a, R, V, P> {
    /// Sends its requests.
    pub client: &'a Client,
    /// Keeps manifests.
    pub recorder: &'a R,
    /// Verifies signatures.
    pub verifier: &'a V,
    /// Receives its progress.
    pub progress: &'a P,
}

/// Keeps the manifests of images with `store`.
pub trait Recorder {
    /// Whether the manifest of `digest` is recorded, with the right bytes.
    fn has(&self, digest: &Digest) -> bool;
    /// Records the manifest of `digest`, whose bytes have been checked.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn record(&self, digest: &Digest, manifest: &[u8]) -> Result<(), FileError>;
}

/// Receives the progress of a refresh.
pub trait Progress {
    /// `images` images of `registry` will be refreshed.
    fn registry(&self, registry: &str, images: usize);
    /// The request for a tag list of `registry` has succeeded or failed. As many other
    /// requests follow.
    fn listed(&self, registry: &str, requests: usize);
    /// One of those has succeeded or failed.
    fn answered(&self, registry: &str);
    /// A rate limit pauses `registry` for another `left`.
    fn paused(&self, registry: &str, left: Duration);
}
