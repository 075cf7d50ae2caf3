//! The three questions a refresh asks, and how they are sent: few at a time to
//! each registry, with a token where one is wanted, into bounded memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference as OciReference, RegistryOperation};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, Response, StatusCode, Url};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::error::RegistryError;
use super::manifest::{Manifest, accepted, platform_of_config};
use super::pages::{Next, PAGE_SIZE, Page};
use crate::digest::{Algorithm, Digest};
use crate::name::ImageName;
use crate::platform::Platform;
use crate::tag::Tag;
use crate::text::Plain;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence within an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest manifest or image configuration, in bytes (the limit registries set).
const LARGEST_MANIFEST: usize = 4 << 20;
/// Largest tag list of an image, all pages together, in bytes.
const LARGEST_TAG_LIST: usize = 64 << 20;
/// Most pages of a tag list.
const MOST_PAGES: usize = 10_000;
const DIGEST_HEADER: &str = "docker-content-digest";
const USER_AGENT: &str = concat!("nix-oci-hashes/", env!("CARGO_PKG_VERSION"));

/// How registries are asked.
#[derive(Debug, Clone)]
pub struct Options {
    /// Requests under way at once to one registry.
    pub jobs: NonZeroUsize,
    /// Registries that are asked over plain http. Those on loopback always are.
    pub insecure_registries: BTreeSet<String>,
}

/// A client for any number of registries.
pub struct Client {
    http: reqwest::Client,
    /// Past any proxy, which could not reach this machine's loopback.
    direct: reqwest::Client,
    options: Options,
    registries: Mutex<HashMap<String, Arc<Registry>>>,
}

/// What is remembered of one registry during a run.
struct Registry {
    base: Url,
    is_loopback: bool,
    permits: Semaphore,
    /// Bearer tokens, by repository; absent where none was ever asked for.
    tokens: Mutex<HashMap<String, String>>,
    oci: oci_client::Client,
}

