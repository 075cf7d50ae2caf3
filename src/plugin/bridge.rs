//! The bridge between C++ and Rust.

use std::sync::Arc;

use super::answer::{self, Answer, unknown_attribute};
use super::error::{PluginError, guarded};
use super::resolve::Settings;
use super::tables::{self, TableFile, TableSet};
use crate::table::LazyTable;
use crate::text::Plain;

#[cxx::bridge(namespace = "oci_hash")]
mod ffi {
    /// An attribute of the argument, as its text.
    struct Attribute<'a> {
        name: AttributeName,
        value: &'a [u8],
    }

    /// The attributes of the argument, but for `digests`.
    enum AttributeName {
        Image,
        Version,
        Variant,
        Platform,
    }

    /// What a lookup has found.
    enum Outcome {
        /// The table has a pin.
        Pinned,
        /// The table has none, and no registry could help.
        Miss,
        /// The table has none, and a registry may be asked.
        ResolvableMiss,
    }

    /// The settings of resolution by a registry.
    struct ResolveSettings {
        /// The only registries that may be asked; any if it is empty.
        registries: Vec<String>,
        /// How long one reference may take, in seconds.
        timeout: u32,
        /// How long a cached answer is fresh, in seconds.
        ttl: u64,
        /// Whether Nix is offline.
        offline: bool,
    }

    /// What a registry has answered.
    struct Resolution {
        /// The pinned reference.
        pinned: String,
        /// Warnings for the user.
        warnings: Vec<String>,
    }

    extern "Rust" {
        type Table;
        type TableFile;
        type TableSet;
        type Answer;

        /// `message` as one line, with control characters escaped and cut.
        fn one_line(message: &[u8]) -> String;

        /// The error for an attribute that the argument does not take.
        fn unknown_attribute(name: &[u8]) -> String;

        /// The table that the plugin was built with.
        fn built_in() -> Box<Table>;

        /// The file at `path`, whose table is cached or has to be read. Nix must have
        /// allowed to read it. Of a file in the store, only the path has to be known.
        fn table_file(path: &[u8], is_in_store: bool, is_restricted: bool) -> Box<TableFile>;
        /// The table in the text of the file at `path`, not to be cached.
        fn table_of_text(path: &[u8], text: &[u8]) -> Box<Table>;
        /// The table in a parsed set, as JSON. It is cached by its text.
        fn table_of_json(json: &[u8]) -> Result<Box<Table>>;
        /// Whether the table is there.
        fn is_read(self: &TableFile) -> bool;
        /// Opens a large file, to read it in parts as lookups need them. Nix must
        /// have allowed to read it.
        fn open_if_large(self: &mut TableFile);
        /// Takes the text of the file.
        fn set_text(self: &mut TableFile, text: &[u8]);
        /// The table. Fails before it has been read.
        fn table_of_file(file: &TableFile) -> Result<Box<Table>>;

        /// The parsed set with the attributes at `address`, whose table is cached or
        /// has to be made.
        fn table_set(address: usize) -> Box<TableSet>;
        /// Whether the table is there.
        fn is_read(self: &TableSet) -> bool;
        /// Takes the set as JSON. `root` keeps the set from the garbage collector, so
        /// that no other set gets its address.
        fn set_json(set: &mut TableSet, json: &[u8], root: UniquePtr<Root>) -> Result<()>;
        /// The table. Fails before it has been made.
        fn table_of_set(set: &TableSet) -> Result<Box<Table>>;

        /// Looks the attributes up in `table`. Fails where they make no query, or the
        /// table is malformed.
        fn look_up(table: &Table, attributes: &[Attribute]) -> Result<Box<Answer>>;
        /// What was found.
        fn outcome(answer: &Answer) -> Outcome;
        /// The pinned reference, or what is wrong with a miss.
        fn text(self: &Answer) -> &str;
        /// The URL that `allowed-uris` must allow to resolve the miss. Fails where
        /// the miss is not resolvable.
        fn registry_url(self: &Answer) -> Result<String>;
        /// Asks the registry. Fails where it has no answer, and soon after
        /// `interrupted` returns true.
        fn resolve(answer: &Answer, settings: ResolveSettings) -> Result<Resolution>;
    }

    unsafe extern "C++" {
        include!("oci_hash.h");
        /// Keeps a value from the garbage collector until dropped.
        type Root;
        fn register_oci_hash();
        /// Whether the user has pressed Ctrl-C.
        fn interrupted() -> bool;
    }
}

