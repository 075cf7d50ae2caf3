//! The user's logins for one registry: which of them were accepted or refused.

use std::sync::{Arc, Mutex};

use reqwest::Url;

use super::credential::Credential;
use super::credentials::Credentials;
use crate::lock::lock;
use crate::reference::ImageName;
use crate::registry::address::is_loopback_url;
use crate::registry::error::Login;

pub(super) struct Logins {
    credentials: Arc<Credentials>,
    registry: Url,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    accepted: Vec<Credential>,
    /// Those that are not sent again.
    refused: Vec<Credential>,
}

impl Logins {
    pub(super) fn new(credentials: Arc<Credentials>, registry: Url) -> Self {
        Self {
            credentials,
            registry,
            state: Mutex::default(),
        }
    }

    /// The login for `image` that may be sent to the host of `url`: only to the
    /// registry itself, over TLS or within this machine.
    pub(super) async fn for_host(
        &self,
        url: &Url,
        image: &ImageName,
    ) -> (Option<Credential>, Login) {
        if url.origin() != self.registry.origin() {
            return (None, Login::None);
        }
        let credential = match self.credentials.find(image).await {
            Err(reason) => return (None, Login::Unreadable(reason)),
            Ok(None) => return (None, Login::None),
            Ok(Some(credential)) => credential,
        };
        if lock(&self.state).refused.contains(&credential) {
            (None, Login::Refused)
        } else if url.scheme() != "https" && !is_loopback_url(url) {
            (None, Login::WithoutTls)
        } else {
            (Some(credential), Login::Sent)
        }
    }

    /// Records that `credential` gave access to something.
    pub(super) fn confirm(&self, credential: &Credential) {
        let accepted = &mut lock(&self.state).accepted;
        if !accepted.contains(credential) {
            accepted.push(credential.clone());
        }
    }

    /// Records that `credential` was refused. It is not sent again, unless it gave
    /// access before: then it is right, and one repository is out of its reach.
    /// Returns whether it is not sent again.
    pub(super) fn refuse(&self, credential: &Credential) -> bool {
        let mut state = lock(&self.state);
        if state.accepted.contains(credential) {
            return false;
        }
        if !state.refused.contains(credential) {
            state.refused.push(credential.clone());
        }
        true
    }
}
