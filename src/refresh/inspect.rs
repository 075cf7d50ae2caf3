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

/// Requests the details of what was added and moved: one manifest and one configuration
/// for each digest, of a platform that both pins have. Nothing of a new image, nor of a
/// registry of whose pull quota half is spent. What fails, or takes too long, is left out.
/// `annotations` are those of the indexes that the refresh has read.
pub(super) async fn details(
    changes: &[Change],
    old: &Table,
    new: &Table,
    annotations: &AnnotationsOf,
    client: &Client,
) -> DetailsOf {
    let mut wanted: BTreeSet<(&ImageName, &Digest, &Digest)> = BTreeSet::new();
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
        wanted.extend(
            pins.iter()
                .map(|pin| (image, &pin.digest, &pin.platforms[platform])),
        );
    }
    let manifests: BTreeSet<(&ImageName, &Digest)> = wanted
        .iter()
        .map(|(image, _, manifest)| (*image, *manifest))
        .collect();
    let found = stream::iter(manifests)
        .map(|(image, manifest)| async move {
            let quotas = client.quotas();
            let quota = quotas.get(image.registry());
            let is_low = quota
                .is_some_and(|quota| quota.limit.is_some_and(|limit| quota.remaining < limit / 2));
            if is_low {
                return None;
            }
            let content = client.image_content(image, manifest).await.ok()?;
            Some(((image, manifest), content))
        })
        .buffer_unordered(REQUESTS_AT_ONCE)
        .take_until(tokio::time::sleep(LONGEST_WAIT));
    let found: BTreeMap<_, _> = found.filter_map(async |found| found).collect().await;
    let none = Annotations::new();
    let details = wanted.into_iter().filter_map(|(image, digest, manifest)| {
        let content = found.get(&(image, manifest))?.clone();
        let key = (image.clone(), digest.clone());
        let details = Details::new(annotations.get(&key).unwrap_or(&none), content);
        Some((key, details))
    });
    details.collect()
}
