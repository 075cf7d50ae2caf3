//! Selects the tag of an image that a version requirement means.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::error::{VariantList, VariantPhrase};
use crate::reference::{HexBuilds, Requirement, Tag, VariantPattern, Version};
use crate::table::Pins;

/// The newest version that satisfies a requirement, in one variant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Newest {
    /// The requirement.
    pub requirement: Requirement,
    /// The variant.
    pub variant: VariantPattern,
    /// The requirement as a tag, if it is a valid one too: `34.x`.
    pub(super) literal: Option<Tag>,
}

/// Why there is no version to choose.
pub(crate) enum NoVersion<'a> {
    /// None is of the variant; these are the variants there are.
    OfVariant(VariantList),
    /// None of these satisfies the requirement.
    Satisfying(Vec<&'a Tag>),
}

/// The tags of an image that a requirement chooses among.
pub(crate) struct Choices<'a> {
    tags: Vec<(&'a Tag, Option<&'a Version>)>,
    builds: HexBuilds,
}

impl<'a> Choices<'a> {
    /// The pinned tags. If any pin records a version, the pins without one do not count.
    pub(crate) fn pinned(pins: &'a Pins) -> Self {
        let has_recorded = pins.values().any(|pin| pin.version.is_some());
        let tags = pins.iter().map(|(tag, pin)| (tag, pin.version.as_deref()));
        Self {
            tags: tags
                .filter(|(_, version)| !has_recorded || version.is_some())
                .collect(),
            builds: HexBuilds::among(pins.keys().map(Tag::as_str)),
        }
    }

    /// The tags that a registry lists.
    #[cfg(feature = "refresh")]
    pub(crate) fn listed(tags: &'a BTreeSet<Tag>) -> Self {
        Self {
            builds: HexBuilds::among(tags.iter().map(Tag::as_str)),
            tags: tags.iter().map(|tag| (tag, None)).collect(),
        }
    }

    /// The versions of `variant`, and the number for each `#` of it.
    fn of_variant(
        &self,
        variant: &VariantPattern,
    ) -> impl Iterator<Item = (&'a Tag, Version, Vec<u64>)> {
        self.tags.iter().filter_map(move |(tag, recorded)| {
            let (version, numbers) = match recorded {
                Some(version) => ((*version).clone(), variant.matches(version.variant())?),
                None => variant.read(tag, &self.builds)?,
            };
            Some((*tag, version, numbers))
        })
    }

    /// The variants of all versions, with a `#` for the number of a rebuild.
    fn variants(&self) -> BTreeSet<VariantPattern> {
        let versions = self
            .tags
            .iter()
            .filter_map(|(tag, recorded)| match recorded {
                Some(version) => Some((*version).clone()),
                None => Version::parse_among(tag.as_str(), &self.builds, &[]),
            });
        versions
            .map(|version| VariantPattern::of_rebuild(version.variant()))
            .collect()
    }
}

impl Newest {
    /// The requirement as a tag, if it is a valid one: `34.x`.
    #[cfg(feature = "refresh")]
    pub(crate) fn literal(&self) -> Option<&Tag> {
        self.literal.as_ref()
    }

    /// The variant as an error names it.
    pub(crate) fn variant_phrase(&self) -> VariantPhrase {
        VariantPhrase(self.variant.clone())
    }

    /// The tag of the highest version that satisfies the requirement; among equals
    /// the most precise one, without a prefix and without a build.
    pub(crate) fn choose<'a>(&self, choices: &Choices<'a>) -> Option<&'a Tag> {
        choices
            .of_variant(&self.variant)
            .filter(|(_, version, _)| self.requirement.matches(version))
            .max_by_key(|(tag, version, numbers)| {
                (
                    version.padded_order(),
                    version.numbers().len(),
                    numbers.clone(),
                    version.build_order(),
                    Reverse(version.is_prefixed()),
                    Reverse(*tag),
                )
            })
            .map(|(tag, _, _)| tag)
    }

    /// Why [`Newest::choose`] finds nothing.
    pub(crate) fn miss<'a>(&self, choices: &Choices<'a>) -> NoVersion<'a> {
        let of_variant: Vec<&Tag> = choices
            .of_variant(&self.variant)
            .map(|(tag, _, _)| tag)
            .collect();
        if !of_variant.is_empty() {
            return NoVersion::Satisfying(of_variant);
        }
        let variants = choices.variants();
        if variants.is_empty() {
            return NoVersion::Satisfying(choices.tags.iter().map(|(tag, _)| *tag).collect());
        }
        NoVersion::OfVariant(VariantList(variants.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::lookup::Query;
    use crate::reference::Tag;
    use crate::reference::{Algorithm, Digest};
    use crate::table::{Pin, Table};

    fn numbers(tag: &str) -> Vec<u64> {
        tag.split('.')
            .map(|number| number.parse().unwrap())
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// An answer may point to itself, and to every pinned release that it is a shorter
        /// name of.
        #[test]
        fn no_release_that_an_answer_may_point_to_violates_the_requirement(
            tags in prop::collection::btree_set("(1|2|17)(\\.(0|4|5|11)){0,2}", 1..12),
            text in "(\\^|~|>=|<=|<|>|=)(1|2|17)(\\.(0|4|5|11)){0,2}( (<|>|<=)(1|2|17)(\\.(0|4|5)){0,2})?",
        ) {
            let mut table = Table::default();
            let pins = table.images.entry("r.example/a".parse().unwrap()).or_default();
            for tag in &tags {
                let pin = Pin::new(Digest::of(Algorithm::Sha256, tag.as_bytes()), [].into());
                pins.insert(tag.parse().unwrap(), pin.into());
            }
            let attributes = [("image", "r.example/a"), ("version", text.as_str())];
            let answer = Query::from_attributes(attributes).unwrap().answer(&table);
            let comparators = text.replace(' ', ", ");
            let requirement = semver::VersionReq::parse(&comparators).unwrap();
            let satisfies = |tag: &str| {
                let numbers = numbers(tag);
                let number = |i: usize| numbers.get(i).copied().unwrap_or(0);
                requirement.matches(&semver::Version::new(number(0), number(1), number(2)))
            };
            let exact = |tag: &&String| numbers(tag).len() == 3;
            if let Ok(answer) = answer {
                let answer = answer.tag.as_ref().map_or("", Tag::as_str);
                let begins = |tag: &&String| numbers(tag).starts_with(&numbers(answer));
                for tag in tags.iter().filter(begins) {
                    prop_assert!(satisfies(tag), "{answer} for {text}, of {tags:?}");
                }
            } else {
                let missed = tags.iter().filter(exact).find(|tag| satisfies(tag));
                prop_assert_eq!(missed, None, "for {}", text);
            }
        }
    }
}
