//! The report of a refresh: changes, problems and decisions.

use std::collections::{BTreeMap, BTreeSet};

use super::admission::HoldReason;
use super::decision::Decision;
use super::details::DetailsOf;
use crate::file::FileError;
use crate::reference::{Digest, ImageName, Platform, PlatformList, Tag, by_version};
use crate::registry::{Quota, RegistryError};
use crate::table::{Pin, Pins, Table};

/// The result of a refresh, besides the new table.
#[derive(Debug, Default)]
pub struct Report {
    /// The pins that differ from the old table, sorted by image and version.
    pub changes: Vec<Change>,
    /// Labels and layers of images that were added or moved, by their digests. Not of
    /// every one.
    pub details: DetailsOf,
    /// How many pins are unchanged.
    pub kept: usize,
    /// Digests that are not pinned yet. The tags keep their pins.
    pub held: Vec<Held>,
    /// Tags that their registry no longer has. Their pins are kept.
    pub gone: Vec<Gone>,
    /// Tracked platforms that pins do not have. While the newest pin of an image
    /// misses one, every refresh requests its index again.
    pub missing_platforms: Vec<MissingPlatform>,
    /// Platforms that the index of a pinned tag lists more than once, with different
    /// manifests.
    pub ambiguous: Vec<Ambiguous>,
    /// Failed requests and unusable responses. Old pins are kept, except where a
    /// response proves that the tag has no tracked platform.
    pub problems: Vec<(ImageName, Problem)>,
    /// How many manifests of images with `store` were recorded.
    pub manifests_recorded: usize,
    /// Images with `store`, some of whose manifests are not recorded yet.
    pub missing_manifests: Vec<MissingManifests>,
    /// The remaining pull quota, by registry, for registries that report one.
    pub quotas: BTreeMap<String, Quota>,
    /// Whether the report names everything
    /// ([`Options::explain`](super::Options::explain)).
    pub explain: bool,
    /// The decision for every tag, if [`explain`](Self::explain) is set.
    pub decisions: BTreeMap<ImageName, BTreeMap<Tag, Decision>>,
}

impl Report {
    /// Adds the differences between the old and the new pins of `image`. A tag in
    /// `never_repushed` that has moved was pushed again; `platforms` are tracked.
    pub(super) fn compare(
        &mut self,
        image: &ImageName,
        old: &Table,
        new: &Table,
        never_repushed: &BTreeSet<Tag>,
        platforms: &BTreeSet<Platform>,
    ) {
        let none = Pins::new();
        let old = old.images.get(image).unwrap_or(&none);
        let new = new.images.get(image).unwrap_or(&none);
        let tags: BTreeSet<&Tag> = old.keys().chain(new.keys()).collect();
        for tag in tags {
            let kind = match (old.get(tag), new.get(tag)) {
                (Some(old), Some(new)) if old == new => {
                    self.kept += 1;
                    continue;
                }
                (Some(old), Some(new))
                    if old.digest == new.digest && old.platforms == new.platforms =>
                {
                    let text = |pin: &Pin| pin.version.as_ref().map(|version| version.recorded());
                    ChangeKind::Version {
                        old: text(old),
                        new: text(new),
                    }
                }
                // An imported digest may be that of a platform's manifest.
                (Some(old), Some(new))
                    if old.platforms.is_empty()
                        && (old.digest == new.digest
                            || new.platforms.values().any(|digest| *digest == old.digest)) =>
                {
                    ChangeKind::Verified {
                        digest: new.digest.clone(),
                    }
                }
                (Some(old), Some(new)) if old.digest == new.digest => ChangeKind::Platforms {
                    added: platforms_only_in(new, old),
                    removed: platforms_only_in(old, new),
                },
                (Some(old), Some(new)) => ChangeKind::Moved {
                    old: old.digest.clone(),
                    new: new.digest.clone(),
                    repushed: never_repushed.contains(tag),
                    lost: platforms_only_in(old, new)
                        .into_iter()
                        .filter(|platform| platforms.contains(platform))
                        .collect(),
                },
                (None, Some(new)) => ChangeKind::Added {
                    new: new.digest.clone(),
                },
                (Some(old), None) => ChangeKind::Removed {
                    old: old.digest.clone(),
                },
                (None, None) => continue,
            };
            let (image, tag) = (image.clone(), tag.clone());
            self.changes.push(Change { image, tag, kind });
        }
    }

    /// Sorts everything by image and version.
    pub(super) fn sort(&mut self) {
        let order = |image: &ImageName, tag: &Tag| (image.clone(), by_version(tag));
        self.changes
            .sort_by_cached_key(|change| order(&change.image, &change.tag));
        self.held
            .sort_by_cached_key(|held| order(&held.image, &held.tag));
        self.gone
            .sort_by_cached_key(|gone| order(&gone.image, &gone.tag));
        self.missing_platforms
            .sort_by_cached_key(|missing| (missing.image.clone(), missing.platform.clone()));
        self.missing_manifests
            .sort_by_cached_key(|missing| missing.image.clone());
        self.ambiguous
            .sort_by_cached_key(|of| (order(&of.image, &of.tag), of.platform.clone()));
        self.problems
            .sort_by_cached_key(|(image, problem)| (image.clone(), problem.to_string()));
    }
}

