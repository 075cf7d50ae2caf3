//! Which tags of an image are asked for: a function of images.json, the old
//! pins and the tag list, and of nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::choose::choose;
use super::decision::{Decision, Kept, Taken};
use super::run::Options;
use crate::images::TrackedImage;
use crate::table::Pins;
use crate::tag::Tag;
use crate::variant::VariantPattern;
use crate::version::{Precision, Version};

/// What a refresh does with the tags of one image.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What becomes of each tag that is listed, pinned, or in `tags`, and why.
    pub decisions: BTreeMap<Tag, Decision>,
    /// Tags that name a full version, which should never point elsewhere.
    pub full: BTreeSet<Tag>,
}

impl Plan {
    /// Tags whose digest is asked for.
    pub fn ask(&self) -> impl Iterator<Item = &Tag> {
        self.which(|decision| matches!(decision, Decision::Ask(_)))
    }

    /// Pins that are kept without asking.
    pub fn keep(&self) -> impl Iterator<Item = &Tag> {
        self.which(|decision| matches!(decision, Decision::Keep(_)))
    }

    /// Of the kept ones, those the registry no longer lists.
    pub fn gone(&self) -> impl Iterator<Item = &Tag> {
        self.which(|decision| matches!(decision, Decision::Keep(Kept::Gone)))
    }

    fn which(&self, is: impl Fn(&Decision) -> bool) -> impl Iterator<Item = &Tag> {
        let decisions = self.decisions.iter();
        decisions.filter_map(move |(tag, decision)| is(decision).then_some(tag))
    }
}

/// Decides what to do with the tags of `tracked`, given the `pins` there are
/// and the tags that the registry lists. With `all`, every pin is asked for;
/// what is left is among the decisions only with `explain`.
pub fn plan(
    tracked: &TrackedImage,
    pins: &Pins,
    listed: &BTreeSet<Tag>,
    Options { all, explain, .. }: &Options,
) -> Plan {
    let known: BTreeSet<&Tag> = listed.iter().chain(pins.keys()).collect();
    let full = full_versions(&known, tracked);
    let mut decisions: BTreeMap<Tag, Decision> = choose(tracked, listed)
        .into_iter()
        .filter(|(tag, outcome)| *explain || outcome.is_ok() || pins.contains_key(*tag))
        .map(|(tag, outcome)| {
            let decision = match (outcome, pins.get(tag)) {
                (Ok(taken), _) => Decision::Ask(taken),
                (Err(left), None) => Decision::Leave(left),
                (Err(_), Some(_)) if !full.contains(tag) => Decision::Ask(Taken::Floating),
                (Err(_), Some(pin)) if !pin.has_any(&tracked.platforms) => {
                    Decision::Ask(Taken::Incomplete)
                }
                (Err(_), Some(_)) if *all => Decision::Ask(Taken::All),
                (Err(_), Some(_)) => Decision::Keep(Kept::Full),
            };
            (tag.clone(), decision)
        })
        .collect();
    for tag in &tracked.tags {
        decisions
            .entry(tag.clone())
            .or_insert(Decision::Ask(Taken::Listed));
    }
    for tag in pins.keys() {
        decisions
            .entry(tag.clone())
            .or_insert(Decision::Keep(Kept::Gone));
    }
    Plan { decisions, full }
}

