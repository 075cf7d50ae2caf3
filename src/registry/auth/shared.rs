//! Tokens for several repositories of a registry at once (distribution's token
//! authentication specification: a request may have several scopes).

use std::collections::BTreeSet;

use tokio::sync::Mutex;

use super::slot::Authorization;
use crate::reference::ImageName;
use crate::registry::error::Cause;

/// Most repositories of one token. Servers limit a header to some 8 KiB.
const MOST: usize = 32;

/// Images that can share a token, and the tokens of those that do.
pub(super) struct SharedTokens {
    state: Mutex<State>,
}

struct State {
    /// Images that no token has been requested for.
    expected: BTreeSet<ImageName>,
    /// Tokens, each for images that have not used it yet.
    unused: Vec<Shared>,
}

/// A token for several images.
pub(super) struct Shared {
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
            }),
        }
    }

    /// The first token of `image`, if it shares one: that of another image, or the one that
    /// `fetch` gets for it and some of the others. `None` if it needs a token of its own.
    ///
    /// # Errors
    /// Transient errors of the token service.
    pub(super) async fn first(
        &self,
        image: &ImageName,
        fetch: impl AsyncFnOnce(&BTreeSet<ImageName>) -> Result<Shared, Cause>,
    ) -> Result<Option<Authorization>, Cause> {
        let mut state = self.state.lock().await;
        for shared in &mut state.unused {
            if shared.images.remove(image) {
                return Ok(Some(shared.authorization.clone()));
            }
        }
        if !state.expected.contains(image) || state.expected.len() == 1 {
            return Ok(None);
        }
        let others = state.expected.iter().filter(|other| *other != image);
        let others = others.take(MOST - 1).chain([image]);
        let images: BTreeSet<ImageName> = others.cloned().collect();
        let mut shared = match fetch(&images).await {
            Ok(shared) => shared,
            Err(cause) if cause.is_transient() => return Err(cause),
            Err(_) => {
                state.expected.clear();
                return Ok(None);
            }
        };
        let State { expected, unused } = &mut *state;
        expected.retain(|image| !shared.images.contains(image));
        shared.images.remove(image);
        let authorization = shared.authorization.clone();
        unused.push(shared);
        Ok(Some(authorization))
    }

    /// Requests no further tokens for several images.
    pub(super) async fn give_up(&self) {
        self.state.lock().await.expected.clear();
    }
}
