//! What the website shows of each image.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use nix_oci_hashes::images::TrackedImage;
use nix_oci_hashes::lookup::Query;
use nix_oci_hashes::reference::{Digest, ImageName, Platform, Tag, VariantPattern, Version};
use nix_oci_hashes::table::{Pins, Table};

use super::super::events::Event;
use super::super::list::in_order;
use super::super::report::{markdown, terminal, word};

/// Longest history on a page, in changes.
const MOST_CHANGES: usize = 100;

/// Every image of the table and of images.json: those that are pinned first, by name.
pub(super) struct Catalogue<'a> {
    pub(super) images: Vec<Image<'a>>,
}

/// One image.
pub(super) struct Image<'a> {
    pub(super) name: &'a ImageName,
    pub(super) entry: Option<&'a TrackedImage>,
    /// The pins: versions from the newest on, then the other tags.
    pub(super) tags: Vec<PinnedTag<'a>>,
    /// The tag to use, if the image is pinned.
    pub(super) suggested: Option<PinnedTag<'a>>,
    /// The newest version, if a tag is one.
    pub(super) newest: Option<&'a Tag>,
    /// The changes, newest first.
    pub(super) changes: Vec<ImageChange<'a>>,
}

/// A pinned tag.
#[derive(Clone)]
pub(super) struct PinnedTag<'a> {
    pub(super) tag: &'a Tag,
    pub(super) digest: &'a Digest,
    pub(super) platforms: Vec<(&'a Platform, &'a Digest)>,
    version: Option<Version>,
}

/// A change in the history of an image.
pub(super) struct ImageChange<'a> {
    pub(super) commit: &'a str,
    /// The day, as `2026-11-29`.
    pub(super) date: &'a str,
    /// When it was committed (RFC 3339).
    pub(super) time: &'a str,
    pub(super) tag: &'a Tag,
    /// The word of the report: `moved`.
    pub(super) word: &'static str,
    /// The old and the new digest, in words.
    pub(super) how: String,
}

impl<'a> Catalogue<'a> {
    pub(super) fn new(
        table: &'a Table,
        tracked: &'a [TrackedImage],
        events: &'a [Event<'_>],
    ) -> Self {
        let mut changes: BTreeMap<&ImageName, Vec<ImageChange<'_>>> = BTreeMap::new();
        for event in events.iter().rev() {
            let changes = changes.entry(&event.change.image).or_default();
            if changes.len() < MOST_CHANGES {
                changes.push(change(event));
            }
        }
        let entries: BTreeMap<&ImageName, &TrackedImage> =
            tracked.iter().map(|entry| (&entry.image, entry)).collect();
        let names: BTreeSet<&ImageName> =
            table.images.keys().chain(entries.keys().copied()).collect();
        let images = names.into_iter().map(|name| {
            let tags = table.images.get(name).map(tags).unwrap_or_default();
            let entry = entries.get(name).copied();
            let newest = newest(name, entry, table, &tags);
            Image {
                name,
                entry,
                suggested: suggested(&tags, newest).cloned(),
                newest: newest.map(|newest| newest.tag),
                tags,
                changes: changes.remove(name).unwrap_or_default(),
            }
        });
        let mut images: Vec<Image<'_>> = images.collect();
        images.sort_by_key(|image| !image.is_pinned());
        Self { images }
    }

    /// How many tags are pinned.
    pub(super) fn tags(&self) -> usize {
        self.images.iter().map(|image| image.tags.len()).sum()
    }

    /// The images that are pinned.
    pub(super) fn pinned(&self) -> usize {
        let pinned = self.images.iter().filter(|image| image.is_pinned());
        pinned.count()
    }
}

impl Image<'_> {
    pub(super) fn is_pinned(&self) -> bool {
        !self.tags.is_empty()
    }

    /// The last part of the name: `nextcloud`.
    pub(super) fn short_name(&self) -> &str {
        let name = self.name.as_str();
        name.rsplit('/').next().unwrap_or(name)
    }

    /// The name up to its last part: `docker.io/`.
    pub(super) fn prefix(&self) -> &str {
        let name = self.name.as_str();
        &name[..name.len() - self.short_name().len()]
    }

    /// The page about the image that its registry has for people.
    pub(super) fn registry_page(&self) -> Option<String> {
        markdown::page(self.name)
    }
}

fn tags(pins: &Pins) -> Vec<PinnedTag<'_>> {
    let tags = in_order(pins).into_iter().map(|(tag, pin)| PinnedTag {
        tag,
        digest: &pin.digest,
        platforms: pin.platforms.iter().collect(),
        version: pin.version_of(tag),
    });
    let (versions, words): (Vec<_>, Vec<_>) = tags.partition(|tag| tag.version.is_some());
    versions.into_iter().rev().chain(words).collect()
}

