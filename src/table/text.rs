//! The text of a table: in memory, or in a file that is read in parts.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::{Mutex, OnceLock};

use memchr::memmem::Finder;

use crate::lock::lock;

/// Bytes of a file that are read at once: the next range is often near.
const WINDOW: u64 = 16 << 10;
/// Once windows have read more than one part in this many of a file, the whole file is
/// read into memory, where further lookups are faster.
const WHOLE_DIVISOR: u64 = 4;
/// Largest file that is read into memory, in bytes.
const LARGEST_IN_MEMORY: u64 = 64 << 20;

#[derive(Debug)]
pub(super) enum Text {
    Memory(Cow<'static, [u8]>),
    File(TextFile),
}

#[derive(Debug)]
pub(super) struct TextFile {
    file: File,
    length: u64,
    window: Mutex<Window>,
    /// The whole text, once it has been read.
    whole: OnceLock<Vec<u8>>,
}

/// The part of a file that was read last.
#[derive(Debug, Default)]
struct Window {
    start: u64,
    bytes: Vec<u8>,
    /// Bytes of all windows so far.
    read: u64,
}

impl Window {
    fn has(&self, range: &Range<u64>) -> bool {
        self.start <= range.start && range.end <= self.start + self.bytes.len() as u64
    }
}

impl Text {
    pub(super) fn of_file(file: File) -> io::Result<Self> {
        Ok(Self::File(TextFile {
            length: file.metadata()?.len(),
            file,
            window: Mutex::default(),
            whole: OnceLock::new(),
        }))
    }

    /// The text, unless it is in a file.
    pub(super) fn in_memory(&self) -> Option<&[u8]> {
        match self {
            Self::Memory(text) => Some(text),
            Self::File(_) => None,
        }
    }

    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Memory(text) => text.len() as u64,
            Self::File(file) => file.length,
        }
    }

    /// Calls `f` with the bytes of `range`, cut at the end of the text.
    pub(super) fn with<T>(&self, range: Range<u64>, f: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        let end = range.end.min(self.length());
        let range = range.start.min(end)..end;
        match self {
            Self::Memory(text) => Ok(f(slice(text, &range, 0)?)),
            Self::File(file) => file.with(&range, f),
        }
    }

    /// The first position of `wanted` that is entirely within `range`.
    pub(super) fn find(&self, wanted: &Finder<'_>, range: Range<u64>) -> io::Result<Option<u64>> {
        let length = wanted.needle().len() as u64;
        let mut start = range.start;
        let chunk = match self {
            Self::Memory(text) => text.len() as u64,
            Self::File(_) => WINDOW,
        };
        while start + length <= range.end {
            let end = (start + chunk).min(range.end);
            if let Some(at) = self.with(start..end, |part| wanted.find(part))? {
                return Ok(Some(start + at as u64));
            }
            if end == range.end {
                break;
            }
            // It may cross the end of this part.
            start = end + 1 - length;
        }
        Ok(None)
    }
}

impl TextFile {
    fn with<T>(&self, range: &Range<u64>, f: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        if let Some(text) = self.whole.get() {
            return Ok(f(slice(text, range, 0)?));
        }
        if range.end - range.start > WINDOW {
            return Ok(f(&self.read(range.clone())?));
        }
        let mut window = lock(&self.window);
        if !window.has(range) {
            let bytes = self.read(range.start..(range.start + WINDOW).min(self.length))?;
            window.read += bytes.len() as u64;
            (window.start, window.bytes) = (range.start, bytes);
            if window.read > self.length / WHOLE_DIVISOR && self.length <= LARGEST_IN_MEMORY {
                // The lock is held, so nothing else sets it.
                let _ = self.whole.set(self.read(0..self.length)?);
            }
        }
        Ok(f(slice(&window.bytes, range, window.start)?))
    }

    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; to_usize(range.end - range.start)?];
        self.file.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes)
    }
}

/// The bytes of `range` in `text`, which begins at `start`.
fn slice<'a>(text: &'a [u8], range: &Range<u64>, start: u64) -> io::Result<&'a [u8]> {
    Ok(&text[to_usize(range.start - start)?..to_usize(range.end - start)?])
}

fn to_usize(number: u64) -> io::Result<usize> {
    number
        .try_into()
        .map_err(|_| io::ErrorKind::OutOfMemory.into())
}
