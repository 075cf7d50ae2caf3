//! Variants: the suffixes of tags that stand for another build of a release.

use std::fmt;
use std::str::FromStr;

use crate::tag::Tag;
use crate::text::{Quoted, deserialize_as_text};
use crate::version::Version;

/// A variant as people write it: nothing (the plain tag), `-fpm`, or with one
/// `#` for a number that moves with the release: `-ce.#`, `-ls#`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VariantPattern(String);

/// Why a text is not a [`VariantPattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid variant {}: {reason}", Quoted(input))]
pub struct VariantError {
    input: String,
    reason: &'static str,
}

impl VariantPattern {
    /// The plain tag, with no variant.
    pub fn plain() -> Self {
        Self(String::new())
    }

    /// The pattern of a version's `variant` where that ends in the number of a
    /// rebuild, as GitLab and linuxserver.io count them: `-ce.#`, `-ls#`.
    pub fn of_rebuild(variant: &str) -> Self {
        let general = Self::general(variant);
        if ["-ce.#", "-ee.#", "-ls#", "-r#"].contains(&general.as_str()) {
            general
        } else {
            Self(variant.to_owned())
        }
    }

    /// The pattern of a version's `variant` with a `#` for the number that it
    /// ends in, if it does.
    pub fn general(variant: &str) -> Self {
        let rest = variant.trim_end_matches(|c: char| c.is_ascii_digit());
        if rest.len() < variant.len() && rest.len() > 1 {
            Self(format!("{rest}#"))
        } else {
            Self(variant.to_owned())
        }
    }

    /// As written in `images.json`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number that `#` stands for if `variant` fits (0 where there is no
    /// `#`), or `None` if it does not.
    pub fn matches(&self, variant: &str) -> Option<u64> {
        let Some((before, after)) = self.0.split_once('#') else {
            return (self.0 == variant).then_some(0);
        };
        let digits = variant.strip_prefix(before)?.strip_suffix(after)?;
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if plain { digits.parse().ok() } else { None }
    }
}

impl FromStr for VariantPattern {
    type Err = VariantError;

    fn from_str(input: &str) -> Result<Self, VariantError> {
        let error = |reason| VariantError {
            input: input.to_owned(),
            reason,
        };
        if input.is_empty() {
            return Ok(Self::plain());
        }
        if !input.starts_with('-') {
            return Err(error("it starts with a hyphen, such as '-fpm'"));
        }
        if input.matches('#').count() > 1 {
            return Err(error("it has at most one '#'"));
        }
        let example = format!("1{}", input.replace('#', "0"));
        if example.parse::<Tag>().is_err() {
            return Err(error("beside '#' it has only characters of a tag"));
        }
        match Version::parse(&example) {
            Some(version) if format!("1{}", version.variant()) == example => {
                Ok(Self(input.to_owned()))
            }
            _ => Err(error(
                "it marks a prerelease or a build; name prereleases in a requirement, such as '>=2.0.0-rc1'",
            )),
        }
    }
}

impl fmt::Display for VariantPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

deserialize_as_text!(VariantPattern, "a variant such as \"-fpm\", or \"\"");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_at_the_end_moves_with_the_release() {
        for (variant, pattern) in [
            ("", ""),
            ("-fpm", "-fpm"),
            ("-ce.0", "-ce.#"),
            ("-ls185", "-ls#"),
            ("-1", "-1"),
        ] {
            assert_eq!(VariantPattern::general(variant).as_str(), pattern);
        }
        assert_eq!(VariantPattern::of_rebuild("-ls185").as_str(), "-ls#");
        assert_eq!(VariantPattern::of_rebuild("-jdk17").as_str(), "-jdk17");
    }

    #[test]
    fn a_pattern_takes_the_number_that_moves() {
        let pattern: VariantPattern = "-ce.#".parse().unwrap();
        assert_eq!(pattern.matches("-ce.0"), Some(0));
        assert_eq!(pattern.matches("-ce.12"), Some(12));
        for other in ["", "-ce", "-ce.", "-ee.0", "-ce.x", "-ce.+1", "-ce.0-fpm"] {
            assert_eq!(pattern.matches(other), None, "{other}");
        }
        assert_eq!(VariantPattern::plain().matches(""), Some(0));
        assert_eq!(VariantPattern::plain().matches("-fpm"), None);
    }

    #[test]
    fn refuses_what_is_no_variant() {
        for input in ["fpm", "-a#b#", "-rc1", "-4e8b05daf", "-a b", "-é"] {
            let error = input.parse::<VariantPattern>().unwrap_err().to_string();
            assert!(error.starts_with("invalid variant '"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(input: String) {
            let _ = input.parse::<VariantPattern>();
        }

        #[test]
        fn a_pattern_prints_what_it_parsed(text in "(-[a-z]{1,6}(\\.?#)?)?") {
            if let Ok(pattern) = text.parse::<VariantPattern>() {
                prop_assert_eq!(pattern.to_string(), text);
            }
        }
    }
}
