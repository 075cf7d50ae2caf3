//! The versions that tags name: numbers, prereleases, builds and variants.

use std::collections::BTreeSet;
use std::fmt;

/// How many numbers a version has; the strategies of `images.json` are named
/// after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// One number: `34`.
    Major,
    /// Two numbers: `34.0`.
    MajorMinor,
    /// Three numbers or more: `34.0.4`, `1.43.3.10861`.
    MajorMinorPatch,
}

impl Precision {
    /// All of them, from the coarsest on.
    pub const ALL: [Self; 3] = [Self::Major, Self::MajorMinor, Self::MajorMinorPatch];
}

/// Displays the name of the strategy in `images.json`.
impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Major => "major",
            Self::MajorMinor => "major-minor",
            Self::MajorMinorPatch => "major-minor-patch",
        })
    }
}

/// A parsed version tag: `v1.137.3`, `33-fpm`, `1.42.1.10060-4e8b05daf`.
///
/// Ordered by its numbers, a prerelease before its release, then by the build
/// numbers of a pattern; versions that tie there are ordered by variant, prefix
/// and build, so that the order is total.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    numbers: Vec<u64>,
    stability: Stability,
    builds: Vec<u64>,
    variant: String,
    prefixed: bool,
    build: String,
    may_be_commit_or_date: bool,
}

/// The lengths of an image's hexadecimal builds (`-4e8b05daf`). A suffix of digits
/// alone with such a length is a build too: a commit may have no letter in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HexBuilds(BTreeSet<usize>);

impl HexBuilds {
    /// The lengths of the builds among the version tags of one image.
    pub fn among<'a>(tags: impl IntoIterator<Item = &'a str>) -> Self {
        let is_version = |tag: &&str| {
            let numbers = tag.strip_prefix('v').unwrap_or(tag);
            numbers.starts_with(|c: char| c.is_ascii_digit())
        };
        let versions = tags.into_iter().filter(is_version);
        let segments = versions.flat_map(|tag| tag.split('-').skip(1));
        Self(
            segments
                .filter(|segment| is_hex_build(segment))
                .map(str::len)
                .collect(),
        )
    }

    fn has(&self, segment: &str) -> bool {
        is_hex_build(segment)
            || (self.0.contains(&segment.len()) && segment.bytes().all(|b| b.is_ascii_digit()))
    }
}

/// A prerelease sorts before the release of the same numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Stability {
    Prerelease(Prerelease),
    Release,
}

/// `rc1`, `beta.2`, `b1`: the stage, then its numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Prerelease {
    stage: usize,
    numbers: Vec<u64>,
}

/// The words that mark a prerelease, a row for each stage of a release, from
/// the earliest to the last.
const STAGES: &[&[&str]] = &[
    &["dev", "snapshot", "nightly", "canary", "unstable"],
    &["alpha", "a"],
    &["beta", "b"],
    &["milestone", "m", "ea"],
    &["pre", "preview", "prerelease"],
    &["rc", "c", "cr"],
];

/// From this many characters on, a hexadecimal suffix is a build, and a single number
/// is a commit or a date.
const LONG: usize = 7;

impl Version {
    /// The version a tag's text names; `None` for a word such as `stable`, for
    /// numbers over 64 bits, for a commit (`5745b014`), and where something other
    /// than a prerelease follows the numbers without a hyphen (`3.x`, `1.2_3`).
    pub fn parse(tag: &str) -> Option<Self> {
        Self::parse_among(tag, &HexBuilds::default(), &[])
    }

