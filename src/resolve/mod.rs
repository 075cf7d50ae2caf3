//! One reference, answered by its registry instead of the table.

mod cache;
#[cfg(feature = "resolve")]
mod within;

pub use cache::Cache;
#[cfg(feature = "resolve")]
pub use within::{Limits, WithinError, ask_within};

use crate::digest::Digest;
use crate::name::{ImageName, Reference};
use crate::platform::{Offered, Platform};
use crate::registry::{Client, RegistryError};
use crate::table::Pin;
use crate::tag::Tag;

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

/// What a registry is asked about: a tag, or where there is none, a digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject(Reference);

impl Subject {
    /// What has to be known to answer `reference`. Without a tag and a digest
    /// `latest` is meant.
    pub fn of(reference: &Reference) -> Self {
        let mut subject = reference.clone();
        if subject.tag.is_some() {
            subject.digest = None;
        } else if subject.digest.is_none() {
            subject.tag = Some(Tag::latest());
        }
        Self(subject)
    }
}

/// Asks the registry what `subject` points to: the digest of its index, and
/// that of each platform's manifest.
///
/// # Errors
/// Where the registry cannot be asked, or has no such tag.
pub async fn ask(client: &Client, subject: &Subject) -> Result<Pin, ResolveError> {
    let Subject(Reference { image, tag, digest }) = subject;
    let digest = match (tag, digest) {
        (None, Some(digest)) => digest.clone(),
        (tag, _) => {
            let tag = tag.clone().unwrap_or_else(Tag::latest);
            let found = client.digest(image, &tag).await?;
            found.ok_or_else(|| ResolveError::NoSuchTag {
                image: image.clone(),
                tag,
            })?
        }
    };
    // Asked even where the answer is known already: only the bytes prove it.
    let platforms = client.platforms(image, &digest).await?;
    Ok(Pin::new(digest, platforms))
}

/// The pinned `reference`, by what the registry said of its [`Subject`]: with
/// the digest of its index, or with that of the manifest for `platform`. A
/// digest that it carries is checked, and kept.
///
/// # Errors
/// Where what it says and what was found do not fit.
pub fn answer(
    reference: &Reference,
    found: &Pin,
    platform: Option<&Platform>,
) -> Result<Reference, ResolveError> {
    let mut pinned = reference.clone();
    pinned.tag = Subject::of(reference).0.tag;
    if let Some(written) = reference
        .digest
        .as_ref()
        .filter(|written| **written != found.digest)
    {
        let fits = |(of, manifest): (&Platform, &Digest)| {
            manifest == written && platform.is_none_or(|platform| platform == of)
        };
        if found.platforms.iter().any(fits) {
            return Ok(pinned);
        }
        return Err(ResolveError::Mismatch {
            reference: Box::new(reference.clone()),
            found: found.digest.clone(),
        });
    }
    let of_platform = match platform {
        None => found.digest.clone(),
        Some(platform) => {
            let manifest = found.platforms.get(platform).cloned();
            manifest.ok_or_else(|| ResolveError::NoSuchPlatform {
                reference: Box::new(pinned.clone()),
                platform: platform.clone(),
                offered: found.platforms.keys().cloned().collect(),
            })?
        }
    };
    // One that it carries is right, and stays.
    pinned.digest.get_or_insert(of_platform);
    Ok(pinned)
}

/// Asks the registry what `reference` points to: [`ask`] and [`answer`].
///
/// # Errors
/// Where the registry cannot be asked, or has nothing that fits.
pub async fn resolve(
    client: &Client,
    reference: &Reference,
    platform: Option<&Platform>,
) -> Result<Reference, ResolveError> {
    let found = ask(client, &Subject::of(reference)).await?;
    answer(reference, &found, platform)
}
