//! References and their parts: what is taken prints as what it parsed to.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_oci_hashes::reference::{Digest, ImageName, Platform, Reference};

fuzz_target!(|text: &str| {
    if let Ok(reference) = text.parse::<Reference>() {
        assert_eq!(
            reference.to_string().parse::<Reference>().unwrap(),
            reference
        );
    }
    if let Ok(name) = text.parse::<ImageName>() {
        assert_eq!(name.to_string().parse::<ImageName>().unwrap(), name);
        assert!(!name.repository().is_empty());
    }
    if let Ok(platform) = text.parse::<Platform>() {
        assert_eq!(platform.to_string().parse::<Platform>().unwrap(), platform);
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
});
