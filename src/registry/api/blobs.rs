//! Blobs (OCI distribution spec, "Pulling blobs").

use reqwest::header::{CONTENT_RANGE, HeaderValue, RANGE};
use reqwest::{Method, StatusCode};

use super::Api;
use crate::reference::{Digest, ImageName};
use crate::registry::error::{Cause, Content};
use crate::registry::transport::{Body, Response};

/// The end of a blob, from some offset on.
pub(in crate::registry) struct BlobPart {
    /// The size of the whole blob that the registry declares, in bytes.
    pub(in crate::registry) size: Option<u64>,
    /// How many bytes of the body come before the offset.
    pub(in crate::registry) skip: u64,
    /// The bytes.
    pub(in crate::registry) body: Body,
}

impl Api {
    /// The blob of this digest, from byte `offset` on (RFC 9110, section 14.2, where
    /// the registry supports it).
    pub(in crate::registry) async fn blob(
        &self,
        image: &ImageName,
        digest: &Digest,
        offset: u64,
    ) -> Result<BlobPart, Cause> {
        let url = self.url(image, &format!("blobs/{digest}"))?;
        let mut get = Self::request(image, Content::Blob, Method::GET, url, "*/*");
        if offset > 0
            && let Ok(range) = HeaderValue::try_from(format!("bytes={offset}-"))
        {
            get = get.with_header(RANGE, range).with_own_deadline();
        }
        let response = self.send(get).await?;
        let response = response.ok_or_else(|| Cause::NoSuchDigest(digest.clone()))?;
        if response.status() != StatusCode::PARTIAL_CONTENT {
            return Ok(BlobPart {
                size: response.content_length(),
                skip: offset,
                body: response.into_body(),
            });
        }
        match content_range(&response) {
            Some((start, size)) if start == offset => Ok(BlobPart {
                size,
                skip: 0,
                body: response.into_body(),
            }),
            _ => Err(Cause::Malformed {
                content: Content::Blob,
                reason: format!("it is not the range from byte {offset} on"),
            }),
        }
    }
}

/// The first byte of a `Content-Range`, and the size of the whole (RFC 9110, section
/// 14.4).
fn content_range(response: &Response) -> Option<(u64, Option<u64>)> {
    let value = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, size) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.parse().ok()?, size.parse().ok()))
}
