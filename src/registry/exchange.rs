//! One try of a request: redirects, and a body of bounded size.

use std::pin::pin;
use std::sync::atomic::Ordering;

use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION,
};
use reqwest::{Method, StatusCode, Url};

use super::access::{Authorization, Login};
use super::address::{is_loopback_url, is_private_place, upgraded};
use super::auth::Challenge;
use super::connection::{Ask, Connection, Fault, lock};
use super::error::RegistryError;
use super::limits::Quota;
use super::transport::{Request, Response, Route};
use crate::name::ImageName;
use crate::text::Quoted;

const MOST_REDIRECTS: usize = 5;
/// Most that is read of an answer that is an error, in bytes.
const LARGEST_ERROR: usize = 16 << 10;

/// An answer behind all redirects.
pub(super) struct Followed {
    pub(super) response: Response,
    pub(super) url: Url,
    pub(super) login: Login,
}

impl Connection {
    /// Sends a request and follows where the registry points, with a token or
    /// a password for each host that wants one.
    pub(super) async fn follow(&self, ask: &Ask<'_>) -> Result<Followed, Fault> {
        let image = ask.image;
        let slot = self.slot(image);
        let (mut url, mut early) = self.begin(ask).await?;
        let mut redirects = 0;
        let mut answered = None;
        // Whether the next request goes without what others carry.
        let mut is_bare = false;
        // What another host, which a redirect has led to, wants to be told.
        let mut elsewhere: Option<Authorization> = None;
        loop {
            let is_home = self.serves(&url);
            let early = early.take();
            let authorization = if early.is_some() {
                None
            } else if is_home && is_bare {
                is_bare = false;
                None
            } else if is_home {
                self.authorization(&slot, &url, image).await?
            } else {
                elsewhere.clone()
            };
            let response = match early {
                Some(response) => response?,
                None => self.send(ask, &url, authorization.as_ref()).await?,
            };
            let status = response.status;
            let mut login = authorization
                .as_ref()
                .map(|it| it.login.clone())
                .unwrap_or_default();
            if let Some(what) = authorization
                .as_ref()
                .filter(|what| is_home && what.is_basic())
                && status == StatusCode::UNAUTHORIZED
            {
                if self.refuse(&slot, what).await {
                    login = Login::Refused;
                }
                if answered.is_none() {
                    // Sent before it was asked for: it may do without.
                    is_bare = true;
                    continue;
                }
            }
            if status == StatusCode::UNAUTHORIZED && answered.as_ref() != Some(&url) {
                // No token yet, or one that has expired.
                if let Ok(challenge) = Challenge::of(&response.headers, &url) {
                    if is_home {
                        self.renew(&slot, authorization.as_ref(), &challenge, &url, image)
                            .await?;
                    } else {
                        elsewhere = Some(self.answer(&challenge, &url, image).await?);
                    }
                    answered = Some(url.clone());
                    continue;
                }
            }
            if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
                redirects += 1;
                if redirects > MOST_REDIRECTS {
                    let reason = "there are too many of them";
                    return Err(RegistryError::astray(image, url.as_str(), reason).into());
                }
                let next = next_hop(image, &url, &response.headers)?;
                if next.origin() != url.origin() {
                    elsewhere = None;
                }
                url = next;
                answered = None;
                continue;
            }
            return Ok(Followed {
                response,
                url,
                login,
            });
        }
    }

    /// Where a request goes to, and its answer where it has been sent already.
    async fn begin(
        &self,
        ask: &Ask<'_>,
    ) -> Result<(Url, Option<Result<Response, Fault>>), RegistryError> {
        let early = if self.may_be_asked_early() {
            self.ask_early(ask).await?
        } else {
            None
        };
        let base = self.base().await?;
        let mut url = ask.url.clone();
        if base.scheme() == "https" && url.authority() == base.authority() {
            // Fails only for what is no scheme of the web.
            let _ = url.set_scheme("https");
        }
        Ok((url, early))
    }

    /// Sends a request by plain http while it is found out whether the registry has
    /// https. The answer is one only if it has none.
    async fn ask_early(
        &self,
        ask: &Ask<'_>,
    ) -> Result<Option<Result<Response, Fault>>, RegistryError> {
        let base = pin!(self.base());
        let early = pin!(self.send(ask, &ask.url, None));
        let is_plain = |base: &Url| base.scheme() == "http";
        Ok(match select(base, early).await {
            Either::Left((base, early)) => {
                if !is_plain(base?) {
                    return Ok(None);
                }
                Some(early.await)
            }
            Either::Right((early, base)) => is_plain(base.await?).then_some(early),
        })
    }

    async fn send(
        &self,
        ask: &Ask<'_>,
        url: &Url,
        authorization: Option<&Authorization>,
    ) -> Result<Response, Fault> {
        let mut headers = HeaderMap::new();
        if let Ok(accept) = HeaderValue::from_str(ask.accept) {
            headers.insert(ACCEPT, accept);
        }
        if let Some(Authorization { header, .. }) = authorization {
            headers.insert(AUTHORIZATION, header.clone());
        }
        let is_home = self.serves(url);
        let response = self
            .exchange(Request {
                route: self.route(url, is_home),
                method: ask.method.clone(),
                url: url.clone(),
                headers,
                form: None,
            })
            .await?;
        if let Some(quota) = Quota::of(&response.headers).filter(|_| is_home) {
            *lock(&self.quota) = Some(quota);
        }
        Ok(response)
    }

    pub(super) async fn exchange(&self, request: Request) -> Result<Response, Fault> {
        let host = request.url.host_str().unwrap_or_default().to_owned();
        let response = self.shared.transport.send(request).await;
        let response = response.map_err(|failure| self.unreachable(&host, &failure))?;
        self.answers.fetch_add(1, Ordering::Relaxed);
        Ok(response)
    }

    /// The way to `url`. The registry's own host is as images.json says, where
    /// else it points is for the registry to say.
    pub(super) fn route(&self, url: &Url, is_trusted: bool) -> Route {
        let is_own = self
            .base
            .get()
            .is_some_and(|base| base.host_str() == url.host_str());
        match (is_loopback_url(url), is_trusted || is_own) {
            (true, _) => Route::Loopback,
            (false, true) => Route::Home,
            (false, false) => Route::Away,
        }
    }

    /// The body of a success.
    pub(super) async fn read(
        &self,
        ask: &Ask<'_>,
        response: &mut Response,
    ) -> Result<Vec<u8>, Fault> {
        let headers = &response.headers;
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
        let body = self.collect(response, &self.registry, limit).await?;
        body.ok_or_else(|| too_large.into())
    }

    /// A body of at most `limit` bytes; `None` for a larger one.
    pub(super) async fn collect(
        &self,
        response: &mut Response,
        host: &str,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, Fault> {
        let mut body = Vec::new();
        while let Some(chunk) = response.body.next().await {
            let chunk = chunk.map_err(|failure| self.unreachable(host, &failure))?;
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
        let body = self.collect(response, &self.registry, LARGEST_ERROR).await;
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
    let next = upgraded(next, from);
    let reason = match next.scheme() {
        "https" => None,
        "http" if from.scheme() == "http" => None,
        _ => Some("it does not lead to https"),
    };
    let stays = is_loopback_url(from) && is_loopback_url(&next);
    let inwards = is_private_place(&next) && !stays;
    let reason = reason.or(inwards.then_some("it leads into this machine's own network"));
    match reason {
        Some(reason) => Err(RegistryError::astray(image, next.as_str(), reason)),
        None => Ok(next),
    }
}
