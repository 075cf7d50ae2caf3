//! Refreshes all images, with all registries concurrently.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::mem::take;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use futures_util::stream::{self, StreamExt as _};

use super::image::refresh_image;
use super::inspect::{AnnotationsOf, details};
use super::options::{Options, Progress, Recorder, Services, State};
use super::refreshed::RefreshedImage;
use super::report::{Ambiguous, Gone, Held, MissingManifests, MissingPlatform, Report};
use super::verifier::Verifier;
use crate::images::TrackedImage;
use crate::registry::Client;
use crate::table::Table;

/// Most images of one registry that are refreshed concurrently. The client limits
/// the requests itself; this is enough to keep it busy while some images wait for a
/// retry.
const IMAGES_AT_ONCE: usize = 128;
/// How often to report paused registries.
const PAUSE_INTERVAL: Duration = Duration::from_secs(1);

/// Refreshes every tracked image in the scope. Returns the new state, and a report
/// of the differences from the `old` table. Images and tags whose requests fail keep their
/// pins. The manifests that the new table needs are recorded when it returns.
pub async fn refresh(
    images: &[TrackedImage],
    old: &State,
    options: &Options,
    services: &Services<'_, impl Recorder, impl Verifier, impl Progress>,
) -> (State, Report) {
    let Services {
        client, progress, ..
    } = services;
    let scope = &options.scope;
    let mut by_registry: BTreeMap<&str, Vec<&TrackedImage>> = BTreeMap::new();
    for tracked in images
        .iter()
        .filter(|tracked| scope.contains(&tracked.image))
    {
        let registry = tracked.image.registry();
        by_registry.entry(registry).or_default().push(tracked);
    }
    client.expect(by_registry.values().flatten().map(|tracked| &tracked.image));
    let registries = by_registry.into_iter().map(|(registry, images)| {
        progress.registry(registry, images.len());
        stream::iter(images)
            .map(|tracked| refresh_image(tracked, old, options, services))
            .buffer_unordered(IMAGES_AT_ONCE)
            .collect::<Vec<_>>()
    });
    let mut new = scope.others(old);
    let mut report = Report {
        explain: options.explain,
        ..Report::default()
    };
    let work = pin!(join_all(registries));
    let pauses = pin!(report_pauses(client, *progress));
    let refreshed = match select(work, pauses).await {
        Either::Left((refreshed, _)) => refreshed,
        Either::Right((never, _)) => match never {},
    };
    let mut annotations = AnnotationsOf::new();
    for mut image in refreshed.into_iter().flatten() {
        let of_image = take(&mut image.annotations).into_iter();
        let name = &image.tracked.image;
        annotations.extend(of_image.map(|(digest, of)| ((name.clone(), digest), of)));
        add(image, &old.table, &mut new, &mut report);
    }
    let (old, table) = (&old.table, &new.table);
    for image in old.images.keys().filter(|image| scope.contains(image)) {
        if !table.images.contains_key(image) {
            report.compare(image, old, table, &BTreeSet::new(), &BTreeSet::new());
        }
    }
    if options.details {
        report.details = details(&report.changes, old, table, &annotations, client).await;
    }
    report.quotas = client.quotas();
    report.sort();
    (new, report)
}

/// Adds an image to the new state and the report.
fn add(refreshed: RefreshedImage<'_>, old: &Table, new: &mut State, report: &mut Report) {
    let image = &refreshed.tracked.image;
    let missing = refreshed.missing_platforms.into_iter();
    report
        .missing_platforms
        .extend(missing.map(|(platform, pins)| MissingPlatform {
            image: image.clone(),
            platform,
            pins,
        }));
    let ambiguous = refreshed.ambiguous.into_iter();
    report
        .ambiguous
        .extend(ambiguous.map(|(tag, platform)| Ambiguous {
            image: image.clone(),
            tag,
            platform,
        }));
    report.manifests_recorded += refreshed.manifests_recorded;
    if refreshed.manifests_missing > 0 {
        report.missing_manifests.push(MissingManifests {
            image: image.clone(),
            manifests: refreshed.manifests_missing,
        });
    }
    let held = refreshed.holds.into_iter();
    report.held.extend(held.map(|(tag, digest, reason)| Held {
        image: image.clone(),
        tag,
        digest,
        reason,
    }));
    let gone = refreshed.gone.into_iter();
    report.gone.extend(gone.map(|tag| Gone {
        image: image.clone(),
        pinned: refreshed.pins.contains_key(&tag),
        tag,
    }));
    let problems = refreshed.problems.into_iter();
    report
        .problems
        .extend(problems.map(|problem| (image.clone(), problem)));
    if !refreshed.candidates.is_empty() {
        let pending = &mut new.pending.images;
        pending.insert(image.clone(), refreshed.candidates);
    }
    new.table.images.insert(image.clone(), refreshed.pins);
    let (never_repushed, platforms) = (&refreshed.never_repushed, &refreshed.tracked.platforms);
    report.compare(image, old, &new.table, never_repushed, platforms);
    if !refreshed.decisions.is_empty() {
        report.decisions.insert(image.clone(), refreshed.decisions);
    }
}

/// Reports the paused registries at every [`PAUSE_INTERVAL`], forever.
async fn report_pauses(client: &Client, progress: &impl Progress) -> Infallible {
    loop {
        tokio::time::sleep(PAUSE_INTERVAL).await;
        for (registry, left) in client.pauses() {
            progress.paused(&registry, left);
        }
    }
}
