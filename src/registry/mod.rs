//! The one module that speaks HTTP: what a refresh asks of a registry, by the
//! OCI distribution spec.
//!
//! Tokens come from oci-client. Its own requests are not used, because it asks
//! `/v2/` again before each of them where a registry wants no token, follows no
//! `Link` of a tag list, and reads a body of any size.

mod client;
mod connection;
mod error;
mod manifest;
mod pages;

pub use client::{Client, Options};
pub use error::RegistryError;
