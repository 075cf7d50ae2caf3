//! The pulls of a registry that has a quota of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use reqwest::header::HeaderMap;

use crate::lock::lock;
use crate::registry::error::Cause;
use crate::registry::limits::Quota;

/// The quota, and the pulls that it does not count yet.
#[derive(Default)]
pub(super) struct Pulls {
    quota: Mutex<Option<Quota>>,
    in_flight: Arc<AtomicU64>,
}

/// A pull in flight, until dropped.
pub(super) struct Pull(Arc<AtomicU64>);

impl Drop for Pull {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pulls {
    pub(super) fn quota(&self) -> Option<Quota> {
        *lock(&self.quota)
    }

    /// Takes the quota from the headers of a response, if they have one.
    pub(super) fn record(&self, headers: &HeaderMap) {
        if let Some(quota) = Quota::of(headers) {
            *lock(&self.quota) = Some(quota);
        }
    }

    /// Begins a pull, if the quota allows it.
    pub(super) fn begin(&self) -> Result<Pull, Cause> {
        let in_flight = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let pull = Pull(Arc::clone(&self.in_flight));
        match self.quota() {
            Some(mut quota) if !quota.allows_a_pull(in_flight) => {
                quota.remaining = quota.remaining.saturating_sub(in_flight);
                Err(Cause::QuotaSpent(quota))
            }
            _ => Ok(pull),
        }
    }
}
