//! A question asked from within another program: bounded in time, given up the
//! moment the program says so, and with no thread left behind.

use std::time::Duration;

use tokio::runtime::Builder;
use tokio::select;
use tokio::time::{sleep, timeout};

use super::{Cache, Found, ResolveError, Subject, ask};
use crate::json::FileError;
use crate::registry::{Client, Names, Options, RegistryError};

/// How often the program is asked whether to give up.
const ATTENTION: Duration = Duration::from_millis(25);
/// How long a cache that others write to is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// How much longer than it may take a question is left to end by itself.
const GRACE: Duration = Duration::from_millis(250);
/// Second tries; there is not the time for more.
const RETRIES: u32 = 2;

/// What a question may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long it may take in all.
    pub time: Duration,
    /// How old an answer that was kept may be.
    pub age: Duration,
    /// Whether only what was kept may answer, of any age.
    pub offline: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WithinError {
    /// The registry has none.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// It is not to be asked, and nothing was kept.
    #[error(
        "no answer of the registry is kept, and Nix is offline: by --offline, or for want of a network"
    )]
    Offline,
    /// It took too long.
    #[error("the registry was not done within {} s; raise 'oci-hash-timeout' in nix.conf, or try again later", .0.as_secs())]
    Late(Duration),
    /// The program has given up.
    #[error("interrupted")]
    GivenUp,
    /// No question can be asked at all.
    #[error("cannot start the network runtime: {0}; try again")]
    Runtime(String),
}

/// What was found, and what went wrong in keeping it.
#[derive(Debug)]
pub struct Answered {
    /// What was found.
    pub found: Found,
    /// Why it could not be kept for the next time.
    pub not_kept: Option<FileError>,
}

/// What `subject` points to, from `cache` or from its registry. Ends soon after
/// `is_given_up` says so; whatever it began is over by then.
///
/// # Errors
/// Where there is no answer within `limits`.
pub fn ask_within(
    subject: &Subject,
    limits: Limits,
    cache: Option<&Cache>,
    is_given_up: impl Fn() -> bool,
) -> Result<Answered, WithinError> {
    let age = (!limits.offline).then_some(limits.age);
    if let Some(found) = cache.and_then(|cache| cache.find(subject, age)) {
        let not_kept = None;
        return Ok(Answered { found, not_kept });
    }
    if limits.offline {
        return Err(WithinError::Offline);
    }
    // Everything runs on this thread, and ends with this value.
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| WithinError::Runtime(crate::json::plain(&error)))?;
    runtime.block_on(async {
        let work = async {
            // The client keeps to it by itself, and knows why it is late.
            let asked = timeout(limits.time + GRACE, from_registry(subject, limits.time)).await;
            let late = WithinError::Late(limits.time);
            let found = match asked {
                Err(_) | Ok(Err(ResolveError::Registry(RegistryError::Late { .. }))) => {
                    return Err(late);
                }
                Ok(found) => found?,
            };
            let not_kept = match cache {
                Some(cache) => keep(cache, subject, &found).await.err(),
                None => None,
            };
            Ok(Answered { found, not_kept })
        };
        select! {
            biased;
            () = given_up(&is_given_up) => Err(WithinError::GivenUp),
            answered = work => answered,
        }
    })
}

async fn from_registry(subject: &Subject, deadline: Duration) -> Result<Found, ResolveError> {
    let client = Client::new(Options {
        retries: RETRIES,
        deadline,
        names: Names::InProcess,
        ..Options::default()
    })
    .map_err(|error: RegistryError| ResolveError::from(error))?;
    ask(&client, subject).await
}

/// Keeps an answer once whoever else writes is done; if that takes long, it is
/// not kept, and asked for again the next time.
async fn keep(cache: &Cache, subject: &Subject, found: &Found) -> Result<(), FileError> {
    let kept = async {
        while !cache.try_keep(subject, found)? {
            sleep(ATTENTION / 5).await;
        }
        Ok(())
    };
    timeout(PATIENCE, kept).await.unwrap_or(Ok(()))
}

async fn given_up(is_given_up: &impl Fn() -> bool) {
    while !is_given_up() {
        sleep(ATTENTION).await;
    }
}