/// Of `tags`, those that name a full version: where no tag of the variant says
/// more precisely which release of it is meant (`18.6` beside `9.6.24`). A lone
/// number is one only where the variant has nothing more precise at all.
fn full_versions(tags: &BTreeSet<&Tag>, tracked: &TrackedImage) -> BTreeSet<Tag> {
    let mut variants: BTreeMap<String, Vec<(&Tag, Version)>> = BTreeMap::new();
    for tag in tags {
        let Some(version) = tag.version() else {
            continue;
        };
        let mut patterns = tracked.variants.iter();
        let pattern = patterns.find(|pattern| pattern.matches(version.variant()).is_some());
        let variant = pattern.map_or(version.variant(), VariantPattern::as_str);
        let variant = variant.to_owned();
        variants.entry(variant).or_default().push((tag, version));
    }
    let mut full = BTreeSet::new();
    for versions in variants.into_values() {
        let releases = || {
            versions
                .iter()
                .filter(|(_, version)| !version.is_prerelease())
        };
        let most = releases().map(|(_, version)| version.precision()).max();
        // What a more precise release, or prerelease, is one of.
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
        full.extend(
            versions
                .iter()
                .filter(|(_, version)| is_full(version))
                .map(|(tag, _)| (*tag).clone()),
        );
    }
    full
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{Algorithm, Digest};
    use crate::table::Pin;

    fn tags<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<Tag> {
        names
            .into_iter()
            .map(|name| name.parse().unwrap())
            .collect()
    }

    /// An image of one platform, which is the one that [`pins`] have.
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
            platforms: platforms.into_iter().collect(),
        };
        names
            .iter()
            .map(|name| (name.parse().unwrap(), pin.clone().into()))
            .collect()
    }

    fn asked(entry: &str, listed: &[&str]) -> BTreeSet<Tag> {
        ask(&tracked(entry), &Pins::new(), &tags(listed.iter().copied()))
    }

    fn ask(tracked: &TrackedImage, pins: &Pins, listed: &BTreeSet<Tag>) -> BTreeSet<Tag> {
        plan(tracked, pins, listed, &Options::default())
            .ask()
            .cloned()
            .collect()
    }

    #[test]
    fn true_takes_the_newest_of_each_precision() {
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
            asked(r#""tags": ["latest"]"#, &listed),
            tags([
                "32", "33", "34", "34.0", "34.1", "35.0", "33.0.9", "33.0.10", "34.0.1", "latest"
            ])
        );
        assert_eq!(
            asked(
                r#""strategies": { "major": true }, "keep": 1, "variants": ["", "-fpm"]"#,
                &listed
            ),
            tags(["34", "34-fpm"])
        );
        assert_eq!(asked(r#""strategies": {}"#, &listed), tags([]));
    }

    #[test]
    fn a_requirement_takes_all_that_satisfy_it() {
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
            asked(r#""strategies": { "major": ">=33" }"#, &listed),
            tags(["33", "34", "35", "v37"])
        );
        assert_eq!(
            asked(
                r#""strategies": { "major-minor-patch": ">=36.0.0-rc2" }"#,
                &listed
            ),
            tags(["36.0.0-rc2"])
        );
    }

    #[test]
    fn lower_bounds_hold_in_their_variant() {
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
            asked(
                r#""initialMajor": ["29", "30-fpm", "stable"], "initialMajorMinor": [], "initialMajorMinorPatch": []"#,
                &listed
            ),
            tags(["29", "30", "30-fpm", "stable"])
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
            asked(r#""keep": 2"#, &listed),
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
            asked(r#""variants": ["-ce.#"], "keep": 2"#, &listed),
            tags(["18.6.1-ce.9", "18.6.1-ce.10"])
        );
    }

    #[test]
    fn builds_are_plain_and_commits_are_no_versions() {
        let listed = [
            "1.43.3.10861-07dfddaeb",
            "1.43.2.10687-563d026ea",
            "7312845",
            "20260901",
            "beta",
        ];
        assert_eq!(
            asked(r#""keep": 1"#, &listed),
            tags(["1.43.3.10861-07dfddaeb"])
        );
    }

    #[test]
    fn pins_stay_and_only_floating_ones_are_asked_again() {
        let entry = tracked(r#""strategies": { "major-minor-patch": true }, "keep": 1"#);
        let pins = pins(&["33", "33.0", "33.0.9", "32.0.1", "edge"], true);
        let listed = tags(["33", "33.0", "33.0.9", "34.0.1", "edge"]);
        let all = Options {
            all: true,
            ..Options::default()
        };
        let asking_all = plan(&entry, &pins, &listed, &all);
        let plan = plan(&entry, &pins, &listed, &Options::default());
        let collect = |tags: &mut dyn Iterator<Item = &Tag>| tags.cloned().collect::<BTreeSet<_>>();
        assert_eq!(
            collect(&mut plan.ask()),
            tags(["33", "33.0", "34.0.1", "edge"])
        );
        assert_eq!(collect(&mut plan.keep()), tags(["33.0.9", "32.0.1"]));
        assert_eq!(collect(&mut plan.gone()), tags(["32.0.1"]));
        assert_eq!(
            collect(&mut asking_all.ask()),
            tags(["33", "33.0", "33.0.9", "34.0.1", "edge"])
        );
        assert_eq!(plan.full, tags(["33.0.9", "32.0.1", "34.0.1"]));
    }

    #[test]
    fn a_pin_without_platforms_is_asked_for() {
        let entry = tracked(r#""strategies": {}"#);
        let listed = tags(["1.2.3"]);
        assert_eq!(ask(&entry, &pins(&["1.2.3"], false), &listed), listed);
        assert_eq!(ask(&entry, &pins(&["1.2.3"], true), &listed), tags([]));
        // Nor one that has none of those that are tracked now.
        let mut entry = entry;
        entry.platforms = ["linux/arm64".parse().unwrap()].into();
        assert_eq!(ask(&entry, &pins(&["1.2.3"], true), &listed), listed);
    }

    #[test]
    fn where_there_is_no_third_number_the_second_makes_a_full_version() {
        let entry = tracked(r#""strategies": { "major-minor": true }, "keep": 1"#);
        let listed = tags(["18", "18.6", "17.11", "18.6-alpine"]);
        let pins = pins(&["18", "17.11"], true);
        assert_eq!(ask(&entry, &pins, &listed), tags(["18", "18.6"]));
        let plan = plan(&entry, &pins, &listed, &Options::default());
        assert_eq!(plan.keep().collect::<Vec<_>>(), [&"17.11".parse().unwrap()]);
    }

    #[test]
    fn a_full_version_is_one_that_nothing_says_more_precisely() {
        let full = |names: &[&str]| {
            let listed = tags(names.iter().copied());
            plan(
                &tracked(r#""keep": 1"#),
                &Pins::new(),
                &listed,
                &Options::default(),
            )
            .full
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
}
