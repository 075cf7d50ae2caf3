//! The bridge between Nix's C++ and the lookup, and nothing else.
#![allow(
    unsafe_code,
    unreachable_pub,
    clippy::unnecessary_box_returns,
    reason = "what cxx writes is its own to check; the one static below says why it is sound"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use crate::json::FileError;
use crate::lookup::{ATTRIBUTES, LookupError, Query, QueryError};
use crate::table::Table;
use crate::text::Plain;

#[cxx::bridge(namespace = "oci_hash")]
mod ffi {
    extern "Rust" {
        type PendingQuery;

        /// A message that has outside input in it, escaped and cut to one line.
        fn one_line(message: &[u8]) -> String;

        /// The pinned reference for a reference, from the built-in table.
        fn answer_reference(reference: &[u8]) -> Result<String>;

        /// A query by set, without attributes yet.
        fn new_query() -> Box<PendingQuery>;
        /// Fails for a name that no attribute has.
        fn check_attribute(self: &PendingQuery, name: &[u8]) -> Result<()>;
        /// Adds an attribute other than `digests`.
        fn set_attribute(self: &mut PendingQuery, name: &[u8], value: &[u8]) -> Result<()>;
        /// The pinned reference, from the built-in table.
        fn answer(self: &PendingQuery) -> Result<String>;
        /// The pinned reference, from the table `text`: that of `file`, or where
        /// this is empty, of a set.
        fn answer_from(self: &PendingQuery, file: &[u8], text: &[u8]) -> Result<String>;
    }

    unsafe extern "C++" {
        include!("oci_hash.h");
        fn register_oci_hash();
    }
}

/// Runs when the plugin is opened: a Nix plugin registers itself.
#[used]
// SAFETY: the section holds pointers to functions that take nothing and return
// nothing, and this one only appends to Nix's own list of builtins. The loader
// calls it after the C++ libraries that the plugin refers to are initialised.
#[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__mod_init_func"))]
#[cfg_attr(not(target_os = "macos"), unsafe(link_section = ".init_array"))]
static REGISTER: extern "C" fn() = {
    extern "C" fn register() {
        ffi::register_oci_hash();
    }
    register
};

/// The attributes of a set, as far as C++ has handed them over.
struct PendingQuery {
    attributes: Vec<(String, String)>,
}

#[derive(Debug, thiserror::Error)]
enum PluginError {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Lookup(#[from] LookupError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{what} is not UTF-8; image names, tags and platforms are plain ASCII")]
    NotUtf8 { what: String },
    #[error("it failed in a way it should not; please report this with the expression")]
    Panic,
}

/// Runs `f` so that a panic ends here, as an error, and not in Nix.
fn guarded<T>(f: impl FnOnce() -> Result<T, PluginError>) -> Result<T, PluginError> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or(Err(PluginError::Panic))
}

fn utf8<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, PluginError> {
    std::str::from_utf8(bytes).map_err(|_| PluginError::NotUtf8 {
        what: what.to_owned(),
    })
}

fn answer_reference(reference: &[u8]) -> Result<String, PluginError> {
    guarded(|| {
        let query = Query::from_reference(utf8(reference, "the reference")?)?;
        Ok(query.answer(&*built_in()?)?.to_string())
    })
}

fn new_query() -> Box<PendingQuery> {
    Box::new(PendingQuery {
        attributes: Vec::new(),
    })
}

impl PendingQuery {
    #[expect(
        clippy::unused_self,
        reason = "C++ reads it as a question to the query"
    )]
    fn check_attribute(&self, name: &[u8]) -> Result<(), PluginError> {
        guarded(|| {
            let name = String::from_utf8_lossy(name);
            if ATTRIBUTES.contains(&&*name) {
                Ok(())
            } else {
                Err(QueryError::UnknownAttribute(name.into_owned()).into())
            }
        })
    }

    fn set_attribute(&mut self, name: &[u8], value: &[u8]) -> Result<(), PluginError> {
        guarded(|| {
            let name = utf8(name, "the attribute's name")?;
            let value = utf8(value, &format!("the attribute '{name}'"))?;
            self.attributes.push((name.to_owned(), value.to_owned()));
            Ok(())
        })
    }

    fn answer(&self) -> Result<String, PluginError> {
        guarded(|| self.answer_in(&*built_in()?))
    }

    fn answer_from(&self, file: &[u8], text: &[u8]) -> Result<String, PluginError> {
        guarded(|| self.answer_in(&*parsed(file, text)?))
    }

    fn answer_in(&self, table: &Table) -> Result<String, PluginError> {
        let attributes = self.attributes.iter();
        let query = Query::from_attributes(
            attributes.map(|(name, value)| (name.as_str(), value.as_str())),
        )?;
        Ok(query.answer(table)?.to_string())
    }
}

fn one_line(message: &[u8]) -> String {
    Plain(&String::from_utf8_lossy(message)).to_string()
}

/// The table that the plugin was built with, parsed on its first use.
fn built_in() -> Result<Arc<Table>, PluginError> {
    static TABLE: Mutex<Option<Arc<Table>>> = Mutex::new(None);
    let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(table) = &*table {
        return Ok(Arc::clone(table));
    }
    Ok(Arc::clone(table.insert(Arc::new(Table::built_in()?))))
}

/// The table of `text`, which is parsed again only when it differs from the
/// last one: an evaluation looks up many images in one table.
fn parsed(file: &[u8], text: &[u8]) -> Result<Arc<Table>, PluginError> {
    static LAST: Mutex<Option<(Vec<u8>, Arc<Table>)>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((last_text, table)) = &*last
        && last_text == text
    {
        return Ok(Arc::clone(table));
    }
    let table = if file.is_empty() {
        let remedy = "pass the set that builtins.fromJSON makes of a digests.json";
        Table::parse_with_remedy(text, "the attribute 'digests'", remedy)?
    } else {
        Table::parse(text, &String::from_utf8_lossy(file))?
    };
    let table = Arc::new(table);
    *last = Some((text.to_vec(), Arc::clone(&table)));
    Ok(table)
}
