//! Signatures: whatever a registry stores, none is valid.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use nix_oci_hashes::reference::{Algorithm, Digest};
use nix_oci_hashes::refresh::Verifier as _;
use nix_oci_hashes::registry::StoredSignature;
use nix_oci_hashes::signature::SigstoreVerifier;

static VERIFIER: LazyLock<SigstoreVerifier> =
    LazyLock::new(|| SigstoreVerifier::new(None, [], Path::new("")).unwrap());

fuzz_target!(|content: &[u8]| {
    let digest = Digest::of(Algorithm::Sha256, b"");
    let bundle = StoredSignature::Bundle(content.to_owned());
    assert!(VERIFIER.signer(&digest, &bundle).is_err());
    // A payload, and its annotations as an object.
    let mut parts = content.splitn(2, |byte| *byte == 0);
    let (payload, annotations) = (parts.next(), parts.next());
    let annotations = annotations.and_then(|text| serde_json::from_slice(text).ok());
    let simple = StoredSignature::SimpleSigning {
        payload: payload.unwrap_or_default().to_owned(),
        annotations: annotations.unwrap_or_default(),
    };
    assert!(VERIFIER.signer(&digest, &simple).is_err());
});
