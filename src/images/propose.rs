//! Proposes an entry for a new image. It follows the versions that `latest`, or
//! another usual tag such as `stable`, has the same digest as.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::images::{Strategy, TrackedImage};
use crate::reference::{
    HexBuilds, ImageName, Pattern, Platform, Precision, Requirement, Tag, VariantPattern, Version,
};

/// Tags that usually point to the current release, the most reliable first.
const CURRENT_TAGS: [&str; 6] = ["latest", "stable", "release", "main", "master", "edge"];
/// The `keep` of a proposal with a requirement, which would select every release.
const KEEP: usize = 3;
/// Fewest numbers in a tag from which a pattern is derived.
const MIN_NUMBERS: usize = 2;

/// The tags of an image, read as versions.
pub struct Listing<'a> {
    tags: &'a BTreeSet<Tag>,
    versions: Vec<Candidate<'a>>,
}

/// A tag that may name a release.
#[derive(Clone)]
struct Candidate<'a> {
    tag: &'a Tag,
    version: Version,
    form: Form,
}

/// The syntax of the tags of one release line.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    /// A version with the suffix of a variant.
    Variant(VariantPattern),
    /// A tag that only this pattern reads.
    Pattern(String),
}

/// An entry for `images.json`, without its platforms.
#[derive(Debug)]
pub struct Proposal {
    strategies: BTreeMap<Precision, Strategy>,
    variant: VariantPattern,
    patterns: Vec<Pattern>,
    keep: Option<usize>,
    tags: BTreeSet<Tag>,
    sample: Tag,
}

impl<'a> Listing<'a> {
    /// Reads versions from the tags that a registry lists.
    pub fn new(tags: &'a BTreeSet<Tag>) -> Self {
        let builds = HexBuilds::among(tags.iter().map(Tag::as_str));
        let versions = tags.iter().filter_map(|tag| Candidate::read(tag, &builds));
        Self {
            versions: versions.collect(),
            tags,
        }
    }

