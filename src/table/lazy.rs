//! A table of which a lookup reads what it needs: in the canonical text an image
//! is found by halves and a tag within it by its line, so that most of a table
//! is never parsed, and most of a large file never read.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::{Bound, Range};
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

use foldhash::HashMap;
use memchr::memmem::Finder;

use super::text::Text;
use super::{Pin, Pins, READ_REMEDY, REMEDY, Table, canonical};
use crate::digest::Digest;
use crate::json::{self, FileError, UniqueMap};
use crate::name::ImageName;
use crate::tag::Tag;

/// How the canonical text begins and ends.
const HEAD: &[u8] = b"{\n  \"version\": 1,\n  \"images\": {";
const TAIL: &[u8] = b"\n  }\n}\n";
/// What is before the name of an image, and behind its last tag.
const IMAGE: &[u8] = b"\n    \"";
static IMAGE_LINE: LazyLock<Finder> = LazyLock::new(|| Finder::new(IMAGE));
static IMAGE_END: LazyLock<Finder> = LazyLock::new(|| Finder::new(b"\n    }"));
/// Most that can be between the quotes of an image's name.
const LONGEST_NAME: u64 = 1024;
/// What is searched from one end to the other, and not by halves.
const SHORT: u64 = 4 << 10;
/// Longest text of an image in which it is kept where each tag is.
const LONGEST_KNOWN: u64 = 64 << 10;

/// A table that is parsed as far as it is looked up in.
///
/// A text in canonical form is taken at its word: of the rest of it, only a
/// lookup that touches it says what is wrong. Any other text is parsed whole at
/// the first lookup.
#[derive(Debug)]
pub struct LazyTable {
    /// What errors call it.
    origin: String,
    text: Text,
    /// Whether it looks canonical, so that what is wanted can be found in it.
    is_canonical: bool,
    found: Mutex<Found>,
    whole: OnceLock<Result<Table, FileError>>,
}

/// What has been looked up before.
#[derive(Debug, Default)]
struct Found {
    /// Where the lines of some images begin. Each search adds those that it has
    /// come by, and the next ones begin with less to search.
    lines: BTreeMap<Box<[u8]>, u64>,
    /// The image behind the one found last: whoever goes through a table asks for
    /// that one next.
    next: Option<(Box<[u8]>, u64)>,
    /// Where the value of each image is, if it is there.
    places: HashMap<ImageName, Option<Place>>,
    pins: HashMap<ImageName, Arc<Pins>>,
}

/// Where the value of an image is, from its opening brace to its closing one.
#[derive(Debug, Clone)]
struct Place {
    range: Range<u64>,
    /// Where in it the lines of its tags begin; not kept of a large one, of which
    /// few are asked for.
    tags: Option<Arc<[u32]>>,
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

    /// A table from a file, which is read as lookups need it; errors call it
    /// `origin`. It has to be what is replaced as a whole, as [`crate::file`]
    /// does it: of a file that is changed in place, lookups may see both states.
    ///
    /// # Errors
    /// Where its length cannot be told.
    pub fn from_file(file: File, origin: &str) -> Result<Self, FileError> {
        let text = Text::of_file(file);
        let text = text.map_err(|error| FileError::new(origin, json::plain(&error), REMEDY))?;
        Ok(Self::over(text, origin))
    }

