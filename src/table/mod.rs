//! `digests.json`: the table of pins. The reader is strict, and the writer has one canonical form.

mod canonical;
mod lazy;
#[cfg(feature = "refresh")]
pub mod manifests;
pub mod merge;
#[cfg(feature = "refresh")]
pub mod pending;
mod text;

use std::collections::BTreeMap;
#[cfg(feature = "refresh")]
use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use litemap::LiteMap;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

pub use lazy::LazyTable;

use crate::json::{self, FileError, Object, UniqueMap};
use crate::reference::{Digest, ImageName, Platform, Tag, Version, by_version};
use crate::text::Quoted;

/// The pins of one image, by tag. The old and the new table of a refresh share the
/// pins that have not changed.
pub type Pins = BTreeMap<Tag, Arc<Pin>>;

/// The manifest of each platform. Most pins have two platforms, for which a sorted
/// list takes a quarter of the memory of a tree.
pub type Platforms = LiteMap<Platform, Digest>;

const REMEDY: &str = "mend the file, or take its last good version from git";
/// The highest version of a table. A table without recorded versions has version 1.
const VERSION: u64 = 2;

/// Every tracked image and its pins. A tracked image without a pin has an entry
/// without pins; an image that is not tracked has no entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// The pins, by image.
    pub images: BTreeMap<ImageName, Pins>,
}

/// The digests recorded for one tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The digest the tag points to: the index's, or that of the only manifest.
    pub digest: Digest,
    /// The version that a pattern of images.json has read from the tag.
    pub version: Option<Box<Version>>,
    /// The manifest of each tracked platform. Empty until a refresh has verified a pin
    /// that was imported with the tag's digest only.
    pub platforms: Platforms,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u64,
    images: UniqueMap<ImageName, UniqueMap<Tag, Arc<Pin>>>,
}

impl<'de> Deserialize<'de> for Pin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Members {
            digest: Digest,
            #[serde(default, deserialize_with = "text")]
            version: Option<String>,
            #[serde(default, deserialize_with = "text")]
            variant: Option<String>,
            #[serde(default, deserialize_with = "json::unique_map")]
            platforms: BTreeMap<Platform, Digest>,
        }
        // Unlike the default for `Option`, this refuses `null`.
        fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
            String::deserialize(deserializer).map(Some)
        }
        let Object(members) = Object::<Members>::deserialize(deserializer)?;
        let mut pin = Self::new(members.digest, members.platforms);
        pin.version = match (members.version, members.variant.unwrap_or_default()) {
            (Some(numbers), variant) => {
                let version = Version::from_pin(&numbers, &variant).ok_or_else(|| {
                    D::Error::custom(format_args!(
                        "invalid version {} of variant {}",
                        Quoted(&numbers),
                        Quoted(&variant)
                    ))
                })?;
                Some(Box::new(version))
            }
            (None, variant) if variant.is_empty() => None,
            (None, _) => return Err(D::Error::custom("a 'variant' goes with a 'version'")),
        };
        Ok(pin)
    }
}

/// The only member that tables of all versions have.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

impl Table {
    /// This repository's own table, as it was when the program was built.
    ///
    /// # Errors
    /// If the `digests.json` it was built with is malformed.
    pub fn built_in() -> Result<Self, FileError> {
        Self::parse(
            include_bytes!("../../digests.json"),
            "built-in digests.json",
        )
    }

    /// Parses the text of a `digests.json`; errors call it `origin`.
    ///
    /// # Errors
    /// If it is not JSON of version 1 or 2, with line, column and remedy.
    pub fn parse(content: &[u8], origin: &str) -> Result<Self, FileError> {
        Self::parse_with_remedy(content, origin, REMEDY)
    }

