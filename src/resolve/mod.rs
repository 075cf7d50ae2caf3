//! One reference, answered by its registry instead of the table.

#[cfg(feature = "resolve")]
mod blocking;
mod cache;

#[cfg(feature = "resolve")]
pub use blocking::{BlockingError, Limits, Resolved, resolve_blocking};
pub use cache::Cache;

use std::fmt;

use crate::lookup::{Choices, Newest, NoVersion, Query, TagList, VariantList, Wanted};
use crate::reference::{Digest, ImageName, Offered, Platform, Reference, Tag};
use crate::registry::{Client, RegistryError};
use crate::table::Pin;

/// Why a registry has no answer to a reference.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ResolveError {
    /// The registry could not be asked, or gave no usable answer.
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
        /// What the registry has.
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
        /// Those there are.
        variants: VariantList,
    },
    /// The tag points elsewhere than the reference says.
    #[error(
        "{reference} is not what the tag points to now, {found}; take the digest out of the reference to follow the tag"
    )]
    Mismatch {
        /// What was asked for.
        reference: Box<Reference>,
        /// What the tag points to.
        found: Digest,
    },
    /// The tag is not for that platform.
    #[error("{reference} is not for {platform}; it is for {}", Offered(offered))]
    NoSuchPlatform {
        /// What was asked for.
        reference: Box<Reference>,
        /// The platform that was asked for.
        platform: Platform,
        /// The platforms there are.
        offered: Vec<Platform>,
    },
}

/// What to resolve: a tag, a requirement, or a digest of an image.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    image: ImageName,
    which: Which,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Which {
    Tag(Tag),
    Newest(Box<Newest>),
    Digest(Digest),
}

impl Subject {
    /// What has to be known to answer `query`. Without a tag and a digest `latest`
    /// is meant.
    pub fn of(query: &Query) -> Self {
        let which = match (query.version(), query.digest()) {
            (Wanted::Tag(tag), _) => Which::Tag(tag.clone()),
            (Wanted::Newest(newest), _) => Which::Newest(newest.clone()),
            (Wanted::Unsaid, Some(digest)) => Which::Digest(digest.clone()),
            (Wanted::Unsaid, None) => Which::Tag(Tag::latest()),
        };
        Self {
            image: query.image().clone(),
            which,
        }
    }

    /// What is behind a digest.
    pub fn of_digest(image: ImageName, digest: Digest) -> Self {
        Self {
            image,
            which: Which::Digest(digest),
        }
    }
}

/// The text under which answers are kept.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.which {
            Which::Tag(tag) => write!(f, "{}:{tag}", self.image),
            Which::Newest(newest) => {
                write!(
                    f,
                    "{}:{} {}",
                    self.image, newest.requirement, newest.variant
                )
            }
            Which::Digest(digest) => write!(f, "{}@{digest}", self.image),
        }
    }
}

/// What a registry said of a [`Subject`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The tag that is meant; none for a digest.
    pub tag: Option<Tag>,
    /// The digest of its index, and that of each platform's manifest.
    pub pin: Pin,
}

/// Asks the registry what `subject` points to.
///
/// # Errors
/// Where the registry cannot be asked, or has no such tag.
pub async fn ask(client: &Client, subject: &Subject) -> Result<Found, ResolveError> {
    let image = &subject.image;
    let (tag, digest) = match &subject.which {
        Which::Digest(digest) => (None, digest.clone()),
        Which::Tag(tag) => (Some(tag.clone()), digest_of(client, image, tag).await?),
        Which::Newest(newest) => {
            let tag = choose(client, image, newest).await?;
            let digest = digest_of(client, image, &tag).await?;
            (Some(tag), digest)
        }
    };
    // Asked even where the answer is known already: only the bytes prove it.
    let platforms = client.platforms(image, &digest).await?;
    Ok(Found {
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

/// The tag that a requirement means, of those that the registry lists.
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

/// The pinned reference for `query`, by what the registry said of its [`Subject`]:
/// with the digest of its index, or with that of the manifest for its platform. A
/// digest that the query carries is checked, and kept.
///
/// # Errors
/// Where what it says and what was found do not fit.
pub fn answer(query: &Query, found: &Found) -> Result<Reference, ResolveError> {
    let platform = query.platform();
    let Found { tag, pin } = found;
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
    // One that it carries is right, and stays.
    pinned.digest.get_or_insert(of_platform);
    Ok(pinned)
}

/// Asks the registry what `query` means: [`ask`] and [`answer`].
///
/// # Errors
/// Where the registry cannot be asked, or has nothing that fits.
pub async fn resolve(client: &Client, query: &Query) -> Result<Reference, ResolveError> {
    let found = ask(client, &Subject::of(query)).await?;
    answer(query, &found)
}
