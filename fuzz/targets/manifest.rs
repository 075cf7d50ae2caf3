//! An index, a manifest, an image configuration.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_oci_hashes::registry::fuzzing;

fuzz_target!(|content: &[u8]| fuzzing::manifest(content));
