//! How many requests a registry gets at once, when a failed one is retried, and
//! when no more are sent: concurrency, rate limits, backoff, the pull quota, a
//! circuit breaker and a deadline.

mod backoff;
mod breaker;
mod pace;
mod pulls;
mod rate;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt as _};
use reqwest::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};

pub(super) use self::backoff::backoff;
use self::breaker::{Breaker, Extent};
use self::pace::Pace;
use self::pulls::{Pull, Pulls};
use super::error::Cause;
use super::limits::Quota;
use super::transport::{Request, Response, Transport};

/// Further retries of a request that is rate-limited while others have succeeded: up to a
/// limit of requests a minute, the waits keep growing.
const RATE_LIMIT_RETRIES: u32 = 3;
/// How long a registry may refuse all its requests, where it does not say for how long.
const LONGEST_REFUSAL: Duration = Duration::from_secs(15);
/// After this many 429s, a request backs off alone instead of pausing the registry.
const SHARED_PAUSES: u32 = 2;
/// How long a rate-limited request lets the others go first, at most, after a pause.
const LAST_IN_LINE: Duration = Duration::from_secs(3);

/// When a registry has to be done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    after: Duration,
}

impl Deadline {
    pub(super) fn after(after: Duration) -> Self {
        let at = Instant::now() + after;
        Self { at, after }
    }

    /// Runs `work` until the deadline.
    pub(super) async fn limit<T>(
        &self,
        work: impl Future<Output = Result<T, Cause>>,
    ) -> Result<T, Cause> {
        let after = self.after;
        let done = timeout_at(self.at, work).await;
        done.unwrap_or(Err(Cause::Timeout { after }))
    }

    fn is_within(&self, wait: Duration) -> bool {
        self.at.saturating_duration_since(Instant::now()) <= wait
    }
}

/// Limits and retries the requests of the layer below.
pub(super) struct Throttle<T> {
    below: T,
    retries: u32,
    deadline: Deadline,
    permits: Arc<Semaphore>,
    pulls: Pulls,
    pace: Pace,
    breaker: Breaker,
    /// Responses so far, of any status.
    responses: AtomicU64,
    /// Responses so far that were a success or 404.
    successes: AtomicU64,
}

impl<T: Transport> Throttle<T> {
    /// At most `jobs` requests at once, each retried `retries` times, until `deadline`.
    pub(super) fn new(below: T, jobs: usize, retries: u32, deadline: Deadline) -> Self {
        Self {
            below,
            retries,
            deadline,
            permits: Arc::new(Semaphore::new(jobs)),
            pulls: Pulls::default(),
            pace: Pace::default(),
            breaker: Breaker::default(),
            responses: AtomicU64::new(0),
            successes: AtomicU64::new(0),
        }
    }

    /// Sends the first request alone, for a second at most: its connection, over HTTP/2, and
    /// its token serve the others too.
    pub(super) fn with_first_alone(mut self) -> Self {
        self.pace = Pace::with_first_alone();
        self
    }

    /// The pull quota, as of the last response that had one.
    pub(super) fn quota(&self) -> Option<Quota> {
        self.pulls.quota()
    }