    /// The tag that points to the current release: the first of [`CURRENT_TAGS`] that
    /// the image has.
    pub fn current_tag(&self) -> Option<&'a Tag> {
        let words = CURRENT_TAGS.iter();
        words
            .filter_map(|word| word.parse::<Tag>().ok())
            .find_map(|word| self.tags.get(&word))
    }

    /// Version tags that may have the digest of [`current_tag`](Self::current_tag), the likeliest
    /// first: the newest tag of each form, precision and major number, then the
    /// second newest of each, and so on.
    pub fn probes(&self) -> Vec<&'a Tag> {
        let mut lines: BTreeMap<_, Vec<&Candidate<'a>>> = BTreeMap::new();
        for candidate in &self.versions {
            let version = &candidate.version;
            let precision = version.precision();
            // Tags with one number share a line: by major, each would be alone in
            // its line.
            let major = (precision > Precision::Major).then(|| version.numbers()[0]);
            let line = (candidate.form.clone(), precision, major);
            lines.entry(line).or_default().push(candidate);
        }
        let mut probes = Vec::new();
        for ((form, precision, _), mut candidates) in lines {
            let is_plain = form == Form::Variant(VariantPattern::plain());
            candidates.sort_by_cached_key(|candidate| Reverse(candidate.order()));
            for (rank, candidate) in candidates.into_iter().enumerate() {
                let likelihood = (rank, !is_plain, Reverse(precision));
                probes.push((likelihood, Reverse(candidate.order()), candidate.tag));
            }
        }
        probes.sort();
        probes.into_iter().map(|(_, _, tag)| tag).collect()
    }

    /// Other tags that may name the same release as `tag`: less and more precise
    /// versions of the same form.
    pub fn relatives(&self, tag: &Tag) -> Vec<&'a Tag> {
        let Some(known) = self.versions.iter().find(|candidate| candidate.tag == tag) else {
            return Vec::new();
        };
        let numbers = known.version.numbers();
        let mut relatives: Vec<&Candidate<'_>> = self
            .versions
            .iter()
            .filter(|other| {
                let others = other.version.numbers();
                let is_related = numbers.starts_with(others) || others.starts_with(numbers);
                is_related && other.form == known.form && other.tag != tag
            })
            .collect();
        relatives.sort_by_cached_key(|other| Reverse(other.order()));
        relatives.into_iter().map(|other| other.tag).collect()
    }

    /// Proposes to follow the most precise version in `same`, the tags with the
    /// digest of `word`, at every precision that `same` has of it. `None` if `same`
    /// has no version.
    pub fn follow(&self, word: &Tag, same: &BTreeSet<&Tag>) -> Option<Proposal> {
        let of_same = |candidate: &&Candidate<'a>| same.contains(candidate.tag);
        let current = self
            .versions
            .iter()
            .filter(of_same)
            .max_by_key(|candidate| {
                let is_pattern = matches!(candidate.form, Form::Pattern(_));
                let is_plain = candidate.form == Form::Variant(VariantPattern::plain());
                let length = Reverse(candidate.tag.as_str().len());
                (
                    candidate.version.numbers().len(),
                    is_plain,
                    !is_pattern,
                    length,
                )
            })?;
        let precisions = self
            .versions
            .iter()
            .filter(of_same)
            .filter(|other| {
                let numbers = current.version.numbers();
                other.form == current.form && numbers.starts_with(other.version.numbers())
            })
            .map(|other| other.version.precision());
        Some(self.propose(current, precisions.collect(), Some(word)))
    }

    /// Proposes an entry from the tag names alone: the newest plain versions, or
    /// without any those of the most frequent form. `None` if the image has neither
    /// a version nor one of [`CURRENT_TAGS`].
    pub fn newest(&self) -> Option<Proposal> {
        let word = self.current_tag();
        let mut forms: BTreeMap<&Form, Vec<&Candidate<'a>>> = BTreeMap::new();
        for candidate in &self.versions {
            forms.entry(&candidate.form).or_default().push(candidate);
        }
        let plain = forms.remove(&Form::Variant(VariantPattern::plain()));
        let most = || forms.into_values().max_by_key(Vec::len);
        let Some(candidates) = plain.or_else(most) else {
            return Some(Proposal {
                strategies: BTreeMap::new(),
                variant: VariantPattern::plain(),
                patterns: Vec::new(),
                keep: None,
                tags: word.into_iter().cloned().collect(),
                sample: word?.clone(),
            });
        };
        let current = candidates
            .iter()
            .max_by_key(|candidate| (candidate.order(), candidate.version.precision()))?;
        let major = current.version.numbers()[0];
        // Skip precisions that only older major versions have: no new tag will
        // come.
        let precisions = candidates
            .iter()
            .filter(|other| other.version.numbers()[0] == major)
            .map(|other| other.version.precision());
        Some(self.propose(current, precisions.collect(), word))
    }

    fn propose(
        &self,
        current: &Candidate<'_>,
        precisions: BTreeSet<Precision>,
        word: Option<&Tag>,
    ) -> Proposal {
        let major = current.version.numbers()[0];
        let of_form = |candidate: &&Candidate<'_>| candidate.form == current.form;
        let versions = self.versions.iter().filter(of_form);
        // Exclude higher major versions: they are abandoned schemes or not released
        // yet, since the word does not point to them.
        let higher = versions
            .filter(|other| precisions.contains(&other.version.precision()))
            .map(|other| other.version.numbers()[0])
            .filter(|number| *number > major)
            .min();
        let bound = higher.and_then(|higher| format!("<{higher}").parse::<Requirement>().ok());
        let strategy = match &bound {
            Some(bound) => Strategy::Matching(vec![bound.clone()]),
            None => Strategy::Newest,
        };
        let (variant, patterns) = match &current.form {
            Form::Variant(variant) => (variant.clone(), Vec::new()),
            Form::Pattern(pattern) => {
                let patterns = self.with_revision(pattern);
                let variant = patterns.first().map_or("", Pattern::variant);
                (VariantPattern::literal(variant), patterns)
            }
        };
        Proposal {
            strategies: precisions
                .into_iter()
                .map(|precision| (precision, strategy.clone()))
                .collect(),
            variant,
            patterns,
            keep: bound.map(|_| KEEP),
            tags: word.into_iter().cloned().collect(),
            sample: current.tag.clone(),
        }
    }

    /// The pattern, and its form with or without `{revision}` if a tag matches
    /// that.
    fn with_revision(&self, pattern: &str) -> Vec<Pattern> {
        let other = if pattern.contains("{revision}") {
            pattern.replacen(".{revision}", "", 1)
        } else {
            pattern.replacen("{patch}", "{patch}.{revision}", 1)
        };
        let is_used = |other: &Pattern| self.tags.iter().any(|tag| other.read(tag).is_some());
        let other = Some(other).filter(|other| other != pattern);
        let other = other.and_then(|other| other.parse().ok()).filter(is_used);
        let mut patterns: Vec<Pattern> = pattern.parse().into_iter().chain(other).collect();
        patterns.sort_by_key(|pattern| pattern.to_string().len());
        patterns
    }
}

