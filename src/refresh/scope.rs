//! The scope of a refresh: all tracked images, some, or a shard.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::options::State;
use crate::reference::ImageName;
use crate::text::Quoted;

/// Which tracked images to refresh.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    #[default]
    All,
    /// These images. The new table has the others unchanged.
    Images(BTreeSet<ImageName>),
    /// One shard. The new table has no other images; the tables of all shards are
    /// merged afterwards.
    Shard(Shard),
}

impl Scope {
    /// Whether `image` is in the scope.
    pub fn contains(&self, image: &ImageName) -> bool {
        match self {
            Self::All => true,
            Self::Images(images) => images.contains(image),
            Self::Shard(shard) => shard.contains(image),
        }
    }

    /// The part of the new state for images that are not in the scope.
    pub(super) fn others(&self, old: &State) -> State {
        match self {
            Self::All | Self::Shard(_) => State::default(),
            Self::Images(images) => {
                let mut others = old.clone();
                others
                    .table
                    .images
                    .retain(|image, _| !images.contains(image));
                let pending = &mut others.pending.images;
                pending.retain(|image, _| !images.contains(image));
                others
            }
        }
    }
}

/// Shard `number` of `count`, written `2/8`. The SHA-256 of an image's name
/// determines its shard, so that all machines agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    number: u32,
    count: u32,
}

/// Why a text is not a [`Shard`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid shard {}: write K/N such as '1/4', for the first of four shards; K is from 1 to N",
    Quoted(.0)
)]
pub struct ShardError(String);

impl Shard {
    /// Whether `image` is in this shard.
    pub fn contains(&self, image: &ImageName) -> bool {
        let hash = Sha256::digest(image.as_str());
        let start = hash.iter().take(8);
        let value = start.fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        value % u64::from(self.count) == u64::from(self.number - 1)
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(input: &str) -> Result<Self, ShardError> {
        let parse = || {
            let (number, count) = input.split_once('/')?;
            let (number, count) = (number.parse().ok()?, count.parse().ok()?);
            (1..=count)
                .contains(&number)
                .then_some(Self { number, count })
        };
        parse().ok_or_else(|| ShardError(input.to_owned()))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_in_one_shard() {
        for count in [1, 2, 3, 7, 16] {
            let shards: Vec<Shard> = (1..=count)
                .map(|number| format!("{number}/{count}").parse().unwrap())
                .collect();
            let mut sizes = vec![0; shards.len()];
            for n in 0..1000 {
                let image = format!("r.example/i{n}").parse().unwrap();
                let parts: Vec<usize> = (0..shards.len())
                    .filter(|i| shards[*i].contains(&image))
                    .collect();
                assert_eq!(parts.len(), 1);
                sizes[parts[0]] += 1;
            }
            assert!(
                sizes.iter().all(|size| *size > 700 / shards.len()),
                "{sizes:?}"
            );
        }
    }

    #[test]
    fn the_shards_never_change() {
        let part = |image: &str| {
            let image = image.parse().unwrap();
            (1..=8).find(|n| format!("{n}/8").parse::<Shard>().unwrap().contains(&image))
        };
        assert_eq!(part("docker.io/nextcloud"), Some(4));
        assert_eq!(part("ghcr.io/immich-app/immich-server"), Some(2));
    }

    #[test]
    fn refuses_invalid_shards() {
        for input in [
            "",
            "1",
            "0/4",
            "5/4",
            "1/0",
            "-1/4",
            "1/4/2",
            "a/b",
            "1/99999999999",
        ] {
            let error = input.parse::<Shard>().unwrap_err().to_string();
            assert!(error.contains("'1/4'"), "{error}");
        }
        assert_eq!("2/8".parse::<Shard>().unwrap().to_string(), "2/8");
    }
}
