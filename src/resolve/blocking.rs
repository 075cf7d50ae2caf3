//! Blocking resolution on the caller's thread, with a timeout and a check for
//! interrupts. Leaves no thread running.

use std::time::Duration;

use tokio::runtime::Builder;
use tokio::select;
use tokio::time::{sleep, timeout};

use super::{Cache, ResolveError, ResolvedPin, Target, query_registry};
use crate::json::FileError;
use crate::registry::{Cause, Client, Dns, Options, SetupError};

/// How often to check for an interrupt.
const INTERRUPT_INTERVAL: Duration = Duration::from_millis(25);
/// How long to wait while another process holds the cache's lock.
const CACHE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often to try to take the cache's lock.
const CACHE_INTERVAL: Duration = Duration::from_millis(5);
/// How much longer than the limit the client may take to report its own timeout.
const GRACE: Duration = Duration::from_millis(250);
/// Fewer than in a refresh, because an evaluation waits.
const RETRIES: u32 = 2;

/// Limits of one resolution.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest time for all requests.
    pub timeout: Duration,
    /// How long a cached result is valid.
    pub ttl: Duration,
    /// Whether to send no requests and use cached results of any age.
    pub offline: bool,
}

/// Why a resolution failed.
#[derive(Debug, thiserror::Error)]
pub enum BlockingError {
    /// The registry failed, or has no match.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The HTTP client could not be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The cache has no result, and Nix is offline.
    #[error("there is no cached answer, and Nix is offline")]
    Offline,
    /// It took longer than this limit.
    #[error("timed out after {} s waiting for the registry; try again later", .0.as_secs())]
    Timeout(Duration),
    /// The program was interrupted.
    #[error("interrupted")]
    Interrupted,
    /// The async runtime could not start.
    #[error("cannot start the network runtime: {0}; try again")]
    Runtime(String),
}

/// A result, and the error of writing it to the cache, if any.
#[derive(Debug)]
pub struct Resolved {
    /// The result.
    pub found: ResolvedPin,
    /// The error of writing it to the cache. `None` also if another process held
    /// the lock for too long.
    pub cache_error: Option<FileError>,
}

/// Resolves `target` from `cache` or its registry. Returns soon after
/// `is_interrupted` returns true, with all of its tasks ended.
///
/// # Errors
/// If there is no result within `limits`.
pub fn resolve_blocking(
    target: &Target,
    limits: Limits,
    cache: Option<&Cache>,
    is_interrupted: impl Fn() -> bool,
) -> Result<Resolved, BlockingError> {
    let ttl = (!limits.offline).then_some(limits.ttl);
    if let Some(found) = cache.and_then(|cache| cache.find(target, ttl)) {
        let cache_error = None;
        return Ok(Resolved { found, cache_error });
    }
    if limits.offline {
        return Err(BlockingError::Offline);
    }
    // All tasks run on this thread, and end when the runtime is dropped.
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| BlockingError::Runtime(crate::json::plain(&error)))?;
    runtime.block_on(async {
        let work = async {
            let found = from_registry(target, limits.timeout).await?;
            let cache_error = match cache {
                Some(cache) => store(cache, target, &found).await.err(),
                None => None,
            };
            Ok(Resolved { found, cache_error })
        };
        select! {
            biased;
            () = interrupt(&is_interrupted) => Err(BlockingError::Interrupted),
            resolved = work => resolved,
        }
    })
}

async fn from_registry(target: &Target, limit: Duration) -> Result<ResolvedPin, BlockingError> {
    let client = Client::new(Options {
        retries: RETRIES,
        deadline: limit,
        dns: Dns::InProcess,
        ..Options::default()
    })?;
    // The client enforces the limit for its requests; this timeout covers other
    // waits.
    match timeout(limit + GRACE, query_registry(&client, target)).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(ResolveError::Registry(error))) if matches!(*error.cause, Cause::Timeout { .. }) => {
            Err(BlockingError::Timeout(limit))
        }
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(BlockingError::Timeout(limit)),
    }
}

/// Writes `found` to the cache. Gives up without an error after [`CACHE_TIMEOUT`]
/// if another process holds the lock.
async fn store(cache: &Cache, target: &Target, found: &ResolvedPin) -> Result<(), FileError> {
    let kept = async {
        while !cache.try_insert(target, found)? {
            sleep(CACHE_INTERVAL).await;
        }
        Ok(())
    };
    timeout(CACHE_TIMEOUT, kept).await.unwrap_or(Ok(()))
}

async fn interrupt(is_interrupted: &impl Fn() -> bool) {
    while !is_interrupted() {
        sleep(INTERRUPT_INTERVAL).await;
    }
}
