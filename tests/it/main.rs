//! Tests of the library and the command, without Nix and without other servers than
//! those in this process.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod choosing;
mod command;
mod diff;
mod fetch;
mod histories;
mod lookup_cases;
mod registry_faults;
mod schemas;
mod signatures;
mod site;
mod soak;
mod store;
#[path = "../support/mod.rs"]
mod support;
mod trust;
mod unattended;
mod verbs;
mod versions;
