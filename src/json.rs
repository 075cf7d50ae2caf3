//! Reading JSON that people edit: a duplicate key is an error, and every error
//! names the file, the line and the remedy.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::path::Path;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, MapAccess, Visitor};

use crate::text::Plain;

/// Why a file of pins or images could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{place}: {message}; {remedy}")]
pub struct FileError {
    /// The file, with line and column where a text is at fault.
    place: String,
    /// What is wrong there.
    message: String,
    /// What to do about it.
    remedy: String,
}

impl FileError {
    pub(crate) fn new(place: impl fmt::Display, message: impl fmt::Display, remedy: &str) -> Self {
        Self {
            place: Plain(&place.to_string()).to_string(),
            message: Plain(&message.to_string()).to_string(),
            remedy: remedy.to_owned(),
        }
    }
}

/// The bytes of `path`.
pub(crate) fn read_file(path: &Path, remedy: &str) -> Result<Vec<u8>, FileError> {
    std::fs::read(path).map_err(|error| FileError::new(path.display(), plain(&error), remedy))
}

/// What the operating system said, without Rust's `(os error 2)`.
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((message, _)) => message.to_owned(),
        None => text,
    }
}

/// Parses the JSON text `content` of `origin`, the name errors give it.
pub(crate) fn parse<T: DeserializeOwned>(
    content: &[u8],
    origin: &str,
    remedy: &str,
) -> Result<T, FileError> {
    if content.starts_with("\u{feff}".as_bytes()) {
        let message = "it begins with a byte order mark";
        return Err(FileError::new(origin, message, "save it without one"));
    }
    if content.iter().all(u8::is_ascii_whitespace) {
        return Err(FileError::new(origin, "the file is empty", remedy));
    }
    serde_json::from_slice(content).map_err(|error| {
        let position = format!(" at line {} column {}", error.line(), error.column());
        let text = error.to_string();
        let message = text.strip_suffix(&position).unwrap_or(&text);
        let place = format!("{origin}:{}:{}", error.line(), error.column().max(1));
        FileError::new(place, message, remedy)
    })
}

/// A JSON object as a sorted map. A duplicate key is an error.
pub(crate) struct UniqueMap<K, V>(pub(crate) BTreeMap<K, V>);

impl<'de, K, V> Deserialize<'de> for UniqueMap<K, V>
where
    K: Deserialize<'de> + Ord + fmt::Display,
    V: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor<K, V>(PhantomData<(K, V)>);

        impl<'de, K, V> Visitor<'de> for MapVisitor<K, V>
        where
            K: Deserialize<'de> + Ord + fmt::Display,
            V: Deserialize<'de>,
        {
            type Value = UniqueMap<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut map = BTreeMap::new();
                while let Some(key) = access.next_key::<K>()? {
                    if map.contains_key(&key) {
                        return Err(A::Error::custom(format_args!("duplicate key '{key}'")));
                    }
                    map.insert(key, access.next_value()?);
                }
                Ok(UniqueMap(map))
            }
        }

        deserializer.deserialize_map(MapVisitor(PhantomData))
    }
}

/// A `T` that was written as a JSON object. serde takes a list of a structure's
/// members for the structure, which is nothing that a file should say.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(access))
            }
        }

        deserializer
            .deserialize_map(ObjectVisitor(PhantomData))
            .map(Self)
    }
}

/// For `#[serde(deserialize_with)]`: a map in which a duplicate key is an error.
pub(crate) fn unique_map<'de, D, K, V>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord + fmt::Display,
    V: Deserialize<'de>,
{
    UniqueMap::deserialize(deserializer).map(|map| map.0)
}