    /// As [`Version::parse`], for an image with these `builds`. Of the words that
    /// mark a prerelease, `words` are part of the variant: `dev` in `-dev`.
    pub fn parse_among(tag: &str, builds: &HexBuilds, words: &[&str]) -> Option<Self> {
        let (prefixed, rest) = match tag.strip_prefix('v') {
            Some(rest) => (true, rest),
            None => (false, tag),
        };
        let (numbers, rest) = leading_numbers(rest)?;
        let written = tag.len() - rest.len();
        let mut version = Self {
            may_be_commit_or_date: !prefixed && numbers.len() == 1 && is_long(&tag[..written]),
            numbers,
            stability: Stability::Release,
            builds: Vec::new(),
            variant: String::new(),
            prefixed,
            build: String::new(),
        };
        let (attached, suffix) = match rest.split_once('-') {
            Some((attached, suffix)) => (attached, Some(suffix)),
            None => (rest, None),
        };
        let first = tag.split('-').next().unwrap_or_default();
        if is_hex_build(first) {
            return None;
        }
        if !attached.is_empty() {
            match Prerelease::parse(attached.trim_start_matches(['.', '_'])) {
                Some((prerelease, "")) => version.stability = Stability::Prerelease(prerelease),
                _ => return None,
            }
        }
        for segment in suffix.iter().flat_map(|suffix| suffix.split('-')) {
            version.take_segment(segment, builds, words);
        }
        Some(version)
    }

    /// Parses the version that a pin records: numbers and build numbers as `17.0.8.1+1`,
    /// and the variant. `None` if either is malformed.
    pub fn from_pin(text: &str, variant: &str) -> Option<Self> {
        let (numbers, builds) = match text.split_once('+') {
            Some((numbers, builds)) => (numbers, Some(builds)),
            None => (text, None),
        };
        let parse = |numbers: &str| {
            let numbers = numbers.split('.').map(|number| {
                let is_plain = number == "0" || !number.starts_with(['0', '+']);
                number.parse().ok().filter(|_| is_plain)
            });
            numbers.collect::<Option<Vec<u64>>>()
        };
        let builds = builds.map_or(Some(Vec::new()), parse)?;
        let is_of_tag = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        let is_variant =
            variant.is_empty() || variant.starts_with('-') && variant.bytes().all(is_of_tag);
        let numbers = parse(numbers).filter(|numbers| is_variant && numbers.len() <= 4)?;
        Some(Self::of_pattern(numbers, builds, variant))
    }

    /// The version that a pattern reads.
    pub(crate) fn of_pattern(numbers: Vec<u64>, builds: Vec<u64>, variant: &str) -> Self {
        Self {
            numbers,
            stability: Stability::Release,
            builds,
            variant: variant.to_owned(),
            prefixed: false,
            build: String::new(),
            may_be_commit_or_date: false,
        }
    }

    /// Numbers and build numbers as a pin records them: `17.0.8.1+1`.
    pub fn to_pin(&self) -> String {
        let join = |numbers: &[u64]| {
            let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
            numbers.join(".")
        };
        let numbers = join(&self.numbers);
        if self.builds.is_empty() {
            numbers
        } else {
            format!("{numbers}+{}", join(&self.builds))
        }
    }

    /// The recorded version with its variant, for messages: `17.0.8.1+1-jdk`.
    pub fn recorded(&self) -> String {
        self.to_pin() + &self.variant
    }

    /// Sorts one hyphen-separated part of a suffix into build, prerelease or variant.
    fn take_segment(&mut self, segment: &str, builds: &HexBuilds, words: &[&str]) {
        if builds.has(segment) {
            self.build.push('-');
            self.build.push_str(segment);
        } else if words.contains(&segment) {
            self.push_variant(segment);
        } else if let Some((prerelease, rest)) = Prerelease::parse(segment) {
            if self.stability == Stability::Release {
                self.stability = Stability::Prerelease(prerelease);
            }
            if let Some(rest) = rest.strip_prefix('.') {
                self.push_variant(rest);
            }
        } else {
            self.push_variant(segment);
        }
    }

    fn push_variant(&mut self, part: &str) {
        self.variant.push('-');
        self.variant.push_str(part);
    }

    /// The numbers, at least one: `[34, 0, 4]`.
    pub fn numbers(&self) -> &[u64] {
        &self.numbers
    }

    /// How precise it is.
    pub fn precision(&self) -> Precision {
        match self.numbers.len() {
            1 => Precision::Major,
            2 => Precision::MajorMinor,
            _ => Precision::MajorMinorPatch,
        }
    }