    /// As [`Table::parse`], for a table that is not a file: `remedy` says what
    /// to do about a bad one.
    pub(crate) fn parse_with_remedy(
        content: &[u8],
        origin: &str,
        remedy: &str,
    ) -> Result<Self, FileError> {
        let document =
            json::parse::<Object<Document>>(content, origin, remedy).map(|document| document.0);
        // A table of another version may have any other layout, so its version is a better
        // error than the first mistake.
        let version = match &document {
            Ok(document) => document.version,
            Err(_) => serde_json::from_slice(content)
                .map_or(VERSION, |Object(Versioned { version })| version),
        };
        if !(1..=VERSION).contains(&version) {
            let message = format!(
                "its version is {version}, and this nix-oci-hashes {} reads 1 and {VERSION}",
                env!("CARGO_PKG_VERSION")
            );
            return Err(FileError::new(
                origin,
                message,
                "use a newer nix-oci-hashes",
            ));
        }
        if document.is_err() && is_first_format(content) {
            let message = "it is a table of the first nix-oci-hashes";
            let remedy =
                "give it another name and take its pins over with 'nix-oci-hashes import FILE'";
            return Err(FileError::new(origin, message, remedy));
        }
        let table = Self::of(document?.images);
        if version < table.version() {
            let message =
                format!("a pin has a 'version', and the table says \"version\": {version}");
            return Err(FileError::new(origin, message, remedy));
        }
        Ok(table)
    }

    /// Reads `file` without holding all of it in memory. Returns the table and the digest
    /// of the bytes.
    ///
    /// # Errors
    /// If it cannot be read or is malformed. [`Table::parse`] gives a precise error.
    pub fn stream(file: File) -> io::Result<(Self, Digest)> {
        let mut document = None;
        let digest = Digest::of_read(file, |content| {
            let parsed = serde_json::from_reader(io::BufReader::new(content));
            let Object(Document { version, images }) = parsed?;
            document = Some((version, Self::of(images)));
            Ok(())
        })?;
        let document =
            document.filter(|(version, table)| (table.version()..=VERSION).contains(version));
        let (_, table) = document.ok_or(io::ErrorKind::InvalidData)?;
        Ok((table, digest))
    }

    fn of(images: UniqueMap<ImageName, UniqueMap<Tag, Arc<Pin>>>) -> Self {
        let images = images.0.into_iter();
        Self {
            images: images.map(|(name, pins)| (name, pins.0)).collect(),
        }
    }

    /// The version that the table is written as.
    fn version(&self) -> u64 {
        let mut pins = self.images.values().flat_map(BTreeMap::values);
        if pins.any(|pin| pin.version.is_some()) {
            VERSION
        } else {
            1
        }
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, for which `remedy` says what to do, or is malformed.
    pub fn read(path: &Path, remedy: &str) -> Result<Self, FileError> {
        let content = json::read_file(path, remedy)?;
        Self::parse(&content, &path.display().to_string())
    }

    /// The canonical text, as [`Table::write`] writes it.
    pub fn to_json(&self) -> String {
        let mut text = Vec::new();
        // Writing to memory does not fail, and all of it is ASCII.
        let _ = self.write(&mut text);
        String::from_utf8(text).unwrap_or_default()
    }

    /// Writes the canonical text: images in byte order, tags in version order,
    /// two-space indent, one digest a line, a newline at the end.
    ///
    /// # Errors
    /// If `out` fails.
    pub fn write(&self, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
        // Names, tags, platforms and digests need no escapes in JSON.
        let head = head(self.version());
        out.write_all(head.trim_end_matches('{').as_bytes())?;
        write_object(out, 1, &self.images, |out, pins| {
            let mut pins: Vec<(&Tag, &Arc<Pin>)> = pins.iter().collect();
            pins.sort_by_cached_key(|(tag, pin)| pin.by_version(tag));
            write_object(out, 2, pins, |out, pin| pin.write(out))
        })?;
        out.write_all(b"\n}\n")
    }
}

impl Pin {
    /// A pin of these platforms, without spare capacity: a table has many pins.
    pub fn new(digest: Digest, platforms: BTreeMap<Platform, Digest>) -> Self {
        let mut exact = Platforms::with_capacity(platforms.len());
        for (platform, manifest) in platforms {
            exact.insert(platform, manifest);
        }
        Self {
            digest,
            version: None,
            platforms: exact,
        }
    }

