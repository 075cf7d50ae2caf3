//! The tables of files, each opened once an evaluation.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{PluginError, Shared, lock};
use crate::table::LazyTable;

/// Tables that are kept; an evaluation with more reads the oldest again.
const MOST_TABLES: usize = 16;

/// Bytes from which on a file is read in parts: before that, one read is quicker.
const LARGE: u64 = 1 << 20;

static KNOWN: Mutex<VecDeque<Known>> = Mutex::new(VecDeque::new());

struct Known {
    key: Key,
    state: Option<State>,
    table: Shared,
}

/// Evaluations may be allowed different files, so none has another's.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    evaluation: usize,
    is_pure: bool,
    path: Vec<u8>,
}

impl Key {
    /// What errors call the file.
    fn name(&self) -> String {
        String::from_utf8_lossy(&self.path).into_owned()
    }
}

/// By what a file that has changed is told. A path that the system does not
/// know, as within a store kept elsewhere, is Nix's own and does not change.
#[derive(Clone, Copy, PartialEq, Eq)]
struct State {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl State {
    fn of(path: &[u8]) -> Option<Self> {
        let file = fs::metadata(Path::new(OsStr::from_bytes(path))).ok()?;
        Some(Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }

    fn is_recent(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let (seconds, nanoseconds) = self.changed.max(self.modified);
        match (now, u64::try_from(seconds), u32::try_from(nanoseconds)) {
            (Ok(now), Ok(seconds), Ok(nanoseconds)) => {
                now.saturating_sub(Duration::new(seconds, nanoseconds)) < COARSE
            }
            _ => true,
        }
    }
}

/// How coarsely some systems tell time: a file that was changed more recently
/// than this may change again and look the same.
const COARSE: Duration = Duration::from_millis(20);

/// Where the table of one file is, or is to be put.
pub(super) struct Slot {
    key: Key,
    /// As the file was before it was read: what changes it later is noticed.
    state: Option<State>,
    table: Option<Shared>,
}

impl Slot {
    pub(super) fn find(evaluation: usize, is_pure: bool, path: &[u8]) -> Self {
        // Pure evaluation has only what does not change, and looks at nothing
        // that Nix has not allowed yet.
        let state = if is_pure { None } else { State::of(path) };
        let key = Key {
            evaluation,
            is_pure,
            path: path.to_owned(),
        };
        let known = lock(&KNOWN);
        let found = known
            .iter()
            .find(|known| known.key == key && known.state == state);
        let table = found.map(|known| *known.table.share());
        Self { key, state, table }
    }

    pub(super) fn is_filled(&self) -> bool {
        self.table.is_some()
    }

    pub(super) fn open_if_large(&mut self) {
        // Within a store kept elsewhere the system does not know the path; and
        // a link would lead to where Nix has not looked.
        let path = Path::new(OsStr::from_bytes(&self.key.path));
        let mut options = fs::OpenOptions::new();
        let options = options
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let Ok(file) = options.open(path) else {
            return;
        };
        let is_large = |file: &fs::Metadata| file.is_file() && file.len() >= LARGE;
        if file.metadata().is_ok_and(|file| is_large(&file))
            && let Ok(table) = LazyTable::from_file(file, &self.key.name())
        {
            self.keep(table);
        }
    }

    pub(super) fn fill(&mut self, text: &[u8]) {
        self.keep(LazyTable::from_text(text.to_owned(), &self.key.name()));
    }

    fn keep(&mut self, table: LazyTable) {
        let table = Shared::from(table);
        self.table = Some(*table.share());
        let mut known = lock(&KNOWN);
        known.retain(|known| known.key != self.key);
        if self.state.is_some_and(|state| state.is_recent()) {
            return;
        }
        if known.len() == MOST_TABLES {
            known.pop_front();
        }
        known.push_back(Known {
            key: self.key.clone(),
            state: self.state,
            table,
        });
    }

    pub(super) fn table(&self) -> Result<Box<Shared>, PluginError> {
        let table = self.table.as_ref().ok_or(PluginError::Panic)?;
        Ok(table.share())
    }
}