    /// The variant, from its hyphen on: `-fpm`; empty for the plain tag.
    pub fn variant(&self) -> &str {
        &self.variant
    }

    /// Whether it is a prerelease.
    pub fn is_prerelease(&self) -> bool {
        self.stability != Stability::Release
    }

    /// Whether this is one number written with seven digits or more: a commit or
    /// a date (`7312845`, `20260901`), which would outrank every real version.
    pub fn may_be_commit_or_date(&self) -> bool {
        self.may_be_commit_or_date
    }

    /// The order of releases: by numbers and prerelease, without build, variant and
    /// prefix.
    #[cfg(feature = "refresh")]
    pub(crate) fn release_order(&self) -> impl Ord + Clone + use<> {
        (self.numbers.clone(), self.stability.clone())
    }

    /// As [`Version::release_order`], with missing numbers as 0: `34` is `34.0`.
    pub(crate) fn padded_order(&self) -> impl Ord + Clone + use<> {
        let zeros = self.numbers.iter().rev().take_while(|number| **number == 0);
        let significant = self.numbers.len() - zeros.count();
        (self.numbers[..significant].to_vec(), self.stability.clone())
    }

    /// The order of the builds of one release. A version without a build comes last:
    /// it is the release itself. Hexadecimal builds have no natural order.
    pub(crate) fn build_order(&self) -> impl Ord + Clone + use<> {
        (
            self.builds.clone(),
            self.build.is_empty(),
            self.build.clone(),
        )
    }

    /// Whether it names a build of its release.
    #[cfg(feature = "refresh")]
    pub(crate) fn has_build(&self) -> bool {
        !self.build.is_empty() || !self.builds.is_empty()
    }

    /// Whether it has the prefix `v`.
    pub(crate) fn is_prefixed(&self) -> bool {
        self.prefixed
    }

    /// The lowest and the highest semver version with these numbers: `34.0.4` is
    /// itself (semver has no fourth number), `34` is every version from 34.0.0 to the
    /// last one before 35. A prerelease is itself, with missing numbers as 0.
    pub(crate) fn to_semver(&self) -> (semver::Version, semver::Version) {
        let of = |missing: u64| {
            let number = |i: usize| self.numbers.get(i).copied().unwrap_or(missing);
            semver::Version::new(number(0), number(1), number(2))
        };
        match &self.stability {
            Stability::Release => (of(0), of(u64::MAX)),
            Stability::Prerelease(prerelease) => {
                let mut version = of(0);
                version.pre = prerelease.to_semver();
                (version.clone(), version)
            }
        }
    }
}

impl Prerelease {
    /// The prerelease that `text` starts with, and what follows: nothing, or
    /// more from a dot on (`rc42.ce.0`).
    pub(crate) fn parse(text: &str) -> Option<(Self, &str)> {
        let letters = text.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (word, rest) = text.split_at(letters);
        let word = word.to_ascii_lowercase();
        let stage = STAGES
            .iter()
            .position(|words| words.contains(&word.as_str()))?;
        let (numbers, rest) = match leading_numbers(rest.trim_start_matches(['.', '_'])) {
            Some(found) => found,
            None => (Vec::new(), rest),
        };
        // A single letter is a mark only with its number: `b1`, not `-b`.
        let marked = word.len() > 1 || !numbers.is_empty();
        (marked && (rest.is_empty() || rest.starts_with('.')))
            .then_some((Self { stage, numbers }, rest))
    }

    /// As a semver prerelease that sorts as this one does: the stage's number,
    /// since semver orders words by their bytes, then the others.
    fn to_semver(&self) -> semver::Prerelease {
        let mut text = self.stage.to_string();
        for number in &self.numbers {
            text.push('.');
            text.push_str(&number.to_string());
        }
        semver::Prerelease::new(&text).unwrap_or(semver::Prerelease::EMPTY)
    }

    /// The semver spelling of a prerelease in a requirement.
    pub(crate) fn semver_text(text: &str) -> Option<semver::Prerelease> {
        match Self::parse(text) {
            Some((prerelease, "")) => Some(prerelease.to_semver()),
            _ => None,
        }
    }