    /// A sort key like [`by_version`] for the tag of this pin, but by the recorded version
    /// if the pin has one.
    pub fn by_version(&self, tag: &Tag) -> (bool, Option<Version>, Tag) {
        match &self.version {
            Some(version) => (false, Some((**version).clone()), tag.clone()),
            None => by_version(tag),
        }
    }

    /// The recorded version, or the one that `tag` reads as.
    #[cfg(feature = "refresh")]
    pub fn version_of(&self, tag: &Tag) -> Option<Version> {
        let recorded = self.version.as_deref().cloned();
        recorded.or_else(|| tag.version())
    }

    /// Whether a request would add nothing while the digest is unchanged: the pin has all
    /// of `platforms`, or the tag points to a single manifest and not to an index.
    #[cfg(feature = "refresh")]
    pub(crate) fn is_complete(&self, platforms: &BTreeSet<Platform>) -> bool {
        platforms
            .iter()
            .all(|platform| self.platforms.contains_key(platform))
            || self.platforms.iter().any(|(platform, manifest)| {
                *manifest == self.digest && platforms.contains(platform)
            })
    }

    /// Whether the pin has one of `platforms`.
    #[cfg(feature = "refresh")]
    pub(crate) fn has_any(&self, platforms: &BTreeSet<Platform>) -> bool {
        self.platforms
            .keys()
            .any(|platform| platforms.contains(platform))
    }

