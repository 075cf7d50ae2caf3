//! Outside input, made safe and short enough to quote in an error.

use std::fmt;

/// Longest piece of input an error repeats, in characters.
const LONGEST_QUOTE: usize = 100;

/// Displays `input` in single quotes, with control characters escaped and a
/// long text cut, so that no input can flood or steer a terminal.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("'")?;
        write!(f, "{}", Plain(self.0))?;
        f.write_str("'")
    }
}

/// Displays `input` as [`Quoted`] does, without the quotes.
pub(crate) struct Plain<'a>(pub(crate) &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        for character in characters.by_ref().take(LONGEST_QUOTE) {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        match characters.count() {
            0 => Ok(()),
            more => write!(f, "... ({more} more characters)"),
        }
    }
}

/// Implements `Serialize` as a type's printed form and `Deserialize` as its
/// parse, so that JSON holds the one spelling that `FromStr` and `Display` know.
macro_rules! serde_as_text {
    ($type:ty, $expecting:literal) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $type;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Visitor)
            }
        }
    };
}
pub(crate) use serde_as_text;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_cut_and_escape() {
        assert_eq!(Quoted("a b").to_string(), "'a b'");
        assert_eq!(Quoted("a\u{1b}[2J\n").to_string(), "'a\\u{1b}[2J\\n'");
        let long = "x".repeat(1_000_000);
        assert!(Quoted(&long).to_string().len() < 200);
    }
}
