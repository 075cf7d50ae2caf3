//! A refresh of 240 tags, compared with skopeo and with the ideal time of the requests.

use std::time::Duration;

use super::chart::Bars;
use super::measure::{Quartiles, Run, run};
use super::page::{Page, Row, Section};
use super::shelf::{self, IMAGES, TAGS, images_json};
use super::support::registry::Registry;
use super::support::{Workspace, latency};

/// How many requests `refresh` sends at once, by default.
pub const JOBS: f64 = 32.0;
pub const ROUND_TRIP: Duration = Duration::from_millis(50);
pub const ROUNDS: usize = 5;

pub fn measure(page: &mut Page) {
    let registry = Registry::start();
    shelf::push(&registry);
    let address = latency::proxy_to(&registry.address, ROUND_TRIP);
    page.add(Section {
        title: "A refresh of 240 tags, 50 ms away",
        text: "How long CI runs, and how much it asks of a registry. The registry is Debian's docker-registry, behind a \
               proxy on loopback that adds the latency. The peer reads the same indexes, 16 at once. The time that requests \
               have to take is their number, divided by the 32 that run at once, times the round trip.",
        commands: [
            "nix-oci-hashes refresh",
            "xargs -n 1 -P 16 skopeo inspect --raw --tls-verify=false <references",
        ]
        .map(str::to_owned)
        .into(),
        rows: rows(&registry, &address),
    });
}

/// The times and the requests of refreshes.
struct Refreshes {
    cold: Vec<Run>,
    unchanged: Vec<Run>,
    /// The requests of the last runs.
    cold_requests: Vec<String>,
    unchanged_requests: Vec<String>,
}

fn rows(registry: &Registry, address: &str) -> Vec<Row> {
    let workspace = Workspace::tracking(&images_json(address));
    let ours = refreshes(registry, &workspace);
    let skopeo = shelf::skopeo(address, &workspace, &["--tls-verify=false"], ROUNDS);
    vec![
        with_bars(&ours, &skopeo),
        beside_the_ideal(
            "first pins",
            &ours.cold,
            ours.cold_requests.len(),
            Some(1.3),
        ),
        beside_the_ideal(
            "nothing has changed",
            &ours.unchanged,
            ours.unchanged_requests.len(),
            None,
        ),
        counted(&ours.unchanged_requests),
    ]
}

/// Refreshes an empty table, and again without changes.
fn refreshes(registry: &Registry, workspace: &Workspace) -> Refreshes {
    let refresh = || {
        let before = registry.requests();
        let run = run(&mut workspace.command(&["refresh"]));
        (run, registry.requests().split_off(before.len()))
    };
    let mut all = Refreshes {
        cold: Vec::new(),
        unchanged: Vec::new(),
        cold_requests: Vec::new(),
        unchanged_requests: Vec::new(),
    };
    for _ in 0..ROUNDS {
        workspace.write("digests.json", "{ \"version\": 1, \"images\": {} }\n");
        let (cold, requests) = refresh();
        all.cold.push(cold);
        all.cold_requests = requests;
        let pinned = &workspace.table()["images"];
        assert_eq!(pinned.as_object().unwrap().len(), IMAGES);
        let (unchanged, requests) = refresh();
        all.unchanged.push(unchanged);
        all.unchanged_requests = requests;
    }
    all
}

/// Beside skopeo, in the chart too.
fn with_bars(ours: &Refreshes, skopeo: &[Run]) -> Row {
    let (row, faster) = beside_skopeo(&ours.cold, skopeo);
    let bars = Bars {
        what: "First pins of 240 tags in a registry 50 ms away".to_owned(),
        ours: row.ours.clone(),
        peer: format!("16 skopeo at once: {}", row.peer),
        share: 1.0 / faster,
    };
    row.with_budget("5 times faster", faster >= 5.0)
        .in_chart(bars)
}

/// A row of first pins, and how many times faster they are.
pub fn beside_skopeo(ours: &[Run], skopeo: &[Run]) -> (Row, f64) {
    let (ours, skopeo) = (Quartiles::of_times(ours), Quartiles::of_times(skopeo));
    let faster = skopeo.middle / ours.middle;
    let [ours, skopeo] = [ours, skopeo].map(|times| times.show("s", 1.0, 2));
    let row = Row::new(
        "first pins, beside 16 skopeo at once",
        ours,
        skopeo,
        format!("{faster:.1} times faster"),
    );
    (row, faster)
}

/// `most` is the budget, as a multiple of the ideal.
fn beside_the_ideal(what: &str, runs: &[Run], requests: usize, most: Option<f64>) -> Row {
    let times = Quartiles::of_times(runs);
    let ideal = requests as f64 / JOBS * ROUND_TRIP.as_secs_f64();
    let row = Row::new(
        format!("{what}, beside what {requests} requests have to take"),
        times.show("s", 1.0, 2),
        format!("{ideal:.2} s"),
        format!("{:.2}", times.middle / ideal),
    );
    match most {
        Some(most) => row.with_budget(&format!("at most {most}"), times.middle <= most * ideal),
        None => row,
    }
}

fn counted(requests: &[String]) -> Row {
    let count = |begin: &str, part: &str| {
        let requests = requests.iter();
        requests
            .filter(|request| request.starts_with(begin) && request.contains(part))
            .count()
    };
    let (lists, heads, gets) = (
        count("GET ", "/tags/list"),
        count("HEAD ", "/manifests/"),
        count("GET ", "/manifests/"),
    );
    Row::new(
        "nothing has changed, requests",
        format!("{lists} lists, {heads} HEAD, {gets} GET of a manifest"),
        format!("{IMAGES} images, {} live tags", IMAGES * TAGS),
        format!(
            "{:.2}",
            (lists + heads + gets) as f64 / (IMAGES + IMAGES * TAGS) as f64
        ),
    )
    .with_budget(
        "one list an image, one HEAD a tag, no GET",
        (lists, heads, gets) == (IMAGES, IMAGES * TAGS, 0),
    )
}
