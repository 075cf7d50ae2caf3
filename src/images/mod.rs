//! `images.json`: which images are tracked, and which of their tags.

pub mod edit;
mod glob;
mod policy;
pub mod propose;
mod signed_by;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess};

pub use glob::{GlobError, TagGlob};
pub use policy::{AgeError, MinimumAge, Repushed};
pub use signed_by::{
    Claim, EverythingError, GITHUB_ISSUER, GitHubRepository, Glob, RepositoryError, SignedBy,
    Signer,
};

use crate::json::{self, FileError, Object};
#[cfg(feature = "refresh")]
use crate::reference::HexBuilds;
use crate::reference::{
    ImageName, Pattern, Platform, Precision, Requirement, Tag, VariantPattern, Version,
};

const REMEDY: &str = "correct the file";
/// How many of the newest releases a strategy of `true` selects without `keep`.
const DEFAULT_KEEP: usize = 3;
const DEFAULT_PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

/// One entry of `images.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackedImage {
    /// The image.
    pub image: ImageName,
    /// The platforms whose digests are recorded.
    pub platforms: BTreeSet<Platform>,
    /// The strategy of each precision. Tags of any other precision are skipped.
    pub strategies: BTreeMap<Precision, Strategy>,
    /// The variants that every strategy applies to.
    pub variants: BTreeSet<VariantPattern>,
    /// Patterns that read versions from tags. Without any, [`Version::parse`] reads
    /// them.
    pub patterns: Vec<Pattern>,
    /// How many of the newest releases each strategy selects in each variant.
    /// `None`: three for [`Strategy::Newest`], all for [`Strategy::Matching`].
    pub keep: Option<usize>,
    /// Tags that are tracked whatever the other fields say.
    pub tags: BTreeSet<Tag>,
    /// Tags that no strategy selects. `tags` overrides it.
    pub ignore: Vec<TagGlob>,
    /// Whether a refresh records the manifests of the pins, from which Nix builds the
    /// image.
    pub store: bool,
    /// How old a new digest must be to be pinned.
    pub minimum_age: Option<MinimumAge>,
    /// What a full version that points to another digest means.
    pub repushed: Repushed,
    /// Whose signature a new digest needs to be pinned.
    pub signed_by: Option<SignedBy>,
}

/// Which tags of one precision are tracked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strategy {
    /// The newest releases.
    Newest,
    /// Every version that satisfies one of the requirements.
    Matching(Vec<Requirement>),
    /// For each variant, every release from the given one on.
    Since(BTreeMap<VariantPattern, Version>),
}

/// Parses the text of an `images.json`. Errors name the file `origin`.
///
/// # Errors
/// If the text does not have the format of `docs/images-json.md`. The error has
/// line, column and remedy.
pub fn parse(content: &[u8], origin: &str) -> Result<Vec<TrackedImage>, FileError> {
    struct Images(Vec<TrackedImage>);
    impl<'de> Deserialize<'de> for Images {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Images;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("a list of images")
                }
                fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Images, A::Error> {
                    let mut images: Vec<TrackedImage> = Vec::new();
                    let mut seen = BTreeSet::new();
                    while let Some(image) = access.next_element::<TrackedImage>()? {
                        if !seen.insert(image.image.clone()) {
                            return Err(A::Error::custom(format_args!(
                                "'{}' is listed twice",
                                image.image
                            )));
                        }
                        images.push(image);
                    }
                    Ok(Images(images))
                }
            }
            deserializer.deserialize_seq(Visitor)
        }
    }
    json::parse::<Images>(content, origin, REMEDY).map(|images| images.0)
}

