//! Carries out the plan of each image, all registries at once.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use futures_util::stream::{self, StreamExt as _};

use super::complete::complete;
use super::decision::Decision;
use super::plan::plan;
use super::report::{Ambiguous, Gone, Lacking, Problem, Report};
use super::scope::Scope;
use crate::digest::Digest;
use crate::images::TrackedImage;
use crate::name::ImageName;
use crate::platform::Platform;
use crate::registry::{Client, IndexPlatforms, RegistryError};
use crate::table::{Pin, Pins, Table};
use crate::tag::Tag;

/// Images of one registry that are worked on at once; the client limits the
/// requests, so this only has to keep it busy, while some wait to be tried again.
const IMAGES_AT_ONCE: usize = 128;
/// Tags of one image that are asked for at once.
const TAGS_AT_ONCE: usize = 32;

/// Told how far a refresh has come.
pub trait Progress {
    /// `images` images of `registry` will be looked at.
    fn registry(&self, registry: &str, images: usize);
    /// An image of `registry` has been listed, or could not be; `tags` of its
    /// tags are asked for.
    fn listed(&self, registry: &str, tags: usize);
    /// One tag of `registry` has been answered for.
    fn asked(&self, registry: &str);
    /// `registry` has asked to be left alone, and is for so long.
    fn waits(&self, registry: &str, left: Duration);
}

/// What a refresh is to do.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Which images it is for.
    pub scope: Scope,
    /// Whether every pin is asked for, those of full versions too that no
    /// strategy takes any more.
    pub all: bool,
    /// Whether the report says of every tag what became of it, and why.
    pub explain: bool,
}

/// Asks the registries for every tracked image within the scope. Gives the
/// table as it should be now, and what differs from `old`; whatever failed is
/// in it as it was.
pub async fn refresh(
    images: &[TrackedImage],
    old: &Table,
    client: &Client,
    options: &Options,
    progress: &impl Progress,
) -> (Table, Report) {
    let scope = &options.scope;
    let mut by_registry: BTreeMap<&str, Vec<&TrackedImage>> = BTreeMap::new();
    for tracked in images.iter().filter(|tracked| scope.holds(&tracked.image)) {
        let registry = tracked.image.registry();
        by_registry.entry(registry).or_default().push(tracked);
    }
    let registries = by_registry.into_iter().map(|(registry, images)| {
        progress.registry(registry, images.len());
        stream::iter(images)
            .map(|tracked| refresh_image(tracked, old, client, options, progress))
            .buffer_unordered(IMAGES_AT_ONCE)
            .collect::<Vec<_>>()
    });
    let mut table = scope.others(old);
    let mut report = Report::default();
    let work = pin!(join_all(registries));
    let watch = pin!(watch(client, progress));
    let outcomes = match select(work, watch).await {
        Either::Left((outcomes, _)) => outcomes,
        Either::Right((never, _)) => match never {},
    };
    for outcome in outcomes.into_iter().flatten() {
        let image = &outcome.image;
        for (platform, pins) in outcome.lacking {
            let image = image.clone();
            report.lacking.push(Lacking {
                image,
                platform,
                pins,
            });
        }
        for (tag, platform) in outcome.ambiguous {
            let image = image.clone();
            report.ambiguous.push(Ambiguous {
                image,
                tag,
                platform,
            });
        }
        table.images.insert(image.clone(), outcome.pins);
        for tag in outcome.gone {
            let pinned = table.images[image].contains_key(&tag);
            let image = image.clone();
            report.gone.push(Gone { image, tag, pinned });
        }
        let problems = outcome.problems.into_iter();
        report
            .problems
            .extend(problems.map(|problem| (image.clone(), problem)));
        report.compare(image, old, &table, &outcome.full, &outcome.platforms);
        if options.explain {
            report.decisions.insert(outcome.image, outcome.decisions);
        }
    }
    for image in old.images.keys().filter(|image| scope.holds(image)) {
        if !table.images.contains_key(image) {
            report.compare(image, old, &table, &BTreeSet::new(), &BTreeSet::new());
        }
    }
    report.quotas = client.quotas();
    report.sort();
    (table, report)
}

/// Tells again and again of registries that are waited for.
async fn watch(client: &Client, progress: &impl Progress) -> Infallible {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for (registry, left) in client.pauses() {
            progress.waits(&registry, left);
        }
    }
}

