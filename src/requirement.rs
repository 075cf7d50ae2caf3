//! Version requirements, in semver's words: `>=33`, `^2`, `~1.4`, `>=1, <3`.

use std::fmt;
use std::str::FromStr;

use semver::VersionReq;

use crate::text::{Quoted, deserialize_as_text};
use crate::version::{Prerelease, Version, is_commit_or_date};

/// Longest requirement, in bytes: that of any sense is far shorter.
const LONGEST: usize = 255;

/// Which versions are meant. A missing number counts as 0 (`34` satisfies
/// `>=34.0.0`), a fourth number is not looked at, and a prerelease satisfies
/// only a requirement that names one of the same three numbers, as in semver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    text: String,
    requirement: VersionReq,
}

/// Why a text is not a [`Requirement`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid version requirement {}: {reason}; write one such as '>=33', '^2', '~1.4' or '>=1, <3'",
    Quoted(input)
)]
pub struct RequirementError {
    input: String,
    reason: String,
}

impl Requirement {
    /// Whether `version` satisfies it; its variant is not looked at. A commit
    /// or a date (`20260901`) satisfies only a requirement that names one.
    pub fn matches(&self, version: &Version) -> bool {
        let named = |comparator: &semver::Comparator| is_commit_or_date(comparator.major);
        (!version.may_be_commit_or_date() || self.requirement.comparators.iter().any(named))
            && self.requirement.matches(&version.to_semver())
    }

    /// Whether `text` can only be a requirement: no tag has such characters,
    /// or it ends in a wildcard such as `34.x`.
    pub fn is_requirement(text: &str) -> bool {
        text.contains(['^', '~', '<', '>', '=', '*', ','])
            || text
                .split('.')
                .skip(1)
                .any(|part| part.eq_ignore_ascii_case("x"))
    }
}

impl FromStr for Requirement {
    type Err = RequirementError;

    fn from_str(input: &str) -> Result<Self, RequirementError> {
        let error = |reason: String| RequirementError {
            input: input.to_owned(),
            reason,
        };
        if input.len() > LONGEST {
            return Err(error(format!("it is longer than {LONGEST} characters")));
        }
        if let Some(odd) = input.find(|c: char| !c.is_ascii() || c.is_ascii_control()) {
            let odd = input[odd..].chars().next().map(String::from);
            let odd = Quoted(&odd.unwrap_or_default()).to_string();
            return Err(error(format!("no version has the character {odd}")));
        }
        let mut requirement =
            VersionReq::parse(input).map_err(|source| error(source.to_string()))?;
        for comparator in &mut requirement.comparators {
            if !comparator.pre.is_empty() {
                comparator.pre = Prerelease::semver_text(&comparator.pre).ok_or_else(|| {
                    error(format!("'-{}' is no prerelease", comparator.pre.as_str()))
                })?;
            }
        }
        Ok(Self {
            text: input.to_owned(),
            requirement,
        })
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

deserialize_as_text!(Requirement, "a version requirement such as \">=33\"");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(requirement: &str, version: &str) -> bool {
        requirement
            .parse::<Requirement>()
            .unwrap()
            .matches(&Version::parse(version).unwrap())
    }

    #[test]
    fn follows_semver() {
        for (requirement, yes, no) in [
            (
                ">=33",
                &["33", "33.0.1", "40", "v34-fpm"][..],
                &["32.9.9"][..],
            ),
            ("^2", &["2", "2.9.9"], &["3", "1"]),
            ("~1.4", &["1.4", "1.4.9"], &["1.5", "1.3.9"]),
            (">=1, <3", &["1", "2.9"], &["3", "0.9"]),
            ("34.x", &["34.1.2"], &["35"]),
            ("*", &["1", "99.1.2.3"], &["1-rc1"]),
            (">=1.42.1", &["1.42.1.10060-4e8b05daf"], &["1.42.0.9"]),
            (
                ">=2.0.0-rc2",
                &["2.0.0-rc10", "2.0.0", "2.0.0rc2"],
                &["2.0.0-rc1", "2.0.0-beta9", "2.1.0-rc1"],
            ),
            (">=33", &["34"], &["20260901", "7312845"]),
            (">=20260101", &["20260901"], &["20251231", "2026"]),
            (
                ">=2026.4",
                &["2026.4", "2026.10.1"],
                &["2026.3.9", "2026.5.0b1"],
            ),
        ] {
            for version in yes {
                assert!(
                    matches(requirement, version),
                    "{requirement} takes {version}"
                );
            }
            for version in no {
                assert!(
                    !matches(requirement, version),
                    "{requirement} leaves {version}"
                );
            }
        }
    }

    #[test]
    fn refuses_what_is_no_requirement() {
        for input in [
            "",
            "abc",
            ">=",
            ">=1 <3",
            ">=1.2.3.4",
            "^1-fpm",
            "^1\u{200b}",
            ">=1\n",
            ">=1.0.0-fpm",
        ] {
            let error = input.parse::<Requirement>().unwrap_err().to_string();
            assert!(error.contains("'>=33'"), "{error}");
        }
    }

    #[test]
    fn tells_a_requirement_from_a_tag() {
        for requirement in ["^34", "~34.0", ">=33, <35", "34.x", "*", "=34", "34.X"] {
            assert!(Requirement::is_requirement(requirement), "{requirement}");
        }
        for tag in ["34", "34 ", " 34", "34.0.4-fpm", "latest", "x", "v1.x86"] {
            assert!(!Requirement::is_requirement(tag), "{tag}");
        }
    }

    proptest! {
        #[test]
        fn parse_of_print_is_the_identity(
            op in "(>=|<=|>|<|=|\\^|~)", major: u32, minor: u32,
        ) {
            let requirement: Requirement = format!("{op}{major}.{minor}").parse().unwrap();
            prop_assert_eq!(requirement.to_string().parse::<Requirement>(), Ok(requirement.clone()));
        }

        #[test]
        fn no_input_panics(input: String) {
            let _ = input.parse::<Requirement>();
        }
    }
}
