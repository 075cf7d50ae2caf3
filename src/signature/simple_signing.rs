//! Signatures that cosign 1 and 2 store under a `.sig` tag (cosign, "Signature
//! Specification"): a simple signing payload, and the rest in annotations of its layer.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;
use sigstore_verify::crypto::sha256;
use sigstore_verify::types::{Bundle, DerCertificate, Sha256Hash, SignatureBytes};

use super::invalid;
use crate::reference::Digest;
use crate::refresh::Refusal;

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
/// The log entry.
const BUNDLE: &str = "dev.sigstore.cosign/bundle";
/// What a payload is, in `critical.type`.
const TYPE: &str = "cosign container image signature";

type Annotations = BTreeMap<String, String>;

/// What the log has returned for a signature.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LogBundle {
    signed_entry_timestamp: String,
    payload: LogEntry,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogEntry {
    body: String,
    integrated_time: i64,
    log_index: i64,
    #[serde(rename = "logID")]
    log_id: String,
}

/// The signature of a payload.
pub(super) fn signature(annotations: &Annotations) -> Result<SignatureBytes, Refusal> {
    let text = annotations.get(SIGNATURE);
    let text = text.ok_or_else(|| invalid("it has no signature"))?;
    SignatureBytes::from_base64(text).map_err(invalid)
}

/// The same signature as a bundle of version 0.1, in which a signed entry timestamp is
/// the proof of inclusion in the log.
pub(super) fn bundle(payload: &[u8], annotations: &Annotations) -> Result<Bundle, Refusal> {
    let certificate = annotations.get(CERTIFICATE).ok_or(Refusal::WithKey)?;
    let certificate = DerCertificate::from_pem(certificate).map_err(invalid)?;
    let log = annotations.get(BUNDLE);
    let log = log.ok_or_else(|| invalid("it is in no log"))?;
    let log: LogBundle = serde_json::from_str(log).map_err(invalid)?;
    let entry = log.payload;
    let log_id = Sha256Hash::from_hex(&entry.log_id).map_err(invalid)?;
    let bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1",
        "verificationMaterial": {
            "x509CertificateChain": { "certificates": [{ "rawBytes": certificate.to_base64() }] },
            "tlogEntries": [{
                "logIndex": entry.log_index.to_string(),
                "logId": { "keyId": log_id.to_base64() },
                "kindVersion": { "kind": "hashedrekord", "version": "0.0.1" },
                "integratedTime": entry.integrated_time.to_string(),
                "inclusionPromise": { "signedEntryTimestamp": log.signed_entry_timestamp },
                "canonicalizedBody": entry.body,
            }],
        },
        "messageSignature": {
            "messageDigest": { "algorithm": "SHA2_256", "digest": sha256(payload).to_base64() },
            "signature": signature(annotations)?.to_base64(),
        },
    });
    Bundle::from_json(&bundle.to_string()).map_err(invalid)
}

/// Fails unless a payload, whose signature has been verified, is of `digest`.
pub(super) fn check(payload: &[u8], digest: &Digest) -> Result<(), Refusal> {
    #[derive(Deserialize)]
    struct Payload {
        critical: Critical,
    }
    #[derive(Deserialize)]
    struct Critical {
        r#type: String,
        image: Image,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Image {
        docker_manifest_digest: String,
    }
    let payload: Payload = serde_json::from_slice(payload).map_err(invalid)?;
    let Critical { r#type, image } = payload.critical;
    if r#type != TYPE {
        return Err(Refusal::OtherAttestation(r#type));
    }
    if image.docker_manifest_digest != digest.to_string() {
        return Err(Refusal::OtherDigest);
    }
    Ok(())
}
