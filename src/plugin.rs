//! The bridge between Nix's C++ and the lookup, and nothing else.
#![allow(
    unsafe_code,
    unreachable_pub,
    clippy::unnecessary_box_returns,
    reason = "what cxx writes is its own to check; the one static below says why it is sound"
)]

mod files;
mod miss;

use std::fmt::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;

use crate::json::FileError;
use crate::lookup::{ATTRIBUTES, LookupError, Query, QueryError};
use crate::name::Reference;
use crate::registry::{manifests_url, repository_url};
use crate::table::{LazyTable, Table};
use crate::text::Plain;
use files::Slot;

#[cxx::bridge(namespace = "oci_hash")]
mod ffi {
    /// What the table says.
    struct Answer {
        /// The pinned reference; empty for a miss.
        pinned: String,
        /// What is wrong, and the way out.
        miss: String,
        /// The URL under which the registry would be asked; empty where that
        /// makes no sense.
        url: String,
    }

    /// The settings, as far as they are about asking registries.
    struct Asking {
        /// The only registries that may be asked, or none for any.
        registries: Vec<String>,
        /// For how many seconds one may be asked.
        timeout: u32,
        /// For how many seconds an answer is fresh.
        ttl: u64,
        /// Whether none may be asked.
        offline: bool,
    }

    /// What a registry says.
    struct Resolved {
        /// The pinned reference.
        pinned: String,
        /// What to tell the user, once.
        warnings: Vec<String>,
    }

    extern "Rust" {
        type Pending;
        type Shared;
        type Slot;

        /// A message that has outside input in it, escaped and cut to one line.
        fn one_line(message: &[u8]) -> String;

        /// A query without attributes yet.
        fn new_query() -> Box<Pending>;
        /// Fails for a name that no attribute has.
        fn check_attribute(self: &Pending, name: &[u8]) -> Result<()>;
        /// Takes a reference that stands for itself.
        fn set_reference(self: &mut Pending, reference: &[u8]) -> Result<()>;
        /// Adds an attribute other than `digests`.
        fn set_attribute(self: &mut Pending, name: &[u8], value: &[u8]) -> Result<()>;
        /// Asks the table, once: what has an answer is done. Fails for what is no
        /// query.
        fn look_up(self: &mut Pending, table: &Shared) -> Result<Answer>;
        /// Asks the registry what the table misses. Fails where it has no
        /// answer, and soon after `interrupted` says so.
        fn resolve(self: &Pending, table: &Shared, asking: &Asking) -> Result<Resolved>;

        /// The table that the plugin was built with.
        fn built_in() -> Box<Shared>;
        /// The table in a parsed set, which `text` is as JSON.
        fn parse_set(text: &[u8]) -> Result<Box<Shared>>;
        /// The same table once more.
        fn share(self: &Shared) -> Box<Shared>;

        /// Where the table of the file at `path` is, or is to be put, within
        /// one evaluation.
        fn find_file(evaluation: usize, is_pure: bool, path: &[u8]) -> Box<Slot>;
        /// Whether it is there, and the file unchanged.
        fn is_filled(self: &Slot) -> bool;
        /// Opens the file if it is large, to be read as far as lookups need it.
        /// Nix has to have said that it may be read.
        fn open_if_large(self: &mut Slot);
        /// Takes the file's text.
        fn fill(self: &mut Slot, text: &[u8]);
        /// The table.
        fn table(self: &Slot) -> Result<Box<Shared>>;
    }

