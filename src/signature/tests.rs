//! Signatures that Sigstore's public instance has made: bundles in the package of
//! sigstore-verify.

use std::path::PathBuf;
use std::process::Command;

use sigstore_verify::types::SignatureContent;

use super::*;
use crate::images::SignedBy;

/// The file `name` of the package's test data.
fn test_data(name: &str) -> Vec<u8> {
    let run = |command: &mut Command| {
        let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let rustc = run(Command::new("rustc").arg("-vV"));
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: "));
    // Crates for other platforms may not be there.
    let metadata = run(Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--format-version", "1"])
        .args(["--filter-platform", host.unwrap()]));
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages
        .iter()
        .find(|package| package["name"] == "sigstore-verify");
    let manifest = PathBuf::from(package.unwrap()["manifest_path"].as_str().unwrap());
    std::fs::read(manifest.with_file_name("test_data").join(name)).unwrap()
}

fn verifier() -> SigstoreVerifier {
    SigstoreVerifier::new(None, [], Path::new("")).unwrap()
}

fn sha256_of(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

/// Of a wheel that a workflow on GitHub has signed.
const WHEEL: &str = "bundles/bundle_v3_github.whl.sigstore";
const WHEEL_DIGEST: &str =
    "sha256:c4e92e9ecc828bef2aa7dba1de8ac983511f7532a0df11c770d39099a25cf201";

#[test]
fn a_workflow_on_github_has_signed() {
    let bundle = StoredSignature::Bundle(test_data(WHEEL));
    let digest: Digest = WHEEL_DIGEST.parse().unwrap();
    let (signer, claim) = verifier().signer(&digest, &bundle).unwrap();
    let policy: SignedBy =
        serde_json::from_str(r#"{ "github": "trailofbits/rfc8785.py" }"#).unwrap();
    assert_eq!(SignedBy::of(&signer, claim), Some(policy));
    assert_eq!(
        signer.identity,
        "https://github.com/trailofbits/rfc8785.py/.github/workflows/release.yml@refs/tags/v0.1.2"
    );
    let other = verifier().signer(&sha256_of(b"other"), &bundle);
    assert_eq!(other, Err(Refusal::OtherDigest));
}

#[test]
fn an_attestation_of_a_workflow_on_github_is_valid_and_no_signature() {
    let text = test_data("bundles/conda-attestation.sigstore.json");
    let artifact = test_data("bundles/signed-package-2.1.0-hb0f4dca_0.conda");
    let bundle = bundle::parse(&text).unwrap();
    let signer = verifier().verify(artifact.as_slice(), &bundle).unwrap();
    assert_eq!(
        signer.repository.as_deref(),
        Some("https://github.com/prefix-dev/sigstore-example")
    );
    let refusal = verifier().signer(&sha256_of(&artifact), &StoredSignature::Bundle(text));
    assert!(matches!(refusal, Err(Refusal::OtherAttestation(_))));
}

/// Why the digest that a bundle names is not signed.
fn refusal(name: &str) -> Refusal {
    let text = test_data(name);
    let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let digest = &value["messageSignature"]["messageDigest"]["digest"];
    let hash = Sha256Hash::from_base64(digest.as_str().unwrap()).unwrap();
    let digest = format!("sha256:{}", hash.to_hex()).parse().unwrap();
    let signer = verifier().signer(&digest, &StoredSignature::Bundle(text));
    signer.unwrap_err()
}

#[test]
fn what_the_public_instance_does_not_vouch_for_is_refused() {
    // Of its staging instance, whose log and authorities are others.
    for name in [
        "bundles/bundle_cve_2022_36056.txt.sigstore",
        "bundles/othername.sigstore.json",
        "bundles/bundle_no_checkpoint.txt.sigstore",
    ] {
        assert!(matches!(refusal(name), Refusal::Untrusted(_)), "{name}");
    }
    for (name, reason) in [
        (
            "bundles/bundle_no_log_entry.txt.sigstore",
            "must have an inclusion promise",
        ),
        (
            "bundles/bundle_no_cert_v1.txt.sigstore",
            "inclusion proof has no checkpoint",
        ),
        (
            "bundles/bundle_v3_no_signed_time.txt.sigstore.json",
            "no verified timestamp",
        ),
        ("bundles/bundle_invalid_version.txt.sigstore", "media type"),
    ] {
        let refusal = refusal(name).to_string();
        assert!(refusal.contains(reason), "{name}: {refusal}");
    }
}

/// GitHub's own instance signs for private repositories, without a log.
#[test]
fn an_attestation_of_a_private_repository_is_refused() {
    let text = test_data("bundles/github-private-attestation.sigstore.json");
    let bundle = bundle::parse(&text).unwrap();
    let SignatureContent::DsseEnvelope(envelope) = &bundle.content else {
        panic!("an envelope");
    };
    let statement = bundle::statement(envelope).unwrap();
    let mut subjects = statement.subject.iter();
    let hash = subjects.find_map(|subject| subject.digest.sha256).unwrap();
    let refusal = verifier().verify(hash, &bundle).unwrap_err().to_string();
    assert!(refusal.contains("inclusion proof"), "{refusal}");
}

#[test]
fn a_signature_with_a_key_is_verified_with_that_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = Path::new("key.pub");
    let key = test_data("managed-key/key.pub");
    std::fs::write(folder.path().join(path), key).unwrap();
    let verifier = SigstoreVerifier::new(None, [path], folder.path()).unwrap();
    let artifact = sha256_of(&test_data("managed-key/artifact.txt"));
    let bundle = StoredSignature::Bundle(test_data("managed-key/bundle.sigstore.json"));
    assert_eq!(verifier.verify_key(path, &artifact, &bundle), Ok(()));
    assert_eq!(verifier.signer(&artifact, &bundle), Err(Refusal::WithKey));
    let wheel = StoredSignature::Bundle(test_data(WHEEL));
    let digest = WHEEL_DIGEST.parse().unwrap();
    for (digest, bundle) in [(&sha256_of(b"other"), &bundle), (&digest, &wheel)] {
        let refusal = verifier.verify_key(path, digest, bundle);
        assert!(matches!(refusal, Err(Refusal::Invalid(_))), "{refusal:?}");
    }
}
