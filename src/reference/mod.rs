//! What people write: image names, tags, digests, platforms, versions, variants and
//! requirements. Each value prints as text that parses to the same value.

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
pub(crate) use name::RawReference;
pub use name::{ImageName, Reference, ReferenceError};
pub use pattern::{Pattern, PatternError};
#[cfg(feature = "refresh")]
pub(crate) use platform::PlatformList;
pub use platform::{Platform, PlatformError};
pub use requirement::{Requirement, RequirementError};
pub use tag::{Tag, TagError, by_version};
pub use variant::{VariantError, VariantPattern};
pub use version::{HexBuilds, Precision, Version};

#[cfg(test)]
mod tests {
    use std::fmt::{Debug, Display};
    use std::str::FromStr;

    use proptest::prelude::*;

    use super::*;

    /// Checks that `input` either parses to a value that survives printing and parsing, or
    /// gives an error of one line without control characters.
    fn check<T>(input: &str) -> Result<(), TestCaseError>
    where
        T: FromStr + Display + PartialEq + Debug,
        T::Err: Display + PartialEq + Debug,
    {
        match input.parse::<T>() {
            Ok(value) => prop_assert_eq!(value.to_string().parse::<T>(), Ok(value)),
            Err(error) => {
                let error = error.to_string();
                prop_assert!(!error.is_empty() && error.len() < 1000, "{}", error);
                prop_assert!(!error.chars().any(char::is_control), "{:?}", error);
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn every_input_survives_printing_and_parsing_or_is_refused(
            any: String,
            name in "[a-zA-Z0-9:/@.\\[\\]_-]{0,40}",
            requirement in "[0-9.x*<>=^~!|, v-]{0,24}",
            pattern in "[a-z0-9{}.#_-]{0,40}",
        ) {
            for input in [&any, &name, &requirement, &pattern] {
                check::<Reference>(input)?;
                check::<ImageName>(input)?;
                check::<Tag>(input)?;
                check::<Digest>(input)?;
                check::<Platform>(input)?;
                check::<Requirement>(input)?;
                check::<VariantPattern>(input)?;
                check::<Pattern>(input)?;
            }
        }
    }
}
