//! A file of the first nix-oci-hashes. What is found in it is on one of its lines.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use nix_oci_hashes::import;

fuzz_target!(|text: &str| {
    if let Ok(imported) = import::parse(text, Path::new("digests.json")) {
        // It may be YAML, of which a lone carriage return ends a line.
        let lines = text.split(['\n', '\r']).count();
        assert!(
            imported
                .found
                .iter()
                .all(|found| (1..=lines).contains(&found.line))
        );
    }
});
