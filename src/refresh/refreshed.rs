//! The result of refreshing one image.

use std::collections::{BTreeMap, BTreeSet};

use super::admission::Hold;
use super::decision::Decision;
use super::report::Problem;
use crate::images::TrackedImage;
use crate::reference::{Digest, Platform, Tag};
use crate::registry::Annotations;
use crate::table::Pins;
use crate::table::pending::PendingTags;

/// The result of refreshing one image.
pub(super) struct RefreshedImage<'a> {
    pub(super) tracked: &'a TrackedImage,
    pub(super) pins: Pins,
    /// Full versions whose digest has changed, which was not expected.
    pub(super) never_repushed: BTreeSet<Tag>,
    /// The digests that are too young.
    pub(super) candidates: PendingTags,
    pub(super) holds: Vec<Hold>,
    pub(super) decisions: BTreeMap<Tag, Decision>,
    /// Tags that the registry no longer has.
    pub(super) gone: BTreeSet<Tag>,
    /// Tracked platforms that some pins do not have, and how many.
    pub(super) missing_platforms: Vec<(Platform, usize)>,
    /// Platforms that the index of a tag lists more than once.
    pub(super) ambiguous: Vec<(Tag, Platform)>,
    /// How many manifests were recorded, and how many are not recorded yet.
    pub(super) manifests_recorded: usize,
    pub(super) manifests_missing: usize,
    pub(super) problems: Vec<Problem>,
    /// The annotations of the indexes that were read.
    pub(super) annotations: BTreeMap<Digest, Annotations>,
}

impl<'a> RefreshedImage<'a> {
    pub(super) fn new(tracked: &'a TrackedImage) -> Self {
        Self {
            tracked,
            pins: Pins::new(),
            never_repushed: BTreeSet::new(),
            candidates: PendingTags::new(),
            holds: Vec::new(),
            decisions: BTreeMap::new(),
            gone: BTreeSet::new(),
            missing_platforms: Vec::new(),
            ambiguous: Vec::new(),
            manifests_recorded: 0,
            manifests_missing: 0,
            problems: Vec::new(),
            annotations: BTreeMap::new(),
        }
    }
}
