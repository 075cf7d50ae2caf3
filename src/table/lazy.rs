//! A lazily read table: in canonical text, binary search finds the image, and only
//! its pins are parsed.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

use foldhash::HashMap;
use memchr::memmem::Finder;

use super::canonical::read_pins;
use super::text::Text;
use super::{Pins, REMEDY, Table, head};
use crate::json::{self, FileError};
use crate::lock::lock;
use crate::reference::ImageName;

/// The end of a canonical text.
const TAIL: &[u8] = b"\n  }\n}\n";
/// The text before the name of an image.
const IMAGE: &[u8] = b"\n    \"";
static IMAGE_LINE: LazyLock<Finder> = LazyLock::new(|| Finder::new(IMAGE));
static IMAGE_END: LazyLock<Finder> = LazyLock::new(|| Finder::new(b"\n    }"));
/// Longest name of an image, in bytes.
const LONGEST_NAME: u64 = 1024;
/// Ranges up to this length, in bytes, are searched linearly.
const SHORT: u64 = 4 << 10;

/// A table of which a lookup parses only the pins of its image.
///
/// This needs the text of the image to be in canonical form, byte for byte as
/// [`Table::write`] writes it. A lookup does not notice mistakes in the rest of the
/// text. For any other text, the first lookup parses the whole table.
#[derive(Debug)]
pub struct LazyTable {
    /// The name of the table in errors.
    origin: String,
    text: Text,
    /// The version of the table; `None` if the text does not begin and end in canonical
    /// form.
    version: Option<u64>,
    /// The pins of the images of earlier lookups; `None` if they could not be read without
    /// the rest of the table.
    images: Mutex<HashMap<ImageName, Option<Arc<Pins>>>>,
    whole: OnceLock<Result<Table, FileError>>,
}

impl LazyTable {
    /// This repository's own table, as it was when the program was built.
    pub fn built_in() -> Self {
        let text = Cow::Borrowed(&include_bytes!("../../digests.json")[..]);
        Self::over(Text::Memory(text), "built-in digests.json")
    }

    /// A table from the text of a `digests.json`; errors call it `origin`.
    pub fn from_text(text: Vec<u8>, origin: &str) -> Self {
        Self::over(Text::Memory(text.into()), origin)
    }

    /// A table from a file, which is read as lookups need it; errors call it `origin`.
    /// The file must be replaced as a whole, as by [`crate::file`]. If it is changed in
    /// place, lookups may see a mix of both states.
    ///
    /// # Errors
    /// If the length of the file is unknown.
    pub fn from_file(file: File, origin: &str) -> Result<Self, FileError> {
        let text = Text::of_file(file);
        let text = text.map_err(|error| FileError::new(origin, json::plain(&error), REMEDY))?;
        Ok(Self::over(text, origin))
    }

    /// The table of the file at `path`, whatever kind of file it is.
    ///
    /// # Errors
    /// If it cannot be read, for which `remedy` says what to do.
    pub fn open(path: &Path, remedy: &str) -> Result<Self, FileError> {
        let origin = path.display().to_string();
        // A pipe can be read only once.
        match std::fs::metadata(path) {
            Ok(there) if there.is_file() => {
                let file = File::open(path);
                let failed = |error| FileError::new(&origin, json::plain(&error), remedy);
                Self::from_file(file.map_err(failed)?, &origin)
            }
            _ => Ok(Self::from_text(json::read_file(path, remedy)?, &origin)),
        }
    }

    fn over(text: Text, origin: &str) -> Self {
        let length = text.length();
        let has = |at: u64, expected: &[u8]| {
            let is_there =
                |at| text.with(at..at + expected.len() as u64, |there| there == expected);
            is_there(at).unwrap_or(false)
        };
        let is_long_enough = length >= (head(1).len() + TAIL.len()) as u64;
        let version = (1..=super::VERSION).find(|version| {
            is_long_enough
                && has(0, head(*version).as_bytes())
                && has(length - TAIL.len() as u64, TAIL)
        });
        Self {
            origin: origin.to_owned(),
            text,
            version,
            images: Mutex::default(),
            whole: OnceLock::new(),
        }
    }

