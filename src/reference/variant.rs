//! Variants: the suffixes of tags that name another build of a release.

use std::fmt;
use std::str::FromStr;

use super::tag::Tag;
use super::version::{HexBuilds, Prerelease, Version};
use crate::text::{Quoted, deserialize_as_text};

/// The text before the number of a rebuild, at GitLab, linuxserver.io and others.
/// Empty for a suffix that is only a number.
const REBUILDS: [&str; 5] = ["", "ce.", "ee.", "ls", "r"];

/// A variant as people write it: empty (the plain tag) or `-fpm`. A `#` stands for a
/// number that changes with each release: `-ce.#`, `-ls#`, `-debian-#-r#`.
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

    /// The pattern that matches exactly this variant of a version.
    pub(crate) fn literal(variant: &str) -> Self {
        Self(variant.to_owned())
    }

    /// The pattern of a version's `variant`, with a `#` for a rebuild number at its end:
    /// `-ce.#`, `-ls#`, `-#`.
    pub fn of_rebuild(variant: &str) -> Self {
        let rest = variant.trim_end_matches(|c: char| c.is_ascii_digit());
        let last = rest.rsplit_once('-').map(|(_, last)| last);
        if rest.len() < variant.len() && last.is_some_and(|last| REBUILDS.contains(&last)) {
            Self(format!("{rest}#"))
        } else {
            Self(variant.to_owned())
        }
    }

    /// As written in `images.json`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number for each `#` if `variant` matches. `None` if it does not, or if a
    /// number has more than 64 bits.
    pub fn matches(&self, variant: &str) -> Option<Vec<u64>> {
        let mut parts = self.0.split('#');
        let mut rest = variant.strip_prefix(parts.next()?)?;
        let mut numbers = Vec::new();
        for literal in parts {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            numbers.push(rest[..digits].parse().ok()?);
            rest = rest[digits..].strip_prefix(literal)?;
        }
        rest.is_empty().then_some(numbers)
    }

    /// Whether it has a `#` that counts builds, as `-ls#` has, and `-php8.#`, whose number is
    /// of another program's version, has not.
    #[cfg(feature = "refresh")]
    pub(crate) fn numbers_builds(&self) -> bool {
        let mut before = self.0.split('#');
        before.next_back();
        before.any(|text| {
            let last = text.rsplit_once('-').map(|(_, last)| last);
            last.is_some_and(|last| REBUILDS.contains(&last))
        })
    }

    /// The version of `tag` in this variant, and the number for each `#`.
    pub(crate) fn read(&self, tag: &Tag, builds: &HexBuilds) -> Option<(Version, Vec<u64>)> {
        let words: Vec<&str> = self.words().collect();
        let version = Version::parse_among(tag.as_str(), builds, &words)?;
        let numbers = self.matches(version.variant())?;
        Some((version, numbers))
    }

    /// The words of this variant that mark a prerelease in other tags.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        let segments = self.0.split('-').skip(1);
        segments.filter(|segment| Prerelease::is_word(segment))
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
        let digit = |c: char| c.is_ascii_digit();
        let mut pairs = input.split('#').zip(input.split('#').skip(1));
        let is_joined =
            pairs.any(|(before, after)| before.ends_with(digit) || after.starts_with(digit));
        if input.contains("##") || is_joined {
            return Err(error("a '#' stands for a whole number"));
        }
        let example = format!("1{}", input.replace('#', "0"));
        if example.parse::<Tag>().is_err() {
            return Err(error("beside '#' it has only characters of a tag"));
        }
        let pattern = Self(input.to_owned());
        let words: Vec<&str> = pattern.words().collect();
        let version = Version::parse_among(&example, &HexBuilds::default(), &words);
        match version {
            Some(version) if format!("1{}", version.variant()) == example => Ok(pattern),
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

    #[cfg(feature = "refresh")]
    #[test]
    fn the_number_of_another_program_is_no_build() {
        for (variant, is_build) in [
            ("", false),
            ("-fpm", false),
            ("-php8.#", false),
            ("-php#.#-alpine3.#", false),
            ("-jdk#", false),
            ("-debian-#-r#", true),
            ("-ls#", true),
            ("-#", true),
            ("-ce.#", true),
            ("-php8.#-r#", true),
        ] {
            let pattern: VariantPattern = variant.parse().unwrap();
            assert_eq!(pattern.numbers_builds(), is_build, "{variant}");
        }
    }

    #[test]
    fn a_rebuild_number_becomes_a_number_sign() {
        for (variant, pattern) in [
            ("", ""),
            ("-fpm", "-fpm"),
            ("-ce.0", "-ce.#"),
            ("-ls185", "-ls#"),
            ("-94", "-#"),
            ("-debian-12-r4", "-debian-12-r#"),
            ("-jdk17", "-jdk17"),
            ("-alpine3.22", "-alpine3.22"),
        ] {
            assert_eq!(VariantPattern::of_rebuild(variant).as_str(), pattern);
        }
    }

    #[test]
    fn a_pattern_extracts_the_numbers_of_a_variant() {
        let matches = |pattern: &str, variant: &str| {
            let pattern: VariantPattern = pattern.parse().unwrap();
            pattern.matches(variant)
        };
        assert_eq!(matches("-ce.#", "-ce.0"), Some(vec![0]));
        assert_eq!(matches("-ce.#", "-ce.12"), Some(vec![12]));
        for other in ["", "-ce", "-ce.", "-ee.0", "-ce.x", "-ce.+1", "-ce.0-fpm"] {
            assert_eq!(matches("-ce.#", other), None, "{other}");
        }
        assert_eq!(matches("", ""), Some(vec![]));
        assert_eq!(matches("", "-fpm"), None);
        assert_eq!(matches("-#", "-20260817"), Some(vec![20_260_817]));
        assert_eq!(matches("-#", "-99999999999999999999999"), None);
        assert_eq!(matches("-debian-#-r#", "-debian-12-r4"), Some(vec![12, 4]));
        assert_eq!(
            matches(
                "-vectorchord#.#.#-pgvectors#.#.#",
                "-vectorchord0.4.3-pgvectors0.2.0"
            ),
            Some(vec![0, 4, 3, 0, 2, 0])
        );
    }

    #[test]
    fn a_prerelease_word_in_a_variant_pattern_belongs_to_the_variant() {
        let read = |pattern: &str, tag: &str| {
            let pattern: VariantPattern = pattern.parse().unwrap();
            let (version, _) = pattern.read(&tag.parse().unwrap(), &HexBuilds::default())?;
            Some(version.is_prerelease())
        };
        assert_eq!(read("-dev", "1.2.3-dev"), Some(false));
        assert_eq!(read("-ea-slim", "25-ea-slim"), Some(false));
        assert_eq!(read("-dev", "1.2.3-rc1-dev"), Some(true));
        assert_eq!(read("", "1.2.3-dev"), Some(true));
        assert_eq!(read("-dev", "1.2.3-dev1"), None);
    }

    #[test]
    fn refuses_malformed_variants() {
        for input in [
            "fpm",
            "-a##",
            "-a#1",
            "-1#",
            "-rc1",
            "-b#",
            "-4e8b05daf",
            "-a b",
            "-é",
        ] {
            let error = input.parse::<VariantPattern>().unwrap_err().to_string();
            assert!(error.starts_with("invalid variant '"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_pattern_prints_what_it_parsed(text in "(-[a-z]{1,6}(\\.?#)?)?") {
            if let Ok(pattern) = text.parse::<VariantPattern>() {
                prop_assert_eq!(pattern.to_string(), text);
            }
        }
    }
}
