//! `nix-oci-hashes lookup`: the answer of `builtins.ociHash`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Result;
use nix_oci_hashes::lookup::Query;
use nix_oci_hashes::reference::Platform;
use nix_oci_hashes::table::{LazyTable, Table};

use super::output;
use super::remedy;

const DEFAULT_TABLE: &str = "digests.json";

/// Print the pinned reference that builtins.ociHash would answer with
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    query_arguments: QueryArguments,

    /// The table of pins [default: ./digests.json, or the built-in table where there is none]
    #[arg(long, value_name = "FILE")]
    digests: Option<PathBuf>,
}

/// The reference to look up in the table or to resolve.
#[derive(Debug, clap::Args)]
pub(super) struct QueryArguments {
    /// The reference, such as docker.io/nextcloud:34, or with a version requirement 'docker.io/nextcloud:^34'
    #[arg(value_name = "REF")]
    reference: String,

    /// The variant that a version requirement selects from, such as -fpm or '-ce.#'
    #[arg(long, allow_hyphen_values = true)]
    variant: Option<String>,

    /// Answer with this platform's manifest: linux/arm64, or a Nix system such as aarch64-linux
    #[arg(long)]
    platform: Option<Platform>,
}

impl QueryArguments {
    pub(super) fn query(&self) -> Result<Query> {
        let variant = self.variant.as_deref().map(|variant| ("variant", variant));
        let reference = ("image", self.reference.as_str());
        let query = Query::from_attributes([reference].into_iter().chain(variant))?;
        Ok(query.for_platform(self.platform.clone()))
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<u8> {
    let query = arguments.query_arguments.query()?;
    let table = lazy_table(arguments.digests.as_deref())?;
    output::print(&format!("{}\n", query.answer_lazily(&table)??))?;
    Ok(output::DONE)
}

/// The whole table: the one at `path`, ./digests.json, or the built-in one.
pub(super) fn table(path: Option<&Path>) -> Result<Table> {
    Ok(match path_of(path) {
        Some(path) => Table::read(path, remedy::TABLE)?,
        None => Table::built_in()?,
    })
}

fn lazy_table(path: Option<&Path>) -> Result<LazyTable> {
    Ok(match path_of(path) {
        Some(path) => LazyTable::open(path, remedy::TABLE)?,
        None => LazyTable::built_in(),
    })
}

/// The path of the table; `None` for the built-in one.
fn path_of(path: Option<&Path>) -> Option<&Path> {
    let is_there = || match std::fs::symlink_metadata(DEFAULT_TABLE) {
        Err(error) => error.kind() != ErrorKind::NotFound,
        Ok(_) => true,
    };
    path.or_else(|| is_there().then_some(Path::new(DEFAULT_TABLE)))
}