pub(super) struct Outcome {
    pub(super) image: ImageName,
    platforms: BTreeSet<Platform>,
    pub(super) pins: Pins,
    full: BTreeSet<Tag>,
    decisions: BTreeMap<Tag, Decision>,
    pub(super) gone: BTreeSet<Tag>,
    lacking: Vec<(Platform, usize)>,
    ambiguous: Vec<(Tag, Platform)>,
    pub(super) problems: Vec<Problem>,
}

async fn refresh_image(
    tracked: &TrackedImage,
    old: &Table,
    client: &Client,
    options: &Options,
    progress: &impl Progress,
) -> Outcome {
    let image = &tracked.image;
    let registry = image.registry();
    let old_pins = old
        .images
        .get(image)
        .map(|pins| prune(pins, tracked))
        .unwrap_or_default();
    let mut outcome = Outcome {
        image: image.clone(),
        platforms: tracked.platforms.clone(),
        pins: Pins::new(),
        full: BTreeSet::new(),
        decisions: BTreeMap::new(),
        gone: BTreeSet::new(),
        lacking: Vec::new(),
        ambiguous: Vec::new(),
        problems: Vec::new(),
    };
    let listed = match client.tags(image).await {
        Ok(listed) => listed,
        Err(error) => {
            progress.listed(registry, 0);
            outcome.pins = old_pins;
            record_versions(&mut outcome.pins, tracked);
            outcome.problems.push(Problem::Image(error));
            return outcome;
        }
    };
    let plan = plan(tracked, &old_pins, &listed, options);
    // It may be large, and others wait for its place.
    drop(listed);
    let ask: BTreeSet<&Tag> = plan.ask().collect();
    progress.listed(registry, ask.len());
    outcome.gone = plan.gone().cloned().collect();
    let kept = plan.keep().filter_map(|tag| old_pins.get_key_value(tag));
    let kept = kept.filter(|(_, pin)| is_tracked(pin, tracked));
    outcome
        .pins
        .extend(kept.map(|(tag, pin)| (tag.clone(), pin.clone())));

    let heads = ask_digests(image, ask, client, progress).await;
    let is_stale = |tag: &Tag, digest: &Digest| {
        let is_known = |pin: &Pin| {
            pin.is_complete(&tracked.platforms) || (pin.has_any(&tracked.platforms) && !options.all)
        };
        let mut pin = old_pins.get(tag).into_iter();
        !pin.any(|pin| pin.digest == *digest && is_known(pin))
    };
    let stale = heads.iter().filter_map(|(tag, head)| match head {
        Ok(Some(digest)) if is_stale(tag, digest) => Some(digest),
        _ => None,
    });
    let offers = ask_platforms(image, stale.collect(), client).await;

    for (tag, head) in heads {
        let old_pin = old_pins.get(tag);
        let pin = match head {
            Ok(Some(digest)) => match offers.get(&digest) {
                Some(offer) if is_stale(tag, &digest) => {
                    pin(tracked, tag, digest, offer).map(|pin| Some(Arc::new(pin)))
                }
                _ => Ok(old_pin.cloned()),
            },
            Ok(None) if old_pin.is_none() && tracked.tags.contains(tag) => {
                Err(Problem::NoSuchTag(tag.clone()))
            }
            Ok(None) => {
                outcome.gone.insert(tag.clone());
                Ok(old_pin.filter(|pin| is_tracked(pin, tracked)).cloned())
            }
            Err(error) => Err(Problem::Tag {
                tag: tag.clone(),
                error,
            }),
        };
        if let Ok(Some(pin)) = &pin
            && let Some(Ok(offer)) = offers.get(&pin.digest)
        {
            outcome.ambiguous.extend(ambiguous(tag, pin, offer));
        }
        match pin {
            Ok(pin) => outcome.pins.extend(pin.map(|pin| (tag.clone(), pin))),
            Err(problem) => {
                // An answer, unlike a failure, tells that nothing is left of the pin.
                let answered = matches!(problem, Problem::NoPlatform { .. });
                let kept = old_pin.filter(|pin| !answered || is_tracked(pin, tracked));
                outcome
                    .pins
                    .extend(kept.map(|pin| (tag.clone(), pin.clone())));
                outcome.problems.push(problem);
            }
        }
    }
    complete(&mut outcome, &old_pins, &offers, tracked, client).await;
    record_versions(&mut outcome.pins, tracked);
    outcome.lacking = lacking(&outcome.pins, tracked);
    outcome.full = plan.full;
    if options.explain {
        outcome.decisions = plan.decisions;
    }
    outcome
}

