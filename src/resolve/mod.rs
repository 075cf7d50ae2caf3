//! Resolves one reference by its registry instead of the table.

#[cfg(feature = "resolve")]
mod blocking;
mod cache;

#[cfg(feature = "resolve")]
pub use blocking::{BlockingError, Limits, Resolved, resolve_blocking};
pub use cache::Cache;

use std::fmt;

use crate::lookup::{Choices, Newest, NoVersion, Query, TagList, VariantList, VersionSelector};
use crate::reference::{Digest, ImageName, Platform, PlatformList, Reference, Tag};
use crate::registry::{Client, RegistryError};
use crate::table::Pin;

/// Why a reference could not be resolved.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ResolveError {
    /// A request failed, or the response was unusable.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The registry has no such tag.
    #[error("the registry has no tag {image}:{tag}; check its spelling")]
    NoSuchTag {
        /// The image.
        image: ImageName,
        /// The tag.
        tag: Tag,
    },
    /// The registry has no version that satisfies the requirement.
    #[error(
        "the registry has no tag of {image} {variant}that satisfies '{requirement}'; it has {tags}"
    )]
    NoMatch {
        /// The image.
        image: ImageName,
        /// The requirement.
        requirement: String,
        /// The variant, as a phrase.
        variant: String,
        /// The tags that the registry has.
        tags: TagList,
    },
    /// The registry has no version of the variant at all.
    #[error(
        "the registry has no version of {image} {variant}; there are the variants {variants}; name one with 'variant'"
    )]
    NoVariant {
        /// The image.
        image: ImageName,
        /// The variant, as a phrase.
        variant: String,
        /// The variants that the registry has.
        variants: VariantList,
    },
    /// The reference has another digest than its tag points to.
    #[error(
        "{reference} is not what the tag points to now, {found}; take the digest out of the reference to follow the tag"
    )]
    Mismatch {
        /// The requested reference.
        reference: Box<Reference>,
        /// The digest that the tag points to.
        found: Digest,
    },
    /// The index does not have the requested platform.
    #[error(
        "{reference} is not for {platform}; it is for {}",
        PlatformList(offered)
    )]
    NoSuchPlatform {
        /// The requested reference.
        reference: Box<Reference>,
        /// The requested platform.
        platform: Platform,
        /// The platforms of the index.
        offered: Vec<Platform>,
    },
}

/// What to request from a registry: a tag, a requirement or a digest of an image.
/// Also the key of the cache.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    image: ImageName,
    kind: TargetKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum TargetKind {
    Tag(Tag),
    Newest(Box<Newest>),
    Digest(Digest),
}

impl Target {
    /// The part of `query` that determines the requests. Without tag and digest,
    /// the tag `latest`.
    pub fn of(query: &Query) -> Self {
        let kind = match (query.version(), query.digest()) {
            (VersionSelector::Tag(tag), _) => TargetKind::Tag(tag.clone()),
            (VersionSelector::Newest(newest), _) => TargetKind::Newest(newest.clone()),
            (VersionSelector::Unspecified, Some(digest)) => TargetKind::Digest(digest.clone()),
            (VersionSelector::Unspecified, None) => TargetKind::Tag(Tag::latest()),
        };
        Self {
            image: query.image().clone(),
            kind,
        }
    }

    /// The manifest or index with this digest.
    pub fn of_digest(image: ImageName, digest: Digest) -> Self {
        Self {
            image,
            kind: TargetKind::Digest(digest),
        }
    }
}

/// The key in the cache file.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            TargetKind::Tag(tag) => write!(f, "{}:{tag}", self.image),
            TargetKind::Newest(newest) => {
                write!(
                    f,
                    "{}:{} {}",
                    self.image, newest.requirement, newest.variant
                )
            }
            TargetKind::Digest(digest) => write!(f, "{}@{digest}", self.image),
        }
    }
}

/// The registry's result for a [`Target`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedPin {
    /// The tag, `None` for a digest.
    pub tag: Option<Tag>,
    /// The digest, and the digest of each platform's manifest.
    pub pin: Pin,
}