/// Reads the file at `path`.
///
/// # Errors
/// If the file is missing, unreadable or malformed. `missing` is the remedy for a
/// missing file.
pub fn read(path: &Path, missing: &str) -> Result<Vec<TrackedImage>, FileError> {
    let remedy = if path.exists() {
        "see that it is a file that you may read"
    } else {
        missing
    };
    parse(&json::read_file(path, remedy)?, &path.display().to_string())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Entry {
    #[serde(deserialize_with = "qualified")]
    image: ImageName,
    platforms: Option<Vec<Platform>>,
    strategies: Option<Object<Strategies>>,
    variants: Option<BTreeSet<VariantPattern>>,
    pattern: Option<Patterns>,
    keep: Option<std::num::NonZeroUsize>,
    #[serde(default)]
    tags: BTreeSet<Tag>,
    #[serde(default)]
    ignore: Vec<TagGlob>,
    #[serde(default)]
    store: bool,
    minimum_age: Option<MinimumAge>,
    #[serde(default)]
    repushed: Repushed,
    signed_by: Option<SignedBy>,
    initial_major: Option<Vec<Tag>>,
    initial_major_minor: Option<Vec<Tag>>,
    initial_major_minor_patch: Option<Vec<Tag>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Strategies {
    major: Option<Choice>,
    major_minor: Option<Choice>,
    major_minor_patch: Option<Choice>,
}

/// A strategy's value: `true`, a requirement, or a list of requirements.
struct Choice(Strategy);

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Choice;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(
                    "true, a version requirement such as \">=33\", or a list of requirements",
                )
            }
            fn visit_bool<E: Error>(self, value: bool) -> Result<Choice, E> {
                if value {
                    Ok(Choice(Strategy::Newest))
                } else {
                    Err(E::custom("a strategy is turned off by leaving it out"))
                }
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Choice, E> {
                let requirement = text.parse().map_err(E::custom)?;
                Ok(Choice(Strategy::Matching(vec![requirement])))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<Choice, A::Error> {
                let requirements: Vec<Requirement> = sequence(access)?;
                if requirements.is_empty() {
                    return Err(A::Error::custom(
                        "an empty list takes nothing; leave the strategy out",
                    ));
                }
                Ok(Choice(Strategy::Matching(requirements)))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// A pattern, or a non-empty list of patterns.
struct Patterns(Vec<Pattern>);

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Patterns;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a pattern such as \"{major}-{minor}-{patch}\", or a list of these")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Patterns, E> {
                Ok(Patterns(vec![text.parse().map_err(E::custom)?]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<Patterns, A::Error> {
                let list = sequence(access)?;
                if list.is_empty() {
                    return Err(A::Error::custom("an empty list reads no tag; leave it out"));
                }
                Ok(Patterns(list))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

fn sequence<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(
    mut access: A,
) -> Result<Vec<T>, A::Error> {
    let mut list = Vec::new();
    while let Some(item) = access.next_element()? {
        list.push(item);
    }
    Ok(list)
}

fn qualified<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ImageName, D::Error> {
    let text = String::deserialize(deserializer)?;
    ImageName::parse_qualified(&text).map_err(D::Error::custom)
}

impl<'de> Deserialize<'de> for TrackedImage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Object::<Entry>::deserialize(deserializer)?
            .0
            .try_into()
            .map_err(D::Error::custom)
    }
}

impl TryFrom<Entry> for TrackedImage {
    type Error = String;

    fn try_from(entry: Entry) -> Result<Self, String> {
        let platforms = match entry.platforms {
            Some(platforms) if platforms.is_empty() => {
                return Err(format!("'{}' has an empty list of platforms", entry.image));
            }
            Some(platforms) => platforms.into_iter().collect(),
            None => default_platforms(),
        };
        let patterns = entry.pattern.map_or(Vec::new(), |Patterns(list)| list);
        let mut tracked = Self {
            image: entry.image,
            platforms,
            strategies: BTreeMap::new(),
            variants: entry
                .variants
                .unwrap_or_else(|| default_variants(&patterns)),
            patterns,
            keep: entry.keep.map(Into::into),
            tags: entry.tags,
            ignore: entry.ignore,
            store: entry.store,
            minimum_age: entry.minimum_age,
            repushed: entry.repushed,
            signed_by: entry.signed_by,
        };
        let initial = [
            (Precision::Major, entry.initial_major),
            (Precision::MajorMinor, entry.initial_major_minor),
            (Precision::MajorMinorPatch, entry.initial_major_minor_patch),
        ];
        match (
            entry.strategies,
            initial.iter().any(|(_, tags)| tags.is_some()),
        ) {
            (Some(_), true) => {
                return Err(format!(
                    "'{}' has both 'strategies' and 'initialMajor...'; keep one of them",
                    tracked.image
                ));
            }
            (Some(Object(strategies)), false) => {
                let chosen = [
                    (Precision::Major, strategies.major),
                    (Precision::MajorMinor, strategies.major_minor),
                    (Precision::MajorMinorPatch, strategies.major_minor_patch),
                ];
                let chosen = chosen.into_iter();
                tracked.strategies = chosen
                    .filter_map(|(precision, choice)| Some((precision, choice?.0)))
                    .collect();
            }
            (None, _) => tracked.apply_initial(initial),
        }
        Ok(tracked)
    }
}

/// The default of `variants`: the variants of the patterns, or without patterns the
/// plain variant.
fn default_variants(patterns: &[Pattern]) -> BTreeSet<VariantPattern> {
    if patterns.is_empty() {
        return [VariantPattern::plain()].into();
    }
    let variants = patterns.iter().map(Pattern::variant);
    variants.map(VariantPattern::literal).collect()
}

/// The default of `platforms`.
pub fn default_platforms() -> BTreeSet<Platform> {
    DEFAULT_PLATFORMS.iter().flat_map(|p| p.parse()).collect()
}

impl TrackedImage {
    /// An entry for `image` with the default of every other field.
    pub fn new(image: ImageName) -> Self {
        Self {
            image,
            platforms: default_platforms(),
            strategies: Precision::ALL.map(|of| (of, Strategy::Newest)).into(),
            variants: [VariantPattern::plain()].into(),
            patterns: Vec::new(),
            keep: None,
            tags: BTreeSet::new(),
            ignore: Vec::new(),
            store: false,
            minimum_age: None,
            repushed: Repushed::Report,
            signed_by: None,
        }
    }

    /// How many releases [`Strategy::Newest`] selects in each variant.
    pub fn keep_newest(&self) -> usize {
        self.keep.unwrap_or(DEFAULT_KEEP)
    }

    /// Whether `ignore` matches `tag` and `tags` does not list it.
    pub fn ignores(&self, tag: &Tag) -> bool {
        !self.tags.contains(tag) && self.ignore.iter().any(|glob| glob.matches(tag))
    }

    /// The version that the entry's patterns read from `tag`. `None` if no pattern
    /// matches or there are none. A pin records it.
    pub fn recorded_version(&self, tag: &Tag) -> Option<Version> {
        self.patterns.iter().find_map(|pattern| pattern.read(tag))
    }

    /// The version of `tag`, its tracked variant, and the number for each `#` of
    /// the variant. If several variants match, one with a prerelease word (`-ea`,
    /// `-dev`) wins.
    #[cfg(feature = "refresh")]
    pub(crate) fn read(
        &self,
        tag: &Tag,
        builds: &HexBuilds,
    ) -> Option<(Version, &VariantPattern, Vec<u64>)> {
        if !self.patterns.is_empty() {
            let version = self.recorded_version(tag)?;
            let mut variants = self.variants.iter();
            let (variant, numbers) = variants
                .find_map(|variant| Some((variant, variant.matches(version.variant())?)))?;
            return Some((version, variant, numbers));
        }
        let (with_words, others): (Vec<_>, Vec<_>) = self
            .variants
            .iter()
            .partition(|variant| variant.words().next().is_some());
        let mut variants = with_words.into_iter().chain(others);
        variants.find_map(|variant| {
            let (version, numbers) = variant.read(tag, builds)?;
            Some((version, variant, numbers))
        })
    }

    /// Applies the `initial...` fields of the first nix-oci-hashes: each tag is
    /// tracked; a version is also the lower bound of its variant; an empty list
    /// turns the strategy off.
    fn apply_initial(&mut self, initial: [(Precision, Option<Vec<Tag>>); 3]) {
        for (precision, tags) in initial {
            let Some(tags) = tags else {
                self.strategies.insert(precision, Strategy::Newest);
                continue;
            };
            let mut bounds = BTreeMap::new();
            for tag in tags {
                if let Some(version) = tag.version() {
                    // Use the pattern in 'variants' that matches the suffix, if
                    // any; otherwise the suffix itself is the variant.
                    let mut variants = self.variants.iter();
                    let known =
                        variants.find(|variant| variant.matches(version.variant()).is_some());
                    let literal = || VariantPattern::literal(version.variant());
                    let variant = known.cloned().unwrap_or_else(literal);
                    self.variants.insert(variant.clone());
                    let bound = bounds.entry(variant).or_insert(version.clone());
                    if version < *bound {
                        *bound = version;
                    }
                }
                self.tags.insert(tag);
            }
            if !bounds.is_empty() {
                self.strategies.insert(precision, Strategy::Since(bounds));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prop_assert, prop_assert_eq, proptest};

    fn one(entry: &str) -> TrackedImage {
        let mut images = parse(format!("[{entry}]").as_bytes(), "images.json").unwrap();
        images.remove(0)
    }

    fn strings<T: ToString>(items: impl IntoIterator<Item = T>) -> Vec<String> {
        items.into_iter().map(|item| item.to_string()).collect()
    }

    #[test]
    fn an_entry_with_only_an_image_has_the_defaults() {
        let entry = one(r#"{ "image": "docker.io/grafana/grafana" }"#);
        assert_eq!(strings(&entry.platforms), ["linux/amd64", "linux/arm64"]);
        assert_eq!(strings(&entry.variants), [""]);
        assert_eq!((entry.keep, entry.keep_newest()), (None, 3));
        assert!(entry.tags.is_empty());
        assert_eq!(entry.strategies.len(), 3);
        assert!(
            entry
                .strategies
                .values()
                .all(|strategy| *strategy == Strategy::Newest)
        );
    }

    #[test]
    fn reads_every_field() {
        let entry = one(r#"{ "image": "docker.io/library/nextcloud",
            "platforms": ["x86_64-linux", "linux/arm64/v8"],
            "strategies": { "major": ">=33", "major-minor": true },
            "variants": ["", "-fpm"], "tags": ["latest"], "keep": 5, "store": true }"#);
        assert_eq!(entry.image.as_str(), "docker.io/nextcloud");
        assert!(entry.store);
        assert_eq!(strings(&entry.platforms), ["linux/amd64", "linux/arm64"]);
        assert_eq!(
            entry.strategies[&Precision::Major],
            Strategy::Matching(vec![">=33".parse().unwrap()])
        );
        assert_eq!(entry.strategies[&Precision::MajorMinor], Strategy::Newest);
        assert!(!entry.strategies.contains_key(&Precision::MajorMinorPatch));
        assert_eq!(strings(&entry.variants), ["", "-fpm"]);
        assert_eq!(entry.keep, Some(5));
        assert_eq!(strings(&entry.tags), ["latest"]);
    }

    #[test]
    fn reads_the_examples_of_the_documentation_and_the_committed_file() {
        let page = include_str!("../../docs/images-json.md");
        let blocks = page.split("```json\n").skip(1);
        let examples = blocks.map(|block| block.split_once("```").unwrap().0);
        let found = examples.map(|example| parse(example.as_bytes(), "an example").unwrap().len());
        assert_eq!(found.collect::<Vec<_>>(), [3, 2, 1]);
        parse(include_bytes!("../../images.json"), "images.json").unwrap();
    }

    #[test]
    fn reads_the_fields_of_the_first_nix_oci_hashes() {
        let entry = one(
            r#"{ "image": "docker.io/nextcloud", "platforms": ["linux/amd64"],
            "initialMajor": ["30", "29", "29-fpm", "31", "stable"], "initialMajorMinor": [] }"#,
        );
        let Strategy::Since(bounds) = &entry.strategies[&Precision::Major] else {
            panic!("a lower bound: {entry:?}");
        };
        assert_eq!(strings(bounds.keys()), ["", "-fpm"]);
        assert_eq!(bounds[&VariantPattern::plain()].numbers(), [29]);
        assert_eq!(strings(&entry.variants), ["", "-fpm"]);
        assert!(!entry.strategies.contains_key(&Precision::MajorMinor));
        assert_eq!(
            entry.strategies[&Precision::MajorMinorPatch],
            Strategy::Newest
        );
        assert_eq!(strings(&entry.tags), ["29", "29-fpm", "30", "31", "stable"]);
    }

    #[test]
    fn refuses_bad_policies() {
        for (field, part) in [
            (
                r#""minimumAge": "3 days""#,
                "invalid age '3 days': write hours, days or weeks",
            ),
            (
                r#""repushed": "ignore""#,
                "unknown variant `ignore`, expected one of `report`, `expected`, `hold`",
            ),
        ] {
            let content = format!(r#"[{{ "image": "docker.io/a", {field} }}]"#);
            let error = parse(content.as_bytes(), "images.json").unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn refuses_bad_files_with_line_and_remedy() {
        let image = r#""image": "docker.io/a""#;
        for (content, part) in [
            (String::new(), "the file is empty"),
            ("{}".to_owned(), "expected a list of images"),
            ("[{}]".to_owned(), "missing field `image`"),
            ("[".to_owned(), "images.json:1:1: EOF"),
            ("[".repeat(10_000_000), "images.json:1:"),
            (
                format!("[{{ {image}, \"tag\": [] }}]"),
                "unknown field `tag`",
            ),
            (
                format!("[{{ {image}, {image} }}]"),
                "duplicate field `image`",
            ),
            (
                format!("[{{ {image} }},\n{{ \"image\": \"docker.io/library/a\" }}]"),
                "images.json:2:35: 'docker.io/a' is listed twice",
            ),
            (
                r#"[{ "image": "nextcloud" }]"#.to_owned(),
                "no registry; write 'docker.io/nextcloud'",
            ),
            (
                r#"[{ "image": "docker.io/a:1" }]"#.to_owned(),
                "write 'docker.io/a'",
            ),
            (
                format!("[{{ {image}, \"platforms\": [] }}]"),
                "empty list of platforms",
            ),
            (
                format!("[{{ {image}, \"platforms\": [\"amd64\"] }}]"),
                "invalid platform 'amd64'",
            ),
            (
                format!("[{{ {image}, \"strategies\": {{ \"minor\": true }} }}]"),
                "unknown field `minor`",
            ),
            (
                format!("[{{ {image}, \"strategies\": {{ \"major\": false }} }}]"),
                "leaving it out",
            ),
            (
                format!("[{{ {image}, \"strategies\": {{ \"major\": 3 }} }}]"),
                "true, a version requirement such as",
            ),
            (
                format!("[{{ {image}, \"strategies\": {{ \"major\": \"> x\" }} }}]"),
                "invalid version requirement '> x'",
            ),
            (
                format!("[{{ {image}, \"strategies\": {{ \"major-minor-patch\": \"34.0.4\" }} }}]"),
                "write '^34.0.4' or '=34.0.4'",
            ),
            (
                format!("[{{ {image}, \"strategies\": {{ \"major\": [] }} }}]"),
                "an empty list takes nothing",
            ),
            (
                format!("[{{ {image}, \"strategies\": {{ \"major\": [true] }} }}]"),
                "expected a version requirement",
            ),
            (
                format!("[{{ {image}, \"pattern\": \"{{minor}}\" }}]"),
                "invalid pattern '{minor}': it has no {major}",
            ),
            (
                format!("[{{ {image}, \"pattern\": [] }}]"),
                "an empty list reads no tag",
            ),
            (
                format!("[{{ {image}, \"ignore\": [\"a b\"] }}]"),
                "invalid glob 'a b'",
            ),
            (
                format!("[{{ {image}, \"strategies\": {{}}, \"initialMajor\": [] }}]"),
                "keep one of them",
            ),
            (
                format!("[{{ {image}, \"variants\": [\"fpm\"] }}]"),
                "invalid variant 'fpm'",
            ),
            (
                format!("[{{ {image}, \"tags\": [\"a b\"] }}]"),
                "invalid tag 'a b'",
            ),
            (format!("[{{ {image}, \"keep\": 0 }}]"), "nonzero"),
        ] {
            let error = parse(content.as_bytes(), "images.json")
                .unwrap_err()
                .to_string();
            assert!(error.contains(part), "{error}");
            assert!(error.starts_with("images.json"), "{error}");
            assert!(error.ends_with(REMEDY), "{error}");
        }
    }

    proptest! {
        #[test]
        fn errors_of_malformed_files_have_one_line(any: Vec<u8>, text in "[\\[\\]{}\":, a-z0-9]{0,40}") {
            for content in [&any[..], text.as_bytes()] {
                match parse(content, "images.json") {
                    Ok(images) => {
                        let names: BTreeSet<_> = images.iter().map(|tracked| &tracked.image).collect();
                        prop_assert_eq!(names.len(), images.len());
                    }
                    Err(error) => {
                        let error = error.to_string();
                        prop_assert!(error.starts_with("images.json"), "{}", error);
                        prop_assert!(!error.chars().any(char::is_control), "{:?}", error);
                    }
                }
            }
        }
    }
}
