//! Where the `Authorization` of one repository is kept. Of many requests at once,
//! one fetches it, and the others wait for what it gets.

use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::header::HeaderValue;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::credential::Credential;
use crate::registry::error::{Cause, Login};

/// An `Authorization` header, and the login that it was made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authorization {
    pub(super) header: HeaderValue,
    pub(super) login: Login,
    pub(super) credential: Option<Credential>,
    /// Of a token for other repositories too: when it expires. The registry may not accept
    /// it for this one.
    pub(super) shared_until: Option<Instant>,
}

impl Authorization {
    /// The answer to a challenge for one repository.
    pub(super) fn of_one(
        header: HeaderValue,
        login: Login,
        credential: Option<Credential>,
    ) -> Self {
        Self {
            header,
            login,
            credential,
            shared_until: None,
        }
    }

    /// Whether it is a password, which does not expire.
    pub(super) fn is_basic(&self) -> bool {
        self.header.as_bytes().starts_with(b"Basic ")
    }
}

#[derive(Default)]
pub(super) struct Slot {
    state: Mutex<State>,
    /// Counts the fetches that are over.
    fetches: AtomicU64,
}

#[derive(Default)]
struct State {
    current: Option<Authorization>,
    /// Why the last fetch failed.
    failure: Option<Box<Cause>>,
}

impl Slot {
    /// Replaces `refused` by what `fetch` gets, unless another request has replaced
    /// it. Where another request has tried and failed meanwhile, its error counts.
    pub(super) async fn replace(
        &self,
        refused: Option<Authorization>,
        fetch: impl Future<Output = Result<Authorization, Cause>>,
    ) -> Result<Authorization, Cause> {
        let fetches = self.fetches.load(Ordering::Relaxed);
        let mut state = self.state.lock().await;
        match &state.current {
            Some(current) if state.current != refused => return Ok(current.clone()),
            _ => {}
        }
        if self.fetches.load(Ordering::Relaxed) > fetches
            && let Some(cause) = &state.failure
        {
            return Err((**cause).clone());
        }
        state.current = None;
        let result = fetch.await;
        self.fetches.fetch_add(1, Ordering::Relaxed);
        state.failure = result.as_ref().err().cloned().map(Box::new);
        state.current = result.as_ref().ok().cloned();
        result
    }

    /// Forgets `refused`, if no other request has replaced it.
    pub(super) async fn forget(&self, refused: &Authorization) {
        let current = &mut self.state.lock().await.current;
        current.take_if(|current| current == refused);
    }
}
