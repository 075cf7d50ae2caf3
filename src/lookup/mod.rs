//! The one lookup that the builtin, the command and plain Nix share: a
//! reference or a set of attributes in, a pinned reference out.

mod error;
mod newest;
mod suggest;

pub use error::{LookupError, TagList, VariantList, VariantPhrase};
pub use newest::Newest;
pub(crate) use newest::{Choices, NoVersion};

use crate::json::FileError;
use crate::reference::{
    Digest, ImageName, Platform, PlatformError, RawReference, Reference, ReferenceError,
    Requirement, RequirementError, Tag, TagError, VariantError, VariantPattern,
};
use crate::table::{LazyTable, Pin, Pins, Table};
use crate::text::Quoted;

/// The attributes of a lookup by set. The caller loads the table that `digests`
/// names; [`Query::from_attributes`] takes the others.
pub const ATTRIBUTES: [&str; 5] = ["image", "version", "variant", "platform", "digests"];

/// A lookup, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    image: ImageName,
    version: VersionSelector,
    digest: Option<Digest>,
    platform: Option<Platform>,
}

/// What to request from a registry if the table has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryQuery {
    /// The query.
    pub query: Query,
    /// The tag and its pinned digest, if only a platform is missing.
    pub pinned: Option<(Tag, Digest)>,
    /// Whether the table has the image.
    pub is_tracked: bool,
}

/// How a query selects a tag of its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum VersionSelector {
    Unspecified,
    Tag(Tag),
    Newest(Box<Newest>),
}

/// Why a text or a set is not a [`Query`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The reference is malformed.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The version is neither a tag nor a requirement.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// The version is a malformed requirement.
    #[error(transparent)]
    Requirement(#[from] RequirementError),
    /// The variant is malformed.
    #[error(transparent)]
    Variant(#[from] VariantError),
    /// The platform is malformed.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// The set has an unknown attribute.
    #[error("unknown attribute {}; the set takes {}", Quoted(.0), ATTRIBUTES.join(", "))]
    UnknownAttribute(String),
    /// The set has no `image`.
    #[error("the set has no attribute 'image'; add one such as image = \"docker.io/nextcloud\"")]
    NoImage,
    /// Both `image` and `version` select a tag.
    #[error("{} has a tag or digest and the set a 'version' too; keep one of them", Quoted(.0))]
    TwoVersions(String),
    /// A variant without a version.
    #[error(
        "a 'variant' goes with a 'version'; write the image without a tag and add its version, or write the variant in the tag"
    )]
    LoneVariant,
    /// A variant with `#` and a tag. Only a requirement can use `#`.
    #[error(
        "a 'variant' with '#' goes with a version requirement; write the version such as '^34'"
    )]
    NumberSign,
}

impl Query {
    /// A lookup by reference: `docker.io/nextcloud:34`, or with a requirement in
    /// place of the tag, `docker.io/nextcloud:^34`.
    ///
    /// # Errors
    /// If `text` is not a reference.
    pub fn from_reference(text: &str) -> Result<Self, QueryError> {
        Self::from_attributes([("image", text)])
    }

    /// A lookup by set: the attributes `image` (which may be a whole
    /// reference), `version`, `variant` and `platform`.
    ///
    /// # Errors
    /// If an attribute is unknown or malformed, where `image` is missing,
    /// and where two of them contradict each other.
    pub fn from_attributes<'a>(
        attributes: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, QueryError> {
        let (mut image, mut version, mut variant, mut platform) = (None, None, None, None);
        for (name, value) in attributes {
            match name {
                "image" => image = Some(value),
                "version" => version = Some(value),
                "variant" => variant = Some(value.parse::<VariantPattern>()?),
                "platform" => platform = Some(value.parse::<Platform>()?),
                _ => return Err(QueryError::UnknownAttribute(name.to_owned())),
            }
        }
        let written: RawReference<'_> = RawReference::parse(image.ok_or(QueryError::NoImage)?)?;
        let has_version = written.tag.is_some() || written.digest.is_some();
        let has_variant = variant.as_ref().is_some_and(|v| !v.as_str().is_empty());
        let version = match (written.tag, version) {
            (_, Some(_)) if has_version => {
                return Err(QueryError::TwoVersions(written.to_string()));
            }
            (None, Some(version)) => parse_version(version, variant)?,
            (Some(tag), _) if Requirement::is_requirement(tag) => parse_version(tag, variant)?,
            _ if has_variant => return Err(QueryError::LoneVariant),
            (Some(tag), _) => {
                VersionSelector::Tag(tag.parse().map_err(|error| written.invalid(error))?)
            }
            (None, None) => VersionSelector::Unspecified,
        };
        Ok(Self {
            image: written.image,
            version,
            digest: written.digest,
            platform,
        })
    }

