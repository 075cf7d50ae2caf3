//! Decides which digest of a tag may be pinned, by the policy of its image. A pure
//! function of what this run has seen, the old pins, the candidates and the time.

use std::collections::BTreeSet;
use std::time::Duration;

use super::options::Options;
use super::verifier::Unsigned;
use crate::images::{MinimumAge, Repushed, TrackedImage};
use crate::reference::{Digest, Tag};
use crate::registry::RegistryError;
use crate::table::Pins;
use crate::table::pending::{Candidates, Observation, PendingTags};

/// What may be pinned for a tag.
#[derive(Debug)]
pub(super) enum Admitted {
    /// This digest.
    Digest(Digest),
    /// None: the old pin stays.
    Nothing,
    /// None: the registry does not have the tag.
    Gone,
    /// None: the request has failed.
    Failed(RegistryError),
}

/// Why the digest that a tag points to is not pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HoldReason {
    /// It is younger than `minimumAge`.
    TooYoung {
        /// For how long runs have seen it.
        age: Duration,
        /// How old it has to be.
        minimum: MinimumAge,
    },
    /// The tag is a full version that has another digest, and `repushed` is `"hold"`.
    Repushed,
    /// It has no signature that satisfies `signedBy`.
    Unsigned(Unsigned),
}

/// A digest that is not pinned, and why.
pub(super) type Hold = (Tag, Digest, HoldReason);

/// The inputs of a decision.
pub(super) struct Admission<'a> {
    pub(super) tracked: &'a TrackedImage,
    pub(super) old_pins: &'a Pins,
    /// Tags that name a full version.
    pub(super) full: &'a BTreeSet<Tag>,
    pub(super) options: &'a Options,
}

/// The decisions for the tags of an image.
#[derive(Debug)]
pub(super) struct Admissions<'a> {
    pub(super) tags: Vec<(&'a Tag, Admitted)>,
    pub(super) holds: Vec<Hold>,
    /// The candidates that are left.
    pub(super) candidates: PendingTags,
}

impl Admission<'_> {
    /// Decides for the tags of `responses`. `candidates` are those of earlier runs.
    pub(super) fn run<'t>(
        &self,
        responses: Vec<(&'t Tag, Result<Option<Digest>, RegistryError>)>,
        mut candidates: PendingTags,
    ) -> Admissions<'t> {
        let found = responses.iter().filter_map(|(_, response)| match response {
            Ok(Some(digest)) => Some(digest.clone()),
            _ => None,
        });
        let seen: BTreeSet<Digest> = found.collect();
        let has_failed = responses.iter().any(|(_, response)| response.is_err());
        let is_elsewhere = |digest: &Digest| {
            let is_seen = seen.contains(digest);
            (is_seen || !has_failed).then_some(is_seen)
        };
        let mut admissions = Admissions {
            tags: Vec::with_capacity(responses.len()),
            holds: Vec::new(),
            candidates: PendingTags::new(),
        };
        for (tag, response) in responses {
            let mut of_tag = candidates.remove(tag).unwrap_or_default();
            let admitted = match response {
                Ok(Some(digest)) => {
                    let (admitted, hold) =
                        self.admit(tag, digest.clone(), &mut of_tag, &is_elsewhere);
                    let hold = hold.map(|reason| (tag.clone(), digest, reason));
                    admissions.holds.extend(hold);
                    admitted
                }
                Ok(None) => {
                    of_tag = Candidates::default();
                    Admitted::Gone
                }
                Err(error) => Admitted::Failed(error),
            };
            if !of_tag.is_empty() {
                admissions.candidates.insert(tag.clone(), of_tag);
            }
            admissions.tags.push((tag, admitted));
        }
        admissions
    }

    fn admit(
        &self,
        tag: &Tag,
        current: Digest,
        candidates: &mut Candidates,
        is_elsewhere: &dyn Fn(&Digest) -> Option<bool>,
    ) -> (Admitted, Option<HoldReason>) {
        let old = self.old_pins.get(tag);
        let is_pinned = old.is_some_and(|pin| pin.digest == current);
        let minimum = self.tracked.minimum_age.or(self.options.minimum_age);
        // Of a pin without platforms, only the index tells whether it is a re-push.
        if !is_pinned && old.is_some_and(|pin| !pin.platforms.is_empty()) && self.holds(tag) {
            *candidates = Candidates::default();
            return (Admitted::Nothing, Some(HoldReason::Repushed));
        }
        let Some(minimum) = minimum.filter(|_| !self.is_known(&current)) else {
            *candidates = Candidates::default();
            return (Admitted::Digest(current), None);
        };
        let observation = Observation {
            current: &current,
            pinned: old.map(|pin| &pin.digest),
            is_full: self.full.contains(tag),
            is_elsewhere,
            now: self.options.time,
        };
        let ripe = candidates.observe(&observation, minimum.duration());
        if self.options.is_overriding || ripe.as_ref() == Some(&current) {
            return (Admitted::Digest(current), None);
        }
        let hold = HoldReason::TooYoung {
            age: candidates.age(&current),
            minimum,
        };
        (ripe.map_or(Admitted::Nothing, Admitted::Digest), Some(hold))
    }

    /// Whether another digest of `tag` has to be taken by a person.
    pub(super) fn holds(&self, tag: &Tag) -> bool {
        self.tracked.repushed == Repushed::Hold
            && self.full.contains(tag)
            && !self.options.is_overriding
    }

    /// Whether a tag of the image is pinned to `digest`: it is not new then.
    fn is_known(&self, digest: &Digest) -> bool {
        self.old_pins.values().any(|pin| pin.digest == *digest)
    }
}
