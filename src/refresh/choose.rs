//! Selects tags of a tag list by the strategies of an entry of images.json.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::decision::{RequestReason, SkipReason};
use crate::images::{Strategy, TrackedImage};
use crate::reference::{HexBuilds, Precision, Requirement, Tag, VariantPattern, Version};

/// A listed tag that is a version of a tracked variant.
#[derive(Clone)]
struct Candidate<'a> {
    tag: &'a Tag,
    version: Version,
    variant: &'a VariantPattern,
    /// The number for each `#` of the variant.
    numbers: Vec<u64>,
}

type Outcomes<'a> = BTreeMap<&'a Tag, Result<RequestReason, SkipReason>>;

/// For each listed tag, why `tracked` selects or skips it.
pub(super) fn choose<'a>(
    tracked: &'a TrackedImage,
    listed: &'a BTreeSet<Tag>,
    builds: &HexBuilds,
) -> Outcomes<'a> {
    let mut outcomes = Outcomes::new();
    let mut candidates: BTreeMap<Precision, Vec<Candidate<'_>>> = BTreeMap::new();
    for tag in listed {
        match candidate(tracked, tag, builds) {
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
                    .map(|c| (c.tag, Err(SkipReason::Off(precision))));
                outcomes.extend(left);
            }
            Some(Strategy::Newest) => {
                let keep = tracked.keep_newest();
                let taken = RequestReason::Newest { precision, keep };
                let is_release = |candidate: &Candidate<'_>| stable(&candidate.version);
                let keep = Some(keep);
                outcomes.extend(take(&candidates, precision, keep, &taken, is_release));
            }
            Some(Strategy::Matching(requirements)) => {
                outcomes.extend(matching(&candidates, precision, tracked.keep, requirements));
            }
            Some(Strategy::Since(bounds)) => {
                let is_since = |candidate: &Candidate<'_>| since(precision, bounds, candidate);
                let taken = RequestReason::Since(precision);
                outcomes.extend(take(&candidates, precision, None, &taken, is_since));
            }
        }
    }
    // Tags in `tags` count towards `keep`, and are selected whatever their rank.
    let always = listed.iter().filter(|tag| tracked.tags.contains(*tag));
    outcomes.extend(always.map(|tag| (tag, Ok(RequestReason::Listed))));
    outcomes
}

fn candidate<'a>(
    tracked: &'a TrackedImage,
    tag: &'a Tag,
    builds: &HexBuilds,
) -> Result<Candidate<'a>, SkipReason> {
    if tracked.ignores(tag) {
        return Err(SkipReason::Ignored);
    }
    match tracked.read(tag, builds) {
        Some((version, variant, numbers)) => Ok(Candidate {
            tag,
            version,
            variant,
            numbers,
        }),
        None if !tracked.patterns.is_empty() => Err(match tracked.recorded_version(tag) {
            Some(version) => SkipReason::OtherVariant(version.variant().to_owned()),
            None => SkipReason::NoPattern,
        }),
        None => Err(match Version::parse_among(tag.as_str(), builds, &[]) {
            Some(version) => SkipReason::OtherVariant(version.variant().to_owned()),
            None => SkipReason::NoVersion,
        }),
    }
}

/// Selects tags by a list of requirements. The reason for a tag names the first
/// requirement that selects it.
fn matching<'a>(
    candidates: &[Candidate<'a>],
    precision: Precision,
    keep: Option<usize>,
    requirements: &[Requirement],
) -> Outcomes<'a> {
    let mut outcomes = Outcomes::new();
    for requirement in requirements {
        let requirement = Arc::new(requirement.clone());
        let satisfies = |candidate: &Candidate<'_>| {
            if requirement.matches(&candidate.version) {
                Ok(())
            } else {
                Err(SkipReason::Unsatisfied {
                    precision,
                    requirement: Arc::clone(&requirement),
                })
            }
        };
        let taken = RequestReason::Satisfies {
            precision,
            requirement: Arc::clone(&requirement),
        };
        for (tag, outcome) in take(candidates, precision, keep, &taken, satisfies) {
            let is_better = match outcomes.get(tag) {
                None => true,
                Some(Ok(_)) => false,
                // "Satisfied but too old" is a better reason than "not satisfied".
                Some(Err(before)) => {
                    outcome.is_ok() || matches!(before, SkipReason::Unsatisfied { .. })
                }
            };
            if is_better {
                outcomes.insert(tag, outcome);
            }
        }
    }
    outcomes
}

/// Selects, among the candidates that fit, the newest `keep` releases of each
/// variant (all without `keep`), and the highest build of each release. Selects
/// both `v1.2.3` and `1.2.3` if the registry has both: references use either.
fn take<'a>(
    candidates: &[Candidate<'a>],
    precision: Precision,
    keep: Option<usize>,
    taken: &RequestReason,
    fits: impl Fn(&Candidate<'_>) -> Result<(), SkipReason>,
) -> Outcomes<'a> {
    let mut outcomes = Outcomes::new();
    let mut variants: BTreeMap<_, BTreeMap<_, BTreeMap<_, Vec<&Tag>>>> = BTreeMap::new();
    for candidate in candidates {
        let version = &candidate.version;
        match fits(candidate) {
            Ok(()) => variants
                .entry(candidate.variant)
                .or_default()
                .entry(version.release_order())
                .or_default()
                .entry((candidate.numbers.clone(), version.build_order()))
                .or_default()
                .push(candidate.tag),
            Err(left) => {
                outcomes.insert(candidate.tag, Err(left));
            }
        }
    }
    for releases in variants.into_values() {
        for (rank, builds) in releases.into_values().rev().enumerate() {
            for (build, tags) in builds.into_values().rev().enumerate() {
                let outcome = match keep {
                    Some(keep) if rank >= keep => Err(SkipReason::Older { precision, keep }),
                    _ if build > 0 => Err(SkipReason::OlderBuild),
                    _ => Ok(taken.clone()),
                };
                outcomes.extend(tags.into_iter().map(|tag| (tag, outcome.clone())));
            }
        }
    }
    outcomes
}

/// `Ok` for a release. Only a requirement can select a prerelease, a commit or a
/// date.
fn stable(version: &Version) -> Result<(), SkipReason> {
    if version.is_prerelease() {
        Err(SkipReason::Prerelease)
    } else if version.may_be_commit_or_date() {
        Err(SkipReason::CommitOrDate)
    } else {
        Ok(())
    }
}

fn since(
    precision: Precision,
    bounds: &BTreeMap<VariantPattern, Version>,
    candidate: &Candidate<'_>,
) -> Result<(), SkipReason> {
    let version = &candidate.version;
    let Some(bound) = bounds.get(candidate.variant) else {
        return Err(SkipReason::Off(precision));
    };
    if version.is_prerelease() {
        Err(SkipReason::Prerelease)
    } else if version.may_be_commit_or_date() != bound.may_be_commit_or_date() {
        Err(SkipReason::CommitOrDate)
    } else if version.padded_order() < bound.padded_order() {
        Err(SkipReason::BelowBound(precision))
    } else {
        Ok(())
    }
}
