//! images.json: whatever is taken can be edited and is taken again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_oci_hashes::images::{self, TrackedImage, edit::Editor};

fuzz_target!(|content: &[u8]| {
    if images::parse(content, "images.json").is_err() {
        return;
    }
    let mut editor = Editor::new(content, "images.json").unwrap();
    let image = "docker.io/fuzzed/by-this-target".parse().unwrap();
    if editor.entry(&image).is_none() {
        editor.add(&TrackedImage::new(image));
        images::parse(editor.text().as_bytes(), "images.json").unwrap();
    }
});
