//! What changed images say of themselves: labels (OCI image spec, "Annotations") and
//! layers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};

use super::report::{Change, ChangeKind};
use crate::reference::{Digest, ImageName};
use crate::registry::{Client, ImageContent};
use crate::table::{Pin, Table};

/// Most requests at once. The client limits those to each registry.
const REQUESTS_AT_ONCE: usize = 64;
/// How long a refresh waits for all of them.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Longest version and revision, in characters.
const LONGEST: usize = 64;
/// How much of a revision a link has, in characters.
const REVISION: usize = 12;
/// The forges whose pages have known addresses.
const FORGES: [(&str, &str); 3] = [
    ("https://github.com/", ""),
    ("https://gitlab.com/", "/-"),
    ("https://codeberg.org/", ""),
];

/// What the image of one platform says of itself. Nothing in it is verified, but all of it
/// is harmless to print.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// `org.opencontainers.image.version`.
    pub version: Option<String>,
    /// When it was made, as `2026-11-29`.
    pub date: Option<String>,
    /// The source repository on a known forge.
    source: Option<Source>,
    /// The start of `org.opencontainers.image.revision`: a commit.
    revision: Option<String>,
    /// The size of each layer, in bytes, as the manifest declares it.
    pub layers: BTreeMap<Digest, u64>,
}

/// A repository on a known forge.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    url: String,
    /// What stands between the URL and its pages.
    pages: &'static str,
}

/// The details of digests, by image.
pub type DetailsOf = BTreeMap<(ImageName, Digest), Details>;

impl Details {
    /// Reads the labels of an image. Leaves out those that are not what they should be.
    pub fn new(content: ImageContent) -> Self {
        let label = |name: &str| {
            content
                .labels
                .get(&format!("org.opencontainers.image.{name}"))
        };
        let created = label("created").or(content.created.as_ref());
        Self {
            version: label("version").filter(|text| is_version(text)).cloned(),
            date: created.and_then(|text| date(text)),
            source: label("source").and_then(|text| Source::parse(text)),
            revision: label("revision").and_then(|text| revision(text)),
            layers: content.layers,
        }
    }

    /// The page that shows what differs from `old`, else the commit or the releases.
    pub fn link(&self, old: Option<&Self>) -> Option<String> {
        let Source { url, pages } = self.source.as_ref()?;
        let old = old.filter(|old| old.source == self.source);
        let old = old.and_then(|old| old.revision.as_ref());
        Some(match (old, &self.revision) {
            (Some(old), Some(new)) if old != new => format!("{url}{pages}/compare/{old}...{new}"),
            (_, Some(new)) => format!("{url}{pages}/commit/{new}"),
            (_, None) => format!("{url}{pages}/releases"),
        })
    }

    /// How many layers `old` does not have, and their bytes.
    pub fn new_layers(&self, old: &Self) -> (usize, u64) {
        let new = self.layers.iter();
        let new = new.filter(|(digest, _)| !old.layers.contains_key(*digest));
        new.fold((0, 0), |(count, bytes), (_, size)| {
            (count + 1, bytes.saturating_add(*size))
        })
    }
}

impl Source {
    /// Parses the URL of a repository, also with `.git` or a path within it.
    fn parse(text: &str) -> Option<Self> {
        let (host, pages) = FORGES.iter().find(|(host, _)| text.starts_with(host))?;
        let is_name = |name: &&str| {
            let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !name.is_empty() && name.len() <= LONGEST && name.chars().all(is_allowed)
        };
        let path = text[host.len()..].trim_end_matches('/');
        let mut names = path.split(['/', '#', '?']);
        let owner = names.next().filter(is_name)?;
        let name = names.next().map(|name| name.trim_end_matches(".git"));
        let name = name.filter(is_name).filter(|name| !name.starts_with('.'))?;
        Some(Self {
            url: format!("{host}{owner}/{name}"),
            pages,
        })
    }
}

fn is_version(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    (1..=LONGEST).contains(&text.len()) && text.chars().all(is_allowed)
}

/// The start of a commit's name, which forges take for the whole.
fn revision(text: &str) -> Option<String> {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_name = is_hex && (7..=LONGEST).contains(&text.len());
    is_name.then(|| text[..text.len().min(REVISION)].to_owned())
}

/// The day of a time as RFC 3339 writes it.
fn date(text: &str) -> Option<String> {
    let date = text.get(..10)?;
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    let parts: Vec<&[u8]> = date.as_bytes().split(|byte| *byte == b'-').collect();
    let is_date = match parts[..] {
        [year, month, day] => [(year, 4), (month, 2), (day, 2)]
            .iter()
            .all(|(part, length)| part.len() == *length && part.iter().all(is_digit)),
        _ => false,
    };
    // Reproducible builds have a date of their own.
    (is_date && date > "2000").then(|| date.to_owned())
}

