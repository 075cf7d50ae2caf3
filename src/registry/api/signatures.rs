//! Signatures of a digest: its referrers (OCI distribution spec, "Listing Referrers"),
//! and the tags under which others are stored.

use oci_client::manifest::OCI_IMAGE_INDEX_MEDIA_TYPE;
use reqwest::{Method, StatusCode};

use super::Api;
use super::manifests::{LARGEST_MANIFEST, check, malformed};
use crate::reference::{Digest, ImageName, Tag};
use crate::registry::address::chosen_by;
use crate::registry::error::{Cause, Content};
use crate::registry::pages::linked_page;
use crate::registry::signature::{
    SignatureLayer, Signatures, StoredSignature, cosign_tag, layers, referrers, referrers_tag,
};

/// Most pages of a list of referrers.
const MAX_PAGES: usize = 8;
/// Largest signature, in bytes. Bundles with provenance have some 20 KiB.
const LARGEST_SIGNATURE: usize = 1 << 20;
/// Most manifests, and most signatures, that are read for one digest.
const MAX_SIGNATURES: usize = 64;

impl Api {
    /// The signatures of `digest`, at most [`MAX_SIGNATURES`].
    pub(in crate::registry) async fn signatures(
        &self,
        image: &ImageName,
        digest: &Digest,
    ) -> Signatures {
        let mut signatures = Signatures::default();
        let listed = self.referrers(image, digest).await;
        let listed = signatures.note(listed, image).unwrap_or_default();
        signatures.unread = listed.len().saturating_sub(MAX_SIGNATURES);
        let mut found = Vec::new();
        for manifest in listed.into_iter().take(MAX_SIGNATURES) {
            let body = self.manifest(image, &manifest).await;
            let layers = body.and_then(|body| parse(&body));
            found.extend(signatures.note(layers, image).unwrap_or_default());
        }
        if let Some(tag) = cosign_tag(digest) {
            let body = self.tagged(image, &tag).await;
            let layers = body.and_then(|body| body.map_or(Ok(Vec::new()), |body| parse(&body)));
            found.extend(signatures.note(layers, image).unwrap_or_default());
        }
        signatures.unread += found.len().saturating_sub(MAX_SIGNATURES);
        for layer in found.into_iter().take(MAX_SIGNATURES) {
            let signature = self.signature(image, layer).await;
            let signature = signatures.note(signature, image);
            signatures.found.extend(signature);
        }
        signatures
    }

    /// The manifests that refer to `digest` and may hold signatures.
    async fn referrers(&self, image: &ImageName, digest: &Digest) -> Result<Vec<Digest>, Cause> {
        let mut next = Some(self.url(image, &format!("referrers/{digest}"))?);
        let mut manifests = Vec::new();
        for page in 0..MAX_PAGES {
            let Some(url) = next else { break };
            let chosen_by = chosen_by(&url, &self.base);
            let get = Self::request(
                image,
                Content::Referrers,
                Method::GET,
                url.clone(),
                OCI_IMAGE_INDEX_MEDIA_TYPE,
            );
            let get = get.at(url, chosen_by).with_limit(LARGEST_MANIFEST);
            let mut response = match self.send(get).await {
                Ok(Some(response)) => response,
                Ok(None) if page > 0 => {
                    let reason = "the registry does not have its next page".to_owned();
                    return Err(malformed(Content::Referrers)(reason));
                }
                Ok(None) => return self.tagged_referrers(image, digest).await,
                Err(cause) if page == 0 && is_unknown_api(&cause) => {
                    return self.tagged_referrers(image, digest).await;
                }
                Err(cause) => return Err(cause),
            };
            let body = response.read(Content::Referrers, LARGEST_MANIFEST).await?;
            manifests.extend(referrers(&body).map_err(malformed(Content::Referrers))?);
            let from = response.url();
            next = linked_page(from, response.headers()).map_err(malformed(Content::Referrers))?;
            if let Some(next) = &next {
                self.check_page(from, next)?;
            }
            if manifests.len() >= MAX_SIGNATURES {
                break;
            }
        }
        Ok(manifests)
    }

    async fn tagged_referrers(
        &self,
        image: &ImageName,
        digest: &Digest,
    ) -> Result<Vec<Digest>, Cause> {
        let Some(tag) = referrers_tag(digest) else {
            return Ok(Vec::new());
        };
        match self.tagged(image, &tag).await? {
            Some(body) => referrers(&body).map_err(malformed(Content::Referrers)),
            None => Ok(Vec::new()),
        }
    }

    /// The manifest or index of `tag`; `None` where there is no such tag.
    async fn tagged(&self, image: &ImageName, tag: &Tag) -> Result<Option<Vec<u8>>, Cause> {
        let get = self.get_manifest(image, &format!("manifests/{tag}"))?;
        match self.send(get).await? {
            Some(mut response) => {
                let bytes = response.read(Content::Manifest, LARGEST_MANIFEST).await?;
                Ok(Some(bytes))
            }
            None => Ok(None),
        }
    }

    async fn signature(
        &self,
        image: &ImageName,
        layer: SignatureLayer,
    ) -> Result<StoredSignature, Cause> {
        let url = self.url(image, &format!("blobs/{}", layer.digest))?;
        let get = Self::request(image, Content::Signature, Method::GET, url, "*/*");
        let response = self.send(get.with_limit(LARGEST_SIGNATURE)).await?;
        let mut response = response.ok_or_else(|| Cause::NoSuchDigest(layer.digest.clone()))?;
        let bytes = response.read(Content::Signature, LARGEST_SIGNATURE).await?;
        check(&bytes, &layer.digest)?;
        Ok(layer.with_content(bytes))
    }
}

fn parse(body: &[u8]) -> Result<Vec<SignatureLayer>, Cause> {
    layers(body).map_err(malformed(Content::Manifest))
}

/// Whether the registry does not know the API: they say so with various statuses.
fn is_unknown_api(cause: &Cause) -> bool {
    let denied = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
    let is_refused = matches!(cause, Cause::Status { status, .. }
        if status.is_client_error() && !denied.contains(status));
    cause.is_unsupported_method() || (is_refused && !cause.is_transient())
}
