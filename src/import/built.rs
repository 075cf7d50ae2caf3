//! Which mappings of a compose file have `build`: their own, or that of a mapping that they
//! merge (`<<`) or extend (Compose specification, `extends`).

use std::collections::{BTreeMap, BTreeSet};

/// The keys that lead to a mapping.
pub(super) type Path = Vec<String>;

/// Longest path, in bytes. A longer one is in no file that a person has written.
const LONGEST: usize = 1024;

#[derive(Default)]
pub(super) struct Built {
    direct: BTreeSet<Path>,
    merged: BTreeMap<Path, Vec<Path>>,
    extended: BTreeMap<Path, Path>,
}

impl Built {
    /// Records that the mapping at `path` has `build`.
    pub(super) fn insert(&mut self, path: Path) {
        if is_short(&path) {
            self.direct.insert(path);
        }
    }

    /// Records that the mapping at `path` has the keys of that at `source` too.
    pub(super) fn merge(&mut self, path: Path, source: Path) {
        if is_short(&path) && is_short(&source) {
            self.merged.entry(path).or_default().push(source);
        }
    }

    /// Records that the service at `path` extends that at `source`, of this file.
    pub(super) fn extend(&mut self, path: Path, source: Path) {
        if is_short(&path) && is_short(&source) {
            self.extended.insert(path, source);
        }
    }

    /// Whether the mapping at `path` has `build`.
    pub(super) fn contains(&self, path: &[String]) -> bool {
        let mut seen = BTreeSet::from([path]);
        let mut open = vec![path];
        while let Some(path) = open.pop() {
            if self.direct.contains(path) {
                return true;
            }
            let sources = self.merged.get(path).into_iter().flatten();
            for source in sources.chain(self.extended.get(path)) {
                if seen.insert(source) {
                    open.push(source);
                }
            }
        }
        false
    }
}

fn is_short(path: &[String]) -> bool {
    path.iter().map(String::len).sum::<usize>() <= LONGEST
}