/// Requests the details of what was added and moved: one manifest and one configuration
/// for each digest, of a platform that both pins have. Nothing of a new image, nor of a
/// registry of whose pull quota half is spent. What fails, or takes too long, is left out.
pub(super) async fn details(
    changes: &[Change],
    old: &Table,
    new: &Table,
    client: &Client,
) -> DetailsOf {
    let mut wanted: BTreeSet<(&ImageName, &Digest, &Digest)> = BTreeSet::new();
    for Change { image, tag, kind } in changes {
        let Some(old_pins) = old.images.get(image) else {
            continue;
        };
        if !matches!(kind, ChangeKind::Added { .. } | ChangeKind::Moved { .. }) {
            continue;
        }
        let new_pin = new.images.get(image).and_then(|pins| pins.get(tag));
        let pins = [old_pins.get(tag), new_pin];
        let pins: Vec<&Pin> = pins.into_iter().flatten().map(|pin| &**pin).collect();
        let Some(first) = pins.first() else { continue };
        let mut platforms = first.platforms.keys();
        let shared =
            platforms.find(|platform| pins.iter().all(|pin| pin.platforms.contains_key(*platform)));
        let Some(platform) = shared else { continue };
        wanted.extend(
            pins.iter()
                .map(|pin| (image, &pin.digest, &pin.platforms[platform])),
        );
    }
    let manifests: BTreeSet<(&ImageName, &Digest)> = wanted
        .iter()
        .map(|(image, _, manifest)| (*image, *manifest))
        .collect();
    let found = stream::iter(manifests)
        .map(|(image, manifest)| async move {
            let quotas = client.quotas();
            let quota = quotas.get(image.registry());
            let is_low = quota
                .is_some_and(|quota| quota.limit.is_some_and(|limit| quota.remaining < limit / 2));
            if is_low {
                return None;
            }
            let content = client.image_content(image, manifest).await.ok()?;
            Some(((image, manifest), Details::new(content)))
        })
        .buffer_unordered(REQUESTS_AT_ONCE)
        .take_until(tokio::time::sleep(LONGEST_WAIT));
    let found: BTreeMap<_, _> = found.filter_map(async |found| found).collect().await;
    let details = wanted.into_iter().filter_map(|(image, digest, manifest)| {
        let details = found.get(&(image, manifest))?.clone();
        Some(((image.clone(), digest.clone()), details))
    });
    details.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(labels: &[(&str, &str)]) -> Details {
        let labels = labels.iter().map(|(name, value)| {
            (
                format!("org.opencontainers.image.{name}"),
                (*value).to_owned(),
            )
        });
        Details::new(ImageContent {
            labels: labels.collect(),
            ..ImageContent::default()
        })
    }

    #[test]
    fn links_lead_to_known_forges_only() {
        let link = |source: &str| of(&[("source", source)]).link(None);
        assert_eq!(
            link("https://github.com/owner/repo.git").unwrap(),
            "https://github.com/owner/repo/releases"
        );
        assert_eq!(
            link("https://gitlab.com/owner/repo/-/tree/main").unwrap(),
            "https://gitlab.com/owner/repo/-/releases"
        );
        for source in [
            "http://github.com/owner/repo",
            "https://github.com.evil.example/owner/repo",
            "https://github.com/owner",
            "https://github.com/owner/re po",
            "https://github.com/owner/..",
            "https://github.com/a)](https://evil.example)/x",
            "javascript:alert(1)",
            "",
        ] {
            assert_eq!(link(source), None, "{source}");
        }
    }

    #[test]
    fn a_move_links_to_a_comparison() {
        let source = ("source", "https://github.com/owner/repo");
        let old = of(&[source, ("revision", "0123456789abcdef")]);
        let new = of(&[source, ("revision", "fedcba9876543210")]);
        assert_eq!(
            new.link(Some(&old)).unwrap(),
            "https://github.com/owner/repo/compare/0123456789ab...fedcba987654"
        );
        let elsewhere = of(&[
            ("source", "https://github.com/other/repo"),
            ("revision", "0123456"),
        ]);
        assert_eq!(
            new.link(Some(&elsewhere)).unwrap(),
            "https://github.com/owner/repo/commit/fedcba987654"
        );
    }

    #[test]
    fn labels_that_are_not_what_they_should_be_are_left_out() {
        let details = of(&[
            ("version", "1.2.3\u{1b}[2J"),
            ("revision", "main"),
            ("created", "yesterday"),
        ]);
        assert_eq!(details, Details::default());
        let details = of(&[("version", "1.2.3"), ("created", "2026-11-29T01:02:03Z")]);
        assert_eq!(details.version.as_deref(), Some("1.2.3"));
        assert_eq!(details.date.as_deref(), Some("2026-11-29"));
        assert_eq!(of(&[("created", "1970-01-01T00:00:00Z")]).date, None);
    }
}
