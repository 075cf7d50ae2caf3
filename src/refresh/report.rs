//! What a refresh did, for people and machines to read.

use crate::digest::Digest;
use crate::name::ImageName;
use crate::platform::Platform;
use crate::registry::RegistryError;
use crate::tag::Tag;

/// What became of every tag that a refresh looked at.
#[derive(Debug, Default)]
pub struct Report {
    /// What differs from the old table, by image and tag.
    pub changes: Vec<Change>,
    /// How many pins are as they were.
    pub kept: usize,
    /// Tags that their registry no longer has; pins of them are kept.
    pub gone: Vec<(ImageName, Tag)>,
    /// Tracked platforms that no pinned tag of their image offers. Asking for
    /// them costs a request a tag every time.
    pub not_offered: Vec<(ImageName, Platform)>,
    /// What could not be had; the old pins are kept.
    pub problems: Vec<(ImageName, Problem)>,
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
        /// Whether the tag is a full version, which its publisher has pushed again.
        repushed: bool,
    },
    /// The tag's digest, which was all that was known, is right, and the
    /// platforms are recorded.
    Verified {
        /// What the tag points to, as before.
        digest: Digest,
    },
    /// The digest is the same, the platforms recorded for it are not.
    Platforms {
        /// Platforms that are now recorded.
        added: Vec<Platform>,
        /// Platforms that images.json no longer lists.
        removed: Vec<Platform>,
    },
    /// The image is no longer tracked.
    Removed {
        /// What the tag was pinned to.
        old: Digest,
    },
}

/// Why a tag, or all of an image, could not be refreshed.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The registry gave no answer for the image.
    #[error("{0}")]
    Image(#[source] RegistryError),
    /// The registry gave no answer for one tag.
    #[error("{tag}: {error}")]
    Tag {
        /// The tag.
        tag: Tag,
        /// What the registry did.
        #[source]
        error: RegistryError,
    },
    /// images.json lists a tag that the registry does not have.
    #[error("{0}: the registry has no such tag; check 'tags' in images.json")]
    NoSuchTag(Tag),
    /// The tag offers none of the platforms that images.json lists.
    #[error(
        "{tag}: it is for {}, and for none of the platforms in images.json",
        if offered.is_empty() { "no platform".to_owned() } else { offered.join(", ") }
    )]
    NoPlatform {
        /// The tag.
        tag: Tag,
        /// The platforms it offers.
        offered: Vec<String>,
    },
}