    /// The pins of `image`, if it is in the table.
    ///
    /// # Errors
    /// If the table is malformed.
    pub fn pins(&self, image: &ImageName) -> Result<Option<Arc<Pins>>, FileError> {
        let known = lock(&self.images).get(image).cloned();
        let read = known.unwrap_or_else(|| {
            // On any failure, the whole text is parsed below and gives the error.
            let read = self.read(image).ok().flatten().map(Arc::new);
            lock(&self.images).insert(image.clone(), read.clone());
            read
        });
        if read.is_some() {
            return Ok(read);
        }
        let pins = self.whole()?.images.get(image).cloned().map(Arc::new);
        if pins.is_some() {
            lock(&self.images).insert(image.clone(), pins.clone());
        }
        Ok(pins)
    }

    /// The images whose pins may differ from those of `other`. Of two canonical texts in
    /// memory, it compares the texts of the images; any others are parsed.
    ///
    /// # Errors
    /// If a table that has to be parsed is malformed.
    pub fn differing(&self, other: &Self) -> Result<BTreeSet<ImageName>, FileError> {
        let differing = match (self.sections(), other.sections()) {
            (Some(old), Some(new)) => {
                let names = different(&old, &new).into_iter();
                names
                    .map(|name| ImageName::parse_qualified(name).ok())
                    .collect()
            }
            _ => None,
        };
        if let Some(differing) = differing {
            return Ok(differing);
        }
        let differing = different(&self.whole()?.images, &other.whole()?.images);
        Ok(differing.into_iter().cloned().collect())
    }

    /// The text of each image, by name, if the text is in memory and canonical.
    fn sections(&self) -> Option<BTreeMap<&str, &[u8]>> {
        self.version?;
        let text = self.text.in_memory()?;
        let text = &text[..text.len() - TAIL.len()];
        let starts: Vec<usize> = IMAGE_LINE.find_iter(text).collect();
        let ends = starts.iter().skip(1).copied().chain([text.len()]);
        let sections = starts.iter().zip(ends).map(|(start, end)| {
            let name = &text[start + IMAGE.len()..end];
            let quote = memchr::memchr(b'"', name)?;
            // The comma before the next image is not part of it.
            let section = text[*start..end]
                .strip_suffix(b",")
                .unwrap_or(&text[*start..end]);
            Some((str::from_utf8(&name[..quote]).ok()?, section))
        });
        sections.collect()
    }

    /// The whole table, parsed.
    ///
    /// # Errors
    /// If the table is malformed.
    pub fn whole(&self) -> Result<&Table, FileError> {
        let parse = || {
            let parse = |text: &[u8]| Table::parse(text, &self.origin);
            let parsed = self.text.with(0..self.text.length(), parse);
            parsed.map_err(|error| FileError::new(&self.origin, json::plain(&error), REMEDY))?
        };
        self.whole.get_or_init(parse).as_ref().map_err(Clone::clone)
    }

    /// The pins of `image`, if its text is found and canonical.
    fn read(&self, image: &ImageName) -> io::Result<Option<Pins>> {
        let Some(version) = self.version else {
            return Ok(None);
        };
        let name = image.as_str();
        let line = [IMAGE, name.as_bytes(), b"\": {"].concat();
        let end = self.text.length() - TAIL.len() as u64;
        let (low, high) = self.narrow(name, head(version).len() as u64, end)?;
        let room = low..(high + line.len() as u64).min(end);
        let Some(at) = self.text.find(&Finder::new(&line), room)? else {
            return Ok(None);
        };
        let start = at + line.len() as u64 - 1;
        let (is_behind_another, is_empty) = self.text.with(at - 1..start + 2, |text| {
            (
                matches!(text.first(), Some(b'{' | b',')),
                text.ends_with(b"{}"),
            )
        })?;
        let stop = if is_empty {
            start + 2
        } else {
            match self.text.find(&IMAGE_END, start..end)? {
                Some(at) => at + IMAGE_END.needle().len() as u64,
                None => return Ok(None),
            }
        };
        // Only another image may follow: conflict markers, say, make the text malformed.
        let follows = stop == end
            || self.text.with(stop..stop + 1, |text| text == b",")?
                && self
                    .name(stop + 1)?
                    .is_some_and(|next| *next != *name.as_bytes());
        if !is_behind_another || !follows {
            return Ok(None);
        }
        let read = |text: &[u8]| read_pins(text, version > 1);
        self.text.with(start..stop, read)
    }

