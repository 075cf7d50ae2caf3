//! What changed images say of themselves, in words.

use nix_oci_hashes::refresh::{Change, ChangeKind, Details, Report};
use serde_json::{Value, json};

/// The details of the image before and after a change.
pub(in crate::cli) struct ChangeDetails<'a> {
    tag: &'a str,
    old: Option<&'a Details>,
    new: &'a Details,
}

impl<'a> ChangeDetails<'a> {
    /// `None` if the report has no details of this change.
    pub(in crate::cli) fn new(report: &'a Report, change: &'a Change) -> Option<Self> {
        let details = |digest| report.details.get(&(change.image.clone(), digest));
        let (old, new) = match &change.kind {
            ChangeKind::Added { new } => (None, new),
            ChangeKind::Moved { old, new, .. } => (details(old.clone()), new),
            _ => return None,
        };
        Some(Self {
            tag: change.tag.as_str(),
            old,
            new: details(new.clone())?,
        })
    }

    /// `34.0.4 -> 34.0.5, 2026-11-29, 3 of 14 layers differ (41 MB)`, with the versions as
    /// `version` formats them.
    pub(in crate::cli) fn words(&self, version: impl FnOnce(&str) -> String) -> String {
        let of_version = self.version().map(|of| version(&of));
        let parts = [of_version, self.new.date.clone(), Some(self.layers())];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// A page on what has changed.
    pub(in crate::cli) fn link(&self) -> Option<String> {
        self.new.link(self.old)
    }

    /// The version, where it says more than the tag.
    fn version(&self) -> Option<String> {
        let new = self.new.version.as_deref()?;
        let old = self.old.and_then(|old| old.version.as_deref());
        match old {
            Some(old) if old != new => Some(format!("{old} -> {new}")),
            _ if self.tag.contains(new) => None,
            _ => Some(new.to_owned()),
        }
    }

    fn layers(&self) -> String {
        let all = self.new.layers.len();
        if let Some(old) = self.old {
            let (new, bytes) = self.new.new_layers(old);
            return format!("{new} of {all} layers differ ({})", size(bytes));
        }
        let layers = if all == 1 { "layer" } else { "layers" };
        format!("{all} {layers} ({})", size(self.bytes()))
    }

    fn bytes(&self) -> u64 {
        let sizes = self.new.layers.values();
        sizes.fold(0, |sum, size| sum.saturating_add(*size))
    }

    pub(super) fn json(&self) -> Value {
        let (new_layers, new_bytes) = match self.old {
            Some(old) => self.new.new_layers(old),
            None => (self.new.layers.len(), self.bytes()),
        };
        json!({
            "oldVersion": self.old.and_then(|old| old.version.as_deref()),
            "version": self.new.version, "date": self.new.date, "link": self.link(),
            "layers": self.new.layers.len(), "bytes": self.bytes(),
            "newLayers": new_layers, "newBytes": new_bytes,
        })
    }
}

/// `41 MB`: bytes as registries show them.
fn size(bytes: u64) -> String {
    let mut size = bytes;
    for unit in ["B", "kB", "MB", "GB"] {
        if size < 1000 {
            return format!("{size} {unit}");
        }
        size = size.saturating_add(500) / 1000;
    }
    format!("{size} TB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_at_most() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_499, "1 kB"),
            (41_200_000, "41 MB"),
            (2_000_000_000, "2 GB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
