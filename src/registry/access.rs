//! What a request carries, so that the registry knows who is asking: a token or
//! a password, fetched once for each repository.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode, Url};

use super::address::is_loopback_url;
use super::auth::{self, Challenge, Trust};
use super::connection::{Connection, Fault, lock};
use super::credentials::Credential;
use super::error::RegistryError;
use super::limits::retry_after;
use super::transport::Request;
use crate::name::ImageName;

/// What the requests for one repository carry. Whoever fetches a token holds
/// the lock, so that nobody else does.
pub(super) type Slot = tokio::sync::Mutex<Option<Authorization>>;

/// A header, and how the user's login comes into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authorization {
    pub(super) header: HeaderValue,
    pub(super) login: Login,
}

impl Authorization {
    /// Whether it is a password, which does not expire.
    pub(super) fn is_basic(&self) -> bool {
        self.header.as_bytes().starts_with(b"Basic ")
    }
}

/// What became of the user's login, as the end of a sentence on having no
/// access.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Login {
    /// There is none.
    #[default]
    None,
    /// It was sent.
    Used(Credential),
    /// It was refused, and is not sent again.
    Refused,
    /// The token service had no use for it, so that nothing of it was sent on.
    Unheeded(StatusCode),
    /// It was not sent.
    Withheld(&'static str),
    /// A helper, or an entry of a file, could not tell it.
    Failed(String),
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Used(_) => f.write_str("; it was asked with your stored login"),
            Self::Refused => f.write_str("; your stored login was refused"),
            Self::Unheeded(status) => write!(
                f,
                "; its token service answers {status} to your stored login, and it was asked without"
            ),
            Self::Withheld(why) => write!(f, "; your stored login was not sent {why}"),
            Self::Failed(reason) => write!(f, "; your stored login could not be read: {reason}"),
        }
    }
}

impl Connection {
    /// Where what the requests for a repository carry is kept.
    pub(super) fn slot(&self, image: &ImageName) -> Arc<Slot> {
        Arc::clone(lock(&self.slots).entry(image.repository()).or_default())
    }

