//! Refreshes one image.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::admission::{Admission, Admissions, Admitted, Hold, HoldReason};
use super::backfill::Backfill;
use super::decision::Decision;
use super::fetch::{self, Indexes};
use super::options::{Options, Progress, Recorder, Services, State};
use super::plan::plan;
use super::record::{Recorded, Recording};
use super::report::Problem;
use super::signing::Signing;
use super::verifier::Verifier;
use crate::images::{Repushed, TrackedImage};
use crate::reference::{Digest, ImageName, Platform, Tag};
use crate::registry::{IndexPlatforms, RegistryError};
use crate::table::pending::PendingTags;
use crate::table::{Pin, Pins};

/// The result of refreshing one image.
pub(super) struct RefreshedImage {
    pub(super) image: ImageName,
    pub(super) pins: Pins,
    /// The platforms that images.json lists.
    pub(super) platforms: BTreeSet<Platform>,
    /// Full versions whose digest is not expected to change.
    pub(super) never_repushed: BTreeSet<Tag>,
    /// The digests that are too young.
    pub(super) candidates: PendingTags,
    pub(super) holds: Vec<Hold>,
    pub(super) decisions: BTreeMap<Tag, Decision>,
    /// Tags that the registry no longer has.
    pub(super) gone: BTreeSet<Tag>,
    /// Tracked platforms that some pins do not have, and how many.
    pub(super) missing_platforms: Vec<(Platform, usize)>,
    /// Platforms that the index of a tag lists more than once.
    pub(super) ambiguous: Vec<(Tag, Platform)>,
    /// How many manifests were recorded, and how many are not recorded yet.
    pub(super) manifests_recorded: usize,
    pub(super) manifests_missing: usize,
    pub(super) problems: Vec<Problem>,
}

impl RefreshedImage {
    fn new(tracked: &TrackedImage) -> Self {
        Self {
            image: tracked.image.clone(),
            pins: Pins::new(),
            platforms: tracked.platforms.clone(),
            never_repushed: BTreeSet::new(),
            candidates: PendingTags::new(),
            holds: Vec::new(),
            decisions: BTreeMap::new(),
            gone: BTreeSet::new(),
            missing_platforms: Vec::new(),
            ambiguous: Vec::new(),
            manifests_recorded: 0,
            manifests_missing: 0,
            problems: Vec::new(),
        }
    }
}

/// Refreshes one image. A tag whose request fails keeps its pin of the `old` table.
pub(super) async fn refresh_image(
    tracked: &TrackedImage,
    old: &State,
    options: &Options,
    services: &Services<'_, impl Recorder, impl Verifier, impl Progress>,
) -> RefreshedImage {
    let Services {
        client,
        recorder,
        verifier,
        progress,
    } = *services;
    let image = &tracked.image;
    let registry = image.registry();
    let old_pins = old
        .table
        .images
        .get(image)
        .map(|pins| prune(pins, tracked))
        .unwrap_or_default();
    let candidates = old.pending.images.get(image);
    let candidates = candidates.cloned().unwrap_or_default();
    let mut refreshed = RefreshedImage::new(tracked);
    let listed = match client.tags(image).await {
        Ok(listed) => listed,
        Err(error) => {
            progress.listed(registry, 0);
            refreshed.pins = old_pins;
            refreshed.candidates = candidates;
            record_versions(&mut refreshed.pins, tracked);
            refreshed.problems.push(Problem::Image(error));
            return refreshed;
        }
    };
    let plan = plan(tracked, &old_pins, &listed, options);
    // Free a large list, and the memory permit that other images wait for.
    drop(listed);
    let requested: BTreeSet<&Tag> = plan.requested().collect();
    progress.listed(registry, requested.len());
    refreshed.gone = plan.gone().cloned().collect();
    let kept = plan.kept().filter_map(|tag| old_pins.get_key_value(tag));
    let kept = kept.filter(|(_, pin)| has_tracked_platform(pin, tracked));
    refreshed
        .pins
        .extend(kept.map(|(tag, pin)| (tag.clone(), pin.clone())));

    let digests = fetch::digests(client, image, requested, progress).await;
    let admission = Admission {
        tracked,
        old_pins: &old_pins,
        full: &plan.full,
        options,
    };
    let Admissions {
        tags: admitted,
        holds,
        candidates,
    } = admission.run(digests, candidates);
    refreshed.holds = holds;
    refreshed.candidates = candidates;
    let update = PinUpdate {
        old_pins: &old_pins,
        tracked,
        admission: &admission,
        all: options.all,
    };
    let unknown = admitted
        .iter()
        .filter_map(|(tag, admitted)| match admitted {
            Admitted::Digest(digest) if update.needs_index(tag, digest) => Some(digest),
            _ => None,
        });
    let read = fetch::indexes(client, image, unknown.collect()).await;
    for (tag, admitted) in admitted {
        update.pin(tag, admitted, &read, &mut refreshed);
    }
    let backfill = Backfill {
        client,
        tracked,
        old_pins: &old_pins,
        gone: &refreshed.gone,
        read: &read,
    };
    let problems = backfill.run(&mut refreshed.pins).await;
    refreshed.problems.extend(problems);
    if let Some(policy) = &tracked.signed_by {
        let signing = Signing {
            client,
            image,
            policy,
            old_pins: &old_pins,
            verifier,
        };
        let (holds, problems) = signing.run(&mut refreshed.pins).await;
        refreshed.holds.extend(holds);
        refreshed.problems.extend(problems);
    }
    if tracked.store {
        let recording = Recording {
            client,
            image,
            old_pins: &old_pins,
            read: &read,
            recorder,
        };
        let Recorded {
            new,
            missing,
            problems,
        } = recording.run(&mut refreshed.pins).await;
        refreshed.manifests_recorded = new;
        refreshed.manifests_missing = missing;
        refreshed.problems.extend(problems);
    }
    record_versions(&mut refreshed.pins, tracked);
    refreshed.missing_platforms = missing_platforms(&refreshed.pins, tracked);
    if tracked.repushed != Repushed::Expected {
        refreshed.never_repushed = plan.full;
    }
    if options.explain {
        refreshed.decisions = plan.decisions;
    }
    refreshed
}

