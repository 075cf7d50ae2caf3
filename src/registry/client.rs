//! The three questions a refresh asks, answered into bounded memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::{Method, StatusCode};

use super::connection::{Connection, Http};
use super::error::RegistryError;
use super::manifest::{Manifest, accepted, platform_of_config};
use super::pages::{Next, PAGE_SIZE, Page};
use crate::digest::{Algorithm, Digest, DigestError};
use crate::name::ImageName;
use crate::platform::Platform;
use crate::tag::Tag;

/// Largest manifest or image configuration, in bytes (the limit registries set).
const LARGEST_MANIFEST: usize = 4 << 20;
/// Largest tag list of an image, all pages together, in bytes.
const LARGEST_TAG_LIST: usize = 64 << 20;
/// Most pages of a tag list.
const MOST_PAGES: usize = 10_000;
const DIGEST_HEADER: &str = "docker-content-digest";

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
    http: Http,
    options: Options,
    connections: Mutex<HashMap<String, Arc<Connection>>>,
}

impl Client {
    /// A client that asks as `options` say.
    ///
    /// # Errors
    /// Where the TLS settings or a proxy named by the environment are unusable.
    pub fn new(options: Options) -> Result<Self, RegistryError> {
        Ok(Self {
            http: Http::new()?,
            options,
            connections: Mutex::default(),
        })
    }

    /// Every tag of `image`, all pages, in no particular order.
    ///
    /// # Errors
    /// Where the registry cannot be reached, does not know the image, or sends
    /// something other than tag lists of at most 64 MiB.
    pub async fn tags(&self, image: &ImageName) -> Result<BTreeSet<Tag>, RegistryError> {
        const WHAT: &str = "a tag list";
        let connection = self.connection(image)?;
        let mut url = connection.url(image, "tags/list")?;
        url.query_pairs_mut()
            .append_pair("n", &PAGE_SIZE.to_string());
        let mut tags = BTreeSet::new();
        let mut budget = LARGEST_TAG_LIST;
        let mut seen = BTreeSet::from([url.clone()]);
        loop {
            let answer = connection
                .send(image, Method::GET, &url, "application/json")
                .await?;
            if answer.response.status() == StatusCode::NOT_FOUND {
                return Err(RegistryError::NoSuchImage(image.clone()));
            }
            let headers = answer.response.headers().clone();
            let body = answer.read(image, WHAT, budget).await?;
            budget -= body.len();
            let bad = |reason: String| RegistryError::malformed(image, WHAT, &reason);
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
            if !connection.serves(&url) {
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
        let connection = self.connection(image)?;
        let url = connection.url(image, &format!("manifests/{tag}"))?;
        let answer = connection
            .send(image, Method::HEAD, &url, &accepted())
            .await?;
        if answer.response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if let Some(header) = answer.response.headers().get(DIGEST_HEADER) {
            let text = String::from_utf8_lossy(header.as_bytes());
            let digest = text.parse().map_err(|error: DigestError| {
                RegistryError::malformed(image, "a digest", &error.to_string())
            })?;
            return Ok(Some(digest));
        }
        drop(answer);
        // The header is optional (distribution spec, "Pulling manifests"): the
        // bytes themselves say the same.
        let answer = connection
            .send(image, Method::GET, &url, &accepted())
            .await?;
        let body = answer.read(image, "a manifest", LARGEST_MANIFEST).await?;
        Manifest::parse(&body)
            .map_err(|reason| RegistryError::malformed(image, "a manifest", &reason))?;
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
        let manifest = Manifest::parse(&body)
            .map_err(|reason| RegistryError::malformed(image, WHAT, &reason))?;
        match manifest {
            Manifest::Index(platforms) => Ok(platforms),
            Manifest::Image { config } => {
                const WHAT: &str = "an image configuration";
                let body = self.content(image, "blobs", &config, WHAT).await?;
                let platform = platform_of_config(&body)
                    .map_err(|reason| RegistryError::malformed(image, WHAT, &reason))?;
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
        let connection = self.connection(image)?;
        let url = connection.url(image, &format!("{kind}/{digest}"))?;
        let accept = if kind == "blobs" {
            "*/*".to_owned()
        } else {
            accepted()
        };
        let answer = connection.send(image, Method::GET, &url, &accept).await?;
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

    fn connection(&self, image: &ImageName) -> Result<Arc<Connection>, RegistryError> {
        let mut connections = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = connections.get(image.registry()) {
            return Ok(Arc::clone(connection));
        }
        let connection = Connection::new(image.registry(), &self.http, &self.options)?;
        let connection = Arc::new(connection);
        connections.insert(image.registry().to_owned(), Arc::clone(&connection));
        Ok(connection)
    }
}
