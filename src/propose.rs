//! A first entry for an image, from the tags it has: what most people would
//! write themselves.

use std::collections::{BTreeMap, BTreeSet};

use crate::images::{Strategy, TrackedImage};
use crate::name::ImageName;
use crate::platform::Platform;
use crate::tag::{Tag, by_version};
use crate::variant::VariantPattern;
use crate::version::{Precision, Version};

/// Words by which projects point to a release, those that promise most first.
const USUAL_TAGS: [&str; 6] = ["latest", "stable", "release", "main", "master", "edge"];

/// What there is of an image to choose from.
#[derive(Debug)]
pub struct Proposal {
    strategies: BTreeMap<Precision, Strategy>,
    variant: VariantPattern,
    tags: BTreeSet<Tag>,
    sample: Tag,
}

impl Proposal {
    /// Looks at the tags that a registry lists; `None` where there is neither a
    /// version nor a usual word.
    pub fn from_tags(listed: &BTreeSet<Tag>) -> Option<Self> {
        let mut variants: BTreeMap<VariantPattern, Vec<(&Tag, Version)>> = BTreeMap::new();
        for tag in listed {
            let Some(version) = tag.version() else {
                continue;
            };
            if !version.is_prerelease() && !version.may_be_commit_or_date() {
                let pattern = VariantPattern::of_rebuild(version.variant());
                variants.entry(pattern).or_default().push((tag, version));
            }
        }
        // The plain tag, if there is one; else what most tags have.
        let plain = variants.remove_entry(&VariantPattern::plain());
        let chosen = plain.or_else(|| variants.into_iter().max_by_key(|(_, tags)| tags.len()));
        let (variant, versions) = chosen.map_or_else(Default::default, specific);
        let usual = USUAL_TAGS
            .iter()
            .filter_map(|word| listed.get(&word.parse::<Tag>().ok()?));
        let newest = versions.iter().max_by_key(|(tag, version)| {
            (
                version.numbers().to_vec(),
                version.precision(),
                by_version(tag),
            )
        });
        // A precision that ended with an older release is no way to follow it.
        let current = newest.map(|(_, version)| version.numbers()[0]);
        let precisions = versions.iter().filter_map(|(_, version)| {
            (Some(version.numbers()[0]) == current).then_some(version.precision())
        });
        let strategies = precisions
            .map(|precision| (precision, Strategy::Newest))
            .collect();
        let sample = newest
            .map(|(tag, _)| *tag)
            .or_else(|| usual.clone().next())?;
        Some(Self {
            strategies,
            variant,
            tags: usual.take(1).cloned().collect(),
            sample: sample.clone(),
        })
    }

    /// The tag that tells which platforms the image is for.
    pub fn sample(&self) -> &Tag {
        &self.sample
    }

    /// The entry, for `platforms`.
    pub fn entry(self, image: ImageName, platforms: BTreeSet<Platform>) -> TrackedImage {
        TrackedImage {
            platforms,
            strategies: self.strategies,
            variants: [self.variant].into(),
            tags: self.tags,
            ..TrackedImage::new(image)
        }
    }
}

/// A pattern and its versions. A number that comes again from one release to
/// the next beside others (`-jdk17`, `-jdk21`) is no rebuild's, and then the
/// variant that most have counts.
fn specific(
    (pattern, versions): (VariantPattern, Vec<(&Tag, Version)>),
) -> (VariantPattern, Vec<(&Tag, Version)>) {
    let numbers = versions.iter().map(|(_, version)| version.numbers());
    let releases = numbers.collect::<BTreeSet<&[u64]>>().len();
    let mut variants: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, version) in &versions {
        *variants.entry(version.variant()).or_default() += 1;
    }
    let most = variants.iter().max_by_key(|(_, count)| **count);
    let Some((variant, count)) = most.map(|(variant, count)| ((*variant).to_owned(), *count))
    else {
        return (pattern, versions);
    };
    let is_several = versions.len() * 2 >= releases * 3;
    match variant.parse() {
        Ok(literal) if is_several && count > 1 => {
            let of_variant = |(_, version): &(&Tag, Version)| version.variant() == variant;
            (literal, versions.into_iter().filter(of_variant).collect())
        }
        _ => (pattern, versions),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::edit::Editor;

    fn proposed(names: &[&str]) -> Option<String> {
        let tags = names.iter().map(|name| name.parse().unwrap()).collect();
        let platforms = ["linux/amd64".parse().unwrap()].into();
        let proposal = Proposal::from_tags(&tags)?;
        let sample = proposal.sample().to_string();
        let image: ImageName = "docker.io/a".parse().unwrap();
        let mut editor = Editor::new(b"[]", "images.json").unwrap();
        editor.add(&proposal.entry(image.clone(), platforms));
        let entry = editor.entry(&image).unwrap();
        let entry = entry.split_whitespace().collect::<Vec<_>>().join(" ");
        let fields =
            entry.strip_prefix(r#"{ "image": "docker.io/a", "platforms": ["linux/amd64"]"#);
        Some(format!("{sample}{}", fields.unwrap()))
    }

    #[test]
    fn what_most_people_would_write() {
        for (tags, expected) in [
            (
                &["1", "1.2", "1.2.3", "latest", "edge"][..],
                r#"1.2.3, "tags": ["latest"] }"#,
            ),
            (
                &["18", "18.6", "18.6-alpine", "19beta1", "latest"],
                r#"18.6, "strategies": { "major": true, "major-minor": true }, "tags": ["latest"] }"#,
            ),
            (
                &[
                    "v3.2.4",
                    "v3",
                    "v2",
                    "v2.7.5",
                    "release",
                    "main",
                    "commit-abc",
                ],
                r#"v3.2.4, "strategies": { "major": true, "major-minor-patch": true }, "tags": ["release"] }"#,
            ),
            (
                &["18.6.1-ce.0", "18.6.1-rc42.ce.0", "9.1.0-ce.10", "latest"],
                r#"18.6.1-ce.0, "strategies": { "major-minor-patch": true }, "variants": ["-ce.#"], "tags": ["latest"] }"#,
            ),
            (
                &["main", "pr-12", "20260901"],
                r#"main, "strategies": {}, "tags": ["main"] }"#,
            ),
            (
                &["stable"],
                r#"stable, "strategies": {}, "tags": ["stable"] }"#,
            ),
        ] {
            assert_eq!(proposed(tags).as_deref(), Some(expected));
        }
        assert_eq!(proposed(&["abc", "pr-1"]), None);
        assert_eq!(proposed(&[]), None);
    }
}
