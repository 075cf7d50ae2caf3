//! The digests that registries serve and that are too young to be pinned, in
//! `pending.json` beside the table.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use super::write_object;
use crate::json::{self, FileError, Object, UniqueMap};
use crate::reference::{Digest, ImageName, Tag, by_version};

const VERSION: u64 = 1;
const REMEDY: &str = "take its last good version from git, or remove it, and every age begins anew";
/// Most candidates of one tag.
const MAX_CANDIDATES: usize = 8;
/// The most that the time between two runs adds to an age, in seconds: a day, and what
/// a scheduled run may be late. A clock that jumps forward adds no more.
const LONGEST_GAP: u64 = 36 * 3600;

/// The candidates of every image, by tag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pending {
    /// Those that have any.
    pub images: BTreeMap<ImageName, PendingTags>,
}

/// The candidates of one image, by tag.
pub type PendingTags = BTreeMap<Tag, Candidates>;

/// The digests that a tag has pointed to and that are not pinned yet, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidates(Vec<Candidate>);

/// A digest that may be pinned once it is old enough.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    digest: Digest,
    /// How long runs have seen it, in seconds.
    age: u64,
    /// When a run has last seen it, in seconds since 1970.
    seen: u64,
}

/// What one run knows of a tag.
pub struct Observation<'a> {
    /// The digest that the tag points to.
    pub current: &'a Digest,
    /// The digest that it is pinned to.
    pub pinned: Option<&'a Digest>,
    /// Whether the tag names a full version, whose digest should never change.
    pub is_full: bool,
    /// Whether another tag of the image points to a digest. `None` if that is not known
    /// of every tag.
    pub is_elsewhere: &'a dyn Fn(&Digest) -> Option<bool>,
    /// The time of the run, in seconds since 1970.
    pub now: u64,
}

impl Candidates {
    /// Takes in what a run has seen. Returns the newest digest that the run has seen and
    /// that is `minimum` old, if there is one.
    ///
    /// A digest that the tag no longer points to is withdrawn: it stays a candidate only
    /// while another tag points to it, and of a full version never.
    pub fn observe(&mut self, observation: &Observation<'_>, minimum: Duration) -> Option<Digest> {
        let Observation {
            current,
            pinned,
            is_full,
            is_elsewhere,
            now,
        } = *observation;
        // A candidate stays until the table that the next run reads has it, so that
        // nothing is lost with a table that nobody takes.
        if let Some(taken) = self.0.iter().position(|one| Some(&one.digest) == pinned) {
            self.0.drain(..=taken);
        }
        if pinned == Some(current) {
            self.0.clear();
            return None;
        }
        match self.0.iter().position(|one| one.digest == *current) {
            // The tag has returned from the later ones.
            Some(at) => self.0.truncate(at + 1),
            None => self.push(Candidate {
                digest: current.clone(),
                age: 0,
                seen: now,
            }),
        }
        let mut ripe = None;
        self.0.retain_mut(|one| {
            let is_seen = match one.digest == *current {
                true => Some(true),
                false if is_full => Some(false),
                false => is_elsewhere(&one.digest),
            };
            if is_seen == Some(true) {
                one.age = one
                    .age
                    .saturating_add(now.saturating_sub(one.seen).min(LONGEST_GAP));
                one.seen = now;
                if one.age >= minimum.as_secs() {
                    ripe = Some(one.digest.clone());
                }
            }
            is_seen != Some(false)
        });
        ripe
    }

    /// How long runs have seen `digest`; zero if they have not.
    pub fn age(&self, digest: &Digest) -> Duration {
        let found = self.0.iter().find(|one| one.digest == *digest);
        Duration::from_secs(found.map_or(0, |one| one.age))
    }

    /// Removes `digest`.
    pub(crate) fn forget(&mut self, digest: &Digest) {
        self.0.retain(|one| one.digest != *digest);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The digests, oldest first.
    pub fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.0.iter().map(|one| &one.digest)
    }

