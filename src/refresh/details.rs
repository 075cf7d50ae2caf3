//! The annotations (OCI image spec, "Annotations"), labels and layers of an image.

use std::collections::BTreeMap;

use crate::reference::{Digest, ImageName};
use crate::registry::{Annotations, ImageContent};

/// Longest version and revision, in characters.
const LONGEST: usize = 64;
/// How much of a revision a link has, in characters.
const REVISION: usize = 12;
/// The forges that links lead to, with the path prefix of their pages.
const FORGES: [(&str, &str); 3] = [
    ("https://github.com/", ""),
    ("https://gitlab.com/", "/-"),
    ("https://codeberg.org/", ""),
];

/// What the image of one platform says of itself, or its index of all. Nobody has verified
/// it, but it has no character that a terminal or Markdown reads.
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
    /// The path prefix of the forge's pages: `/-` on GitLab.
    pages: &'static str,
}

/// The details of digests, by image.
pub type DetailsOf = BTreeMap<(ImageName, Digest), Details>;

impl Details {
    /// Reads the annotations of an index, those of the manifest `content`, and its labels.
    /// The first that is well-formed counts.
    pub fn new(index: &Annotations, content: ImageContent) -> Self {
        let values = |name: &str| {
            let key = format!("org.opencontainers.image.{name}");
            let all = [index, &content.annotations, &content.labels];
            all.into_iter().filter_map(move |of| of.get(&key))
        };
        let created = values("created").chain(&content.created);
        let mut created = created.filter_map(|text| date(text));
        Self {
            version: values("version").find(|text| is_version(text)).cloned(),
            date: created.next(),
            source: values("source").find_map(|text| Source::parse(text)),
            revision: values("revision").find_map(|text| revision(text)),
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
    // Reproducible builds set it to 1970.
    (is_date && date > "2000").then(|| date.to_owned())
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
        let content = ImageContent {
            labels: labels.collect(),
            ..ImageContent::default()
        };
        Details::new(&Annotations::new(), content)
    }

    #[test]
    fn the_index_counts_first_then_the_manifest_then_the_labels() {
        let of = |values: &[(&str, &str)]| {
            let values = values.iter().map(|(name, value)| {
                let key = format!("org.opencontainers.image.{name}");
                (key, (*value).to_owned())
            });
            values.collect::<Annotations>()
        };
        let index = of(&[("version", "1.2.3"), ("revision", "main")]);
        let content = ImageContent {
            annotations: of(&[("version", "1.2"), ("created", "2026-11-28T00:00:00Z")]),
            labels: of(&[
                ("version", "24.04"),
                ("created", "2025-01-01T00:00:00Z"),
                ("source", "https://github.com/owner/repo"),
                ("revision", "0123456789abcdef"),
            ]),
            ..ImageContent::default()
        };
        let details = Details::new(&index, content);
        assert_eq!(details.version.as_deref(), Some("1.2.3"));
        assert_eq!(details.date.as_deref(), Some("2026-11-28"));
        assert_eq!(
            details.link(None).unwrap(),
            "https://github.com/owner/repo/commit/0123456789ab"
        );
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
    fn malformed_labels_are_dropped() {
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
