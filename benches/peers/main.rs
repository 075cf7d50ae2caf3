//! `make bench`: measures nix-oci-hashes and a peer in the same run, prints a table of
//! ratios and budgets, and writes docs/benchmarks.md.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark ends where something cannot be measured, and its counts are small"
)]

mod chart;
mod faults;
mod guarded;
mod loading;
mod lookups;
mod measure;
mod page;
mod refresh;
mod renovate;
mod scale;
mod shelf;
mod site;
mod store;
#[path = "../../tests/support/mod.rs"]
mod support;
#[path = "../support/tables.rs"]
mod tables;
mod tls;

use page::Page;

/// Measures one section and adds it to the page.
type Measure = fn(&mut Page);

fn main() {
    // `cargo test --benches` passes `--test`: a benchmark should only start.
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    let chosen = |name: &str| {
        let mut names = arguments[1..]
            .iter()
            .filter(|name| !name.starts_with('-'))
            .peekable();
        names.peek().is_none() || names.any(|chosen| chosen == name)
    };
    let mut page = Page::new();
    let sections: [(&str, Measure); 9] = [
        ("loading", loading::measure),
        ("lookups", lookups::measure),
        ("refresh", refresh::measure),
        ("tls", tls::measure),
        ("renovate", renovate::measure),
        ("faults", faults::measure),
        ("scale", scale::measure),
        ("site", site::measure),
        ("store", store::measure),
    ];
    for (name, measure) in sections {
        if chosen(name) {
            measure(&mut page);
        }
    }
    page.finish(sections.iter().all(|(name, _)| chosen(name)));
}
