//! The new pin of each tag, from its digest and index.

use std::sync::Arc;

use super::admission::{Admission, Admitted, HoldReason};
use super::fetch::Indexes;
use super::refreshed::RefreshedImage;
use super::report::Problem;
use crate::images::TrackedImage;
use crate::reference::{Digest, Platform, Tag};
use crate::registry::{IndexPlatforms, RegistryError};
use crate::table::{Pin, Pins};

/// Decides which old pins are still valid, and builds the new ones.
pub(super) struct PinUpdate<'a> {
    pub(super) old_pins: &'a Pins,
    pub(super) tracked: &'a TrackedImage,
    pub(super) admission: &'a Admission<'a>,
    pub(super) all: bool,
}

impl PinUpdate<'_> {
    /// Whether the pin of `tag` needs the index of `digest`.
    pub(super) fn needs_index(&self, tag: &Tag, digest: &Digest) -> bool {
        let platforms = &self.tracked.platforms;
        let Some(pin) = self.old_pins.get(tag) else {
            return true;
        };
        let is_known = pin.is_complete(platforms) || (pin.has_any(platforms) && !self.all);
        pin.digest != *digest || !is_known
    }

    /// Adds the pin of `tag` to `refreshed`. `read` has the fetched indexes.
    pub(super) fn pin(
        &self,
        tag: &Tag,
        admitted: Admitted,
        read: &Indexes,
        refreshed: &mut RefreshedImage,
    ) {
        let tracked = self.tracked;
        let old_pin = self.old_pins.get(tag);
        let kept = || old_pin.filter(|pin| has_tracked_platform(pin, tracked));
        let pin = match admitted {
            Admitted::Digest(digest) => match read.get(&digest) {
                Some(index) if self.needs_index(tag, &digest) => {
                    let pin = new_pin(tracked, tag, digest, index);
                    pin.map(|pin| Some(self.unless_repushed(tag, pin, refreshed)))
                }
                _ => Ok(old_pin.cloned()),
            },
            Admitted::Nothing => Ok(kept().cloned()),
            Admitted::Gone if old_pin.is_none() && tracked.tags.contains(tag) => {
                Err(Problem::NoSuchTag(tag.clone()))
            }
            Admitted::Gone => {
                refreshed.gone.insert(tag.clone());
                Ok(kept().cloned())
            }
            Admitted::Failed(error) => Err(Problem::Tag {
                tag: tag.clone(),
                error,
            }),
        };
        let pin = match pin {
            Ok(pin) => pin,
            Err(problem) => {
                // After a failed request the pin may still be right. A response
                // without a tracked platform proves that it is not.
                let is_response = matches!(problem, Problem::NoPlatform { .. });
                refreshed.problems.push(problem);
                old_pin
                    .filter(|pin| !is_response || has_tracked_platform(pin, tracked))
                    .cloned()
            }
        };
        refreshed.pins.extend(pin.map(|pin| (tag.clone(), pin)));
    }

    /// The `new` pin of `tag`, or the old one if the tag is held. An imported digest, which
    /// has no platforms, may be that of a platform's manifest.
    fn unless_repushed(&self, tag: &Tag, new: Pin, refreshed: &mut RefreshedImage) -> Arc<Pin> {
        match self.old_pins.get(tag) {
            Some(old)
                if self.admission.holds(tag)
                    && old.digest != new.digest
                    && !new.platforms.values().any(|digest| *digest == old.digest) =>
            {
                let hold = (tag.clone(), new.digest, HoldReason::Repushed);
                refreshed.holds.push(hold);
                Arc::clone(old)
            }
            _ => Arc::new(new),
        }
    }
}

/// The platforms of `pins` that their index, if it is in `read`, lists more than once.
pub(super) fn ambiguous(pins: &Pins, read: &Indexes) -> Vec<(Tag, Platform)> {
    let mut ambiguous = Vec::new();
    for (tag, pin) in pins {
        if let Some(Ok(index)) = read.get(&pin.digest) {
            let of_pin = |platform: &&Platform| pin.platforms.contains_key(*platform);
            let platforms = index.ambiguous.iter().filter(of_pin);
            ambiguous.extend(platforms.map(|platform| (tag.clone(), platform.clone())));
        }
    }
    ambiguous
}

/// The pin of a tag that points to `digest`.
fn new_pin(
    tracked: &TrackedImage,
    tag: &Tag,
    digest: Digest,
    index: &Result<IndexPlatforms, RegistryError>,
) -> Result<Pin, Problem> {
    let index = index.as_ref().map_err(|error| Problem::Tag {
        tag: tag.clone(),
        error: error.clone(),
    })?;
    let platforms = index.of(&tracked.platforms);
    if platforms.is_empty() {
        return Err(Problem::NoPlatform {
            tag: tag.clone(),
            offered: index.manifests.keys().cloned().collect(),
        });
    }
    Ok(Pin::new(digest, platforms))
}

/// Whether a pin has a platform that images.json lists, or no recorded platforms
/// yet.
pub(super) fn has_tracked_platform(pin: &Pin, tracked: &TrackedImage) -> bool {
    let mut platforms = pin.platforms.keys();
    pin.platforms.is_empty() || platforms.any(|platform| tracked.platforms.contains(platform))
}
