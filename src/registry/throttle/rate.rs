//! The rate of requests that a registry allows, as its refusals show it.

use std::time::Duration;

use tokio::time::Instant;

/// Requests a second after a first refusal, which says nothing of the rate.
const FIRST: f64 = 100.0;
const LOWEST: f64 = 0.1;
/// Successes that make a measurement.
const ENOUGH: u32 = 8;
/// How much of a measured rate is used.
const SHARE: f64 = 0.92;
/// A measurement above this share of the rate in use may be chance.
const SIGNIFICANT: f64 = 0.85;
/// A rate that is not measured also doubles after so many successes.
const DOUBLING: u32 = 64;
/// A rate above this is no limit.
const LIFTED: f64 = 2000.0;
/// From so long after it was set, a rate grows by a twentieth a second.
const TRIAL: Duration = Duration::from_secs(10);
const GROWTH: f64 = 1.05;
/// After so many measured rates in turn that refusals contradicted, refusals are chance. A
/// limit that others use too may contradict fewer.
const CONTRADICTED: u32 = 4;

/// The rate of requests since a refusal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    /// Requests a second.
    allowed: f64,
    since: Instant,
    is_measured: bool,
    /// Whether a request was refused although it was measured and had not grown.
    is_contradicted: bool,
    /// How many measured rates before were, in turn.
    contradicted: u32,
}

impl Rate {
    /// The rate after a first refusal.
    pub(super) fn first(now: Instant) -> Self {
        Self {
            allowed: FIRST,
            since: now,
            is_measured: false,
            is_contradicted: false,
            contradicted: 0,
        }
    }

    /// The same rate after the refusal of a single request.
    pub(super) fn doubted(self, now: Instant) -> Self {
        let has_grown = now.saturating_duration_since(self.since) > TRIAL;
        Self {
            is_contradicted: self.is_contradicted || self.is_measured && !has_grown,
            ..self
        }
    }

    /// The rate after further refusals. Between two refusals, whatever a registry allows
    /// has been used up: then the `successes` between them measure its rate. Few of them
    /// only show that it was too high. `None` if refusals do not depend on the rate: a low
    /// one did not end them.
    pub(super) fn after_refusal(self, successes: u32, now: Instant) -> Option<Self> {
        let contradicted = match (self.is_measured, self.is_contradicted) {
            (_, true) => self.contradicted + 1,
            (true, false) => 0,
            (false, false) => self.contradicted,
        };
        if contradicted >= CONTRADICTED {
            return None;
        }
        let elapsed = now.saturating_duration_since(self.since).as_secs_f64();
        let used = self.allowed(successes, now);
        let measured = f64::from(successes) / elapsed.max(0.001);
        let (allowed, is_measured) = if successes == 0 {
            (self.allowed, self.is_measured)
        } else if successes < ENOUGH {
            ((SHARE * measured).max(used / 2.0), false)
        } else if measured < SIGNIFICANT * used {
            (SHARE * measured, true)
        } else {
            (used, self.is_measured)
        };
        Some(Self {
            allowed: allowed.max(LOWEST),
            since: now,
            is_measured,
            is_contradicted: false,
            contradicted,
        })
    }

    /// When it was set.
    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// Whether enough successes have measured it.
    pub(super) fn is_measured(&self) -> bool {
        self.is_measured
    }

    /// Whether it limits nothing after `successes`.
    pub(super) fn is_lifted(&self, successes: u32, now: Instant) -> bool {
        self.allowed(successes, now) > LIFTED
    }

    /// The time from one request to the next, after `successes`.
    pub(super) fn interval(&self, successes: u32, now: Instant) -> Duration {
        Duration::from_secs_f64(1.0 / self.allowed(successes, now))
    }

    /// Requests a second.
    fn allowed(&self, successes: u32, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.since);
        let trial = elapsed.saturating_sub(TRIAL).as_secs_f64();
        let grown = self.allowed * GROWTH.powf(trial.min(600.0));
        if self.is_measured {
            grown
        } else {
            grown * f64::from(successes / DOUBLING).min(20.0).exp2()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn a_second(rate: &Rate, now: Instant) -> f64 {
        1.0 / rate.interval(0, now).as_secs_f64()
    }

    #[test]
    fn two_refusals_measure_a_rate() {
        let start = Instant::now();
        let first = Rate::first(start);
        assert!((99.0..101.0).contains(&a_second(&first, start)));
        let now = start + SECOND;
        let rate = first.after_refusal(20, now).unwrap();
        assert!((18.0..20.0).contains(&a_second(&rate, now)));
        assert!((18.0..20.0).contains(&a_second(&rate, now + 10 * SECOND)));
        assert!(a_second(&rate, now + 40 * SECOND) > 60.0);
    }

    #[test]
    fn without_a_measurement_a_rate_is_halved() {
        let start = Instant::now();
        let first = Rate::first(start);
        let rate = first.after_refusal(1, start + SECOND).unwrap();
        assert!((49.0..51.0).contains(&a_second(&rate, start)));
        // The pause was too short, which says nothing of the rate.
        let rate = first.after_refusal(0, start + SECOND).unwrap();
        assert!((99.0..101.0).contains(&a_second(&rate, start)));
    }

    #[test]
    fn a_refusal_by_chance_changes_little() {
        let start = Instant::now();
        let first = Rate::first(start);
        assert!(first.is_lifted(320, start) && !first.is_lifted(100, start));
        let now = start + 10 * SECOND;
        let measured = Rate {
            is_measured: true,
            ..first
        };
        let rate = measured.after_refusal(950, now).unwrap();
        assert!((99.0..101.0).contains(&a_second(&rate, now)));
    }

    #[test]
    fn a_rate_that_does_not_end_refusals_is_dropped() {
        let start = Instant::now();
        let first = Rate::first(start);
        let measured = first.after_refusal(20, start + SECOND).unwrap();
        let refused_at_once = |rate: Rate| {
            let now = rate.since() + SECOND;
            rate.doubted(now).after_refusal(8, now)
        };
        let mut low = Some(measured);
        for _ in 0..CONTRADICTED {
            low = low.and_then(refused_at_once);
        }
        assert!(low.is_none());
        // A rate that has grown may be too high.
        let mut rate = measured;
        for _ in 0..2 * CONTRADICTED {
            let now = rate.since() + 20 * SECOND;
            rate = rate.doubted(now).after_refusal(400, now).unwrap();
        }
    }
}
