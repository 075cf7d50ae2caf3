//! What a refresh does with a tag, and why, in words.

use std::sync::Arc;

use crate::reference::{Precision, Requirement};

/// What becomes of one tag, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Its digest is asked for.
    Ask(Taken),
    /// Its pin is kept without asking.
    Keep(Kept),
    /// It is left in the registry.
    Leave(Left),
}

/// Why a tag is asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Taken {
    /// It stands in `tags`.
    #[error("listed in 'tags'")]
    Listed,
    /// A strategy of `true` takes it.
    #[error("among the {keep} newest of '{precision}'")]
    Newest {
        /// The strategy.
        precision: Precision,
        /// How many releases that is.
        keep: usize,
    },
    /// A requirement takes it.
    #[error("satisfies '{requirement}' of '{precision}'")]
    Satisfies {
        /// The strategy.
        precision: Precision,
        /// The requirement.
        requirement: Arc<Requirement>,
    },
    /// A lower bound takes it.
    #[error("no older than the bound of '{0}'")]
    Since(Precision),
    /// It is pinned, and is no full version.
    #[error("pinned, and may move")]
    Floating,
    /// It is pinned, without any of the tracked platforms.
    #[error("pinned, and none of its platforms is recorded")]
    Incomplete,
    /// It is pinned, and everything pinned is asked for.
    #[error("pinned, and every pin is asked for")]
    All,
}

/// Why a pin is kept without asking.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Kept {
    /// It is a full version that no strategy takes any more.
    #[error("pinned, a full version that no strategy takes any more")]
    Full,
    /// The registry no longer lists it.
    #[error("pinned, and no longer in the registry")]
    Gone,
}

/// Why a tag is left.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Left {
    /// It is a word.
    #[error("no version, and not listed in 'tags'")]
    NoVersion,
    /// No pattern fits.
    #[error("does not fit 'pattern', and not listed in 'tags'")]
    NoPattern,
    /// `ignore` has it.
    #[error("listed in 'ignore'")]
    Ignored,
    /// Its variant is not tracked.
    #[error("variant '{0}' is not listed in 'variants'")]
    OtherVariant(String),
    /// Nothing is taken of its precision.
    #[error("no strategy '{0}' for its variant")]
    Off(Precision),
    /// It is a prerelease.
    #[error("a prerelease, which only a requirement that names one takes")]
    Prerelease,
    /// It is one long number.
    #[error("a commit or a date rather than a version")]
    CommitOrDate,
    /// The release has a later build.
    #[error("an older build of its release")]
    OlderBuild,
    /// There are enough newer ones.
    #[error("older than the {keep} newest of '{precision}'")]
    Older {
        /// The strategy.
        precision: Precision,
        /// How many releases that is.
        keep: usize,
    },
    /// The requirement is for others.
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