    /// The image.
    pub fn image(&self) -> &ImageName {
        &self.image
    }

    /// The platform, if the query names one.
    pub fn platform(&self) -> Option<&Platform> {
        self.platform.as_ref()
    }

    /// Whether a version requirement selects the tag.
    pub fn has_requirement(&self) -> bool {
        matches!(self.version, VersionSelector::Newest(_))
    }

    /// The digest in the reference.
    #[cfg(feature = "refresh")]
    pub(crate) fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Which tag is meant.
    #[cfg(feature = "refresh")]
    pub(crate) fn version(&self) -> &VersionSelector {
        &self.version
    }

    /// The same query for one platform, or with `None` for all of them.
    #[must_use]
    pub fn for_platform(mut self, platform: Option<Platform>) -> Self {
        self.platform = platform;
        self
    }

    /// The pinned reference that `table` has for this query.
    ///
    /// # Errors
    /// If it has none, with what there is instead.
    pub fn answer(&self, table: &Table) -> Result<Reference, LookupError> {
        match table.images.get(&self.image) {
            Some(pins) => self.answer_among(pins),
            None => Err(LookupError::not_tracked(&self.image, table)),
        }
    }

    /// As [`Query::answer`], but parses no more of the table than it needs.
    ///
    /// # Errors
    /// If the table is malformed. The inner result is that of [`Query::answer`].
    pub fn answer_lazily(
        &self,
        table: &LazyTable,
    ) -> Result<Result<Reference, LookupError>, FileError> {
        Ok(match table.pins(&self.image)? {
            Some(pins) => self.answer_among(&pins),
            None => self.answer(table.whole()?),
        })
    }

    fn answer_among(&self, pins: &Pins) -> Result<Reference, LookupError> {
        let image = &self.image;
        if pins.is_empty() {
            return Err(LookupError::NotPinned(image.clone()));
        }
        let tag = match (&self.version, &self.digest) {
            (VersionSelector::Tag(tag), _) => tag.clone(),
            (VersionSelector::Newest(newest), _) => match &newest.literal {
                Some(literal) if pins.contains_key(literal) => literal.clone(),
                _ => {
                    let choices = Choices::pinned(pins);
                    let chosen = newest.choose(&choices);
                    let miss = || match newest.miss(&choices) {
                        NoVersion::OfVariant(variants) => LookupError::NoVariant {
                            image: image.clone(),
                            variant: newest.variant_phrase(),
                            variants,
                        },
                        NoVersion::Satisfying(tags) => LookupError::NoMatch {
                            image: image.clone(),
                            requirement: Box::new(newest.requirement.clone()),
                            variant: newest.variant_phrase(),
                            tags: TagList::pinned(pins, tags),
                        },
                    };
                    chosen.ok_or_else(miss)?.clone()
                }
            },
            (VersionSelector::Unspecified, Some(digest)) => {
                return self.answer_for_digest(pins, digest);
            }
            (VersionSelector::Unspecified, None) => Tag::latest(),
        };
        let Some(pin) = pins.get(&tag) else {
            let image = image.clone();
            return Err(match self.version {
                VersionSelector::Unspecified => LookupError::NoLatest {
                    image,
                    tags: TagList::pinned(pins, pins.keys()),
                },
                _ => LookupError::NoSuchTag {
                    image,
                    tags: TagList::near(&tag, pins),
                    tag,
                },
            });
        };
        self.answer_with(tag, pin)
    }

