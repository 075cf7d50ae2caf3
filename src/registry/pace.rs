//! How often a registry is asked again, at what pace, and when it is left alone.

use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::connection::{Ask, Connection, Fault, Reply, lock};
use super::error::RegistryError;
use super::limits::backoff;
use crate::name::ImageName;

/// How many more tries there are where the registry wants to be asked less: up
/// to a limit of requests a minute, the waits go on growing.
const MORE_IF_LIMITED: u32 = 3;

/// How many of the last answers tell whether a registry refuses everyone.
const RECENT: u32 = 8;
/// How many pauses that a request brings about are for all.
const SHARED_PAUSES: u32 = 2;
/// How long a request that was refused lets those pass that were not: longer
/// than these wait for each other.
const LAST_IN_LINE: Duration = Duration::from_secs(3);
/// How often requests for one repository may fail for good.
const OFTEN: u32 = 5;

/// Which of the last answers were that the registry is asked too often: one bit
/// each, and above them one that is always set.
pub(super) struct Recent(Mutex<u32>);

impl Default for Recent {
    fn default() -> Self {
        Self(Mutex::new(1))
    }
}

impl Recent {
    pub(super) fn add(&self, is_limited: bool) {
        let mut answers = lock(&self.0);
        *answers = (*answers << 1) | u32::from(is_limited);
        if *answers >> RECENT > 1 {
            *answers = (*answers & ((1 << RECENT) - 1)) | 1 << RECENT;
        }
    }

    /// Whether at least half of them were.
    fn are_limited(&self) -> bool {
        let answers = *lock(&self.0);
        let limited = answers.count_ones() - 1;
        limited * 2 >= answers.ilog2()
    }
}

/// What has come of the requests of one kind.
#[derive(Default)]
pub(super) struct Kind {
    /// Requests that have failed for good.
    failed: u32,
    /// The repository of the first of them.
    first: Option<String>,
    /// Why no more of them are sent.
    given_up: Option<RegistryError>,
}

impl Connection {
    /// Asks until there is a reply, or no more to be hoped for.
    pub(super) async fn ask_again(&self, ask: &Ask<'_>) -> Result<Reply, RegistryError> {
        let retries = self.shared.options.retries;
        let answers_before = self.answers.load(Ordering::Relaxed);
        let mut successes = self.successes.load(Ordering::Relaxed);
        let (mut tried, mut limited, mut in_vain) = (0, 0, 0);
        loop {
            let fault = match self.ask_once(ask).await {
                Ok(reply) => return Ok(reply),
                Err(fault) => fault,
            };
            let (error, wait, is_over) = match fault {
                Fault::Final(error) => return Err(error),
                Fault::Passing(error, wait) => {
                    let wait = wait.unwrap_or_default().max(backoff(tried));
                    tried += 1;
                    (error, wait, tried > retries)
                }
                Fault::Limited(error, wait) => {
                    let now = self.successes.load(Ordering::Relaxed);
                    if now > successes {
                        // Others get through: it is a question of pace.
                        (successes, in_vain) = (now, 0);
                    }
                    let wait = wait.unwrap_or_default().max(backoff(limited));
                    limited += 1;
                    in_vain += 1;
                    let most = if retries == 0 {
                        0
                    } else {
                        retries + MORE_IF_LIMITED
                    };
                    (error, wait, in_vain > most)
                }
            };
            let is_late = self.deadline.saturating_duration_since(Instant::now()) <= wait;
            let is_limited = matches!(error, RegistryError::RateLimited { .. });
            if is_over || is_late {
                // A registry that has had enough, or sends nothing at all, for
                // one repository after another is not asked for all the others.
                if is_limited {
                    self.give_up_if_again(&[ask.is_pull], ask.image, &error);
                } else if self.answers.load(Ordering::Relaxed) == answers_before {
                    self.give_up_if_again(&[true, false], ask.image, &error);
                }
                return Err(error);
            }
            // What is refused again and again, or while most others get through,
            // is so for itself: the others need not wait for it.
            let is_for_all = is_limited && limited <= SHARED_PAUSES && self.recent.are_limited();
            if is_for_all {
                self.pause_for(wait);
            }
            // Those who have not been refused come first, after a pause for all.
            let behind = (wait / 2).min(LAST_IN_LINE);
            sleep(if is_for_all { wait + behind } else { wait }).await;
        }
    }

    /// Takes note of a request that has failed for good, and asks no more of its
    /// kind where that has been so for another repository, or often.
    fn give_up_if_again(&self, kinds: &[bool], image: &ImageName, error: &RegistryError) {
        for is_pull in kinds {
            let mut kind = lock(&self.kinds[usize::from(*is_pull)]);
            kind.failed += 1;
            let repository = image.repository();
            let is_other = *kind.first.get_or_insert_with(|| repository.clone()) != repository;
            if is_other || kind.failed >= OFTEN {
                kind.given_up.get_or_insert_with(|| error.clone());
            }
        }
    }

    /// Whether requests of this kind are still sent.
    pub(super) fn check_given_up(&self, ask: &Ask<'_>) -> Result<(), RegistryError> {
        let kind = lock(&self.kinds[usize::from(ask.is_pull)]);
        kind.given_up.clone().map_or(Ok(()), Err)
    }

    /// How long the registry has asked to be left alone, from now on.
    pub(super) fn pause(&self) -> Option<Duration> {
        let pause = *lock(&self.pause);
        let left = pause?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    fn pause_for(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut pause = lock(&self.pause);
        *pause = Some(pause.map_or(until, |before| before.max(until)));
    }

    /// Waits until the registry may be asked, and a moment that is left to
    /// chance, so that not all come back at once.
    pub(super) async fn wait_for_pause(&self) {
        while let Some(left) = self.pause() {
            sleep(
                left + (left / 4)
                    .min(Duration::from_secs(2))
                    .mul_f64(fastrand::f64()),
            )
            .await;
        }
    }
}
