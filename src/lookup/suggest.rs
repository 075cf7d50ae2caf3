//! Suggestions for a misspelled image or tag: the nearest names by edit distance. The plain-Nix lookup has to find the same, so the rules are few.

use std::collections::BTreeSet;

use crate::reference::{ImageName, Tag};

/// Most names that are suggested for one.
const MOST_NAMES: usize = 3;
/// Fewest characters that say anything.
const SHORTEST_NAME: usize = 2;
/// Fewest characters that are taken for the beginning of a name.
const SHORTEST_BEGINNING: usize = 4;

/// The images among `tracked` that are named most like `image`, the nearest
/// first.
///
/// A repository is compared as a whole and by its parts, letters and digits
/// alone: people leave out an organisation, a hyphen, a registry. Its last part
/// is what it is called, so that has to be like some part of the other, with at
/// most a third of its characters changed, or be how one begins.
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

/// The `most` tags among `pinned` that are written most like `tag`; of those that
/// are as near, or not near at all, what `pinned` has first.
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

/// A name as it is written, without its registry.
fn path(image: &ImageName) -> &str {
    let (_, path) = image.as_str().split_once('/').unwrap_or_default();
    path
}

/// The letters and digits of a name.
fn key(name: &str) -> String {
    let characters = name.chars();
    characters.filter(char::is_ascii_alphanumeric).collect()
}

/// How far a part of a name is from what was typed; one that goes on after that
/// is further than any slip.
fn of_part(typed: &str, part: &str) -> Option<usize> {
    if typed.len() < SHORTEST_NAME {
        return None;
    }
    let begins = typed.len() >= SHORTEST_BEGINNING && part.starts_with(typed);
    distance(typed, part).or_else(|| begins.then_some(typed.len() / 3 + 1))
}

/// How many characters have to change to make `typed` `name`, where these are
/// few enough for a slip.
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
    fn names_that_people_type_are_understood() {
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
