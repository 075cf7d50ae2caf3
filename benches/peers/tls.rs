//! A refresh as of registries on the internet: over TLS and HTTP/2, with a bearer token
//! for each repository, and lists in pages.

use std::process::Command;
use std::time::Duration;

use super::guarded::{GuardedRegistry, IMAGES, PAGE, Requests, TAGS};
use super::measure::{Quartiles, Run, run};
use super::page::{Page, Row, Section};
use super::support::Workspace;

/// How many requests `refresh` sends at once, by default.
const JOBS: f64 = 32.0;
const ROUND_TRIP: Duration = Duration::from_millis(50);
const ROUNDS: usize = 5;

pub fn measure(page: &mut Page) {
    let registry = GuardedRegistry::start(ROUND_TRIP);
    let workspace = Workspace::tracking(&registry.images_json());
    workspace.write("authority.pem", &registry.authority);
    let (cold, cold_requests) = refreshes(&registry, &workspace, true);
    let (unchanged, unchanged_requests) = refreshes(&registry, &workspace, false);
    workspace.write("references", registry.references());
    let skopeo: Vec<Run> = (0..ROUNDS)
        .map(|_| {
            let mut command = Command::new("xargs");
            command
                .args(["-a", "references", "-n", "1", "-P", "16"])
                .args(["skopeo", "inspect", "--raw"])
                .env("SSL_CERT_FILE", workspace.path("authority.pem"))
                .current_dir(workspace.path(""));
            run(&mut command)
        })
        .collect();
    page.add(Section {
        title: "A refresh of 240 tags, over TLS with tokens, 50 ms away",
        text: "The same as registries on the internet have it: HTTP/2, a token for each repository, lists in pages of five \
               tags. The registry is one in the benchmark's own process, behind the same proxy. What the requests have to \
               take counts two round trips for the connection, one for the first refusal, one for each token, the pages of \
               a list one after another, and the rest 32 at once.",
        commands: [
            "nix-oci-hashes refresh",
            "xargs -n 1 -P 16 skopeo inspect --raw <references",
        ]
        .map(str::to_owned)
        .into(),
        rows: vec![
            beside_skopeo(&cold, &skopeo),
            beside_the_ideal("first pins", &cold, &cold_requests, 1.25),
            beside_the_ideal("nothing has changed", &unchanged, &unchanged_requests, 1.2),
        ],
    });
}

/// Refreshes an empty table, or one without changes. Also returns the requests of the last
/// run.
fn refreshes(
    registry: &GuardedRegistry,
    workspace: &Workspace,
    is_cold: bool,
) -> (Vec<Run>, Requests) {
    let mut runs = Vec::new();
    let mut requests = Requests::default();
    for _ in 0..ROUNDS {
        if is_cold {
            workspace.write("digests.json", "{ \"version\": 1, \"images\": {} }\n");
        }
        registry.take_requests();
        let mut command = workspace.command(&["refresh"]);
        command.env("SSL_CERT_FILE", workspace.path("authority.pem"));
        runs.push(run(&mut command));
        requests = registry.take_requests();
        let pinned = &workspace.table()["images"];
        assert_eq!(pinned.as_object().unwrap().len(), IMAGES);
    }
    (runs, requests)
}

fn beside_skopeo(ours: &[Run], skopeo: &[Run]) -> Row {
    let (ours, skopeo) = (Quartiles::of_times(ours), Quartiles::of_times(skopeo));
    let faster = skopeo.middle / ours.middle;
    let [shown, peer] = [ours, skopeo].map(|times| times.show("s", 1.0, 2));
    Row::new(
        "first pins, beside 16 skopeo at once",
        shown,
        peer,
        format!("{faster:.1} times faster"),
    )
}

/// `most` is the budget, as a multiple of the ideal.
fn beside_the_ideal(what: &str, runs: &[Run], requests: &Requests, most: f64) -> Row {
    let times = Quartiles::of_times(runs);
    let Requests {
        refused,
        tokens,
        pages,
        others,
    } = requests;
    let pages_of_one = TAGS.div_ceil(PAGE);
    let at_once = (*others + pages - pages_of_one) as f64 / JOBS;
    let trips = (2 + 1 + tokens + pages_of_one) as f64 + at_once;
    let ideal = trips * ROUND_TRIP.as_secs_f64();
    Row::new(
        format!(
            "{what}, beside what {others} requests, {pages} pages and {tokens} tokens have to take ({refused} refused)"
        ),
        times.show("s", 1.0, 2),
        format!("{ideal:.2} s"),
        format!("{:.2}", times.middle / ideal),
    )
    .with_budget(&format!("at most {most}"), times.middle <= most * ideal)
}
