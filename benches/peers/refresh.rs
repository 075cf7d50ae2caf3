//! A refresh of 240 tags, beside the same digests by skopeo, and beside what the
//! requests have to take.

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
/// What `refresh` has under way at once, by default.
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
        let address = latency::before(&registry.address, round_trip);
        rows.extend(at(&registry, &address, round_trip));
    }
    page.add(Section {
        title: "A refresh of 240 tags",
        text: "The registry is Debian's docker-registry, behind a proxy on loopback that is so far away. The peer reads \
               the same indexes, one by one and 16 at once; where that takes long, of every tenth tag, and is counted ten \
               times. What the requests have to take is their number, divided by those under way at once (32), times the \
               round trip.",
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

fn at(registry: &Registry, address: &str, round_trip: Duration) -> Vec<Row> {
    let image = |number: usize| format!("{address}/bench/app{number}");
    let images: Vec<_> = (0..IMAGES)
        .map(|number| {
            let all = json!({ "major-minor-patch": true });
            json!({ "image": image(number), "strategies": all, "keep": TAGS })
        })
        .collect();
    let workspace = Workspace::tracking(&json!(images).to_string());
    let timed = || {
        let before = registry.requests();
        let run = run(&mut workspace.command(&["refresh"]));
        (
            run.time.as_secs_f64(),
            registry.requests().split_off(before.len()),
        )
    };
    let (cold, requests) = timed();
    assert_eq!(
        workspace.table()["images"].as_object().unwrap().len(),
        IMAGES
    );
    let (unchanged, again) = timed();
    let count = |begin: &str, part: &str| {
        let requests = again.iter();
        requests
            .filter(|request| request.starts_with(begin) && request.contains(part))
            .count()
    };

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
    let far = round_trip > Duration::ZERO;
    let one_by_one = skopeo(if far { 10 } else { 1 }, 1);
    let at_once = skopeo(1, 16);
    let place = format!("{} ms away", round_trip.as_millis());
    let is_asked = round_trip.as_millis() == 50;
    let budget = |text: &str| {
        if is_asked {
            text.to_owned()
        } else {
            String::new()
        }
    };
    let mut rows = vec![
        Row {
            what: format!("{place}, cold, beside skopeo one by one"),
            ours: format!("{cold:.2} s"),
            peer: format!("{one_by_one:.1} s"),
            ratio: format!("{:.0} times faster", one_by_one / cold),
            budget: String::new(),
            is_met: true,
        },
        Row {
            what: format!("{place}, cold, beside 16 skopeo at once"),
            ours: format!("{cold:.2} s"),
            peer: format!("{at_once:.2} s"),
            ratio: format!("{:.1} times faster", at_once / cold),
            budget: budget("5 times faster"),
            is_met: !is_asked || at_once >= 5.0 * cold,
        },
    ];
    for (what, time, requests) in [
        ("cold", cold, requests.len()),
        ("unchanged", unchanged, again.len()),
    ] {
        if !far {
            continue;
        }
        let ideal = requests as f64 / JOBS * round_trip.as_secs_f64();
        let is_asked = is_asked && what == "cold";
        rows.push(Row {
            what: format!("{place}, {what}, beside what {requests} requests have to take"),
            ours: format!("{time:.2} s"),
            peer: format!("{ideal:.2} s"),
            ratio: format!("{:.2}", time / ideal),
            budget: if is_asked {
                "at most 1.3".to_owned()
            } else {
                String::new()
            },
            is_met: !is_asked || time <= 1.3 * ideal,
        });
    }
    let (lists, heads, gets) = (
        count("GET ", "/tags/list"),
        count("HEAD ", "/manifests/"),
        count("GET ", "/manifests/"),
    );
    rows.push(Row {
        what: format!("{place}, requests where nothing has changed"),
        ours: format!("{lists} lists, {heads} HEAD, {gets} GET of a manifest"),
        peer: format!("{IMAGES} images, {} live tags", IMAGES * TAGS),
        ratio: format!(
            "{:.2}",
            (lists + heads + gets) as f64 / (IMAGES + IMAGES * TAGS) as f64
        ),
        budget: "one list an image, one HEAD a tag, no GET".to_owned(),
        is_met: (lists, heads, gets) == (IMAGES, IMAGES * TAGS, 0),
    });
    rows
}
