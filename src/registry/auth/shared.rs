//! Tokens for several repositories of a registry at once (distribution's token
//! authentication specification: a request may have several scopes).

use std::collections::BTreeSet;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::slot::Authorization;
use crate::reference::ImageName;
use crate::registry::error::Cause;

/// Most repositories of one token. Servers limit a header to some 8 KiB.
const MAX_REPOSITORIES: usize = 32;

/// Images that can share a token, and the tokens of those that do.
pub(super) struct SharedTokens {
    state: Mutex<State>,
}

struct State {
    /// Images that no token has been requested for.
    expected: BTreeSet<ImageName>,
    /// Tokens, each for images that have not used it yet.
    unused: Vec<SharedToken>,
    /// Whether no further tokens are requested.
    is_given_up: bool,
}

/// A token for several images.
pub(super) struct SharedToken {
    pub(super) images: BTreeSet<ImageName>,
    pub(super) authorization: Authorization,
}

impl SharedTokens {
    /// `expected` are the images of later requests.
    pub(super) fn new(expected: BTreeSet<ImageName>) -> Self {
        Self {
            state: Mutex::new(State {
                expected,
                unused: Vec::new(),
                is_given_up: false,
            }),
        }
    }

    /// The first token of `image`, if it shares one: that of another image, or the one that
    /// `fetch` gets for it and some of the others. `None` if it needs a token of its own.
    ///
    /// # Errors
    /// Where the token service says that there are too many requests.
    pub(super) async fn first(
        &self,
        image: &ImageName,
        fetch: impl AsyncFnOnce(&BTreeSet<ImageName>) -> Result<SharedToken, Cause>,
    ) -> Result<Option<Authorization>, Cause> {
        let mut state = self.state.lock().await;
        state.expire(Instant::now());
        for shared in &mut state.unused {
            if shared.images.remove(image) {
                return Ok(Some(shared.authorization.clone()));
            }
        }
        let is_alone = state.expected.len() == 1 || !state.expected.contains(image);
        if state.is_given_up || is_alone {
            return Ok(None);
        }
        let others = state.expected.iter().filter(|other| *other != image);
        let others = others.take(MAX_REPOSITORIES - 1).chain([image]);
        let images: BTreeSet<ImageName> = others.cloned().collect();
        let mut shared = match fetch(&images).await {
            Ok(shared) => shared,
            Err(cause) if cause.is_rate_limited() => return Err(cause),
            // It may be for the number of scopes.
            Err(_) => {
                state.is_given_up = true;
                return Ok(None);
            }
        };
        let State {
            expected, unused, ..
        } = &mut *state;
        expected.retain(|image| !shared.images.contains(image));
        shared.images.remove(image);
        let authorization = shared.authorization.clone();
        unused.push(shared);
        Ok(Some(authorization))
    }

    /// Requests no further tokens for several images.
    pub(super) async fn give_up(&self) {
        self.state.lock().await.is_given_up = true;
    }
}

impl State {
    /// Drops the tokens that have expired at `now`.
    fn expire(&mut self, now: Instant) {
        let Self {
            expected, unused, ..
        } = self;
        unused.retain_mut(|shared| {
            let is_valid = shared
                .authorization
                .shared_until
                .is_some_and(|until| now < until);
            if !is_valid {
                expected.append(&mut shared.images);
            }
            is_valid
        });
    }
}
