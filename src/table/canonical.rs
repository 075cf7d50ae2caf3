//! A parser for the pins of one image in canonical form, as [`super::Table::write`]
//! writes them. It is much faster than a JSON parser.

use std::str::FromStr;
use std::sync::Arc;

use super::{Pin, Pins, Platforms};
use crate::reference::{Tag, Version};

/// Reads `text`, the value of an image from its opening to its closing brace. `None` if
/// it is not canonical: it may still be valid JSON then. `has_versions` is whether pins
/// may record versions.
pub(super) fn read_pins(text: &[u8], has_versions: bool) -> Option<Pins> {
    let mut pins = Pins::new();
    if text == b"{}" {
        return Some(pins);
    }
    let mut reader = Reader(text);
    reader.expect(b"{")?;
    loop {
        let tag: Tag = reader.member(b"\n      \"")?;
        let pin = reader.pin(has_versions)?;
        if pins.insert(tag, Arc::new(pin)).is_some() {
            return None;
        }
        if !reader.take(b",") {
            break;
        }
    }
    reader.expect(b"\n    }")?;
    reader.0.is_empty().then_some(pins)
}

/// The text that is left to read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    /// Skips `literal` if it comes next. Returns whether it did.
    fn take(&mut self, literal: &[u8]) -> bool {
        let rest = self.0.strip_prefix(literal);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn expect(&mut self, literal: &[u8]) -> Option<()> {
        self.take(literal).then_some(())
    }

    /// Parses the text before the next quote, and skips the quote.
    fn quoted<T: FromStr>(&mut self) -> Option<T> {
        let quote = memchr::memchr(b'"', self.0)?;
        let value = std::str::from_utf8(&self.0[..quote]).ok()?.parse().ok()?;
        self.0 = &self.0[quote + 1..];
        Some(value)
    }

    /// Skips `start`, then parses the name of a member and skips its colon.
    fn member<T: FromStr>(&mut self, start: &[u8]) -> Option<T> {
        self.expect(start)?;
        let name = self.quoted()?;
        self.expect(b": ")?;
        Some(name)
    }

    fn pin(&mut self, has_versions: bool) -> Option<Pin> {
        self.expect(b"{\n        \"digest\": \"")?;
        let digest = self.quoted()?;
        let mut version = None;
        if has_versions && self.take(b",\n        \"version\": \"") {
            let numbers: String = self.quoted()?;
            let variant: String = if self.take(b",\n        \"variant\": \"") {
                self.quoted()?
            } else {
                String::new()
            };
            version = Some(Box::new(Version::from_pin(&numbers, &variant)?));
        }
        let mut platforms = Platforms::new();
        if self.take(b",\n        \"platforms\": {") {
            loop {
                let platform = self.member(b"\n          \"")?;
                self.expect(b"\"")?;
                if platforms.try_append(platform, self.quoted()?).is_some() {
                    return None;
                }
                if !self.take(b",") {
                    break;
                }
            }
            self.expect(b"\n        }")?;
        }
        self.expect(b"\n      }")?;
        Some(Pin {
            digest,
            version,
            platforms,
        })
    }
}
