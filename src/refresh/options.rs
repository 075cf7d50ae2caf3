//! What a refresh is to do, and whom it tells how far it has come.

use std::time::Duration;

use super::scope::Scope;

/// What a refresh is to do.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The images that it refreshes.
    pub scope: Scope,
    /// Whether it requests the digest of every pinned tag, those of full versions
    /// that no strategy takes too.
    pub all: bool,
    /// Whether the report has the decision on every tag, and why.
    pub explain: bool,
}

/// Receives the progress of a refresh.
pub trait Progress {
    /// `images` images of `registry` will be refreshed.
    fn registry(&self, registry: &str, images: usize);
    /// The tag list of an image of `registry` has come, or failed; the digests of
    /// `tags` tags follow.
    fn listed(&self, registry: &str, tags: usize);
    /// The digest of one tag of `registry` has come, or failed.
    fn answered(&self, registry: &str);
    /// `registry` is paused by a rate limit for `left`.
    fn paused(&self, registry: &str, left: Duration);
}
