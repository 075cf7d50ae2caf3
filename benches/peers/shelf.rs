//! 24 images of ten tags each, which refreshes are measured on.

use serde_json::{Value, json};

use super::support::registry::Registry;

pub const IMAGES: usize = 24;
pub const TAGS: usize = 10;

/// The image with this number in a registry.
pub fn image(address: &str, number: usize) -> String {
    format!("{address}/bench/app{number}")
}

/// The tag with this number.
pub fn tag(number: usize) -> String {
    format!("1.{number}.0")
}

/// Pushes all images.
pub fn push(registry: &Registry) {
    for number in 0..IMAGES {
        let tags: Vec<(String, String)> = (0..TAGS)
            .map(|of| (tag(of), format!("{number} {of}")))
            .collect();
        let platforms = ["linux/amd64", "linux/arm64"];
        registry.push_many(&format!("bench/app{number}"), &tags, &platforms);
    }
}

/// The images.json that tracks every tag.
pub fn images_json(address: &str) -> String {
    let images = (0..IMAGES).map(|number| {
        let all = json!({ "major-minor-patch": true });
        json!({ "image": image(address, number), "strategies": all, "keep": TAGS })
    });
    images.collect::<Value>().to_string()
}
