//! Fifty refreshes in a row, between which tags move and new tags appear. Some
//! refreshes are killed. After each round the table must match the registry's storage.
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::fake::digest_of;
use crate::support::registry::Registry;
use crate::support::{Outcome, Workspace};
use serde_json::{Map, Value, json};

const REPOSITORIES: [&str; 4] = ["soak/a", "soak/b", "soak/c", "other/d"];
const ROUNDS: usize = 50;

/// The expected table, read from the registry's storage without our code. Leaves out the
/// tag `base`, which `push_many` pushes first.
fn stored(registry: &Registry) -> Value {
    let root = registry.storage().join("docker/registry/v2");
    let blob = |digest: &str| {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let path = root.join(format!("blobs/sha256/{}/{hex}/data", &hex[..2]));
        let text = fs::read_to_string(path).unwrap();
        assert_eq!(digest_of(&text), digest);
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let mut images = Map::new();
    for repository in REPOSITORIES {
        let mut pins = Map::new();
        let tags = root.join(format!("repositories/{repository}/_manifests/tags"));
        for tag in fs::read_dir(tags).unwrap() {
            let tag = tag.unwrap();
            let name = tag.file_name().into_string().unwrap();
            if name == "base" {
                continue;
            }
            let digest = fs::read_to_string(tag.path().join("current/link")).unwrap();
            let index = blob(&digest);
            let entries = index["manifests"].as_array().unwrap().iter();
            let platforms = entries.map(|entry| {
                let platform = &entry["platform"];
                let [os, architecture] =
                    ["os", "architecture"].map(|name| platform[name].as_str().unwrap());
                (format!("{os}/{architecture}"), entry["digest"].clone())
            });
            let platforms: Map<_, _> = platforms.collect();
            pins.insert(name, json!({ "digest": digest, "platforms": platforms }));
        }
        images.insert(format!("{}/{repository}", registry.address), pins.into());
    }
    json!({ "version": 1, "images": images })
}

/// Moves some tags of one repository and adds others.
fn change(registry: &Registry, random: &mut fastrand::Rng, round: usize) {
    let repository = REPOSITORIES[random.usize(..REPOSITORIES.len())];
    let tags = (0..random.usize(1..6)).map(|_| {
        let tag = match random.usize(..4) {
            0 => "latest".to_owned(),
            1 => format!("{}", random.usize(1..3)),
            _ => format!("1.{}.{}", random.usize(..4), random.usize(..8)),
        };
        (tag, format!("{repository} {round} {}", random.u32(..)))
    });
    registry.push_many(
        repository,
        &tags.collect::<Vec<_>>(),
        &["linux/amd64", "linux/arm64"],
    );
}

#[test]
fn after_each_of_fifty_refreshes_the_table_is_what_the_registry_has() {
    let registry = Registry::start();
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for repository in REPOSITORIES {
        let tags = [
            ("1.0.0".to_owned(), repository.to_owned()),
            ("latest".to_owned(), "x".to_owned()),
        ];
        registry.push_many(repository, &tags, &["linux/amd64", "linux/arm64"]);
    }
    let all = json!({ "major": ">=0", "major-minor": ">=0", "major-minor-patch": ">=0" });
    let entry = |repository: &&str| {
        let image = format!("{}/{repository}", registry.address);
        json!({ "image": image, "strategies": all, "tags": ["latest"] })
    };
    let images: Vec<Value> = REPOSITORIES.iter().map(entry).collect();
    let workspace = Workspace::tracking(&json!(images).to_string());
    let start = Instant::now();
    Outcome::of(&mut workspace.command(&["refresh"])).code(0);
    let usual = start.elapsed();
    let mut killed = 0;
    for round in 0..ROUNDS {
        change(&registry, &mut random, round);
        if random.bool() {
            killed += usize::from(kill_one(&workspace, usual.mul_f64(random.f64())));
        }
        // A re-pushed tag is not a failure.
        Outcome::of(&mut workspace.command(&["refresh"])).code(0);
        assert_eq!(workspace.table(), stored(&registry), "round {round}");
        Outcome::of(&mut workspace.command(&["check"])).code(0);
    }
    assert!(killed > 5, "{killed} were killed before they were done");
}

/// Kills a refresh after a while, and asserts that the table is the old one or valid.
/// Returns whether the refresh was still running.
fn kill_one(workspace: &Workspace, after: Duration) -> bool {
    let content = |path: &Path| fs::read(path).ok();
    let path = workspace.path("digests.json");
    let old = content(&path);
    let was_at_work = workspace.run_and_kill(&["refresh"], after);
    if content(&path) != old {
        Outcome::of(&mut workspace.command(&["check"])).code(0);
    }
    was_at_work
}