impl<'a> Candidate<'a> {
    fn read(tag: &'a Tag, builds: &HexBuilds) -> Option<Self> {
        let of_pattern = |pattern: &str| {
            let version = pattern.parse::<Pattern>().ok()?.read(tag)?;
            let form = Form::Pattern(pattern.to_owned());
            Some(Self { tag, version, form })
        };
        if is_date(tag.as_str()) {
            return of_pattern("{major}-{minor}-{patch}");
        }
        match Version::parse_among(tag.as_str(), builds, &[]) {
            Some(version) if version.is_prerelease() || version.may_be_commit_or_date() => None,
            Some(version) => {
                let form = Form::Variant(VariantPattern::of_rebuild(version.variant()));
                Some(Self { tag, version, form })
            }
            None => of_pattern(&template(tag.as_str())?),
        }
    }

    fn order(&self) -> (Vec<u64>, impl Ord + use<>) {
        let version = &self.version;
        (version.numbers().to_vec(), version.build_order())
    }
}

/// Whether a tag is an ISO 8601 date, `2024-11-01`.
fn is_date(tag: &str) -> bool {
    let parts: Vec<&str> = tag.split('-').collect();
    let lengths = parts.iter().map(|part| part.len());
    lengths.eq([4, 2, 2])
        && parts
            .iter()
            .all(|part| part.bytes().all(|b| b.is_ascii_digit()))
}

/// A pattern derived from a tag: `17.0.8_7-jdk` gives
/// `{major}.{minor}.{patch}_{build}-jdk`. `None` for a tag with fewer than
/// [`MIN_NUMBERS`] numbers or with digits inside a word after the first number.
fn template(tag: &str) -> Option<String> {
    let mut pattern = String::new();
    let mut rest = tag;
    let mut numbers = 0;
    while !rest.is_empty() {
        let literal = rest.bytes().take_while(|b| !b.is_ascii_digit()).count();
        let (before, after) = rest.split_at(literal);
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let is_suffix = before
            .strip_prefix('-')
            .is_some_and(|word| word.starts_with(|c: char| c.is_ascii_alphabetic()));
        if numbers > 0 && (is_suffix || digits == 0) {
            pattern.push_str(rest);
            break;
        }
        // Digits after a letter belong to the word (`i2p`), except after the `T` of
        // a time (`T16-13`).
        let is_within = before.ends_with(|c: char| c.is_ascii_alphabetic()) && before != "T";
        if is_within {
            if numbers > 0 {
                return None;
            }
            pattern.push_str(&rest[..literal + digits]);
        } else {
            pattern.push_str(before);
            pattern.push_str(match numbers {
                0 => "{major}",
                1 => "{minor}",
                2 => "{patch}",
                3 if before == "." => "{revision}",
                _ => "{build}",
            });
            numbers += 1;
        }
        rest = &after[digits..];
    }
    (numbers >= MIN_NUMBERS).then_some(pattern)
}

impl Proposal {
    /// A tag whose index gives the platforms of the image.
    pub fn sample(&self) -> &Tag {
        &self.sample
    }

