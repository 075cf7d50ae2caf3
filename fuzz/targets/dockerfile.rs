//! A Dockerfile. What is found in it is on one of its lines.
#![no_main]

#[path = "../import.rs"]
mod import;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| import::check(text, "Dockerfile", &['\n']));
