//! Which of the listed tags an entry of images.json takes, and why.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::decision::{Left, Taken};
use crate::images::{Strategy, TrackedImage};
use crate::tag::Tag;
use crate::variant::VariantPattern;
use crate::version::{Precision, Version};

/// A listed tag that is a version of a tracked variant.
struct Candidate<'a> {
    tag: &'a Tag,
    version: Version,
    pattern: &'a VariantPattern,
    /// What `#` stands for in the variant.
    number: u64,
}

/// Of each listed tag, whether `tracked` takes it, and why or why not.
pub(super) fn choose<'a>(
    tracked: &'a TrackedImage,
    listed: &'a BTreeSet<Tag>,
) -> BTreeMap<&'a Tag, Result<Taken, Left>> {
    let mut outcomes = BTreeMap::new();
    let mut candidates: BTreeMap<Precision, Vec<Candidate<'_>>> = BTreeMap::new();
    for tag in listed {
        if tracked.tags.contains(tag) {
            outcomes.insert(tag, Ok(Taken::Listed));
            continue;
        }
        match candidate(tracked, tag) {
            Ok(candidate) => candidates
                .entry(candidate.version.precision())
                .or_default()
                .push(candidate),
            Err(left) => {
                outcomes.insert(tag, Err(left));
            }
        }
    }
    for (precision, candidates) in candidates {
        match tracked.strategies.get(&precision) {
            None => {
                let left = candidates
                    .iter()
                    .map(|c| (c.tag, Err(Left::Off(precision))));
                outcomes.extend(left);
            }
            Some(Strategy::Newest) => {
                outcomes.extend(newest(precision, tracked.keep, &candidates));
            }
            Some(Strategy::Matching(requirement)) => {
                let requirement = Arc::new(requirement.clone());
                outcomes.extend(candidates.iter().map(|candidate| {
                    let requirement = Arc::clone(&requirement);
                    let outcome = if requirement.matches(&candidate.version) {
                        Ok(Taken::Satisfies {
                            precision,
                            requirement,
                        })
                    } else {
                        Err(Left::Unsatisfied {
                            precision,
                            requirement,
                        })
                    };
                    (candidate.tag, outcome)
                }));
            }
            Some(Strategy::Since(bounds)) => {
                outcomes.extend(
                    candidates
                        .iter()
                        .map(|candidate| (candidate.tag, since(precision, bounds, candidate))),
                );
            }
        }
    }
    outcomes
}

fn candidate<'a>(tracked: &'a TrackedImage, tag: &'a Tag) -> Result<Candidate<'a>, Left> {
    let version = tag.version().ok_or(Left::NoVersion)?;
    let found = tracked.variants.iter().find_map(|pattern| {
        let number = pattern.matches(version.variant())?;
        Some((pattern, number))
    });
    match found {
        Some((pattern, number)) => Ok(Candidate {
            tag,
            version,
            pattern,
            number,
        }),
        None => Err(Left::OtherVariant(version.variant().to_owned())),
    }
}

/// The newest releases of each variant. Spellings of one release (`v1.2.3`,
/// `1.2.3`) count once and are all taken: people write either.
fn newest<'a>(
    precision: Precision,
    keep: usize,
    candidates: &[Candidate<'a>],
) -> Vec<(&'a Tag, Result<Taken, Left>)> {
    let mut outcomes = Vec::new();
    let mut variants: BTreeMap<_, BTreeMap<_, Vec<&Tag>>> = BTreeMap::new();
    for candidate in candidates {
        let version = &candidate.version;
        if version.is_prerelease() {
            outcomes.push((candidate.tag, Err(Left::Prerelease)));
        } else if version.may_be_commit_or_date() {
            outcomes.push((candidate.tag, Err(Left::CommitOrDate)));
        } else {
            variants
                .entry(candidate.pattern)
                .or_default()
                .entry((version.release_order(), candidate.number))
                .or_default()
                .push(candidate.tag);
        }
    }
    for releases in variants.into_values() {
        for (rank, tags) in releases.into_values().rev().enumerate() {
            outcomes.extend(tags.into_iter().map(|tag| {
                let outcome = if rank < keep {
                    Ok(Taken::Newest { precision, keep })
                } else {
                    Err(Left::Older { precision, keep })
                };
                (tag, outcome)
            }));
        }
    }
    outcomes
}

fn since(
    precision: Precision,
    bounds: &BTreeMap<VariantPattern, Version>,
    candidate: &Candidate<'_>,
) -> Result<Taken, Left> {
    let version = &candidate.version;
    let Some(bound) = bounds.get(candidate.pattern) else {
        return Err(Left::Off(precision));
    };
    if version.is_prerelease() {
        Err(Left::Prerelease)
    } else if version.may_be_commit_or_date() != bound.may_be_commit_or_date() {
        Err(Left::CommitOrDate)
    } else if version.release_order() < bound.release_order() {
        Err(Left::BelowBound(precision))
    } else {
        Ok(Taken::Since(precision))
    }
}