    /// What a request to the registry itself carries. Where the registry has
    /// said how it wants to be told, a repository that is new is not first asked
    /// without, unless there is nothing to tell.
    pub(super) async fn authorization(
        &self,
        slot: &Slot,
        url: &Url,
        image: &ImageName,
    ) -> Result<Option<Authorization>, Fault> {
        let mut current = slot.lock().await;
        let challenge = lock(&self.challenge).clone();
        if let (None, Some(challenge)) = (&*current, challenge) {
            match self.answer(&challenge, url, image).await {
                Ok(answer) => *current = Some(answer),
                // What one repository wants another may do without.
                Err(Fault::Final(_)) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(current.clone())
    }

    /// Puts an answer to `challenge` in the place of what the registry has just
    /// refused, unless another request has done so meanwhile.
    pub(super) async fn renew(
        &self,
        slot: &Slot,
        refused: Option<&Authorization>,
        challenge: &Challenge,
        url: &Url,
        image: &ImageName,
    ) -> Result<(), Fault> {
        *lock(&self.challenge) = Some(challenge.clone());
        let mut current = slot.lock().await;
        if current.as_ref() == refused {
            *current = None;
            *current = Some(self.answer(challenge, url, image).await?);
        }
        Ok(())
    }

    /// Takes note that a password which a request carried was refused. Says
    /// whether it is not sent any more.
    pub(super) async fn refuse(&self, slot: &Slot, what: &Authorization) -> bool {
        let mut current = slot.lock().await;
        if current.as_ref() == Some(what) {
            *current = None;
        }
        match &what.login {
            Login::Used(credential) => self.note_refusal(credential),
            _ => false,
        }
    }

    /// What answers `challenge`, which the host of `url` has made.
    pub(super) async fn answer(
        &self,
        challenge: &Challenge,
        url: &Url,
        image: &ImageName,
    ) -> Result<Authorization, Fault> {
        let (credential, login) = self.credential(url, image).await;
        let denied = |reason: &str, login: &Login| -> Fault {
            RegistryError::denied(image, &format!("{reason}{login}")).into()
        };
        let Challenge::Bearer {
            realm,
            service,
            scope,
        } = challenge
        else {
            let header = credential.as_ref().and_then(auth::basic);
            let login = match login {
                Login::Used(_) if header.is_none() => Login::Withheld("since it is no password"),
                login => login,
            };
            let header =
                header.ok_or_else(|| denied("it wants a user name and a password", &login))?;
            return Ok(Authorization { header, login });
        };
        let trust =
            auth::may_be_asked(realm, url).map_err(|reason| denied(&reason, &Login::None))?;
        let (credential, login) = match (credential, trust) {
            (Some(_), Trust::Anonymous) => (
                None,
                Login::Withheld("to its token service, which is of another site"),
            ),
            (credential, _) => (credential, login),
        };
        let is_home = self.serves(url);
        let own = format!("repository:{}:pull", image.repository());
        // Where a redirect has led, the repository may have another name.
        let foreign = scope
            .as_deref()
            .filter(|scope| !is_home && scope.ends_with(":pull"));
        let scope = foreign.unwrap_or(&own);
        let is_trusted = is_home && trust == Trust::Credential;
        let request = |credential: Option<&Credential>| Request {
            route: self.route(realm, is_trusted),
            ..token_request(realm, service.as_deref(), scope, credential)
        };
        let first = self
            .token(request(credential.as_ref()), image, &login)
            .await;
        match first {
            // Whoever may not log in may still come in without.
            Err(Refusal::Login(status)) if credential.is_some() => {
                let is_wrong = status == StatusCode::UNAUTHORIZED
                    && credential
                        .as_ref()
                        .is_some_and(|login| self.note_refusal(login));
                let login = if is_wrong {
                    Login::Refused
                } else {
                    Login::Unheeded(status)
                };
                let second = self.token(request(None), image, &login).await;
                let header = second.map_err(|refusal| refusal.into_fault(image, &login))?;
                Ok(Authorization { header, login })
            }
            first => {
                let header = first.map_err(|refusal| refusal.into_fault(image, &login))?;
                Ok(Authorization { header, login })
            }
        }
    }

    /// Asks a token service.
    async fn token(
        &self,
        request: Request,
        image: &ImageName,
        login: &Login,
    ) -> Result<HeaderValue, Refusal> {
        let host = request.url.host_str().unwrap_or_default().to_owned();
        // One may have been asked for while this request waited for its turn.
        self.wait_for_pause().await;
        let mut response = self.exchange(request).await.map_err(Refusal::Other)?;
        let status = response.status;
        let denied = |reason: &str| {
            let reason = format!("{reason}{login}");
            Refusal::Other(RegistryError::denied(image, &reason).into())
        };
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(Refusal::Login(status));
        }
        self.recent.add(status == StatusCode::TOO_MANY_REQUESTS);
        if !status.is_success() {
            let said = self.reason(&mut response).await;
            let wait = retry_after(&response.headers, SystemTime::now());
            let registry = self.registry.clone();
            return Err(Refusal::Other(match status {
                StatusCode::TOO_MANY_REQUESTS => {
                    Fault::Limited(RegistryError::limited(registry, &said, wait), wait)
                }
                status if status.is_server_error() => {
                    let reason = format!("{status}{said}");
                    Fault::Passing(RegistryError::TokenService { registry, reason }, wait)
                }
                _ => return Err(denied(&format!("its token service answers {status}{said}"))),
            }));
        }
        let body = self
            .collect(&mut response, &host, auth::LARGEST_TOKEN)
            .await;
        let body = body.map_err(Refusal::Other)?;
        let body = body.ok_or_else(|| denied("its token service sends an answer without end"))?;
        auth::bearer(&body).map_err(|reason| denied(&reason))
    }

    /// Does not send a login again, unless it has opened something before: then
    /// it is right, and has no access to one repository.
    fn note_refusal(&self, credential: &Credential) -> bool {
        let is_proven = lock(&self.proven).contains(credential);
        let mut refused = lock(&self.refused);
        if !is_proven && !refused.contains(credential) {
            refused.push(credential.clone());
        }
        !is_proven
    }

    /// The user's login for what `url` asks, if it may be sent there.
    async fn credential(&self, url: &Url, image: &ImageName) -> (Option<Credential>, Login) {
        if !self.serves(url) {
            return (None, Login::None);
        }
        match self.shared.credentials.find(image).await {
            Err(reason) => (None, Login::Failed(reason)),
            Ok(None) => (None, Login::None),
            Ok(Some(credential)) if lock(&self.refused).contains(&credential) => {
                (None, Login::Refused)
            }
            // Without TLS it does not leave this machine.
            Ok(Some(_)) if url.scheme() != "https" && !is_loopback_url(url) => {
                (None, Login::Withheld("without TLS"))
            }
            Ok(Some(credential)) => (Some(credential.clone()), Login::Used(credential)),
        }
    }
}

/// Why a token service gives no token.
enum Refusal {
    /// It does not like who is asking.
    Login(StatusCode),
    Other(Fault),
}

impl Refusal {
    fn into_fault(self, image: &ImageName, login: &Login) -> Fault {
        match self {
            Self::Other(fault) => fault,
            Self::Login(status) => {
                let reason = format!("its token service answers {status}{login}");
                RegistryError::denied(image, &reason).into()
            }
        }
    }
}

fn token_request(
    realm: &Url,
    service: Option<&str>,
    scope: &str,
    credential: Option<&Credential>,
) -> Request {
    let mut request = Request {
        route: super::transport::Route::Away,
        method: Method::GET,
        url: realm.clone(),
        headers: HeaderMap::new(),
        form: None,
    };
    if let Some(Credential::IdentityToken(token)) = credential {
        request.method = Method::POST;
        request.form = Some(auth::oauth2_form(service, scope, token.clone()));
    } else {
        request.url = auth::token_url(realm, service, scope);
        if let Some(header) = credential.and_then(auth::basic) {
            request.headers.insert(AUTHORIZATION, header);
        }
    }
    request
}
