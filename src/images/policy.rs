//! Fields of `images.json` that say when a new digest is pinned.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use crate::text::Quoted;

/// Longest minimum age: a longer one is a mistake.
const MAX_AGE: Duration = Duration::from_secs(365 * DAY);
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;

/// For how long the runs of this project must have seen a new digest before it is
/// pinned. Written as a number with `h`, `d` or `w`: `12h`, `3d`, `2w`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MinimumAge(Duration);

/// Why a text is not a [`MinimumAge`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid age {}: write hours, days or weeks, at most a year, such as '12h', '3d' or '2w'",
    Quoted(.0)
)]
pub struct AgeError(String);

impl MinimumAge {
    /// Its length.
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for MinimumAge {
    type Err = AgeError;

    fn from_str(input: &str) -> Result<Self, AgeError> {
        let parse = || {
            let unit = match input.chars().next_back()? {
                'h' => HOUR,
                'd' => DAY,
                'w' => WEEK,
                _ => return None,
            };
            let number = &input[..input.len() - 1];
            let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
            let number: u64 = is_number.then(|| number.parse().ok())??;
            let age = Duration::from_secs(number.checked_mul(unit)?);
            (Duration::ZERO < age && age <= MAX_AGE).then_some(Self(age))
        };
        parse().ok_or_else(|| AgeError(input.to_owned()))
    }
}

impl fmt::Display for MinimumAge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let units = [(WEEK, 'w'), (DAY, 'd'), (HOUR, 'h')];
        let unit = units.iter().find(|(unit, _)| seconds.is_multiple_of(*unit));
        let (unit, letter) = unit.unwrap_or(&(HOUR, 'h'));
        write!(f, "{}{letter}", seconds / unit)
    }
}

impl<'de> Deserialize<'de> for MinimumAge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// What a refresh does with a full version that points to another digest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Repushed {
    /// Pins the new digest and calls it out. Nobody merges that automatically.
    #[default]
    Report,
    /// Pins the new digest like that of any other tag: the project rebuilds its
    /// releases.
    Expected,
    /// Keeps the old digest until a person takes the new one.
    Hold,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_number_with_a_unit() {
        for (text, hours) in [("12h", 12), ("3d", 72), ("2w", 336), ("365d", 8760)] {
            let age: MinimumAge = text.parse().unwrap();
            assert_eq!(age.duration(), Duration::from_secs(hours * 3600));
            assert_eq!(age.to_string(), text);
        }
        assert_eq!("48h".parse::<MinimumAge>().unwrap().to_string(), "2d");
        for text in [
            "",
            "3",
            "d",
            "0d",
            "-3d",
            "+3d",
            "3 d",
            "3 days",
            "1.5d",
            "366d",
            "3m",
            "3d\n",
            "３d",
            "99999999999999999999w",
        ] {
            let error = text.parse::<MinimumAge>().unwrap_err().to_string();
            assert!(error.contains("'3d'"), "{error}");
        }
    }
}
