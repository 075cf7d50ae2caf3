//! Verifies signatures of images with Sigstore's trusted root, or one of its own, and
//! with keys. Sends no requests.

mod bundle;
mod key;
mod simple_signing;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use sigstore_verify::trust_root::{SigstoreInstance, TrustedRoot};
use sigstore_verify::types::{Bundle, DerPublicKey, Sha256Hash};
use sigstore_verify::{
    CertificateError, Error, SubjectAltName, TimestampError, TransparencyLogError,
    VerificationPolicy, VerificationResult,
};

use crate::images::{Claim, Signer};
use crate::json::{self, FileError};
use crate::reference::{Algorithm, Digest};
use crate::refresh::{Refusal, Verifier};
use crate::registry::StoredSignature;

const ROOT_REMEDY: &str = "name the trusted_root.json of your Sigstore";
const KEY_REMEDY: &str = "'key' in images.json is the path, from its folder, of a public key in PEM, as \
     'cosign public-key' prints it";

/// Verifies with one trusted root, and the keys of images.json.
pub struct SigstoreVerifier {
    root: TrustedRoot,
    verifier: sigstore_verify::Verifier,
    policy: VerificationPolicy,
    /// The keys, by their paths in images.json, or why one cannot be read.
    keys: BTreeMap<PathBuf, Result<DerPublicKey, FileError>>,
}

impl SigstoreVerifier {
    /// A verifier with the trusted root in `file`, or with that of Sigstore's public
    /// instance as of this build. `keys` are paths from `folder`.
    ///
    /// # Errors
    /// Where the root cannot be read.
    pub fn new<'a>(
        file: Option<&Path>,
        keys: impl IntoIterator<Item = &'a Path>,
        folder: &Path,
    ) -> Result<Self, FileError> {
        let root = trusted_root(file)?;
        let verifier = sigstore_verify::Verifier::new(&root)
            .map_err(|error| FileError::new(name_of(file), error, ROOT_REMEDY))?;
        let policy = VerificationPolicy::any_identity();
        // A private Sigstore may have no log of its certificates.
        let policy = if root.ctlogs.is_empty() {
            policy.skip_sct()
        } else {
            policy
        };
        let keys = keys.into_iter().map(|path| {
            let key = public_key(&folder.join(path));
            (path.to_owned(), key)
        });
        Ok(Self {
            root,
            verifier,
            policy,
            keys: keys.collect(),
        })
    }

    /// Who has signed the artifact of a bundle, which may be bytes or a digest.
    fn verify<'a>(
        &self,
        artifact: impl Into<sigstore_verify::types::Artifact<'a>>,
        bundle: &Bundle,
    ) -> Result<Signer, Refusal> {
        let result = self.verifier.verify(artifact, bundle, &self.policy);
        let result = result.map_err(|error| self.refusal(bundle, &error))?;
        signer(&result).ok_or_else(|| invalid("its certificate names no issuer or no identity"))
    }

    fn refusal(&self, bundle: &Bundle, error: &Error) -> Refusal {
        let reason = error.to_string();
        let entries = &bundle.verification_material.tlog_entries;
        let has_unknown_log = entries.iter().any(|entry| {
            let mut known = self.root.tlogs.iter();
            !known.any(|log| log.log_id.key_id == entry.log_id.key_id)
        });
        match error {
            Error::ArtifactMismatch(_) => Refusal::OtherDigest,
            Error::Certificate(
                CertificateError::ChainInvalid(_)
                | CertificateError::NoValidAuthority { .. }
                | CertificateError::Sct(_),
            )
            | Error::Timestamp(
                TimestampError::Invalid(_) | TimestampError::OutsideAuthorityValidity { .. },
            )
            | Error::TransparencyLog(TransparencyLogError::UnknownLog { .. }) => {
                Refusal::Untrusted(reason)
            }
            _ if has_unknown_log => Refusal::Untrusted(reason),
            _ => Refusal::Invalid(reason),
        }
    }
}

