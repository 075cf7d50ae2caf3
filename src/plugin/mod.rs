//! `builtins.ociHash`: the library as a Nix plugin. C++ (`cpp/`) takes arguments
//! apart and throws errors; this module answers.

mod answer;
#[allow(
    unsafe_code,
    unreachable_pub,
    clippy::unnecessary_box_returns,
    reason = "cxx generates the code; the unsafe parts of our own say why they are sound"
)]
mod bridge;
mod resolve;
mod tables;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::json::FileError;
use crate::lookup::QueryError;

/// Why a call of Rust fails. C++ throws it as an error of Nix.
#[derive(Debug, thiserror::Error)]
enum PluginError {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Resolve(#[from] Box<resolve::Error>),
    #[error("{what} is not UTF-8; image names, tags and platforms are plain ASCII")]
    NotUtf8 { what: String },
    #[error("internal error; please report it with the expression that caused it")]
    Panic,
}

/// Runs `f` so that a panic becomes an error, and does not unwind into Nix.
fn guarded<T>(f: impl FnOnce() -> Result<T, PluginError>) -> Result<T, PluginError> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or(Err(PluginError::Panic))
}

/// Locks `mutex`, whose value is whole even where a panic was caught.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
