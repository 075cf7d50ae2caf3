//! Lookup errors: what is missing, what the table has instead, and what to do.

use std::fmt;

use super::suggest;
use crate::reference::{
    ImageName, Platform, Reference, Requirement, Tag, VariantPattern, Version, by_version,
};
use crate::table::{Pins, Table};

/// How many tags or variants an error names at most.
const TAGS_SHOWN: usize = 10;

/// Why the table has no answer to a [`Query`](super::Query).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The image is not in the table.
    #[error(
        "{image} is not tracked; {}o track it, run 'nix-oci-hashes add {image}'",
        DidYouMean(near)
    )]
    NotTracked {
        /// The image of the query.
        image: ImageName,
        /// The tracked images with the most similar names.
        near: Vec<ImageName>,
    },
    /// The image is in the table, with no pins.
    #[error("{0} is tracked but not pinned yet; run 'nix-oci-hashes refresh'")]
    NotPinned(ImageName),
    /// No tag was named, and `latest` is not pinned.
    #[error("{image} has no pinned tag 'latest'; name one of {tags}")]
    NoLatest {
        /// The image.
        image: ImageName,
        /// What is pinned.
        tags: TagList,
    },
    /// The tag is not pinned.
    #[error(
        "{image} has no pinned tag '{tag}'; pinned are {tags}; to pin another, add it to 'tags' or 'strategies' in images.json and run 'nix-oci-hashes refresh'"
    )]
    NoSuchTag {
        /// The image.
        image: ImageName,
        /// The tag that was asked for.
        tag: Tag,
        /// What is pinned.
        tags: TagList,
    },
    /// No version satisfies the requirement.
    #[error(
        "{image} has no pinned tag {variant}that satisfies '{requirement}'; pinned are {tags}; to pin more, widen 'strategies' or 'variants' in images.json and run 'nix-oci-hashes refresh'"
    )]
    NoMatch {
        /// The image.
        image: ImageName,
        /// The requirement.
        requirement: Box<Requirement>,
        /// The variant, as a phrase.
        variant: VariantPhrase,
        /// What is pinned.
        tags: TagList,
    },
    /// There is no version of the variant at all.
    #[error(
        "{image} has no pinned version {}; there are the variants {variants}; name one with 'variant'",
        variant.of_version()
    )]
    NoVariant {
        /// The image.
        image: ImageName,
        /// The variant of the query, as a phrase.
        variant: VariantPhrase,
        /// The variants of the pinned versions.
        variants: VariantList,
    },
    /// The tag has no such platform.
    #[error("{image}:{tag} is not pinned for {platform}; it is for {}; to pin more, add to 'platforms' in images.json and run 'nix-oci-hashes refresh'", platforms.join(", "))]
    NoSuchPlatform {
        /// The image.
        image: ImageName,
        /// The tag.
        tag: Tag,
        /// The platform that was asked for.
        platform: Platform,
        /// The platforms there are.
        platforms: Vec<String>,
    },
    /// The reference carries a digest that is not the pinned one.
    #[error(
        "{reference} is not what is pinned, {pinned}; take the digest out of the reference to follow the table"
    )]
    Mismatch {
        /// What was asked for.
        reference: Box<Reference>,
        /// What the table says.
        pinned: Box<Reference>,
    },
    /// The reference carries a digest, no tag, and no pin has that digest.
    #[error(
        "{reference} has a digest that no tag of the image is pinned to{}; name the tag instead, one of {tags}",
        platform.as_ref().map(|platform| format!(" for {platform}")).unwrap_or_default()
    )]
    UnknownDigest {
        /// What was asked for.
        reference: Box<Reference>,
        /// The platform that was asked for.
        platform: Option<Platform>,
        /// What is pinned.
        tags: TagList,
    },
}

impl LookupError {
    /// The error for an image that is not in `table`.
    pub fn not_tracked(image: &ImageName, table: &Table) -> Self {
        Self::NotTracked {
            image: image.clone(),
            near: suggest::images(image, table.images.keys()),
        }
    }
}

