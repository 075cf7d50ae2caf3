//! A refresh of 240 tags, compared with skopeo and with the ideal time of the requests.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::measure::run;
use super::page::{Page, Row, Section};
use super::support::registry::Registry;
use super::support::{Workspace, latency};

const IMAGES: usize = 24;
const TAGS: usize = 10;
/// How many requests `refresh` sends at once, by default.
const JOBS: f64 = 32.0;

pub fn measure(page: &mut Page) {
    let registry = Registry::start();
    for image in 0..IMAGES {
        let tags: Vec<(String, String)> = (0..TAGS)
            .map(|tag| (format!("1.{tag}.0"), format!("{image} {tag}")))
            .collect();
        registry.push_many(
            &format!("bench/app{image}"),
            &tags,
            &["linux/amd64", "linux/arm64"],
        );
    }
    let mut rows = Vec::new();
    for milliseconds in [0, 50, 200] {
        let round_trip = Duration::from_millis(milliseconds);
        let address = latency::proxy_to(&registry.address, round_trip);
        rows.extend(at(&registry, &address, round_trip));
    }
    page.add(Section {
        title: "A refresh of 240 tags",
        text: "The registry is Debian's docker-registry, behind a proxy on loopback that adds the latency. The peer reads \
               the same indexes, one by one and 16 at once. With latency, one by one reads only every tenth tag, and its \
               time is multiplied by ten. At 50 ms, both sides show the quickest of several runs. The time that requests \
               have to take is their number, divided by the 32 that run at once, times the round trip.",
        commands: [
            "nix-oci-hashes refresh",
            "xargs -n 1 skopeo inspect --raw --tls-verify=false <references",
            "xargs -n 1 -P 16 skopeo inspect --raw --tls-verify=false <references",
        ]
        .map(str::to_owned)
        .into(),
        rows,
    });
}

/// The times in seconds and the requests of refreshes at one round-trip time.
struct Refreshes {
    cold: f64,
    unchanged: f64,
    /// The requests of the last run.
    cold_requests: Vec<String>,
    unchanged_requests: Vec<String>,
}

fn at(registry: &Registry, address: &str, round_trip: Duration) -> Vec<Row> {
    let image = |number: usize| format!("{address}/bench/app{number}");
    let images: Vec<_> = (0..IMAGES)
        .map(|number| {
            let all = json!({ "major-minor-patch": true });
            json!({ "image": image(number), "strategies": all, "keep": TAGS })
        })
        .collect();
    let workspace = Workspace::tracking(&json!(images).to_string());
    let has_budget = round_trip.as_millis() == 50;
    let ours = refreshes(registry, &workspace, if has_budget { 5 } else { 1 });
    let skopeo = |of: usize, at_once: usize| {
        let mut references = String::new();
        for number in (0..IMAGES * TAGS).step_by(of) {
            let (image, tag) = (image(number / TAGS), number % TAGS);
            writeln!(references, "docker://{image}:1.{tag}.0").unwrap();
        }
        workspace.write("references", references);
        let mut command = Command::new("xargs");
        command
            .args(["-a", "references", "-n", "1", "-P", &at_once.to_string()])
            .args(["skopeo", "inspect", "--raw", "--tls-verify=false"])
            .current_dir(workspace.path(""));
        run(&mut command).time.as_secs_f64() * of as f64
    };
    let is_far = round_trip > Duration::ZERO;
    let one_by_one = skopeo(if is_far { 10 } else { 1 }, 1);
    let at_once = quickest((0..if has_budget { 3 } else { 1 }).map(|_| skopeo(1, 16)));
    let mut rows = beside_skopeo(&ours, one_by_one, at_once, has_budget);
    if is_far {
        rows.extend(beside_the_ideal(&ours, round_trip, has_budget));
    }
    rows.push(counted(&ours.unchanged_requests));
    for row in &mut rows {
        row.what = format!("{} ms away, {}", round_trip.as_millis(), row.what);
    }
    rows
}