    /// Binary search: narrows `low..high` to a short range. If the image called `name` is in
    /// the table, its line begins there.
    fn narrow(&self, name: &str, mut low: u64, mut high: u64) -> io::Result<(u64, u64)> {
        let end = high;
        while high.saturating_sub(low) > SHORT {
            let middle = low + (high - low) / 2;
            // A line that begins before `high` may end after it.
            let until = (high + IMAGE.len() as u64 - 1).min(end);
            match self.text.find(&IMAGE_LINE, middle..until)? {
                Some(line)
                    if self
                        .name(line)?
                        .is_some_and(|found| *found <= *name.as_bytes()) =>
                {
                    low = line;
                }
                _ => high = middle,
            }
        }
        Ok((low, high))
    }

    /// The name of the image whose line begins at `line`, if one does.
    fn name(&self, line: u64) -> io::Result<Option<Box<[u8]>>> {
        let until = line + IMAGE.len() as u64 + LONGEST_NAME;
        self.text.with(line..until, |text| {
            let name = text.strip_prefix(IMAGE)?;
            let quote = memchr::memchr(b'"', name)?;
            Some(Box::from(&name[..quote]))
        })
    }
}

/// The keys whose values differ, or that only one of both has.
fn different<'a, K: Ord, V: PartialEq>(
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
) -> BTreeSet<&'a K> {
    let keys = old.keys().chain(new.keys());
    keys.filter(|key| old.get(key) != new.get(key)).collect()
}

