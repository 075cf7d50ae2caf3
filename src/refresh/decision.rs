//! What a refresh does with a tag, and the reason as text.

use std::sync::Arc;

use crate::reference::{Precision, Requirement};

/// What a refresh does with a tag, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Request its digest.
    Request(RequestReason),
    /// Keep its pin without a request.
    Keep(KeepReason),
    /// Do not track it.
    Skip(SkipReason),
}

/// Why a refresh requests the digest of a tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestReason {
    /// `tags` lists it.
    #[error("listed in 'tags'")]
    Listed,
    /// A strategy of `true` selects it.
    #[error("among the {keep} newest of '{precision}'")]
    Newest {
        /// The strategy.
        precision: Precision,
        /// How many releases that is.
        keep: usize,
    },
    /// It satisfies a requirement.
    #[error("satisfies '{requirement}' of '{precision}'")]
    Satisfies {
        /// The strategy.
        precision: Precision,
        /// The requirement.
        requirement: Arc<Requirement>,
    },
    /// It is at or above a lower bound.
    #[error("no older than the bound of '{0}'")]
    Since(Precision),
    /// A digest of it is not old enough yet.
    #[error("its digest is not old enough yet")]
    Pending,
    /// It is pinned, and is not a full version, so it may move.
    #[error("pinned, and may move")]
    Floating,
    /// It is pinned, without any of the tracked platforms.
    #[error("pinned, and none of its platforms is recorded")]
    Incomplete,
    /// It is pinned, and `all` requests every pin.
    #[error("pinned, and every pin is requested")]
    All,
}

/// Why a refresh keeps a pin without a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeepReason {
    /// It is a full version that no strategy selects any more.
    #[error("pinned, a full version that no strategy takes any more")]
    Full,
    /// The registry no longer lists it.
    #[error("pinned, and no longer in the registry")]
    Gone,
}

/// Why a refresh skips a tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SkipReason {
    /// It is not a version.
    #[error("no version, and not listed in 'tags'")]
    NoVersion,
    /// No pattern matches it.
    #[error("does not fit 'pattern', and not listed in 'tags'")]
    NoPattern,
    /// `ignore` matches it.
    #[error("listed in 'ignore'")]
    Ignored,
    /// Its variant is not tracked.
    #[error("variant '{0}' is not listed in 'variants'")]
    OtherVariant(String),
    /// Its precision has no strategy, or no lower bound for its variant.
    #[error("no strategy '{0}' for its variant")]
    Off(Precision),
    /// It is a prerelease.
    #[error("a prerelease, which only a requirement that names one takes")]
    Prerelease,
    /// It looks like a commit hash or a date.
    #[error("a commit or a date rather than a version")]
    CommitOrDate,
    /// The release has a later build.
    #[error("an older build of its release")]
    OlderBuild,
    /// `keep` newer releases exist.
    #[error("older than the {keep} newest of '{precision}'")]
    Older {
        /// The strategy.
        precision: Precision,
        /// How many releases that is.
        keep: usize,
    },
    /// It does not satisfy the requirement.
    #[error("does not satisfy '{requirement}' of '{precision}'")]
    Unsatisfied {
        /// The strategy.
        precision: Precision,
        /// The requirement.
        requirement: Arc<Requirement>,
    },
    /// It is older than the lower bound.
    #[error("older than the bound of '{0}'")]
    BelowBound(Precision),
}

impl SkipReason {
    /// Whether it is only that newer tags exist.
    pub(super) fn is_by_age(&self) -> bool {
        matches!(self, Self::OlderBuild | Self::Older { .. })
    }
}
