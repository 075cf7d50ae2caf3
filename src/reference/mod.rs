//! What people write: image names, tags, digests, platforms, versions, variants and
//! requirements. Each parses once, and prints what it parsed.

mod digest;
mod name;
mod pattern;
mod platform;
mod requirement;
mod tag;
mod variant;
mod version;

#[cfg(feature = "refresh")]
pub(crate) use digest::Hasher;
pub use digest::{Algorithm, Digest, DigestError};
pub(crate) use name::Written;
pub use name::{ImageName, Reference, ReferenceError};
pub use pattern::{Pattern, PatternError};
#[cfg(feature = "refresh")]
pub(crate) use platform::Offered;
pub use platform::{Platform, PlatformError};
pub use requirement::{Requirement, RequirementError};
pub use tag::{Tag, TagError, by_version};
pub use variant::{VariantError, VariantPattern};
pub use version::{HexBuilds, Precision, Version};
