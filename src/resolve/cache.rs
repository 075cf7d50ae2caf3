//! A cache file of resolved references, shared by all evaluations of a user.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize as _;
use serde_json::{Value, json};

use super::{ResolvedPin, Target, TargetKind};
use crate::file::{self, Lock};
use crate::json::FileError;
use crate::reference::Tag;
use crate::table::Pin;

/// Version of the file format. Entries of version 1 had no tag.
const VERSION: u64 = 2;
/// Most entries. More evict the oldest.
const MAX_ENTRIES: usize = 1_000;
/// Largest file that is read, in bytes: ten times the size of [`MAX_ENTRIES`]
/// entries.
const MAX_FILE_SIZE: u64 = 8 << 20;

/// A cache file, shared by all processes of a user. It may be deleted at any time:
/// a missing or malformed file is an empty cache, and the next write replaces it.
#[derive(Debug, Clone)]
pub struct Cache {
    path: PathBuf,
}

/// A result, and when the registry returned it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CacheEntry {
    /// Seconds since 1970.
    time: u64,
    found: ResolvedPin,
}

impl Cache {
    /// The cache of this user: `nix-oci-hashes/resolved.json` in `$XDG_CACHE_HOME`
    /// or `~/.cache`. `None` if neither variable has an absolute path.
    pub fn of_user() -> Option<Self> {
        let from = |name| {
            let path = std::env::var_os(name).map(PathBuf::from);
            path.filter(|path| path.is_absolute())
        };
        let folder = from("XDG_CACHE_HOME");
        let folder = folder.or_else(|| Some(from("HOME")?.join(".cache")))?;
        Some(Self::at(
            folder.join("nix-oci-hashes").join("resolved.json"),
        ))
    }

    /// The cache in the file at `path`.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The cached result for `target`, if it is younger than `age`. Without `age`,
    /// and for a digest, a result of any age.
    pub fn find(&self, target: &Target, age: Option<Duration>) -> Option<ResolvedPin> {
        let kept = self.read().remove(&target.to_string())?;
        let is_fresh = age.is_none_or(|age| {
            // An entry from the future was written with a wrong clock.
            now()
                .checked_sub(kept.time)
                .is_some_and(|since| since < age.as_secs())
        });
        // What a digest points to does not change.
        (is_fresh || matches!(target.kind, TargetKind::Digest(_))).then_some(kept.found)
    }

    /// Stores the result for `target`. Returns `false` if another process holds
    /// the lock of the file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn try_insert(&self, target: &Target, found: &ResolvedPin) -> Result<bool, FileError> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| {
                let remedy = "see that its folder is writable";
                FileError::new(folder.display(), crate::json::plain(&error), remedy)
            })?;
        }
        let Some(_lock) = Lock::try_take_beside(&self.path)? else {
            return Ok(false);
        };
        let mut answers = self.read();
        let key = target.to_string();
        answers.remove(&key);
        while answers.len() >= MAX_ENTRIES {
            let oldest = answers.iter().min_by_key(|(_, entry)| entry.time);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                break;
            };
            answers.remove(&oldest);
        }
        let (time, found) = (now(), found.clone());
        answers.insert(key, CacheEntry { time, found });
        file::write_own(&self.path, to_json(&answers).to_string().as_bytes())?;
        Ok(true)
    }

    fn read(&self) -> BTreeMap<String, CacheEntry> {
        let content = file::read_own(&self.path, MAX_FILE_SIZE).unwrap_or_default();
        let document: Value = serde_json::from_slice(&content).unwrap_or_default();
        if document["version"] != VERSION {
            return BTreeMap::new();
        }
        let answers = document["answers"].as_object().into_iter().flatten();
        answers
            .filter_map(|(key, value)| Some((key.clone(), from_json(value)?)))
            .collect()
    }
}

/// The time, in seconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn from_json(value: &Value) -> Option<CacheEntry> {
    Some(CacheEntry {
        time: value["time"].as_u64()?,
        found: ResolvedPin {
            tag: match value["tag"].as_str() {
                Some(tag) => Some(tag.parse::<Tag>().ok()?),
                None => None,
            },
            pin: Pin::deserialize(&value["pin"]).ok()?,
        },
    })
}

