//! The cache of parsed tables, by file and by set.
//!
//! Nix decides whether an evaluation may read a file. C++ asks it again for every
//! lookup where evaluation is pure or restricted, so that the cache need not know
//! one evaluation from another.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::OFlags;

use super::error::PluginError;
use crate::lock::lock;
use crate::table::{LazyTable, Table};

/// Tables in the cache; the oldest is read again.
const MAX_TABLES: usize = 16;
/// Files from this size on, in bytes, are read in parts.
const LARGE_FILE: u64 = 1 << 20;
/// A file that changed more recently than this may change again and keep its
/// timestamps, which some file systems store coarsely.
const TIMESTAMP_RESOLUTION: Duration = Duration::from_millis(20);

static CACHE: Mutex<VecDeque<Entry>> = Mutex::new(VecDeque::new());

struct Entry {
    key: Key,
    table: Arc<LazyTable>,
    /// Keeps the address of a set its own.
    _root: Option<Root>,
}

/// Keeps a value of Nix from the garbage collector until dropped.
pub(super) type Root = Box<dyn Send>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    File {
        path: Vec<u8>,
        version: Version,
    },
    /// The address of the set's attributes.
    Set(usize),
    /// A set whose address is not known, as JSON.
    Json(Vec<u8>),
}

/// What a file was when its table was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    At(Metadata),
    /// It is in a store that the system does not know, at another place say.
    Immutable,
}