    /// How long the registry is paused from now on.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.pace.pause()
    }

    async fn send_with_retries(
        &self,
        request: &Request,
        deadline: Deadline,
    ) -> Result<Response, Cause> {
        let responses_before = self.responses.load(Ordering::Relaxed);
        let mut retries = Retries::new(self.retries);
        loop {
            let turn = self.turn(request).await?;
            let sent = turn.sent;
            let cause = match self.attempt(request, turn).await {
                Ok(response) => return Ok(response),
                Err(cause) if !cause.is_transient() => return Err(cause),
                Err(cause) => cause,
            };
            let successes = self.successes.load(Ordering::Relaxed);
            let is_hopeless = is_hopeless(&cause, successes);
            let ends = |wait: &Duration| {
                deadline.is_within(*wait)
                    || is_hopeless && self.pace.since_refusal() + *wait > LONGEST_REFUSAL
            };
            let wait = retries.next(&cause, successes);
            let Some(wait) = wait.filter(|wait| !ends(wait)) else {
                let is_silent = is_of_registry(&cause, request)
                    && self.responses.load(Ordering::Relaxed) == responses_before;
                let extent = if is_silent {
                    Extent::Registry
                } else if is_hopeless && retries.rate_limited > 1 {
                    Extent::Everything
                } else {
                    Extent::Request
                };
                self.breaker.record_failure(request, &cause, extent);
                return Err(cause);
            };
            // A request that is refused again and again, or while most others
            // succeed, is refused for its own sake: the others need not wait.
            let is_for_all = cause.is_rate_limited()
                && retries.rate_limited <= SHARED_PAUSES
                && self.pace.is_rate_limited();
            if is_for_all {
                self.pace.pause_for(sent, cause.retry_after(), wait);
                sleep(wait + (wait / 2).min(LAST_IN_LINE)).await;
            } else {
                sleep(wait).await;
            }
        }
    }

    /// Waits until the request may be sent.
    ///
    /// # Errors
    /// Where requests of its kind are no longer sent.
    async fn turn(&self, request: &Request) -> Result<Turn, Cause> {
        // Nobody closes the semaphore, so that there is always a permit.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        let next = self.pace.next().await;
        self.breaker.check(request)?;
        let pull = if request.is_pull() {
            Some(self.pulls.begin()?)
        } else {
            None
        };
        let sent = next.wait().await;
        self.breaker.check(request)?;
        Ok(Turn {
            sent,
            _permit: permit,
            _pull: pull,
        })
    }

    /// Sends the request once.
    async fn attempt(&self, request: &Request, turn: Turn) -> Result<Response, Cause> {
        let sent = self.below.send(request.clone()).await;
        let mut response = sent.inspect_err(|_| self.pace.record_error())?;
        let status = response.status();
        self.responses.fetch_add(1, Ordering::Relaxed);
        self.pace.record(status == StatusCode::TOO_MANY_REQUESTS);
        if response.url().origin() == request.url().origin() {
            self.pulls.record(response.headers());
        }
        if !status.is_success() && status != StatusCode::NOT_FOUND {
            return Err(Cause::Status {
                method: request.method().clone(),
                status,
                message: response.error_message().await,
                retry_after: response.retry_after(),
                login: response.login().clone(),
            });
        }
        if status == StatusCode::NOT_FOUND {
            response = response.map_body(|_| stream::empty().boxed());
        } else if let Some(limit) = request.limit() {
            response = response.buffered(request.content(), limit).await?;
        } else {
            // A streamed body keeps its turn until it has been read.
            response = response.map_body(|body| {
                body.map(move |chunk| {
                    let _ = &turn;
                    chunk
                })
                .boxed()
            });
        }
        self.successes.fetch_add(1, Ordering::Relaxed);
        Ok(response)
    }
}

impl<T: Transport> Transport for Throttle<T> {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Cause>> {
        Box::pin(async move {
            let deadline = if request.has_own_deadline() {
                Deadline::after(self.deadline.after)
            } else {
                self.deadline
            };
            let send = self.send_with_retries(&request, deadline);
            deadline.limit(send).await
        })
    }
}

/// Whether the host that cannot be reached is that of the request, and not of a token
/// service or of a redirect, which the registry has answered with.
fn is_of_registry(cause: &Cause, request: &Request) -> bool {
    let unreachable = match cause {
        Cause::Unreachable { host, .. } => Some(host.as_str()),
        _ => None,
    };
    unreachable == request.url().host_str()
}

/// Whether a registry refuses all its requests, and does not say for how long.
fn is_hopeless(cause: &Cause, successes: u64) -> bool {
    cause.is_rate_limited() && cause.retry_after().is_none() && successes == 0
}

/// The right to send one request, until dropped.
struct Turn {
    /// When it is sent.
    sent: Instant,
    _permit: Option<OwnedSemaphorePermit>,
    _pull: Option<Pull>,
}

/// Counts the failed attempts of one request.
struct Retries {
    allowed: u32,
    failed: u32,
    rate_limited: u32,
    /// 429s since another request succeeded.
    in_vain: u32,
    successes: Option<u64>,
}

impl Retries {
    fn new(allowed: u32) -> Self {
        Self {
            allowed,
            failed: 0,
            rate_limited: 0,
            in_vain: 0,
            successes: None,
        }
    }

    /// How long to wait before the next attempt, after a failure by `cause`;
    /// `successes` counts those of all requests. `None` where there is no next one.
    fn next(&mut self, cause: &Cause, successes: u64) -> Option<Duration> {
        let asked = cause.retry_after().unwrap_or_default();
        if !cause.is_rate_limited() {
            let wait = asked.max(backoff(self.failed));
            self.failed += 1;
            return (self.failed <= self.allowed).then_some(wait);
        }
        if self.successes.is_some_and(|before| successes > before) {
            // Other requests succeed: it is a question of pace.
            self.in_vain = 0;
        }
        self.successes = Some(successes);
        let wait = asked.max(backoff(self.rate_limited));
        self.rate_limited += 1;
        self.in_vain += 1;
        let allowed = match self.allowed {
            0 => 0,
            allowed => allowed + RATE_LIMIT_RETRIES,
        };
        (self.in_vain <= allowed).then_some(wait)
    }
}
