//! Signatures as registries store them: Sigstore bundles and cosign's simple signing
//! payloads, as layers of image manifests (OCI image spec, "Image Manifest").

use std::collections::BTreeMap;

use oci_client::manifest::{IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciManifest};

use super::error::{Cause, RegistryError};
use crate::reference::{Algorithm, Digest, ImageName, Tag};

/// The start of the media types of all versions of the bundle.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
/// The media type of a simple signing payload.
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// What a registry stores as a signature. Nothing in it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredSignature {
    /// The JSON text of a Sigstore bundle.
    Bundle(Vec<u8>),
    /// A simple signing payload of cosign.
    SimpleSigning {
        /// The JSON text that is signed.
        payload: Vec<u8>,
        /// The signature, certificate and log entry: annotations of the layer.
        annotations: BTreeMap<String, String>,
    },
}

/// The signatures that a registry stores for one digest.
#[derive(Debug, Clone, Default)]
pub struct Signatures {
    /// Those that could be read.
    pub found: Vec<StoredSignature>,
    /// Why others could not, and will not be with another try: they are too large, gone,
    /// or not what their digest says.
    pub unusable: Vec<RegistryError>,
    /// How many were not read, since there are too many.
    pub unread: usize,
    /// Why the rest is not known: a request has failed that may succeed later.
    pub failure: Option<RegistryError>,
}

impl Signatures {
    /// The value of `result`, or `None` and its error noted.
    pub(super) fn note<T>(&mut self, result: Result<T, Cause>, image: &ImageName) -> Option<T> {
        match result {
            Ok(value) => return Some(value),
            Err(
                cause @ (Cause::Malformed { .. }
                | Cause::TooLarge { .. }
                | Cause::WrongDigest { .. }
                | Cause::NoSuchDigest(_)
                | Cause::ForeignPage { .. }),
            ) => self.unusable.push(cause.of(image)),
            Err(cause) => {
                self.failure.get_or_insert_with(|| cause.of(image));
            }
        }
        None
    }
}

/// A layer that is a signature.
pub(super) struct SignatureLayer {
    pub(super) digest: Digest,
    is_bundle: bool,
    annotations: BTreeMap<String, String>,
}

impl SignatureLayer {
    pub(super) fn with_content(self, bytes: Vec<u8>) -> StoredSignature {
        if self.is_bundle {
            return StoredSignature::Bundle(bytes);
        }
        StoredSignature::SimpleSigning {
            payload: bytes,
            annotations: self.annotations,
        }
    }
}

/// The manifests in a list of referrers (OCI distribution spec, "Listing Referrers") that
/// may hold signatures. An index among them is left out: no signature is stored as one.
pub(super) fn referrers(body: &[u8]) -> Result<Vec<Digest>, String> {
    let Ok(OciManifest::ImageIndex(index)) = serde_json::from_slice(body) else {
        return Err("it is not a list of referrers".to_owned());
    };
    let manifests = index.manifests.into_iter().filter(|entry| {
        let media_types = [OCI_IMAGE_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE];
        let artifact_type = entry.artifact_type.as_deref();
        media_types.contains(&entry.media_type.as_str())
            && artifact_type.is_none_or(is_signature_type)
    });
    manifests
        .map(|entry| entry.digest.parse().map_err(|error| format!("{error}")))
        .collect()
}

/// Whether artifacts of this type hold signatures.
fn is_signature_type(artifact_type: &str) -> bool {
    artifact_type.starts_with(BUNDLE)
        || artifact_type.starts_with("application/vnd.dev.cosign.artifact.sig.")
}

/// The layers of a manifest that are signatures.
pub(super) fn layers(body: &[u8]) -> Result<Vec<SignatureLayer>, String> {
    let Ok(OciManifest::Image(manifest)) = serde_json::from_slice(body) else {
        return Err("it is no image manifest".to_owned());
    };
    let layers = manifest.layers.into_iter().filter_map(|layer| {
        let is_bundle = layer.media_type.starts_with(BUNDLE);
        (is_bundle || layer.media_type == SIMPLE_SIGNING).then_some((layer, is_bundle))
    });
    layers
        .map(|(layer, is_bundle)| {
            Ok(SignatureLayer {
                digest: layer.digest.parse().map_err(|error| format!("{error}"))?,
                is_bundle,
                annotations: layer.annotations.unwrap_or_default(),
            })
        })
        .collect()
}

/// The tag that lists the referrers of `digest` where a registry does not (OCI
/// distribution spec, "Referrers Tag Schema").
pub(super) fn referrers_tag(digest: &Digest) -> Option<Tag> {
    tag(digest, "")
}

/// The tag under which cosign stores the signatures of `digest`.
pub(super) fn cosign_tag(digest: &Digest) -> Option<Tag> {
    tag(digest, ".sig")
}

/// Signatures of other digests than SHA-256 are not verified.
fn tag(digest: &Digest, suffix: &str) -> Option<Tag> {
    let is_sha256 = digest.algorithm() == Algorithm::Sha256;
    let name = digest.to_string().replace(':', "-");
    is_sha256.then(|| format!("{name}{suffix}").parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(c: char) -> Digest {
        format!("sha256:{}", c.to_string().repeat(64))
            .parse()
            .unwrap()
    }

    #[test]
    fn referrers_of_other_types_and_indexes_are_left_out() {
        let entry = |media_type: &str, artifact_type: Option<&str>, c: char| {
            let digest = digest(c).to_string();
            let mut entry =
                serde_json::json!({ "mediaType": media_type, "digest": digest, "size": 1 });
            if let Some(artifact_type) = artifact_type {
                entry["artifactType"] = artifact_type.into();
            }
            entry
        };
        let bundle = "application/vnd.dev.sigstore.bundle.v0.3+json";
        let index = "application/vnd.oci.image.index.v1+json";
        let list = serde_json::json!({ "schemaVersion": 2, "mediaType": index, "manifests": [
            entry(OCI_IMAGE_MEDIA_TYPE, Some(bundle), 'a'),
            entry(OCI_IMAGE_MEDIA_TYPE, Some("application/spdx+json"), 'b'),
            entry(index, Some(bundle), 'c'),
            entry(OCI_IMAGE_MEDIA_TYPE, None, 'd'),
        ]});
        let found = referrers(list.to_string().as_bytes());
        assert_eq!(found, Ok(vec![digest('a'), digest('d')]));
        for body in ["", "{}", "[]", "null", "{\"manifests\":1}"] {
            assert!(referrers(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn signatures_have_tags_of_their_own() {
        let tags = [referrers_tag(&digest('a')), cosign_tag(&digest('a'))];
        let tags = tags.map(|tag| tag.unwrap().to_string());
        let hex = "a".repeat(64);
        assert_eq!(tags, [format!("sha256-{hex}"), format!("sha256-{hex}.sig")]);
        assert_eq!(cosign_tag(&Digest::of(Algorithm::Sha512, b"")), None);
    }
}
