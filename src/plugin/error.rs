//! The errors of the bridge.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::resolve;
use crate::json::FileError;
use crate::lookup::QueryError;

/// Why a call of Rust fails. C++ throws it as an error of Nix.
#[derive(Debug, thiserror::Error)]
pub(super) enum PluginError {
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
pub(super) fn guarded<T>(f: impl FnOnce() -> Result<T, PluginError>) -> Result<T, PluginError> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or(Err(PluginError::Panic))
}
