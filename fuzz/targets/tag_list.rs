//! A page of a tag list and its `Link` header, which is the first line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_oci_hashes::registry::fuzzing;

fuzz_target!(|content: &[u8]| {
    let end = content.iter().position(|byte| *byte == b'\n');
    let (link, body) = content.split_at(end.unwrap_or(0));
    fuzzing::tag_list(body, link);
});
