//! A valid digests.json in any layout: a lookup that parses what it needs answers as
//! one that has parsed all.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_oci_hashes::lookup::Query;
use nix_oci_hashes::reference::{Algorithm, Digest};
use nix_oci_hashes::table::{LazyTable, Pin, Table};

/// Three images with tags of the same names, and none of their digests alike.
fn table() -> Table {
    let mut table = Table::default();
    for image in ["docker.io/a", "docker.io/b", "docker.io/c"] {
        let pins = table.images.entry(image.parse().unwrap()).or_default();
        for tag in ["1", "1.2", "latest"] {
            let digest =
                |of: &str| Digest::of(Algorithm::Sha256, format!("{image}:{tag} {of}").as_bytes());
            let platforms = [("linux/amd64".parse().unwrap(), digest("amd64"))];
            let pin = Pin::new(digest("index"), platforms.into());
            pins.insert(tag.parse().unwrap(), pin.into());
        }
    }
    table
        .images
        .entry("docker.io/d".parse().unwrap())
        .or_default();
    table
}

/// The places between two tokens. No name has a space in it.
fn gaps(text: &str) -> Vec<usize> {
    let mut is_quoted = false;
    let bytes = text.as_bytes();
    (1..bytes.len())
        .filter(|at| {
            is_quoted ^= bytes[at - 1] == b'"';
            !is_quoted && matches!(bytes[at - 1], b'{' | b'}' | b',' | b':' | b'"')
        })
        .collect()
}

fuzz_target!(|changes: Vec<(u16, u8)>| {
    let table = table();
    let mut text = table.to_json();
    for (place, change) in changes.into_iter().take(64) {
        let gaps = gaps(&text);
        let at = gaps[usize::from(place) % gaps.len()];
        let width = text[at..].len() - text[at..].trim_start_matches([' ', '\n']).len();
        let spaces = " ".repeat(usize::from(change / 4) % 12);
        match change % 4 {
            0 => text.replace_range(at..at + width, ""),
            1 => text.replace_range(at..at + width, &format!("\n{spaces}")),
            2 => text.insert_str(at, &spaces),
            _ => text.insert(at, '\n'),
        }
    }
    let lazy = LazyTable::from_text(text.into_bytes(), "digests.json");
    for (image, pins) in &table.images {
        for tag in pins
            .keys()
            .map(ToString::to_string)
            .chain(["none".to_owned()])
        {
            for platform in [None, Some("linux/amd64".parse().unwrap())] {
                let query = Query::from_reference(&format!("{image}:{tag}")).unwrap();
                let query = query.for_platform(platform);
                assert_eq!(query.answer_lazily(&lazy).unwrap(), query.answer(&table));
            }
        }
    }
});
