//! One registry: its address, its token, and how many requests it is sent at
//! once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference as OciReference, RegistryOperation};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::redirect::Policy;
use reqwest::{ClientBuilder, Method, Response, StatusCode, Url};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::client::Options;
use super::error::RegistryError;
use crate::name::ImageName;
use crate::tag::Tag;
use crate::text::Plain;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence within an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const MOST_REDIRECTS: usize = 5;
const USER_AGENT: &str = concat!("nix-oci-hashes/", env!("CARGO_PKG_VERSION"));

/// The HTTP clients that all registries share.
pub(super) struct Http {
    remote: reqwest::Client,
    /// Past any proxy, which could not reach this machine's loopback.
    loopback: reqwest::Client,
}

impl Http {
    pub(super) fn new() -> Result<Self, RegistryError> {
        // An error means that a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let build = |builder: ClientBuilder| {
            let built = builder
                .user_agent(USER_AGENT)
                .connect_timeout(CONNECT_TIMEOUT)
                .read_timeout(READ_TIMEOUT)
                .redirect(redirects())
                .build();
            built.map_err(|error| RegistryError::Setup(error.to_string()))
        };
        Ok(Self {
            remote: build(reqwest::Client::builder())?,
            loopback: build(reqwest::Client::builder().no_proxy())?,
        })
    }
}

/// A few redirects, and none from https to http. What authorizes a request is
/// not sent along to another host: reqwest sees to that.
fn redirects() -> Policy {
    Policy::custom(|attempt| {
        let secure = |url: &Url| url.scheme() == "https";
        if attempt.previous().len() > MOST_REDIRECTS {
            attempt.error("too many redirects")
        } else if attempt.previous().iter().any(secure) && !secure(attempt.url()) {
            attempt.error("a redirect from https to http is not followed")
        } else {
            attempt.follow()
        }
    })
}

/// What is remembered of one registry during a run.
pub(super) struct Connection {
    http: reqwest::Client,
    base: Url,
    permits: Semaphore,
    /// Bearer tokens, by repository; absent where none was ever asked for.
    tokens: Mutex<HashMap<String, String>>,
    protocol: ClientProtocol,
    /// Made when the registry first asks for a token.
    oci: OnceLock<oci_client::Client>,
}

impl Connection {
    /// A connection to the registry that images.json calls `registry`.
    pub(super) fn new(
        registry: &str,
        http: &Http,
        options: &Options,
    ) -> Result<Self, RegistryError> {
        let loopback = is_loopback(registry);
        let plain = loopback || options.insecure_registries.contains(registry);
        let (scheme, protocol) = if plain {
            ("http", ClientProtocol::Http)
        } else {
            ("https", ClientProtocol::Https)
        };
        let host = match registry {
            // Docker Hub is served elsewhere than its images' names say.
            "docker.io" => "registry-1.docker.io",
            other => other,
        };
        let http = if loopback {
            &http.loopback
        } else {
            &http.remote
        };
        Ok(Self {
            http: http.clone(),
            base: Url::parse(&format!("{scheme}://{host}/v2/"))
                .map_err(|error| RegistryError::no_address(registry, &error.to_string()))?,
            permits: Semaphore::new(options.jobs.get()),
            tokens: Mutex::default(),
            protocol,
            oci: OnceLock::new(),
        })
    }

    /// The address of `end` within the repository of `image`.
    pub(super) fn url(&self, image: &ImageName, end: &str) -> Result<Url, RegistryError> {
        let path = format!("{}/{end}", image.repository());
        self.base
            .join(&path)
            .map_err(|error| RegistryError::no_address(image.as_str(), &error.to_string()))
    }

