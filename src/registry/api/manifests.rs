//! Digests and manifests (OCI distribution spec, "Pulling manifests").

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use reqwest::{Method, StatusCode};

use super::Api;
use crate::lock::lock;
use crate::reference::{Algorithm, Digest, ImageName, Tag};
use crate::registry::content::ImageContent;
use crate::registry::error::{Cause, Content};
use crate::registry::manifest::{ACCEPTED, IndexPlatforms, Manifest, platform_of_config};
use crate::registry::transport::{Request, Response};

/// Largest manifest or image configuration, in bytes (registries set this limit).
pub(super) const LARGEST_MANIFEST: usize = 4 << 20;
/// Most indexes that are read for one digest.
const MAX_INDEXES: usize = 32;
const DIGEST_HEADER: &str = "docker-content-digest";

impl Api {
    /// The digest of `tag`; `None` where there is no such tag. Costs a HEAD, which
    /// registries do not count as a pull.
    pub(in crate::registry) async fn digest(
        &self,
        image: &ImageName,
        tag: &Tag,
    ) -> Result<Option<Digest>, Cause> {
        let path = format!("manifests/{tag}");
        let head = if self.has_no_head.load(Ordering::Relaxed) {
            Head::Unusable(None)
        } else {
            self.head(image, &path).await?
        };
        let refusal = match head {
            Head::NoSuchTag => return Ok(None),
            Head::Digest(digest) => return Ok(Some(digest)),
            Head::Unusable(refusal) => refusal,
        };
        let is_unsupported = refusal.as_ref().is_some_and(Cause::is_unsupported_method);
        let response = match self.send(self.get_manifest(image, &path)?).await {
            Ok(response) => response,
            Err(cause) if cause.is_unsupported_method() => return Err(refusal.unwrap_or(cause)),
            Err(cause) => return Err(cause),
        };
        if is_unsupported {
            self.has_no_head.store(true, Ordering::Relaxed);
        }
        let Some(mut response) = response else {
            return Ok(None);
        };
        let stated = digest_header(&response);
        let bytes = response.read(Content::Manifest, LARGEST_MANIFEST).await?;
        if let Some(stated) = stated {
            check(&bytes, &stated)?;
        }
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        let key = (image.clone(), digest.clone());
        Manifest::parse(&bytes).map_err(malformed(Content::Manifest))?;
        lock(&self.manifests).insert(key, bytes);
        Ok(Some(digest))
    }

    /// Whether the registry has the manifest or index of this digest.
    pub(in crate::registry) async fn serves(
        &self,
        image: &ImageName,
        digest: &Digest,
    ) -> Result<bool, Cause> {
        match self.head(image, &format!("manifests/{digest}")).await? {
            Head::NoSuchTag => return Ok(false),
            Head::Digest(found) if found == *digest => return Ok(true),
            Head::Digest(_) | Head::Unusable(_) => {}
        }
        match self.manifest(image, digest).await {
            Ok(_) => Ok(true),
            Err(Cause::NoSuchDigest(_)) => Ok(false),
            Err(cause) => Err(cause),
        }
    }

    async fn head(&self, image: &ImageName, path: &str) -> Result<Head, Cause> {
        let url = self.url(image, path)?;
        let head = Self::request(image, Content::Manifest, Method::HEAD, url, ACCEPTED);
        let refused = match self.send(head).await {
            Ok(None) => return Ok(Head::NoSuchTag),
            Ok(Some(response)) => {
                return Ok(match digest_header(&response) {
                    Some(digest) => Head::Digest(digest),
                    None => Head::Unusable(None),
                });
            }
            Err(cause) => cause,
        };
        match &refused {
            Cause::Denied { .. } => Ok(Head::Unusable(Some(refused))),
            Cause::Status { status, .. }
                if *status != StatusCode::TOO_MANY_REQUESTS
                    && (status.is_client_error() || refused.is_unsupported_method()) =>
            {
                Ok(Head::Unusable(Some(refused)))
            }
            _ => Err(refused),
        }
    }

    /// The bytes of the manifest or index of this digest, checked against it.
    pub(in crate::registry) async fn manifest(
        &self,
        image: &ImageName,
        digest: &Digest,
    ) -> Result<Vec<u8>, Cause> {
        let get = self.get_manifest(image, &format!("manifests/{digest}"))?;
        self.content(get, digest).await
    }

