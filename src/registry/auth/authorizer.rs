//! Answers a challenge: the login for it, and the token.

use std::collections::BTreeSet;
use std::sync::Arc;

use reqwest::{StatusCode, Url};
use tokio::time::Instant;

use super::challenge::{Challenge, TokenService};
use super::credential::Credential;
use super::credentials::Credentials;
use super::logins::Logins;
use super::shared::{SharedToken, SharedTokens};
use super::slot::Authorization;
use super::token::{self, Refusal, TokenRequest};
use crate::reference::ImageName;
use crate::registry::address::{ChosenBy, chosen_by};
use crate::registry::error::{AuthProblem, Cause, Login};
use crate::registry::transport::{Request, Response, Transport};

/// Most characters of the scopes of a shared token.
const LONGEST_SCOPES: usize = 3000;

/// Answers the challenges of one registry, and of the hosts that it redirects to.
pub(super) struct Authorizer<T> {
    below: T,
    registry: Url,
    logins: Logins,
    shared: SharedTokens,
}

impl<T: Transport> Authorizer<T> {
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
            shared: SharedTokens::new(expected),
        }
    }

    /// Sends a request to the layer below.
    pub(super) async fn send(&self, request: Request) -> Result<Response, Cause> {
        self.below.send(request).await
    }

    pub(super) fn is_registry(&self, url: &Url) -> bool {
        url.origin() == self.registry.origin()
    }

    /// Who chose the host of `url`, which has sent a challenge.
    pub(super) fn chosen_by(&self, url: &Url) -> ChosenBy {
        chosen_by(url, &self.registry)
    }

    /// Records that a login gave access to something.
    pub(super) fn confirm(&self, credential: &Credential) {
        self.logins.confirm(credential);
    }

    /// Records that a login was refused. Returns whether it is not sent again.
    pub(super) fn refuse(&self, credential: &Credential) -> bool {
        self.logins.refuse(credential)
    }

    /// Requests no further shared tokens.
    pub(super) async fn share_no_more(&self) {
        self.shared.give_up().await;
    }

    /// The first `Authorization` of the repository of `image`: a token that others share,
    /// if there is one.
    pub(super) async fn first_authorization(
        &self,
        challenge: &Challenge,
        from: &Url,
        image: &ImageName,
    ) -> Result<Authorization, Cause> {
        if let Challenge::Bearer(service) = challenge {
            let fetch = async |images: &BTreeSet<ImageName>| {
                self.shared_token(service, from, image, images).await
            };
            if let Some(authorization) = self.shared.first(image, fetch).await? {
                return Ok(authorization);
            }
        }
        self.authorization(challenge, from, image).await
    }

    /// The token of the registry's `service` for `image` and those of `others` that have
    /// the same login, within [`LONGEST_SCOPES`].
    async fn shared_token(
        &self,
        service: &TokenService,
        from: &Url,
        image: &ImageName,
        others: &BTreeSet<ImageName>,
    ) -> Result<SharedToken, Cause> {
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
        let authorization = if images.len() == 1 {
            self.token(&request, login).await?
        } else {
            // A refusal may be of one of the scopes, and says nothing of the login.
            let (credential, login) = login;
            let sent = Instant::now();
            let token = request.send(&self.below, credential.as_ref()).await;
            let token = token.map_err(|refusal| refusal.into_cause(login.clone()))?;
            Authorization {
                shared_until: Some(sent + token.lifetime),
                ..Authorization::of_one(token.header, login, credential)
            }
        };
        Ok(SharedToken {
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
    pub(super) async fn authorization(
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

    /// Fetches a token for one repository: without the login, if the service refuses that.
    async fn token(
        &self,
        request: &TokenRequest<'_>,
        (credential, login): (Option<Credential>, Login),
    ) -> Result<Authorization, Cause> {
        let refusal = match request.send(&self.below, credential.as_ref()).await {
            Ok(token) => return Ok(Authorization::of_one(token.header, login, credential)),
            Err(refusal) => refusal,
        };
        let (Refusal::Login(status), Some(credential)) = (&refusal, credential) else {
            return Err(refusal.into_cause(login));
        };
        let login = if *status != StatusCode::FORBIDDEN && self.logins.refuse(&credential) {
            Login::Refused
        } else {
            Login::Ignored(*status)
        };
        Box::pin(self.token(request, (None, login))).await
    }
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
        Some(header) => Ok(Authorization::of_one(header, login, credential)),
        None => Err(Cause::Denied {
            problem: AuthProblem::NeedsPassword,
            login,
        }),
    }
}
