//! Tests with a real Nix that has the plugin, a real registry and real tools.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[cfg(feature = "c-api-tests")]
mod c_api;
mod docs;
mod docs_shell;
mod faults_under_load;
mod flake;
mod loader;
mod loader_hosts;
#[cfg(feature = "nix26-tests")]
mod loader_versions;
mod nix;
mod pipelines;
mod plain;
mod registry;
mod resolve;
mod robust;
mod scripts;
mod settings;
mod signatures;
mod site;
mod soak;
mod store;
#[path = "../support/mod.rs"]
mod support;
mod tables;
