//! Verifies the signatures of new digests with `signedBy`.

use std::collections::{BTreeMap, BTreeSet};

use super::admission::{Hold, HoldReason};
use super::fetch::{self, Indexes};
use super::report::Problem;
use super::verifier::{MAX_MANIFESTS, Refusal, Unsigned, Verifier};
use crate::images::{Claim, SignedBy};
use crate::reference::{Digest, ImageName, Tag};
use crate::registry::{Client, IndexPlatforms, RegistryError, Signatures, StoredSignature};
use crate::table::{Pin, Pins};

/// The inputs of a verification.
pub(super) struct Signing<'a, V> {
    pub(super) client: &'a Client,
    pub(super) image: &'a ImageName,
    pub(super) policy: &'a SignedBy,
    pub(super) old_pins: &'a Pins,
    /// The indexes that this refresh has fetched already.
    pub(super) read: &'a Indexes,
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
    /// which satisfies the policy: of the index, or of every manifest in it. Returns what is
    /// held, and the requests that have failed.
    pub(super) async fn run(&self, pins: &mut Pins) -> (Vec<Hold>, Vec<Problem>) {
        let new: BTreeMap<Tag, Pin> = pins
            .iter()
            .filter(|(tag, pin)| self.is_new(tag, pin))
            .map(|(tag, pin)| (tag.clone(), Pin::clone(pin)))
            .collect();
        let indexes = new.values().map(|pin| pin.digest.clone()).collect();
        let mut verdicts = self.verdicts(indexes).await;
        let open = new.values().map(|pin| &pin.digest);
        let open: BTreeSet<&Digest> = open
            .filter(|digest| !is_signed(&verdicts, digest))
            .collect();
        let unread = open.iter().copied();
        let unread = unread.filter(|digest| !self.read.contains_key(*digest));
        let fetched = fetch::indexes(self.client, self.image, unread.collect()).await;
        let index = |digest: &Digest| self.read.get(digest).or_else(|| fetched.get(digest));
        let manifests = open.into_iter().filter_map(index).flatten();
        let manifests: BTreeSet<Digest> = manifests
            .filter(|index| index.all.len() <= MAX_MANIFESTS)
            .flat_map(|index| &index.all)
            .filter(|digest| !verdicts.contains_key(*digest))
            .cloned()
            .collect();
        verdicts.extend(self.verdicts(manifests).await);

        let mut holds = Vec::new();
        let mut problems = Vec::new();
        for (tag, pin) in new {
            match self.verdict(&pin, index(&pin.digest), &verdicts) {
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
            match self.verify_one(digest, signature) {
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

    fn verify_one(&self, digest: &Digest, signature: &StoredSignature) -> Result<(), Refusal> {
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

    /// The verdict on a pin: its index is signed, or every manifest in it. Those of tracked
    /// platforms alone are not enough: a runtime may choose another from an unsigned index.
    fn verdict(
        &self,
        pin: &Pin,
        index: Option<&Result<IndexPlatforms, RegistryError>>,
        verdicts: &Verdicts,
    ) -> Verdict {
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
        match index {
            Some(Ok(index)) => {
                unsigned.manifests = index.all.len();
                for digest in index.all.iter().filter(|digest| **digest != pin.digest) {
                    match verdicts.get(digest) {
                        Some(Verdict::Signed) => unsigned.signed_manifests += 1,
                        Some(Verdict::Failed(error)) => failure = failure.or(Some(error)),
                        Some(Verdict::Unsigned(of_manifest)) => unsigned.join(of_manifest),
                        None => {}
                    }
                }
                let is_of_index = pin
                    .platforms
                    .values()
                    .all(|digest| index.all.contains(digest));
                let is_signed = unsigned.signed_manifests == index.all.len();
                if is_of_index && is_signed && !index.all.is_empty() {
                    return Verdict::Signed;
                }
            }
            Some(Err(error)) => failure = failure.or(Some(error)),
            None => {}
        }
        match failure {
            Some(error) => Verdict::Failed(error.clone()),
            None => Verdict::Unsigned(unsigned),
        }
    }
}

fn is_signed(verdicts: &Verdicts, digest: &Digest) -> bool {
    matches!(verdicts.get(digest), Some(Verdict::Signed))
}