    fn write(&self, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
        write!(out, "{{\n        \"digest\": \"{}\"", self.digest)?;
        if let Some(version) = &self.version {
            write!(out, ",\n        \"version\": \"{}\"", version.to_pin())?;
            if !version.variant().is_empty() {
                write!(out, ",\n        \"variant\": \"{}\"", version.variant())?;
            }
        }
        if !self.platforms.is_empty() {
            out.write_all(b",\n        \"platforms\": ")?;
            write_object(out, 4, &self.platforms, |out, digest| {
                write!(out, "\"{digest}\"")
            })?;
        }
        out.write_all(b"\n      }")
    }
}

/// Whether `content` is a table of the first nix-oci-hashes: references by image, tag and
/// platform.
fn is_first_format(content: &[u8]) -> bool {
    type Texts<V> = BTreeMap<String, V>;
    let table: Result<Texts<Texts<Texts<String>>>, _> = serde_json::from_slice(content);
    table.is_ok_and(|table| !table.is_empty())
}

/// How the text of a table of this version begins.
fn head(version: u64) -> String {
    format!("{{\n  \"version\": {version},\n  \"images\": {{")
}

/// Writes a JSON object with one member a line. Its braces are indented by `depth`.
fn write_object<W: Write + ?Sized, K: fmt::Display, V>(
    out: &mut W,
    depth: usize,
    members: impl IntoIterator<Item = (K, V)>,
    mut write_value: impl FnMut(&mut W, V) -> io::Result<()>,
) -> io::Result<()> {
    let indent = 2 * depth;
    let mut is_empty = true;
    for (key, value) in members {
        let comma = if is_empty { "{" } else { "," };
        write!(out, "{comma}\n{:indent$}  \"{key}\": ", "")?;
        write_value(out, value)?;
        is_empty = false;
    }
    if is_empty {
        out.write_all(b"{}")
    } else {
        write!(out, "\n{:indent$}}}", "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::Algorithm;
    use proptest::prelude::*;
    use std::io::Seek as _;

    fn digest(of: &str) -> Digest {
        Digest::of(Algorithm::Sha256, of.as_bytes())
    }

    fn error(content: &str) -> String {
        Table::parse(content.as_bytes(), "digests.json")
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn the_built_in_table_is_canonical() {
        let table = Table::built_in().unwrap();
        assert_eq!(table.to_json(), include_str!("../../digests.json"));
    }

    #[test]
    fn writes_one_digest_a_line_in_version_order() {
        let mut table = Table::default();
        table.images.entry("b.io/x".parse().unwrap()).or_default();
        let pins = table.images.entry("a.io/x".parse().unwrap()).or_default();
        for (tag, platform) in [("10", Some("linux/arm64")), ("9", None), ("9.1", None)] {
            let platforms = platform.map(|p| (p.parse().unwrap(), digest(p)));
            let pin = Pin {
                digest: digest(tag),
                version: None,
                platforms: platforms.into_iter().collect(),
            };
            pins.insert(tag.parse().unwrap(), pin.into());
        }
        let (nine, nine_one, ten, arm64) = (
            digest("9"),
            digest("9.1"),
            digest("10"),
            digest("linux/arm64"),
        );
        let expected = format!(
            r#"{{
  "version": 1,
  "images": {{
    "a.io/x": {{
      "9": {{
        "digest": "{nine}"
      }},
      "9.1": {{
        "digest": "{nine_one}"
      }},
      "10": {{
        "digest": "{ten}",
        "platforms": {{
          "linux/arm64": "{arm64}"
        }}
      }}
    }},
    "b.io/x": {{}}
  }}
}}
"#
        );
        assert_eq!(table.to_json(), expected);
    }

    #[test]
    fn refuses_bad_files_with_line_and_remedy() {
        let good = digest("x");
        for (content, part) in [
            (String::new(), "digests.json: the file is empty"),
            ("  \n".to_owned(), "digests.json: the file is empty"),
            (
                "[]".to_owned(),
                "invalid type: sequence, expected an object",
            ),
            (
                "[1,{}]".to_owned(),
                "invalid type: sequence, expected an object",
            ),
            (
                format!(r#"{{"version":1,"images":{{"x":{{"1":["{good}"]}}}}}}"#),
                "invalid type: sequence, expected an object",
            ),
            ("null".to_owned(), "digests.json:1:4: invalid type: null"),
            ("{}".to_owned(), "missing field `version`"),
            (r#"{"version":1}"#.to_owned(), "missing field `images`"),
            ("[".repeat(10_000_000), "digests.json:1:"),
        ] {
            refuses(&content, part);
        }
        let mut content = Table::default().to_json().into_bytes();
        content[4] = 0xff;
        assert!(Table::parse(&content, "digests.json").is_err());
    }

    fn refuses(content: &str, part: &str) {
        let error = error(content);
        assert!(error.contains(part), "{error}");
        assert!(
            error.ends_with(REMEDY) || error.contains("newer") || error.contains("import"),
            "{error}"
        );
        assert!(error.len() < 700, "{error}");
    }

    #[test]
    fn refuses_bad_pins_and_other_versions() {
        let good = digest("x");
        let pin = format!(r#"{{"digest":"{good}"}}"#);
        for (content, part) in [
            (
                r#"{"version":3,"images":{}}"#.to_owned(),
                "its version is 3, and this nix-oci-hashes 0.1.0 reads 1 and 2",
            ),
            (
                r#"{"version":3,"registries":{}}"#.to_owned(),
                "its version is 3, and this nix-oci-hashes",
            ),
            (
                format!(
                    r#"{{"version":1,"images":{{"x":{{"1":{{"digest":"{good}","version":"1"}}}}}}}}"#
                ),
                r#"a pin has a 'version', and the table says "version": 1"#,
            ),
            (
                format!(
                    r#"{{"version":2,"images":{{"x":{{"1":{{"digest":"{good}","version":"01"}}}}}}}}"#
                ),
                "invalid version '01' of variant ''",
            ),
            (
                format!(
                    r#"{{"version":2,"images":{{"x":{{"1":{{"digest":"{good}","variant":"-a"}}}}}}}}"#
                ),
                "a 'variant' goes with a 'version'",
            ),
            (
                format!(r#"{{"docker.io/x":{{"1":{{"linux/amd64":"docker.io/x:1@{good}"}}}}}}"#),
                "it is a table of the first nix-oci-hashes; give it another name and take its pins over with \
                 'nix-oci-hashes import FILE'",
            ),
            (
                format!(r#"{{"version":1,"{}":1}}"#, "k".repeat(1_000_000)),
                "more characters)",
            ),
            (
                r#"{"version":1,"images":{},"x":1}"#.to_owned(),
                "unknown field `x`",
            ),
            (r#"{"version":1,"images":{"#.to_owned(), "EOF while parsing"),
            (
                r#"{"version":1,"images":[]}"#.to_owned(),
                "expected an object",
            ),
            (
                r#"{"version":1,"images":{"A B":{}}}"#.to_owned(),
                "invalid image reference 'A B'",
            ),
            (
                r#"{"version":1,"images":{"x":{},"docker.io/x":{}}}"#.to_owned(),
                "duplicate key 'docker.io/x'",
            ),
            (
                format!(r#"{{"version":1,"images":{{"x":{{"1":{pin},"1":{pin}}}}}}}"#),
                "duplicate key '1'",
            ),
            (
                format!(r#"{{"version":1,"images":{{"x":{{"a b":{pin}}}}}}}"#),
                "invalid tag 'a b'",
            ),
            (
                "{\"version\":1,\"images\":{\"x\":{\"1\":{\n\"digest\":\"sha256:0\"}}}}".to_owned(),
                "digests.json:2:19: invalid digest 'sha256:0'",
            ),
            (
                format!(
                    r#"{{"version":1,"images":{{"x":{{"1":{{"digest":"{good}","digest":"{good}"}}}}}}}}"#
                ),
                "duplicate field `digest`",
            ),
            (
                format!(
                    r#"{{"version":1,"images":{{"x":{{"1":{{"digest":"{good}","size":1}}}}}}}}"#
                ),
                "unknown field `size`",
            ),
            (
                format!(
                    r#"{{"version":1,"images":{{"x":{{"1":{{"digest":"{good}","platforms":{{"linux":"{good}"}}}}}}}}}}"#
                ),
                "invalid platform 'linux'",
            ),
        ] {
            refuses(&content, part);
        }
    }

    prop_compose! {
        fn pins()(
            tags in prop::collection::vec("[a-z0-9][a-z0-9.-]{0,8}", 0..6),
            platforms in prop::collection::btree_set("linux/(amd64|arm64|arm/v7|386)", 0..3),
        ) -> Pins {
            tags.iter().map(|tag| {
                let platforms = platforms.iter().map(|p| (p.parse().unwrap(), digest(p))).collect();
                (tag.parse().unwrap(), Pin { digest: digest(tag), version: None, platforms }.into())
            }).collect()
        }
    }

    proptest! {
        #[test]
        fn parse_of_print_is_the_identity(
            images in prop::collection::btree_map("[a-z]{1,4}\\.io/[a-z]{1,4}", pins(), 0..4),
        ) {
            let images = images.into_iter().map(|(name, pins)| (name.parse().unwrap(), pins));
            let table = Table { images: images.collect() };
            let text = table.to_json();
            let parsed = Table::parse(text.as_bytes(), "digests.json").unwrap();
            prop_assert_eq!(parsed.to_json(), text.clone());
            prop_assert_eq!(&parsed, &table);
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file.rewind().unwrap();
            prop_assert_eq!(Table::stream(file).unwrap(), (table, digest(&text)));
        }

        #[test]
        fn no_input_panics(content: Vec<u8>) {
            let _ = Table::parse(&content, "digests.json");
        }
    }
}
