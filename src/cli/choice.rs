//! The tags that an entry of images.json selects and skips, and why.

use std::collections::{BTreeMap, BTreeSet};

use anstyle::AnsiColor;
use nix_oci_hashes::images::TrackedImage;
use nix_oci_hashes::reference::{Tag, by_version};
use nix_oci_hashes::refresh::{Decision, Options, RequestReason, SkipReason, plan};
use nix_oci_hashes::table::Pins;
use nix_oci_hashes::table::pending::PendingTags;

use super::columns::{Cell, align};

/// How many tags a line shows: selected ones, and skipped ones.
const SELECTED_SHOWN: usize = 12;
const SKIPPED_SHOWN: usize = 3;
/// How many skipped variants a line names.
const VARIANTS_SHOWN: usize = 6;

/// A line for each reason to select or skip tags, the newest tags first.
pub(super) fn render(tracked: &TrackedImage, listed: &BTreeSet<Tag>) -> String {
    let options = Options {
        explain: true,
        ..Options::default()
    };
    let plan = plan(tracked, &Pins::new(), &PendingTags::new(), listed, &options);
    let mut taken: BTreeMap<String, Vec<&Tag>> = BTreeMap::new();
    let mut left: BTreeMap<String, Vec<&Tag>> = BTreeMap::new();
    let mut variants: BTreeMap<&str, usize> = BTreeMap::new();
    for (tag, decision) in &plan.decisions {
        match decision {
            Decision::Request(why) => {
                let why = match why {
                    RequestReason::Listed => "'tags'".to_owned(),
                    why => why.to_string(),
                };
                taken.entry(why).or_default().push(tag);
            }
            Decision::Skip(SkipReason::OtherVariant(variant)) => {
                *variants.entry(variant).or_default() += 1;
            }
            Decision::Skip(why) => left.entry(why.to_string()).or_default().push(tag),
            Decision::Keep(_) => {}
        }
    }
    let good = AnsiColor::Green.on_default();
    let dim = AnsiColor::Yellow.on_default();
    let follows = taken.into_iter().map(|(why, tags)| {
        vec![
            Cell::styled("follows", good),
            Cell::plain(names(tags, SELECTED_SHOWN)),
            Cell::plain(why),
        ]
    });
    let leaves = left.into_iter().map(|(why, tags)| {
        vec![
            Cell::styled("leaves", dim),
            Cell::plain(names(tags, SKIPPED_SHOWN)),
            Cell::plain(why),
        ]
    });
    let mut rows: Vec<Vec<Cell>> = follows.chain(leaves).collect();
    if !variants.is_empty() {
        let tags: usize = variants.values().sum();
        rows.push(vec![
            Cell::styled("leaves", dim),
            Cell::plain(format!("{tags} tags")),
            Cell::plain(format!("of other variants: {}", most(variants))),
        ]);
    }
    align(&rows)
}

/// The newest of `tags`, and how many more there are.
fn names(mut tags: Vec<&Tag>, most: usize) -> String {
    tags.sort_by_cached_key(|tag| std::cmp::Reverse(by_version(tag)));
    let shown: Vec<&str> = tags.iter().take(most).map(|tag| tag.as_str()).collect();
    more(shown.join(" "), tags.len().saturating_sub(most))
}

/// The most common variants, and how many more there are.
fn most(variants: BTreeMap<&str, usize>) -> String {
    let count = variants.len();
    let mut variants: Vec<(&str, usize)> = variants.into_iter().collect();
    variants.sort_by_key(|(variant, count)| (std::cmp::Reverse(*count), variant.len()));
    let shown = variants.iter().take(VARIANTS_SHOWN);
    let shown: Vec<String> = shown.map(|(variant, _)| format!("'{variant}'")).collect();
    more(shown.join(" "), count.saturating_sub(VARIANTS_SHOWN))
}

fn more(shown: String, more: usize) -> String {
    match more {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
