//! The one module that speaks HTTP: what a refresh asks of a registry, by the
//! OCI distribution spec.
//!
//! [`Client`] asks the questions, a connection to each registry holds what is
//! remembered of it, and one small interface, `Transport`, is all that touches
//! the network: a test puts a registry of its own behind it.
//!
//! oci-client gives the manifests their types. Its requests are not used: it
//! asks `/v2/` again before each of them where a registry wants no token,
//! follows no `Link` of a tag list, knows no `Retry-After`, reads a body of any
//! size, and sends a credential to whatever token service is named.

mod access;
mod address;
mod auth;
mod client;
mod connection;
mod credentials;
mod error;
mod exchange;
mod helper;
mod limits;
mod manifest;
mod names;
mod pace;
mod pages;
mod transport;

#[cfg(fuzzing)]
pub mod fuzzing;
#[cfg(test)]
pub(crate) mod tests;

pub use client::{Client, Options, TagSet};
#[cfg(feature = "resolve")]
pub use connection::{manifests_url, repository_url};
pub use error::RegistryError;
pub use limits::Quota;
pub use manifest::IndexPlatforms;
pub use names::Names;
