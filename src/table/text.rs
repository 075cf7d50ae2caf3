//! The text of a table: in memory, or in a file of which parts are read.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::{Mutex, OnceLock, PoisonError};

use memchr::memmem::Finder;

/// What is read of a file at once, where less is asked for: what is asked for
/// next is near.
const WINDOW: u64 = 4 << 10;
/// Reads after which all of a file is read, as far as it is no larger than this:
/// whoever looks up so much is quicker with it in memory.
const MANY_READS: u32 = 256;
const LARGEST_IN_MEMORY: u64 = 64 << 20;
/// What is read at a time while something is looked for further away.
const CHUNK: u64 = 64 << 10;

#[derive(Debug)]
pub(super) enum Text {
    Memory(Cow<'static, [u8]>),
    File {
        file: File,
        length: u64,
        window: Mutex<Window>,
        /// All of it, once it was read.
        whole: OnceLock<Vec<u8>>,
    },
}

/// The part of a file that was read last.
#[derive(Debug, Default)]
pub(super) struct Window {
    start: u64,
    bytes: Vec<u8>,
    reads: u32,
}

impl Text {
    pub(super) fn of_file(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self::File {
            file,
            length,
            window: Mutex::default(),
            whole: OnceLock::new(),
        })
    }

    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Memory(text) => text.len() as u64,
            Self::File { length, .. } => *length,
        }
    }

    fn in_memory(&self) -> Option<&[u8]> {
        match self {
            Self::Memory(text) => Some(text),
            Self::File { whole, .. } => whole.get().map(Vec::as_slice),
        }
    }

    /// Calls `f` with the bytes of `range`, as far as there are any.
    pub(super) fn with<T>(&self, range: Range<u64>, f: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        let end = range.end.min(self.length());
        let start = range.start.min(end);
        if let Some(text) = self.in_memory() {
            return Ok(f(&text[to_usize(start)?..to_usize(end)?]));
        }
        match self {
            Self::Memory(text) => Ok(f(text)),
            Self::File { file, .. } if end - start > WINDOW => {
                let mut part = vec![0; to_usize(end - start)?];
                file.read_exact_at(&mut part, start)?;
                Ok(f(&part))
            }
            Self::File {
                file,
                length,
                window,
                whole,
            } => {
                let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
                let read = window.start..window.start + window.bytes.len() as u64;
                if start < read.start || end > read.end {
                    // Nothing is in it until all of it is.
                    let mut bytes = std::mem::take(&mut window.bytes);
                    bytes.resize(to_usize(WINDOW.min(length - start))?, 0);
                    file.read_exact_at(&mut bytes, start)?;
                    (window.start, window.bytes) = (start, bytes);
                    window.reads += 1;
                    if window.reads == MANY_READS && *length <= LARGEST_IN_MEMORY {
                        let mut text = vec![0; to_usize(*length)?];
                        file.read_exact_at(&mut text, 0)?;
                        // Set here alone, behind the lock.
                        let _ = whole.set(text);
                    }
                }
                let from = to_usize(start - window.start)?;
                Ok(f(&window.bytes[from..from + to_usize(end - start)?]))
            }
        }
    }

    /// Where `wanted` begins for the first time within `range`, all of it.
    pub(super) fn find(&self, wanted: &Finder<'_>, range: Range<u64>) -> io::Result<Option<u64>> {
        let length = wanted.needle().len() as u64;
        let (mut start, mut chunk) = (range.start, WINDOW);
        if self.in_memory().is_some() {
            chunk = self.length();
        }
        while start + length <= range.end {
            let end = (start + chunk).min(range.end);
            if let Some(at) = self.with(start..end, |part| wanted.find(part))? {
                return Ok(Some(start + at as u64));
            }
            if end == range.end {
                break;
            }
            // It may have begun at the end of this part.
            start = end + 1 - length;
            chunk = CHUNK;
        }
        Ok(None)
    }
}

fn to_usize(number: u64) -> io::Result<usize> {
    number
        .try_into()
        .map_err(|_| io::ErrorKind::OutOfMemory.into())
}