    fn answer_with(&self, tag: Tag, pin: &Pin) -> Result<Reference, LookupError> {
        if let Some(digest) = &self.digest
            && self.is_digest_of(pin, digest)
        {
            return Ok(self.reference(Some(tag), digest.clone()));
        }
        let digest = match (&self.digest, self.digest_of(&tag, pin)) {
            // Report the wrong digest, even if the pin lacks the platform too.
            (Some(_), Err(_)) => pin.digest.clone(),
            (_, digest) => digest?,
        };
        let pinned = self.reference(Some(tag), digest);
        match &self.digest {
            Some(digest) => Err(LookupError::Mismatch {
                reference: Box::new(self.reference(pinned.tag.clone(), digest.clone())),
                pinned: Box::new(pinned),
            }),
            None => Ok(pinned),
        }
    }

    /// What to request from the registry after [`Query::answer`] has failed with `miss`.
    /// `None` if the reference has another digest than its pinned tag.
    ///
    /// # Errors
    /// If the table is malformed.
    pub fn registry_query(
        &self,
        table: &LazyTable,
        miss: &LookupError,
    ) -> Result<Option<RegistryQuery>, FileError> {
        let pins = table.pins(&self.image)?;
        let pinned = match miss {
            LookupError::Mismatch { .. } => return Ok(None),
            // The tag may have moved since, so the request uses the pinned digest.
            LookupError::NoSuchPlatform { tag, .. } => {
                let Some(pin) = pins.as_ref().and_then(|pins| pins.get(tag)) else {
                    return Ok(None);
                };
                Some((tag.clone(), pin.digest.clone()))
            }
            _ => None,
        };
        Ok(Some(RegistryQuery {
            query: self.clone(),
            pinned,
            is_tracked: pins.is_some(),
        }))
    }

    /// Answers a reference with a digest and no tag. Any tag may be pinned to the digest.
    fn answer_for_digest(&self, pins: &Pins, digest: &Digest) -> Result<Reference, LookupError> {
        let reference = self.reference(None, digest.clone());
        if pins.values().any(|pin| self.is_digest_of(pin, digest)) {
            Ok(reference)
        } else {
            let tags = TagList::pinned(pins, pins.keys());
            Err(LookupError::UnknownDigest {
                reference: Box::new(reference),
                platform: self.platform.clone(),
                tags,
            })
        }
    }

    /// The digest for the platform of the query, or the tag's digest if the query names
    /// none. A pin without platforms has the tag's digest for every platform.
    fn digest_of(&self, tag: &Tag, pin: &Pin) -> Result<Digest, LookupError> {
        let Some(platform) = &self.platform else {
            return Ok(pin.digest.clone());
        };
        if pin.platforms.is_empty() {
            return Ok(pin.digest.clone());
        }
        let manifest = pin.platforms.get(platform).cloned();
        manifest.ok_or_else(|| LookupError::NoSuchPlatform {
            image: self.image.clone(),
            tag: tag.clone(),
            platform: platform.clone(),
            platforms: pin.platforms.keys().map(Platform::to_string).collect(),
        })
    }

    /// Whether `digest` is that of the tag or of one of its platforms. If the query names
    /// a platform, the others do not count.
    fn is_digest_of(&self, pin: &Pin, digest: &Digest) -> bool {
        let platforms = pin.platforms.iter();
        *digest == pin.digest
            || platforms
                .filter(|(platform, _)| self.platform.as_ref().is_none_or(|p| p == *platform))
                .any(|(_, manifest)| manifest == digest)
    }

    fn reference(&self, tag: Option<Tag>, digest: Digest) -> Reference {
        Reference {
            image: self.image.clone(),
            tag,
            digest: Some(digest),
        }
    }
}

fn parse_version(
    version: &str,
    variant: Option<VariantPattern>,
) -> Result<VersionSelector, QueryError> {
    let variant = variant.unwrap_or_else(VariantPattern::plain);
    if Requirement::is_requirement(version) {
        return Ok(VersionSelector::Newest(Box::new(Newest {
            requirement: version.parse()?,
            literal: format!("{version}{variant}").parse().ok(),
            variant,
        })));
    }
    if variant.as_str().contains('#') {
        return Err(QueryError::NumberSign);
    }
    version.parse::<Tag>()?;
    Ok(VersionSelector::Tag(format!("{version}{variant}").parse()?))
}