impl Client {
    /// A client that asks as `options` say.
    ///
    /// # Errors
    /// Where the TLS settings or a proxy named by the environment are unusable.
    pub fn new(options: Options) -> Result<Self, RegistryError> {
        // An error means that a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            reqwest::Client::builder()
                .user_agent(USER_AGENT)
                .connect_timeout(CONNECT_TIMEOUT)
                .read_timeout(READ_TIMEOUT)
                .redirect(reqwest::redirect::Policy::custom(|attempt| {
                    let secure = |url: &Url| url.scheme() == "https";
                    if attempt.previous().len() > 5 {
                        attempt.error("too many redirects")
                    } else if attempt.previous().iter().any(secure) && !secure(attempt.url()) {
                        attempt.error("a redirect from https to http is not followed")
                    } else {
                        attempt.follow()
                    }
                }))
        };
        let setup = |error: reqwest::Error| RegistryError::Setup(error.to_string());
        Ok(Self {
            http: builder().build().map_err(setup)?,
            direct: builder().no_proxy().build().map_err(setup)?,
            options,
            registries: Mutex::default(),
        })
    }

    /// Every tag of `image`, all pages, in no particular order.
    ///
    /// # Errors
    /// Where the registry cannot be reached, does not know the image, or sends
    /// something other than tag lists of at most 64 MiB.
    pub async fn tags(&self, image: &ImageName) -> Result<BTreeSet<Tag>, RegistryError> {
        const WHAT: &str = "a tag list";
        let registry = self.registry(image)?;
        let mut url = registry.url(image, "tags/list")?;
        url.query_pairs_mut()
            .append_pair("n", &PAGE_SIZE.to_string());
        let mut tags = BTreeSet::new();
        let mut budget = LARGEST_TAG_LIST;
        let mut seen = BTreeSet::from([url.clone()]);
        loop {
            let answer = self
                .send(image, &registry, Method::GET, &url, "application/json")
                .await?;
            if answer.response.status() == StatusCode::NOT_FOUND {
                return Err(RegistryError::NoSuchImage(image.clone()));
            }
            let headers = answer.response.headers().clone();
            let body = answer.read(image, WHAT, budget).await?;
            budget -= body.len();
            let bad = |reason: String| malformed(image, WHAT, &reason);
            let page = Page::parse(&body).map_err(bad)?;
            let next = page.next(&url, &headers).map_err(bad)?;
            let before = tags.len();
            tags.extend(page.tags);
            url = match next {
                Some(Next::Link(next)) => next,
                // Nothing new: the registry does not heed `last` either.
                Some(Next::Guess(next)) if tags.len() > before => next,
                _ => return Ok(tags),
            };
            if url.origin() != registry.base.origin() {
                let (image, next) = (image.clone(), url.to_string());
                return Err(RegistryError::ForeignPage { image, next });
            }
            if !seen.insert(url.clone()) {
                return Ok(tags);
            }
            if seen.len() > MOST_PAGES {
                return Err(bad(format!("it has more than {MOST_PAGES} pages")));
            }
        }
    }

    /// The digest that `tag` points to; `None` where the registry has no such
    /// tag. Costs a HEAD, which registries do not count as a pull.
    ///
    /// # Errors
    /// Where the registry cannot be reached or does not answer with a digest.
    pub async fn digest(
        &self,
        image: &ImageName,
        tag: &Tag,
    ) -> Result<Option<Digest>, RegistryError> {
        let registry = self.registry(image)?;
        let url = registry.url(image, &format!("manifests/{tag}"))?;
        let answer = self
            .send(image, &registry, Method::HEAD, &url, &accepted())
            .await?;
        if answer.response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if let Some(header) = answer.response.headers().get(DIGEST_HEADER) {
            let text = String::from_utf8_lossy(header.as_bytes());
            let digest = text.parse().map_err(|error: crate::digest::DigestError| {
                malformed(image, "a digest", &error.to_string())
            })?;
            return Ok(Some(digest));
        }
        drop(answer);
        // The header is optional (distribution spec, "Pulling manifests"): the
        // bytes themselves say the same.
        let answer = self
            .send(image, &registry, Method::GET, &url, &accepted())
            .await?;
        let body = answer.read(image, "a manifest", LARGEST_MANIFEST).await?;
        Manifest::parse(&body).map_err(|reason| malformed(image, "a manifest", &reason))?;
        Ok(Some(Digest::of(Algorithm::Sha256, &body)))
    }

    /// The manifest of each platform that `digest` offers. Every byte this is
    /// read from has been checked against the digest it was asked for by.
    ///
    /// # Errors
    /// Where the registry cannot be reached, or sends something that has
    /// another digest or is no manifest.
    pub async fn platforms(
        &self,
        image: &ImageName,
        digest: &Digest,
    ) -> Result<BTreeMap<Platform, Digest>, RegistryError> {
        const WHAT: &str = "a manifest";
        let body = self.content(image, "manifests", digest, WHAT).await?;
        let manifest = Manifest::parse(&body).map_err(|reason| malformed(image, WHAT, &reason))?;
        match manifest {
            Manifest::Index(platforms) => Ok(platforms),
            Manifest::Image { config } => {
                const WHAT: &str = "an image configuration";
                let body = self.content(image, "blobs", &config, WHAT).await?;
                let platform =
                    platform_of_config(&body).map_err(|reason| malformed(image, WHAT, &reason))?;
                Ok(platform.into_iter().map(|p| (p, digest.clone())).collect())
            }
        }
    }

    /// Content by its digest, checked.
    async fn content(
        &self,
        image: &ImageName,
        kind: &str,
        digest: &Digest,
        what: &'static str,
    ) -> Result<Vec<u8>, RegistryError> {
        let registry = self.registry(image)?;
        let url = registry.url(image, &format!("{kind}/{digest}"))?;
        let accept = if kind == "blobs" {
            "*/*".to_owned()
        } else {
            accepted()
        };
        let answer = self
            .send(image, &registry, Method::GET, &url, &accept)
            .await?;
        let body = answer.read(image, what, LARGEST_MANIFEST).await?;
        if !digest.matches(&body) {
            return Err(RegistryError::WrongDigest {
                image: image.clone(),
                asked: digest.clone(),
                got: Digest::of(digest.algorithm(), &body),
            });
        }
        Ok(body)
    }

    /// Sends a request, with a token if the registry wants one, and turns what
    /// is no answer into an error. A 404 is an answer.
    async fn send<'a>(
        &self,
        image: &ImageName,
        registry: &'a Registry,
        method: Method,
        url: &Url,
        accept: &str,
    ) -> Result<Answer<'a>, RegistryError> {
        // Closed by no one, so that a permit always comes.
        let permit = registry.permits.acquire().await.ok();
        let http = if registry.is_loopback {
            &self.direct
        } else {
            &self.http
        };
        let mut asked_for_token = false;
        loop {
            let mut request = http
                .request(method.clone(), url.clone())
                .header(ACCEPT, accept);
            if let Some(token) = registry.token(image) {
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
                registry.authenticate(image).await?;
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

    fn registry(&self, image: &ImageName) -> Result<Arc<Registry>, RegistryError> {
        let mut registries = self
            .registries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(registry) = registries.get(image.registry()) {
            return Ok(Arc::clone(registry));
        }
        let registry = Arc::new(Registry::new(image.registry(), &self.options)?);
        registries.insert(image.registry().to_owned(), Arc::clone(&registry));
        Ok(registry)
    }
}

impl Registry {
    fn new(name: &str, options: &Options) -> Result<Self, RegistryError> {
        let is_loopback = is_loopback(name);
        let plain = is_loopback || options.insecure_registries.contains(name);
        let (scheme, protocol) = if plain {
            ("http", ClientProtocol::Http)
        } else {
            ("https", ClientProtocol::Https)
        };
        let host = match name {
            "docker.io" => "registry-1.docker.io",
            other => other,
        };
        let setup = |error: String| RegistryError::Setup(format!("{name}: {error}"));
        let config = ClientConfig {
            protocol,
            user_agent: USER_AGENT,
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            ..ClientConfig::default()
        };
        Ok(Self {
            base: Url::parse(&format!("{scheme}://{host}/v2/"))
                .map_err(|error| setup(error.to_string()))?,
            is_loopback,
            permits: Semaphore::new(options.jobs.get()),
            tokens: Mutex::default(),
            oci: config
                .try_into()
                .map_err(|error: oci_client::errors::OciDistributionError| {
                    setup(error.to_string())
                })?,
        })
    }

    fn url(&self, image: &ImageName, end: &str) -> Result<Url, RegistryError> {
        let path = format!("{}/{end}", image.repository());
        self.base
            .join(&path)
            .map_err(|error| RegistryError::Setup(format!("{image}: {error}")))
    }

    fn token(&self, image: &ImageName) -> Option<String> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(&image.repository()).cloned()
    }

    /// Gets a token to pull `image`, as the registry's challenge says how
    /// (distribution's token authentication specification).
    async fn authenticate(&self, image: &ImageName) -> Result<(), RegistryError> {
        let denied = |reason: String| RegistryError::Denied {
            image: image.clone(),
            reason,
        };
        let reference = OciReference::with_tag(
            image.registry().to_owned(),
            image.repository(),
            Tag::latest().to_string(),
        );
        let token = self
            .oci
            .auth(
                &reference,
                &RegistryAuth::Anonymous,
                RegistryOperation::Pull,
            )
            .await
            .map_err(|error| denied(Plain(&error.to_string()).to_string()))?
            .ok_or_else(|| denied("it wants a user name and a password".to_owned()))?;
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(image.repository(), token);
        Ok(())
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
struct Answer<'a> {
    response: Response,
    _permit: Option<SemaphorePermit<'a>>,
}

impl Answer<'_> {
    /// The body, up to `limit` bytes.
    async fn read(
        mut self,
        image: &ImageName,
        what: &'static str,
        limit: usize,
    ) -> Result<Vec<u8>, RegistryError> {
        let content_type = self.response.headers().get(CONTENT_TYPE);
        if content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/html")) {
            let reason = "it is a web page; is this a registry?";
            return Err(malformed(image, what, reason));
        }
        if self.response.status() == StatusCode::NOT_FOUND {
            return Err(malformed(image, what, "it is not there"));
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

fn malformed(image: &ImageName, what: &'static str, reason: &str) -> RegistryError {
    RegistryError::Malformed {
        image: image.clone(),
        what,
        reason: Plain(reason).to_string(),
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