    /// Whether `text` is a word of a prerelease without a number, such as `dev`.
    pub(crate) fn is_word(text: &str) -> bool {
        matches!(Self::parse(text), Some((prerelease, "")) if prerelease.numbers.is_empty())
    }
}

/// Numbers joined by dots at the start of `text`, and the rest of it.
fn leading_numbers(text: &str) -> Option<(Vec<u64>, &str)> {
    let mut numbers = Vec::new();
    let mut rest = text;
    loop {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            break;
        }
        numbers.push(rest[..digits].parse().ok()?);
        rest = &rest[digits..];
        match rest.strip_prefix('.') {
            Some(next) if next.starts_with(|c: char| c.is_ascii_digit()) => rest = next,
            _ => break,
        }
    }
    (!numbers.is_empty()).then_some((numbers, rest))
}

/// Whether a number is written with so many digits that it is a commit or a date.
pub(crate) fn is_long(digits: &str) -> bool {
    digits.len() >= LONG
}

/// Whether a part of a suffix is a hexadecimal build: it has a digit, unlike a word,
/// and a letter, unlike a build number.
fn is_hex_build(segment: &str) -> bool {
    segment.len() >= LONG
        && segment.bytes().all(|b| b.is_ascii_hexdigit())
        && segment.bytes().any(|b| b.is_ascii_digit())
        && segment.bytes().any(|b| b.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap_or_else(|| panic!("{text} is a version tag"))
    }

    #[test]
    fn parses_the_tags_of_real_projects() {
        // (tag, numbers, prerelease?, variant)
        let cases: &[(&str, &[u64], bool, &str)] = &[
            ("34", &[34], false, ""),
            ("v1.137.3", &[1, 137, 3], false, ""),
            ("33-fpm", &[33], false, "-fpm"),
            ("33.0.9-fpm-alpine", &[33, 0, 9], false, "-fpm-alpine"),
            ("1.29.1-alpine3.22", &[1, 29, 1], false, "-alpine3.22"),
            ("2026.4.1", &[2026, 4, 1], false, ""),
            ("2026.5.0b3", &[2026, 5, 0], true, ""),
            ("2026.5.0.dev202604100235", &[2026, 5, 0], true, ""),
            ("1.42.1.10060-4e8b05daf", &[1, 42, 1, 10060], false, ""),
            ("18.6.1-ce.0", &[18, 6, 1], false, "-ce.0"),
            ("18.6.0-rc42.ce.0", &[18, 6, 0], true, "-ce.0"),
            ("4.0.4-ls185", &[4, 0, 4], false, "-ls185"),
            ("18rc1-alpine", &[18], true, "-alpine"),
            ("18beta1", &[18], true, ""),
            ("v1.160.0rc1", &[1, 160, 0], true, ""),
            ("v3.6.0-rc.1", &[3, 6, 0], true, ""),
            (
                "2.11.0-beta.1-builder-alpine",
                &[2, 11, 0],
                true,
                "-builder-alpine",
            ),
            ("12-ubi9-rc", &[12], true, "-ubi9"),
            ("8.0-M04-alpine3.21", &[8, 0], true, "-alpine3.21"),
            ("13.2.0-18943012345", &[13, 2, 0], false, "-18943012345"),
            ("19.0-20250918", &[19, 0], false, "-20250918"),
            ("6.5.0-94", &[6, 5, 0], false, "-94"),
            ("31.0.5-fpm-c6352846", &[31, 0, 5], false, "-fpm"),
            ("31.0.5-b123456", &[31, 0, 5], false, ""),
            ("31.0.5-a1234567", &[31, 0, 5], false, ""),
            ("31.0.5-facades", &[31, 0, 5], false, "-facades"),
            ("1.2.3-b", &[1, 2, 3], false, "-b"),
        ];
        for (tag, numbers, prerelease, variant) in cases {
            let version = version(tag);
            assert_eq!(version.numbers(), *numbers, "{tag}");
            assert_eq!(version.is_prerelease(), *prerelease, "{tag}");
            assert_eq!(version.variant(), *variant, "{tag}");
        }
    }

    #[test]
    fn words_are_no_versions() {
        for tag in [
            "latest",
            "stable",
            "v",
            "vnext",
            "3.x",
            "1.2_3",
            "f37edef",
            "1e10",
            "_1",
            "34fpm",
            "99999999999999999999999",
            "5745b014",
            "5745b014-ls264",
        ] {
            assert_eq!(Version::parse(tag), None, "{tag}");
        }
    }

    #[test]
    fn precision_counts_numbers() {
        assert_eq!(version("34").precision(), Precision::Major);
        assert_eq!(version("v34.0-fpm").precision(), Precision::MajorMinor);
        assert_eq!(version("34.0.4").precision(), Precision::MajorMinorPatch);
        assert_eq!(
            version("1.42.1.10060").precision(),
            Precision::MajorMinorPatch
        );
    }

    #[test]
    fn releases_are_ordered_by_number_and_stage() {
        for pair in [
            "1.9.0",
            "1.10.0-dev1",
            "1.10.0-alpha2",
            "1.10.0-beta.2",
            "1.10.0-beta.10",
            "1.10.0-rc9",
            "1.10.0-rc10",
            "1.10.0",
            "1.10.0.1",
            "1.11.0",
        ]
        .windows(2)
        {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn commits_and_dates_are_distinguished_from_versions() {
        assert!(version("7312845").may_be_commit_or_date());
        assert!(version("20260901").may_be_commit_or_date());
        assert!(!version("2026").may_be_commit_or_date());
        assert!(!version("2026.4").may_be_commit_or_date());
        assert!(version("0123456").may_be_commit_or_date());
        assert!(!version("v20260901").may_be_commit_or_date());
    }

    #[test]
    fn digits_as_long_as_the_builds_of_the_image_are_a_build() {
        let builds = HexBuilds::among(["1.43.4.10903-e5521bd8c", "1.43.4-beta1234", "latest"]);
        let variant = |tag: &str| {
            let version = Version::parse_among(tag, &builds, &[]).unwrap();
            version.variant().to_owned()
        };
        assert_eq!(variant("1.43.4.10903-552120389"), "");
        assert_eq!(variant("1.43.4.10903-5521203"), "-5521203");
        assert_eq!(variant("1.43.4.10903-fpm-552120389"), "-fpm");
    }

    #[test]
    fn a_recorded_version_is_read_back() {
        for (text, variant) in [
            ("17.0.8.1+1", "-jdk"),
            ("2025.9.7+16.13.9", ""),
            ("2024.11.1", ""),
        ] {
            let version = Version::from_pin(text, variant).unwrap();
            assert_eq!(version.to_pin(), text);
            assert_eq!(version.variant(), variant);
        }
        for (text, variant) in [
            ("", ""),
            ("17.08", ""),
            ("1.2.3.4.5", ""),
            ("1+", ""),
            ("1++2", ""),
            ("+1", ""),
            ("1.2+3+4", ""),
            ("v1", ""),
            ("1", "jdk"),
        ] {
            assert_eq!(Version::from_pin(text, variant), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_version_begins_with_the_numbers_of_its_tag(any: String, likely in "v?[0-9.]{0,9}[a-z0-9._-]{0,9}") {
            for input in [any, likely] {
                if let Some(version) = Version::parse(&input) {
                    let bare = input.strip_prefix('v').unwrap_or(&input);
                    let first: String = bare.chars().take_while(char::is_ascii_digit).collect();
                    prop_assert_eq!(first.parse::<u64>().ok(), version.numbers().first().copied());
                }
            }
        }

        #[test]
        fn numbers_survive(numbers in prop::collection::vec(any::<u64>(), 1..6), prefixed: bool) {
            let text: Vec<String> = numbers.iter().map(u64::to_string).collect();
            let text = format!("{}{}", if prefixed { "v" } else { "" }, text.join("."));
            let version = version(&text);
            prop_assert_eq!(version.numbers(), &numbers[..]);
        }
    }
}
