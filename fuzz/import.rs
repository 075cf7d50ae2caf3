//! What the targets of imports have in common.

use std::path::Path;

use nix_oci_hashes::import;

/// Takes `text` for that of a file of this name. What is found in it has to be on
/// one of its lines, each of which one of `ends` ends.
pub fn check(text: &str, name: &str, ends: &[char]) {
    if let Ok(imported) = import::parse(text, Path::new(name)) {
        let lines = text.trim_end_matches(ends).split(ends).count();
        let mut found = imported.found.iter();
        assert!(found.all(|found| (1..=lines).contains(&found.line)));
    }
}
