//! Decides which tags of an image to request. A pure function of the image's entry,
//! the old pins, the tag list and the options.

use std::collections::{BTreeMap, BTreeSet};

use super::choose::choose;
use super::decision::{Decision, KeepReason, RequestReason};
use super::options::Options;
use crate::images::TrackedImage;
use crate::reference::{HexBuilds, Precision, Tag, Version};
use crate::table::Pins;
use crate::table::pending::PendingTags;

/// What a refresh does with the tags of one image.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The decision for each pinned tag, each selected tag and each tag of `tags`.
    /// With `explain`, for each listed tag.
    pub decisions: BTreeMap<Tag, Decision>,
    /// Tags that name a full version, which should never point elsewhere.
    pub full: BTreeSet<Tag>,
}

impl Plan {
    /// Tags whose digest to request.
    pub fn requested(&self) -> impl Iterator<Item = &Tag> {
        self.which(|decision| matches!(decision, Decision::Request(_)))
    }

    /// Pinned tags to keep without a request.
    pub fn kept(&self) -> impl Iterator<Item = &Tag> {
        self.which(|decision| matches!(decision, Decision::Keep(_)))
    }

    /// Pinned tags that the registry no longer lists. Their pins are kept.
    pub fn gone(&self) -> impl Iterator<Item = &Tag> {
        self.which(|decision| matches!(decision, Decision::Keep(KeepReason::Gone)))
    }

    fn which(&self, is: impl Fn(&Decision) -> bool) -> impl Iterator<Item = &Tag> {
        let decisions = self.decisions.iter();
        decisions.filter_map(move |(tag, decision)| is(decision).then_some(tag))
    }
}

/// Decides what to do with the tags of `tracked`, given the old `pins`, the `pending`
/// digests and the tags that the registry lists. With `all`, requests every pinned tag
/// that the registry lists. Only with `explain`, the plan has skipped tags.
pub fn plan(
    tracked: &TrackedImage,
    pins: &Pins,
    pending: &PendingTags,
    listed: &BTreeSet<Tag>,
    Options { all, explain, .. }: &Options,
) -> Plan {
    let known: BTreeSet<&Tag> = listed.iter().chain(pins.keys()).collect();
    let builds = HexBuilds::among(known.iter().map(|tag| tag.as_str()));
    let full = full_versions(&known, tracked, &builds);
    let mut decisions: BTreeMap<Tag, Decision> = choose(tracked, listed, &builds)
        .into_iter()
        .filter_map(|(tag, outcome)| {
            let decision = match (outcome, pins.get(tag)) {
                (Ok(taken), _) => Decision::Request(taken),
                (Err(_), Some(_)) if !full.contains(tag) => {
                    Decision::Request(RequestReason::Floating)
                }
                // Newer tags must not keep a digest from growing old enough.
                (Err(left), _) if left.is_by_age() && pending.contains_key(tag) => {
                    Decision::Request(RequestReason::Pending)
                }
                (Err(left), None) if *explain => Decision::Skip(left),
                (Err(_), None) => return None,
                (Err(_), Some(pin)) if !pin.has_any(&tracked.platforms) => {
                    Decision::Request(RequestReason::Incomplete)
                }
                (Err(_), Some(_)) if *all => Decision::Request(RequestReason::All),
                (Err(_), Some(_)) => Decision::Keep(KeepReason::Full),
            };
            Some((tag.clone(), decision))
        })
        .collect();
    for tag in &tracked.tags {
        decisions
            .entry(tag.clone())
            .or_insert(Decision::Request(RequestReason::Listed));
    }
    for tag in pins.keys() {
        decisions
            .entry(tag.clone())
            .or_insert(Decision::Keep(KeepReason::Gone));
    }
    Plan { decisions, full }
}

