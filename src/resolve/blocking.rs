//! Resolves from within another program, on its thread: bounded in time, ended by
//! an interrupt, and with no thread left behind.

use std::time::Duration;

use tokio::runtime::Builder;
use tokio::select;
use tokio::time::{sleep, timeout};

use super::{Cache, Found, ResolveError, Subject, ask};
use crate::json::FileError;
use crate::registry::{Cause, Client, Dns, Options, SetupError};

/// How often to check for an interrupt.
const INTERRUPT_INTERVAL: Duration = Duration::from_millis(25);
/// How long to wait for a cache that another process writes to.
const CACHE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often to try whether the cache is free.
const CACHE_INTERVAL: Duration = Duration::from_millis(5);
/// How much longer than the limit the client may take to report its own timeout.
const GRACE: Duration = Duration::from_millis(250);
/// There is no time for more.
const RETRIES: u32 = 2;

/// What a resolution may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long it may take.
    pub timeout: Duration,
    /// How old a cached answer may be.
    pub ttl: Duration,
    /// Whether only cached answers count, of any age.
    pub offline: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum BlockingError {
    /// The registry has none.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// There is no client.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// There is no cached answer, and no request is allowed.
    #[error("there is no cached answer, and Nix is offline")]
    Offline,
    /// It took longer than this limit.
    #[error("timed out after {} s waiting for the registry; try again later", .0.as_secs())]
    Timeout(Duration),
    /// The program was interrupted.
    #[error("interrupted")]
    Interrupted,
    /// There is no runtime.
    #[error("cannot start the network runtime: {0}; try again")]
    Runtime(String),
}

/// What was found, and why it is not in the cache.
#[derive(Debug)]
pub struct Resolved {
    /// What was found.
    pub found: Found,
    /// Why it could not be written to the cache.
    pub cache_error: Option<FileError>,
}

/// Resolves `subject` from `cache` or its registry. Ends soon after
/// `is_interrupted` returns true; all that it started has ended by then.
///
/// # Errors
/// Where there is no answer within `limits`.
pub fn resolve_blocking(
    subject: &Subject,
    limits: Limits,
    cache: Option<&Cache>,
    is_interrupted: impl Fn() -> bool,
) -> Result<Resolved, BlockingError> {
    let ttl = (!limits.offline).then_some(limits.ttl);
    if let Some(found) = cache.and_then(|cache| cache.find(subject, ttl)) {
        let cache_error = None;
        return Ok(Resolved { found, cache_error });
    }
    if limits.offline {
        return Err(BlockingError::Offline);
    }
    // All work is on this thread, and ends with the runtime.
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| BlockingError::Runtime(crate::json::plain(&error)))?;
    runtime.block_on(async {
        let work = async {
            let found = from_registry(subject, limits.timeout).await?;
            let cache_error = match cache {
                Some(cache) => keep(cache, subject, &found).await.err(),
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

async fn from_registry(subject: &Subject, limit: Duration) -> Result<Found, BlockingError> {
    let client = Client::new(Options {
        retries: RETRIES,
        deadline: limit,
        dns: Dns::InProcess,
        ..Options::default()
    })?;
    // The client keeps to the limit by itself; this is for what it does not await.
    match timeout(limit + GRACE, ask(&client, subject)).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(ResolveError::Registry(error))) if matches!(*error.cause, Cause::Timeout { .. }) => {
            Err(BlockingError::Timeout(limit))
        }
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(BlockingError::Timeout(limit)),
    }
}

/// Writes `found` to the cache, unless another process keeps it locked for long.
async fn keep(cache: &Cache, subject: &Subject, found: &Found) -> Result<(), FileError> {
    let kept = async {
        while !cache.try_keep(subject, found)? {
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
