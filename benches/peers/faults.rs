//! A refresh of a thousand images from a registry in which one response in five is a
//! fault, compared with the same registry without faults.

use std::time::Duration;

use super::measure::run_to;
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
    // The pauses between retries are random, so take the median.
    let mut runs = [(); 3].map(|()| refresh(true));
    runs.sort_unstable_by_key(|(run, ..)| run.time);
    let [_, (bad, more, faults), _] = runs;
    let (good_time, bad_time) = (good.time.as_secs_f64(), bad.time.as_secs_f64());
    page.add(Section {
        title: "A thousand images of a faulty registry",
        text: "Every answer takes 50 ms, and one in five is a fault: refused, denied, gone, failed, slow, cut off, wrong, \
               endless, huge, or leading elsewhere. Three in four of them are over the next time. The peer is the same \
               registry without faults. The middle one of three runs.",
        commands: vec!["nix-oci-hashes refresh".to_owned()],
        rows: vec![
            Row {
                what: format!("time, with {faults} faults among {more} answers"),
                ours: format!("{bad_time:.1} s"),
                peer: format!("{good_time:.1} s for {requests} answers"),
                ratio: format!("{:.2}", bad_time / good_time),
                budget: "at most 2".to_owned(),
                is_met: bad_time <= 2.0 * good_time,
            },
            Row {
                what: "memory".to_owned(),
                ours: format!("{:.1} MiB", super::measure::as_float(bad.memory) / 1024.0),
                peer: format!("{:.1} MiB", super::measure::as_float(good.memory) / 1024.0),
                ratio: format!("{:.2}", super::measure::as_float(bad.memory) / super::measure::as_float(good.memory)),
                budget: String::new(),
                is_met: true,
            },
        ],
    });
}