/// Metadata used to detect that a file changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Metadata {
    device: u64,
    inode: u64,
    size: u64,
    is_file: bool,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Metadata {
    /// `None` for a file that the system does not know, such as one of a store at
    /// another place.
    fn of(path: &[u8]) -> Option<Self> {
        let file = fs::metadata(Path::new(OsStr::from_bytes(path))).ok()?;
        Some(Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            is_file: file.is_file(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }

    fn is_recent(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let (seconds, nanoseconds) = self.changed.max(self.modified);
        match (now, u64::try_from(seconds), u32::try_from(nanoseconds)) {
            (Ok(now), Ok(seconds), Ok(nanoseconds)) => {
                let changed = Duration::new(seconds, nanoseconds);
                now.saturating_sub(changed) < TIMESTAMP_RESOLUTION
            }
            _ => true,
        }
    }
}

fn cached(key: &Key) -> Option<Arc<LazyTable>> {
    let cache = lock(&CACHE);
    let entry = cache.iter().find(|entry| entry.key == *key)?;
    Some(Arc::clone(&entry.table))
}

fn insert(key: Key, table: Arc<LazyTable>, root: Option<Root>) {
    let mut cache = lock(&CACHE);
    cache.retain(|entry| match (&entry.key, &key) {
        // The table of the file as it was.
        (Key::File { path: old, .. }, Key::File { path: new, .. }) => old != new,
        (old, new) => old != new,
    });
    if cache.len() == MAX_TABLES {
        cache.pop_front();
    }
    cache.push_back(Entry {
        key,
        table,
        _root: root,
    });
}

/// A file whose table is cached or has to be read.
pub(super) struct TableFile {
    path: Vec<u8>,
    /// What the file was before it is read, so that a later change is noticed.
    version: Option<Version>,
    table: Option<Arc<LazyTable>>,
}

impl TableFile {
    /// The file at `path`, which must be one that Nix allows to read. In restricted
    /// evaluation, Nix does not say whether it allows the target of a symbolic link:
    /// it has to read it each time.
    pub(super) fn new(path: &[u8], is_in_store: bool, is_restricted: bool) -> Self {
        let file = Path::new(OsStr::from_bytes(path));
        let is_link = || fs::symlink_metadata(file).is_ok_and(|there| there.is_symlink());
        let version = match Metadata::of(path) {
            Some(_) if is_restricted && is_link() => None,
            // A store path may be a symbolic link to a file that changes.
            Some(metadata) => Some(Version::At(metadata)),
            None => is_in_store.then_some(Version::Immutable),
        };
        let path = path.to_owned();
        let table = version.and_then(|version| {
            cached(&Key::File {
                path: path.clone(),
                version,
            })
        });
        Self {
            path,
            version,
            table,
        }
    }

    pub(super) fn is_read(&self) -> bool {
        self.table.is_some()
    }

    pub(super) fn open_if_large(&mut self) {
        let is_large = Metadata::of(&self.path).is_some_and(|m| m.is_file && m.size >= LARGE_FILE);
        if !is_large {
            return;
        }
        // A symbolic link could lead to a file that Nix has not allowed.
        let no_follow = OFlags::NOFOLLOW.bits().cast_signed();
        let mut options = fs::OpenOptions::new();
        let options = options.read(true).custom_flags(no_follow);
        let file = options.open(Path::new(OsStr::from_bytes(&self.path)));
        if let Ok(file) = file
            && let Ok(table) = LazyTable::from_file(file, &self.name())
        {
            self.keep(table);
        }
    }

    pub(super) fn set_text(&mut self, text: &[u8]) {
        self.keep(LazyTable::from_text(text.to_owned(), &self.name()));
    }

    fn keep(&mut self, table: LazyTable) {
        let table = Arc::new(table);
        self.table = Some(Arc::clone(&table));
        let version = match self.version {
            Some(Version::At(metadata)) if metadata.is_recent() => return,
            Some(version) => version,
            None => return,
        };
        let path = self.path.clone();
        insert(Key::File { path, version }, table, None);
    }

    pub(super) fn table(&self) -> Option<&Arc<LazyTable>> {
        self.table.as_ref()
    }

    /// What errors call the file.
    fn name(&self) -> String {
        name_of(&self.path)
    }
}

/// A parsed set whose table is cached or has to be made.
pub(super) struct TableSet {
    key: Key,
    table: Option<Arc<LazyTable>>,
}

impl TableSet {
    /// The set whose attributes are at `address`.
    pub(super) fn new(address: usize) -> Self {
        let key = Key::Set(address);
        let table = cached(&key);
        Self { key, table }
    }

    pub(super) fn is_read(&self) -> bool {
        self.table.is_some()
    }

    /// Takes the set as JSON; `root` keeps it from the garbage collector.
    pub(super) fn set_json(&mut self, json: &[u8], root: Root) -> Result<(), PluginError> {
        let table = parse_set(json)?;
        self.table = Some(Arc::clone(&table));
        insert(self.key.clone(), table, Some(root));
        Ok(())
    }

    pub(super) fn table(&self) -> Option<&Arc<LazyTable>> {
        self.table.as_ref()
    }
}

/// The table in a set, as JSON.
fn parse_set(json: &[u8]) -> Result<Arc<LazyTable>, PluginError> {
    let remedy = "pass the set that builtins.fromJSON makes of a digests.json";
    let table = Table::parse_with_remedy(json, "the attribute 'digests'", remedy)?;
    Ok(Arc::new(LazyTable::from(table)))
}

/// The table in a set whose address is not known.
pub(super) fn of_json(json: &[u8]) -> Result<Arc<LazyTable>, PluginError> {
    let key = Key::Json(json.to_owned());
    if let Some(table) = cached(&key) {
        return Ok(table);
    }
    let table = parse_set(json)?;
    insert(key, Arc::clone(&table), None);
    Ok(table)
}

/// The table in the text of the file at `path`, which the cache does not keep.
pub(super) fn uncached(path: &[u8], text: &[u8]) -> Arc<LazyTable> {
    Arc::new(LazyTable::from_text(text.to_owned(), &name_of(path)))
}

fn name_of(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// The table that the plugin was built with, for all evaluations.
pub(super) fn built_in() -> Arc<LazyTable> {
    static TABLE: LazyLock<Arc<LazyTable>> = LazyLock::new(|| Arc::new(LazyTable::built_in()));
    Arc::clone(&TABLE)
}