/// The tags of `tags` that name a full version. A version is full if the variant
/// has no more precise tag of it: `18.6` is full beside `9.6.24`, `9.6` is not. A
/// single number is full only if the variant has no release with more numbers. A build
/// is always full: it belongs to one release.
pub(super) fn full_versions(
    tags: &BTreeSet<&Tag>,
    tracked: &TrackedImage,
    builds: &HexBuilds,
) -> BTreeSet<Tag> {
    /// A variant, and the numbers in it that are not those of a build.
    type Variant = (String, Vec<u64>);

    let mut full = BTreeSet::new();
    let mut variants: BTreeMap<Variant, Vec<(&Tag, Version)>> = BTreeMap::new();
    for tag in tags {
        let (version, variant) = match tracked.read(tag, builds) {
            Some((version, variant, numbers)) => {
                let is_build = variant.numbers_builds();
                if version.has_build() || is_build {
                    full.insert((*tag).clone());
                }
                let numbers = if is_build { Vec::new() } else { numbers };
                (version, (variant.to_string(), numbers))
            }
            None => match Version::parse_among(tag.as_str(), builds, &[]) {
                Some(version) if tracked.patterns.is_empty() => {
                    let variant = version.variant().to_owned();
                    (version, (variant, Vec::new()))
                }
                _ => continue,
            },
        };
        variants.entry(variant).or_default().push((tag, version));
    }
    for versions in variants.into_values() {
        let releases = versions
            .iter()
            .filter(|(_, version)| !version.is_prerelease());
        let most = releases.map(|(_, version)| version.precision()).max();
        // The beginnings of longer versions: each has a more precise tag.
        let coarse: BTreeSet<(bool, &[u64])> = versions
            .iter()
            .flat_map(|(_, version)| {
                let numbers = version.numbers();
                let lengths = 1..numbers.len().min(3);
                lengths.map(move |length| (version.is_prerelease(), &numbers[..length]))
            })
            .collect();
        let is_full = |version: &Version| {
            let precision = version.precision();
            !coarse.contains(&(version.is_prerelease(), version.numbers()))
                && (precision > Precision::Major || most.is_none_or(|most| precision >= most))
        };
        let versions = versions.iter().filter(|(_, version)| is_full(version));
        full.extend(versions.map(|(tag, _)| (*tag).clone()));
    }
    full
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{Algorithm, Digest};
    use crate::table::Pin;
    use crate::table::pending::Candidates;

    fn tags<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<Tag> {
        names
            .into_iter()
            .map(|name| name.parse().unwrap())
            .collect()
    }

    /// An entry with the one platform that [`pins`] have.
    fn tracked(entry: &str) -> TrackedImage {
        let content = format!(
            "[{{ \"image\": \"docker.io/a\", \"platforms\": [\"linux/amd64\"], {entry} }}]"
        );
        crate::images::parse(content.as_bytes(), "images.json")
            .unwrap()
            .remove(0)
    }

    fn pins(names: &[&str], verified: bool) -> Pins {
        let digest = Digest::of(Algorithm::Sha256, b"x");
        let platforms = verified.then(|| ("linux/amd64".parse().unwrap(), digest.clone()));
        let pin = Pin {
            digest: digest.clone(),
            version: None,
            platforms: platforms.into_iter().collect(),
        };
        names
            .iter()
            .map(|name| (name.parse().unwrap(), pin.clone().into()))
            .collect()
    }

    fn selected(entry: &str, listed: &[&str]) -> BTreeSet<Tag> {
        requested(&tracked(entry), &Pins::new(), &tags(listed.iter().copied()))
    }

    /// The plan where nothing is pending.
    fn planned(tracked: &TrackedImage, pins: &Pins, listed: &BTreeSet<Tag>) -> Plan {
        let options = Options::default();
        plan(tracked, pins, &PendingTags::new(), listed, &options)
    }

    fn requested(tracked: &TrackedImage, pins: &Pins, listed: &BTreeSet<Tag>) -> BTreeSet<Tag> {
        let plan = planned(tracked, pins, listed);
        plan.requested().cloned().collect()
    }

    #[test]
    fn true_selects_the_newest_of_each_precision() {
        let listed = [
            "31",
            "32",
            "33",
            "34",
            "33.0",
            "34.0",
            "34.1",
            "35.0",
            "32.0.9",
            "33.0.1",
            "33.0.10",
            "33.0.9",
            "34.0.0-rc1",
            "34.0.1",
            "35.0.0-beta2",
            "latest",
            "34-fpm",
            "nightly",
        ];
        assert_eq!(
            selected(r#""tags": ["latest"]"#, &listed),
            tags([
                "32", "33", "34", "34.0", "34.1", "35.0", "33.0.9", "33.0.10", "34.0.1", "latest"
            ])
        );
        assert_eq!(
            selected(
                r#""strategies": { "major": true }, "keep": 1, "variants": ["", "-fpm"]"#,
                &listed
            ),
            tags(["34", "34-fpm"])
        );
        assert_eq!(selected(r#""strategies": {}"#, &listed), tags([]));
    }

    #[test]
    fn a_requirement_selects_all_that_satisfy_it() {
        let listed = [
            "31",
            "32",
            "33",
            "34",
            "35",
            "34.1",
            "36.0.0-rc1",
            "36.0.0-rc2",
            "v37",
        ];
        assert_eq!(
            selected(r#""strategies": { "major": ">=33" }"#, &listed),
            tags(["33", "34", "35", "v37"])
        );
        assert_eq!(
            selected(
                r#""strategies": { "major-minor-patch": ">=36.0.0-rc2" }"#,
                &listed
            ),
            tags(["36.0.0-rc2"])
        );
    }

    #[test]
    fn a_lower_bound_applies_to_its_variant_only() {
        let listed = [
            "28",
            "29",
            "30",
            "28-fpm",
            "29-fpm",
            "30-fpm",
            "30-apache",
            "1.2",
            "1.2.3",
        ];
        assert_eq!(
            selected(
                r#""initialMajor": ["29", "30-fpm", "stable"], "initialMajorMinor": [], "initialMajorMinorPatch": []"#,
                &listed
            ),
            tags(["29", "30", "30-fpm", "stable"])
        );
        // Each is pinned as it is, whatever its precision.
        assert_eq!(
            selected(
                r#""initialMajor": ["30.0"], "initialMajorMinor": ["10.10.7"], "initialMajorMinorPatch": ["2026.5.0b1"]"#,
                &[
                    "29",
                    "30",
                    "31",
                    "30.0",
                    "10.10",
                    "10.10.7",
                    "10.11",
                    "2026.5.0b1",
                    "2026.5.0b2",
                    "2026.5.0"
                ]
            ),
            tags([
                "30",
                "31",
                "30.0",
                "10.10.7",
                "10.11",
                "2026.5.0b1",
                "2026.5.0"
            ])
        );
    }

    #[test]
    fn spellings_of_a_release_count_once() {
        let listed = [
            "v0.11.4",
            "0.11.4",
            "0.11.3",
            "v0.11.3",
            "0.11.2",
            "git-abc1234",
        ];
        assert_eq!(
            selected(r#""keep": 2"#, &listed),
            tags(["v0.11.4", "0.11.4", "v0.11.3", "0.11.3"])
        );
    }

    #[test]
    fn the_number_in_a_variant_orders_rebuilds() {
        let listed = [
            "18.6.1-ce.9",
            "18.6.1-ce.10",
            "18.6.0-ce.0",
            "18.6.2-rc42.ce.0",
            "18.6.1-ee.0",
        ];
        assert_eq!(
            selected(r#""variants": ["-ce.#"], "keep": 2"#, &listed),
            tags(["18.6.1-ce.10", "18.6.0-ce.0"])
        );
        let listed = [
            "8.5-php8.3-fpm",
            "8.5-php8.5-fpm",
            "8.4-php8.3-fpm",
            "8.4-php8.2-fpm",
        ];
        assert_eq!(
            selected(r#""variants": ["-php8.#-fpm"]"#, &listed),
            tags(["8.5-php8.5-fpm", "8.4-php8.3-fpm"])
        );
    }

    #[test]
    fn a_suffix_of_digits_is_a_build_that_the_plain_variant_never_has() {
        let listed = [
            "12.3.0-17718666199",
            "12.3.0-17800000000",
            "12.2.1",
            "12.2.0",
            "12.2.0-4e8b05daf",
        ];
        let nightlies = ["12.3.0-17718666199", "12.3.0-17800000000"];
        assert_eq!(
            selected(r#""keep": 2"#, &listed),
            tags(["12.2.1", "12.2.0"])
        );
        assert_eq!(
            selected(r#""variants": ["-#"]"#, &nightlies),
            tags(["12.3.0-17800000000"])
        );
        assert_eq!(
            selected(r#""strategies": { "major-minor-patch": "^12" }"#, &listed),
            tags(["12.2.1", "12.2.0"])
        );
    }

    #[test]
    fn keep_limits_each_requirement_of_a_strategy() {
        let listed = [
            "17.0.1",
            "17.0.2",
            "17.0.3",
            "18.0.1",
            "21.0.1",
            "21.0.2",
            "21.0.3-rc1",
        ];
        let entry = r#""strategies": { "major-minor-patch": ["^17", "^21"] }"#;
        assert_eq!(
            selected(entry, &listed),
            tags(["17.0.1", "17.0.2", "17.0.3", "21.0.1", "21.0.2"])
        );
        assert_eq!(
            selected(&format!(r#"{entry}, "keep": 1"#), &listed),
            tags(["17.0.3", "21.0.2"])
        );
        assert_eq!(
            selected(
                r#""strategies": { "major-minor-patch": ">=17" }, "keep": 3"#,
                &listed
            ),
            tags(["18.0.1", "21.0.1", "21.0.2"])
        );
    }

    #[test]
    fn tags_overrides_ignore() {
        let listed = ["5.2.3", "5.2.2", "20.04.1", "14.3.9", "14.3.9-nightly"];
        assert_eq!(
            selected(r#""ignore": ["20.04.1", "14.*"], "keep": 1"#, &listed),
            tags(["5.2.3"])
        );
        assert_eq!(
            selected(r#""ignore": ["*"], "tags": ["20.04.1"]"#, &listed),
            tags(["20.04.1"])
        );
    }

    #[test]
    fn listed_tags_take_part_in_the_ranking() {
        let builds = ["19.0-20260816", "19.0-20260817"];
        assert_eq!(
            selected(r#""tags": ["19.0-20260817"], "variants": ["-#"]"#, &builds),
            tags(["19.0-20260817"])
        );
        assert_eq!(
            selected(r#""tags": ["34.0.5"], "keep": 1"#, &["34.0.4", "34.0.5"]),
            tags(["34.0.5"])
        );
        // A bound of the first nix-oci-hashes, where a number moves.
        assert_eq!(
            selected(
                r#""variants": ["-ls#"], "initialMajorMinorPatch": ["4.0.4-ls185"]"#,
                &["4.0.4-ls185", "4.0.5-ls186", "4.0.5-ls187"]
            ),
            tags(["4.0.4-ls185", "4.0.5-ls187"])
        );
    }

    #[test]
    fn a_pattern_alone_says_which_tags_are_versions() {
        let listed = [
            "RELEASE.2025-09-07T16-13-09Z",
            "RELEASE.2025-09-07T15-00-00Z",
            "RELEASE.2025-09-06T17-38-46Z",
            "RELEASE.2025-09-07T16-13-09Z-cpuv1",
            "2025.9.9",
            "latest",
        ];
        let pattern = "RELEASE.{major}-{minor}-{patch}T{build}-{build}-{build}Z";
        assert_eq!(
            selected(&format!(r#""pattern": "{pattern}""#), &listed),
            tags([
                "RELEASE.2025-09-07T16-13-09Z",
                "RELEASE.2025-09-06T17-38-46Z"
            ])
        );
        assert_eq!(
            selected(
                &format!(
                    r#""pattern": ["{pattern}", "{pattern}-cpuv1"], "keep": 1, "tags": ["latest"]"#
                ),
                &listed
            ),
            tags([
                "RELEASE.2025-09-07T16-13-09Z",
                "RELEASE.2025-09-07T16-13-09Z-cpuv1",
                "latest"
            ])
        );
        assert_eq!(
            selected(
                &format!(
                    r#""pattern": ["{pattern}", "{pattern}-cpuv1"], "variants": [""], "keep": 1"#
                ),
                &listed
            ),
            tags(["RELEASE.2025-09-07T16-13-09Z"])
        );
    }

    #[test]
    fn variants_can_name_a_prerelease_word() {
        let listed = [
            "25-ea",
            "25-ea-slim",
            "24",
            "1.2.3-dev",
            "1.2.3",
            "1.2.4-rc1-dev",
        ];
        assert_eq!(
            selected(r#""variants": ["", "-dev", "-ea"]"#, &listed),
            tags(["25-ea", "24", "1.2.3-dev", "1.2.3"])
        );
        assert_eq!(selected("\"tags\": []", &listed), tags(["24", "1.2.3"]));
    }

    #[test]
    fn builds_are_of_the_plain_variant_and_commits_are_not_versions() {
        let listed = [
            "1.43.3.10861-07dfddaeb",
            "1.43.2.10687-563120264",
            "7312845",
            "0123456",
            "20260901",
            "beta",
        ];
        assert_eq!(
            selected(r#""keep": 1"#, &listed),
            tags(["1.43.3.10861-07dfddaeb"])
        );
    }

    #[test]
    fn only_floating_pins_are_requested_again() {
        let entry = tracked(r#""strategies": { "major-minor-patch": true }, "keep": 1"#);
        let pins = pins(&["33", "33.0", "33.0.9", "32.0.1", "edge"], true);
        let listed = tags(["33", "33.0", "33.0.9", "34.0.1", "edge"]);
        let all = Options {
            all: true,
            ..Options::default()
        };
        let asking_all = plan(&entry, &pins, &PendingTags::new(), &listed, &all);
        let plan = planned(&entry, &pins, &listed);
        let collect = |tags: &mut dyn Iterator<Item = &Tag>| tags.cloned().collect::<BTreeSet<_>>();
        assert_eq!(
            collect(&mut plan.requested()),
            tags(["33", "33.0", "34.0.1", "edge"])
        );
        assert_eq!(collect(&mut plan.kept()), tags(["33.0.9", "32.0.1"]));
        assert_eq!(collect(&mut plan.gone()), tags(["32.0.1"]));
        assert_eq!(
            collect(&mut asking_all.requested()),
            tags(["33", "33.0", "33.0.9", "34.0.1", "edge"])
        );
        assert_eq!(plan.full, tags(["33.0.9", "32.0.1", "34.0.1"]));
    }

    #[test]
    fn a_pin_without_platforms_is_requested() {
        let entry = tracked(r#""strategies": {}"#);
        let listed = tags(["1.2.3"]);
        assert_eq!(requested(&entry, &pins(&["1.2.3"], false), &listed), listed);
        assert_eq!(
            requested(&entry, &pins(&["1.2.3"], true), &listed),
            tags([])
        );
        // A pin whose platforms are no longer tracked is requested too.
        let mut entry = entry;
        entry.platforms = ["linux/arm64".parse().unwrap()].into();
        assert_eq!(requested(&entry, &pins(&["1.2.3"], true), &listed), listed);
    }

    #[test]
    fn two_numbers_are_a_full_version_without_a_third() {
        let entry = tracked(r#""strategies": { "major-minor": true }, "keep": 1"#);
        let listed = tags(["18", "18.6", "17.11", "18.6-alpine"]);
        let pins = pins(&["18", "17.11"], true);
        assert_eq!(requested(&entry, &pins, &listed), tags(["18", "18.6"]));
        let plan = planned(&entry, &pins, &listed);
        assert_eq!(plan.kept().collect::<Vec<_>>(), [&"17.11".parse().unwrap()]);
    }

    #[test]
    fn a_full_version_has_no_more_precise_tag() {
        let full = |names: &[&str]| {
            let listed = tags(names.iter().copied());
            planned(&tracked(r#""keep": 1"#), &Pins::new(), &listed).full
        };
        for (names, expected) in [
            (
                &["18", "18.6", "9.6", "9.6.24"][..],
                &["18.6", "9.6.24"][..],
            ),
            (
                &["12.1", "12.2", "12.3.0-rc1", "10.11.11", "10.11"],
                &["12.1", "12.2", "12.3.0-rc1", "10.11.11"],
            ),
            (
                &["35", "34", "34.0", "34.0.4", "34.0.4.1"],
                &["34.0.4", "34.0.4.1"],
            ),
            (&["1", "2"], &["1", "2"]),
            // A build is of one release.
            (&["34.0-4e8b05daf", "34.0.4"], &["34.0-4e8b05daf", "34.0.4"]),
            (&["v2", "v2.7.5", "2.7.5"], &["v2.7.5", "2.7.5"]),
            (&["18", "19beta1"], &["18", "19beta1"]),
            (
                &["3.14-rc", "3.14.0rc1", "3.14.0rc2", "3.13"],
                &["3.14.0rc1", "3.14.0rc2", "3.13"],
            ),
        ] {
            assert_eq!(full(names), tags(expected.iter().copied()), "{names:?}");
        }
    }

    #[test]
    fn the_number_of_another_program_in_a_variant_is_not_a_build() {
        let listed = [
            "6-php8.3",
            "6.8-php8.3",
            "6.8.2-php8.3",
            "6.8.3-php8.4",
            "7-php8.4",
            "19.0-20260817",
            "19.0.1-20260817",
        ];
        let entry = tracked(r#""variants": ["-php8.#", "-#"]"#);
        let full = planned(&entry, &Pins::new(), &tags(listed)).full;
        assert_eq!(
            full,
            tags([
                "6.8.2-php8.3",
                "6.8.3-php8.4",
                "19.0-20260817",
                "19.0.1-20260817"
            ])
        );
    }

    #[test]
    fn a_pending_tag_is_requested_until_it_is_old_enough() {
        let listed = ["1.0.0", "1.0.1", "1.0.2"];
        let pending = |names: &[&str]| -> PendingTags {
            tags(names.iter().copied())
                .into_iter()
                .map(|tag| (tag, Candidates::default()))
                .collect()
        };
        let requested = |entry: &str, pending: &PendingTags| -> BTreeSet<Tag> {
            let entry = tracked(entry);
            let plan = plan(
                &entry,
                &Pins::new(),
                pending,
                &tags(listed),
                &Options::default(),
            );
            plan.requested().cloned().collect()
        };
        let pending = pending(&["1.0.0", "0.9.9"]);
        assert_eq!(
            requested(r#""keep": 1"#, &pending),
            tags(["1.0.0", "1.0.2"])
        );
        // Unless images.json no longer takes it at all.
        let ignoring = r#""keep": 1, "ignore": ["1.0.0"]"#;
        assert_eq!(requested(ignoring, &pending), tags(["1.0.2"]));
    }
}
