//! The differences of two tables as a commit message: the subject says what changed
//! first, the body has a line for each image.

use std::collections::BTreeMap;

use nix_oci_hashes::reference::{ImageName, Tag, Version};
use nix_oci_hashes::refresh::{Change, Report};
use nix_oci_hashes::table::{Pins, Table};

use super::word;

/// The subject where nothing else fits.
const REFRESH: &str = "Refresh the pins";
/// Longest subject, in characters.
const LONGEST_SUBJECT: usize = 72;
/// Most tags that a line names.
const TAGS_SHOWN: usize = 8;
/// Longest message, in bytes: it is an argument of programs.
const LONGEST: usize = 20_000;

/// The message for a commit of the `new` table. Images and tags are all that it has from
/// outside.
pub(in crate::cli) fn render(report: &Report, old: &Table, new: &Table) -> String {
    let mut images: BTreeMap<&ImageName, Vec<&Change>> = BTreeMap::new();
    for change in &report.changes {
        images.entry(&change.image).or_default().push(change);
    }
    let versions: BTreeMap<&ImageName, String> = images
        .keys()
        .filter_map(|image| Some((*image, version_change(image, old, new)?)))
        .collect();
    let first = versions.iter().next().map(|(image, change)| {
        let name = image.as_str().rsplit('/').next().unwrap_or_default();
        format!("{name} {change}")
    });
    let first = first.or_else(|| images.iter().next().map(|(image, of)| summary(image, of)));
    let subject = match (first, images.len()) {
        (Some(first), 1) => first,
        (Some(first), all) => format!("{first}, and {} more", all - 1),
        (None, _) => REFRESH.to_owned(),
    };
    let mut text = if subject.chars().count() > LONGEST_SUBJECT {
        REFRESH.to_owned()
    } else {
        subject
    };
    text.push('\n');
    for (i, (image, changes)) in images.iter().enumerate() {
        if i == 0 {
            text.push('\n');
        }
        let version = versions
            .get(image)
            .filter(|version| version.contains(" -> "));
        let version = version.map_or(String::new(), |version| format!("{version}; "));
        let line = format!("{image}: {version}{}\n", words(changes));
        if text.len() + line.len() > LONGEST {
            text.push_str(&format!("and {} more images\n", images.len() - i));
            break;
        }
        text.push_str(&line);
    }
    text
}

/// `34.0.4 -> 34.0.5`: the newest versions of an image, if they differ.
fn version_change(image: &ImageName, old: &Table, new: &Table) -> Option<String> {
    let newest = |table: &Table| table.images.get(image).and_then(newest);
    match (newest(old), newest(new)?) {
        (Some(old), new) if old == new => None,
        (Some(old), new) => Some(format!("{old} -> {new}")),
        (None, new) => Some(format!("{new} added")),
    }
}

/// The tag of the newest release, of the plain variant if it has one.
fn newest(pins: &Pins) -> Option<Tag> {
    let versions = pins.iter().filter_map(|(tag, pin)| {
        let version = pin.version_of(tag)?;
        (!version.is_prerelease()).then_some((version, tag))
    });
    let newest = versions.max_by(|(a, _), (b, _)| {
        let key = |version: &Version| version.variant().is_empty();
        key(a).cmp(&key(b)).then_with(|| a.cmp(b))
    });
    newest.map(|(_, tag)| tag.clone())
}

/// `nextcloud:34 moved`, or `3 tags of nextcloud`
fn summary(image: &ImageName, changes: &[&Change]) -> String {
    let name = image.as_str().rsplit('/').next().unwrap_or_default();
    match changes {
        [change] => format!("{name}:{} {}", change.tag, word(&change.kind)),
        _ => format!("{} tags of {name}", changes.len()),
    }
}

/// `added 34.0.5; moved 34, 34.0`
fn words(changes: &[&Change]) -> String {
    let mut tags: Vec<(&str, Vec<&str>)> = Vec::new();
    for change in changes {
        let word = word(&change.kind);
        match tags.iter_mut().find(|(known, _)| *known == word) {
            Some((_, tags)) => tags.push(change.tag.as_str()),
            None => tags.push((word, vec![change.tag.as_str()])),
        }
    }
    let parts = tags.into_iter().map(|(word, tags)| {
        let shown = tags.len().min(TAGS_SHOWN);
        let more = match tags.len() - shown {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{word} {}{more}", tags[..shown].join(", "))
    });
    parts.collect::<Vec<_>>().join("; ")
}
