//! Tags, as the OCI distribution spec allows them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::version::Version;
use crate::text::{Quoted, deserialize_as_text};

/// A tag: a letter, digit or underscore, then up to 127 more of these, dots and
/// hyphens (OCI distribution spec, "Pulling manifests"). Tags compare by their bytes;
/// [`by_version`] sorts them for people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Arc<str>);

/// Why a text is not a [`Tag`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid tag {}: a tag is 1 to 128 letters, digits, '_', '.' and '-', and starts with neither '.' nor '-'",
    Quoted(.0)
)]
pub struct TagError(String);

impl Tag {
    /// The tag `latest`, which a reference without a tag means.
    pub fn latest() -> Self {
        Self("latest".into())
    }

    /// The tag, as the registry knows it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The version this tag names; `None` for a word such as `stable`.
    pub fn version(&self) -> Option<Version> {
        Version::parse(&self.0)
    }
}

/// A sort key: version tags from the oldest to the newest, then the others by
/// their bytes.
pub fn by_version(tag: &Tag) -> (bool, Option<Version>, Tag) {
    let version = tag.version();
    (version.is_none(), version, tag.clone())
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(input: &str) -> Result<Self, TagError> {
        let valid = (1..=128).contains(&input.len())
            && !input.starts_with(['.', '-'])
            && input
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        if valid {
            Ok(Self(input.into()))
        } else {
            Err(TagError(input.to_owned()))
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

deserialize_as_text!(Tag, "a tag such as \"1.2.3\"");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_malformed_tags() {
        for input in [
            "",
            ".1",
            "-1",
            "a b",
            "a/b",
            "a:b",
            "a@b",
            "é",
            "1\n",
            "\u{1b}[31m",
            "..",
            &"x".repeat(129),
        ] {
            let error = input.parse::<Tag>().unwrap_err().to_string();
            assert!(error.starts_with("invalid tag '"), "{error}");
            assert!(!error.contains('\u{1b}'));
        }
        assert!("x".repeat(128).parse::<Tag>().is_ok());
    }

    #[test]
    fn sorts_as_people_read() {
        let mut tags: Vec<Tag> = [
            "stable",
            "34.0.10",
            "9",
            "34",
            "34.0.9",
            "latest",
            "34.0",
            "34.0.0-rc2",
            "34.0.0",
            "34.0.0-rc10",
            "34-fpm",
            "v34",
            "34.0.0-beta1",
            "33.0.20",
        ]
        .iter()
        .map(|tag| tag.parse().unwrap())
        .collect();
        tags.sort_by_cached_key(by_version);
        let sorted: Vec<&str> = tags.iter().map(Tag::as_str).collect();
        assert_eq!(
            sorted,
            [
                "9",
                "33.0.20",
                "34",
                "v34",
                "34-fpm",
                "34.0",
                "34.0.0-beta1",
                "34.0.0-rc2",
                "34.0.0-rc10",
                "34.0.0",
                "34.0.9",
                "34.0.10",
                "latest",
                "stable",
            ]
        );
    }

    proptest! {
        #[test]
        fn parse_of_print_is_the_identity(text in "[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}") {
            let tag: Tag = text.parse().unwrap();
            prop_assert_eq!(tag.to_string(), text);
            prop_assert_eq!(tag.to_string().parse::<Tag>(), Ok(tag));
        }

        #[test]
        fn version_order_is_total(texts in prop::collection::vec("v?[0-9]{1,3}(\\.[0-9]{1,2}){0,3}(-?(rc|b|fpm|ls)[0-9]{0,2})?", 0..20)) {
            let mut tags: Vec<Tag> = texts.iter().map(|text| text.parse().unwrap()).collect();
            tags.sort_by_cached_key(by_version);
            let sorted = tags.clone();
            tags.reverse();
            tags.sort_by_cached_key(by_version);
            prop_assert_eq!(tags, sorted);
        }
    }
}
