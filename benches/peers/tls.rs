//! A refresh from a registry as most on the internet are: over TLS and HTTP/2, with bearer
//! tokens, and lists in pages.

use super::guarded::{GuardedRegistry, PAGE, Requests};
use super::measure::{Quartiles, Run, run};
use super::page::{Page, Row, Section};
use super::refresh::{JOBS, ROUND_TRIP, ROUNDS, beside_skopeo};
use super::shelf::{self, AUTHORITY, IMAGES, TAGS, images_json};
use super::support::Workspace;

pub fn measure(page: &mut Page) {
    let registry = GuardedRegistry::start(ROUND_TRIP);
    let workspace = Workspace::tracking(&images_json(registry.address()));
    workspace.write(AUTHORITY, &registry.authority);
    let (cold, cold_requests) = refreshes(&registry, &workspace, true);
    let (unchanged, unchanged_requests) = refreshes(&registry, &workspace, false);
    let skopeo = shelf::skopeo(registry.address(), &workspace, &[], ROUNDS);
    page.add(Section {
        title: "A refresh of 240 tags, over TLS with tokens, 50 ms away",
        text: "The same from a registry as most on the internet are: over HTTP/2, with bearer tokens, and lists in pages of \
               five tags. It runs in the benchmark's own process, behind the same proxy. The time that requests have to take \
               is two round trips for the connection, one for the first refusal, one for a token, one for each page of a \
               list, and those of the other requests, 32 at once. A registry that is not on loopback gets the first request \
               alone, and refuses only that.",
        commands: [
            "nix-oci-hashes refresh",
            "xargs -n 1 -P 16 skopeo inspect --raw <references",
        ]
        .map(str::to_owned)
        .into(),
        rows: vec![
            beside_skopeo(&cold, &skopeo).0,
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
        command.env("SSL_CERT_FILE", workspace.path(AUTHORITY));
        runs.push(run(&mut command));
        requests = registry.take_requests();
        let pinned = &workspace.table()["images"];
        assert_eq!(pinned.as_object().unwrap().len(), IMAGES);
    }
    (runs, requests)
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
    assert_eq!((*pages, *tokens), (IMAGES * pages_of_one, 1));
    let trips = (2 + 1 + 1 + pages_of_one) as f64 + *others as f64 / JOBS;
    let ideal = trips * ROUND_TRIP.as_secs_f64();
    Row::new(
        format!(
            "{what}, beside what {others} requests and {pages} pages have to take; one token, {refused} refused"
        ),
        times.show("s", 1.0, 2),
        format!("{ideal:.2} s"),
        format!("{:.2}", times.middle / ideal),
    )
    .with_budget(&format!("at most {most}"), times.middle <= most * ideal)
}
