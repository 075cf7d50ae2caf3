//! Records the manifests of an image with `store`.

use std::collections::{BTreeMap, BTreeSet};

use super::fetch::{self, Indexes};
use super::options::Recorder;
use super::report::Problem;
use crate::file::FileError;
use crate::reference::{Digest, ImageName, Tag};
use crate::registry::{Cause, Client, RegistryError};
use crate::table::{Pin, Pins};

/// Why a manifest is not recorded.
#[derive(Debug, Clone)]
pub(super) enum RecordError {
    /// It could not be fetched.
    Registry(RegistryError),
    /// It could not be written.
    File(FileError),
}

impl RecordError {
    /// Whether it is no failure for a pin that was there before: the pull quota is
    /// spent, or the registry no longer has the manifest.
    fn may_wait(&self) -> bool {
        let Self::Registry(error) = self else {
            return false;
        };
        matches!(*error.cause, Cause::QuotaSpent(_) | Cause::NoSuchDigest(_))
    }

    fn of(self, tag: &Tag) -> Problem {
        let tag = tag.clone();
        match self {
            Self::Registry(error) => Problem::Tag { tag, error },
            Self::File(error) => Problem::NotRecorded { tag, error },
        }
    }
}

/// What became of the manifests of an image.
#[derive(Debug)]
pub(super) struct Recorded {
    /// How many are recorded that were not.
    pub(super) new: usize,
    /// How many are not recorded yet.
    pub(super) missing: usize,
    pub(super) problems: Vec<Problem>,
}

/// The inputs of a recording.
pub(super) struct Recording<'a, R> {
    pub(super) client: &'a Client,
    pub(super) image: &'a ImageName,
    pub(super) old_pins: &'a Pins,
    /// The indexes that this refresh has fetched already.
    pub(super) read: &'a Indexes,
    pub(super) recorder: &'a R,
}

impl<R: Recorder> Recording<'_, R> {
    /// Records the manifests of `pins`. A new or moved pin whose manifests cannot be
    /// recorded is taken back; any other keeps its digests.
    pub(super) async fn run(&self, pins: &mut Pins) -> Recorded {
        let unrecorded = |pin: &Pin| {
            let manifests = pin.platforms.values();
            let missing = manifests.filter(|digest| !self.recorder.has(digest));
            missing.cloned().collect::<BTreeSet<Digest>>()
        };
        let mut of_new = BTreeSet::new();
        let mut of_old = BTreeSet::new();
        for (tag, pin) in &*pins {
            if self.is_new(tag, pin) {
                of_new.extend(unrecorded(pin));
            } else {
                of_old.extend(unrecorded(pin));
            }
        }
        // New pins come first, while the pull quota lasts.
        let order = of_new.iter().chain(of_old.difference(&of_new)).cloned();
        let results = fetch::each(order, |digest| self.record(digest)).await;
        let mut new = BTreeSet::new();
        let mut failed = BTreeMap::new();
        for (digest, result) in results {
            match result {
                Ok(()) => {
                    new.insert(digest);
                }
                Err(error) => {
                    failed.insert(digest, error);
                }
            }
        }
        let problems = self.take_back(pins, &failed);
        let named = pins.values().flat_map(|pin| pin.platforms.values());
        let named: BTreeSet<&Digest> = named.collect();
        let count = |is_counted: &dyn Fn(&Digest) -> bool| {
            named.iter().filter(|digest| is_counted(digest)).count()
        };
        Recorded {
            new: count(&|digest| new.contains(digest)),
            missing: count(&|digest| failed.contains_key(digest)),
            problems,
        }
    }

    /// Whether the pin of `tag` is added or moved by this refresh.
    fn is_new(&self, tag: &Tag, pin: &Pin) -> bool {
        let old = self.old_pins.get(tag);
        old.is_none_or(|old| old.digest != pin.digest)
    }

    async fn record(&self, digest: Digest) -> (Digest, Result<(), RecordError>) {
        let known = self.read.get(&digest).and_then(|index| index.as_ref().ok());
        let known = known.and_then(|index| index.image_manifest.as_deref());
        let result = match known {
            Some(manifest) => self.recorder.record(&digest, manifest),
            None => match self.client.manifest(self.image, &digest).await {
                Ok(manifest) => self.recorder.record(&digest, &manifest),
                Err(error) => return (digest, Err(RecordError::Registry(error))),
            },
        };
        (digest, result.map_err(RecordError::File))
    }

    /// Takes back the new pins that name a manifest in `failed`, and returns why.
    fn take_back(&self, pins: &mut Pins, failed: &BTreeMap<Digest, RecordError>) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut reported = BTreeSet::new();
        let tags: Vec<Tag> = pins.keys().cloned().collect();
        for tag in tags {
            let Some(pin) = pins.get(&tag) else { continue };
            let mut digests = pin.platforms.values();
            let error = digests.find_map(|digest| Some((digest.clone(), failed.get(digest)?)));
            let Some((digest, error)) = error else {
                continue;
            };
            if self.is_new(&tag, pin) {
                match self.old_pins.get(&tag) {
                    Some(old) => pins.insert(tag.clone(), old.clone()),
                    None => pins.remove(&tag),
                };
            } else if error.may_wait() || !reported.insert(digest) {
                continue;
            }
            problems.push(error.clone().of(&tag));
        }
        problems
    }
}
