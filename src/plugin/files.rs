//! The tables of files, each opened once an evaluation.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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
    /// When the file was last seen to be in that state.
    seen: Instant,
    table: Shared,
}

/// Evaluations may be allowed different files, so none has another's.
#[derive(PartialEq, Eq)]
struct Key {
    evaluation: usize,
    is_pure: bool,
    path: Vec<u8>,
}

impl Key {
    fn is(&self, evaluation: usize, is_pure: bool, path: &[u8]) -> bool {
        (self.evaluation, self.is_pure) == (evaluation, is_pure) && self.path == path
    }

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
    is_file: bool,
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
            is_file: file.is_file(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }

    fn is_large_file(&self) -> bool {
        self.is_file && self.size >= LARGE
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

/// For how long a file is taken to be as it was seen: lookups of one expression
/// come by the thousand, and to ask the system takes longer than one of them. It
/// is less than it takes to read an answer and to replace the file because of it.
const AT_ONCE: Duration = Duration::from_micros(50);

/// How coarsely some systems tell time: a file that was changed more recently
/// than this may change again and look the same.
const COARSE: Duration = Duration::from_millis(20);

/// Where the table of one file is, or is to be put.
pub(super) struct Slot {
    table: Option<Shared>,
    /// Where it is to be put, with the file as it was before it was read: what
    /// changes it later is noticed.
    place: Option<(Key, Option<State>)>,
}

impl Slot {
    pub(super) fn find(evaluation: usize, is_pure: bool, path: &[u8]) -> Self {
        let mut known = lock(&KNOWN);
        let mut known = known.iter_mut();
        let found = known.find(|known| known.key.is(evaluation, is_pure, path));
        if let Some(known) = &found
            && known.seen.elapsed() < AT_ONCE
        {
            return Self::of(&known.table);
        }
        // Pure evaluation has only what does not change, and looks at nothing
        // that Nix has not allowed yet.
        let state = if is_pure { None } else { State::of(path) };
        if let Some(known) = found
            && known.state == state
        {
            known.seen = Instant::now();
            return Self::of(&known.table);
        }
        let key = Key {
            evaluation,
            is_pure,
            path: path.to_owned(),
        };
        Self {
            table: None,
            place: Some((key, state)),
        }
    }

    fn of(table: &Shared) -> Self {
        Self {
            table: Some(*table.share()),
            place: None,
        }
    }

    pub(super) fn is_filled(&self) -> bool {
        self.table.is_some()
    }

    pub(super) fn open_if_large(&mut self) {
        let Some((key, state)) = &self.place else {
            return;
        };
        // Nix has said that it may be read, so that it may be looked at.
        let state = state.or_else(|| State::of(&key.path));
        if !state.is_some_and(|state| state.is_large_file()) {
            return;
        }
        // Within a store kept elsewhere the system does not know the path; and
        // a link would lead to where Nix has not looked.
        let mut options = fs::OpenOptions::new();
        let options = options.read(true).custom_flags(libc::O_NOFOLLOW);
        let file = options.open(Path::new(OsStr::from_bytes(&key.path)));
        if let Ok(file) = file
            && let Ok(table) = LazyTable::from_file(file, &key.name())
        {
            self.keep(table);
        }
    }

    pub(super) fn fill(&mut self, text: &[u8]) {
        let name = self.place.as_ref().map(|(key, _)| key.name());
        self.keep(LazyTable::from_text(
            text.to_owned(),
            &name.unwrap_or_default(),
        ));
    }

    fn keep(&mut self, table: LazyTable) {
        let table = Shared::from(table);
        self.table = Some(*table.share());
        let Some((key, state)) = self.place.take() else {
            return;
        };
        let mut known = lock(&KNOWN);
        known.retain(|known| known.key != key);
        if state.is_some_and(|state| state.is_recent()) {
            return;
        }
        if known.len() == MOST_TABLES {
            known.pop_front();
        }
        known.push_back(Known {
            key,
            state,
            seen: Instant::now(),
            table,
        });
    }

    pub(super) fn table(&self) -> Result<Box<Shared>, PluginError> {
        let table = self.table.as_ref().ok_or(PluginError::Panic)?;
        Ok(table.share())
    }
}