impl From<Table> for LazyTable {
    /// A table that is parsed already.
    fn from(table: Table) -> Self {
        Self {
            whole: OnceLock::from(Ok(table)),
            ..Self::from_text(Vec::new(), "")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::lookup::{LookupError, Query};
    use crate::reference::{Algorithm, Digest};
    use crate::table::{Pin, Platforms};
    use proptest::prelude::*;

    fn pin(text: &str) -> Pin {
        let digest = |of: &str| Digest::of(Algorithm::Sha256, of.as_bytes());
        let amd64 = ("linux/amd64".parse().unwrap(), digest(text));
        Pin {
            digest: digest(&format!("{text} index")),
            version: None,
            platforms: Platforms::from_iter(text.len().is_multiple_of(2).then_some(amd64)),
        }
    }

    fn table(images: &[(String, Vec<String>)]) -> Table {
        let mut table = Table::default();
        for (image, tags) in images {
            let pins = table.images.entry(image.parse().unwrap()).or_default();
            pins.extend(
                tags.iter()
                    .map(|tag| (tag.parse().unwrap(), pin(tag).into())),
            );
        }
        table
    }

    /// The same text in memory and in a file.
    fn both(text: &str) -> [LazyTable; 2] {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        [
            LazyTable::from_text(text.into(), "digests.json"),
            LazyTable::from_file(file, "digests.json").unwrap(),
        ]
    }

    fn large() -> Table {
        let names = (0..3000).map(|i| format!("docker.io/a{}/b{i}", i % 7));
        let tags = |i: usize| (0..i % 5).map(|tag| tag.to_string()).collect();
        table(
            &names
                .enumerate()
                .map(|(i, name)| (name, tags(i)))
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn every_image_and_tag_of_a_large_table_is_found_without_parsing_it() {
        let table = large();
        for lazy in both(&table.to_json()) {
            for (image, pins) in &table.images {
                assert_eq!(*lazy.pins(image).unwrap().unwrap(), *pins, "{image}");
            }
            assert!(lazy.whole.get().is_none());
            let other = "docker.io/a3/other".parse().unwrap();
            assert!(lazy.pins(&other).unwrap().is_none());
        }
    }

    #[test]
    fn the_images_that_differ_are_found_without_parsing_the_table() {
        let old = large();
        let mut new = old.clone();
        let names: Vec<ImageName> = old.images.keys().cloned().collect();
        let (removed, emptied, moved) = (&names[0], &names[1500], &names[2999]);
        new.images.remove(removed);
        new.images.insert(emptied.clone(), Pins::new());
        let pins = new.images.entry(moved.clone()).or_default();
        pins.insert("moved".parse().unwrap(), pin("moved").into());
        let added: ImageName = "docker.io/zz".parse().unwrap();
        new.images.insert(added.clone(), Pins::new());
        let expected: BTreeSet<ImageName> = [removed, moved, &added].into_iter().cloned().collect();
        let expected = if old.images[emptied].is_empty() {
            expected
        } else {
            expected.into_iter().chain([emptied.clone()]).collect()
        };
        let lazy = |text: String| LazyTable::from_text(text.into(), "digests.json");
        let texts = [&old, &new].map(|table| lazy(table.to_json()));
        assert_eq!(texts[0].differing(&texts[1]).unwrap(), expected);
        assert!(texts.iter().all(|table| table.whole.get().is_none()));
        assert!(texts[0].differing(&texts[0]).unwrap().is_empty());
        // Of any other text, by parsing it.
        let other = lazy(format!("{} ", new.to_json()));
        assert_eq!(texts[0].differing(&other).unwrap(), expected);
    }

    #[test]
    fn text_that_is_not_canonical_is_parsed_whole() {
        let names = ["a", "b", "c", "d"].map(|name| format!("docker.io/{name}"));
        let tags = |name: &str| vec![format!("only-{name}"), "1".to_owned()];
        let images: Vec<_> = names
            .iter()
            .map(|name| (name.clone(), tags(&name[10..])))
            .collect();
        let text = table(&images).to_json();
        let part = |from: &str, to: &str| {
            let from = text.find(&format!("\n    \"docker.io/{from}\"")).unwrap();
            let to = text
                .find(&format!("\n    \"docker.io/{to}\""))
                .unwrap_or(text.len() - TAIL.len());
            text[from..to].trim_end_matches(',').to_owned()
        };
        let (a, others) = (part("a", "b"), part("b", "z"));
        let pin = |tag: &str| {
            let from = text.find(&format!("\n      \"{tag}\"")).unwrap();
            let length = text[from..].find("\n      }").unwrap();
            &text[from..from + length + 8]
        };
        for odd in [
            // In another order.
            text.replace(&format!("{a},{others}"), &format!("{others},{a}")),
            // With another indent.
            text.replace("\n    \"docker.io/b\"", "\n   \"docker.io/b\""),
            // With conflict markers of a merge.
            text.replace(
                pin("only-a"),
                &format!("\n<<<<<<<{}\n=======", pin("only-a")),
            ),
            text.replace(pin("only-a"), &format!("{0},{0}", pin("only-a"))),
            text.replace(&a, &format!("{a},{a}")),
        ] {
            assert_ne!(odd, text);
            let strict = Table::parse(odd.as_bytes(), "digests.json");
            for lazy in both(&odd) {
                for name in ["c", "d", "b", "a"] {
                    for tag in ["1", "only-a", "only-b"] {
                        let query = Query::from_reference(&format!("{name}:{tag}")).unwrap();
                        let answer = query.answer_lazily(&lazy);
                        match (&strict, name) {
                            (Ok(table), _) => {
                                assert_eq!(answer.unwrap(), query.answer(table), "{odd}");
                            }
                            (Err(_), "a") if tag == "only-a" => {
                                answer.unwrap_err();
                            }
                            // The lookup does not read the mistake.
                            (Err(_), _) => {}
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_mistake_is_an_error_only_for_lookups_that_read_it() {
        let text = large().to_json();
        let name = "docker.io/a3/b10";
        let broken = text.replacen(&format!("\"{name}\": {{"), &format!("\"{name}\": ["), 1);
        assert_ne!(broken, text);
        for lazy in both(&broken) {
            let answer = |reference: &str| {
                let query = Query::from_reference(reference).unwrap();
                query.answer_lazily(&lazy)
            };
            assert!(answer("docker.io/a1/b1:0").unwrap().is_ok());
            let error = answer(&format!("{name}:1")).unwrap_err().to_string();
            assert!(error.starts_with("digests.json:"), "{error}");
            let miss = answer("docker.io/a1/b1:7").unwrap();
            assert!(matches!(miss, Err(LookupError::NoSuchTag { .. })));
        }
    }

    /// The text of a valid table with white space added or removed at each of the places
    /// in `changes`, where JSON allows it.
    fn with_another_layout(text: &str, changes: &[(prop::sample::Index, u8)]) -> String {
        let mut text = text.to_owned();
        for (place, change) in changes {
            let gaps: Vec<usize> = gaps(&text).collect();
            let at = gaps[place.index(gaps.len())];
            let width = text[at..].len() - text[at..].trim_start_matches([' ', '\n']).len();
            match change % 8 {
                0 => text.replace_range(at..at + width, ""),
                1 => text.replace_range(at..at + width, " "),
                2 => text.insert(at, '\n'),
                3 => text.insert_str(at + width, "  "),
                // An object on one line.
                4 | 5 => {
                    let Some((start, end)) = object(&text, at) else {
                        continue;
                    };
                    let line = text[start..end].replace(['\n', ' '], "");
                    text.replace_range(start..end, &line);
                }
                // An empty object with a space in it, or a brace with another indent.
                _ => {
                    let Some(brace) = text[at..].find('}').map(|brace| at + brace) else {
                        continue;
                    };
                    let before = text[..brace].trim_end_matches([' ', '\n']).len();
                    let indent = " ".repeat(usize::from(change / 8) % 8);
                    text.replace_range(before..brace, &format!("\n{indent}"));
                }
            }
        }
        text
    }

    /// The start and the end of the first object after `at`.
    fn object(text: &str, at: usize) -> Option<(usize, usize)> {
        let start = at + text[at..].find('{')?;
        let mut depth = 0;
        for (offset, byte) in text[start..].bytes().enumerate() {
            depth += i32::from(byte == b'{') - i32::from(byte == b'}');
            if depth == 0 {
                return Some((start, start + offset + 1));
            }
        }
        None
    }

    /// The places between the tokens of a table's text. No token has a space in it.
    fn gaps(text: &str) -> impl Iterator<Item = usize> {
        let bytes = text.as_bytes();
        let mut is_quoted = false;
        (1..bytes.len()).filter(move |at| {
            is_quoted ^= bytes[at - 1] == b'"';
            let is_space = |byte: u8| byte == b' ' || byte == b'\n';
            !is_quoted && !is_space(bytes[at - 1]) && bytes[at - 1] != b'1' && bytes[at - 1] != b'2'
        })
    }

    #[test]
    fn another_images_pin_is_never_the_answer() {
        let a = "a".repeat(64);
        let b = "b".repeat(64);
        let canonical = format!(
            "{{\n  \"version\": 1,\n  \"images\": {{\n    \"docker.io/a\": {{\n      \"1\": {{\n        \"digest\": \"sha256:{a}\"\n      }}\n    }},\n    \"docker.io/b\": {{\n      \"1\": {{\n        \"digest\": \"sha256:{b}\"\n      }}\n    }}\n  }}\n}}\n"
        );
        let of_a =
            format!("{{\n      \"1\": {{\n        \"digest\": \"sha256:{a}\"\n      }}\n    }}");
        for value in [
            format!("{{\"1\": {{\"digest\": \"sha256:{a}\"}}}}"),
            format!("{{\n      \"1\": {{\n        \"digest\": \"sha256:{a}\"\n      }}\n   }}"),
            "{ }".to_owned(),
        ] {
            let text = canonical.replace(&of_a, &value);
            let strict = Table::parse(text.as_bytes(), "digests.json").unwrap();
            for lazy in both(&text) {
                for reference in [
                    "docker.io/a:1".to_owned(),
                    format!("docker.io/a:1@sha256:{a}"),
                    "docker.io/b:1".to_owned(),
                ] {
                    let query = Query::from_reference(&reference).unwrap();
                    assert_eq!(query.answer_lazily(&lazy).unwrap(), query.answer(&strict));
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn a_valid_table_answers_as_its_parsed_form_whatever_its_layout(
            images in prop::collection::vec(
                ("docker\\.io/[a-d]{1,2}", prop::collection::vec("[0-2](\\.[0-2])?|latest", 0..4)),
                1..6,
            ),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let mut table = table(&images);
            // Each image has different digests, so a pin of another image is noticed.
            for (image, pins) in &mut table.images {
                for (tag, of_tag) in pins {
                    *of_tag = pin(&format!("{image}:{tag}")).into();
                }
            }
            let text = with_another_layout(&table.to_json(), &changes);
            let strict = Table::parse(text.as_bytes(), "digests.json").unwrap();
            prop_assert_eq!(&strict, &table);
            for lazy in both(&text) {
                for (image, pins) in &table.images {
                    for tag in pins.keys() {
                        for platform in [None, Some("linux/amd64".parse().unwrap())] {
                            let query = Query::from_reference(&format!("{image}:{tag}")).unwrap();
                            let query = query.for_platform(platform);
                            prop_assert_eq!(query.answer_lazily(&lazy).unwrap(), query.answer(&table));
                        }
                    }
                    let read = lazy.pins(image).unwrap().unwrap();
                    prop_assert_eq!(&*read, pins);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn corrupt_text_never_changes_an_answer(
            images in prop::collection::vec(
                ("docker\\.io/[a-c]{1,2}", prop::collection::vec("[0-2](\\.[0-2])?|latest", 0..3)),
                1..5,
            ),
            changes in prop::collection::vec(
                (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..6_u8, "[ -~\n]{0,3}"),
                1..4,
            ),
        ) {
            let mut table = table(&images);
            for (image, pins) in &mut table.images {
                for (tag, of_tag) in pins {
                    *of_tag = pin(&format!("{image}:{tag}")).into();
                }
            }
            let mut text = table.to_json();
            for (from, to, change, other) in changes {
                let from = from.index(text.len());
                let to = from + to.index(text.len() - from) % 400;
                match change {
                    0 => text.insert_str(from, &other),
                    1 => text.replace_range(from..to, ""),
                    2 => text.replace_range(from..to, &other),
                    // A repeated part, as after a bad merge.
                    3 | 4 => {
                        let part = text[from..to].to_owned();
                        text.insert_str(to, &part);
                    },
                    _ => text.truncate(to),
                }
                if text.is_empty() {
                    return Ok(());
                }
            }
            let strict = Table::parse(text.as_bytes(), "digests.json");
            for lazy in both(&text) {
                for (image, pins) in &table.images {
                    for tag in pins.keys() {
                        let query = Query::from_reference(&format!("{image}:{tag}")).unwrap();
                        let answer = query.answer_lazily(&lazy);
                        match (&strict, answer) {
                            (Ok(table), answer) => {
                                prop_assert_eq!(answer.unwrap(), query.answer(table), "{}", text);
                            }
                            // The mistake is elsewhere: the digest is in the image's own text.
                            (Err(_), Ok(Ok(pinned))) => {
                                let name = format!("\n    \"{image}\": {{");
                                let digest = pinned.digest.unwrap().to_string();
                                let own = text.split(&name).skip(1);
                                let mut own = own.map(|text| text.split("\n    }").next().unwrap());
                                prop_assert!(own.any(|own| own.contains(&digest)), "{}", text);
                            }
                            (Err(_), _) => {}
                        }
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn answers_as_the_parsed_table_whatever_the_indent(
            images in prop::collection::vec(
                ("docker\\.io/[ab]{1,3}", prop::collection::vec("[0-2]{1,2}(\\.[0-2])?(-fpm)?|latest|digest|platforms", 0..6)),
                0..12,
            ),
            asked in prop::collection::vec(
                ("docker\\.io/[ab]{1,3}", prop::option::of("[0-2](\\.[0-2])?|latest|platforms|\\^[0-2]"), any::<bool>()),
                1..8,
            ),
            indent in 0..6_usize,
            drop_last in 0..3_usize,
        ) {
            let text = table(&images).to_json();
            let mut text = match indent {
                0 => text.replace(['\n', ' '], ""),
                // Canonical, mostly.
                1..4 => text,
                _ => text.replace("  ", &" ".repeat(indent)),
            };
            text.truncate(text.len().saturating_sub(drop_last));
            let strict = Table::parse(text.as_bytes(), "digests.json");
            for lazy in both(&text) {
                for (image, version, platform) in &asked {
                    let attributes = [
                        Some(("image", image.as_str())),
                        version.as_ref().map(|version| ("version", version.as_str())),
                        platform.then_some(("platform", "linux/amd64")),
                    ];
                    let query = Query::from_attributes(attributes.into_iter().flatten()).unwrap();
                    let answer = query.answer_lazily(&lazy);
                    match &strict {
                        Ok(table) => prop_assert_eq!(answer.unwrap(), query.answer(table)),
                        Err(error) => prop_assert_eq!(answer.unwrap_err().to_string(), error.to_string()),
                    }
                }
            }
        }
    }
}