/// The highest pinned version: of the plain tags, else of a tracked variant, else of any.
fn newest<'t, 'a>(
    name: &ImageName,
    entry: Option<&TrackedImage>,
    table: &Table,
    tags: &'t [PinnedTag<'a>],
) -> Option<&'t PinnedTag<'a>> {
    let tracked = entry.map(|entry| entry.variants.iter().map(VariantPattern::as_str));
    let variants = iter::once("").chain(tracked.into_iter().flatten());
    let mut highest = variants.filter_map(|variant| {
        let image = ("image", name.as_str());
        let query = Query::from_attributes([image, ("version", "*"), ("variant", variant)]);
        let tag = query.ok()?.answer(table).ok()?.tag?;
        tags.iter().find(|pinned| *pinned.tag == tag)
    });
    let any = || tags.iter().find(|tag| tag.version.is_some());
    highest.next().or_else(any)
}

/// The tag that most people want: the shortest that `newest` begins with (`34` for
/// `34.0.5`), else `latest`, else the first.
fn suggested<'t, 'a>(
    tags: &'t [PinnedTag<'a>],
    newest: Option<&'t PinnedTag<'a>>,
) -> Option<&'t PinnedTag<'a>> {
    let Some((newest, target)) = newest.and_then(|tag| Some((tag, tag.version.as_ref()?))) else {
        let latest = tags.iter().find(|tag| *tag.tag == Tag::latest());
        return latest.or(tags.first());
    };
    let length = |tag: &PinnedTag<'_>| {
        let version = tag.version.as_ref()?;
        let is_part = version.variant() == target.variant()
            && !version.is_prerelease()
            && target.numbers().starts_with(version.numbers());
        is_part.then_some(version.numbers().len())
    };
    // Of tags with equally many numbers, such as builds, the newest: it comes first.
    let parts = tags.iter().filter_map(|tag| Some((length(tag)?, tag)));
    let shortest = parts.min_by_key(|(length, _)| *length);
    Some(shortest.map_or(newest, |(_, tag)| tag))
}

fn change<'a>(Event { commit, change }: &'a Event<'_>) -> ImageChange<'a> {
    ImageChange {
        commit: &commit.id,
        date: commit.date(),
        time: &commit.time,
        tag: &change.tag,
        word: word(&change.kind),
        how: terminal::words(&change.kind).1,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nix_oci_hashes::reference::Algorithm;
    use nix_oci_hashes::table::Pin;

    use super::*;

    /// The suggested and the newest tag of an image with these tags. Only `variant` is tracked.
    fn of(variant: &str, tags: &[&str]) -> (String, Option<String>) {
        let name: ImageName = "docker.io/app".parse().unwrap();
        let pin = Pin::new(Digest::of(Algorithm::Sha256, b""), BTreeMap::new());
        let pin = Arc::new(pin);
        let pins = tags.iter().map(|tag| (tag.parse().unwrap(), pin.clone()));
        let pins: Pins = pins.collect();
        let table = Table {
            images: [(name.clone(), pins)].into(),
        };
        let mut entry = TrackedImage::new(name);
        entry.variants = [variant.parse().unwrap()].into();
        let tracked = [entry];
        let catalogue = Catalogue::new(&table, &tracked, &[]);
        let image = &catalogue.images[0];
        (
            image.suggested.as_ref().unwrap().tag.to_string(),
            image.newest.map(Tag::to_string),
        )
    }

    #[test]
    fn the_shortest_tag_of_the_newest_version_is_suggested() {
        for (variant, tags, suggested, newest) in [
            (
                "",
                &["33", "34", "34.0", "34.0.4", "latest"][..],
                "34",
                Some("34.0.4"),
            ),
            ("", &["34.0.3", "34.0.4"], "34.0.4", Some("34.0.4")),
            (
                "-fpm",
                &["34-fpm", "34.0.4", "35-fpm"],
                "34.0.4",
                Some("34.0.4"),
            ),
            ("-a", &["7-a", "8-a", "8.2-a", "9-b"], "8-a", Some("8.2-a")),
            (
                "-ls#",
                &["1.2-ls9", "1.2-ls10"],
                "1.2-ls10",
                Some("1.2-ls10"),
            ),
            ("", &["34", "35-rc1"], "34", Some("34")),
            ("", &["8-alpine"], "8-alpine", Some("8-alpine")),
            ("", &["edge", "latest"], "latest", None),
            ("", &["main", "nightly"], "main", None),
        ] {
            let expected = (suggested.to_owned(), newest.map(ToOwned::to_owned));
            assert_eq!(of(variant, tags), expected, "{tags:?}");
        }
    }

    #[test]
    fn every_suggestion_for_the_built_in_table_has_an_answer() {
        let table = Table::built_in().unwrap();
        for image in Catalogue::new(&table, &[], &[]).images {
            let Some(suggested) = image.suggested else {
                continue;
            };
            let reference = format!("{}:{}", image.name, suggested.tag);
            let query = Query::from_reference(&reference).unwrap();
            let answer = query.answer(&table).unwrap();
            assert_eq!(answer.digest.as_ref(), Some(suggested.digest));
        }
    }
}
