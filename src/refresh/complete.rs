//! Platforms that images.json has begun to list after a pin was made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::report::Problem;
use super::run::{Offer, Outcome, ask_platforms};
use crate::digest::Digest;
use crate::images::TrackedImage;
use crate::platform::Platform;
use crate::registry::{Client, RegistryError};
use crate::table::{Pin, Pins};
use crate::tag::Tag;

/// Adds a platform that images.json has just begun to list to the pins that
/// offer it, which no tag has to be asked for: their digests are known. Whether
/// there is anything to add the newest pin tells, which gets its own last: until
/// then all that could not be had is tried again in the next run.
pub(super) async fn complete(
    outcome: &mut Outcome,
    old_pins: &Pins,
    offers: &BTreeMap<Digest, Offer>,
    tracked: &TrackedImage,
    client: &Client,
) {
    let there = |tag: &Tag| !outcome.gone.contains(tag);
    let verified = outcome
        .pins
        .iter()
        .filter(|(tag, pin)| there(tag) && !pin.platforms.is_empty());
    let Some((_, newest)) = verified.clone().max_by_key(|(tag, pin)| {
        let version = pin.version.as_deref().cloned().or_else(|| tag.version());
        (version.is_some(), version, *tag)
    }) else {
        return;
    };
    let lacks =
        |pin: &Pin| !offers.contains_key(&pin.digest) && !pin.is_complete(&tracked.platforms);
    let open: BTreeSet<Digest> = verified
        .filter(|(_, pin)| lacks(pin))
        .map(|(_, pin)| pin.digest.clone())
        .collect();
    let newest = newest.digest.clone();
    let known: BTreeSet<&Platform> = old_pins
        .values()
        .flat_map(|pin| pin.platforms.keys())
        .collect();
    let offers_new = |offers: &BTreeMap<Digest, Offer>, known: &dyn Fn(&Platform) -> bool| {
        let offered = offers.values().flatten();
        let offered = offered.flat_map(|offer| offer.manifests.keys());
        let mut tracked_ones = offered.filter(|platform| tracked.platforms.contains(*platform));
        tracked_ones.any(|platform| !known(platform))
    };
    let mut told = BTreeMap::new();
    let is_worth_it = if open.contains(&newest) {
        told = ask_platforms(&outcome.image, [&newest].into(), client).await;
        // That it cannot be told now is nothing to report: it is no tag's digest
        // that is missing.
        let pin = outcome.pins.values().find(|pin| pin.digest == newest);
        offers_new(&told, &|platform| {
            pin.is_some_and(|pin| pin.platforms.contains_key(platform))
        })
    } else {
        // A release that is new has a platform that no pin had before.
        !open.is_empty() && offers_new(offers, &|platform| known.contains(platform))
    };
    if !is_worth_it {
        return;
    }
    let others = open.iter().filter(|digest| **digest != newest).collect();
    let others = ask_platforms(&outcome.image, others, client).await;
    let is_lost = |offer: &Offer| matches!(offer, Err(RegistryError::NoSuchDigest { .. }));
    if others.values().all(|offer| offer.is_ok() || is_lost(offer)) {
        told.extend(others);
    } else {
        told = others;
    }
    for (tag, pin) in &mut outcome.pins {
        match told.get(&pin.digest) {
            Some(Ok(offered)) => {
                let taken = offered
                    .manifests
                    .iter()
                    .filter(|(platform, _)| tracked.platforms.contains(*platform));
                Arc::make_mut(pin)
                    .platforms
                    .extend(taken.map(|(platform, digest)| (platform.clone(), digest.clone())));
            }
            Some(Err(error)) if !matches!(error, RegistryError::NoSuchDigest { .. }) => {
                outcome.problems.push(Problem::Tag {
                    tag: tag.clone(),
                    error: error.clone(),
                });
            }
            _ => {}
        }
    }
}
