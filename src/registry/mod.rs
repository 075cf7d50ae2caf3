//! The one HTTP client: what a refresh requests from registries, by the OCI
//! distribution spec.
//!
//! A request goes down through the layers, each a `Transport` over the one below,
//! and its response comes back up:
//!
//! | layer | what it does |
//! | --- | --- |
//! | `api` | the verbs: tags, digest, manifest, blob, signatures; sizes, pages, digests |
//! | `throttle` | concurrency, retries, rate limits, circuit breaker, deadline, pull quota |
//! | `auth` | challenges, tokens, passwords; which credential goes where |
//! | `redirect` | redirects |
//! | `network` | TLS, proxies, DNS |
//!
//! Tests put a registry of their own in the place of `network`.
//!
//! oci-client gives the manifests their types. Its requests are not used: it
//! requests `/v2/` again before each of them where a registry wants no token,
//! follows no `Link` of a tag list, ignores `Retry-After`, reads a body of any size,
//! and sends a credential to whatever token service a registry names.

mod address;
mod api;
mod auth;
mod blob;
mod client;
mod content;
mod error;
mod limits;
mod manifest;
mod network;
mod pages;
mod redirect;
mod signature;
mod throttle;
mod transport;

#[cfg(fuzzing)]
pub mod fuzzing;
#[cfg(test)]
pub(crate) mod tests;

#[cfg(feature = "resolve")]
pub use address::{manifests_url, repository_url};
pub use api::TagSet;
pub use blob::Blob;
pub use client::{Client, Options};
pub use content::ImageContent;
pub use error::{
    AuthProblem, Cause, ConnectProblem, Content, Login, RedirectProblem, RegistryError, SetupError,
};
pub use limits::Quota;
pub use manifest::{Annotations, IndexPlatforms};
pub use network::Dns;
pub use signature::{Signatures, StoredSignature};
