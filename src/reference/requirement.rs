//! Version requirements in the syntax of semver: `>=33`, `^2`, `~1.4`, `>=1, <3`.

use std::fmt;
use std::str::FromStr;

use semver::{Comparator, Op, VersionReq};

use super::version::{Prerelease, Version, is_long};
use crate::text::{Quoted, deserialize_as_text};

/// Longest requirement, in bytes. Real ones are far shorter.
const LONGEST: usize = 255;
/// How many numbers a version in a requirement has at most.
const MOST_NUMBERS: usize = 3;

/// A set of versions: alternatives joined by `||`. An alternative is a list of
/// comparators, joined by commas or spaces, that must all hold.
///
/// A fourth number of a version is ignored. As in semver, a prerelease satisfies only
/// a requirement that names a prerelease of the same three numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Requirement {
    text: String,
    alternatives: Vec<Alternative>,
}

/// Comparators that all have to hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Alternative {
    comparators: VersionReq,
    names_commit_or_date: bool,
}

/// Why a text is not a [`Requirement`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid version requirement {}: {reason}", Quoted(input))]
pub struct RequirementError {
    input: String,
    reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Reason {
    #[error("it is longer than {LONGEST} characters")]
    TooLong,
    #[error("no version has a character that is not printable ASCII")]
    Character,
    #[error("{0}; write one such as '>=33', '^2', '~1.4' or '>=1, <3'")]
    Malformed(String),
    #[error("{what}; write {}", .spellings.join(" or "))]
    Spelling {
        what: String,
        spellings: Vec<String>,
    },
}

impl Requirement {
    /// Whether `version` satisfies this requirement, whatever its variant.
    ///
    /// A version of one or two numbers stands for every version that begins with them.
    /// All of these must satisfy the requirement. A commit or a date (`20260901`)
    /// satisfies only a requirement that names one.
    pub fn matches(&self, version: &Version) -> bool {
        let (lowest, highest) = version.to_semver();
        self.alternatives.iter().any(|alternative| {
            (alternative.names_commit_or_date || !version.may_be_commit_or_date())
                && alternative.comparators.matches(&lowest)
                && alternative.comparators.matches(&highest)
        })
    }

    /// Whether `text` can only be meant as a requirement: no tag has such
    /// characters, or it is a number with a wildcard, such as `34.x`.
    pub fn is_requirement(text: &str) -> bool {
        let is_mark = |byte| {
            matches!(
                byte,
                b'^' | b'~' | b'<' | b'>' | b'=' | b'*' | b',' | b'|' | b'!'
            )
        };
        let trimmed = text.trim_matches(' ');
        let has_wildcard = || {
            let mut parts = text.split('.').skip(1);
            parts.any(|part| part.eq_ignore_ascii_case("x"))
        };
        let begins_with_digit = trimmed.starts_with(|first: char| first.is_ascii_digit());
        text.bytes().any(is_mark) || trimmed.contains(' ') || begins_with_digit && has_wildcard()
    }
}

impl FromStr for Requirement {
    type Err = RequirementError;

