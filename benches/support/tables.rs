//! Tables of any size in canonical form, of images with ten tags each. Each digest is the
//! hash of its own reference; no registry has it.

use nix_oci_hashes::reference::{Algorithm, Digest};
use nix_oci_hashes::table::{Pin, Platforms, Table};

/// Number of tags of an image.
const TAGS: usize = 10;

fn digest(of: &str) -> Digest {
    Digest::of(Algorithm::Sha256, of.as_bytes())
}

fn image(number: usize) -> String {
    format!("docker.io/org{:04}/app{number:06}", number / 50)
}

/// The reference of the tag with this number, from 0 on.
pub fn reference(number: usize) -> String {
    format!("{}:1.{}.0", image(number / TAGS), number % TAGS)
}

/// The text of a table with this many tags.
pub fn text(tags: usize) -> String {
    let mut table = Table::default();
    for number in 0..tags {
        let name = reference(number);
        let (image, tag) = name.split_once(':').unwrap_or_default();
        let platforms = ["linux/amd64", "linux/arm64"];
        let platforms: Platforms = platforms
            .iter()
            .filter_map(|platform| {
                Some((
                    platform.parse().ok()?,
                    digest(&format!("{name} {platform}")),
                ))
            })
            .collect();
        let pin = Pin {
            digest: digest(&name),
            version: None,
            platforms,
        };
        if let (Ok(image), Ok(tag)) = (image.parse(), tag.parse()) {
            table
                .images
                .entry(image)
                .or_default()
                .insert(tag, pin.into());
        }
    }
    table.to_json()
}
