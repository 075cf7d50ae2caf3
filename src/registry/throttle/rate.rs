//! The rate of requests that a registry allows, as its refusals show it.

use std::time::Duration;

use tokio::time::Instant;

/// Requests a second after a first refusal, which says nothing of the rate.
const FIRST: f64 = 100.0;
const LOWEST: f64 = 0.1;
/// How much of a measured rate is used.
const SHARE: f64 = 0.92;
/// Successes that make a measurement.
const ENOUGH: u32 = 8;
/// A rate that no refusal has contradicted for so long grows by a twentieth a second.
const TRIAL: Duration = Duration::from_secs(10);
const GROWTH: f64 = 1.05;

/// The rate of requests since a refusal.
pub(super) struct Rate {
    /// Requests a second.
    allowed: f64,
    since: Instant,
    is_measured: bool,
}

impl Rate {
    /// The rate after a refusal. Between two refusals, whatever a registry allows has been
    /// used up: then the `successes` between them measure its rate. Few of them only show
    /// that it was too high.
    pub(super) fn after_refusal(before: Option<&Self>, successes: u32, now: Instant) -> Self {
        let is_measured = before.is_some() && successes >= ENOUGH;
        let allowed = before.map_or(FIRST, |before| {
            if successes == 0 {
                return before.allowed;
            }
            let elapsed = now.saturating_duration_since(before.since);
            let measured = SHARE * f64::from(successes) / elapsed.as_secs_f64().max(0.001);
            let used = before.allowed(now);
            if is_measured {
                measured.min(used)
            } else {
                measured.max(used / 2.0)
            }
        });
        Self {
            allowed: allowed.max(LOWEST),
            since: now,
            is_measured,
        }
    }

    /// When it was set.
    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// Whether enough successes have measured it.
    pub(super) fn is_measured(&self) -> bool {
        self.is_measured
    }

    /// The time from one request to the next.
    pub(super) fn interval(&self, now: Instant) -> Duration {
        Duration::from_secs_f64(1.0 / self.allowed(now))
    }

    /// Requests a second.
    fn allowed(&self, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.since);
        let trial = elapsed.saturating_sub(TRIAL).as_secs_f64();
        self.allowed * GROWTH.powf(trial.min(600.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_refusals_measure_a_rate() {
        let start = Instant::now();
        let first = Rate::after_refusal(None, 20, start);
        assert_eq!(first.interval(start), Duration::from_millis(10));
        let second = start + Duration::from_secs(1);
        let rate = Rate::after_refusal(Some(&first), 20, second);
        let a_second = 1.0 / rate.interval(second).as_secs_f64();
        assert!((18.0..20.0).contains(&a_second), "{a_second}");
        let late = second + Duration::from_secs(40);
        let a_second = 1.0 / rate.interval(late).as_secs_f64();
        assert!(a_second > 60.0, "{a_second}");
    }

    #[test]
    fn without_a_measurement_a_rate_is_halved() {
        let start = Instant::now();
        let first = Rate::after_refusal(None, 0, start);
        let later = start + Duration::from_secs(1);
        let rate = Rate::after_refusal(Some(&first), 1, later);
        assert_eq!(rate.interval(start), Duration::from_millis(20));
        // The pause was too short, which says nothing of the rate.
        let rate = Rate::after_refusal(Some(&first), 0, later);
        assert_eq!(rate.interval(start), Duration::from_millis(10));
    }
}
