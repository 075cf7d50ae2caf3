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
        rows.push(Row::new(
            format!("refresh, {what}, time"),
            format!("{:.1} s for {requests} requests", time.as_secs_f64()),
            format!("{ideal} requests needed"),
            format!(
                "{:.0} requests a second",
                requests as f64 / time.as_secs_f64()
            ),
        ));
        rows.push(
            Row::new(
                format!("refresh, {what}, memory"),
                format!("{memory:.1} MiB"),
                format!("{} pins", IMAGES * TAGS),
                format!("{:.2} KiB a pin", memory * 1024.0 / (IMAGES * TAGS) as f64),
            )
            .with_budget("at most 100 MiB", memory <= 100.0),
        );
    }
    page.add(Section {
        title: "A refresh of 10,000 images",
        text: "Whether a table of your own can grow. Each image has ten tags, in a registry on loopback that answers at once.",
        commands: vec!["nix-oci-hashes refresh".to_owned()],
        rows,
    });
}
