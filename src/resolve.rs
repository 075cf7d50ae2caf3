//! One reference, answered by its registry instead of the table.

use crate::digest::Digest;
use crate::name::{ImageName, Reference};
use crate::platform::{Offered, Platform};
use crate::registry::{Client, RegistryError};
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

/// Asks the registry what `reference` points to: the same reference with the
/// digest of its index, or with that of the manifest for `platform`. Without a
/// tag `latest` is meant; a digest that it carries is checked, and kept.
///
/// # Errors
/// Where the registry cannot be asked, or has nothing that fits.
pub async fn resolve(
    client: &Client,
    reference: &Reference,
    platform: Option<&Platform>,
) -> Result<Reference, ResolveError> {
    let image = &reference.image;
    let mut pinned = reference.clone();
    let digest = match (&reference.tag, &reference.digest) {
        (None, Some(digest)) => digest.clone(),
        (tag, _) => {
            let tag = tag.clone().unwrap_or_else(Tag::latest);
            pinned.tag = Some(tag.clone());
            let found = client.digest(image, &tag).await?;
            found.ok_or_else(|| ResolveError::NoSuchTag {
                image: image.clone(),
                tag,
            })?
        }
    };
    // Asked even where the answer is known already: only the bytes prove it.
    let offered = client.platforms(image, &digest).await?;
    if let Some(written) = reference
        .digest
        .as_ref()
        .filter(|written| **written != digest)
    {
        let fits = |(of, manifest): (&Platform, &Digest)| {
            manifest == written && platform.is_none_or(|platform| platform == of)
        };
        if offered.iter().any(fits) {
            return Ok(pinned);
        }
        return Err(ResolveError::Mismatch {
            reference: Box::new(reference.clone()),
            found: digest,
        });
    }
    let of_platform = match platform {
        None => digest,
        Some(platform) => {
            let manifest = offered.get(platform).cloned();
            manifest.ok_or_else(|| ResolveError::NoSuchPlatform {
                reference: Box::new(pinned.clone()),
                platform: platform.clone(),
                offered: offered.keys().cloned().collect(),
            })?
        }
    };
    // One that it carries is right, and stays.
    pinned.digest.get_or_insert(of_platform);
    Ok(pinned)
}
