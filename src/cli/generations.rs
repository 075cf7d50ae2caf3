//! The containers of NixOS generations, which the module lists in a file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anstyle::AnsiColor;
use anyhow::{Context as _, Result, bail};
use nix_oci_hashes::file::plain;
use nix_oci_hashes::reference::{Precision, Reference, Tag};
use nix_oci_hashes::text::Plain;
use serde::Deserialize;
use serde_json::{Value, json};

use super::columns::{Cell, align};
use super::output;
use super::report::markdown;

/// The file, from the generation's folder.
const FILE: &str = "etc/nix-oci-hashes/containers.json";
const VERSION: u64 = 1;

/// The references of the containers of a generation, by their names.
pub(super) struct Generation(BTreeMap<String, Reference>);

impl Generation {
    /// Reads the generation in `folder`.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct File {
            version: u64,
            containers: BTreeMap<String, String>,
        }
        let path = folder.join(FILE);
        let name = output::name_of(&path);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) => bail!(
                "{name}: {}; the module nixosModules.default writes it, so name a generation that has it",
                plain(&error)
            ),
        };
        let file: File = serde_json::from_slice(&text).with_context(|| name.clone())?;
        if file.version != VERSION {
            bail!(
                "{name}: version {} is not known; update nix-oci-hashes",
                file.version
            );
        }
        let references = file.containers.into_iter().map(|(container, text)| {
            let reference = text.parse().with_context(|| name.clone())?;
            Ok((container, reference))
        });
        Ok(Self(references.collect::<Result<_>>()?))
    }
}

/// How the containers of two generations differ.
pub(super) struct Changes {
    changes: Vec<Change>,
    kept: usize,
}

struct Change {
    container: String,
    old: Option<Reference>,
    new: Option<Reference>,
}

pub(super) fn compare(old: &Generation, new: &Generation) -> Changes {
    let names: BTreeSet<&String> = old.0.keys().chain(new.0.keys()).collect();
    let all = names.len();
    let changes = names.into_iter().map(|name| Change {
        container: name.clone(),
        old: old.0.get(name).cloned(),
        new: new.0.get(name).cloned(),
    });
    let changes: Vec<Change> = changes.filter(|change| change.old != change.new).collect();
    Changes {
        kept: all - changes.len(),
        changes,
    }
}

impl Change {
    fn word(&self) -> &'static str {
        match (&self.old, &self.new) {
            (None, _) => "added",
            (_, None) => "removed",
            (Some(old), Some(new)) if is_repushed(old, new) => "re-pushed",
            _ => "moved",
        }
    }

    /// `docker.io/nextcloud:34.0.4 -> 34.0.5, 1f9febf80e71 -> b9f1f7617515`
    fn words(&self) -> String {
        match (&self.old, &self.new) {
            (Some(old), Some(new)) if old.image == new.image => {
                let tags = if old.tag == new.tag {
                    tag(old)
                } else {
                    format!("{} -> {}", tag(old), tag(new))
                };
                format!("{}:{tags}, {} -> {}", old.image, digest(old), digest(new))
            }
            (Some(old), Some(new)) => format!("{} -> {}", short(old), short(new)),
            (Some(one), None) | (None, Some(one)) => short(one),
            (None, None) => String::new(),
        }
    }

    fn colour(&self) -> AnsiColor {
        match self.word() {
            "added" => AnsiColor::Green,
            "removed" => AnsiColor::Yellow,
            "re-pushed" => AnsiColor::Red,
            _ => AnsiColor::Cyan,
        }
    }
}

/// Whether a tag that names a version of three numbers points to another digest.
fn is_repushed(old: &Reference, new: &Reference) -> bool {
    let version = old.tag.as_ref().and_then(Tag::version);
    let is_full = version.is_some_and(|version| version.precision() == Precision::MajorMinorPatch);
    is_full && old.image == new.image && old.tag == new.tag && old.digest != new.digest
}

fn tag(reference: &Reference) -> String {
    let tag = reference.tag.as_ref();
    tag.map_or("latest".to_owned(), ToString::to_string)
}

fn digest(reference: &Reference) -> String {
    let digest = reference.digest.as_ref();
    digest.map_or("no digest".to_owned(), |digest| digest.short().to_string())
}

fn short(reference: &Reference) -> String {
    format!(
        "{}:{}, {}",
        reference.image,
        tag(reference),
        digest(reference)
    )
}

impl Changes {
    fn sum(&self, title: &str) -> String {
        let count = |word: &str| self.changes.iter().filter(|one| one.word() == word).count();
        let mut parts = vec![
            format!("{} added", count("added")),
            format!("{} moved", count("moved")),
            format!("{} removed", count("removed")),
            format!("{} kept", self.kept),
        ];
        if count("re-pushed") > 0 {
            parts.push(format!("{} re-pushed", count("re-pushed")));
        }
        format!("{}: {}", parts.join(", "), Plain(title))
    }

    pub(super) fn to_text(&self, title: &str) -> String {
        let rows = self.changes.iter().map(|change| {
            vec![
                Cell::styled(change.word(), change.colour().on_default()),
                Cell::plain(Plain(&change.container).to_string()),
                Cell::plain(change.words()),
            ]
        });
        let rows: Vec<Vec<Cell>> = rows.collect();
        format!("{}{}\n", align(&rows), self.sum(title))
    }

    pub(super) fn to_markdown(&self, title: &str) -> String {
        let rows = self.changes.iter().map(|change| {
            [
                change.word().to_owned(),
                markdown::code(&change.container),
                markdown::code(&change.words()),
            ]
        });
        let mut text = format!("**{}**\n", self.sum(title));
        let head = &["", "container", "image"];
        let rows: Vec<_> = rows.collect();
        markdown::table(&mut text, "containers", head, &rows, usize::MAX);
        text
    }

    pub(super) fn to_json(&self) -> String {
        let text = |reference: &Option<Reference>| reference.as_ref().map(ToString::to_string);
        let changes = self.changes.iter().map(|change| {
            json!({
                "kind": change.word(), "container": change.container,
                "old": text(&change.old), "new": text(&change.new),
            })
        });
        let document = json!({
            "version": VERSION, "changes": changes.collect::<Vec<Value>>(), "kept": self.kept,
        });
        format!("{document:#}\n")
    }
}
