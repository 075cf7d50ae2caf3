//! Manifests that came with the digest of a tag, which need no further request.

use std::collections::{HashMap, VecDeque};

use crate::reference::{Digest, ImageName};

/// Most bytes of these manifests.
const LARGEST: usize = 32 << 20;

type Key = (ImageName, Digest);

/// The last manifests, by image and digest.
#[derive(Default)]
pub(super) struct KnownManifests {
    manifests: HashMap<Key, Vec<u8>>,
    /// The oldest first.
    order: VecDeque<Key>,
    bytes: usize,
}

impl KnownManifests {
    pub(super) fn get(&self, key: &Key) -> Option<&Vec<u8>> {
        self.manifests.get(key)
    }

    /// Keeps a manifest. The oldest go if there are too many bytes of them.
    pub(super) fn insert(&mut self, key: Key, manifest: Vec<u8>) {
        if self.manifests.contains_key(&key) {
            return;
        }
        self.bytes += manifest.len();
        self.order.push_back(key.clone());
        self.manifests.insert(key, manifest);
        while self.bytes > LARGEST
            && let Some(oldest) = self.order.pop_front()
        {
            let manifest = self.manifests.remove(&oldest).unwrap_or_default();
            self.bytes -= manifest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::Algorithm;

    #[test]
    fn the_oldest_manifests_go_before_they_take_too_much_memory() {
        let key = |n: usize| {
            let digest = Digest::of(Algorithm::Sha256, &n.to_be_bytes());
            ("docker.io/app".parse().unwrap(), digest)
        };
        let mut known = KnownManifests::default();
        for n in 0..20 {
            known.insert(key(n), vec![0; 4 << 20]);
            known.insert(key(n), vec![0; 4 << 20]);
        }
        let kept: Vec<usize> = (0..20).filter(|n| known.get(&key(*n)).is_some()).collect();
        assert_eq!(kept, [12, 13, 14, 15, 16, 17, 18, 19]);
    }
}
