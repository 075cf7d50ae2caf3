//! Follows redirects: never from https to http, never into this machine's own
//! network, and with credentials for the registry itself alone.

use futures_util::future::BoxFuture;
use reqwest::Url;
use reqwest::header::{HeaderMap, LOCATION};

use super::address::{chosen_by, is_loopback_url, is_private_host, upgraded};
use super::error::{Cause, Content, RedirectProblem};
use super::transport::{Request, Response, Transport};

const MAX_REDIRECTS: usize = 5;

/// Follows the redirects of the layer below.
pub(super) struct Redirect<T> {
    below: T,
    registry: Url,
}

impl<T: Transport> Redirect<T> {
    /// `registry` is the base URL of the registry that is being spoken to.
    pub(super) fn new(below: T, registry: Url) -> Self {
        Self { below, registry }
    }

    async fn follow(&self, mut request: Request) -> Result<Response, Cause> {
        let mut redirects = 0;
        loop {
            let response = self.below.send(request.clone()).await?;
            // Passwords go to the token service that was checked, and nowhere else.
            if !is_redirect(&response) || request.content() == Content::Token {
                return Ok(response);
            }
            redirects += 1;
            if redirects > MAX_REDIRECTS {
                let to = request.url().clone();
                return Err(refused(&to, RedirectProblem::TooMany));
            }
            let next = target(request.url(), response.headers())?;
            if next.origin() != request.url().origin() {
                request = request.with_authorization(None);
            }
            let chosen_by = chosen_by(&next, &self.registry);
            request = request.at(next, chosen_by);
        }
    }
}

impl<T: Transport> Transport for Redirect<T> {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Cause>> {
        Box::pin(self.follow(request))
    }
}

fn is_redirect(response: &Response) -> bool {
    let status = response.status();
    status.is_redirection() && status != reqwest::StatusCode::NOT_MODIFIED
}

fn refused(to: &Url, problem: RedirectProblem) -> Cause {
    Cause::Redirect {
        to: to.clone(),
        problem,
    }
}

/// The target of a redirect from `from`.
fn target(from: &Url, headers: &HeaderMap) -> Result<Url, Cause> {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let location = location.ok_or_else(|| refused(from, RedirectProblem::NoLocation))?;
    let next = from
        .join(location)
        .map_err(|_| refused(from, RedirectProblem::NoUrl))?;
    let next = upgraded(next, from);
    let is_secure_enough =
        next.scheme() == "https" || next.scheme() == "http" && from.scheme() == "http";
    let stays_on_loopback = is_loopback_url(from) && is_loopback_url(&next);
    if !is_secure_enough {
        Err(refused(&next, RedirectProblem::NotHttps))
    } else if is_private_host(&next) && !stays_on_loopback {
        Err(refused(&next, RedirectProblem::PrivateAddress))
    } else {
        Ok(next)
    }
}
