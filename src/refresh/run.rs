//! Carries out the plan of each image, all registries at once.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};

use super::plan::{Plan, plan};
use super::report::{Problem, Report};
use crate::digest::Digest;
use crate::images::TrackedImage;
use crate::name::ImageName;
use crate::platform::Platform;
use crate::registry::{Client, RegistryError};
use crate::table::{Pin, Pins, Table};
use crate::tag::Tag;

/// Images of one registry that are worked on at once; the client limits the
/// requests, so this only has to keep it busy.
const IMAGES_AT_ONCE: usize = 32;
/// Tags of one image that are asked for at once.
const TAGS_AT_ONCE: usize = 32;

/// Told how far a refresh has come.
pub trait Progress {
    /// `images` images of `registry` will be looked at.
    fn registry(&self, registry: &str, images: usize);
    /// An image of `registry` has been listed; `tags` of its tags are asked for.
    fn listed(&self, registry: &str, tags: usize);
    /// One tag of `registry` has been answered for.
    fn asked(&self, registry: &str);
}

/// Asks the registries for every tracked image. Gives the table as it should be
/// now, and what differs from `old`; whatever failed is in it as it was.
pub async fn refresh(
    images: &[TrackedImage],
    old: &Table,
    client: &Client,
    progress: &impl Progress,
) -> (Table, Report) {
    let mut by_registry: BTreeMap<&str, Vec<&TrackedImage>> = BTreeMap::new();
    for tracked in images {
        let registry = tracked.image.registry();
        by_registry.entry(registry).or_default().push(tracked);
    }
    let registries = by_registry.into_iter().map(|(registry, images)| {
        progress.registry(registry, images.len());
        stream::iter(images)
            .map(|tracked| refresh_image(tracked, old, client, progress))
            .buffer_unordered(IMAGES_AT_ONCE)
            .collect::<Vec<_>>()
    });
    let mut table = Table::default();
    let mut report = Report::default();
    for outcome in join_all(registries).await.into_iter().flatten() {
        let image = &outcome.image;
        let platforms = outcome.not_offered.into_iter();
        report
            .not_offered
            .extend(platforms.map(|platform| (image.clone(), platform)));
        table.images.insert(image.clone(), outcome.pins);
        let gone = outcome.gone;
        report
            .gone
            .extend(gone.into_iter().map(|tag| (image.clone(), tag)));
        let problems = outcome.problems.into_iter();
        report
            .problems
            .extend(problems.map(|problem| (image.clone(), problem)));
        report.compare(image, old, &table, &outcome.full);
    }
    for image in old.images.keys() {
        if !table.images.contains_key(image) {
            report.compare(image, old, &table, &BTreeSet::new());
        }
    }
    report.sort();
    (table, report)
}

struct Outcome {
    image: ImageName,
    pins: Pins,
    full: BTreeSet<Tag>,
    gone: BTreeSet<Tag>,
    not_offered: Vec<Platform>,
    problems: Vec<Problem>,
}

async fn refresh_image(
    tracked: &TrackedImage,
    old: &Table,
    client: &Client,
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
        pins: Pins::new(),
        full: BTreeSet::new(),
        gone: BTreeSet::new(),
        not_offered: Vec::new(),
        problems: Vec::new(),
    };
    let listed = match client.tags(image).await {
        Ok(listed) => listed,
        Err(error) => {
            progress.listed(registry, 0);
            outcome.pins = old_pins;
            outcome.problems.push(Problem::Image(error));
            return outcome;
        }
    };
    let Plan {
        ask,
        keep,
        gone,
        full,
    } = plan(tracked, &old_pins, &listed);
    progress.listed(registry, ask.len());
    (outcome.gone, outcome.full) = (gone, full);
    let kept = keep
        .iter()
        .filter_map(|tag| Some((tag.clone(), old_pins.get(tag)?.clone())));
    outcome.pins.extend(kept);

    let heads = ask_digests(image, &ask, client, progress).await;
    let is_stale = |tag: &Tag, digest: &Digest| {
        let unchanged = |pin: &Pin| pin.digest == *digest && pin.is_complete(&tracked.platforms);
        !old_pins.get(tag).is_some_and(unchanged)
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
                Some(offer) if is_stale(tag, &digest) => pin(tracked, tag, digest, offer).map(Some),
                _ => Ok(old_pin.cloned()),
            },
            Ok(None) if old_pin.is_none() && tracked.tags.contains(tag) => {
                Err(Problem::NoSuchTag(tag.clone()))
            }
            Ok(None) => {
                outcome.gone.insert(tag.clone());
                Ok(old_pin.cloned())
            }
            Err(error) => Err(Problem::Tag {
                tag: tag.clone(),
                error,
            }),
        };
        match pin {
            Ok(pin) => outcome.pins.extend(pin.map(|pin| (tag.clone(), pin))),
            Err(problem) => {
                outcome
                    .pins
                    .extend(old_pin.map(|pin| (tag.clone(), pin.clone())));
                outcome.problems.push(problem);
            }
        }
    }
    outcome.not_offered = not_offered(&outcome.pins, tracked);
    outcome
}

/// What each tag points to.
async fn ask_digests<'a>(
    image: &ImageName,
    tags: &'a BTreeSet<Tag>,
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
type Offer = Result<BTreeMap<Platform, Digest>, RegistryError>;

/// What each digest stands for, asked once however many tags share it.
async fn ask_platforms(
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
        .iter()
        .filter(|(platform, _)| tracked.platforms.contains(*platform))
        .map(|(platform, manifest)| (platform.clone(), manifest.clone()))
        .collect();
    if taken.is_empty() {
        return Err(Problem::NoPlatform {
            tag: tag.clone(),
            offered: offered.keys().map(Platform::to_string).collect(),
        });
    }
    Ok(Pin {
        digest,
        platforms: taken,
    })
}

/// The pins without the platforms that images.json no longer lists; a pin goes
/// with the last of its platforms.
fn prune(pins: &Pins, tracked: &TrackedImage) -> Pins {
    let mut kept = Pins::new();
    for (tag, pin) in pins {
        let mut pin = pin.clone();
        let verified = !pin.platforms.is_empty();
        pin.platforms
            .retain(|platform, _| tracked.platforms.contains(platform));
        if !verified || !pin.platforms.is_empty() {
            kept.insert(tag.clone(), pin);
        }
    }
    kept
}

/// The tracked platforms that none of the pins has, where pins are asked for
/// again and again because of them.
fn not_offered(pins: &Pins, tracked: &TrackedImage) -> Vec<Platform> {
    let verified = pins.values().filter(|pin| !pin.platforms.is_empty());
    let mut offered = BTreeSet::new();
    let mut incomplete = false;
    for pin in verified {
        incomplete |= !pin.is_complete(&tracked.platforms);
        offered.extend(pin.platforms.keys());
    }
    let missing = tracked.platforms.iter();
    missing
        .filter(|platform| incomplete && !offered.contains(platform))
        .cloned()
        .collect()
}