    /// Adds the newest. If there are too many, the one before it goes: the oldest is the
    /// next to be pinned.
    fn push(&mut self, newest: Candidate) {
        if self.0.len() == MAX_CANDIDATES {
            self.0.pop();
        }
        self.0.push(newest);
    }
}

impl Pending {
    /// The file beside the table at `path`: `pending.json` for `digests.json`, and
    /// `NAME.pending` for any other name, which no `*.json` takes for a table.
    pub fn beside(path: &Path) -> PathBuf {
        match path.file_name() {
            Some(name) if name != "digests.json" => {
                let mut name = name.to_owned();
                name.push(".pending");
                path.with_file_name(name)
            }
            _ => path.with_file_name("pending.json"),
        }
    }

    /// Reads the file at `path`; empty if there is none.
    ///
    /// # Errors
    /// If it cannot be read, or is malformed.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let content = json::read_file(path, "see that it is a file that you may read")?;
        Self::parse(&content, &path.display().to_string())
    }

    /// Parses the text of a `pending.json`. Errors name the file `origin`.
    ///
    /// # Errors
    /// If it is not in the format that [`Pending::to_json`] writes.
    pub fn parse(content: &[u8], origin: &str) -> Result<Self, FileError> {
        let Object(document) = json::parse::<Object<Document>>(content, origin, REMEDY)?;
        if document.version != VERSION {
            let message = format!("its version is {}, not {VERSION}", document.version);
            return Err(FileError::new(
                origin,
                message,
                "use a newer nix-oci-hashes",
            ));
        }
        let images = document.images.0.into_iter();
        Ok(Self {
            images: images.map(|(image, tags)| (image, tags.0)).collect(),
        })
    }

    /// The canonical text: images in byte order, tags in version order, a candidate a
    /// line.
    pub fn to_json(&self) -> String {
        let mut text = Vec::new();
        // Writing to memory does not fail, and all of it is ASCII.
        let _ = self.write(&mut text);
        String::from_utf8(text).unwrap_or_default()
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        write!(out, "{{\n  \"version\": {VERSION},\n  \"images\": ")?;
        write_object(out, 1, &self.images, |out, tags| {
            let mut tags: Vec<_> = tags.iter().collect();
            tags.sort_by_cached_key(|(tag, _)| by_version(tag));
            write_object(out, 2, tags, |out, candidates| {
                for (i, Candidate { digest, age, seen }) in candidates.0.iter().enumerate() {
                    let before = if i == 0 { "[" } else { "," };
                    write!(
                        out,
                        "{before}\n        {{ \"digest\": \"{digest}\", \"age\": {age}, \"seen\": {seen} }}"
                    )?;
                }
                out.write_all(b"\n      ]")
            })
        })?;
        out.write_all(b"\n}\n")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u64,
    images: UniqueMap<ImageName, UniqueMap<Tag, Candidates>>,
}

