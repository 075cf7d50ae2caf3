//! Backfill: adds platforms that are new in images.json to older pins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::fetch::{self, Indexes};
use super::report::Problem;
use crate::images::TrackedImage;
use crate::reference::{Digest, Platform, Tag};
use crate::registry::{Cause, Client, RegistryError};
use crate::table::{Pin, Pins};

/// The inputs of a backfill.
pub(super) struct Backfill<'a> {
    pub(super) client: &'a Client,
    pub(super) tracked: &'a TrackedImage,
    pub(super) old_pins: &'a Pins,
    /// Tags that the registry no longer has.
    pub(super) gone: &'a BTreeSet<Tag>,
    /// The indexes that this refresh has fetched already.
    pub(super) read: &'a Indexes,
}

impl Backfill<'_> {
    /// Adds missing platforms to `pins`. Fetches indexes by the pinned digests, and
    /// no tags. The newest pin, or the newest of the old table, is the probe, and is
    /// updated last, so an interrupted backfill is retried on the next run.
    pub(super) async fn run(&self, pins: &mut Pins) -> Vec<Problem> {
        let missing: BTreeSet<Digest> = self
            .verified(pins)
            .filter(|(_, pin)| self.is_missing_platforms(pin))
            .map(|(_, pin)| pin.digest.clone())
            .collect();
        let newest = [self.newest(pins), self.newest(self.old_pins)];
        let mut newest = newest.into_iter().flatten();
        let mut probe = Indexes::new();
        let mut has_new_platform = false;
        if let Some(pin) = newest.find(|pin| missing.contains(&pin.digest)) {
            // Do not report a failed probe: no tag's digest is missing.
            probe = self.fetch([&pin.digest].into()).await;
            has_new_platform = self.offers_more(&probe, &pin.platforms.keys().collect());
        }
        if !has_new_platform {
            // An index that was fetched may have a tracked platform that no old pin has.
            let known = self.old_pins.values().flat_map(|pin| pin.platforms.keys());
            has_new_platform = !missing.is_empty() && self.offers_more(self.read, &known.collect());
        }
        if !has_new_platform {
            return Vec::new();
        }
        let others = missing.iter().filter(|digest| !probe.contains_key(*digest));
        let mut indexes = self.fetch(others.collect()).await;
        if indexes.values().all(|index| match index {
            Ok(_) => true,
            Err(error) => is_lost(error),
        }) {
            indexes.extend(probe);
        }
        self.add(pins, &indexes)
    }

    /// The pins with recorded platforms whose tag the registry still has.
    fn verified<'p>(&self, pins: &'p Pins) -> impl Iterator<Item = (&'p Tag, &'p Arc<Pin>)> {
        pins.iter()
            .filter(|(tag, pin)| !self.gone.contains(*tag) && !pin.platforms.is_empty())
    }

    fn newest(&self, pins: &Pins) -> Option<Arc<Pin>> {
        let newest = self.verified(pins).max_by_key(|(tag, pin)| {
            let version = pin.version_of(tag);
            (version.is_some(), version, *tag)
        });
        newest.map(|(_, pin)| Arc::clone(pin))
    }

    fn is_missing_platforms(&self, pin: &Pin) -> bool {
        !self.read.contains_key(&pin.digest) && !pin.is_complete(&self.tracked.platforms)
    }

    /// Whether `indexes` have a tracked platform that is not in `known`.
    fn offers_more(&self, indexes: &Indexes, known: &BTreeSet<&Platform>) -> bool {
        let offered = indexes.values().flatten();
        let mut offered = offered.flat_map(|index| index.manifests.keys());
        offered
            .any(|platform| self.tracked.platforms.contains(platform) && !known.contains(platform))
    }

    async fn fetch(&self, digests: BTreeSet<&Digest>) -> Indexes {
        fetch::indexes(self.client, &self.tracked.image, digests).await
    }

    fn add(&self, pins: &mut Pins, indexes: &Indexes) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (tag, pin) in pins {
            match indexes.get(&pin.digest) {
                Some(Ok(index)) => {
                    let tracked: BTreeMap<_, _> = index.of(&self.tracked.platforms);
                    Arc::make_mut(pin).platforms.extend(tracked);
                }
                Some(Err(error)) if !is_lost(error) => problems.push(Problem::Tag {
                    tag: tag.clone(),
                    error: error.clone(),
                }),
                _ => {}
            }
        }
        problems
    }
}

/// Whether the registry no longer has the digest, so that a retry cannot help.
fn is_lost(error: &RegistryError) -> bool {
    matches!(*error.cause, Cause::NoSuchDigest(_))
}
