//! Globs of tags: `*-nightly`.

use std::fmt;
use std::str::FromStr;

use wildmatch::WildMatch;

use crate::reference::Tag;
use crate::text::{Quoted, deserialize_as_text};

/// A glob that matches whole tags: `*` matches any characters, `?` exactly one.
#[derive(Debug, Clone, PartialEq)]
pub struct TagGlob(WildMatch);

impl Eq for TagGlob {}

/// Why a text is not a [`TagGlob`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid glob {}: it has letters, digits, '_', '.' and '-' as a tag has, '*' for any of them and '?' for one",
    Quoted(.0)
)]
pub struct GlobError(String);

impl TagGlob {
    /// Whether the glob matches the whole `tag`.
    pub fn matches(&self, tag: &Tag) -> bool {
        self.0.matches(tag.as_str())
    }
}

impl FromStr for TagGlob {
    type Err = GlobError;

    fn from_str(input: &str) -> Result<Self, GlobError> {
        if input.replace(['*', '?'], "a").parse::<Tag>().is_err() {
            return Err(GlobError(input.to_owned()));
        }
        Ok(Self(WildMatch::new(input)))
    }
}

impl fmt::Display for TagGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

deserialize_as_text!(TagGlob, "a tag, or a glob such as \"*-nightly\"");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_matches_whole_tags() {
        let matches = |glob: &str, tag: &str| {
            let glob: TagGlob = glob.parse().unwrap();

            glob.matches(&tag.parse().unwrap())
        };
        assert!(matches("20.04.1", "20.04.1"));
        assert!(!matches("20.04.1", "20x04.1"));
        assert!(!matches("20.04.1", "20.04.10"));
        assert!(matches("*-nightly", "1.2-nightly"));
        assert!(!matches("*-nightly", "1.2-nightly-fpm"));
        assert!(matches("20??.*", "2024.1"));
        for input in ["", "a b", "a/*", "[ab]", "-*"] {
            let error = input.parse::<TagGlob>().unwrap_err().to_string();
            assert!(error.starts_with("invalid glob '"), "{error}");
        }
    }
}