// SAFETY: a root is a pointer that Nix allocates, and that any thread may free. It is
// dropped by one thread at a time, which holds the lock of the cache that owns it.
unsafe impl Send for ffi::Root {}

/// Runs when the plugin is opened: a Nix plugin registers itself.
#[used]
// SAFETY: the section holds pointers to functions that take nothing and return
// nothing, and this one only appends to Nix's own list of builtins. The dynamic
// loader calls it after it has initialised the C++ libraries of the plugin.
#[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__mod_init_func"))]
#[cfg_attr(not(target_os = "macos"), unsafe(link_section = ".init_array"))]
static REGISTER: extern "C" fn() = {
    extern "C" fn register() {
        ffi::register_oci_hash();
    }
    register
};

/// A table, shared by its lookups.
struct Table(Arc<LazyTable>);

impl Table {
    fn of(table: Option<&Arc<LazyTable>>) -> Result<Box<Self>, PluginError> {
        let table = table.ok_or(PluginError::Panic)?;
        Ok(Box::new(Self(Arc::clone(table))))
    }
}

fn one_line(message: &[u8]) -> String {
    Plain(&String::from_utf8_lossy(message)).to_string()
}

fn built_in() -> Box<Table> {
    Box::new(Table(tables::built_in()))
}

fn table_file(path: &[u8], is_in_store: bool, is_restricted: bool) -> Box<TableFile> {
    Box::new(TableFile::new(path, is_in_store, is_restricted))
}

fn table_of_text(path: &[u8], text: &[u8]) -> Box<Table> {
    Box::new(Table(tables::uncached(path, text)))
}

fn table_of_json(json: &[u8]) -> Result<Box<Table>, PluginError> {
    guarded(|| Ok(Box::new(Table(tables::of_json(json)?))))
}

fn table_of_file(file: &TableFile) -> Result<Box<Table>, PluginError> {
    Table::of(file.table())
}

fn table_set(address: usize) -> Box<TableSet> {
    Box::new(TableSet::new(address))
}

fn set_json(
    set: &mut TableSet,
    json: &[u8],
    root: cxx::UniquePtr<ffi::Root>,
) -> Result<(), PluginError> {
    guarded(|| set.set_json(json, Box::new(root)))
}

fn table_of_set(set: &TableSet) -> Result<Box<Table>, PluginError> {
    Table::of(set.table())
}

fn look_up(table: &Table, attributes: &[ffi::Attribute<'_>]) -> Result<Box<Answer>, PluginError> {
    let attributes = attributes
        .iter()
        .map(|attribute| (attribute.name.as_str(), attribute.value));
    guarded(|| Ok(Box::new(answer::look_up(&table.0, attributes)?)))
}

impl ffi::AttributeName {
    fn as_str(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Variant => "variant",
            Self::Platform => "platform",
            // The other value of an enum that C++ shares may be any number.
            _ => "image",
        }
    }
}

fn outcome(answer: &Answer) -> ffi::Outcome {
    match answer {
        Answer::Pinned(_) => ffi::Outcome::Pinned,
        Answer::Miss(_) if answer.is_resolvable() => ffi::Outcome::ResolvableMiss,
        Answer::Miss(_) => ffi::Outcome::Miss,
    }
}

fn resolve(
    answer: &Answer,
    settings: ffi::ResolveSettings,
) -> Result<ffi::Resolution, PluginError> {
    let settings = Settings {
        registries: settings.registries,
        timeout: settings.timeout,
        ttl: settings.ttl,
        offline: settings.offline,
    };
    let resolution = guarded(|| answer.ask_registry(&settings, ffi::interrupted))?;
    Ok(ffi::Resolution {
        pinned: resolution.pinned,
        warnings: resolution.warnings,
    })
}
