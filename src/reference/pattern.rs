//! Patterns: how to read a version from tags that are not plain versions, such as
//! `RELEASE.{major}-{minor}-{patch}T{build}-{build}-{build}Z`.

use std::fmt;
use std::str::FromStr;

use super::tag::Tag;
use super::variant::VariantPattern;
use super::version::Version;
use crate::text::{Quoted, deserialize_as_text};

/// The number that a placeholder reads, in the order of a version's numbers.
const NUMBERS: [&str; 4] = ["major", "minor", "patch", "revision"];
const BUILD: &str = "build";

/// Literal text with placeholders. Each placeholder stands for one number:
/// `{major}`, `{minor}`, `{patch}` and `{revision}` once each, `{build}` any
/// number of times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    /// What is before the first placeholder.
    start: String,
    /// Each placeholder, and the literal text after it.
    placeholders: Vec<(Placeholder, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placeholder {
    /// One of the version's numbers, by its place among them.
    Number(usize),
    Build,
}

/// Why a text is not a [`Pattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid pattern {}: {reason}; write one such as '{{major}}-{{minor}}-{{patch}}'",
    Quoted(input)
)]
pub struct PatternError {
    input: String,
    reason: String,
}

impl Pattern {
    /// The version that this pattern reads from `tag`. `None` if the tag does not match, or
    /// if a number has more than 64 bits.
    pub fn read(&self, tag: &Tag) -> Option<Version> {
        let mut rest = tag.as_str().strip_prefix(self.start.as_str())?;
        let (mut numbers, mut builds) = ([None; NUMBERS.len()], Vec::new());
        for (placeholder, literal) in &self.placeholders {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number = rest[..digits].parse().ok()?;
            match placeholder {
                Placeholder::Number(place) => numbers[*place] = Some(number),
                Placeholder::Build => builds.push(number),
            }
            rest = rest[digits..].strip_prefix(literal.as_str())?;
        }
        let numbers = numbers.into_iter().flatten().collect();
        rest.is_empty()
            .then(|| Version::of_pattern(numbers, builds, self.variant()))
    }

