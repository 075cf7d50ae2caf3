//! Reads compose files (Compose specification, `services.*.image`) and Kubernetes
//! manifests, with one or more documents.
//!
//! Reads parser events and does not expand aliases to collections: the anchored
//! collection is read where it is defined, and no file grows in memory.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::built::Built;
use super::imported::Imported;
use super::variables::expand;
use crate::reference::Reference;

/// Deepest nesting that is read.
const MAX_NESTING: usize = 128;
/// Longest text that an alias stands for, in bytes; an image has fewer.
const LONGEST_ALIASED: usize = 1024;

/// An open collection.
enum Level {
    /// A mapping: its number in the file, and the key of the next value.
    Mapping(usize, Option<String>),
    Sequence,
}

/// The value of a key that may name an image.
struct Image {
    line: usize,
    text: String,
    place: Place,
}

#[derive(PartialEq, Eq)]
enum Place {
    /// In a service or an extension field (`x-...`): the mapping of this number.
    Compose(usize),
    /// In a container or an image volume.
    Container,
    /// Elsewhere in a Kubernetes manifest.
    Other,
}

/// One YAML document: its top-level keys, its images, and what tells which are built.
#[derive(Default)]
struct Document {
    top: HashMap<String, String>,
    /// Mappings with `build`, whose image is not pulled.
    built: Built,
    /// The mapping of each service.
    services: HashMap<String, usize>,
    /// Mappings of services, and the names of those that they extend.
    extended: Vec<(usize, String)>,
    images: Vec<Image>,
}

/// Whether a JSON text is a compose file or a Kubernetes manifest.
pub(super) fn is_known(text: &str) -> bool {
    let members: HashMap<String, serde_json::Value> =
        serde_json::from_str(text).unwrap_or_default();
    members.contains_key("services")
        || (members.contains_key("apiVersion") && members.contains_key("kind"))
}

pub(super) fn parse(text: &str) -> Result<Imported, String> {
    let mut imported = Imported::default();
    let mut levels: Vec<Level> = Vec::new();
    let mut anchors: HashMap<usize, String> = HashMap::new();
    let mut anchored: HashMap<usize, usize> = HashMap::new();
    let mut mappings = 0;
    let mut document = Document::default();
    let mut any = false;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| error.to_string())?;
        let line = span.start.line();
        match event {
            Event::DocumentStart(_) => document = Document::default(),
            Event::DocumentEnd => any |= document.finish(&mut imported),
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                if levels.len() == MAX_NESTING {
                    return Err(format!("it is nested more than {MAX_NESTING} levels deep"));
                }
                let Event::MappingStart(anchor, _) = event else {
                    levels.push(Level::Sequence);
                    continue;
                };
                let mapping = mappings;
                mappings += 1;
                if anchor > 0 {
                    anchored.insert(anchor, mapping);
                }
                if let Some(heir) = merging(&levels) {
                    document.built.inherit(heir, mapping);
                }
                if let ["services", service] = keys(&levels)[..] {
                    document.services.insert(service.to_owned(), mapping);
                }
                levels.push(Level::Mapping(mapping, None));
            }
            Event::MappingEnd | Event::SequenceEnd => {
                levels.pop();
                if let Some(Level::Mapping(_, key)) = levels.last_mut() {
                    *key = None;
                }
            }
            Event::Alias(anchor) => {
                // An alias to a collection has no value: its anchor was read
                // already.
                let value = anchors.get(&anchor).cloned().unwrap_or_default();
                if let Some(source) = anchored.get(&anchor)
                    && let Some(mapping) = merging(&levels)
                {
                    document.built.inherit(mapping, *source);
                }
                document.scalar(&mut levels, line, value);
            }
            Event::Scalar(value, style, anchor, _) => {
                let is_null = style == ScalarStyle::Plain && matches!(&*value, "" | "~" | "null");
                let value = if is_null {
                    String::new()
                } else {
                    value.into_owned()
                };
                if anchor > 0 && value.len() <= LONGEST_ALIASED {
                    anchors.insert(anchor, value.clone());
                }
                document.scalar(&mut levels, line, value);
            }
            _ => {}
        }
    }
    if any {
        Ok(imported)
    } else {
        Err("it is neither a compose file nor a Kubernetes manifest".to_owned())
    }
}

