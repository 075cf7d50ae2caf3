//! One lookup: the attributes of the argument in, an answer out.

use super::error::PluginError;
use super::resolve::{self, Resolution, Settings};
use crate::lookup::{LookupError, Query, QueryError, RegistryQuery};
use crate::registry::{manifests_url, repository_url};
use crate::table::LazyTable;

/// What a lookup has found.
pub(super) enum Answer {
    /// The pinned reference.
    Pinned(String),
    /// The table has no pin.
    Miss(Box<Miss>),
}

/// A lookup that the table has no pin for.
pub(super) struct Miss {
    text: String,
    error: LookupError,
    /// What a registry can be asked instead.
    registry_query: Option<RegistryQuery>,
}

/// The error for an attribute that the argument does not take.
pub(super) fn unknown_attribute(name: &[u8]) -> String {
    QueryError::UnknownAttribute(String::from_utf8_lossy(name).into_owned()).to_string()
}

/// Looks `attributes`, by name, up in `table`.
///
/// # Errors
/// Where they make no query, or the table is malformed.
pub(super) fn look_up<'a>(
    table: &LazyTable,
    attributes: impl IntoIterator<Item = (&'static str, &'a [u8])>,
) -> Result<Answer, PluginError> {
    let mut texts = Vec::new();
    for (name, value) in attributes {
        let text = std::str::from_utf8(value);
        let text = text.map_err(|_| PluginError::NotUtf8 {
            what: format!("the {name}"),
        })?;
        texts.push((name, text));
    }
    let query = Query::from_attributes(texts)?;
    Ok(match query.answer_lazily(table)? {
        Ok(pinned) => Answer::Pinned(pinned.to_string()),
        Err(error) => Answer::Miss(Box::new(Miss {
            text: error.to_string(),
            registry_query: query.registry_query(table, &error)?,
            error,
        })),
    })
}

impl Answer {
    /// Whether a registry may have what the table has not.
    pub(super) fn is_resolvable(&self) -> bool {
        matches!(self, Self::Miss(miss) if miss.registry_query.is_some())
    }

    /// The pinned reference, or what is wrong with a miss.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Pinned(text) => text,
            Self::Miss(miss) => &miss.text,
        }
    }

    /// The URL that `allowed-uris` must allow: a requirement is resolved by the tag
    /// list, a tag or a digest by manifests.
    pub(super) fn registry_url(&self) -> Result<String, PluginError> {
        let (_, registry_query) = self.registry_query()?;
        let query = &registry_query.query;
        Ok(if query.has_requirement() {
            repository_url(query.image())
        } else {
            manifests_url(query.image())
        })
    }

    /// Asks the registry. Ends soon after `is_interrupted` returns true.
    pub(super) fn ask_registry(
        &self,
        settings: &Settings,
        is_interrupted: fn() -> bool,
    ) -> Result<Resolution, PluginError> {
        let (miss, registry_query) = self.registry_query()?;
        let resolved = resolve::resolve(registry_query, &miss.error, settings, is_interrupted);
        Ok(resolved.map_err(Box::new)?)
    }

    fn registry_query(&self) -> Result<(&Miss, &RegistryQuery), PluginError> {
        match self {
            Self::Miss(miss) => {
                let registry_query = miss.registry_query.as_ref().ok_or(PluginError::Panic)?;
                Ok((miss, registry_query))
            }
            Self::Pinned(_) => Err(PluginError::Panic),
        }
    }
}