/// Refreshes an empty table, and again without changes, `times` times.
fn refreshes(registry: &Registry, workspace: &Workspace, times: usize) -> Refreshes {
    let refresh = || {
        let before = registry.requests();
        let run = run(&mut workspace.command(&["refresh"]));
        (
            run.time.as_secs_f64(),
            registry.requests().split_off(before.len()),
        )
    };
    let runs: Vec<_> = (0..times)
        .map(|_| {
            workspace.write("digests.json", "{ \"version\": 1, \"images\": {} }\n");
            let cold = refresh();
            let pinned = &workspace.table()["images"];
            assert_eq!(pinned.as_object().unwrap().len(), IMAGES);
            (cold, refresh())
        })
        .collect();
    let (cold, unchanged) = (
        quickest(runs.iter().map(|(cold, _)| cold.0)),
        quickest(runs.iter().map(|(_, unchanged)| unchanged.0)),
    );
    let (cold_requests, unchanged_requests) = runs
        .into_iter()
        .map(|(cold, unchanged)| (cold.1, unchanged.1))
        .next_back()
        .unwrap();
    Refreshes {
        cold,
        unchanged,
        cold_requests,
        unchanged_requests,
    }
}

fn quickest(times: impl Iterator<Item = f64>) -> f64 {
    times.fold(f64::INFINITY, f64::min)
}

/// The budget of this row, if it has one.
fn budget(has_budget: bool, text: &str) -> String {
    if has_budget {
        text.to_owned()
    } else {
        String::new()
    }
}

fn beside_skopeo(ours: &Refreshes, one_by_one: f64, at_once: f64, has_budget: bool) -> Vec<Row> {
    let cold = ours.cold;
    vec![
        Row {
            what: "cold, beside skopeo one by one".to_owned(),
            ours: format!("{cold:.2} s"),
            peer: format!("{one_by_one:.1} s"),
            ratio: format!("{:.0} times faster", one_by_one / cold),
            budget: String::new(),
            is_met: true,
        },
        Row {
            what: "cold, beside 16 skopeo at once".to_owned(),
            ours: format!("{cold:.2} s"),
            peer: format!("{at_once:.2} s"),
            ratio: format!("{:.1} times faster", at_once / cold),
            budget: budget(has_budget, "5 times faster"),
            is_met: !has_budget || at_once >= 5.0 * cold,
        },
    ]
}

fn beside_the_ideal(ours: &Refreshes, round_trip: Duration, has_budget: bool) -> Vec<Row> {
    let row = |what: &str, time: f64, requests: usize, has_budget: bool| {
        let ideal = requests as f64 / JOBS * round_trip.as_secs_f64();
        Row {
            what: format!("{what}, beside what {requests} requests have to take"),
            ours: format!("{time:.2} s"),
            peer: format!("{ideal:.2} s"),
            ratio: format!("{:.2}", time / ideal),
            budget: budget(has_budget, "at most 1.3"),
            is_met: !has_budget || time <= 1.3 * ideal,
        }
    };
    vec![
        row("cold", ours.cold, ours.cold_requests.len(), has_budget),
        row(
            "unchanged",
            ours.unchanged,
            ours.unchanged_requests.len(),
            false,
        ),
    ]
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
    Row {
        what: "requests where nothing has changed".to_owned(),
        ours: format!("{lists} lists, {heads} HEAD, {gets} GET of a manifest"),
        peer: format!("{IMAGES} images, {} live tags", IMAGES * TAGS),
        ratio: format!(
            "{:.2}",
            (lists + heads + gets) as f64 / (IMAGES + IMAGES * TAGS) as f64
        ),
        budget: "one list an image, one HEAD a tag, no GET".to_owned(),
        is_met: (lists, heads, gets) == (IMAGES, IMAGES * TAGS, 0),
    }
}