    fn from_str(input: &str) -> Result<Self, RequirementError> {
        parse(input).map_err(|reason| RequirementError {
            input: input.to_owned(),
            reason,
        })
    }
}

fn parse(input: &str) -> Result<Requirement, Reason> {
    if input.len() > LONGEST {
        return Err(Reason::TooLong);
    }
    if !input.chars().all(|c| matches!(c, ' '..='~')) {
        return Err(Reason::Character);
    }
    let mut requirement = Requirement {
        text: input.to_owned(),
        alternatives: Vec::new(),
    };
    for alternative in input.split("||") {
        let mut comparators = Vec::new();
        let mut names_commit_or_date = false;
        for part in alternative.split(',') {
            for text in split_comparators(part)? {
                let (comparator, is_long) = comparator(&text)?;
                names_commit_or_date |= is_long;
                comparators.extend(comparator);
            }
        }
        requirement.alternatives.push(Alternative {
            comparators: VersionReq { comparators },
            names_commit_or_date,
        });
    }
    Ok(requirement)
}

/// Splits the text between two commas into comparators, each with its operator.
fn split_comparators(part: &str) -> Result<Vec<String>, Reason> {
    let words: Vec<&str> = part.split(' ').filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        return Err(Reason::Malformed("a version is missing".to_owned()));
    }
    if let [from, "-", to] = words[..]
        && from.starts_with(|c: char| c.is_ascii_digit())
    {
        let spellings = [format!(">={from}, <={to}")];
        return Err(spelling("a range has no hyphen", &spellings));
    }
    let mut comparators: Vec<String> = Vec::new();
    for word in words {
        match comparators.last_mut() {
            Some(last) if last.ends_with(is_operator) => last.push_str(word),
            _ => comparators.push(word.to_owned()),
        }
    }
    Ok(comparators)
}

fn is_operator(character: char) -> bool {
    matches!(character, '^' | '~' | '<' | '>' | '=' | '!')
}

/// An error that suggests those of `spellings` that are valid requirements.
fn spelling(what: &str, spellings: &[String]) -> Reason {
    let good = spellings.iter().filter(|text| parse(text).is_ok());
    let spellings: Vec<String> = good.map(|text| format!("'{text}'")).collect();
    if spellings.is_empty() {
        return Reason::Malformed(what.to_owned());
    }
    Reason::Spelling {
        what: what.to_owned(),
        spellings,
    }
}

/// Parses a comparator; `None` for a wildcard alone. Also returns whether its first
/// number is so long that it is a commit or a date.
fn comparator(text: &str) -> Result<(Option<Comparator>, bool), Reason> {
    let version = text.trim_start_matches(is_operator);
    let operator = &text[..text.len() - version.len()];
    if version.is_empty() {
        let what = format!("a version is missing after '{operator}'");
        return Err(Reason::Malformed(what));
    }
    if let Some(plain) = version.strip_prefix('v') {
        let spellings = [format!("{operator}{plain}")];
        return Err(spelling("a version has no 'v' here", &spellings));
    }
    let op = op(operator, version)?;
    let Partial {
        numbers,
        has_wildcard,
        pre,
        is_long,
    } = Partial::parse(operator, version)?;
    let Some((major, others)) = numbers.split_first() else {
        return match op {
            None => Ok((None, false)),
            Some(_) => Err(no_version(version)),
        };
    };
    let op = match op {
        Some(op) => op,
        None if has_wildcard => Op::Exact,
        None => {
            let spellings = [format!("^{text}"), format!("={text}")];
            return Err(spelling("a version has no operator", &spellings));
        }
    };
    let comparator = Comparator {
        op,
        major: *major,
        minor: others.first().copied(),
        patch: others.get(1).copied(),
        pre,
    };
    Ok((Some(comparator), is_long))
}

/// The operator, if there is one; `version` is what follows it.
fn op(operator: &str, version: &str) -> Result<Option<Op>, Reason> {
    let meant: &[&str] = match operator {
        "" => return Ok(None),
        "=" => return Ok(Some(Op::Exact)),
        ">" => return Ok(Some(Op::Greater)),
        ">=" => return Ok(Some(Op::GreaterEq)),
        "<" => return Ok(Some(Op::Less)),
        "<=" => return Ok(Some(Op::LessEq)),
        "~" => return Ok(Some(Op::Tilde)),
        "^" => return Ok(Some(Op::Caret)),
        "==" => &["="],
        "=>" => &[">="],
        "=<" => &["<="],
        "~>" => &["~", "^"],
        "!=" => &["<", ">"],
        _ => &[],
    };
    let what = format!("'{operator}' is no operator");
    if meant.is_empty() {
        return Err(Reason::Malformed(what));
    }
    let spellings: Vec<String> = meant.iter().map(|op| format!("{op}{version}")).collect();
    Err(spelling(&what, &spellings))
}