impl Verifier for SigstoreVerifier {
    fn signer(
        &self,
        digest: &Digest,
        signature: &StoredSignature,
    ) -> Result<(Signer, Claim), Refusal> {
        let hash = sha256(digest)?;
        match signature {
            StoredSignature::Bundle(text) => {
                let bundle = bundle::parse(text)?;
                let claim = bundle::claim(&bundle)?;
                Ok((self.verify(hash, &bundle)?, claim))
            }
            StoredSignature::SimpleSigning {
                payload,
                annotations,
            } => {
                let bundle = simple_signing::bundle(payload, annotations)?;
                let signer = self.verify(payload.as_slice(), &bundle)?;
                simple_signing::check(payload, digest)?;
                Ok((signer, Claim::Signature))
            }
        }
    }

    fn verify_key(
        &self,
        path: &Path,
        digest: &Digest,
        signature: &StoredSignature,
    ) -> Result<(), Refusal> {
        let unread = || invalid("its key has not been read");
        let key = self.keys.get(path).ok_or_else(unread)?;
        let no_key = |error: &FileError| Refusal::NoKey(error.to_string());
        let key = key.as_ref().map_err(no_key)?;
        match signature {
            StoredSignature::Bundle(text) => {
                key::verify_bundle(key, &sha256(digest)?, &bundle::parse(text)?)
            }
            StoredSignature::SimpleSigning {
                payload,
                annotations,
            } => {
                let signature = simple_signing::signature(annotations)?;
                key::verify(key, payload, &signature)?;
                simple_signing::check(payload, digest)
            }
        }
    }
}

fn trusted_root(file: Option<&Path>) -> Result<TrustedRoot, FileError> {
    let root = match file {
        Some(path) => TrustedRoot::from_json(&read(path, ROOT_REMEDY)?),
        None => TrustedRoot::from_embedded(SigstoreInstance::PublicGood),
    };
    root.map_err(|error| FileError::new(name_of(file), error, ROOT_REMEDY))
}

fn name_of(root: Option<&Path>) -> impl fmt::Display {
    root.map_or("the trusted root".into(), Path::to_string_lossy)
}

/// Fails unless there is a public key in this PEM file.
///
/// # Errors
/// Where it cannot be read.
pub fn check_key(path: &Path) -> Result<(), FileError> {
    public_key(path).map(drop)
}

/// The public key in a PEM file.
fn public_key(path: &Path) -> Result<DerPublicKey, FileError> {
    let text = read(path, KEY_REMEDY)?;
    let error = |reason: &dyn fmt::Display| FileError::new(path.display(), reason, KEY_REMEDY);
    let key = DerPublicKey::from_pem(&text).map_err(|reason| error(&reason))?;
    key::scheme(&key).map_err(|reason| error(&reason))?;
    Ok(key)
}

fn read(path: &Path, remedy: &str) -> Result<String, FileError> {
    let text = String::from_utf8(json::read_file(path, remedy)?);
    text.map_err(|error| FileError::new(path.display(), error, remedy))
}

/// The digest as Sigstore has it.
fn sha256(digest: &Digest) -> Result<Sha256Hash, Refusal> {
    let text = digest.to_string();
    let hex = text.split_once(':').map(|(_, hex)| hex).unwrap_or_default();
    let is_sha256 = digest.algorithm() == Algorithm::Sha256;
    let hash = is_sha256.then(|| Sha256Hash::from_hex(hex).ok()).flatten();
    hash.ok_or_else(|| invalid("only SHA-256 digests are signed"))
}

#[allow(clippy::needless_pass_by_value, reason = "`map_err` passes values")]
fn invalid(reason: impl ToString) -> Refusal {
    Refusal::Invalid(reason.to_string())
}

fn signer(result: &VerificationResult) -> Option<Signer> {
    let repository = |certificate: &sigstore_verify::crypto::CertificateInfo| {
        certificate.ci_claims.source_repository_uri.clone()
    };
    Some(Signer {
        issuer: result.issuer()?.to_owned(),
        identity: result.identity()?.as_str().to_owned(),
        is_email: matches!(result.identity()?, SubjectAltName::Email(_)),
        repository: result.certificate().and_then(repository),
    })
}

#[cfg(test)]
mod tests;
