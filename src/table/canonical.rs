//! A pin as [`super::Table::write`] writes it, read in a fraction of the time that any
//! JSON takes.

use std::str::FromStr;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::{Pin, Platforms};
use crate::digest::Digest;
use crate::tag::Tag;

static TAG_LINE: LazyLock<Finder> = LazyLock::new(|| Finder::new(TAG));
static PIN_END: LazyLock<Finder> = LazyLock::new(|| Finder::new(PIN));
/// What is before a tag, and before the closing brace of its pin.
const TAG: &[u8] = b"\n      \"";
const PIN: &[u8] = b"\n      }";
const DIGEST: &[u8] = b"{\n        \"digest\": \"";
const PLATFORMS: &[u8] = b",\n        \"platforms\": {";
const PLATFORM: &[u8] = b"\n          \"";

/// Where the lines of tags begin within the text of an image.
pub(super) fn tag_lines(image: &[u8]) -> impl Iterator<Item = usize> {
    TAG_LINE.find_iter(image)
}

/// The text of the pin of `tag`, and of what is behind it, within the text of an
/// image of which these are the lines of tags; nothing where it cannot be found for
/// certain.
pub(super) fn find_pin<'a>(
    image: &'a [u8],
    mut lines: impl Iterator<Item = usize>,
    tag: &Tag,
) -> Option<&'a [u8]> {
    let tag = tag.as_str().as_bytes();
    let of_tag = |line: &'a [u8]| {
        let behind = line.strip_prefix(TAG)?.strip_prefix(tag)?;
        behind.strip_prefix(b"\": ")
    };
    let (at, pin) = lines.find_map(|at| Some((at, of_tag(image.get(at..)?)?)))?;
    // Between conflict markers, say, a pin is none.
    let is_behind_another = matches!(image[..at].last(), Some(b'{' | b','));
    // The same tag once more would follow, where they are sorted.
    let next = lines.next();
    let is_twice = next.is_some_and(|next| image.get(next..).and_then(of_tag).is_some());
    (is_behind_another && !is_twice).then_some(pin)
}

/// The pin that `text` begins with, from its opening brace on; nothing where it is
/// written otherwise.
pub(super) fn read_pin(text: &[u8]) -> Option<Pin> {
    let (digest, rest) = quoted(text.strip_prefix(DIGEST)?)?;
    let mut platforms = Platforms::new();
    let Some(mut rest) = rest.strip_prefix(PLATFORMS) else {
        return is_end(rest).then_some(Pin { digest, platforms });
    };
    loop {
        let (platform, after) = quoted(rest.strip_prefix(PLATFORM)?)?;
        let (manifest, after) = quoted(after.strip_prefix(b": \"")?)?;
        if platforms.try_append(platform, manifest).is_some() {
            return None;
        }
        let Some(next) = after.strip_prefix(b",") else {
            let is_end = is_end(after.strip_prefix(b"\n        }")?);
            break is_end.then_some(Pin { digest, platforms });
        };
        rest = next;
    }
}

/// The digest of the pin that `text` begins with; its platforms are passed over.
pub(super) fn read_digest(text: &[u8]) -> Option<Digest> {
    let (digest, rest) = quoted(text.strip_prefix(DIGEST)?)?;
    let rest = match rest.strip_prefix(PLATFORMS) {
        Some(platforms) => &platforms[PIN_END.find(platforms)?..],
        None => rest,
    };
    is_end(rest).then_some(digest)
}

/// What `text` is up to the next quote, and what is behind that.
fn quoted<T: FromStr>(text: &[u8]) -> Option<(T, &[u8])> {
    let quote = memchr::memchr(b'"', text)?;
    let value = std::str::from_utf8(&text[..quote]).ok()?.parse().ok()?;
    Some((value, &text[quote + 1..]))
}

/// Whether `text` is the end of a pin, and another tag follows, or the end of its
/// image.
fn is_end(text: &[u8]) -> bool {
    let behind = text.strip_prefix(PIN);
    behind.is_some_and(|behind| {
        let next = behind.strip_prefix(b",");
        next.is_some_and(|next| next.starts_with(TAG)) || behind == b"\n    }"
    })
}
