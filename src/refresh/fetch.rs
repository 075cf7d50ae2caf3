//! Concurrent requests for one image.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _};

use super::options::Progress;
use crate::reference::{Digest, ImageName, Tag};
use crate::registry::{Client, IndexPlatforms, RegistryError};

/// Most concurrent requests for one image.
const REQUESTS_AT_ONCE: usize = 32;

/// The platforms of each digest that was requested.
pub(super) type Indexes = BTreeMap<Digest, Result<IndexPlatforms, RegistryError>>;

/// The digest of each tag; `None` for a tag that the registry does not have.
pub(super) async fn digests<'a>(
    client: &Client,
    image: &ImageName,
    tags: BTreeSet<&'a Tag>,
    progress: &impl Progress,
) -> Vec<(&'a Tag, Result<Option<Digest>, RegistryError>)> {
    stream::iter(tags)
        .map(|tag| async move {
            let digest = client.digest(image, tag).await;
            progress.answered(image.registry());
            (tag, digest)
        })
        .buffer_unordered(REQUESTS_AT_ONCE)
        .collect()
        .await
}

/// The results of `work` for each digest, which starts in the order of `digests`.
pub(super) async fn each<T, F: Future<Output = T>>(
    digests: impl Iterator<Item = Digest>,
    work: impl Fn(Digest) -> F,
) -> Vec<T> {
    stream::iter(digests)
        .map(work)
        .buffer_unordered(REQUESTS_AT_ONCE)
        .collect()
        .await
}

/// The platforms of each digest, requested once for all tags that share it.
pub(super) async fn indexes(
    client: &Client,
    image: &ImageName,
    digests: BTreeSet<&Digest>,
) -> Indexes {
    stream::iter(digests)
        .map(|digest| async move { (digest.clone(), client.platforms(image, digest).await) })
        .buffer_unordered(REQUESTS_AT_ONCE)
        .collect()
        .await
}
