//! Refreshes a thousand images from a registry in which one response in five is a fault.
//!
//! The table must have every tag that the registry can serve, and no wrong digest. Every
//! other tag must be reported.
use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::crowd::{SimulatedRegistry, Simulation};
use crate::support::{Outcome, Workspace};
use serde_json::Value;

#[test]
fn available_images_are_pinned_and_the_rest_is_reported() {
    let served = Simulation {
        images: 1000,
        tags: 3,
        latency: Duration::ZERO,
        is_faulty: true,
    }
    .serve();
    let workspace = Workspace::tracking(&served.images_json());
    let outcome = Outcome::of(&mut workspace.command(&["refresh", "--json"])).code(2);
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let failed = report["problems"].as_array().unwrap();
    let failed: BTreeSet<&str> = failed
        .iter()
        .map(|failure| failure["image"].as_str().unwrap())
        .collect();
    let gone = report["gone"].as_array().unwrap();
    let gone: BTreeSet<&str> = gone
        .iter()
        .map(|gone| gone["image"].as_str().unwrap())
        .collect();

    let table = workspace.table();
    let (mut pinned, mut missing) = (0, 0);
    for number in 0..1000 {
        let image = served.image(number);
        for tag in 0..3 {
            let pin = &table["images"][&image][SimulatedRegistry::tag(tag)];
            if pin.is_null() {
                missing += 1;
                assert!(
                    served.has_permanent_fault(number, tag),
                    "{image}, tag {tag}: it could be had"
                );
                let is_reported = failed.contains(&*image) || gone.contains(&*image);
                assert!(is_reported, "{image}: its failure is not reported");
            } else {
                pinned += 1;
                assert_eq!(pin["digest"], served.digest(number, tag), "{image}");
                assert_eq!(pin["platforms"].as_object().unwrap().len(), 2, "{image}");
            }
        }
    }
    let [lists, heads, gets] = served.take_requests();
    let requests = lists + heads + gets;
    // They are a sixth on average, give or take a fiftieth of that from seed to seed.
    assert!(
        served.faults() * 7 > requests,
        "{} of {requests}",
        served.faults()
    );
    assert!(pinned > 2000 && missing > 100, "{pinned}, {missing}");
}
