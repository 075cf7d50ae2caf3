//! Reads compose files (Compose specification, `services.*.image`) and Kubernetes
//! manifests, with one or more documents.
//!
//! Reads parser events and does not expand aliases to collections: the anchored
//! collection is read where it is defined, and no file grows in memory.

use std::collections::{BTreeSet, HashMap};

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::imported::Imported;
use super::variables::expand;
use crate::reference::Reference;

/// Deepest nesting that is read.
const MAX_NESTING: usize = 128;

/// An open collection.
enum Level {
    /// A mapping, and the key of the next value.
    Mapping(Option<String>),
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
    /// In the service of this name, or in an extension field (`x-...`).
    Compose(Option<String>),
    /// In a container or an image volume.
    Container,
    /// Elsewhere in a Kubernetes manifest.
    Other,
}

/// One YAML document: its top-level keys and its images.
#[derive(Default)]
struct Document {
    top: HashMap<String, String>,
    /// Services with `build`, whose image is not pulled.
    built: BTreeSet<String>,
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
                levels.push(if matches!(event, Event::MappingStart(..)) {
                    Level::Mapping(None)
                } else {
                    Level::Sequence
                });
            }
            Event::MappingEnd | Event::SequenceEnd => {
                levels.pop();
                if let Some(Level::Mapping(key)) = levels.last_mut() {
                    *key = None;
                }
            }
            Event::Alias(anchor) => {
                // An alias to a collection has no value: its anchor was read
                // already.
                let value = anchors.get(&anchor).cloned().unwrap_or_default();
                document.scalar(&mut levels, line, value);
            }
            Event::Scalar(value, style, anchor, _) => {
                let is_null = style == ScalarStyle::Plain && matches!(&*value, "" | "~" | "null");
                let value = if is_null {
                    String::new()
                } else {
                    value.into_owned()
                };
                if anchor > 0 {
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
        let keys: Vec<&str> = levels
            .iter()
            .map(|level| match level {
                Level::Mapping(Some(key)) => key,
                _ => "",
            })
            .collect();
        match (levels.last(), &keys[..]) {
            (Some(Level::Mapping(Some(_))), [top]) => {
                self.top.insert((*top).to_owned(), text.clone());
            }
            (Some(Level::Mapping(Some(_))), keys) if !text.is_empty() => {
                if let Some(place) = Place::of(keys) {
                    self.images.push(Image {
                        line,
                        text: text.clone(),
                        place,
                    });
                }
            }
            (Some(Level::Mapping(None)), [""]) => {
                self.top.entry(text.clone()).or_default();
            }
            (Some(Level::Mapping(None)), ["services", service, ""]) if text == "build" => {
                self.built.insert((*service).to_owned());
            }
            _ => {}
        }
        if let Some(Level::Mapping(key)) = levels.last_mut() {
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
        for Image { line, text, place } in &self.images {
            match place {
                Place::Compose(Some(service)) if is_compose && self.built.contains(service) => {
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

impl Place {
    /// The place that these nested keys lead to, if its value names an image.
    fn of(keys: &[&str]) -> Option<Self> {
        const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];
        match keys {
            ["services", service, "image"] => Some(Self::Compose(Some((*service).to_owned()))),
            // Services use extension fields through anchors.
            [first, .., "image"] if first.starts_with("x-") => Some(Self::Compose(None)),
            [.., "image", "reference"] => Some(Self::Container),
            [.., of, "", "image"] if CONTAINERS.contains(of) => Some(Self::Container),
            [.., "image"] => Some(Self::Other),
            _ => None,
        }
    }
}
