//! Answers the challenges of registries (RFC 9110, section 11, and distribution's
//! token authentication specification), and decides which credential goes where.
//!
//! The user's login goes to its registry, or to a token service of the registry's
//! own site, over TLS or within this machine. A token goes to the host that sent
//! the challenge.

mod authorizer;
mod challenge;
mod credential;
mod credential_file;
mod credentials;
mod helper;
mod logins;
mod shared;
mod slot;
mod token;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use reqwest::{StatusCode, Url};
use tokio::time::Instant;

use self::authorizer::Authorizer;
#[cfg(not(fuzzing))]
use self::challenge::Challenge;
#[cfg(fuzzing)]
pub(super) use self::challenge::Challenge;
#[cfg(test)]
pub(super) use self::credential::Credential;
pub(super) use self::credentials::Credentials;
use self::slot::{Authorization, Slot};
#[cfg(fuzzing)]
pub(super) use self::token::{parse as parse_token, url as token_url};
use super::error::{Cause, Login};
use super::transport::{Request, Response, Transport};
use crate::lock::lock;
use crate::reference::ImageName;

/// How many challenges are answered for one request: the registry's, and those of
/// hosts that it redirects to.
const MAX_CHALLENGES: usize = 3;

/// Authenticates the requests of one registry to the layer below.
pub(super) struct Auth<T> {
    authorizer: Authorizer<T>,
    /// The registry's last challenge: once there is one, new repositories
    /// authenticate up front.
    challenge: Mutex<Option<Challenge>>,
    /// Where the `Authorization` of each repository is kept, once there is a challenge.
    slots: Mutex<HashMap<String, Arc<Slot>>>,
}

impl<T: Transport> Auth<T> {
    /// `registry` is the base URL of the registry, and `expected` are the images of later
    /// requests.
    pub(super) fn new(
        below: T,
        registry: Url,
        credentials: Arc<Credentials>,
        expected: BTreeSet<ImageName>,
    ) -> Self {
        Self {
            authorizer: Authorizer::new(below, registry, credentials, expected),
            challenge: Mutex::default(),
            slots: Mutex::default(),
        }
    }

    async fn authenticate(&self, mut request: Request) -> Result<Response, Cause> {
        let image = request.image().clone();
        let mut sent = if self.authorizer.is_registry(request.url()) {
            self.up_front(request.url(), &image).await?
        } else {
            None
        };
        // The URL whose challenge `sent` answers.
        let mut answered: Option<Url> = None;
        let mut challenges = 0;
        loop {
            let header = sent.as_ref().map(|sent| sent.header.clone());
            let attempt = request.clone().with_authorization(header);
            let response = self.authorizer.send(attempt).await?;
            let from = response.url().clone();
            let is_registry = self.authorizer.is_registry(&from);
            let login = match &sent {
                Some(sent) if is_registry => self.outcome(&image, sent, response.status()).await,
                _ => Login::None,
            };
            let status = response.status();
            let own = if status == StatusCode::UNAUTHORIZED {
                Challenge::of(response.headers(), &from)
            } else {
                None
            };
            if is_registry
                && let Some(refused) =
                    sent.take_if(|sent| sent.shared_until.is_some() && denies(status))
            {
                self.record_refused_token(&refused, status).await;
                answered = own.is_some().then(|| from.clone());
                let Some(challenge) = own.or_else(|| lock(&self.challenge).clone()) else {
                    return Ok(response.with_login(login));
                };
                sent = Some(self.renew(Some(refused), challenge, &from, &image).await?);
                continue;
            }
            if status != StatusCode::UNAUTHORIZED {
                return Ok(response.with_login(login));
            }
            if is_registry && answered.is_none() && sent.take_if(|sent| sent.is_basic()).is_some() {
                // Sent before there was a challenge: it may work without.
                continue;
            }
            let challenge = match own {
                Some(challenge)
                    if answered.as_ref() != Some(&from) && challenges < MAX_CHALLENGES =>
                {
                    challenge
                }
                _ => return Ok(response.with_login(login)),
            };
            challenges += 1;
            sent = Some(if is_registry {
                self.renew(sent, challenge, &from, &image).await?
            } else {
                self.authorizer
                    .authorization(&challenge, &from, &image)
                    .await?
            });
            request = request.at(from.clone(), self.authorizer.chosen_by(&from));
            answered = Some(from);
        }
    }

    /// Records that the registry refused the shared token `refused` for one repository.
    async fn record_refused_token(&self, refused: &Authorization, status: StatusCode) {
        let is_valid = refused.shared_until > Some(Instant::now());
        if is_valid && status != StatusCode::NOT_FOUND {
            self.authorizer.share_no_more().await;
        }
    }

    /// What became of the login that `sent` was made with, by the registry's response.
    async fn outcome(&self, image: &ImageName, sent: &Authorization, status: StatusCode) -> Login {
        let has_access = status.is_success() || status == StatusCode::NOT_FOUND;
        match &sent.credential {
            Some(credential) if has_access => self.authorizer.confirm(credential),
            Some(credential) if status == StatusCode::UNAUTHORIZED && sent.is_basic() => {
                self.slot(image).forget(sent).await;
                if self.authorizer.refuse(credential) {
                    return Login::Refused;
                }
            }
            _ => {}
        }
        sent.login.clone()
    }

    fn slot(&self, image: &ImageName) -> Arc<Slot> {
        Arc::clone(lock(&self.slots).entry(image.repository()).or_default())
    }

    /// The `Authorization` of a request that the registry has not sent a challenge
    /// for yet.
    async fn up_front(&self, url: &Url, image: &ImageName) -> Result<Option<Authorization>, Cause> {
        let Some(challenge) = lock(&self.challenge).clone() else {
            return Ok(None);
        };
        let authorization = self.authorizer.first_authorization(&challenge, url, image);
        match self.slot(image).replace(None, authorization).await {
            Ok(authorization) => Ok(Some(authorization)),
            Err(cause) if cause.is_transient() => Err(cause),
            // A repository may need no authorization where another does.
            Err(_) => Ok(None),
        }
    }

    /// Replaces the `Authorization` that the registry has refused by an answer to its
    /// challenge.
    async fn renew(
        &self,
        refused: Option<Authorization>,
        challenge: Challenge,
        url: &Url,
        image: &ImageName,
    ) -> Result<Authorization, Cause> {
        *lock(&self.challenge) = Some(challenge.clone());
        let slot = self.slot(image);
        if refused.is_none() {
            let authorization = self.authorizer.first_authorization(&challenge, url, image);
            slot.replace(None, authorization).await
        } else {
            let authorization = self.authorizer.authorization(&challenge, url, image);
            slot.replace(refused, authorization).await
        }
    }
}

/// Whether a status may mean that a token does not grant access to a repository, or that
/// it is too long.
fn denies(status: StatusCode) -> bool {
    status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS
}

impl<T: Transport> Transport for Auth<T> {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Cause>> {
        Box::pin(self.authenticate(request))
    }
}
