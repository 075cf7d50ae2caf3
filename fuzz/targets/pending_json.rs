//! pending.json: whatever is taken is written, and the text is canonical.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_oci_hashes::table::pending::Pending;

fuzz_target!(|content: &[u8]| {
    let Ok(pending) = Pending::parse(content, "pending.json") else {
        return;
    };
    let text = pending.to_json();
    assert_eq!(
        Pending::parse(text.as_bytes(), "pending.json")
            .unwrap()
            .to_json(),
        text
    );
});
