//! Requests the annotations, labels and layers of changed images.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};

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
    let found = stream::iter(wanted)
        .map(|wanted| async move {
            let key = (wanted.image.clone(), wanted.digest.clone());
            let known = annotations.get(&key);
            let details = request(&wanted, known, client).await?;
            Some((key, details))
        })
        .buffer_unordered(REQUESTS_AT_ONCE)
        .take_until(tokio::time::sleep(LONGEST_WAIT));
    found.filter_map(async |found| found).collect().await
}

async fn request(
    wanted: &Wanted<'_>,
    known: Option<&Annotations>,
    client: &Client,
) -> Option<Details> {
    let Wanted { image, digest, .. } = wanted;
    let is_low = || {
        let quotas = client.quotas();
        let quota = quotas.get(image.registry());
        quota.is_some_and(|quota| quota.limit.is_some_and(|limit| quota.remaining < limit / 2))
    };
    if is_low() {
        return None;
    }
    let content = client.image_content(image, wanted.manifest).await.ok()?;
    let of_index = match known {
        Some(known) => known.clone(),
        None if !wanted.has_annotations => Annotations::new(),
        None if is_low() => return None,
        None => client.platforms(image, digest).await.ok()?.annotations,
    };
    Some(Details::new(&of_index, content))
}
