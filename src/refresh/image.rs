//! Refreshes one image.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::admission::{Admission, Admissions, Admitted, HoldReason};
use super::backfill::Backfill;
use super::decision::{Decision, RequestReason};
use super::fetch::{self, Indexes};
use super::options::{Options, Progress, Recorder, Services, State};
use super::plan::{Plan, plan};
use super::record::{Recorded, Recording};
use super::refreshed::RefreshedImage;
use super::report::Problem;
use super::signing::Signing;
use super::update::{PinUpdate, ambiguous, has_tracked_platform};
use super::verifier::Verifier;
use crate::images::{Repushed, TrackedImage};
use crate::reference::{Digest, Platform, Tag};
use crate::registry::Annotations;
use crate::table::{Pin, Pins};

/// Refreshes one image. A tag whose request fails keeps its pin of the `old` table.
pub(super) async fn refresh_image<'a>(
    tracked: &'a TrackedImage,
    old: &State,
    options: &Options,
    services: &Services<'_, impl Recorder, impl Verifier, impl Progress>,
) -> RefreshedImage<'a> {
    let Services {
        client, progress, ..
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
    let plan = plan(tracked, &old_pins, &candidates, &listed, options);
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
    verify(&mut refreshed, tracked, &old_pins, &read, services).await;
    record(&mut refreshed, tracked, &old_pins, &read, services).await;
    forget_refused(&mut refreshed, &plan);
    record_versions(&mut refreshed.pins, tracked);
    refreshed.ambiguous = ambiguous(&refreshed.pins, &read);
    refreshed.missing_platforms = missing_platforms(&refreshed.pins, tracked);
    if tracked.repushed != Repushed::Expected {
        let has_moved = |tag: &Tag| {
            let [old, new] = [&old_pins, &refreshed.pins].map(|pins| pins.get(tag));
            old.zip(new)
                .is_some_and(|(old, new)| old.digest != new.digest)
        };
        let moved = plan.full.into_iter().filter(has_moved);
        refreshed.never_repushed = moved.collect();
    }
    if options.details {
        refreshed.annotations = annotations(read);
    }
    if options.explain {
        refreshed.decisions = plan.decisions;
    }
    refreshed
}

/// Forgets the digests that were refused for good of the tags that nothing but what is
/// pending keeps requested.
fn forget_refused(refreshed: &mut RefreshedImage<'_>, plan: &Plan) {
    let is_pending = |tag: &Tag| {
        let decision = plan.decisions.get(tag);
        decision == Some(&Decision::Request(RequestReason::Pending))
    };
    for (tag, digest, reason) in &refreshed.holds {
        let is_refused = matches!(reason, HoldReason::Unsigned(unsigned) if unsigned.is_final());
        if is_refused
            && is_pending(tag)
            && let Some(candidates) = refreshed.candidates.get_mut(tag)
        {
            candidates.forget(digest);
        }
    }
    for problem in &refreshed.problems {
        if let Problem::NoPlatform { tag, .. } = problem
            && is_pending(tag)
        {
            refreshed.candidates.remove(tag);
        }
    }
    let candidates = &mut refreshed.candidates;
    candidates.retain(|_, candidates| !candidates.is_empty());
}

/// The annotations of those indexes that have any.
fn annotations(read: Indexes) -> BTreeMap<Digest, Annotations> {
    let read = read.into_iter();
    let all = read.filter_map(|(digest, index)| Some((digest, index.ok()?.annotations)));
    all.filter(|(_, annotations)| !annotations.is_empty())
        .collect()
}

/// Takes back the new pins without a signature that `signedBy` names.
async fn verify(
    refreshed: &mut RefreshedImage<'_>,
    tracked: &TrackedImage,
    old_pins: &Pins,
    read: &Indexes,
    services: &Services<'_, impl Recorder, impl Verifier, impl Progress>,
) {
    let Some(policy) = &tracked.signed_by else {
        return;
    };
    let signing = Signing {
        client: services.client,
        image: &tracked.image,
        policy,
        old_pins,
        read,
        verifier: services.verifier,
    };
    let (holds, problems) = signing.run(&mut refreshed.pins).await;
    refreshed.holds.extend(holds);
    refreshed.problems.extend(problems);
}

/// Records the manifests of an image with `store`.
async fn record(
    refreshed: &mut RefreshedImage<'_>,
    tracked: &TrackedImage,
    old_pins: &Pins,
    read: &Indexes,
    services: &Services<'_, impl Recorder, impl Verifier, impl Progress>,
) {
    if !tracked.store {
        return;
    }
    let recording = Recording {
        client: services.client,
        image: &tracked.image,
        old_pins,
        read,
        recorder: services.recorder,
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
