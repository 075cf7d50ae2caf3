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

/// What a failed request says of other requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Nothing, unless it is of a rate limit.
    Request,
    /// The registry did not answer.
    Registry,
    /// The registry has refused every request so far, again and again.
    Everything,
}

impl Circuit {
    /// Opens at the failure of a second repository, or after many of one.
    fn record(&mut self, repository: &str, cause: &Cause) {
        self.failures += 1;
        let first = self.first.get_or_insert_with(|| repository.to_owned());
        if first != repository || self.failures >= MAX_FAILURES {
            self.open(cause);
        }
    }

    fn open(&mut self, cause: &Cause) {
        self.open.get_or_insert_with(|| cause.clone());
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

    /// Records a request that failed after all its retries, and what that says of other
    /// requests. A rate limit of pulls is not one of all requests.
    pub(super) fn record_failure(&self, request: &Request, cause: &Cause, extent: Extent) {
        let repository = request.image().repository();
        let mut state = lock(&self.0);
        let State { pulls, others } = &mut *state;
        match extent {
            Extent::Registry => {
                pulls.record(&repository, cause);
                others.record(&repository, cause);
            }
            Extent::Everything if request.is_pull() => pulls.open(cause),
            Extent::Everything => {
                pulls.open(cause);
                others.open(cause);
            }
            Extent::Request if !cause.is_rate_limited() => {}
            Extent::Request if request.is_pull() => pulls.record(&repository, cause),
            Extent::Request => others.record(&repository, cause),
        }
    }
}
