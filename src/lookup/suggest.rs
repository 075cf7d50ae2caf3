//! Suggestions for a misspelled image or tag: the nearest names by edit distance. The rules
//! are simple, because the lookup in plain Nix implements them too.

use std::collections::BTreeSet;

use crate::reference::{ImageName, Tag};

/// How many names are suggested at most.
const MOST_NAMES: usize = 3;
/// Shortest name that is compared with path components, in characters.
const SHORTEST_NAME: usize = 2;
/// Shortest name that is compared as a prefix, in characters.
const SHORTEST_BEGINNING: usize = 4;

/// The images in `tracked` with the most similar names to `image`, the nearest first.
///
/// People leave out a registry, an organisation or a hyphen, so only the letters and
/// digits of the repository count. An image matches in one of these cases:
///
/// - Its whole repository is similar to that of `image`.
/// - One of its path components is similar to the last component of `image`, or begins
///   with it.
///
/// Similar means that at most a third of the characters change.
pub(super) fn images<'a>(
    image: &ImageName,
    tracked: impl IntoIterator<Item = &'a ImageName>,
) -> Vec<ImageName> {
    let whole = key(path(image));
    let called = key(path(image).rsplit('/').next().unwrap_or_default());
    let mut near: Vec<(usize, &ImageName)> = tracked
        .into_iter()
        .filter_map(|candidate| {
            let parts = path(candidate).split('/');
            let of_parts = parts.filter_map(|part| of_part(&called, &key(part)));
            let of_whole = distance(&whole, &key(path(candidate)));
            Some((of_parts.chain(of_whole).min()?, candidate))
        })
        .collect();
    near.sort_unstable();
    near.truncate(MOST_NAMES);
    near.into_iter().map(|(_, image)| image.clone()).collect()
}

/// The tags in `pinned` that are most similar to `tag`, at most `most`. Equally similar
/// tags, and those that are not similar, are taken in the order of `pinned`.
pub(super) fn tags<'a>(
    tag: &Tag,
    pinned: impl IntoIterator<Item = &'a Tag>,
    most: usize,
) -> BTreeSet<&'a Tag> {
    let mut near: Vec<(usize, &Tag)> = pinned
        .into_iter()
        .map(|candidate| {
            let distance = distance(tag.as_str(), candidate.as_str());
            (distance.unwrap_or(usize::MAX), candidate)
        })
        .collect();
    near.sort_by_key(|(distance, _)| *distance);
    near.into_iter().take(most).map(|(_, tag)| tag).collect()
}

/// The printed name without its registry.
fn path(image: &ImageName) -> &str {
    let (_, path) = image.as_str().split_once('/').unwrap_or_default();
    path
}

/// The letters and digits of a name.
fn key(name: &str) -> String {
    let characters = name.chars();
    characters.filter(char::is_ascii_alphanumeric).collect()
}

/// The distance of a path component from what was typed. A component that only begins
/// with it is farther than any similar one.
fn of_part(typed: &str, part: &str) -> Option<usize> {
    if typed.len() < SHORTEST_NAME {
        return None;
    }
    let begins = typed.len() >= SHORTEST_BEGINNING && part.starts_with(typed);
    distance(typed, part).or_else(|| begins.then_some(typed.len() / 3 + 1))
}

/// The edit distance from `typed` to `name`. `None` if it is more than a third of the
/// length of `typed`.
fn distance(typed: &str, name: &str) -> Option<usize> {
    let most = typed.len() / 3;
    if typed.len().abs_diff(name.len()) > most {
        return None;
    }
    Some(strsim::levenshtein(typed, name)).filter(|distance| *distance <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suggested(typed: &str) -> Vec<String> {
        let tracked: Vec<ImageName> = [
            "docker.io/grafana/grafana",
            "docker.io/nextcloud",
            "docker.io/vaultwarden/server",
            "ghcr.io/home-assistant/home-assistant",
            "ghcr.io/immich-app/immich-machine-learning",
            "ghcr.io/immich-app/immich-server",
            "lscr.io/linuxserver/sonarr",
            "docker.io/n8nio/n8n",
        ]
        .map(|name| name.parse().unwrap())
        .into();
        let near = images(&typed.parse().unwrap(), &tracked);
        near.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn suggests_the_image_that_was_meant() {
        for (typed, meant) in [
            ("nextclud", "docker.io/nextcloud"),
            ("nextcluod", "docker.io/nextcloud"),
            ("ghcr.io/nextcloud/nextcloud", "docker.io/nextcloud"),
            ("lscr.io/linuxserver/nextcloud", "docker.io/nextcloud"),
            ("grafana", "docker.io/grafana/grafana"),
            ("homeassistant", "ghcr.io/home-assistant/home-assistant"),
            (
                "homeassistant/home-assistant",
                "ghcr.io/home-assistant/home-assistant",
            ),
            ("vaultwarden", "docker.io/vaultwarden/server"),
            ("linuxserver/sonar", "lscr.io/linuxserver/sonarr"),
            ("n8n", "docker.io/n8nio/n8n"),
            ("immich", "ghcr.io/immich-app/immich-machine-learning"),
            ("immich-server", "ghcr.io/immich-app/immich-server"),
        ] {
            assert_eq!(
                suggested(typed).first().map(String::as_str),
                Some(meant),
                "{typed}"
            );
        }
        for typed in ["postgres", "a", "x/y", "redis"] {
            assert!(
                suggested(typed).is_empty(),
                "{typed}: {:?}",
                suggested(typed)
            );
        }
    }
}
