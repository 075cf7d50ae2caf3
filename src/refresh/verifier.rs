//! Who has signed a digest: the border to the library that verifies signatures.

use std::fmt;
use std::path::Path;

use crate::images::{Claim, SignedBy, Signer};
use crate::reference::Digest;
use crate::registry::{Signatures, StoredSignature};
use crate::text::{Plain, Quoted};

/// Most manifests of an index whose signatures are looked for.
pub(super) const MAX_MANIFESTS: usize = 64;
/// Most refusals that an error names.
const REFUSALS_SHOWN: usize = 3;

/// Verifies signatures, without requests.
pub trait Verifier {
    /// Who has signed `digest` with a certificate, and what the signature claims.
    ///
    /// # Errors
    /// Where the signature is not valid, is of another digest, or is made with a key.
    fn signer(
        &self,
        digest: &Digest,
        signature: &StoredSignature,
    ) -> Result<(Signer, Claim), Refusal>;

    /// Whether `signature` is one of `digest` with the key that images.json has at `path`.
    ///
    /// # Errors
    /// Where the signature is not valid, or is of another digest.
    fn verify_key(
        &self,
        path: &Path,
        digest: &Digest,
        signature: &StoredSignature,
    ) -> Result<(), Refusal>;
}

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is valid, and the policy does not accept its signer.
    #[error("one is by {}, issuer {}", Quoted(&.0.identity), Quoted(&.0.issuer))]
    OtherSigner(Signer),
    /// The key of the policy cannot be read.
    #[error("{0}")]
    NoKey(String),
    /// It is made with a key, and the policy names a signer.
    #[error("one is made with a key")]
    WithKey,
    /// It is of another digest.
    #[error("one is of another digest")]
    OtherDigest,
    /// It is valid provenance of the signer, which only a policy with `github` accepts.
    #[error("one is provenance, which only 'github' accepts")]
    Provenance,
    /// It is an attestation of another type.
    #[error("one is an attestation of type {}, and no signature", Quoted(.0))]
    OtherAttestation(String),
    /// Its certificate, log entry or timestamp does not chain to the trusted root.
    #[error(
        "one does not chain to the trusted root ({}); if nix-oci-hashes is old, update it; for a private \
         Sigstore, name its trusted root",
        Plain(.0)
    )]
    Untrusted(String),
    /// It is not valid.
    #[error("one is not valid: {}", Plain(.0))]
    Invalid(String),
}

/// Why a digest does not satisfy the policy of its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsigned {
    /// The policy.
    pub policy: SignedBy,
    /// Why no signature of the index counts, without repetitions. Empty if the registry
    /// has none.
    pub refusals: Vec<Refusal>,
    /// Why some could not be read.
    pub unusable: Vec<String>,
    /// How many were not read, since there are too many.
    pub unread: usize,
    /// How many manifests the index has; 0 if it was not fetched.
    pub manifests: usize,
    /// How many of them have a valid signature that satisfies the policy.
    pub signed_manifests: usize,
}

impl Unsigned {
    pub(super) fn new(policy: &SignedBy) -> Self {
        Self {
            policy: policy.clone(),
            refusals: Vec::new(),
            unusable: Vec::new(),
            unread: 0,
            manifests: 0,
            signed_manifests: 0,
        }
    }

    pub(super) fn add(&mut self, refusal: Refusal) {
        if !self.refusals.contains(&refusal) {
            self.refusals.push(refusal);
        }
    }

    /// Whether that stays so: every signature was read, and none would be valid with another
    /// trusted root or key.
    pub(super) fn is_final(&self) -> bool {
        let may_pass =
            |refusal: &Refusal| matches!(refusal, Refusal::Untrusted(_) | Refusal::NoKey(_));
        self.unread == 0 && self.unusable.is_empty() && !self.refusals.iter().any(may_pass)
    }

    /// Adds why a manifest of the index has no signature.
    pub(super) fn join(&mut self, other: &Self) {
        other
            .refusals
            .iter()
            .cloned()
            .for_each(|refusal| self.add(refusal));
        self.unusable.extend(other.unusable.iter().cloned());
        self.unread += other.unread;
    }

    /// Adds what `signatures` say of those that were not verified.
    pub(super) fn add_unverified(&mut self, signatures: &Signatures) {
        let errors = signatures.unusable.iter();
        self.unusable.extend(errors.map(ToString::to_string));
        self.unread += signatures.unread;
    }
}

/// `no signature by { "github": "owner/repo" }: one is ...`
impl fmt::Display for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no signature by {}", self.policy)?;
        let refusals = self.refusals.iter().map(ToString::to_string);
        let reasons: Vec<String> = refusals.chain(self.unusable.iter().cloned()).collect();
        let shown = reasons.len().min(REFUSALS_SHOWN);
        if shown > 0 {
            write!(f, ": {}", reasons[..shown].join("; "))?;
        }
        if reasons.len() > shown {
            write!(f, "; and {} more", reasons.len() - shown)?;
        }
        if self.unread > 0 {
            write!(f, "; {} more were not read", self.unread)?;
        }
        if self.manifests > MAX_MANIFESTS {
            let all = self.manifests;
            write!(
                f,
                "; its index has {all} manifests, too many to verify each"
            )?;
        }
        if self.signed_manifests > 0 {
            let (signed, all) = (self.signed_manifests, self.manifests);
            write!(f, "; of the {all} manifests of its index {signed} have one")?;
        }
        Ok(())
    }
}
