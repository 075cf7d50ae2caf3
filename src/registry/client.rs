//! The three questions a refresh asks, answered into bounded memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Method, StatusCode, Url};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::{Ask, Connection, Reply, lock};
use super::credentials::Credentials;
use super::error::{RegistryError, without_query};
use super::limits::Quota;
use super::manifest::{IndexPlatforms, Manifest, accepted, platform_of_config};
use super::names::Names;
use super::pages::{Next, PAGE_SIZE, Page};
use super::transport::{Network, Transport};
use crate::digest::{Algorithm, Digest};
use crate::name::ImageName;
use crate::tag::Tag;

/// Largest manifest or image configuration, in bytes (the limit registries set).
const LARGEST_MANIFEST: usize = 4 << 20;
/// Largest tag list of an image, all pages together, in bytes.
const LARGEST_TAG_LIST: usize = 8 << 20;
/// Most tags of an image; no project comes near.
const MOST_TAGS: usize = 100_000;
/// From this size on, in bytes, a list needs one of the places for large lists.
const LARGE_TAG_LIST: usize = 256 << 10;
/// How many large lists of one registry are in memory at once.
const LARGE_LISTS: usize = 4;
/// Most pages of a tag list.
const MOST_PAGES: usize = 10_000;
/// Most manifests that are read for one digest, where indexes hold indexes.
const MOST_NESTED: usize = 32;
const DIGEST_HEADER: &str = "docker-content-digest";
const MANIFEST: &str = "a manifest";

/// How registries are asked.
#[derive(Debug, Clone)]
pub struct Options {
    /// Requests under way at once to one registry.
    pub jobs: NonZeroUsize,
    /// Registries that may be asked over plain http, where they have no https.
    /// Those on loopback always may.
    pub insecure_registries: BTreeSet<String>,
    /// How often a request that failed is tried again.
    pub retries: u32,
    /// The time that each registry is given in all.
    pub deadline: Duration,
    /// Who is asked for the addresses of registries.
    pub names: Names,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            jobs: NonZeroUsize::MIN.saturating_add(31),
            insecure_registries: BTreeSet::new(),
            retries: 4,
            deadline: Duration::from_secs(1800),
            names: Names::default(),
        }
    }
}

/// What every connection of a client has in common.
pub(super) struct Shared {
    pub(super) transport: Box<dyn Transport>,
    pub(super) credentials: Credentials,
    pub(super) options: Options,
}

/// The tags of an image. The client keeps few large sets of a registry in memory at
/// once: another large list waits until one of these is dropped.
#[derive(Debug)]
pub struct TagSet {
    tags: BTreeSet<Tag>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Deref for TagSet {
    type Target = BTreeSet<Tag>;

    fn deref(&self) -> &BTreeSet<Tag> {
        &self.tags
    }
}

/// A client for any number of registries.
pub struct Client {
    /// The places for large lists, by registry: none waits for another registry.
    large_lists: Mutex<HashMap<String, Arc<Semaphore>>>,
    shared: Arc<Shared>,
    connections: Mutex<HashMap<String, Arc<Connection>>>,
    /// Manifests that came with the digest of a tag, and need not be asked for.
    known: Mutex<HashMap<(ImageName, Digest), Manifest>>,
}

impl Client {
    /// A client that asks as `options` say, with the credentials that docker
    /// and podman keep for this user.
    ///
    /// # Errors
    /// Where the TLS settings, a proxy named by the environment, or a file of
    /// credentials are unusable.
    pub fn new(options: Options) -> Result<Self, RegistryError> {
        let credentials = Credentials::of_user();
        let credentials = credentials.map_err(|e| RegistryError::Credentials(Arc::new(e)))?;
        Ok(Self::over(
            Box::new(Network::new(options.names)?),
            credentials,
            options,
        ))
    }

