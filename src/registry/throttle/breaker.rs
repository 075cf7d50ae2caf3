//! A circuit breaker: stops sending requests that have failed for one repository
//! after another.

use std::sync::Mutex;

use crate::lock::lock;
use crate::registry::error::Cause;
use crate::registry::transport::Request;

/// How often requests for a single repository may fail.
const MAX_FAILURES: u32 = 5;

/// Failures of pulls, and of all other requests: registries limit them separately.
#[derive(Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Default)]
struct State {
    pulls: Circuit,
    others: Circuit,
}

#[derive(Default)]
struct Circuit {
    /// Requests that failed after all their retries.
    failures: u32,
    /// The repository of the first of them.
    first: Option<String>,
    /// The error of all further requests.
    open: Option<Cause>,
}

impl Circuit {
    /// Opens at the failure of a second repository, or after many of one.
    fn record(&mut self, repository: &str, cause: &Cause) {
        self.failures += 1;
        let first = self.first.get_or_insert_with(|| repository.to_owned());
        if first != repository || self.failures >= MAX_FAILURES {
            self.open.get_or_insert_with(|| cause.clone());
        }
    }
}

impl Breaker {
    /// The error of `request` where requests of its kind are no longer sent.
    pub(super) fn check(&self, request: &Request) -> Result<(), Cause> {
        let state = lock(&self.0);
        let circuit = if request.is_pull() {
            &state.pulls
        } else {
            &state.others
        };
        circuit.open.clone().map_or(Ok(()), Err)
    }

    /// Records a request that failed after all its retries. Only a rate limit, or a
    /// registry that `is_silent`, says anything about other requests.
    pub(super) fn record_failure(&self, request: &Request, cause: &Cause, is_silent: bool) {
        let repository = request.image().repository();
        let is_limited = cause.is_rate_limited();
        let mut state = lock(&self.0);
        if is_silent || is_limited && request.is_pull() {
            state.pulls.record(&repository, cause);
        }
        if is_silent || is_limited && !request.is_pull() {
            state.others.record(&repository, cause);
        }
    }
}
