//! Signatures that are made with a key. The key is the trust: no log is consulted.

use sigstore_verify::crypto::{
    KeyAlgorithm, SigningScheme, verify_signature, verify_signature_prehashed,
};
use sigstore_verify::types::{Bundle, DerPublicKey, Sha256Hash, SignatureBytes, SignatureContent};

use super::bundle::{self, statement};
use super::invalid;
use crate::images::Claim;
use crate::refresh::Refusal;

/// How signatures are made with a key of this kind.
pub(super) fn scheme(key: &DerPublicKey) -> Result<SigningScheme, sigstore_verify::crypto::Error> {
    KeyAlgorithm::from_spki(key).map(|algorithm| algorithm.default_signing_scheme())
}

/// Verifies that `signature` is one of `message` with `key`.
pub(super) fn verify(
    key: &DerPublicKey,
    message: &[u8],
    signature: &SignatureBytes,
) -> Result<(), Refusal> {
    let scheme = scheme(key).map_err(invalid)?;
    verify_signature(key, message, signature, scheme).map_err(invalid)
}

/// Verifies that a bundle is a signature of `digest` with `key`.
pub(super) fn verify_bundle(
    key: &DerPublicKey,
    digest: &Sha256Hash,
    bundle: &Bundle,
) -> Result<(), Refusal> {
    match &bundle.content {
        SignatureContent::MessageSignature(message) => {
            let scheme = scheme(key).map_err(invalid)?;
            verify_signature_prehashed(key, digest.as_slice(), &message.signature, scheme)
                .map_err(invalid)
        }
        SignatureContent::DsseEnvelope(envelope) => {
            let statement = statement(envelope)?;
            if bundle::claim_of(&statement)? != Claim::Signature {
                return Err(Refusal::Provenance);
            }
            if !statement.matches_sha256(digest) {
                return Err(Refusal::OtherDigest);
            }
            verify(key, &envelope.pae(), &envelope.signature.sig)
        }
        _ => Err(invalid("it has no signature")),
    }
}
