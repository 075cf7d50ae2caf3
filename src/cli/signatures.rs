//! The flag of every verb that verifies signatures, and whose signatures an image has.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use nix_oci_hashes::images::{SignedBy, TrackedImage};
use nix_oci_hashes::reference::{Digest, ImageName};
use nix_oci_hashes::refresh::{Refusal, Verifier as _};
use nix_oci_hashes::registry::Client;
use nix_oci_hashes::signature::SigstoreVerifier;

use super::remedy;

/// How signatures are verified.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Signatures")]
pub(super) struct Signatures {
    /// The trusted root of a private Sigstore, for 'signedBy' in images.json [default: that of Sigstore's public
    /// instance, as of this version]
    #[arg(long, value_name = "FILE")]
    trusted_root: Option<PathBuf>,
}

impl Signatures {
    /// A verifier with the keys that `tracked` name, by paths from the folder of the file
    /// `images`.
    pub(super) fn verifier(
        &self,
        tracked: &[TrackedImage],
        images: &Path,
    ) -> Result<SigstoreVerifier> {
        let keys = tracked
            .iter()
            .filter_map(|tracked| match &tracked.signed_by {
                Some(SignedBy::Key(path)) => Some(path.as_path()),
                _ => None,
            });
        let folder = images.parent().unwrap_or(Path::new(""));
        let root = self.trusted_root.as_deref();
        Ok(SigstoreVerifier::new(root, keys, folder)?)
    }
}

/// The policies that the signatures of a digest satisfy.
#[derive(Default)]
pub(super) struct Signers {
    policies: BTreeSet<String>,
    /// Whether one says that it is made with a key.
    has_key: bool,
    /// Why some could not be read.
    failure: Option<String>,
}

impl Signers {
    /// Requests the signatures of `digest`. Leaves out those that are not valid.
    pub(super) async fn of(
        client: &Client,
        verifier: &SigstoreVerifier,
        image: &ImageName,
        digest: &Digest,
    ) -> Self {
        let signatures = client.signatures(image, digest).await;
        let mut signers = Self {
            failure: signatures.failure.as_ref().map(remedy::sentence),
            ..Self::default()
        };
        for signature in signatures.found {
            match verifier.signer(digest, &signature) {
                Ok((signer, claim)) => {
                    let policy = SignedBy::of(&signer, claim);
                    let policy = policy.map(|policy| policy.to_string());
                    signers.policies.extend(policy);
                }
                Err(refusal) => signers.has_key |= refusal == Refusal::WithKey,
            }
        }
        signers
    }
}

/// A line for each policy, or nothing.
impl fmt::Display for Signers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for policy in &self.policies {
            writeln!(
                f,
                "It is signed; to pin nothing else, add \"signedBy\": {policy} to its entry."
            )?;
        }
        if self.has_key {
            writeln!(
                f,
                "It says that it is signed with a key; to pin nothing else, add \"signedBy\": {{ \"key\": \"FILE\" }} with the \
                 project's public key to its entry."
            )?;
        }
        if let Some(failure) = &self.failure {
            writeln!(f, "Its signatures could not be read: {failure}.")?;
        }
        Ok(())
    }
}