impl<'de> Deserialize<'de> for Candidates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Members {
            digest: Digest,
            age: u64,
            seen: u64,
        }
        let members: Vec<Object<Members>> = Vec::deserialize(deserializer)?;
        let list: Vec<Candidate> = members
            .into_iter()
            .map(|Object(Members { digest, age, seen })| Candidate { digest, age, seen })
            .collect();
        if list.is_empty() || list.len() > MAX_CANDIDATES {
            return Err(D::Error::custom(format_args!(
                "a tag has 1 to {MAX_CANDIDATES} candidates"
            )));
        }
        let is_repeated = |(i, one): (usize, &Candidate)| {
            list[..i].iter().any(|other| other.digest == one.digest)
        };
        if list.iter().enumerate().any(is_repeated) {
            return Err(D::Error::custom("a tag has the same candidate twice"));
        }
        Ok(Self(list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::Algorithm;

    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;

    fn digest(name: &str) -> Digest {
        Digest::of(Algorithm::Sha256, name.as_bytes())
    }

    /// One tag over many runs, with a minimum age of three days.
    struct Runs {
        candidates: Candidates,
        pinned: Digest,
        is_full: bool,
        now: u64,
    }

    impl Runs {
        fn new(is_full: bool) -> Self {
            Self {
                candidates: Candidates::default(),
                pinned: digest("old"),
                is_full,
                now: 1_800_000_000,
            }
        }

        /// A run after `hours`, while the tag points to `current`, and other tags to
        /// `elsewhere`. Takes what it returns into the table.
        fn run(&mut self, hours: u64, current: &str, elsewhere: &[&str]) -> Option<&'static str> {
            self.now += hours * HOUR;
            let elsewhere: Vec<Digest> = elsewhere.iter().map(|name| digest(name)).collect();
            let observation = Observation {
                current: &digest(current),
                pinned: Some(&self.pinned.clone()),
                is_full: self.is_full,
                is_elsewhere: &|digest| Some(elsewhere.contains(digest)),
                now: self.now,
            };
            let minimum = Duration::from_secs(3 * DAY);
            let ripe = self.candidates.observe(&observation, minimum)?;
            self.pinned = ripe.clone();
            ["a", "b", "c", "d", "old"]
                .into_iter()
                .find(|name| digest(name) == ripe)
        }
    }

    #[test]
    fn a_digest_is_pinned_once_runs_have_seen_it_for_long_enough() {
        let mut runs = Runs::new(false);
        assert_eq!(runs.run(0, "a", &[]), None);
        assert_eq!(runs.run(24, "a", &[]), None);
        assert_eq!(runs.run(24, "a", &[]), None);
        assert_eq!(runs.run(24, "a", &[]), Some("a"));
        assert_eq!(runs.run(24, "a", &[]), None);
        assert!(runs.candidates.is_empty());
    }

    #[test]
    fn a_jump_of_the_clock_adds_at_most_36_hours() {
        let mut runs = Runs::new(false);
        runs.run(0, "a", &[]);
        assert_eq!(runs.run(24 * 365 * 20, "a", &[]), None);
        assert_eq!(runs.candidates.age(&digest("a")).as_secs(), 36 * HOUR);
        // Back again: nothing is added, and nothing taken away.
        runs.now -= 20 * 365 * DAY;
        assert_eq!(runs.run(0, "a", &[]), None);
        assert_eq!(runs.candidates.age(&digest("a")).as_secs(), 36 * HOUR);
        assert_eq!(runs.run(36, "a", &[]), Some("a"));
    }

    #[test]
    fn a_withdrawn_digest_does_not_ripen() {
        let mut runs = Runs::new(false);
        runs.run(0, "a", &[]);
        runs.run(24, "old", &[]);
        assert!(runs.candidates.is_empty(), "the tag went back to its pin");
        runs.run(24, "a", &[]);
        runs.run(24, "b", &["a"]);
        runs.run(24, "a", &["b"]);
        let left: Vec<_> = runs.candidates.digests().cloned().collect();
        assert_eq!(left, [digest("a")], "the tag went back to a candidate");
    }

    #[test]
    fn a_tag_that_moves_often_is_not_starved_while_another_tag_has_what_it_left() {
        let mut runs = Runs::new(false);
        runs.run(0, "a", &["a"]);
        runs.run(24, "b", &["a", "b"]);
        runs.run(24, "c", &["a", "b", "c"]);
        assert_eq!(runs.run(24, "d", &["a", "b", "c", "d"]), Some("a"));
        assert_eq!(runs.run(24, "d", &["a", "b", "c", "d"]), Some("b"));
        // `c` is withdrawn: only `d` is left.
        assert_eq!(runs.run(24, "d", &["a", "b", "d"]), None);
        assert_eq!(runs.run(24, "d", &["d"]), Some("d"));
    }

    #[test]
    fn a_replaced_digest_of_a_full_version_goes() {
        let mut runs = Runs::new(true);
        runs.run(0, "a", &["a"]);
        runs.run(24, "b", &["a", "b"]);
        let left: Vec<_> = runs.candidates.digests().cloned().collect();
        assert_eq!(left, [digest("b")]);
    }

    #[test]
    fn what_is_ripe_stays_until_a_table_has_it() {
        let mut runs = Runs::new(false);
        runs.run(0, "a", &[]);
        runs.run(36, "a", &[]);
        assert_eq!(runs.run(36, "a", &[]), Some("a"));
        // Nobody has merged that table.
        runs.pinned = digest("old");
        assert_eq!(runs.run(24, "a", &[]), Some("a"));
    }

    #[test]
    fn an_unknown_digest_is_neither_aged_nor_dropped() {
        let mut runs = Runs::new(false);
        runs.run(0, "a", &[]);
        runs.run(36, "a", &[]);
        runs.now += 36 * HOUR;
        let observation = Observation {
            current: &digest("b"),
            pinned: Some(&digest("old")),
            is_full: false,
            is_elsewhere: &|_| None,
            now: runs.now,
        };
        let ripe = runs
            .candidates
            .observe(&observation, Duration::from_secs(36 * HOUR));
        assert_eq!(ripe, None, "old enough, but this run has not seen it");
        assert_eq!(runs.candidates.age(&digest("a")).as_secs(), 36 * HOUR);
    }

    #[test]
    fn there_are_at_most_eight_and_the_oldest_stays() {
        let mut runs = Runs::new(false);
        let names: Vec<String> = (0..20).map(|n| format!("{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for (n, name) in names.iter().enumerate() {
            runs.run(1, name, &names[..=n]);
        }
        let left: Vec<_> = runs.candidates.digests().cloned().collect();
        assert_eq!(left.len(), 8);
        assert_eq!((&left[0], &left[7]), (&digest("0"), &digest("19")));
    }

    #[test]
    fn the_text_is_canonical_and_survives() {
        let mut pending = Pending::default();
        for image in ["docker.io/b", "docker.io/a"] {
            for tag in ["10.0", "9.0"] {
                let mut runs = Runs::new(false);
                runs.run(0, "a", &["a"]);
                runs.run(1, "b", &["a"]);
                let tags = pending.images.entry(image.parse().unwrap()).or_default();
                tags.insert(tag.parse().unwrap(), runs.candidates);
            }
        }
        let text = pending.to_json();
        assert_eq!(
            Pending::parse(text.as_bytes(), "pending.json").unwrap(),
            pending
        );
        let at = |what: &str| text.find(what).unwrap();
        assert!(at("docker.io/a") < at("docker.io/b") && at("9.0") < at("10.0"));
        assert_eq!(
            text.lines().filter(|line| line.contains("\"age\"")).count(),
            8
        );
        let empty = Pending::default().to_json();
        assert_eq!(
            Pending::parse(empty.as_bytes(), "x").unwrap(),
            Pending::default()
        );
    }

    #[test]
    fn refuses_malformed_files_with_the_line_and_a_remedy() {
        let digest = digest("a");
        let of = |candidates: &str| {
            format!(r#"{{"version":1,"images":{{"docker.io/a":{{"1":[{candidates}]}}}}}}"#)
        };
        let one = format!(r#"{{"digest":"{digest}","age":0,"seen":1}}"#);
        for (text, message) in [
            (of(""), "1 to 8 candidates"),
            (of(&format!("{one},{one}")), "twice"),
            (of(&one.replace("\"age\":0", "\"age\":-1")), "-1"),
            (of(&one.replace("seen", "since")), "since"),
            (
                r#"{"version":2,"images":{}}"#.to_owned(),
                "its version is 2",
            ),
        ] {
            let error = Pending::parse(text.as_bytes(), "pending.json").unwrap_err();
            let error = error.to_string();
            assert!(error.starts_with("pending.json"), "{error}");
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn each_table_has_a_file_of_its_own() {
        for (table, pending) in [
            ("digests.json", "pending.json"),
            ("a/digests.json", "a/pending.json"),
            ("a/part-1.json", "a/part-1.json.pending"),
        ] {
            assert_eq!(Pending::beside(Path::new(table)), Path::new(pending));
        }
    }
}
