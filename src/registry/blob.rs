//! A blob as a stream: resumed where the connection breaks, and checked at its end.

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use tokio::time::sleep;

use super::Client;
use super::api::BlobPart;
use super::error::{Cause, Content, RegistryError};
use super::throttle::backoff;
use crate::reference::{Digest, Hasher, ImageName};

/// Most times that one blob is resumed.
const MAX_RESUMES: u32 = 100;

/// A blob that is being read, in memory a chunk at a time.
pub struct Blob<'a> {
    client: &'a Client,
    image: ImageName,
    digest: Digest,
    part: BlobPart,
    /// The size of the blob in bytes.
    size: u64,
    /// How many bytes have been read.
    offset: u64,
    hasher: Option<Hasher>,
    resumes: u32,
    /// Broken connections since the last one that brought something.
    failures: u32,
    /// The error that ended the stream.
    error: Option<RegistryError>,
}

impl<'a> Blob<'a> {
    /// The blob of `digest`, of `size` bytes if that is known.
    pub(super) async fn open(
        client: &'a Client,
        image: &ImageName,
        digest: &Digest,
        size: Option<u64>,
    ) -> Result<Self, RegistryError> {
        let part = client.blob_part(image, digest, 0).await?;
        let of_blob = |cause: Cause| cause.of(image);
        let size = match (size, part.size) {
            (Some(expected), Some(found)) if expected != found => {
                return Err(of_blob(Cause::WrongSize { expected, found }));
            }
            (Some(size), _) | (None, Some(size)) => size,
            (None, None) => return Err(of_blob(Cause::UnknownSize)),
        };
        Ok(Self {
            client,
            image: image.clone(),
            digest: digest.clone(),
            part,
            size,
            offset: 0,
            hasher: Some(Hasher::new(digest.algorithm())),
            resumes: 0,
            failures: 0,
            error: None,
        })
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The next chunk. `None` comes after the last one, and only where all of them
    /// together have the digest of the blob. A broken connection is resumed.
    ///
    /// # Errors
    /// Where the connection stays broken, or the content has another size or digest:
    /// then none of the chunks may be used.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, RegistryError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let chunk = self.resumed_chunk().await;
        self.error = chunk.as_ref().err().cloned();
        chunk
    }

    async fn resumed_chunk(&mut self) -> Result<Option<Bytes>, RegistryError> {
        loop {
            let cause = match self.next().await {
                Ok(chunk) => return Ok(chunk),
                Err(cause) => cause,
            };
            let may_resume = self.failures < self.client.retries() && self.resumes < MAX_RESUMES;
            if !cause.is_transient() || !may_resume {
                return Err(cause.of(&self.image));
            }
            // Frees the connection's place among the concurrent requests.
            self.part.body = stream::empty().boxed();
            sleep(backoff(self.failures)).await;
            self.resumes += 1;
            self.failures += 1;
            let part = self
                .client
                .blob_part(&self.image, &self.digest, self.offset);
            self.part = part.await?;
        }
    }

    /// The next chunk of the connection.
    async fn next(&mut self) -> Result<Option<Bytes>, Cause> {
        while self.offset < self.size || self.hasher.is_some() {
            let Some(chunk) = self.part.body.next().await else {
                return self.finish().map(|()| None);
            };
            let mut chunk = match chunk {
                // All of it came before the connection broke.
                Err(cause) if cause.is_transient() && self.offset == self.size => {
                    return self.finish().map(|()| None);
                }
                chunk => chunk?,
            };
            let skipped = self.part.skip.min(chunk.len() as u64);
            self.part.skip -= skipped;
            chunk = chunk.slice(usize::try_from(skipped).unwrap_or(chunk.len())..);
            if chunk.is_empty() {
                continue;
            }
            self.offset += chunk.len() as u64;
            if self.offset > self.size {
                return Err(Cause::TooLarge {
                    content: Content::Blob,
                    limit: usize::try_from(self.size).unwrap_or(usize::MAX),
                });
            }
            self.failures = 0;
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&chunk);
            }
            return Ok(Some(chunk));
        }
        Ok(None)
    }

    /// Checks what has been read, at the end of the body.
    fn finish(&mut self) -> Result<(), Cause> {
        if self.offset < self.size {
            return Err(Cause::CutOff {
                expected: self.size,
                found: self.offset,
            });
        }
        match self.hasher.take().map(Hasher::finish) {
            Some(found) if found != self.digest => Err(Cause::WrongDigest {
                expected: self.digest.clone(),
                found,
            }),
            _ => Ok(()),
        }
    }
}
