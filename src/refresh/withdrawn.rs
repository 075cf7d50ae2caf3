//! Which pinned digests a registry no longer serves.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _};

use super::options::Progress;
use crate::reference::{Digest, ImageName, Tag};
use crate::registry::{Client, RegistryError};
use crate::table::{Pin, Pins, Table};

/// Most requests at once. The client limits those to each registry.
const REQUESTS_AT_ONCE: usize = 256;

/// A pin that names digests which the registry no longer serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawn {
    /// The image.
    pub image: ImageName,
    /// The tag.
    pub tag: Tag,
    /// The digests, of the index or of platforms.
    pub digests: Vec<Digest>,
    /// The next version of the tag's variant, all of whose digests are served; else the
    /// previous one.
    pub nearest: Option<Tag>,
}

/// Asks with one HEAD each whether the digests of `table` are served. Returns the pins
/// that name others, by image and version, and the requests that have failed.
pub async fn withdrawn(
    table: &Table,
    client: &Client,
    progress: &impl Progress,
) -> (Vec<Withdrawn>, Vec<RegistryError>) {
    let pinned: BTreeSet<(&ImageName, &Digest)> = table
        .images
        .iter()
        .flat_map(|(image, pins)| pins.values().map(move |pin| (image, pin)))
        .flat_map(|(image, pin)| digests_of(pin).map(move |digest| (image, digest)))
        .collect();
    let mut registries: BTreeMap<&str, usize> = BTreeMap::new();
    for (image, _) in &pinned {
        *registries.entry(image.registry()).or_default() += 1;
    }
    for (registry, digests) in registries {
        progress.registry(registry, 0);
        progress.listed(registry, digests);
    }
    let responses: Vec<_> = stream::iter(pinned)
        .map(|(image, digest)| async move {
            let response = client.serves(image, digest).await;
            progress.answered(image.registry());
            (image, digest, response)
        })
        .buffer_unordered(REQUESTS_AT_ONCE)
        .collect()
        .await;
    let mut images: BTreeMap<&ImageName, Unserved<'_>> = BTreeMap::new();
    let mut errors = Vec::new();
    for (image, digest, response) in responses {
        match response {
            Ok(true) => {}
            Ok(false) => {
                images.entry(image).or_default().missing.insert(digest);
            }
            Err(error) => {
                images.entry(image).or_default().unknown.insert(digest);
                errors.push(error);
            }
        }
    }
    let mut found = Vec::new();
    for (image, unserved) in images {
        if let Some(pins) = table.images.get(image) {
            found.extend(unserved.withdrawn(image, pins));
        }
    }
    (found, errors)
}

/// The digests of an image that are not known to be served.
#[derive(Default)]
struct Unserved<'a> {
    /// Those that the registry does not have.
    missing: BTreeSet<&'a Digest>,
    /// Those whose request has failed.
    unknown: BTreeSet<&'a Digest>,
}

impl Unserved<'_> {
    fn withdrawn(&self, image: &ImageName, pins: &Pins) -> Vec<Withdrawn> {
        let mut pins: Vec<(&Tag, &Pin)> = pins.iter().map(|(tag, pin)| (tag, &**pin)).collect();
        pins.sort_by_cached_key(|(tag, pin)| pin.by_version(tag));
        let mut found = Vec::new();
        for (at, (tag, pin)) in pins.iter().enumerate() {
            let missing = digests_of(pin).filter(|digest| self.missing.contains(digest));
            let missing: BTreeSet<&Digest> = missing.collect();
            if missing.is_empty() {
                continue;
            }
            let version = pin.version_of(tag);
            let is_near = |(other, pin): &&(&Tag, &Pin)| {
                let other = pin.version_of(other);
                let (Some(version), Some(other)) = (&version, other) else {
                    return false;
                };
                other.variant() == version.variant()
                    && (version.is_prerelease() || !other.is_prerelease())
                    && self.serves(pin)
            };
            let later = pins[at..].iter().find(is_near);
            let nearest = later.or_else(|| pins[..at].iter().rev().find(is_near));
            found.push(Withdrawn {
                image: image.clone(),
                tag: (*tag).clone(),
                digests: missing.into_iter().cloned().collect(),
                nearest: nearest.map(|(tag, _)| (*tag).clone()),
            });
        }
        found
    }

    /// Whether every digest of a pin is served.
    fn serves(&self, pin: &Pin) -> bool {
        digests_of(pin)
            .all(|digest| !self.missing.contains(digest) && !self.unknown.contains(digest))
    }
}

fn digests_of(pin: &Pin) -> impl Iterator<Item = &Digest> {
    std::iter::once(&pin.digest).chain(pin.platforms.values())
}
