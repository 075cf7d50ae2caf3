//! Compose files (the Compose specification, `services.*.image`) and Kubernetes
//! manifests, of one document or more.
//!
//! Read as events, without putting in what an alias stands for: an anchor's own
//! place is read anyway, and no file can grow in memory.

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::{Imported, expand};

/// Deepest nesting that is read.
const DEEPEST: usize = 128;

/// A collection that is open.
enum Level {
    /// A mapping, and the key whose value comes next.
    Mapping(Option<String>),
    Sequence,
}

/// One document: what it says it is, and its images.
#[derive(Default)]
struct Document {
    top: Vec<String>,
    images: Vec<(usize, String, bool)>,
}

pub(super) fn parse(text: &str) -> Result<Imported, String> {
    let mut imported = Imported::default();
    let mut levels: Vec<Level> = Vec::new();
    let mut document = Document::default();
    let mut any = false;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| error.to_string())?;
        match event {
            Event::DocumentStart(_) => document = Document::default(),
            Event::DocumentEnd => any |= document.finish(&mut imported),
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                if levels.len() == DEEPEST {
                    return Err(format!("it is nested more than {DEEPEST} levels deep"));
                }
                levels.push(if matches!(event, Event::MappingStart(..)) {
                    Level::Mapping(None)
                } else {
                    Level::Sequence
                });
            }
            Event::MappingEnd | Event::SequenceEnd => {
                levels.pop();
                value_done(&mut levels);
            }
            Event::Alias(_) => value_or_key(&mut levels, String::new()),
            Event::Scalar(value, style, ..) => {
                let is_value = matches!(levels.last(), Some(Level::Mapping(Some(_))));
                if is_value {
                    let is_text =
                        style != ScalarStyle::Plain || !matches!(&*value, "" | "~" | "null");
                    if is_text {
                        document.value(&levels, span.start.line(), &value);
                    }
                } else if levels.len() == 1 {
                    document.top.push(value.to_string());
                }
                value_or_key(&mut levels, value.into_owned());
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

/// A scalar is a key, or the value of one.
fn value_or_key(levels: &mut [Level], text: String) {
    if let Some(Level::Mapping(key)) = levels.last_mut() {
        *key = match key {
            None => Some(text),
            Some(_) => None,
        };
    }
}

fn value_done(levels: &mut [Level]) {
    if let Some(Level::Mapping(key)) = levels.last_mut() {
        *key = None;
    }
}

impl Document {
    /// Notes a value that is an image by its place.
    fn value(&mut self, levels: &[Level], line: usize, value: &str) {
        let keys: Vec<&str> = levels
            .iter()
            .map(|level| match level {
                Level::Mapping(Some(key)) => key,
                _ => "",
            })
            .collect();
        let in_compose = match keys[..] {
            ["services", _, "image"] => true,
            // Extension fields are there to be referred to from services.
            [first, .., "image"] => first.starts_with("x-"),
            _ => false,
        };
        // An image volume names its own with `reference`.
        let in_kubernetes = matches!(keys[..], [.., "image"] | [.., "image", "reference"]);
        if in_compose || in_kubernetes {
            self.images.push((line, value.to_owned(), in_compose));
        }
    }

    /// Takes the images of a document that says what it is.
    fn finish(&mut self, imported: &mut Imported) -> bool {
        let has = |key: &str| self.top.iter().any(|top| top == key);
        let (is_compose, is_kubernetes) = (has("services"), has("kind") && has("apiVersion"));
        for (line, image, in_compose) in &self.images {
            if is_kubernetes {
                imported.take(*line, image);
            } else if is_compose && *in_compose {
                // A variable's value is the machine's own affair; its default is not.
                match expand(image, &|_| None) {
                    Ok(expanded) => imported.take(*line, &expanded),
                    Err(reason) => imported.leave(*line, image, &reason),
                }
            }
        }
        // An empty document between others says nothing.
        is_compose || is_kubernetes
    }
}
