//! Answers the challenges of registries (RFC 9110, section 11, and distribution's
//! token authentication specification), and decides which credential goes where.
//!
//! The user's login goes to its registry, or to a token service of the registry's
//! own site, over TLS or within this machine. A token goes to the host that sent
//! the challenge.

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

#[cfg(not(fuzzing))]
use self::challenge::Challenge;
#[cfg(fuzzing)]
pub(super) use self::challenge::Challenge;
use self::challenge::TokenService;
pub(super) use self::credential::Credential;
pub(super) use self::credentials::Credentials;
use self::logins::Logins;
use self::shared::{Shared, SharedTokens};
use self::slot::{Authorization, Slot};
use self::token::{Refusal, TokenRequest};
#[cfg(fuzzing)]
pub(super) use self::token::{parse as parse_token, url as token_url};
use super::address::{ChosenBy, chosen_by};
use super::error::{AuthProblem, Cause, Login};
use super::transport::{Request, Response, Transport};
use crate::lock::lock;
use crate::reference::ImageName;

/// How many challenges are answered for one request: the registry's, and those of
/// hosts that it redirects to.
const MAX_CHALLENGES: usize = 3;

/// Most characters of the scopes of a shared token.
const LONGEST_SCOPES: usize = 3000;

/// Authenticates the requests of one registry to the layer below.
pub(super) struct Auth<T> {
    below: T,
    registry: Url,
    logins: Logins,
    /// The registry's last challenge: once there is one, new repositories
    /// authenticate up front.
    challenge: Mutex<Option<Challenge>>,
    shared: SharedTokens,
    /// Where the `Authorization` of each repository is kept, once there is a challenge.
    slots: Mutex<HashMap<String, Arc<Slot>>>,
}

impl<T: Transport> Auth<T> {
    /// `registry` is the base URL of the registry that is being spoken to, and `expected`
    /// are images that it will be asked for.
    pub(super) fn new(
        below: T,
        registry: Url,
        credentials: Arc<Credentials>,
        expected: BTreeSet<ImageName>,
    ) -> Self {
        Self {
            below,
            logins: Logins::new(credentials, registry.clone()),
            registry,
            challenge: Mutex::default(),
            shared: SharedTokens::new(expected),
            slots: Mutex::default(),
        }
    }

