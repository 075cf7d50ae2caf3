//! The answer of a token service.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_oci_hashes::registry::fuzzing;

fuzz_target!(|content: &[u8]| fuzzing::token(content));
