//! Reads the `images.json` and `digests.json` of this and the first nix-oci-hashes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::imported::{Imported, LocatedReference};
use crate::images::edit::Editor;
use crate::json::{self, FileError, Object, UniqueMap};
use crate::reference::{ImageName, Reference, Tag};
use crate::table::Table;

const REMEDY: &str = "correct the file, or leave it out: a JSON file must be an images.json, a digests.json, a compose \
                      file or a Kubernetes manifest";

/// The digests.json of the first nix-oci-hashes: by image, tag and platform, the
/// pinned reference.
type Digests = UniqueMap<ImageName, UniqueMap<Tag, UniqueMap<String, String>>>;

pub(super) fn parse(text: &str, origin: &str) -> Result<Imported, FileError> {
    if text.trim_start().starts_with('[') {
        return images(text, origin);
    }
    if serde_json::from_str::<BTreeMap<String, serde_json::Value>>(text)
        .is_ok_and(|members| members.contains_key("version"))
    {
        return table(text, origin);
    }
    digests(text, origin)
}

fn images(text: &str, origin: &str) -> Result<Imported, FileError> {
    let editor = Editor::new(text.as_bytes(), origin)?;
    Ok(Imported {
        entries: editor.into_entries().collect(),
        ..Imported::default()
    })
}

fn table(text: &str, origin: &str) -> Result<Imported, FileError> {
    let table = Table::parse(text.as_bytes(), origin)?;
    let lines = lines(text);
    let mut imported = Imported::default();
    for (image, pins) in table.images {
        for (tag, pin) in pins {
            imported.found.push(LocatedReference {
                line: line_of(&lines, &pin.digest.to_string()),
                reference: Reference {
                    image: image.clone(),
                    tag: Some(tag),
                    digest: Some(pin.digest.clone()),
                },
            });
        }
    }
    Ok(imported)
}

fn digests(text: &str, origin: &str) -> Result<Imported, FileError> {
    let Object(Wrapped(images)) = json::parse(text.as_bytes(), origin, REMEDY)?;
    let lines = lines(text);
    let mut imported = Imported::default();
    for (image, tags) in images.0 {
        for (tag, platforms) in tags.0 {
            let written: BTreeSet<String> = platforms.0.into_values().collect();
            let named = format!("{image}:{tag}");
            let first = written.iter().next();
            let line = first.map_or(1, |reference| line_of(&lines, reference));
            let [reference] = &written.iter().collect::<Vec<_>>()[..] else {
                imported.skip(line, &named, "its platforms have different references");
                continue;
            };
            match reference.parse::<Reference>() {
                Ok(reference)
                    if reference.image == image && reference.tag.as_ref() == Some(&tag) =>
                {
                    imported.found.push(LocatedReference { line, reference });
                }
                Ok(_) => imported.skip(
                    line,
                    reference,
                    &format!("it is not a reference to {named}"),
                ),
                Err(error) => imported.skip(line, reference, &error.to_string()),
            }
        }
    }
    Ok(imported)
}

/// Lets [`Object`] reject a list at the top level.
struct Wrapped(Digests);

impl<'de> serde::Deserialize<'de> for Wrapped {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Digests::deserialize(deserializer).map(Self)
    }
}

/// The line of the first occurrence of each quoted text, from 1 on.
fn lines(text: &str) -> HashMap<&str, usize> {
    let mut lines = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        for quoted in line.split('"').skip(1).step_by(2) {
            lines.entry(quoted).or_insert(number + 1);
        }
    }
    lines
}

fn line_of(lines: &HashMap<&str, usize>, quoted: &str) -> usize {
    lines.get(quoted).copied().unwrap_or(1)
}
