//! A compose file or a Kubernetes manifest. What is found in it is on one of its lines.
#![no_main]

#[path = "../import.rs"]
mod import;

use libfuzzer_sys::fuzz_target;

// A lone carriage return ends a line of YAML.
fuzz_target!(|text: &str| import::check(text, "compose.yaml", &['\n', '\r']));
