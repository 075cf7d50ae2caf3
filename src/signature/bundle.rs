//! Sigstore bundles (Sigstore, "Bundle Format"), versions 0.1 to 0.3.

use sigstore_verify::types::bundle::VerificationMaterialContent;
use sigstore_verify::types::{Bundle, DsseEnvelope, SignatureContent, Statement};

use super::invalid;
use crate::images::Claim;
use crate::refresh::Refusal;

/// The type of in-toto statements in an envelope (in-toto attestation, "Envelope").
const STATEMENT: &str = "application/vnd.in-toto+json";
/// The predicate type of `cosign sign`.
const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";
/// The predicate types of SLSA provenance.
const PROVENANCE: [&str; 2] = [
    "https://slsa.dev/provenance/v1",
    "https://slsa.dev/provenance/v0.2",
];

/// Parses the text of a bundle.
pub(super) fn parse(text: &[u8]) -> Result<Bundle, Refusal> {
    let text = std::str::from_utf8(text);
    let text = text.map_err(invalid)?;
    Bundle::from_json(text).map_err(invalid)
}

/// What the bundle claims, if it is valid. That is not known yet.
pub(super) fn claim(bundle: &Bundle) -> Result<Claim, Refusal> {
    if let VerificationMaterialContent::PublicKey(_) = bundle.verification_material.content {
        return Err(Refusal::WithKey);
    }
    match &bundle.content {
        SignatureContent::MessageSignature(_) => Ok(Claim::Signature),
        SignatureContent::DsseEnvelope(envelope) => claim_of(&statement(envelope)?),
        _ => Err(invalid("it has no signature")),
    }
}

/// What a statement claims.
pub(super) fn claim_of(statement: &Statement) -> Result<Claim, Refusal> {
    match statement.predicate_type.as_str() {
        SIGN => Ok(Claim::Signature),
        other if PROVENANCE.contains(&other) => Ok(Claim::Provenance),
        other => Err(Refusal::OtherAttestation(other.to_owned())),
    }
}

/// The statement of an envelope.
pub(super) fn statement(envelope: &DsseEnvelope) -> Result<Statement, Refusal> {
    if envelope.payload_type != STATEMENT {
        return Err(Refusal::OtherAttestation(envelope.payload_type.clone()));
    }
    let statement = serde_json::from_slice(envelope.payload.as_bytes());
    statement.map_err(invalid)
}
