//! A Nix file. What is found in it is on one of its lines.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use nix_oci_hashes::import;

fuzz_target!(|text: &str| {
    if let Ok(imported) = import::parse(text, Path::new("configuration.nix")) {
        let lines = text.lines().count().max(1);
        assert!(
            imported
                .found
                .iter()
                .all(|found| (1..=lines).contains(&found.line))
        );
    }
});
