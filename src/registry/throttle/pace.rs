//! The pauses of a registry that says that there are too many requests.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::lock::lock;

/// How many of the last responses decide whether a registry is rate-limited.
const WINDOW: usize = 8;
/// Longest random part of a pause.
const LONGEST_JITTER: Duration = Duration::from_secs(2);

/// What is known of a registry's rate limit.
#[derive(Default)]
pub(super) struct Pace(Mutex<State>);

#[derive(Default)]
struct State {
    /// Whether each of the last responses was a 429.
    recent: VecDeque<bool>,
    paused_until: Option<Instant>,
}

impl Pace {
    /// Records a response.
    pub(super) fn record(&self, is_rate_limited: bool) {
        let recent = &mut self.state().recent;
        if recent.len() == WINDOW {
            recent.pop_front();
        }
        recent.push_back(is_rate_limited);
    }

    /// Whether at least half of the last responses were 429s.
    pub(super) fn is_rate_limited(&self) -> bool {
        let recent = &self.state().recent;
        let limited = recent.iter().filter(|is_limited| **is_limited).count();
        limited * 2 >= recent.len()
    }

    /// Pauses the registry for `wait` from now on.
    pub(super) fn pause_for(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let paused_until = &mut self.state().paused_until;
        *paused_until = (*paused_until).max(Some(until));
    }

    /// What is left of the pause.
    pub(super) fn pause(&self) -> Option<Duration> {
        let left = self
            .state()
            .paused_until?
            .saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Waits until the pause is over, and for a random time after it, so that not
    /// all requests come back at once.
    pub(super) async fn wait(&self) {
        while let Some(left) = self.pause() {
            let jitter = (left / 4).min(LONGEST_JITTER);
            sleep(left + jitter.mul_f64(fastrand::f64())).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}