/// The version of a comparator; its last numbers may be left out.
struct Partial {
    numbers: Vec<u64>,
    /// Whether wildcards stand for the omitted numbers.
    has_wildcard: bool,
    pre: semver::Prerelease,
    /// Whether the first number is so long that it is a commit or a date.
    is_long: bool,
}

impl Partial {
    fn parse(operator: &str, version: &str) -> Result<Self, Reason> {
        let (numbers, prerelease) = match version.split_once('-') {
            Some((numbers, prerelease)) => (numbers, Some(prerelease)),
            None => (version, None),
        };
        let parts: Vec<&str> = numbers.split('.').collect();
        let is_wildcard = |part: &&str| matches!(*part, "*" | "x" | "X");
        let is_digits = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let given = parts.iter().take_while(|part| !is_wildcard(part)).count();
        let (digits, wildcards) = parts.split_at(given);
        if !digits.iter().all(is_digits) || !wildcards.iter().all(is_wildcard) {
            return Err(no_version(version));
        }
        if parts.len() > MOST_NUMBERS {
            let what = format!("a requirement has at most {MOST_NUMBERS} numbers");
            let shorter = parts[..MOST_NUMBERS].join(".");
            return Err(spelling(&what, &[format!("{operator}{shorter}")]));
        }
        let number = |part: &&str| {
            let too_large = |_| Reason::Malformed(format!("'{part}' is too large"));
            part.parse().map_err(too_large)
        };
        let numbers: Vec<u64> = digits.iter().map(number).collect::<Result<_, _>>()?;
        let pre = prerelease.map_or(Ok(semver::Prerelease::EMPTY), |text| {
            let suffix = format!("-{text}");
            let other = Quoted(&suffix);
            Prerelease::semver_text(text).ok_or_else(|| {
                Reason::Malformed(format!(
                    "{other} is no prerelease, and a variant has an argument of its own"
                ))
            })
        })?;
        if let Some(prerelease) = prerelease
            && given < MOST_NUMBERS
        {
            if !wildcards.is_empty() {
                return Err(no_version(version));
            }
            let what = format!("a prerelease goes with {MOST_NUMBERS} numbers");
            let zeros = ".0".repeat(MOST_NUMBERS - given);
            let whole = format!("{operator}{}{zeros}-{prerelease}", digits.join("."));
            return Err(spelling(&what, &[whole]));
        }
        Ok(Self {
            is_long: digits.first().is_some_and(|first| is_long(first)),
            has_wildcard: !wildcards.is_empty(),
            numbers,
            pre,
        })
    }
}

