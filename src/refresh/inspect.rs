//! Requests the annotations, labels and layers of changed images.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tokio::time::{Instant, sleep_until};

use super::details::{Details, DetailsOf};
use super::report::{Change, ChangeKind};
use crate::reference::{Digest, ImageName};
use crate::registry::{Annotations, Client};
use crate::table::{Pin, Table};

/// Most requests at once. The client limits those to each registry.
const REQUESTS_AT_ONCE: usize = 64;
/// How long a refresh waits for all of them.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The annotations of indexes, by image and digest.
pub(super) type AnnotationsOf = BTreeMap<(ImageName, Digest), Annotations>;

/// A pin before or after a change.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Wanted<'a> {
    image: &'a ImageName,
    digest: &'a Digest,
    /// Of a platform that the pins before and after have.
    manifest: &'a Digest,
    /// Whether the annotations of its index are compared with those of another.
    has_annotations: bool,
}

/// Requests the details of what was added and moved: one manifest and one configuration
/// for each digest, of a platform that both pins have, and the old index where the new one
/// has annotations. Nothing of a new image, nor of a registry of whose pull quota half is
/// spent. What fails, or takes too long, is left out. `annotations` are those of the
/// indexes that the refresh has read.
pub(super) async fn details(
    changes: &[Change],
    old: &Table,
    new: &Table,
    annotations: &AnnotationsOf,
    client: &Client,
) -> DetailsOf {
    let mut wanted: BTreeSet<Wanted<'_>> = BTreeSet::new();
    for Change { image, tag, kind } in changes {
        let Some(old_pins) = old.images.get(image) else {
            continue;
        };
        if !matches!(kind, ChangeKind::Added { .. } | ChangeKind::Moved { .. }) {
            continue;
        }
        let new_pin = new.images.get(image).and_then(|pins| pins.get(tag));
        let pins = [old_pins.get(tag), new_pin];
        let pins: Vec<&Pin> = pins.into_iter().flatten().map(|pin| &**pin).collect();
        let Some(first) = pins.first() else { continue };
        let mut platforms = first.platforms.keys();
        let shared =
            platforms.find(|platform| pins.iter().all(|pin| pin.platforms.contains_key(*platform)));
        let Some(platform) = shared else { continue };
        let has_annotations = new_pin
            .is_some_and(|pin| annotations.contains_key(&(image.clone(), pin.digest.clone())));
        wanted.extend(pins.iter().map(|pin| Wanted {
            image,
            digest: &pin.digest,
            manifest: &pin.platforms[platform],
            has_annotations,
        }));
    }
    let until = Instant::now() + LONGEST_WAIT;
    let manifests = wanted.iter().map(|of| (of.image, of.manifest)).collect();
    let contents = each(manifests, until, client, |image, manifest| async move {
        client.image_content(image, manifest).await.ok()
    });
    let contents = contents.await;
    let known = |of: &Wanted<'_>| annotations.get(&(of.image.clone(), of.digest.clone()));
    let unread = wanted
        .iter()
        .filter(|of| of.has_annotations && known(of).is_none());
    let unread = unread.map(|of| (of.image, of.digest)).collect();
    let indexes = each(unread, until, client, |image, digest| async move {
        let index = client.platforms(image, digest).await.ok()?;
        Some(index.annotations)
    });
    let indexes = indexes.await;
    let none = Annotations::new();
    let details = wanted.iter().filter_map(|of| {
        let content = contents.get(&(of.image, of.manifest))?.clone();
        let of_index = match known(of) {
            Some(known) => known,
            None if of.has_annotations => indexes.get(&(of.image, of.digest))?,
            None => &none,
        };
        let key = (of.image.clone(), of.digest.clone());
        Some((key, Details::new(of_index, content)))
    });
    details.collect()
}

/// The results of `request` for each digest, until a time. Without those of registries of
/// whose pull quota half is spent.
async fn each<'a, T, F: Future<Output = Option<T>>>(
    digests: BTreeSet<(&'a ImageName, &'a Digest)>,
    until: Instant,
    client: &Client,
    request: impl Fn(&'a ImageName, &'a Digest) -> F,
) -> BTreeMap<(&'a ImageName, &'a Digest), T> {
    let results = stream::iter(digests)
        .map(|(image, digest)| {
            let request = &request;
            async move {
                let quotas = client.quotas();
                let quota = quotas.get(image.registry());
                let is_low = quota.is_some_and(|quota| {
                    quota.limit.is_some_and(|limit| quota.remaining < limit / 2)
                });
                if is_low {
                    return None;
                }
                let result = request(image, digest).await?;
                Some(((image, digest), result))
            }
        })
        .buffer_unordered(REQUESTS_AT_ONCE)
        .take_until(sleep_until(until));
    results.filter_map(async |result| result).collect().await
}