fn to_json(answers: &BTreeMap<String, CacheEntry>) -> Value {
    let entries = answers.iter().map(|(key, kept)| {
        let ResolvedPin { tag, pin } = &kept.found;
        let platforms = pin.platforms.iter();
        let platforms: serde_json::Map<_, _> = platforms
            .map(|(platform, digest)| (platform.to_string(), json!(digest.to_string())))
            .collect();
        let pin = json!({ "digest": pin.digest.to_string(), "platforms": platforms });
        let tag = tag.as_ref().map(Tag::as_str);
        (
            key.clone(),
            json!({ "time": kept.time, "tag": tag, "pin": pin }),
        )
    });
    let entries: serde_json::Map<_, _> = entries.collect();
    json!({ "version": VERSION, "answers": entries })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::Query;

    fn target(reference: &str) -> Target {
        Target::of(&Query::from_reference(reference).unwrap())
    }

    fn found(digit: char) -> ResolvedPin {
        let digest = |c: char| {
            format!("sha256:{}", c.to_string().repeat(64))
                .parse()
                .unwrap()
        };
        let platforms = [("linux/arm64".parse().unwrap(), digest('f'))];
        ResolvedPin {
            tag: Some(Tag::latest()),
            pin: Pin::new(digest(digit), platforms.into()),
        }
    }

    fn cache() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("deep/resolved.json"));
        (folder, cache)
    }

    #[test]
    fn an_entry_expires() {
        let (_folder, cache) = cache();
        let hour = Some(Duration::from_secs(3600));
        assert_eq!(cache.find(&target("a:1"), None), None);
        assert!(cache.try_insert(&target("a:1"), &found('1')).unwrap());
        assert!(cache.try_insert(&target("a:2"), &found('2')).unwrap());
        // The digest of a reference and the spelling of its image do not change the
        // key.
        let named = format!("docker.io/library/a:1@sha256:{}", "9".repeat(64));
        assert_eq!(cache.find(&target(&named), hour), Some(found('1')));
        assert_eq!(cache.find(&target("a:2"), hour), Some(found('2')));
        assert_eq!(cache.find(&target("a:2"), Some(Duration::ZERO)), None);
        let text = std::fs::read_to_string(&cache.path).unwrap();
        for time in ["1", "99999999999"] {
            let old = serde_json::from_str::<Value>(&text).unwrap();
            let time_of = old["answers"]["docker.io/a:2"]["time"].to_string();
            std::fs::write(&cache.path, text.replace(&time_of, time)).unwrap();
            assert_eq!(cache.find(&target("a:2"), hour), None);
            assert_eq!(cache.find(&target("a:2"), None), Some(found('2')));
        }
        let by_digest = target(&format!("a@sha256:{}", "1".repeat(64)));
        cache.try_insert(&by_digest, &found('1')).unwrap();
        assert_eq!(
            cache.find(&by_digest, Some(Duration::ZERO)),
            Some(found('1'))
        );
    }

    #[test]
    fn a_malformed_cache_is_empty_and_replaced() {
        let (_folder, cache) = cache();
        cache.try_insert(&target("a:1"), &found('1')).unwrap();
        let good = std::fs::read(&cache.path).unwrap();
        let of_version_1 = format!(
            r#"{{"version":1,"answers":{{"docker.io/a:1":{{"time":1,"pin":{{"digest":"sha256:{}"}}}}}}}}"#,
            "1".repeat(64)
        );
        for content in [
            &b""[..],
            b"{",
            b"[]",
            b"\xff\0",
            &good[..good.len() / 2],
            br#"{"version":3,"answers":{}}"#,
            of_version_1.as_bytes(),
            br#"{"version":2,"answers":{"docker.io/a:1":{"time":"x"}}}"#,
            br#"{"version":2,"answers":{"docker.io/a:1":{"time":1,"pin":{"digest":"sha256:1"}}}}"#,
        ] {
            std::fs::write(&cache.path, content).unwrap();
            assert_eq!(cache.find(&target("a:1"), None), None);
            assert!(cache.try_insert(&target("a:1"), &found('2')).unwrap());
            assert_eq!(cache.find(&target("a:1"), None), Some(found('2')));
        }
    }

    #[test]
    fn one_process_writes_at_a_time() {
        let (_folder, cache) = cache();
        cache.try_insert(&target("a:1"), &found('1')).unwrap();
        let lock = Lock::try_take_beside(&cache.path).unwrap();
        assert!(lock.is_some());
        assert!(!cache.try_insert(&target("a:1"), &found('2')).unwrap());
        assert_eq!(cache.find(&target("a:1"), None), Some(found('1')));
        drop(lock);
        assert!(cache.try_insert(&target("a:1"), &found('2')).unwrap());
    }

    #[test]
    fn the_oldest_entries_are_evicted() {
        let (_folder, cache) = cache();
        let kept = |time| CacheEntry {
            time,
            found: found('1'),
        };
        let many = (0..MAX_ENTRIES as u64).map(|i| (format!("docker.io/a:{i}"), kept(100 + i)));
        std::fs::create_dir_all(cache.path.parent().unwrap()).unwrap();
        std::fs::write(&cache.path, to_json(&many.collect()).to_string()).unwrap();
        cache.try_insert(&target("b:1"), &found('2')).unwrap();
        assert_eq!(cache.find(&target("b:1"), None), Some(found('2')));
        assert_eq!(cache.find(&target("a:0"), None), None);
        assert_eq!(cache.find(&target("a:1"), None), Some(found('1')));
    }
}