/// Tags as an error names them: versions from the newest on, then words, at
/// most ten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagList {
    shown: Vec<Tag>,
    more: usize,
}

type Key = (bool, Option<Version>, Tag);

impl TagList {
    /// The pinned tags that are most similar to `wanted`, at most ten.
    pub(super) fn near(wanted: &Tag, pins: &Pins) -> Self {
        let mut keys: Vec<Key> = pins.iter().map(|(tag, pin)| pin.by_version(tag)).collect();
        keys.sort_by(|a, b| b.cmp(a));
        let tags = keys.iter().map(|(_, _, tag)| tag);
        let near = suggest::tags(wanted, tags, TAGS_SHOWN);
        let more = keys.len() - near.len();
        let near = near.into_iter().filter_map(|tag| pins.get_key_value(tag));
        Self {
            more,
            ..Self::sorted(near.map(|(tag, pin)| pin.by_version(tag)).collect())
        }
    }

    /// A list of those of `tags` that are in `pins`.
    pub(super) fn pinned<'a>(pins: &Pins, tags: impl IntoIterator<Item = &'a Tag>) -> Self {
        let key = |tag: &Tag| pins.get(tag).map(|pin| pin.by_version(tag));
        Self::sorted(tags.into_iter().filter_map(key).collect())
    }

    /// A list of `tags`.
    pub fn of<'a>(tags: impl IntoIterator<Item = &'a Tag>) -> Self {
        Self::sorted(tags.into_iter().map(by_version).collect())
    }

    fn sorted(mut keys: Vec<Key>) -> Self {
        keys.sort();
        let versions = keys.partition_point(|(is_word, _, _)| !is_word);
        keys[..versions].reverse();
        let more = keys.len().saturating_sub(TAGS_SHOWN);
        let shown = keys.into_iter().take(TAGS_SHOWN);
        Self {
            shown: shown.map(|(_, _, tag)| tag).collect(),
            more,
        }
    }
}

impl fmt::Display for TagList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, tag) in self.shown.iter().enumerate() {
            write!(f, "{}{tag}", if i == 0 { "" } else { ", " })?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Variants as an error names them: at most ten, each in quotes, and the plain one
/// explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariantList(pub(super) Vec<VariantPattern>);

impl fmt::Display for VariantList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, variant) in self.0.iter().take(TAGS_SHOWN).enumerate() {
            let plain = if variant.as_str().is_empty() {
                " (the plain tag)"
            } else {
                ""
            };
            write!(f, "{}'{variant}'{plain}", if i == 0 { "" } else { ", " })?;
        }
        match self.0.len().saturating_sub(TAGS_SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// The text before "o track it": `did you mean a, b or c? T`, or `t` if there is no
/// suggestion.
struct DidYouMean<'a>(&'a [ImageName]);

impl fmt::Display for DidYouMean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((last, others)) = self.0.split_last() else {
            return f.write_str("t");
        };
        f.write_str("did you mean ")?;
        for (i, image) in others.iter().enumerate() {
            write!(f, "{}{image}", if i == 0 { "" } else { ", " })?;
        }
        let or = if others.is_empty() { "" } else { " or " };
        write!(f, "{or}{last}? T")
    }
}

/// `of variant '-fpm' `, or nothing for the plain tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariantPhrase(pub(super) VariantPattern);

impl VariantPhrase {
    /// `of variant '-fpm'`, or `without a variant`.
    pub(crate) fn of_version(&self) -> String {
        if self.0.as_str().is_empty() {
            "without a variant".to_owned()
        } else {
            format!("of variant '{}'", self.0)
        }
    }
}

impl fmt::Display for VariantPhrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.as_str().is_empty() {
            Ok(())
        } else {
            write!(f, "of variant '{}' ", self.0)
        }
    }
}