/// Requests the digest and the platforms of `target` from its registry.
///
/// # Errors
/// If a request fails, or the registry has no matching tag.
pub async fn query_registry(client: &Client, target: &Target) -> Result<ResolvedPin, ResolveError> {
    let image = &target.image;
    let (tag, digest) = match &target.kind {
        TargetKind::Digest(digest) => (None, digest.clone()),
        TargetKind::Tag(tag) => (Some(tag.clone()), digest_of(client, image, tag).await?),
        TargetKind::Newest(newest) => {
            let tag = choose(client, image, newest).await?;
            let digest = digest_of(client, image, &tag).await?;
            (Some(tag), digest)
        }
    };
    // Fetch the manifest even if the digest is given: only its bytes prove that the
    // registry has it.
    let platforms = client.platforms(image, &digest).await?;
    Ok(ResolvedPin {
        tag,
        pin: Pin::new(digest, platforms.manifests),
    })
}

async fn digest_of(client: &Client, image: &ImageName, tag: &Tag) -> Result<Digest, ResolveError> {
    let found = client.digest(image, tag).await?;
    found.ok_or_else(|| ResolveError::NoSuchTag {
        image: image.clone(),
        tag: tag.clone(),
    })
}

/// The tag in the registry's tag list that `newest` selects.
async fn choose(client: &Client, image: &ImageName, newest: &Newest) -> Result<Tag, ResolveError> {
    let tags = client.tags(image).await?;
    let literal = newest.literal().filter(|tag| tags.contains(*tag));
    let choices = Choices::listed(&tags);
    if let Some(chosen) = literal.or_else(|| newest.choose(&choices)) {
        return Ok(chosen.clone());
    }
    Err(match newest.miss(&choices) {
        NoVersion::OfVariant(variants) => ResolveError::NoVariant {
            image: image.clone(),
            variant: newest.variant_phrase().of_version(),
            variants,
        },
        NoVersion::Satisfying(tags) => ResolveError::NoMatch {
            image: image.clone(),
            requirement: newest.requirement.to_string(),
            variant: newest.variant_phrase().to_string(),
            tags: TagList::of(tags),
        },
    })
}

/// The pinned reference for `query`, from the registry's result for its
/// [`Target`]. Its digest is that of the platform's manifest, or without a
/// platform that of the index. A digest in the query is checked and kept.
///
/// # Errors
/// If the query's digest or platform does not match the result.
pub fn pinned_reference(query: &Query, found: &ResolvedPin) -> Result<Reference, ResolveError> {
    let platform = query.platform();
    let ResolvedPin { tag, pin } = found;
    let mut pinned = Reference {
        image: query.image().clone(),
        tag: tag.clone(),
        digest: query.digest().cloned(),
    };
    if let Some(written) = query.digest().filter(|written| **written != pin.digest) {
        let fits = |(of, manifest): (&Platform, &Digest)| {
            manifest == written && platform.is_none_or(|platform| platform == of)
        };
        if pin.platforms.iter().any(fits) {
            return Ok(pinned);
        }
        return Err(ResolveError::Mismatch {
            reference: Box::new(pinned),
            found: pin.digest.clone(),
        });
    }
    let of_platform = match platform {
        None => pin.digest.clone(),
        Some(platform) => {
            let manifest = pin.platforms.get(platform).cloned();
            manifest.ok_or_else(|| ResolveError::NoSuchPlatform {
                reference: Box::new(pinned.clone()),
                platform: platform.clone(),
                offered: pin.platforms.keys().cloned().collect(),
            })?
        }
    };
    // A digest in the query was checked above, and stays.
    pinned.digest.get_or_insert(of_platform);
    Ok(pinned)
}

/// Resolves `query` by its registry: [`query_registry`], then [`pinned_reference`].
///
/// # Errors
/// Those of [`query_registry`] and [`pinned_reference`].
pub async fn resolve(client: &Client, query: &Query) -> Result<Reference, ResolveError> {
    let found = query_registry(client, &Target::of(query)).await?;
    pinned_reference(query, &found)
}