    pub(super) fn over(
        transport: Box<dyn Transport>,
        credentials: Credentials,
        options: Options,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                transport,
                credentials,
                options,
            }),
            large_lists: Mutex::default(),
            connections: Mutex::default(),
            known: Mutex::default(),
        }
    }

    /// What each registry that has a quota says is left of it.
    pub fn quotas(&self) -> BTreeMap<String, Quota> {
        self.of_each(Connection::quota)
    }

    /// How long each registry that asks for a pause is left alone from now on.
    pub fn pauses(&self) -> BTreeMap<String, Duration> {
        self.of_each(Connection::pause)
    }

    fn of_each<T>(&self, what: fn(&Connection) -> Option<T>) -> BTreeMap<String, T> {
        let connections = lock(&self.connections);
        let all = connections.iter();
        all.filter_map(|(registry, connection)| Some((registry.clone(), what(connection)?)))
            .collect()
    }

    /// Every tag of `image`, all pages, in no particular order.
    ///
    /// # Errors
    /// Where the registry cannot be reached, does not know the image, or sends
    /// something other than tag lists of at most 8 MiB and 100,000 tags.
    pub async fn tags(&self, image: &ImageName) -> Result<TagSet, RegistryError> {
        const WHAT: &str = "a tag list";
        let connection = self.connection(image);
        let mut url = connection.url(image, "tags/list").await?;
        url.query_pairs_mut()
            .append_pair("n", &PAGE_SIZE.to_string());
        let set = |tags, permit| TagSet {
            tags,
            _permit: permit,
        };
        let mut tags = BTreeSet::new();
        let mut budget = LARGEST_TAG_LIST;
        let mut seen = BTreeSet::from([url.clone()]);
        let mut permit = None;
        let permits = self.large_lists(image.registry());
        loop {
            if permit.is_none() && budget <= LARGEST_TAG_LIST - LARGE_TAG_LIST {
                permit = Arc::clone(&permits).acquire_owned().await.ok();
            }
            let ask = Ask {
                image,
                method: Method::GET,
                url: url.clone(),
                accept: "application/json",
                what: WHAT,
                limit: if permit.is_none() {
                    budget.min(LARGE_TAG_LIST)
                } else {
                    budget
                },
                is_pull: false,
            };
            let Reply {
                status,
                url: from,
                headers,
                body,
            } = match connection.ask(&ask).await {
                Err(RegistryError::TooLarge { .. }) if permit.is_none() => {
                    permit = Arc::clone(&permits).acquire_owned().await.ok();
                    continue;
                }
                reply => reply?,
            };
            if status == StatusCode::NOT_FOUND {
                return Err(RegistryError::NoSuchImage(image.clone()));
            }
            budget -= body.len();
            let bad = |reason: String| RegistryError::malformed(image, WHAT, &reason);
            let page = Page::parse(&body).map_err(bad)?;
            let next = page.next(&from, &headers).map_err(bad)?;
            let (before, names) = (tags.len(), page.names);
            tags.extend(page.tags);
            if tags.len() > MOST_TAGS {
                return Err(bad(format!("it has more than {MOST_TAGS} tags")));
            }
            let is_new = tags.len() > before;
            url = match next {
                Some(Next::Link(next)) => next,
                // Nothing new: the registry does not heed `last` either.
                Some(Next::Guess(next)) if is_new => next,
                _ => return Ok(set(tags, permit)),
            };
            if !connection.serves(&url) && url.origin() != from.origin() {
                let image = image.clone();
                let next = without_query(url.as_str());
                return Err(RegistryError::ForeignPage { image, next });
            }
            budget = budget.saturating_sub(url.as_str().len());
            if !seen.insert(url.clone()) {
                if names > 0 && !is_new {
                    return Err(bad("its pages go round".to_owned()));
                }
                return Ok(set(tags, permit));
            }
            if seen.len() > MOST_PAGES {
                return Err(bad(format!("it has more than {MOST_PAGES} pages")));
            }
        }
    }

    fn large_lists(&self, registry: &str) -> Arc<Semaphore> {
        let mut lists = lock(&self.large_lists);
        let new = || Arc::new(Semaphore::new(LARGE_LISTS));
        Arc::clone(lists.entry(registry.to_owned()).or_insert_with(new))
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
        let connection = self.connection(image);
        let url = connection.url(image, &format!("manifests/{tag}")).await?;
        let mut refusal = None;
        if !connection.has_no_head.load(Ordering::Relaxed) {
            let head = manifest_ask(image, Method::HEAD, url.clone());
            match connection.ask(&head).await {
                Ok(reply) if reply.status == StatusCode::NOT_FOUND => return Ok(None),
                Ok(reply) => {
                    let header = reply.headers.get(DIGEST_HEADER);
                    let text = header.and_then(|value| value.to_str().ok());
                    if let Some(digest) = text.and_then(|text| text.parse().ok()) {
                        return Ok(Some(digest));
                    }
                }
                Err(
                    error @ (RegistryError::NoSuchMethod { .. }
                    | RegistryError::Denied { .. }
                    | RegistryError::Status { code: 400..500, .. }),
                ) => refusal = Some(error),
                Err(error) => return Err(error),
            }
        }
        // Both the header and, in practice, the method are optional: the bytes
        // themselves say the same (distribution spec, "Pulling manifests").
        let get = manifest_ask(image, Method::GET, url);
        let reply = match (connection.ask(&get).await, refusal) {
            (Ok(reply), refusal) => {
                if matches!(refusal, Some(RegistryError::NoSuchMethod { .. })) {
                    connection.has_no_head.store(true, Ordering::Relaxed);
                }
                reply
            }
            (Err(RegistryError::NoSuchMethod { .. }), Some(error)) | (Err(error), _) => {
                return Err(error);
            }
        };
        if reply.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let manifest = parse_manifest(image, &reply.body)?;
        let digest = Digest::of(Algorithm::Sha256, &reply.body);
        lock(&self.known).insert((image.clone(), digest.clone()), manifest);
        Ok(Some(digest))
    }

    /// The manifest of each platform that `digest` offers, those of indexes
    /// within an index too. Every byte this is read from has been checked
    /// against the digest it was asked for by.
    ///
    /// # Errors
    /// Where the registry cannot be reached, has nothing of that digest, or
    /// sends something that has another one or is no manifest.
    pub async fn platforms(
        &self,
        image: &ImageName,
        digest: &Digest,
    ) -> Result<IndexPlatforms, RegistryError> {
        const WHAT: &str = "an image configuration";
        let mut found = IndexPlatforms::default();
        let mut asked = BTreeSet::from([digest.clone()]);
        let mut open = vec![digest.clone()];
        while let Some(digest) = open.pop() {
            let known = lock(&self.known)
                .get(&(image.clone(), digest.clone()))
                .cloned();
            let manifest = if let Some(manifest) = known {
                manifest
            } else {
                let body = self.content(image, "manifests", &digest).await?;
                parse_manifest(image, &body)?
            };
            match manifest {
                Manifest::Index { platforms, nested } => {
                    found.extend(platforms);
                    for index in nested.into_iter().rev() {
                        if asked.insert(index.clone()) {
                            open.push(index);
                        }
                        if asked.len() > MOST_NESTED {
                            let reason = format!("it holds more than {MOST_NESTED} indexes");
                            return Err(RegistryError::malformed(image, MANIFEST, &reason));
                        }
                    }
                }
                Manifest::Image { config } => {
                    let body = self.content(image, "blobs", &config).await?;
                    let platform = platform_of_config(&body)
                        .map_err(|reason| RegistryError::malformed(image, WHAT, &reason))?;
                    if let Some(platform) = platform {
                        found.add(platform, digest);
                    }
                }
            }
        }
        Ok(found)
    }

    /// Content by its digest, checked.
    async fn content(
        &self,
        image: &ImageName,
        kind: &str,
        digest: &Digest,
    ) -> Result<Vec<u8>, RegistryError> {
        let connection = self.connection(image);
        let url = connection.url(image, &format!("{kind}/{digest}")).await?;
        let mut ask = manifest_ask(image, Method::GET, url);
        if kind == "blobs" {
            (ask.accept, ask.what, ask.is_pull) = ("*/*", "an image configuration", false);
        }
        let reply = connection.ask(&ask).await?;
        if reply.status == StatusCode::NOT_FOUND {
            return Err(RegistryError::NoSuchDigest {
                image: image.clone(),
                digest: digest.clone(),
            });
        }
        if !digest.matches(&reply.body) {
            return Err(RegistryError::WrongDigest {
                image: image.clone(),
                asked: digest.clone(),
                got: Digest::of(digest.algorithm(), &reply.body),
            });
        }
        Ok(reply.body)
    }

    fn connection(&self, image: &ImageName) -> Arc<Connection> {
        let mut connections = lock(&self.connections);
        let connection = connections
            .entry(image.registry().to_owned())
            .or_insert_with(|| {
                Arc::new(Connection::new(image.registry(), Arc::clone(&self.shared)))
            });
        Arc::clone(connection)
    }
}

fn manifest_ask(image: &ImageName, method: Method, url: Url) -> Ask<'_> {
    Ask {
        image,
        is_pull: method == Method::GET,
        method,
        url,
        accept: accepted(),
        what: MANIFEST,
        limit: LARGEST_MANIFEST,
    }
}

fn parse_manifest(image: &ImageName, body: &[u8]) -> Result<Manifest, RegistryError> {
    Manifest::parse(body).map_err(|reason| RegistryError::malformed(image, MANIFEST, &reason))
}