    async fn authenticate(&self, mut request: Request) -> Result<Response, Cause> {
        let image = request.image().clone();
        let mut sent = if self.is_registry(request.url()) {
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
            let response = self.below.send(attempt).await?;
            let from = response.url().clone();
            let is_registry = self.is_registry(&from);
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
                && let Some(refused) = sent.take_if(|sent| sent.is_shared && denies(status))
            {
                // It may not hold for this repository.
                if status != StatusCode::NOT_FOUND {
                    self.shared.give_up().await;
                }
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
                self.answer(&challenge, &from, &image).await?
            });
            request = request.at(from.clone(), chosen_by(&from, &self.registry));
            answered = Some(from);
        }
    }

    /// What became of the login that `sent` was made with, by the registry's response.
    async fn outcome(&self, image: &ImageName, sent: &Authorization, status: StatusCode) -> Login {
        let has_access = status.is_success() || status == StatusCode::NOT_FOUND;
        match &sent.credential {
            Some(credential) if has_access => self.logins.confirm(credential),
            Some(credential) if status == StatusCode::UNAUTHORIZED && sent.is_basic() => {
                self.slot(image).forget(sent).await;
                if self.logins.refuse(credential) {
                    return Login::Refused;
                }
            }
            _ => {}
        }
        sent.login.clone()
    }

    fn is_registry(&self, url: &Url) -> bool {
        url.origin() == self.registry.origin()
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
        let answer = self.first_answer(&challenge, url, image);
        match self.slot(image).replace(None, answer).await {
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
            let answer = self.first_answer(&challenge, url, image);
            slot.replace(None, answer).await
        } else {
            let answer = self.answer(&challenge, url, image);
            slot.replace(refused, answer).await
        }
    }

    /// The first `Authorization` of the repository of `image`: a token that others share,
    /// if there is one.
    async fn first_answer(
        &self,
        challenge: &Challenge,
        from: &Url,
        image: &ImageName,
    ) -> Result<Authorization, Cause> {
        if let Challenge::Bearer(service) = challenge {
            let fetch = async |images: &BTreeSet<ImageName>| {
                self.shared_answer(service, from, image, images).await
            };
            if let Some(authorization) = self.shared.first(image, fetch).await? {
                return Ok(authorization);
            }
        }
        self.answer(challenge, from, image).await
    }

    /// The token of the registry's `service` for `image` and those of `others` that have
    /// the same login, as far as their scopes go into a header.
    async fn shared_answer(
        &self,
        service: &TokenService,
        from: &Url,
        image: &ImageName,
        others: &BTreeSet<ImageName>,
    ) -> Result<Shared, Cause> {
        let login = self.login(service, from, image).await?;
        let mut images = BTreeSet::from([image.clone()]);
        let mut scopes = vec![service.scope_for(image, true)];
        for other in others.iter().filter(|other| *other != image) {
            let scope = service.scope_for(other, true);
            let length: usize = scopes.iter().chain([&scope]).map(String::len).sum();
            let (credential, _) = self.login(service, from, other).await?;
            if length <= LONGEST_SCOPES && credential == login.0 {
                images.insert(other.clone());
                scopes.push(scope);
            }
        }
        let request = self.token_request(service, from, image, scopes)?;
        let mut authorization = self.token(&request, login).await?;
        authorization.is_shared = images.len() > 1;
        Ok(Shared {
            images,
            authorization,
        })
    }

    /// The login for a token of `service`, by a challenge of the host of `from`.
    async fn login(
        &self,
        service: &TokenService,
        from: &Url,
        image: &ImageName,
    ) -> Result<(Option<Credential>, Login), Cause> {
        let takes_credentials = takes_credentials(service, from)?;
        Ok(match self.logins.for_host(from, image).await {
            (Some(_), _) if !takes_credentials => (None, Login::OtherSite),
            found => found,
        })
    }

    fn token_request<'a>(
        &self,
        service: &'a TokenService,
        from: &Url,
        image: &'a ImageName,
        scopes: Vec<String>,
    ) -> Result<TokenRequest<'a>, Cause> {
        let is_users = self.is_registry(from) && takes_credentials(service, from)?;
        Ok(TokenRequest {
            image,
            service,
            scopes,
            chosen_by: if is_users {
                ChosenBy::User
            } else {
                chosen_by(&service.realm, &self.registry)
            },
        })
    }

    /// The `Authorization` that answers `challenge` of the host of `from`.
    async fn answer(
        &self,
        challenge: &Challenge,
        from: &Url,
        image: &ImageName,
    ) -> Result<Authorization, Cause> {
        let service = match challenge {
            Challenge::Basic => {
                let (credential, login) = self.logins.for_host(from, image).await;
                return basic(credential, login);
            }
            Challenge::Bearer(service) => service,
        };
        let login = self.login(service, from, image).await?;
        let scope = service.scope_for(image, self.is_registry(from));
        let request = self.token_request(service, from, image, vec![scope])?;
        self.token(&request, login).await
    }

    async fn token(
        &self,
        request: &TokenRequest<'_>,
        (credential, login): (Option<Credential>, Login),
    ) -> Result<Authorization, Cause> {
        match request.send(&self.below, credential.as_ref()).await {
            Ok(header) => Ok(Authorization {
                header,
                login,
                credential,
                is_shared: false,
            }),
            Err(refusal) => match (refusal, credential) {
                // Without the login, there may still be a token.
                (Refusal::Login(status), Some(credential)) => {
                    self.without_login(request, status, &credential).await
                }
                (refusal, _) => Err(refusal.into_cause(login)),
            },
        }
    }

    /// Fetches a token without the login that the token service answered with `status`.
    async fn without_login(
        &self,
        request: &TokenRequest<'_>,
        status: StatusCode,
        credential: &Credential,
    ) -> Result<Authorization, Cause> {
        let login = if status == StatusCode::UNAUTHORIZED && self.logins.refuse(credential) {
            Login::Refused
        } else {
            Login::Ignored(status)
        };
        match request.send(&self.below, None).await {
            Ok(header) => Ok(Authorization {
                header,
                login,
                credential: None,
                is_shared: false,
            }),
            Err(refusal) => Err(refusal.into_cause(login)),
        }
    }
}

/// Whether a status may mean that a token does not hold for a repository, or that it is
/// too long.
fn denies(status: StatusCode) -> bool {
    status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS
}

fn takes_credentials(service: &TokenService, from: &Url) -> Result<bool, Cause> {
    let denied = |problem| Cause::Denied {
        problem,
        login: Login::None,
    };
    service.takes_credentials(from).map_err(denied)
}

/// The answer to a challenge that takes a password.
fn basic(credential: Option<Credential>, login: Login) -> Result<Authorization, Cause> {
    let header = credential.as_ref().and_then(token::basic);
    let login = match login {
        Login::Sent if header.is_none() => Login::NoPassword,
        login => login,
    };
    match header {
        Some(header) => Ok(Authorization {
            header,
            login,
            credential,
            is_shared: false,
        }),
        None => Err(Cause::Denied {
            problem: AuthProblem::NeedsPassword,
            login,
        }),
    }
}

impl<T: Transport> Transport for Auth<T> {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Cause>> {
        Box::pin(self.authenticate(request))
    }
}
