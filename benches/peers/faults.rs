//! A refresh of a thousand images from a registry in which one response in five is a
//! fault, compared with the same registry without faults.

use std::time::Duration;

use super::measure::{Quartiles, run_to};
use super::page::{Page, Row, Section};
use super::support::Workspace;
use super::support::crowd::Simulation;

pub fn measure(page: &mut Page) {
    let refresh = |is_faulty: bool| {
        let served = Simulation {
            images: 1000,
            tags: 3,
            latency: Duration::from_millis(50),
            is_faulty,
        }
        .serve();
        let workspace = Workspace::tracking(&served.images_json());
        let code = if is_faulty { 2 } else { 0 };
        let run = run_to(&mut workspace.command(&["refresh"]), code);
        (
            run,
            served.take_requests().iter().sum::<usize>(),
            served.faults(),
        )
    };
    let (good, requests, _) = refresh(false);
    // The pauses between retries are random.
    let runs = [(); 3].map(|()| refresh(true));
    let times = Quartiles::of_times(&runs.map(|(run, ..)| run));
    let [(_, more, faults), ..] = runs;
    let good = good.time.as_secs_f64();
    page.add(Section {
        title: "A thousand images of a faulty registry",
        text: "How long a bad day of a registry keeps your CI waiting. Every answer takes 50 ms, and one in five is a fault: \
               refused, denied, gone, failed, slow, cut off, wrong, endless, huge, or leading elsewhere. Three in four of \
               them are over the next time. The peer is the same registry without faults.",
        commands: vec!["nix-oci-hashes refresh".to_owned()],
        rows: vec![
            Row::new(
                format!("refresh, with {faults} faults among {more} answers"),
                times.show("s", 1.0, 1),
                format!("{good:.1} s for {requests} answers"),
                format!("{:.2}", times.middle / good),
            )
            .with_budget("at most 2", times.middle <= 2.0 * good),
        ],
    });
}