fn no_version(version: &str) -> Reason {
    Reason::Malformed(format!("{} is no version", Quoted(version)))
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
            (">=33", &["34"], &["20260901", "7312845", "0123456"]),
            (">=33 || =7312845", &["34", "7312845"], &["20260901"]),
            // All versions that begin with one or two numbers have to satisfy it.
            ("<17.5", &["16", "17.4"], &["17", "17.5"]),
            (">=17.11", &["17.11", "18"], &["17"]),
            ("~3.0", &["3.0", "3.0.9"], &["3"]),
            (">=34, <34.0.3", &["34.0.2"], &["34", "34.0"]),
            ("<3", &["2", "2.9"], &["3"]),
            (">2", &["3"], &["2"]),
            ("<=2.5", &["2.5"], &["2"]),
            ("=17", &["17", "17.5"], &["18"]),
            (">=1 <3", &["1", "2.9"], &["3"]),
            ("^17 || ^21.1", &["17", "21.1.4"], &["18", "21"]),
            (">= 33", &["33"], &["32"]),
            (">=2026.07", &["2026.7", "2026.07", "2026.10"], &["2026.6"]),
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
    fn says_what_is_wrong_and_what_to_write() {
        let remedy = "write one such as '>=33', '^2', '~1.4' or '>=1, <3'";
        for (input, reason) in [
            ("", format!("a version is missing; {remedy}")),
            (">=1,", format!("a version is missing; {remedy}")),
            ("^1 || ", format!("a version is missing; {remedy}")),
            (">=", format!("a version is missing after '>='; {remedy}")),
            ("^abc", format!("'abc' is no version; {remedy}")),
            (">=1..2", format!("'1..2' is no version; {remedy}")),
            ("^1.x.3", format!("'1.x.3' is no version; {remedy}")),
            ("^*", format!("'*' is no version; {remedy}")),
            ("^~1", format!("'^~' is no operator; {remedy}")),
            (
                ">=99999999999999999999",
                format!("'99999999999999999999' is too large; {remedy}"),
            ),
            (
                "^1.0.0-fpm",
                format!(
                    "'-fpm' is no prerelease, and a variant has an argument of its own; {remedy}"
                ),
            ),
            (
                "34.0.4 <35",
                "a version has no operator; write '^34.0.4' or '=34.0.4'".to_owned(),
            ),
            (
                "1.2 - 2.0",
                "a range has no hyphen; write '>=1.2, <=2.0'".to_owned(),
            ),
            (
                "~> 1.2",
                "'~>' is no operator; write '~1.2' or '^1.2'".to_owned(),
            ),
            ("==1.2", "'==' is no operator; write '=1.2'".to_owned()),
            ("=>1.2", "'=>' is no operator; write '>=1.2'".to_owned()),
            (
                "!=1.2",
                "'!=' is no operator; write '<1.2' or '>1.2'".to_owned(),
            ),
            ("^v2", "a version has no 'v' here; write '^2'".to_owned()),
            (
                ">=1.2.3.4",
                "a requirement has at most 3 numbers; write '>=1.2.3'".to_owned(),
            ),
            // A suggestion is left out if it is an error itself.
            ("^v", format!("a version has no 'v' here; {remedy}")),
            ("~>v1.2", format!("a version has no 'v' here; {remedy}")),
            ("~> 1.2.3.4", format!("'~>' is no operator; {remedy}")),
            ("1.2 - x", format!("a range has no hyphen; {remedy}")),
            (
                ">=2-rc1",
                "a prerelease goes with 3 numbers; write '>=2.0.0-rc1'".to_owned(),
            ),
            (
                "^1\u{200b}",
                "no version has a character that is not printable ASCII".to_owned(),
            ),
            (
                ">=1\n",
                "no version has a character that is not printable ASCII".to_owned(),
            ),
        ] {
            let error = input.parse::<Requirement>().unwrap_err().to_string();
            let start = format!("invalid version requirement {}: ", Quoted(input));
            assert_eq!(error, format!("{start}{reason}"));
        }
    }

    #[test]
    fn distinguishes_requirements_from_tags() {
        for requirement in [
            "^34",
            "~34.0",
            ">=33, <35",
            "34.x",
            "*",
            "=34",
            "34.X",
            "34 35",
            "1 || 2",
            "!=3",
        ] {
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
        fn plain_semver_requirements_match_the_same_versions_as_in_semver(
            text in "(>=|<=|>|<|=|\\^|~) ?[0-9]{1,2}(\\.[0-9]{1,2}){0,2}", versions in prop::collection::vec("[0-9]{1,2}\\.[0-9]{1,2}\\.[0-9]{1,2}", 8),
        ) {
            prop_assume!(!text.split(['.', ' ', '=', '<', '>', '^', '~']).any(|n| n.len() > 1 && n.starts_with('0')));
            let ours: Requirement = text.parse().unwrap();
            let theirs = VersionReq::parse(&text).unwrap();
            for version in versions {
                let version = Version::parse(&version).unwrap();
                prop_assert_eq!(ours.matches(&version), theirs.matches(&version.to_semver().0));
            }
        }
    }
}
