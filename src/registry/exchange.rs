//! One try of a request: redirects, tokens, and a body of bounded size.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use futures_util::StreamExt as _;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION,
};
use reqwest::{Method, StatusCode, Url};

use super::address::{is_loopback_url, is_private_place};
use super::auth::{self, Challenge, Trust};
use super::connection::{Ask, Connection, Fault, Slot, lock, route};
use super::credentials::Credential;
use super::error::RegistryError;
use super::limits::{Quota, retry_after};
use super::transport::{Request, Response};
use crate::name::ImageName;
use crate::text::Quoted;

const MOST_REDIRECTS: usize = 5;
/// Most that is read of an answer that is an error, in bytes.
const LARGEST_ERROR: usize = 16 << 10;

impl Connection {
    /// Sends a request and follows where the registry points, with a token or
    /// a password for each host that wants one.
    pub(super) async fn follow(&self, ask: &Ask<'_>) -> Result<Response, Fault> {
        let base = self.base().await?;
        let mut url = ask.url.clone();
        let mut redirects = 0;
        let mut asked_for_token = None;
        loop {
            let slot = self.slot(&url, ask.image);
            let authorization = self.authorization(&slot, &url, ask.image).await?;
            let response = self.send(ask, &url, authorization.clone()).await?;
            let status = response.status;
            if status == StatusCode::UNAUTHORIZED && asked_for_token.as_ref() != Some(&url) {
                // No token yet, or one that has expired.
                let challenge = Challenge::of(&response.headers, &url)
                    .map_err(|reason| RegistryError::denied(ask.image, &reason))?;
                if url.origin() == base.origin() {
                    *lock(&self.challenge) = Some(challenge.clone());
                }
                let mut current = slot.lock().await;
                // Unless another request has been for one meanwhile.
                if *current == authorization {
                    *current = Some(self.answer(&challenge, &url, ask.image).await?);
                }
                asked_for_token = Some(url.clone());
            } else if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
                redirects += 1;
                if redirects > MOST_REDIRECTS {
                    return Err(RegistryError::astray(
                        ask.image,
                        url.as_str(),
                        "there are too many of them",
                    )
                    .into());
                }
                url = next_hop(ask.image, &url, &response.headers)?;
                asked_for_token = None;
            } else {
                return Ok(response);
            }
        }
    }

    fn slot(&self, url: &Url, image: &ImageName) -> Arc<Slot> {
        let key = (url.origin().ascii_serialization(), image.repository());
        Arc::clone(lock(&self.slots).entry(key).or_default())
    }

    /// What a request to `url` carries. Where the registry has said how it
    /// wants to be told, a repository that is new is not first asked without.
    async fn authorization(
        &self,
        slot: &Slot,
        url: &Url,
        image: &ImageName,
    ) -> Result<Option<HeaderValue>, Fault> {
        let mut current = slot.lock().await;
        if current.is_none() && self.serves(url) {
            let challenge = lock(&self.challenge).clone();
            if let Some(challenge) = challenge {
                *current = Some(self.answer(&challenge, url, image).await?);
            }
        }
        Ok(current.clone())
    }

    /// What answers `challenge`, which the host of `url` has made.
    async fn answer(
        &self,
        challenge: &Challenge,
        url: &Url,
        image: &ImageName,
    ) -> Result<HeaderValue, Fault> {
        let is_home = self.serves(url);
        // Without TLS a credential does not leave this machine.
        let is_safe = is_home && (url.scheme() == "https" || is_loopback_url(url));
        let (credential, note) = if is_safe {
            self.credential(image).await
        } else {
            (None, String::new())
        };
        let denied = |reason: &str| RegistryError::denied(image, &format!("{reason}{note}"));
        let Challenge::Bearer {
            realm,
            service,
            scope,
        } = challenge
        else {
            let header = credential.as_ref().and_then(auth::basic);
            return header.ok_or_else(|| {
                denied(if is_safe || !is_home {
                    "it wants a user name and a password"
                } else {
                    "it wants a user name and a password, which are not sent without TLS"
                })
                .into()
            });
        };
        let trust = auth::may_be_asked(realm, url).map_err(|reason| denied(&reason))?;
        let credential = credential.filter(|_| trust == Trust::Credential);
        let own = format!("repository:{}:pull", image.repository());
        // Where a redirect has led, the repository may have another name.
        let foreign = scope
            .as_deref()
            .filter(|scope| !is_home && scope.ends_with(":pull"));
        let scope = foreign.unwrap_or(&own);
        let service = service.as_deref();
        let mut request = Request {
            route: route(realm, is_home && trust == Trust::Credential),
            method: Method::GET,
            url: realm.clone(),
            headers: HeaderMap::new(),
            form: None,
        };
        match credential {
            Some(Credential::IdentityToken(token)) => {
                request.method = Method::POST;
                request.form = Some(auth::oauth2_form(service, scope, token));
            }
            credential => {
                request.url = auth::token_url(realm, service, scope);
                if let Some(header) = credential.as_ref().and_then(auth::basic) {
                    request.headers.insert(AUTHORIZATION, header);
                }
            }
        }
        let mut response = self.exchange(request).await?;
        let status = response.status;
        if !status.is_success() {
            let said = self.reason(&mut response).await;
            let reason = format!("its token service answers {status}{said}");
            return Err(match status {
                StatusCode::TOO_MANY_REQUESTS => {
                    let wait = retry_after(&response.headers, SystemTime::now());
                    let registry = self.registry.clone();
                    Fault::Limited(RegistryError::limited(registry, &said, wait), wait)
                }
                status if status.is_server_error() => Fault::Passing(denied(&reason)),
                _ => Fault::Final(denied(&reason)),
            });
        }
        let body = self
            .collect(&mut response, auth::LARGEST_TOKEN)
            .await?
            .ok_or_else(|| denied("its token service sends an answer without end"))?;
        auth::bearer(&body).map_err(|reason| denied(&reason).into())
    }

    /// The user's credential for `image`, and what to add to an error where a
    /// helper could not say.
    async fn credential(&self, image: &ImageName) -> (Option<Credential>, String) {
        match self.shared.credentials.find(image).await {
            Ok(credential) => (credential, String::new()),
            Err(reason) => (None, format!("; the credential helper failed: {reason}")),
        }
    }

    /// What to do where a registry gives no access.
    pub(super) async fn login_hint(&self, image: &ImageName) -> String {
        match self.credential(image).await {
            (Some(_), _) => "; it was asked with your credentials".to_owned(),
            (None, note) => note,
        }
    }

    async fn send(
        &self,
        ask: &Ask<'_>,
        url: &Url,
        authorization: Option<HeaderValue>,
    ) -> Result<Response, Fault> {
        let mut headers = HeaderMap::new();
        if let Ok(accept) = HeaderValue::from_str(ask.accept) {
            headers.insert(ACCEPT, accept);
        }
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization);
        }
        let response = self
            .exchange(Request {
                route: route(url, self.serves(url)),
                method: ask.method.clone(),
                url: url.clone(),
                headers,
                form: None,
            })
            .await?;
        if self.serves(url)
            && let Some(quota) = Quota::of(&response.headers)
        {
            *lock(&self.quota) = Some(quota);
        }
        Ok(response)
    }

    async fn exchange(&self, request: Request) -> Result<Response, Fault> {
        let host = request.url.host_str().unwrap_or_default().to_owned();
        let response = self.shared.transport.send(request).await;
        let response = response.map_err(|failure| self.unreachable(&host, &failure))?;
        self.answers.fetch_add(1, Ordering::Relaxed);
        Ok(response)
    }

    /// The body of a success.
    pub(super) async fn read(
        &self,
        ask: &Ask<'_>,
        headers: &HeaderMap,
        response: &mut Response,
    ) -> Result<Vec<u8>, Fault> {
        if ask.method == Method::HEAD {
            return Ok(Vec::new());
        }
        let content_type = headers.get(CONTENT_TYPE);
        if content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/html")) {
            let reason = "it is a web page; is this a registry?";
            return Err(RegistryError::malformed(ask.image, ask.what, reason).into());
        }
        let (image, what, limit) = (ask.image.clone(), ask.what, ask.limit);
        let length = headers
            .get(CONTENT_LENGTH)
            .and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
        let too_large = RegistryError::TooLarge { image, what, limit };
        if length.is_some_and(|length| length > limit) {
            return Err(too_large.into());
        }
        let body = self.collect(response, limit).await?;
        body.ok_or_else(|| too_large.into())
    }

    /// A body of at most `limit` bytes; `None` for a larger one.
    async fn collect(
        &self,
        response: &mut Response,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, Fault> {
        let mut body = Vec::new();
        while let Some(chunk) = response.body.next().await {
            let chunk = chunk.map_err(|failure| self.unreachable(&self.registry, &failure))?;
            if body.len() + chunk.len() > limit {
                return Ok(None);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Some(body))
    }

    /// What a registry says of its error (OCI distribution spec, "Error
    /// Codes"), as the end of a sentence.
    pub(super) async fn reason(&self, response: &mut Response) -> String {
        #[derive(serde::Deserialize)]
        struct Errors {
            errors: Vec<Error>,
        }
        #[derive(serde::Deserialize)]
        struct Error {
            message: String,
        }
        let body = self.collect(response, LARGEST_ERROR).await;
        let Ok(Some(body)) = body else {
            return String::new();
        };
        let errors = serde_json::from_slice::<Errors>(&body);
        let first = errors
            .ok()
            .and_then(|errors| errors.errors.into_iter().next());
        first.map_or_else(String::new, |error| {
            format!(" ({})", Quoted(&error.message))
        })
    }
}

/// Where a redirect leads: never from https to http, and never from
/// elsewhere into this machine.
fn next_hop(image: &ImageName, from: &Url, headers: &HeaderMap) -> Result<Url, RegistryError> {
    let target = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let target = target
        .ok_or_else(|| RegistryError::astray(image, from.as_str(), "it does not say where"))?;
    let next = from
        .join(target)
        .map_err(|_| RegistryError::astray(image, from.as_str(), "where it leads is no address"))?;
    let reason = match next.scheme() {
        "https" => None,
        "http" if from.scheme() == "http" => None,
        _ => Some("it does not lead to https"),
    };
    let inwards = is_private_place(&next) && !is_loopback_url(from);
    let reason = reason.or(inwards.then_some("it leads into this machine's own network"));
    match reason {
        Some(reason) => Err(RegistryError::astray(image, next.as_str(), reason)),
        None => Ok(next),
    }
}
