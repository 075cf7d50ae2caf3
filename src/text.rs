//! Outside input, made safe and short enough to quote in an error.

use std::fmt;

/// Longest piece of input an error repeats, in characters.
const LONGEST_QUOTE: usize = 100;
/// Longest message of another program or library, in characters.
const LONGEST_MESSAGE: usize = 400;

/// Displays `input` in single quotes, with control characters escaped and a
/// long text cut, so that no input can flood or steer a terminal.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("'")?;
        write_plain(f, self.0, LONGEST_QUOTE)?;
        f.write_str("'")
    }
}

/// Displays a text that has outside input in it, such as the name of a file or a
/// message, with control characters escaped and a long one cut.
pub struct Plain<'a>(pub &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_plain(f, self.0, LONGEST_MESSAGE)
    }
}

fn write_plain(f: &mut fmt::Formatter<'_>, text: &str, longest: usize) -> fmt::Result {
    let mut characters = text.chars();
    for character in characters.by_ref().take(longest) {
        if character.is_control() || is_invisible(character) {
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

/// Characters without a look of their own, which can hide or reorder others.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    )
}

/// Implements `Deserialize` as a type's parse, so that JSON holds the one
/// spelling that `FromStr` and `Display` know.
macro_rules! deserialize_as_text {
    ($type:ty, $expecting:literal) => {
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
pub(crate) use deserialize_as_text;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_cut_and_escape() {
        assert_eq!(Quoted("a b").to_string(), "'a b'");
        assert_eq!(Quoted("a\u{1b}[2J\n").to_string(), "'a\\u{1b}[2J\\n'");
        assert_eq!(Quoted("a\u{202e}b").to_string(), "'a\\u{202e}b'");
        let long = "x".repeat(1_000_000);
        assert!(Quoted(&long).to_string().len() < 200);
    }
}