    unsafe extern "C++" {
        include!("oci_hash.h");
        fn register_oci_hash();
        /// Whether the user has pressed Ctrl-C.
        fn interrupted() -> bool;
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
struct Pending {
    attributes: Attributes,
}

/// A table that any number of lookups are made in.
struct Shared(Arc<Asked>);

/// A table, and what it has answered: an evaluation asks the same many times.
struct Asked {
    table: LazyTable,
    answers: Mutex<HashMap<Attributes, String>>,
}

/// The attributes of an argument, by name, as the user has written them.
type Attributes = Vec<(&'static str, String)>;

/// Bytes that a pinned reference seldom needs more of.
const USUAL_REFERENCE: usize = 160;

/// Answers that are kept, a few hundred bytes each.
const MOST_ANSWERS: usize = 4096;

#[derive(Debug, thiserror::Error)]
enum PluginError {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Lookup(#[from] LookupError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Miss(#[from] Box<miss::MissError>),
    #[error("{what} is not UTF-8; image names, tags and platforms are plain ASCII")]
    NotUtf8 { what: String },
    #[error("it failed in a way it should not; please report this with the expression")]
    Panic,
}

/// Runs `f` so that a panic ends here, as an error, and not in Nix.
fn guarded<T>(f: impl FnOnce() -> Result<T, PluginError>) -> Result<T, PluginError> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or(Err(PluginError::Panic))
}

/// Locks what a panic may have left behind: none of it is ever half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn utf8(bytes: &[u8], what: impl fmt::Display) -> Result<&str, PluginError> {
    std::str::from_utf8(bytes).map_err(|_| PluginError::NotUtf8 {
        what: what.to_string(),
    })
}

fn one_line(message: &[u8]) -> String {
    Plain(&String::from_utf8_lossy(message)).to_string()
}

/// The attribute that is called `name`.
fn attribute(name: &[u8]) -> Result<&'static str, QueryError> {
    let known = ATTRIBUTES.iter().find(|known| known.as_bytes() == name);
    known
        .copied()
        .ok_or_else(|| QueryError::UnknownAttribute(String::from_utf8_lossy(name).into_owned()))
}

fn new_query() -> Box<Pending> {
    Box::new(Pending {
        attributes: Vec::new(),
    })
}

impl Pending {
    #[expect(
        clippy::unused_self,
        reason = "C++ reads it as a question to the query"
    )]
    fn check_attribute(&self, name: &[u8]) -> Result<(), PluginError> {
        guarded(|| Ok(attribute(name).map(drop)?))
    }

    fn set_reference(&mut self, reference: &[u8]) -> Result<(), PluginError> {
        guarded(|| {
            let reference = utf8(reference, "the reference")?;
            self.attributes.push(("image", reference.to_owned()));
            Ok(())
        })
    }

    fn set_attribute(&mut self, name: &[u8], value: &[u8]) -> Result<(), PluginError> {
        guarded(|| {
            let name = attribute(name)?;
            let value = utf8(value, format_args!("the attribute '{name}'"))?;
            self.attributes.push((name, value.to_owned()));
            Ok(())
        })
    }

    fn look_up(&mut self, table: &Shared) -> Result<ffi::Answer, PluginError> {
        guarded(|| {
            let Asked { table, answers } = &*table.0;
            let hit = |pinned| ffi::Answer {
                pinned,
                miss: String::new(),
                url: String::new(),
            };
            if let Some(pinned) = lock(answers).get(&self.attributes) {
                return Ok(hit(pinned.clone()));
            }
            let query = self.query()?;
            Ok(match query.answer_lazily(table)? {
                Ok(pinned) => {
                    let pinned = written(&pinned);
                    let mut answers = lock(answers);
                    if answers.len() < MOST_ANSWERS {
                        let attributes = std::mem::take(&mut self.attributes);
                        answers.insert(attributes, pinned.clone());
                    }
                    hit(pinned)
                }
                Err(miss) => ffi::Answer {
                    pinned: String::new(),
                    url: query
                        .question(table, &miss)?
                        .map(|question| url_of(&question.query))
                        .unwrap_or_default(),
                    miss: miss.to_string(),
                },
            })
        })
    }

    fn resolve(&self, table: &Shared, asking: &ffi::Asking) -> Result<ffi::Resolved, PluginError> {
        guarded(|| {
            let query = self.query()?;
            let miss = match query.answer_lazily(&table.0.table)? {
                Ok(pinned) => {
                    return Ok(ffi::Resolved {
                        pinned: written(&pinned),
                        warnings: Vec::new(),
                    });
                }
                Err(miss) => miss,
            };
            match query.question(&table.0.table, &miss)? {
                Some(question) => {
                    let resolved = miss::resolve(&question, &miss, asking, ffi::interrupted);
                    Ok(resolved.map_err(Box::new)?)
                }
                None => Err(miss.into()),
            }
        })
    }

    fn query(&self) -> Result<Query, QueryError> {
        let attributes = self.attributes.iter();
        Query::from_attributes(attributes.map(|(name, value)| (*name, value.as_str())))
    }
}

/// What restricted evaluation has to allow: a requirement is resolved by the tag list
/// too.
fn url_of(query: &Query) -> String {
    if query.has_requirement() {
        repository_url(query.image())
    } else {
        manifests_url(query.image())
    }
}

/// `reference` as text, for which there is room from the beginning.
fn written(reference: &Reference) -> String {
    let mut text = String::with_capacity(USUAL_REFERENCE);
    // Writing to memory does not fail.
    let _ = write!(text, "{reference}");
    text
}

/// The table that the plugin was built with, for all evaluations.
fn built_in() -> Box<Shared> {
    static TABLE: LazyLock<Shared> = LazyLock::new(|| LazyTable::built_in().into());
    TABLE.share()
}

fn parse_set(text: &[u8]) -> Result<Box<Shared>, PluginError> {
    guarded(|| {
        let remedy = "pass the set that builtins.fromJSON makes of a digests.json";
        let table = Table::parse_with_remedy(text, "the attribute 'digests'", remedy)?;
        Ok(Box::new(LazyTable::from(table).into()))
    })
}

impl From<LazyTable> for Shared {
    fn from(table: LazyTable) -> Self {
        Self(Arc::new(Asked {
            table,
            answers: Mutex::default(),
        }))
    }
}

impl Shared {
    fn share(&self) -> Box<Self> {
        Box::new(Self(Arc::clone(&self.0)))
    }
}

fn find_file(evaluation: usize, is_pure: bool, path: &[u8]) -> Box<Slot> {
    Box::new(Slot::find(evaluation, is_pure, path))
}