    /// The variant of the tags that match: the literal text from the first hyphen
    /// after the last placeholder.
    pub fn variant(&self) -> &str {
        let last = self.placeholders.last();
        let last = last.map_or("", |(_, literal)| literal.as_str());
        last.find('-').map_or("", |hyphen| &last[hyphen..])
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(input: &str) -> Result<Self, PatternError> {
        parse(input).map_err(|reason| PatternError {
            input: input.to_owned(),
            reason,
        })
    }
}

fn parse(input: &str) -> Result<Pattern, String> {
    let mut parts = input.split('{');
    let start = parts.next().unwrap_or_default().to_owned();
    let mut placeholders = Vec::new();
    for part in parts {
        let (name, literal) = part
            .split_once('}')
            .ok_or_else(|| "a '{' has no '}'".to_owned())?;
        let place = NUMBERS.iter().position(|number| *number == name);
        let placeholder = match place {
            Some(place) => Placeholder::Number(place),
            None if name == BUILD => Placeholder::Build,
            None => {
                let name = format!("{{{name}}}");
                return Err(format!(
                    "{} is no placeholder; there are {{major}}, {{minor}}, {{patch}}, {{revision}} and {{build}}",
                    Quoted(&name)
                ));
            }
        };
        let is_number = placeholder != Placeholder::Build;
        if is_number && placeholders.iter().any(|(other, _)| *other == placeholder) {
            return Err(format!("it has {{{name}}} twice"));
        }
        placeholders.push((placeholder, literal.to_owned()));
    }
    let mut literals = placeholders.iter().map(|(_, literal)| literal);
    if start.contains('}') || literals.any(|literal| literal.contains('}')) {
        return Err("a '}' has no '{'".to_owned());
    }
    let example = input.replace(['{', '}'], "");
    if example.contains('#') || example.parse::<Tag>().is_err() {
        return Err("beside its placeholders it has only characters of a tag".to_owned());
    }
    for (place, name) in NUMBERS.iter().enumerate() {
        let has = |place| {
            let mut given = placeholders.iter();
            given.any(|(placeholder, _)| *placeholder == Placeholder::Number(place))
        };
        if place == 0 && !has(0) {
            return Err("it has no {major}".to_owned());
        }
        if place > 0 && has(place) && !has(place - 1) {
            return Err(format!(
                "it has {{{name}}} without {{{}}}",
                NUMBERS[place - 1]
            ));
        }
    }
    let (last, others) = match placeholders.split_last() {
        Some((last, others)) => (&last.1, others),
        None => (&start, &[][..]),
    };
    let starts_with_digit = |text: &String| text.starts_with(|c: char| c.is_ascii_digit());
    if others.iter().any(|(_, literal)| literal.is_empty()) {
        return Err("two placeholders need something between them".to_owned());
    }
    let ends_with_digit = |text: &String| text.ends_with(|c: char| c.is_ascii_digit());
    let is_joined = others
        .iter()
        .any(|(_, literal)| starts_with_digit(literal) || ends_with_digit(literal));
    if is_joined || starts_with_digit(last) || ends_with_digit(&start) {
        return Err("a placeholder has a digit beside it, which belongs to its number".to_owned());
    }
    let pattern = Pattern {
        text: input.to_owned(),
        start,
        placeholders,
    };
    // A query must be able to name the variant.
    match pattern.variant().parse::<VariantPattern>() {
        Ok(_) => Ok(pattern),
        Err(error) => Err(error.to_string()),
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

deserialize_as_text!(Pattern, "a pattern such as \"{major}-{minor}-{patch}\"");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pattern: &str, tag: &str) -> Option<(String, String)> {
        let pattern: Pattern = pattern.parse().unwrap();
        let version = pattern.read(&tag.parse().unwrap())?;
        Some((version.to_pin(), version.variant().to_owned()))
    }

    #[test]
    fn reads_the_tags_of_real_projects() {
        for (pattern, tag, version, variant) in [
            (
                "RELEASE.{major}-{minor}-{patch}T{build}-{build}-{build}Z",
                "RELEASE.2025-09-07T16-13-09Z",
                "2025.9.7+16.13.9",
                "",
            ),
            (
                "{major}.{minor}.{patch}.{revision}_{build}-jdk",
                "17.0.8.1_1-jdk",
                "17.0.8.1+1",
                "-jdk",
            ),
            ("{major}-{minor}-{patch}", "2024-11-01", "2024.11.1", ""),
            ("{build}_{major}.{minor}-a-b", "7_1.2-a-b", "1.2+7", "-a-b"),
        ] {
            let expected = Some((version.to_owned(), variant.to_owned()));
            assert_eq!(read(pattern, tag), expected, "{tag}");
        }
        for (pattern, tag) in [
            ("{major}-{minor}-{patch}", "2024-11-01-ubuntu"),
            ("{major}-{minor}-{patch}", "v2024-11-01"),
            ("{major}-{minor}-{patch}", "2024-11"),
            ("{major}.{minor}", "1.99999999999999999999"),
            ("{major}_{build}-jdk", "17_-jdk"),
        ] {
            assert_eq!(read(pattern, tag), None, "{tag}");
        }
    }

    #[test]
    fn refuses_malformed_patterns() {
        for (input, reason) in [
            ("", "only characters of a tag"),
            ("34", "it has no {major}"),
            ("{minor}", "it has no {major}"),
            ("{major}.{patch}", "it has {patch} without {minor}"),
            ("{major}.{major}", "it has {major} twice"),
            ("{major}{minor}", "need something between them"),
            ("{major}8", "a digit beside it"),
            ("v1{major}", "a digit beside it"),
            ("{major}.2{minor}", "a digit beside it"),
            ("{major}_{build}-beta1", "it marks a prerelease or a build"),
            ("{major", "a '{' has no '}'"),
            ("a}{major}", "a '}' has no '{'"),
            (
                "{number}",
                "'{number}' is no placeholder; there are {major}",
            ),
            ("{major} x", "only characters of a tag"),
            ("-{major}", "only characters of a tag"),
            ("{major}-#", "only characters of a tag"),
        ] {
            let error = input.parse::<Pattern>().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
            assert!(error.ends_with("write one such as '{major}-{minor}-{patch}'"));
        }
    }

    proptest! {
        #[test]
        fn numbers_in_a_matching_tag_are_read_back(
            numbers in prop::array::uniform3(any::<u64>()), zeros in 0..3_usize, variant in "(-[a-z]{1,5}){0,2}",
        ) {
            let [major, minor, build] = numbers;
            let pattern = format!("r{{major}}.{{minor}}_{{build}}{variant}");
            let tag = format!("r{major}.{}{minor}_{build}{variant}", "0".repeat(zeros));
            prop_assert_eq!(read(&pattern, &tag), Some((format!("{major}.{minor}+{build}"), variant)));
        }
    }
}