    /// Whether `url` is of this registry, down to scheme and port.
    pub(super) fn serves(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// Sends a request, with a token if the registry wants one, and turns what
    /// is no answer into an error. A 404 is an answer.
    pub(super) async fn send(
        &self,
        image: &ImageName,
        method: Method,
        url: &Url,
        accept: &str,
    ) -> Result<Answer<'_>, RegistryError> {
        // Closed by no one, so that a permit always comes.
        let permit = self.permits.acquire().await.ok();
        let mut asked_for_token = false;
        loop {
            let request = self.http.request(method.clone(), url.clone());
            let mut request = request.header(ACCEPT, accept);
            if let Some(token) = self.token(image) {
                request = request.bearer_auth(token);
            }
            let response = request
                .send()
                .await
                .map_err(|error| RegistryError::unreachable(image, &error))?;
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED && !asked_for_token {
                // No token yet, or one that has expired.
                asked_for_token = true;
                self.authenticate(image).await?;
                continue;
            }
            return match status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(RegistryError::Denied {
                    image: image.clone(),
                    reason: format!("it answers {status}"),
                }),
                status if status.is_success() || status == StatusCode::NOT_FOUND => Ok(Answer {
                    response,
                    _permit: permit,
                }),
                status => Err(RegistryError::Status {
                    image: image.clone(),
                    status: status.to_string(),
                }),
            };
        }
    }

    fn token(&self, image: &ImageName) -> Option<String> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(&image.repository()).cloned()
    }

    /// Gets a token to pull `image`, as the registry's challenge says how
    /// (distribution's token authentication specification).
    async fn authenticate(&self, image: &ImageName) -> Result<(), RegistryError> {
        let denied = |reason: &str| RegistryError::Denied {
            image: image.clone(),
            reason: Plain(reason).to_string(),
        };
        let reference = OciReference::with_tag(
            image.registry().to_owned(),
            image.repository(),
            Tag::latest().to_string(),
        );
        let token = self
            .oci()?
            .auth(
                &reference,
                &RegistryAuth::Anonymous,
                RegistryOperation::Pull,
            )
            .await
            .map_err(|error| denied(&error.to_string()))?
            .ok_or_else(|| denied("it wants a user name and a password"))?;
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(image.repository(), token);
        Ok(())
    }

    fn oci(&self) -> Result<&oci_client::Client, RegistryError> {
        if let Some(oci) = self.oci.get() {
            return Ok(oci);
        }
        let config = ClientConfig {
            protocol: self.protocol.clone(),
            user_agent: USER_AGENT,
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            ..ClientConfig::default()
        };
        let setup = |error: OciDistributionError| RegistryError::Setup(error.to_string());
        let oci = config.try_into().map_err(setup)?;
        Ok(self.oci.get_or_init(|| oci))
    }
}

/// Whether a registry's `host[:port]` is this machine.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => registry.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// An answer, which counts as a request under way until it has been read.
pub(super) struct Answer<'a> {
    pub(super) response: Response,
    _permit: Option<SemaphorePermit<'a>>,
}

impl Answer<'_> {
    /// The body, up to `limit` bytes.
    pub(super) async fn read(
        mut self,
        image: &ImageName,
        what: &'static str,
        limit: usize,
    ) -> Result<Vec<u8>, RegistryError> {
        let content_type = self.response.headers().get(CONTENT_TYPE);
        if content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/html")) {
            let reason = "it is a web page; is this a registry?";
            return Err(RegistryError::malformed(image, what, reason));
        }
        if self.response.status() == StatusCode::NOT_FOUND {
            return Err(RegistryError::malformed(image, what, "it is not there"));
        }
        let mut body = Vec::new();
        while let Some(chunk) = self
            .response
            .chunk()
            .await
            .map_err(|error| RegistryError::unreachable(image, &error))?
        {
            if body.len() + chunk.len() > limit {
                let image = image.clone();
                return Err(RegistryError::TooLarge { image, what, limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_this_machine_only() {
        for name in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.1.2.3",
            "[::1]:80",
        ] {
            assert!(is_loopback(name), "{name}");
        }
        for name in [
            "docker.io",
            "localhost.example.org",
            "10.0.0.1:5000",
            "[2001:db8::1]",
            "127.0.0.1.nip.io",
        ] {
            assert!(!is_loopback(name), "{name}");
        }
    }
}