    /// The image manifest of each platform of the index, or image, of this digest,
    /// those of indexes within it too.
    pub(in crate::registry) async fn platforms(
        &self,
        image: &ImageName,
        digest: &Digest,
    ) -> Result<IndexPlatforms, Cause> {
        let mut found = IndexPlatforms::default();
        let mut requested = BTreeSet::from([digest.clone()]);
        let mut open = vec![digest.clone()];
        while let Some(digest) = open.pop() {
            let bytes = self.known_manifest(image, &digest).await?;
            let manifest = Manifest::parse(&bytes).map_err(malformed(Content::Manifest))?;
            match manifest {
                Manifest::Index { platforms, nested } => {
                    found.extend(platforms);
                    for index in nested.into_iter().rev() {
                        if requested.insert(index.clone()) {
                            open.push(index);
                        }
                        if requested.len() > MAX_INDEXES {
                            let reason = format!("it holds more than {MAX_INDEXES} indexes");
                            return Err(malformed(Content::Manifest)(reason));
                        }
                    }
                }
                Manifest::Image { config } => {
                    found.all.insert(digest.clone());
                    let config = self.configuration(image, &config).await?;
                    let platform =
                        platform_of_config(&config).map_err(malformed(Content::Configuration))?;
                    if let Some(platform) = platform {
                        found.add(platform, digest);
                        found.image_manifest = Some(bytes);
                    }
                }
            }
        }
        Ok(found)
    }

    /// The layers, annotations and labels of the image of this manifest. Costs a pull
    /// and a blob.
    pub(in crate::registry) async fn image_content(
        &self,
        image: &ImageName,
        digest: &Digest,
    ) -> Result<ImageContent, Cause> {
        let body = self.known_manifest(image, digest).await?;
        let content = ImageContent::of_manifest(&body);
        let (config, content) = content.map_err(malformed(Content::Manifest))?;
        let body = self.configuration(image, &config).await?;
        let content = content.with_configuration(&body);
        content.map_err(malformed(Content::Configuration))
    }

    /// As [`manifest`](Self::manifest), without a request for one that came with the
    /// digest of a tag.
    async fn known_manifest(&self, image: &ImageName, digest: &Digest) -> Result<Vec<u8>, Cause> {
        let key = (image.clone(), digest.clone());
        let known = lock(&self.manifests).get(&key).cloned();
        match known {
            Some(bytes) => Ok(bytes),
            None => self.manifest(image, digest).await,
        }
    }

    async fn configuration(&self, image: &ImageName, digest: &Digest) -> Result<Vec<u8>, Cause> {
        let url = self.url(image, &format!("blobs/{digest}"))?;
        let get = Self::request(image, Content::Configuration, Method::GET, url, "*/*");
        self.content(get.with_limit(LARGEST_MANIFEST), digest).await
    }

    pub(super) fn get_manifest(&self, image: &ImageName, path: &str) -> Result<Request, Cause> {
        let url = self.url(image, path)?;
        let get = Self::request(image, Content::Manifest, Method::GET, url, ACCEPTED);
        Ok(get.with_limit(LARGEST_MANIFEST).with_pull())
    }

    /// The bytes that `request` gets, checked against `digest`.
    async fn content(&self, request: Request, digest: &Digest) -> Result<Vec<u8>, Cause> {
        let content = request.content();
        let response = self.send(request).await?;
        let mut response = response.ok_or_else(|| Cause::NoSuchDigest(digest.clone()))?;
        let bytes = response.read(content, LARGEST_MANIFEST).await?;
        check(&bytes, digest)?;
        Ok(bytes)
    }
}

/// Fails unless `bytes` have this digest.
pub(super) fn check(bytes: &[u8], digest: &Digest) -> Result<(), Cause> {
    if digest.matches(bytes) {
        return Ok(());
    }
    Err(Cause::WrongDigest {
        expected: digest.clone(),
        found: Digest::of(digest.algorithm(), bytes),
    })
}

/// What a HEAD for a tag says.
enum Head {
    NoSuchTag,
    Digest(Digest),
    /// Nothing, or an error that a GET may not have: the method and the header are
    /// optional in practice.
    Unusable(Option<Cause>),
}

fn digest_header(response: &Response) -> Option<Digest> {
    let header = response.headers().get(DIGEST_HEADER)?;
    header.to_str().ok()?.parse().ok()
}

pub(super) fn malformed(content: Content) -> impl Fn(String) -> Cause {
    move |reason| Cause::Malformed { content, reason }
}
