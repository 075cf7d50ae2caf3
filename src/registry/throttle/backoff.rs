//! How long to wait before a retry.

use std::time::Duration;

/// The first wait; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The wait before retry number `retry`, from 0: exponential backoff, of which half
/// is random, so that many clients do not come back at once.
pub(in crate::registry) fn backoff(retry: u32) -> Duration {
    let full = FIRST_WAIT
        .saturating_mul(2_u32.saturating_pow(retry))
        .min(LONGEST_WAIT);
    full / 2 + (full / 2).mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_differ() {
        for retry in 0..40 {
            let full = Duration::from_secs(1 << retry.min(6)).min(LONGEST_WAIT);
            let waits: Vec<Duration> = (0..50).map(|_| backoff(retry)).collect();
            assert!(waits.iter().all(|wait| *wait >= full / 2 && *wait <= full));
            assert!(waits.iter().any(|wait| *wait != waits[0]));
        }
    }
}