/// Decides which old pins are still valid, and builds the new ones.
struct PinUpdate<'a> {
    old_pins: &'a Pins,
    tracked: &'a TrackedImage,
    admission: &'a Admission<'a>,
    all: bool,
}

impl PinUpdate<'_> {
    /// Whether the pin of `tag` needs the index of `digest`.
    fn needs_index(&self, tag: &Tag, digest: &Digest) -> bool {
        let platforms = &self.tracked.platforms;
        let Some(pin) = self.old_pins.get(tag) else {
            return true;
        };
        let is_known = pin.is_complete(platforms) || (pin.has_any(platforms) && !self.all);
        pin.digest != *digest || !is_known
    }

    /// Adds the pin of `tag` to `refreshed`. `read` has the fetched indexes.
    fn pin(&self, tag: &Tag, admitted: Admitted, read: &Indexes, refreshed: &mut RefreshedImage) {
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
        if let Ok(Some(pin)) = &pin
            && let Some(Ok(index)) = read.get(&pin.digest)
        {
            refreshed.ambiguous.extend(ambiguous(tag, pin, index));
        }
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

/// The platforms of a pin that its index lists more than once.
fn ambiguous(tag: &Tag, pin: &Pin, index: &IndexPlatforms) -> Vec<(Tag, Platform)> {
    let of_pin = |platform: &&Platform| pin.platforms.contains_key(*platform);
    let platforms = index.ambiguous.iter().filter(of_pin);
    platforms
        .map(|platform| (tag.clone(), platform.clone()))
        .collect()
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

/// Removes the tags that images.json ignores and the platforms that it no longer
/// lists. A pin that would lose all platforms stays unchanged until the registry
/// returns the platforms of its tag.
fn prune(pins: &Pins, tracked: &TrackedImage) -> Pins {
    let mut pins = pins.clone();
    pins.retain(|tag, _| !tracked.ignores(tag));
    let is_fitting = |pin: &Pin| {
        let mut platforms = pin.platforms.keys();
        platforms.all(|platform| tracked.platforms.contains(platform))
    };
    for pin in pins.values_mut() {
        if has_tracked_platform(pin, tracked) && !is_fitting(pin) {
            Arc::make_mut(pin)
                .platforms
                .retain(|platform, _| tracked.platforms.contains(platform));
        }
    }
    pins
}

/// Records in each pin the version that the patterns of images.json read from its
/// tag.
fn record_versions(pins: &mut Pins, tracked: &TrackedImage) {
    for (tag, pin) in pins {
        let version = tracked.recorded_version(tag).map(Box::new);
        if pin.version != version {
            Arc::make_mut(pin).version = version;
        }
    }
}

/// Whether a pin has a platform that images.json lists, or no recorded platforms
/// yet.
fn has_tracked_platform(pin: &Pin, tracked: &TrackedImage) -> bool {
    let mut platforms = pin.platforms.keys();
    pin.platforms.is_empty() || platforms.any(|platform| tracked.platforms.contains(platform))
}

/// Each tracked platform that some verified pins do not have, and how many.
fn missing_platforms(pins: &Pins, tracked: &TrackedImage) -> Vec<(Platform, usize)> {
    let incomplete: Vec<&Arc<Pin>> = pins
        .values()
        .filter(|pin| !pin.platforms.is_empty() && !pin.is_complete(&tracked.platforms))
        .collect();
    let count = |platform: &Platform| {
        let missing = incomplete
            .iter()
            .filter(|pin| !pin.platforms.contains_key(platform));
        (platform.clone(), missing.count())
    };
    let counts = tracked.platforms.iter().map(count);
    counts.filter(|(_, count)| *count > 0).collect()
}