    /// The entry for `image` with `platforms`.
    pub fn entry(self, image: ImageName, platforms: BTreeSet<Platform>) -> TrackedImage {
        TrackedImage {
            platforms,
            strategies: self.strategies,
            variants: [self.variant].into(),
            patterns: self.patterns,
            keep: self.keep,
            tags: self.tags,
            ..TrackedImage::new(image)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::edit::Editor;

    fn tags(names: &[&str]) -> BTreeSet<Tag> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    /// The sample, and the entry's fields beyond image and platforms.
    fn written(proposal: Proposal) -> String {
        let sample = proposal.sample().to_string();
        let image: ImageName = "docker.io/a".parse().unwrap();
        let mut editor = Editor::new(b"[]", "images.json").unwrap();
        let platforms = ["linux/amd64".parse().unwrap()].into();
        editor.add(&proposal.entry(image.clone(), platforms));
        let entry = editor.entry(&image).unwrap();
        let entry = entry.split_whitespace().collect::<Vec<_>>().join(" ");
        let fields =
            entry.strip_prefix(r#"{ "image": "docker.io/a", "platforms": ["linux/amd64"]"#);
        format!("{sample}{}", fields.unwrap())
    }

    fn proposed(names: &[&str]) -> Option<String> {
        let tags = tags(names);
        Listing::new(&tags).newest().map(written)
    }

    /// The proposal for an image with the tags `same`, `others` and `latest`, if
    /// `latest` has the digest of `same`.
    fn followed(same: &[&str], others: &[&str]) -> Option<String> {
        let tags: BTreeSet<Tag> = tags(&[same, others, &["latest"]].concat());
        let same: BTreeSet<&Tag> = tags
            .iter()
            .filter(|tag| same.contains(&tag.as_str()))
            .collect();
        let listing = Listing::new(&tags);
        listing.follow(listing.current_tag()?, &same).map(written)
    }

    #[test]
    fn proposes_what_most_people_would_write() {
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
                &["draw-1.2", "draw-1.3"],
                r#"draw-1.3, "strategies": { "major-minor": true }, "pattern": "draw-{major}.{minor}" }"#,
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

    #[test]
    fn follows_the_version_that_latest_points_to() {
        for (same, others, expected) in [
            (
                &["5.2.3", "5.2.3-r0-ls461"][..],
                &["5.2.2", "14.3.9", "20.04.1", "113", "4.6.0"][..],
                r#"5.2.3, "strategies": { "major-minor-patch": "<14" }, "keep": 3, "tags": ["latest"] }"#,
            ),
            (
                &["34", "34.0", "34.0.4", "34.0.4-apache"],
                &["33.0.9", "35.0.0-rc1", "34-fpm"],
                r#"34.0.4, "tags": ["latest"] }"#,
            ),
            // `latest` does not point to the newest release of its line yet.
            (
                &["3.7.10"],
                &["3.7.11", "3.7", "2.11.0"],
                r#"3.7.10, "strategies": { "major-minor-patch": true }, "tags": ["latest"] }"#,
            ),
            (
                &["26.8.0.126808-community", "community"],
                &["2026.4.1-enterprise", "9.9-community", "9.9.8-enterprise"],
                r#"26.8.0.126808-community, "strategies": { "major-minor-patch": true }, "variants": ["-community"], "tags": ["latest"] }"#,
            ),
            (
                &["7.1.3-0014"],
                &["7.1.3-0009", "6.5.0-94", "6.2"],
                r#"7.1.3-0014, "strategies": { "major-minor-patch": true }, "variants": ["-#"], "tags": ["latest"] }"#,
            ),
            (
                &["RELEASE.2025-09-07T16-13-09Z"],
                &[
                    "RELEASE.2025-09-06T17-38-46Z",
                    "RELEASE.2025-09-07T16-13-09Z-cpuv1",
                ],
                r#"RELEASE.2025-09-07T16-13-09Z, "strategies": { "major-minor-patch": true }, "pattern": "RELEASE.{major}-{minor}-{patch}T{build}-{build}-{build}Z", "tags": ["latest"] }"#,
            ),
            (
                &["25", "25-jdk", "25.0.3_9-jdk", "25.0.3_9-jdk-noble"],
                &["17.0.8.1_1-jdk", "21.0.8_9-jdk", "25.0.3_9-jre"],
                r#"25.0.3_9-jdk, "strategies": { "major-minor-patch": true }, "pattern": ["{major}.{minor}.{patch}_{build}-jdk", "{major}.{minor}.{patch}.{revision}_{build}-jdk"], "tags": ["latest"] }"#,
            ),
            (
                &["2026-09-02", "ubuntu"],
                &["2024-11-01", "4.1.0", "2026-09-02-ubuntu"],
                r#"2026-09-02, "strategies": { "major-minor-patch": true }, "pattern": "{major}-{minor}-{patch}", "tags": ["latest"] }"#,
            ),
            (
                &["i2p-2.10.0-2"],
                &["i2p-2.9.0"],
                r#"i2p-2.10.0-2, "strategies": { "major-minor-patch": true }, "pattern": "i2p-{major}.{minor}.{patch}-{build}", "tags": ["latest"] }"#,
            ),
            (
                &["19", "19.0", "19.0-20260817"],
                &["18.0-20260817", "18"],
                r#"19.0, "strategies": { "major": true, "major-minor": true }, "tags": ["latest"] }"#,
            ),
        ] {
            assert_eq!(
                followed(same, others).as_deref(),
                Some(expected),
                "{same:?}"
            );
        }
        assert_eq!(followed(&["sha-4e8b05d", "nightly"], &["1.2.3"]), None);
    }

    #[test]
    fn the_first_probes_find_the_current_version() {
        for (image, current) in [
            ("docker.io/linuxserver/qbittorrent", "5.2.3"),
            ("docker.io/linuxserver/sonarr", "4.0.19"),
        ] {
            let lists = include_str!("../../tests/cases/linuxserver.json");
            let lists: serde_json::Value = serde_json::from_str(lists).unwrap();
            let names = lists["images"][image].as_array().unwrap();
            let names: Vec<&str> = names.iter().map(|tag| tag.as_str().unwrap()).collect();
            let tags = tags(&names);
            let listing = Listing::new(&tags);
            let probes = listing.probes();
            let at = probes.iter().position(|tag| tag.as_str() == current);
            assert!(at.unwrap() < 12, "{image}: {at:?}");
            let relatives = listing.relatives(&current.parse().unwrap());
            assert!(relatives.len() < 30);
        }
    }
}
