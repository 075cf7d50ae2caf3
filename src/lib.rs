//! Pinned OCI image references for Nix.
//!
//! A reference such as `docker.io/nextcloud:34` can point to a different image
//! tomorrow. `digests.json` is a table of pins: the digest of each tag. A lookup in it
//! gives a reference that always means the same image:
//!
//! ```
//! use nix_oci_hashes::{lookup::Query, table::Table};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let table = Table::built_in()?;
//! let query = Query::from_reference("docker.io/nextcloud:34")?;
//! let pinned = query.answer(&table)?;
//! assert!(pinned.to_string().starts_with("docker.io/nextcloud:34@sha256:"));
//! # Ok(())
//! # }
//! ```
//!
//! Modules have no import cycles: `refresh` uses `registry`, and both use `table` and
//! `lookup`, which know neither Nix, nor HTTP, nor the terminal.
//! `docs/ARCHITECTURE.md` has the map.

pub mod file;
pub mod images;
#[cfg(feature = "import")]
pub mod import;
mod json;
mod lock;
pub mod lookup;
#[cfg(any(feature = "plugin", all(test, feature = "resolve")))]
mod plugin;
pub mod reference;
#[cfg(feature = "refresh")]
pub mod refresh;
#[cfg(feature = "refresh")]
pub mod registry;
#[cfg(feature = "refresh")]
pub mod resolve;
#[cfg(feature = "signatures")]
pub mod signature;
pub mod table;
pub mod text;
