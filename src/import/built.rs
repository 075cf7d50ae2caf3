//! Which mappings of a compose file have `build`: their own, or that of a mapping that they
//! merge (`<<`) or extend (Compose specification, `extends`).

use std::collections::{BTreeSet, HashMap};

/// Mappings, by their numbers in a file.
#[derive(Default)]
pub(super) struct Built {
    direct: BTreeSet<usize>,
    /// The mappings that take the keys of a mapping.
    heirs: HashMap<usize, Vec<usize>>,
}

impl Built {
    /// Records that `mapping` has `build`.
    pub(super) fn insert(&mut self, mapping: usize) {
        self.direct.insert(mapping);
    }

    /// Records that `mapping` has the keys of `source` too.
    pub(super) fn inherit(&mut self, mapping: usize, source: usize) {
        self.heirs.entry(source).or_default().push(mapping);
    }

    /// All mappings that have `build`.
    pub(super) fn all(&self) -> BTreeSet<usize> {
        let mut all = self.direct.clone();
        let mut open: Vec<usize> = all.iter().copied().collect();
        while let Some(mapping) = open.pop() {
            let heirs = self.heirs.get(&mapping).into_iter().flatten();
            open.extend(heirs.filter(|heir| all.insert(**heir)));
        }
        all
    }
}
