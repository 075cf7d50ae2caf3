//! Merges the parts that several runs of a refresh have written into one table.

use std::sync::Arc;

use crate::reference::{ImageName, Tag, Version};
use crate::table::{Pin, Table};
use crate::text::Quoted;

/// Two parts that pin a tag differently.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{image}:{tag} is pinned to {pinned} in {} and to {other_pinned} in {}; leave one of the two out, or refresh again",
    Quoted(part),
    Quoted(other_part)
)]
pub struct MergeError {
    /// The image.
    pub image: ImageName,
    /// The tag.
    pub tag: Tag,
    pinned: String,
    part: String,
    other_pinned: String,
    other_part: String,
}

/// A table that is merged from parts.
#[derive(Debug, Default)]
pub struct Merge {
    table: Table,
    /// The parts so far, by name.
    parts: Vec<(String, Table)>,
}

impl Merge {
    /// Adds a part, which errors call `name`.
    ///
    /// # Errors
    /// If an earlier part pins a tag differently.
    pub fn add(&mut self, name: &str, part: Table) -> Result<(), Box<MergeError>> {
        for (image, pins) in &part.images {
            let merged = self.table.images.entry(image.clone()).or_default();
            for (tag, pin) in pins {
                let Some(before) = merged.get_mut(tag) else {
                    merged.insert(tag.clone(), pin.clone());
                    continue;
                };
                if let Some((pinned, other_pinned)) = differing(before, pin) {
                    let of_part = |(_, table): &&(String, Table)| {
                        let other = table.images.get(image).and_then(|pins| pins.get(tag));
                        other.is_some_and(|other| differing(other, pin).is_some())
                    };
                    let first = self.parts.iter().find(of_part);
                    return Err(Box::new(MergeError {
                        image: image.clone(),
                        tag: tag.clone(),
                        pinned,
                        part: first.map_or("", |(name, _)| name).to_owned(),
                        other_pinned,
                        other_part: name.to_owned(),
                    }));
                }
                // One part may have platforms or a version that the other lacks.
                let before = Arc::make_mut(before);
                before.platforms.extend(pin.platforms.clone());
                if before.version.is_none() {
                    before.version.clone_from(&pin.version);
                }
            }
        }
        self.parts.push((name.to_owned(), part));
        Ok(())
    }

    /// The table.
    pub fn finish(self) -> Table {
        self.table
    }
}

/// The first difference of two pins: the tag's digest, the digest of a platform that both
/// have, or the version that both record.
fn differing(a: &Pin, b: &Pin) -> Option<(String, String)> {
    let platforms = a.platforms.iter();
    let platforms =
        platforms.filter_map(|(platform, digest)| Some((digest, b.platforms.get(platform)?)));
    let digests = std::iter::once((&a.digest, &b.digest)).chain(platforms);
    let digests = digests.map(|(a, b)| (a.to_string(), b.to_string()));
    let words = |version: &Version| format!("version '{}'", version.recorded());
    let versions = a.version.as_ref().zip(b.version.as_ref());
    let versions = versions.map(|(a, b)| (words(a), words(b)));
    digests.chain(versions).find(|(a, b)| a != b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{Algorithm, Digest};
    use crate::table::Platforms;

    fn table(pins: &[(&str, &str, &str)]) -> Table {
        let mut table = Table::default();
        for (image, tag, content) in pins {
            let pins = table.images.entry(image.parse().unwrap()).or_default();
            let pin = Pin {
                digest: Digest::of(Algorithm::Sha256, content.as_bytes()),
                version: None,
                platforms: Platforms::new(),
            };
            pins.insert(tag.parse().unwrap(), pin.into());
        }
        table
    }

    #[test]
    fn parts_in_any_order_make_one_table() {
        let whole = table(&[
            ("a.io/a", "1", "x"),
            ("a.io/a", "2", "y"),
            ("b.io/b", "1", "z"),
        ]);
        let a = table(&[("a.io/a", "1", "x"), ("a.io/a", "2", "y")]);
        let b = table(&[("b.io/b", "1", "z"), ("a.io/a", "1", "x")]);
        for parts in [[a.clone(), b.clone()], [b, a]] {
            let mut merge = Merge::default();
            for part in parts {
                merge.add("part", part).unwrap();
            }
            assert_eq!(merge.finish(), whole);
        }
    }

    #[test]
    fn parts_add_platforms_to_the_pins_of_each_other() {
        let plain = table(&[("a.io/a", "1", "x")]);
        let mut verified = plain.clone();
        let pin = verified
            .images
            .values_mut()
            .flat_map(|pins| pins.values_mut())
            .next()
            .unwrap();
        let platform = Digest::of(Algorithm::Sha256, b"platform");
        Arc::make_mut(pin)
            .platforms
            .insert("linux/amd64".parse().unwrap(), platform);
        for parts in [[plain.clone(), verified.clone()], [verified.clone(), plain]] {
            let mut merge = Merge::default();
            for part in parts {
                merge.add("part", part).unwrap();
            }
            assert_eq!(merge.finish(), verified);
        }
    }

    #[test]
    fn a_conflict_names_the_tag_and_both_parts() {
        let mut merge = Merge::default();
        merge.add("first", table(&[("b.io/b", "1", "z")])).unwrap();
        merge.add("second", table(&[("a.io/a", "1", "x")])).unwrap();
        let error = merge
            .add("third", table(&[("a.io/a", "1", "y")]))
            .unwrap_err();
        let error = error.to_string();
        for part in [
            "a.io/a:1 is pinned to sha256:",
            "in 'second' and to sha256:",
            "in 'third'",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn recorded_versions_are_joined_and_have_to_agree() {
        let with = |version: Option<&str>| {
            let mut table = table(&[("a.io/a", "1", "x")]);
            let pins = table.images.values_mut().flat_map(|pins| pins.values_mut());
            for pin in pins {
                let version = version.and_then(|text| Version::from_pin(text, "-jdk"));
                Arc::make_mut(pin).version = version.map(Box::new);
            }
            table
        };
        for parts in [[None, Some("1.2+3")], [Some("1.2+3"), None]] {
            let mut merge = Merge::default();
            for part in parts {
                merge.add("part", with(part)).unwrap();
            }
            assert_eq!(merge.finish(), with(Some("1.2+3")));
        }
        let mut merge = Merge::default();
        merge.add("first", with(Some("1.2+3"))).unwrap();
        let error = merge.add("second", with(Some("1.2+4"))).unwrap_err();
        let part = "is pinned to version '1.2+3-jdk' in 'first' and to version '1.2+4-jdk' in";
        assert!(error.to_string().contains(part), "{error}");
    }
}
