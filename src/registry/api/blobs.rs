//! Blobs, streamed (OCI distribution spec, "Pulling blobs").

use bytes::Bytes;
use futures_util::StreamExt as _;
use reqwest::Method;

use super::Api;
use crate::reference::{Digest, Hasher, ImageName};
use crate::registry::error::{Cause, Content, RegistryError};
use crate::registry::transport::Body;

/// A blob that is being read, in memory a chunk at a time.
pub struct Blob {
    image: ImageName,
    digest: Digest,
    size: Option<u64>,
    body: Body,
    hasher: Option<Hasher>,
}

impl Blob {
    /// The size that the registry declares, in bytes.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// The next chunk. `None` comes after the last one, and only where all of them
    /// together have the digest of the blob.
    ///
    /// # Errors
    /// Where the connection breaks, or the content has another digest: then none of
    /// the chunks may be used.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, RegistryError> {
        let chunk = self.next().await;
        chunk.map_err(|cause| cause.of(&self.image))
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Cause> {
        if let Some(chunk) = self.body.next().await {
            let chunk = chunk?;
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&chunk);
            }
            return Ok(Some(chunk));
        }
        match self.hasher.take().map(Hasher::finish) {
            Some(found) if found != self.digest => Err(Cause::WrongDigest {
                expected: self.digest.clone(),
                found,
            }),
            _ => Ok(None),
        }
    }
}

impl Api {
    /// The blob of this digest.
    pub(in crate::registry) async fn blob(
        &self,
        image: &ImageName,
        digest: &Digest,
    ) -> Result<Blob, Cause> {
        let url = self.url(image, &format!("blobs/{digest}"))?;
        let get = Self::request(image, Content::Blob, Method::GET, url, "*/*");
        let response = self.send(get).await?;
        let response = response.ok_or_else(|| Cause::NoSuchDigest(digest.clone()))?;
        Ok(Blob {
            image: image.clone(),
            digest: digest.clone(),
            size: response.content_length(),
            body: response.into_body(),
            hasher: Some(Hasher::new(digest.algorithm())),
        })
    }
}