fn platforms_only_in(pin: &Pin, other: &Pin) -> Vec<Platform> {
    let platforms = pin.platforms.keys();
    platforms
        .filter(|platform| !other.platforms.contains_key(platform))
        .cloned()
        .collect()
}

/// A digest that a tag points to and that is not pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The image.
    pub image: ImageName,
    /// The tag.
    pub tag: Tag,
    /// What it points to.
    pub digest: Digest,
    /// Why that is not pinned.
    pub reason: HoldReason,
}

/// A tag that its registry no longer has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// The image.
    pub image: ImageName,
    /// The tag.
    pub tag: Tag,
    /// Whether the tag has a pin, which is kept.
    pub pinned: bool,
}

/// A tracked platform that some pins do not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingPlatform {
    /// The image.
    pub image: ImageName,
    /// The platform.
    pub platform: Platform,
    /// How many pins do not have it.
    pub pins: usize,
}

/// Manifests that are not recorded yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingManifests {
    /// The image.
    pub image: ImageName,
    /// How many.
    pub manifests: usize,
}

/// A platform that an index lists more than once; the first manifest is pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ambiguous {
    /// The image.
    pub image: ImageName,
    /// The tag.
    pub tag: Tag,
    /// The platform.
    pub platform: Platform,
}

/// One pin that differs from the old table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The image.
    pub image: ImageName,
    /// The tag.
    pub tag: Tag,
    /// How it differs.
    pub kind: ChangeKind,
}

/// How a pin differs from the old table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// The tag was not pinned.
    Added {
        /// What it points to.
        new: Digest,
    },
    /// The tag points to another digest.
    Moved {
        /// What it was pinned to.
        old: Digest,
        /// What it points to now.
        new: Digest,
        /// Whether the tag is a full version that its publisher has pushed again
        /// unexpectedly.
        repushed: bool,
        /// Tracked platforms that the new index no longer has.
        lost: Vec<Platform>,
    },
    /// The registry confirmed a pin that had a digest only. The pin has platforms
    /// now.
    Verified {
        /// What the tag points to, as before.
        digest: Digest,
    },
    /// The digest is the same, but the recorded platforms differ.
    Platforms {
        /// Platforms that only the new pin has.
        added: Vec<Platform>,
        /// Platforms that images.json no longer lists.
        removed: Vec<Platform>,
    },
    /// Only the recorded version differs, after a change of `pattern` in
    /// images.json.
    Version {
        /// The version that was recorded.
        old: Option<String>,
        /// The version that is recorded now.
        new: Option<String>,
    },
    /// The image, or the last of the tag's platforms, is no longer tracked, or
    /// images.json ignores the tag.
    Removed {
        /// What the tag was pinned to.
        old: Digest,
    },
}

/// Why a tag, or all of an image, could not be refreshed.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The tag list could not be fetched.
    #[error("{0}")]
    Image(#[source] RegistryError),
    /// The digest or the index of one tag could not be fetched.
    #[error("{tag}: {error}")]
    Tag {
        /// The tag.
        tag: Tag,
        /// The registry's error.
        #[source]
        error: RegistryError,
    },
    /// images.json lists a tag that the registry does not have.
    #[error("{0}: the registry has no such tag; check 'tags' in images.json")]
    NoSuchTag(Tag),
    /// The tag offers none of the platforms that images.json lists.
    #[error(
        "{tag}: it is for {}, and for none of the platforms in images.json",
        PlatformList(offered)
    )]
    NoPlatform {
        /// The tag.
        tag: Tag,
        /// The platforms it offers.
        offered: Vec<Platform>,
    },
    /// A manifest of the tag could not be written.
    #[error("{tag}: {error}")]
    NotRecorded {
        /// The tag.
        tag: Tag,
        /// Why not.
        #[source]
        error: FileError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::Algorithm;
    use crate::reference::Version;
    use crate::table::Platforms;

    #[test]
    fn a_changed_variant_of_the_same_version_is_reported() {
        let image: ImageName = "docker.io/eclipse-temurin".parse().unwrap();
        let table = |variant: &str| {
            let pin = Pin {
                digest: Digest::of(Algorithm::Sha256, b"17"),
                version: Version::from_pin("17.0.8+7", variant).map(Box::new),
                platforms: Platforms::new(),
            };
            let pins = [("17.0.8_7-jdk".parse().unwrap(), pin.into())].into();
            Table {
                images: [(image.clone(), pins)].into(),
            }
        };
        let mut report = Report::default();
        let (old, new) = (table(""), table("-jdk"));
        report.compare(&image, &old, &new, &BTreeSet::new(), &BTreeSet::new());
        let kinds: Vec<_> = report
            .changes
            .into_iter()
            .map(|change| change.kind)
            .collect();
        let expected = ChangeKind::Version {
            old: Some("17.0.8+7".to_owned()),
            new: Some("17.0.8+7-jdk".to_owned()),
        };
        assert_eq!(kinds, [expected]);
    }
}
