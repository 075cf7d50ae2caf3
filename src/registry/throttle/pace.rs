//! Limits the rate of requests to a registry: a few at once, a slow start for the rest, then
//! the rate that it allows.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::rate::Rate;
use crate::lock::lock;

/// Requests that are sent at once: a registry that limits their rate allows some.
const BURST: u32 = 20;
/// Between the requests after those; half as long after each [`RAMP`] of them.
const FIRST_INTERVAL: Duration = Duration::from_millis(2);
const RAMP: u32 = 16;
/// Among more responses than these, a few refusals may be chance.
const FEW: u64 = 64;
/// How many of the last responses decide.
const WINDOW: usize = 12;
/// How long the first request, and a single one after a 429, may keep the others waiting.
const LONGEST_PROBE: Duration = Duration::from_secs(1);
/// Timers are exact to a millisecond: a late request does not delay the next one.
const TICK: Duration = Duration::from_millis(1);

/// When the next request may be sent.
#[derive(Default)]
pub(super) struct Pace {
    state: Mutex<State>,
    /// Held by the request whose turn is next.
    next: tokio::sync::Mutex<()>,
    responded: Notify,
}

#[derive(Default)]
struct State {
    sent: u32,
    responses: u64,
    first_refusal: Option<Instant>,
    /// Whether each of the last responses was a 429.
    recent: VecDeque<bool>,
    rate: Option<Rate>,
    /// Successes since the rate was set.
    successes: u32,
    paused_until: Option<Instant>,
    /// After a 429, and at first where the pace begins so, a single request is sent, and no
    /// other until this time or a response.
    probe_until: Option<Instant>,
    not_before: Option<Instant>,
}

/// The right to send the next request.
pub(super) struct Next<'a> {
    pace: &'a Pace,
    _lock: tokio::sync::MutexGuard<'a, ()>,
}

impl Pace {
    /// Sends the first request alone.
    pub(super) fn with_first_alone() -> Self {
        let pace = Self::default();
        pace.state().probe_until = Some(Instant::now());
        pace
    }

    /// Waits until the requests before this one have been sent.
    pub(super) async fn next(&self) -> Next<'_> {
        Next {
            pace: self,
            _lock: self.next.lock().await,
        }
    }

    /// Records a response.
    pub(super) fn record(&self, is_rate_limited: bool) {
        let mut state = self.state();
        state.responses += 1;
        state.recent.truncate(WINDOW - 1);
        state.recent.push_front(is_rate_limited);
        if is_rate_limited {
            let now = Instant::now();
            state.first_refusal.get_or_insert(now);
            state.probe_until = Some(now);
            // In the pause, the requests in flight are refused. The first one after it shows
            // only that it was too short.
            if state.successes > 0 && state.paused_until < Some(now) {
                state.rate = state.rate.map(|rate| rate.doubted(now));
            }
        } else {
            state.successes = state.successes.saturating_add(1);
            state.probe_until = None;
            let (successes, now) = (state.successes, Instant::now());
            state.rate = state.rate.filter(|rate| !rate.is_lifted(successes, now));
        }
        drop(state);
        self.responded.notify_one();
    }

    /// Records that a request got no response: the others do not wait for the first one.
    pub(super) fn record_error(&self) {
        let mut state = self.state();
        if state.responses == 0 {
            state.probe_until = None;
            drop(state);
            self.responded.notify_one();
        }
    }

    /// The time since the registry's first 429.
    pub(super) fn since_refusal(&self) -> Duration {
        let since = self.state().first_refusal;
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Whether the last responses say that there are too many requests: by so many 429s
    /// among the last few, or among the last [`WINDOW`].
    pub(super) fn is_rate_limited(&self) -> bool {
        let state = self.state();
        let ((limited, last), of_window) = match &state.rate {
            Some(rate) if rate.is_measured() => ((2, 2), 3),
            Some(_) => ((3, 4), 6),
            None if state.responses > FEW => ((4, 4), 6),
            None => ((2, 2), 6),
        };
        let among = |last: usize| {
            let recent = state.recent.iter().take(last);
            recent.filter(|is_limited| **is_limited).count()
        };
        among(last) >= limited.min(state.recent.len()) || among(WINDOW) >= of_window
    }

    /// Pauses the registry, which refused a request that was sent at `sent`: for `asked`,
    /// where it said how long, else for `wait`, or less where its rate is known.
    pub(super) fn pause_for(&self, sent: Instant, asked: Option<Duration>, wait: Duration) {
        let now = Instant::now();
        let mut state = self.state();
        let rate = match state.rate {
            // The request was in flight when the registry refused another one.
            Some(rate) if sent <= rate.since() => Some(rate),
            rate => {
                let successes = std::mem::take(&mut state.successes);
                state.recent.clear();
                rate.map_or_else(
                    || Some(Rate::first(now)),
                    |rate| rate.after_refusal(successes, now),
                )
            }
        };
        state.rate = rate;
        let wait = match (asked, rate) {
            (None, Some(rate)) if rate.is_measured() => wait.min(rate.interval(0, now) * 4),
            _ => wait,
        };
        state.paused_until = state.paused_until.max(Some(now + wait));
    }

    /// What is left of the pause.
    pub(super) fn pause(&self) -> Option<Duration> {
        let until = self.state().paused_until?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Next<'_> {
    /// Waits until the request may be sent, and returns when that is.
    pub(super) async fn wait(self) -> Instant {
        let pace = self.pace;
        loop {
            let now = Instant::now();
            let until = {
                let mut state = pace.state();
                let until = state.paused_until.max(state.not_before);
                let until = until.filter(|until| *until > now);
                match (until, state.probe_until) {
                    (Some(until), _) => Wait::Until(until),
                    (None, Some(until)) if until > now => Wait::UntilResponse(until),
                    (None, probe) => {
                        // As long as there is no response, only the first one goes alone.
                        let may_probe = state.sent == 0 || state.responses > 0;
                        state.send(now, probe.is_some() && may_probe);
                        return now;
                    }
                }
            };
            match until {
                Wait::Until(until) => sleep_until(until).await,
                Wait::UntilResponse(until) => {
                    let _ = timeout_at(until, pace.responded.notified()).await;
                }
            }
        }
    }
}

enum Wait {
    Until(Instant),
    UntilResponse(Instant),
}

impl State {
    /// Records that a request is sent.
    fn send(&mut self, now: Instant, is_probe: bool) {
        self.sent = self.sent.saturating_add(1);
        let interval = match (&self.rate, self.sent.checked_sub(BURST)) {
            (Some(rate), _) => rate.interval(self.successes, now),
            (None, None) => Duration::ZERO,
            (None, Some(more)) => FIRST_INTERVAL / 2_u32.saturating_pow(more / RAMP),
        };
        if !interval.is_zero() {
            let late = now.checked_sub(TICK).max(self.not_before);
            self.not_before = Some(late.unwrap_or(now) + interval);
        }
        if is_probe {
            self.probe_until = Some(now + LONGEST_PROBE);
        }
    }
}