/// The platforms of a pin that its index lists more than once.
fn ambiguous(tag: &Tag, pin: &Pin, offer: &IndexPlatforms) -> Vec<(Tag, Platform)> {
    let of_pin = |platform: &&Platform| pin.platforms.contains_key(*platform);
    let platforms = offer.ambiguous.iter().filter(of_pin);
    platforms
        .map(|platform| (tag.clone(), platform.clone()))
        .collect()
}

/// What each tag points to.
async fn ask_digests<'a>(
    image: &ImageName,
    tags: BTreeSet<&'a Tag>,
    client: &Client,
    progress: &impl Progress,
) -> Vec<(&'a Tag, Result<Option<Digest>, RegistryError>)> {
    stream::iter(tags)
        .map(|tag| async move {
            let digest = client.digest(image, tag).await;
            progress.asked(image.registry());
            (tag, digest)
        })
        .buffer_unordered(TAGS_AT_ONCE)
        .collect()
        .await
}

/// What a digest stands for: the manifest of each platform.
pub(super) type Offer = Result<IndexPlatforms, RegistryError>;

/// What each digest stands for, asked once however many tags share it.
pub(super) async fn ask_platforms(
    image: &ImageName,
    digests: BTreeSet<&Digest>,
    client: &Client,
) -> BTreeMap<Digest, Offer> {
    stream::iter(digests)
        .map(|digest| async move { (digest.clone(), client.platforms(image, digest).await) })
        .buffer_unordered(TAGS_AT_ONCE)
        .collect()
        .await
}

/// The pin of a tag that points to `digest`.
fn pin(tracked: &TrackedImage, tag: &Tag, digest: Digest, offer: &Offer) -> Result<Pin, Problem> {
    let offered = offer.as_ref().map_err(|error| Problem::Tag {
        tag: tag.clone(),
        error: error.clone(),
    })?;
    let taken: BTreeMap<_, _> = offered
        .manifests
        .iter()
        .filter(|(platform, _)| tracked.platforms.contains(*platform))
        .map(|(platform, manifest)| (platform.clone(), manifest.clone()))
        .collect();
    if taken.is_empty() {
        return Err(Problem::NoPlatform {
            tag: tag.clone(),
            offered: offered.manifests.keys().cloned().collect(),
        });
    }
    Ok(Pin::new(digest, taken))
}

/// The pins without those of tags that images.json ignores, and without the
/// platforms that it no longer lists. One that would be left with none stays as it
/// is until the registry has said what else its tag offers.
fn prune(pins: &Pins, tracked: &TrackedImage) -> Pins {
    let mut pins = pins.clone();
    pins.retain(|tag, _| !tracked.ignores(tag));
    let is_fitting = |pin: &Pin| {
        let mut platforms = pin.platforms.keys();
        platforms.all(|platform| tracked.platforms.contains(platform))
    };
    for pin in pins.values_mut() {
        if is_tracked(pin, tracked) && !is_fitting(pin) {
            Arc::make_mut(pin)
                .platforms
                .retain(|platform, _| tracked.platforms.contains(platform));
        }
    }
    pins
}

/// Records in each pin what the patterns of images.json read from its tag.
fn record_versions(pins: &mut Pins, tracked: &TrackedImage) {
    for (tag, pin) in pins {
        let version = tracked.recorded_version(tag).map(Box::new);
        if pin.version != version {
            Arc::make_mut(pin).version = version;
        }
    }
}

/// Whether a pin has a platform that images.json lists, or none as yet.
fn is_tracked(pin: &Pin, tracked: &TrackedImage) -> bool {
    let mut platforms = pin.platforms.keys();
    pin.platforms.is_empty() || platforms.any(|platform| tracked.platforms.contains(platform))
}

/// Each tracked platform that some verified pins lack, and how many.
fn lacking(pins: &Pins, tracked: &TrackedImage) -> Vec<(Platform, usize)> {
    let incomplete: Vec<&Arc<Pin>> = pins
        .values()
        .filter(|pin| !pin.platforms.is_empty() && !pin.is_complete(&tracked.platforms))
        .collect();
    let count = |platform: &Platform| {
        let lacks = incomplete
            .iter()
            .filter(|pin| !pin.platforms.contains_key(platform));
        (platform.clone(), lacks.count())
    };
    let counts = tracked.platforms.iter().map(count);
    counts.filter(|(_, count)| *count > 0).collect()
}
