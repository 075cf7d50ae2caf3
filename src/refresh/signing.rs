//! Verifies the signatures of new digests with `signedBy`.

use std::collections::{BTreeMap, BTreeSet};

use super::admission::{Hold, HoldReason};
use super::fetch;
use super::report::Problem;
use super::verifier::{Refusal, Unsigned, Verifier};
use crate::images::{Claim, SignedBy};
use crate::reference::{Digest, ImageName, Platform, Tag};
use crate::registry::{Client, RegistryError, Signatures, StoredSignature};
use crate::table::{Pin, Pins};

/// The inputs of a verification.
pub(super) struct Signing<'a, V> {
    pub(super) client: &'a Client,
    pub(super) image: &'a ImageName,
    pub(super) policy: &'a SignedBy,
    pub(super) old_pins: &'a Pins,
    pub(super) verifier: &'a V,
}

/// Whether a digest has a signature that satisfies the policy.
enum Verdict {
    Signed,
    Unsigned(Unsigned),
    /// The registry could not say.
    Failed(RegistryError),
}

type Verdicts = BTreeMap<Digest, Verdict>;

impl<V: Verifier> Signing<'_, V> {
    /// Takes back each new digest, and each new platform, in `pins` that has no signature
    /// which satisfies the policy: of the index, or of every platform of the pin. Returns
    /// what is held, and the requests that have failed.
    pub(super) async fn run(&self, pins: &mut Pins) -> (Vec<Hold>, Vec<Problem>) {
        let new: BTreeMap<Tag, Pin> = pins
            .iter()
            .filter(|(tag, pin)| self.is_new(tag, pin))
            .map(|(tag, pin)| (tag.clone(), Pin::clone(pin)))
            .collect();
        let indexes = new.values().map(|pin| pin.digest.clone()).collect();
        let mut verdicts = self.verdicts(indexes).await;
        let open = new
            .values()
            .filter(|pin| !is_signed(&verdicts, &pin.digest));
        let platforms = open.flat_map(|pin| pin.platforms.values().cloned());
        let platforms: BTreeSet<Digest> = platforms
            .filter(|digest| !verdicts.contains_key(digest))
            .collect();
        verdicts.extend(self.verdicts(platforms).await);

        let mut holds = Vec::new();
        let mut problems = Vec::new();
        for (tag, pin) in new {
            match self.verdict(&pin, &verdicts) {
                Verdict::Signed => continue,
                Verdict::Unsigned(unsigned) => {
                    holds.push((tag.clone(), pin.digest, HoldReason::Unsigned(unsigned)));
                }
                Verdict::Failed(error) => problems.push(Problem::Tag {
                    tag: tag.clone(),
                    error,
                }),
            }
            match self.old_pins.get(&tag) {
                Some(old) => pins.insert(tag, old.clone()),
                None => pins.remove(&tag),
            };
        }
        (holds, problems)
    }

    /// Whether the pin has a digest or a platform that was not pinned for the tag.
    fn is_new(&self, tag: &Tag, pin: &Pin) -> bool {
        let Some(old) = self.old_pins.get(tag) else {
            return true;
        };
        let mut platforms = pin.platforms.iter();
        old.digest != pin.digest
            || platforms.any(|(platform, digest)| old.platforms.get(platform) != Some(digest))
    }

    async fn verdicts(&self, digests: BTreeSet<Digest>) -> Verdicts {
        let verdicts = fetch::each(digests.into_iter(), async |digest| {
            let signatures = self.client.signatures(self.image, &digest).await;
            let verdict = self.verify(&digest, signatures);
            (digest, verdict)
        });
        verdicts.await.into_iter().collect()
    }

    fn verify(&self, digest: &Digest, signatures: Signatures) -> Verdict {
        let mut unsigned = Unsigned::new(self.policy);
        for signature in &signatures.found {
            match self.accept(digest, signature) {
                Ok(()) => return Verdict::Signed,
                Err(refusal) => unsigned.add(refusal),
            }
        }
        unsigned.add_unverified(&signatures);
        if let Some(error) = signatures.failure {
            return Verdict::Failed(error);
        }
        Verdict::Unsigned(unsigned)
    }

    fn accept(&self, digest: &Digest, signature: &StoredSignature) -> Result<(), Refusal> {
        if let SignedBy::Key(path) = self.policy {
            return self.verifier.verify_key(path, digest, signature);
        }
        let (signer, claim) = self.verifier.signer(digest, signature)?;
        if self.policy.accepts(&signer, claim) {
            Ok(())
        } else if self.policy.accepts(&signer, Claim::Signature) {
            Err(Refusal::Provenance)
        } else {
            Err(Refusal::OtherSigner(signer))
        }
    }

    /// The verdict on a pin: its index is signed, or each of its platforms.
    fn verdict(&self, pin: &Pin, verdicts: &Verdicts) -> Verdict {
        let mut failure = None;
        let mut unsigned = match verdicts.get(&pin.digest) {
            Some(Verdict::Signed) => return Verdict::Signed,
            Some(Verdict::Unsigned(unsigned)) => unsigned.clone(),
            Some(Verdict::Failed(error)) => {
                failure = Some(error);
                Unsigned::new(self.policy)
            }
            None => Unsigned::new(self.policy),
        };
        let mut signed: Vec<Platform> = Vec::new();
        for (platform, digest) in &pin.platforms {
            match verdicts.get(digest) {
                Some(Verdict::Signed) => signed.push(platform.clone()),
                Some(Verdict::Failed(error)) => failure = failure.or(Some(error)),
                Some(Verdict::Unsigned(of_platform)) => {
                    let refusals = of_platform.refusals.iter().cloned();
                    refusals.for_each(|refusal| unsigned.add(refusal));
                }
                None => {}
            }
        }
        if !signed.is_empty() && signed.len() == pin.platforms.len() {
            return Verdict::Signed;
        }
        if let Some(error) = failure {
            return Verdict::Failed(error.clone());
        }
        unsigned.signed_platforms = signed;
        Verdict::Unsigned(unsigned)
    }
}

fn is_signed(verdicts: &Verdicts, digest: &Digest) -> bool {
    matches!(verdicts.get(digest), Some(Verdict::Signed))
}