    /// The table of the file at `path`, whatever kind of file it is.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let origin = path.display().to_string();
        // A pipe can be read but once.
        match std::fs::metadata(path) {
            Ok(there) if there.is_file() => {
                let file = File::open(path);
                let failed = |error| FileError::new(&origin, json::plain(&error), READ_REMEDY);
                Self::from_file(file.map_err(failed)?, &origin)
            }
            _ => Ok(Self::from_text(
                json::read_file(path, READ_REMEDY)?,
                &origin,
            )),
        }
    }

    fn over(text: Text, origin: &str) -> Self {
        let length = text.length();
        let has = |at: Option<u64>, expected: &[u8]| {
            let is_there =
                |at| text.with(at..at + expected.len() as u64, |there| there == expected);
            at.is_some_and(|at| is_there(at).unwrap_or(false))
        };
        Self {
            is_canonical: length >= (HEAD.len() + TAIL.len()) as u64
                && has(Some(0), HEAD)
                && has(length.checked_sub(TAIL.len() as u64), TAIL),
            origin: origin.to_owned(),
            text,
            found: Mutex::default(),
            whole: OnceLock::new(),
        }
    }

    /// The pin of `tag`, where it can be had without parsing more than itself.
    pub(crate) fn pin(&self, image: &ImageName, tag: &Tag) -> Option<Pin> {
        self.read(image, tag, canonical::read_pin)
    }

    /// The digest of `tag`, where it can be had without parsing more than itself.
    pub(crate) fn digest(&self, image: &ImageName, tag: &Tag) -> Option<Digest> {
        self.read(image, tag, canonical::read_digest)
    }

    /// What `read` makes of the text of a pin.
    fn read<T>(&self, image: &ImageName, tag: &Tag, read: fn(&[u8]) -> Option<T>) -> Option<T> {
        let Place { range, tags } = self.place(image)?;
        let found = self.text.with(range, |image| {
            let pin = match tags {
                Some(lines) => {
                    let lines = lines.iter().map(|line| *line as usize);
                    canonical::find_pin(image, lines, tag)
                }
                None => canonical::find_pin(image, canonical::tag_lines(image), tag),
            };
            pin.and_then(read)
        });
        found.ok()?
    }

    /// The pins of `image`, if it is in the table.
    ///
    /// # Errors
    /// Where that cannot be told, because the table is not well-formed.
    pub(crate) fn pins(&self, image: &ImageName) -> Result<Option<Arc<Pins>>, FileError> {
        let known = self.found(|found| found.pins.get(image).cloned());
        if known.is_some() {
            return Ok(known);
        }
        let pins = match self.parse_pins(image) {
            Some(pins) => pins,
            None => match self.whole()?.images.get(image) {
                Some(pins) => pins.clone(),
                None => return Ok(None),
            },
        };
        let pins = Arc::new(pins);
        self.found(|found| found.pins.insert(image.clone(), Arc::clone(&pins)));
        Ok(Some(pins))
    }

    /// All of it, parsed.
    ///
    /// # Errors
    /// Where the table is not well-formed.
    pub fn whole(&self) -> Result<&Table, FileError> {
        let parse = || {
            let parse = |text: &[u8]| Table::parse(text, &self.origin);
            let parsed = self.text.with(0..self.text.length(), parse);
            parsed.map_err(|error| FileError::new(&self.origin, json::plain(&error), REMEDY))?
        };
        self.whole.get_or_init(parse).as_ref().map_err(Clone::clone)
    }

    fn parse_pins(&self, image: &ImageName) -> Option<Pins> {
        let place = self.place(image)?;
        let parsed = self
            .text
            .with(place.range, |text| serde_json::from_slice(text));
        let pins: UniqueMap<Tag, Arc<Pin>> = parsed.ok()?.ok()?;
        Some(pins.0)
    }

    fn place(&self, image: &ImageName) -> Option<Place> {
        if !self.is_canonical {
            return None;
        }
        if let Some(place) = self.found(|found| found.places.get(image).cloned()) {
            return place;
        }
        let range = self.search(image).ok().flatten();
        let place = range.and_then(|range| {
            let is_short = range.end - range.start <= LONGEST_KNOWN;
            let lines = |text: &[u8]| {
                canonical::tag_lines(text)
                    .map_while(|at| at.try_into().ok())
                    .collect()
            };
            let tags = is_short.then(|| self.text.with(range.clone(), lines));
            Some(Place {
                tags: tags.transpose().ok()?,
                range,
            })
        });
        self.found(|found| found.places.insert(image.clone(), place.clone()));
        place
    }

    /// Halves what lies between two known lines until little is left.
    fn search(&self, image: &ImageName) -> io::Result<Option<Range<u64>>> {
        let wanted = image.as_str().as_bytes();
        let end = self.text.length() - TAIL.len() as u64;
        // The line that is wanted begins within these.
        let (mut low, mut high) = self.found(|found| {
            if let Some((name, at)) = &found.next
                && **name == *wanted
            {
                return (*at, *at);
            }
            let until = (Bound::Unbounded, Bound::Included(wanted));
            let before = found.lines.range::<[u8], _>(until).next_back();
            let behind = (Bound::Excluded(wanted), Bound::Unbounded);
            let after = found.lines.range::<[u8], _>(behind).next();
            let low = before.map_or(HEAD.len() as u64, |(_, at)| *at);
            (low, after.map_or(end, |(_, at)| *at))
        });
        while high.saturating_sub(low) > SHORT {
            let middle = low + (high - low) / 2;
            // A line that begins before `high` may end behind it.
            let until = (high + IMAGE.len() as u64 - 1).min(end);
            let Some(line) = self.text.find(&IMAGE_LINE, middle..until)? else {
                high = middle;
                continue;
            };
            let Some(name) = self.name(line)? else {
                return Ok(None);
            };
            if *name <= *wanted {
                low = line;
            } else {
                high = middle;
            }
            self.found(|found| found.lines.insert(name, line));
        }
        if low > high {
            // Two lines that were come by before are in another order.
            return Ok(None);
        }
        let line = [IMAGE, wanted, b"\": {"].concat();
        let mut room = low..(high + line.len() as u64).min(end);
        let at = loop {
            let Some(at) = self.text.find(&IMAGE_LINE, room.clone())? else {
                return Ok(None);
            };
            let is_wanted = |text: &[u8]| text == line;
            if self.text.with(at..at + line.len() as u64, is_wanted)? {
                break at;
            }
            room.start = at + 1;
        };
        let start = at + line.len() as u64 - 1;
        let edges = self.text.with(at - 1..start + 2, |text| {
            let is_behind_another = matches!(text.first(), Some(b'{' | b','));
            (is_behind_another, text.ends_with(b"{}"))
        });
        let stop = match edges? {
            (false, _) => return Ok(None),
            (true, true) => start + 2,
            (true, false) => match self.text.find(&IMAGE_END, start..end)? {
                Some(at) => at + IMAGE_END.needle().len() as u64,
                None => return Ok(None),
            },
        };
        if stop == end {
            return Ok(Some(start..stop));
        }
        // Only another image can follow.
        let next = stop + 1;
        let follows = self.text.with(stop..next + IMAGE.len() as u64, |text| {
            text.split_first()
                .is_some_and(|(comma, line)| *comma == b',' && line == IMAGE)
        });
        let Some(name) = self.name(next)?.filter(|_| matches!(follows, Ok(true))) else {
            return Ok(None);
        };
        if *name == *wanted {
            return Ok(None);
        }
        self.found(|found| found.next = Some((name, next)));
        Ok(Some(start..stop))
    }

    /// The name of the image whose line begins at `line`.
    fn name(&self, line: u64) -> io::Result<Option<Box<[u8]>>> {
        let start = line + IMAGE.len() as u64;
        self.text.with(start..start + LONGEST_NAME, |text| {
            let quote = memchr::memchr(b'"', text)?;
            Some(Box::from(&text[..quote]))
        })
    }

    fn found<T>(&self, f: impl FnOnce(&mut Found) -> T) -> T {
        f(&mut self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }
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
    use crate::digest::Algorithm;
    use crate::lookup::{LookupError, Query};
    use crate::table::Platforms;
    use proptest::prelude::*;

    fn pin(text: &str) -> Pin {
        let digest = |of: &str| Digest::of(Algorithm::Sha256, of.as_bytes());
        let amd64 = ("linux/amd64".parse().unwrap(), digest(text));
        Pin {
            digest: digest(&format!("{text} index")),
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
                for (tag, pin) in pins {
                    assert_eq!(lazy.pin(image, tag).as_ref(), Some(&**pin), "{image}:{tag}");
                }
                assert_eq!(*lazy.pins(image).unwrap().unwrap(), *pins, "{image}");
                assert_eq!(lazy.pin(image, &"none".parse().unwrap()), None);
            }
            assert!(lazy.whole.get().is_none());
            let other = "docker.io/a3/other".parse().unwrap();
            assert!(lazy.pins(&other).unwrap().is_none());
        }
    }

    #[test]
    fn images_with_many_tags_are_found_at_once() {
        let tags: Vec<String> = (0..15).map(|tag| format!("1.{tag}")).collect();
        let names = (0..400).map(|i| (format!("docker.io/a{}/b{i}", i % 7), tags.clone()));
        let table = table(&names.collect::<Vec<_>>());
        let text = table.to_json();
        for image in table.images.keys() {
            for lazy in both(&text) {
                assert!(
                    lazy.pin(image, &"1.7".parse().unwrap()).is_some(),
                    "{image}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_as_it_is_written_is_parsed_whole() {
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
            // Indented otherwise.
            text.replace("\n    \"docker.io/b\"", "\n   \"docker.io/b\""),
            // As a merge leaves it.
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
                            // Nothing of the fault is touched.
                            (Err(_), _) => {}
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_wrong_elsewhere_is_no_hindrance_and_what_is_touched_is_told() {
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

    proptest! {
        #[test]
        fn answers_as_the_parsed_table_does_whatever_the_form(
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
