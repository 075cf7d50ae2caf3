//! Which pinned digests a registry no longer serves.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _};

use crate::reference::{Digest, ImageName, Tag, by_version};
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
    /// The version nearest to the tag, of its variant, all of whose digests are served.
    pub nearest: Option<Tag>,
}

/// Asks with one HEAD each whether the digests of `table` are served. Returns the pins
/// that name others, by image and version, and the requests that have failed.
pub async fn withdrawn(table: &Table, client: &Client) -> (Vec<Withdrawn>, Vec<RegistryError>) {
    let pinned: BTreeSet<(&ImageName, &Digest)> = table
        .images
        .iter()
        .flat_map(|(image, pins)| digests(pins).map(move |digest| (image, digest)))
        .collect();
    let responses: Vec<_> = stream::iter(pinned)
        .map(|(image, digest)| async move { (image, digest, client.serves(image, digest).await) })
        .buffer_unordered(REQUESTS_AT_ONCE)
        .collect()
        .await;
    let mut missing: BTreeMap<&ImageName, BTreeSet<&Digest>> = BTreeMap::new();
    let mut errors = Vec::new();
    for (image, digest, response) in responses {
        match response {
            Ok(true) => {}
            Ok(false) => {
                missing.entry(image).or_default().insert(digest);
            }
            Err(error) => errors.push(error),
        }
    }
    let mut found = Vec::new();
    for (image, missing) in missing {
        if let Some(pins) = table.images.get(image) {
            found.extend(of_image(image, pins, &missing));
        }
    }
    (found, errors)
}

fn of_image(image: &ImageName, pins: &Pins, missing: &BTreeSet<&Digest>) -> Vec<Withdrawn> {
    let mut tags: Vec<(&Tag, bool)> = pins
        .iter()
        .map(|(tag, pin)| (tag, digests_of(pin).all(|digest| !missing.contains(digest))))
        .collect();
    tags.sort_by_cached_key(|(tag, _)| by_version(tag));
    let variant = |tag: &Tag| tag.version().map(|version| version.variant().to_owned());
    let mut found = Vec::new();
    for (at, (tag, is_served)) in tags.iter().enumerate() {
        if *is_served {
            continue;
        }
        let of_variant = variant(tag);
        let is_near = |(other, is_served): &&(&Tag, bool)| {
            *is_served && of_variant.is_some() && variant(other) == of_variant
        };
        let later = tags[at..].iter().find(is_near);
        let nearest = later.or_else(|| tags[..at].iter().rev().find(is_near));
        let digests: BTreeSet<&Digest> = pins
            .get(*tag)
            .into_iter()
            .flat_map(|pin| digests_of(pin))
            .filter(|digest| missing.contains(digest))
            .collect();
        found.push(Withdrawn {
            image: image.clone(),
            tag: (*tag).clone(),
            digests: digests.into_iter().cloned().collect(),
            nearest: nearest.map(|(tag, _)| (*tag).clone()),
        });
    }
    found
}

fn digests(pins: &Pins) -> impl Iterator<Item = &Digest> {
    pins.values().flat_map(|pin| digests_of(pin))
}

fn digests_of(pin: &Pin) -> impl Iterator<Item = &Digest> {
    std::iter::once(&pin.digest).chain(pin.platforms.values())
}
