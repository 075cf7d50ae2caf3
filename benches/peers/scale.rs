//! A refresh of ten thousand images.

use std::time::Duration;

use super::measure::{Run, as_float, run};
use super::page::{Page, Row, Section};
use super::support::Workspace;
use super::support::crowd::Simulation;

const IMAGES: usize = 10_000;
const TAGS: usize = 10;

pub fn measure(page: &mut Page) {
    let served = Simulation {
        images: IMAGES,
        tags: TAGS,
        latency: Duration::ZERO,
        is_faulty: false,
    }
    .serve();
    let workspace = Workspace::tracking(&served.images_json());
    let mut rows = Vec::new();
    for (what, ideal) in [
        ("cold", IMAGES * (1 + 2 * TAGS)),
        ("with nothing changed", IMAGES * (1 + TAGS)),
    ] {
        let Run { time, memory } = run(&mut workspace.command(&["refresh"]));
        let [lists, heads, gets] = served.take_requests();
        let requests = lists + heads + gets;
        let memory = as_float(memory) / 1024.0;
        rows.push(Row {
            what: format!("{what}, requests"),
            ours: format!("{lists} lists, {heads} HEAD, {gets} GET"),
            peer: format!("{ideal} needed"),
            ratio: format!("{:.3}", requests as f64 / ideal as f64),
            budget: String::new(),
            is_met: true,
        });
        rows.push(Row {
            what: format!("{what}, time"),
            ours: format!("{:.1} s", time.as_secs_f64()),
            peer: format!("{requests} requests"),
            ratio: format!(
                "{:.0} requests a second",
                requests as f64 / time.as_secs_f64()
            ),
            budget: String::new(),
            is_met: true,
        });
        rows.push(Row {
            what: format!("{what}, memory"),
            ours: format!("{memory:.1} MiB"),
            peer: format!("{} pins", IMAGES * TAGS),
            ratio: format!("{:.2} KiB a pin", memory * 1024.0 / (IMAGES * TAGS) as f64),
            budget: "at most 100 MiB".to_owned(),
            is_met: memory <= 100.0,
        });
    }
    page.add(Section {
        title: "A refresh of 10,000 images",
        text: "Each has ten tags, in a registry on loopback that answers at once.",
        commands: vec!["nix-oci-hashes refresh".to_owned()],
        rows,
    });
}
