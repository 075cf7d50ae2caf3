//! The text of a table: in memory, or in a file of which parts are read.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::{Mutex, OnceLock, PoisonError};

use memchr::memmem::Finder;

/// What is read of a file at once, where less is asked for: what is asked for
/// next is near. Whoever goes on where the last part ends is given more and more.
const WINDOW: u64 = 4 << 10;
const LARGEST_WINDOW: u64 = 64 << 10;
/// Largest part that is kept, where more has to be read at once.
const LARGEST_KEPT: u64 = 1 << 20;
/// Once a quarter of a file has been read here and there, all of it is read, as far
/// as it is no larger than this: whoever looks up so much is quicker with it in memory.
const MANY: u64 = 4;
const LARGEST_IN_MEMORY: u64 = 64 << 20;

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
    /// Bytes that have been read otherwise than one part after the other.
    read: u64,
}

impl Window {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
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
        let Self::File {
            file,
            length,
            window,
            whole,
        } = self
        else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
        if start < window.start || end > window.end() {
            let is_next = (window.start..=window.end()).contains(&start);
            let ahead = if is_next {
                (2 * window.bytes.len() as u64).clamp(WINDOW, LARGEST_WINDOW)
            } else {
                WINDOW
            };
            let stop = end.max((start + ahead).min(*length));
            if stop - start > LARGEST_KEPT {
                return Ok(f(&read(file, start..end, Vec::new())?));
            }
            // Nothing is in it until all of it is.
            let bytes = std::mem::take(&mut window.bytes);
            window.bytes = read(file, start..stop, bytes)?;
            window.start = start;
            if !is_next {
                window.read += stop - start;
            }
            if window.read > *length / MANY && *length <= LARGEST_IN_MEMORY {
                // Set here alone, behind the lock.
                let _ = whole.set(read(file, 0..*length, Vec::new())?);
            }
        }
        let from = to_usize(start - window.start)?;
        Ok(f(&window.bytes[from..from + to_usize(end - start)?]))
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
            chunk = LARGEST_WINDOW;
        }
        Ok(None)
    }
}

/// Reads a part of a file in the place of what `buffer` holds.
fn read(file: &File, part: Range<u64>, mut buffer: Vec<u8>) -> io::Result<Vec<u8>> {
    buffer.resize(to_usize(part.end - part.start)?, 0);
    file.read_exact_at(&mut buffer, part.start)?;
    Ok(buffer)
}

fn to_usize(number: u64) -> io::Result<usize> {
    number
        .try_into()
        .map_err(|_| io::ErrorKind::OutOfMemory.into())
}