impl Document {
    /// Handles a scalar: a key, a value or a list item.
    fn scalar(&mut self, levels: &mut [Level], line: usize, text: String) {
        let keys = keys(levels);
        match (levels.last(), &keys[..]) {
            (Some(Level::Mapping(_, Some(_))), [top]) => {
                self.top.insert((*top).to_owned(), text.clone());
            }
            (
                Some(Level::Mapping(_, Some(_))),
                ["services", service, "extends"] | ["services", service, "extends", "service"],
            ) => {
                if let Some(mapping) = self.services.get(*service) {
                    self.extended.push((*mapping, text.clone()));
                }
            }
            (Some(Level::Mapping(mapping, Some(_))), keys) if !text.is_empty() => {
                if let Some(place) = Place::of(keys, *mapping) {
                    self.images.push(Image {
                        line,
                        text: text.clone(),
                        place,
                    });
                }
            }
            (Some(Level::Mapping(_, None)), [""]) => {
                self.top.entry(text.clone()).or_default();
            }
            (Some(Level::Mapping(mapping, None)), _) if text == "build" => {
                self.built.insert(*mapping);
            }
            _ => {}
        }
        if let Some(Level::Mapping(_, key)) = levels.last_mut() {
            *key = match key {
                None => Some(text),
                Some(_) => None,
            };
        }
    }

    /// Adds the document's images to `imported`. Returns whether the document is a
    /// compose file or a Kubernetes manifest.
    fn finish(&mut self, imported: &mut Imported) -> bool {
        let is_compose = self.top.contains_key("services");
        let kind = self
            .top
            .get("kind")
            .filter(|_| self.top.contains_key("apiVersion"));
        let is_data = kind.is_some_and(|kind| matches!(kind.as_str(), "ConfigMap" | "Secret"));
        for (mapping, service) in &self.extended {
            if let Some(source) = self.services.get(service) {
                self.built.inherit(*mapping, *source);
            }
        }
        let built = self.built.all();
        for Image { line, text, place } in &self.images {
            match place {
                Place::Compose(mapping) if is_compose && built.contains(mapping) => {
                    imported.skip(*line, text, "it is built from sources, not pulled");
                }
                Place::Compose(_) if is_compose => {
                    // The environment is unknown here; only defaults apply.
                    match expand(text, &|_| None) {
                        Ok(expanded) => imported.take(*line, &expanded),
                        Err(reason) => imported.skip(*line, text, &reason),
                    }
                }
                _ if kind.is_none() || is_data => {}
                Place::Container => imported.take(*line, text),
                // Elsewhere, `image` may name a picture.
                _ => match text.parse::<Reference>() {
                    Ok(Reference {
                        tag: None,
                        digest: None,
                        ..
                    })
                    | Err(_) => {
                        imported.skip(
                            *line,
                            text,
                            "it has neither tag nor digest, and may be something else",
                        );
                    }
                    Ok(_) => imported.take(*line, text),
                },
            }
        }
        is_compose || kind.is_some()
    }
}

/// Whether `path` leads to a service, or into an extension field, which services use through
/// anchors.
fn is_compose(path: &[&str]) -> bool {
    match path {
        ["services", _] => true,
        [first, ..] => first.starts_with("x-"),
        [] => false,
    }
}

/// The key of each level; empty for sequences and where a key is to come.
fn keys(levels: &[Level]) -> Vec<&str> {
    let keys = levels.iter().map(|level| match level {
        Level::Mapping(_, Some(key)) => key,
        _ => "",
    });
    keys.collect()
}

/// The mapping that the next value is merged into, if its key is `<<`.
fn merging(levels: &[Level]) -> Option<usize> {
    match levels {
        [.., Level::Mapping(mapping, Some(key))]
        | [.., Level::Mapping(mapping, Some(key)), Level::Sequence]
            if key == "<<" =>
        {
            Some(*mapping)
        }
        _ => None,
    }
}

impl Place {
    /// The place that these nested keys lead to, in `mapping`, if its value names an image.
    fn of(keys: &[&str], mapping: usize) -> Option<Self> {
        const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];
        match keys {
            [parent @ .., "image"] if is_compose(parent) => Some(Self::Compose(mapping)),
            [.., "image", "reference"] => Some(Self::Container),
            [.., of, "", "image"] if CONTAINERS.contains(of) => Some(Self::Container),
            [.., "image"] => Some(Self::Other),
            _ => None,
        }
    }
}
