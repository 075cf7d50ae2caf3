//! When a new digest is pinned: `minimumAge` and `repushed`.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::support::fake::{Fake, INDEX, digest_of, named_index};
use crate::support::server::FakeResponse;
use crate::support::{Outcome, Workspace};
use serde_json::{Value, json};

/// A registry whose tags point to named contents, and the workspace that follows it.
struct Project {
    fake: Fake,
    tags: Arc<Mutex<BTreeMap<String, String>>>,
    is_down: Arc<Mutex<bool>>,
    workspace: Workspace,
}

impl Project {
    /// Tracks one image with these fields.
    fn new(fields: &Value) -> Self {
        let fake = Fake::start();
        let tags: Arc<Mutex<BTreeMap<String, String>>> = Arc::default();
        let is_down: Arc<Mutex<bool>> = Arc::default();
        let (shared, down) = (Arc::clone(&tags), Arc::clone(&is_down));
        fake.rule(move |request| {
            if *down.lock().unwrap() {
                return Some(FakeResponse::status(500));
            }
            let tags = shared.lock().unwrap();
            let at = request.path.strip_prefix("/v2/app/")?;
            if at == "tags/list" {
                let names: Vec<&String> = tags.keys().collect();
                return Some(FakeResponse::json(&json!({ "name": "app", "tags": names })));
            }
            let reference = at.strip_prefix("manifests/")?;
            if let Some(name) = tags.get(reference) {
                let digest = digest_of(&named_index(name));
                let response = FakeResponse::status(200);
                return Some(response.with_header("docker-content-digest", &digest));
            }
            let name = ["old", "a", "b", "c", "d"]
                .into_iter()
                .find(|name| digest_of(&named_index(name)) == reference)?;
            Some(FakeResponse::status(200).with_body(INDEX, named_index(name)))
        });
        let mut entry = json!({ "image": fake.image(), "strategies": {}, "tags": ["1"] });
        for (name, value) in fields.as_object().unwrap() {
            entry[name] = value.clone();
        }
        let workspace = Workspace::tracking(&json!([entry]).to_string());
        Self {
            fake,
            tags,
            is_down,
            workspace,
        }
    }

    /// Tracks the tag `1`, pinned to the content `old`.
    fn pinned(fields: &Value) -> Self {
        let project = Self::new(fields);
        project.point("1", "old");
        let image = project.fake.image();
        let now = ["refresh", "--now", "--image", &image];
        project.workspace.run(&now).code(0);
        project.workspace.run(&["refresh"]).code(0);
        assert_eq!(project.pin("1"), Some("old"));
        project
    }

    fn point(&self, tag: &str, name: &str) {
        let mut tags = self.tags.lock().unwrap();
        tags.insert(tag.to_owned(), name.to_owned());
    }

    fn remove(&self, tag: &str) {
        self.tags.lock().unwrap().remove(tag);
    }

    /// The name of the content that `tag` is pinned to.
    fn pin(&self, tag: &str) -> Option<&'static str> {
        let table = self.workspace.table();
        let digest = &table["images"][self.fake.image()][tag]["digest"];
        ["old", "a", "b", "c", "d"]
            .into_iter()
            .find(|name| *digest == digest_of(&named_index(name)).as_str())
    }

    /// A refresh `hours` after the last one: what is pending is made older.
    fn refresh_after(&self, hours: u64, flags: &[&str]) -> Outcome {
        self.try_refresh_after(hours, flags).code(0)
    }

    /// The same, whatever its exit code.
    fn try_refresh_after(&self, hours: u64, flags: &[&str]) -> Outcome {
        if self.workspace.path("pending.json").exists() {
            let mut pending: Value =
                serde_json::from_str(&self.workspace.read("pending.json")).unwrap();
            for tags in pending["images"].as_object_mut().unwrap().values_mut() {
                for candidates in tags.as_object_mut().unwrap().values_mut() {
                    for candidate in candidates.as_array_mut().unwrap() {
                        let seen = candidate["seen"].as_u64().unwrap();
                        candidate["seen"] = (seen - hours * 3600).into();
                    }
                }
            }
            self.workspace.write("pending.json", pending.to_string());
        }
        let arguments = [&["refresh"], flags].concat();
        self.workspace.run(&arguments)
    }

    /// A day for each name: a release `1.0.0`, `1.0.1`, ... of it, to which `1` moves.
    fn release_daily(&self, names: &[&str]) {
        for (day, name) in names.iter().enumerate() {
            self.point("1", name);
            self.point(&format!("1.0.{day}"), name);
            self.refresh_after(24, &[]);
        }
    }

    fn has_pending(&self) -> bool {
        self.workspace.path("pending.json").exists()
    }
}

#[test]
fn a_new_digest_is_pinned_after_its_minimum_age() {
    let project = Project::pinned(&json!({ "minimumAge": "3d" }));
    assert!(!project.has_pending());
    project.point("1", "a");
    let outcome = project.refresh_after(0, &[]);
    let held = format!(
        "held  {}:1  {}, seen for 0h of 3d\n",
        project.fake.image(),
        &digest_of(&named_index("a"))["sha256:".len()..][..12]
    );
    assert!(outcome.stdout.contains(&held), "{outcome:#?}");
    assert!(
        outcome
            .stdout
            .ends_with("1 kept, 1 held: digests.json is up to date\n")
    );
    for _ in 0..2 {
        project.refresh_after(30, &[]);
        assert_eq!(project.pin("1"), Some("old"));
    }
    let outcome = project.refresh_after(30, &[]);
    assert!(outcome.stdout.ends_with("digests.json written\n"));
    assert_eq!(project.pin("1"), Some("a"));
    project.refresh_after(24, &[]);
    assert!(!project.has_pending(), "nothing is pending any more");
    project.workspace.run(&["check"]).code(0);
}

#[test]
fn a_young_digest_costs_no_pull() {
    let project = Project::pinned(&json!({ "minimumAge": "3d" }));
    let pulls = || {
        let requests = project.fake.requests();
        let pulls = requests
            .iter()
            .filter(|request| request.method == "GET" && request.path.contains("/manifests/"));
        pulls.count()
    };
    let before = pulls();
    project.point("1", "a");
    project.refresh_after(0, &[]);
    project.refresh_after(24, &[]);
    assert_eq!(pulls(), before);
}

#[test]
fn a_digest_that_was_withdrawn_is_never_pinned() {
    let project = Project::pinned(&json!({ "minimumAge": "2d" }));
    project.point("1", "a");
    project.refresh_after(0, &[]);
    project.refresh_after(36, &[]);
    project.point("1", "old");
    project.refresh_after(36, &[]);
    assert!(!project.has_pending());
    // Its age begins anew.
    project.point("1", "a");
    project.refresh_after(0, &[]);
    project.refresh_after(36, &[]);
    assert_eq!(project.pin("1"), Some("old"));
    // The registry no longer has the tag.
    project.remove("1");
    project.refresh_after(36, &[]);
    assert!(!project.has_pending());
    assert_eq!(project.pin("1"), Some("old"));
}

#[test]
fn a_tag_that_moves_every_day_gets_the_newest_old_enough_release() {
    let fields = json!({ "minimumAge": "2d", "strategies": { "major-minor-patch": true } });
    let project = Project::pinned(&fields);
    project.release_daily(&["a", "b", "c", "d"]);
    assert_eq!(project.pin("1"), Some("b"));
    assert_eq!(project.pin("1.0.1"), Some("b"));
    assert_eq!(project.pin("1.0.2"), None);
}

#[test]
fn newer_releases_do_not_keep_one_from_growing_old_enough() {
    let fields =
        json!({ "minimumAge": "3d", "strategies": { "major-minor-patch": true }, "keep": 2 });
    let project = Project::new(&fields);
    project.release_daily(&["a", "b", "c", "d"]);
    assert_eq!(project.pin("1.0.0"), Some("a"));
    assert_eq!(project.pin("1"), Some("a"));
    assert_eq!(project.pin("1.0.1"), None);
}

#[test]
fn an_old_release_that_is_refused_is_requested_no_more() {
    let fields = json!({
        "minimumAge": "1d",
        "strategies": { "major-minor-patch": true },
        "keep": 1,
        "tags": [],
        "platforms": ["linux/s390x"],
    });
    let project = Project::new(&fields);
    project.point("1.0.0", "a");
    project.refresh_after(0, &[]);
    project.point("1.0.1", "b");
    let outcome = project.try_refresh_after(24, &[]).code(2);
    assert!(outcome.stdout.contains("1.0.0"), "{outcome:#?}");
    project.try_refresh_after(24, &[]).code(2);
    let requests = project.fake.requests();
    let heads = requests
        .iter()
        .filter(|request| request.path.ends_with("/manifests/1.0.0"));
    assert_eq!(heads.count(), 2);
}

#[test]
fn a_new_tag_waits_too_and_one_with_a_known_digest_does_not() {
    let project = Project::pinned(&json!({ "minimumAge": "1d", "strategies": { "major": true } }));
    project.point("2", "a");
    project.point("3", "old");
    project.refresh_after(0, &[]);
    assert_eq!(project.pin("2"), None);
    assert_eq!(project.pin("3"), Some("old"));
    project.refresh_after(24, &[]);
    assert_eq!(project.pin("2"), Some("a"));
}

#[test]
fn the_flags_set_an_age_and_override_it() {
    let project = Project::pinned(&json!({}));
    project.point("1", "a");
    project.refresh_after(0, &["--minimum-age", "3d"]);
    assert_eq!(project.pin("1"), Some("old"));
    let image = project.fake.image();
    project.refresh_after(0, &["--minimum-age", "3d", "--now", "--image", &image]);
    assert_eq!(project.pin("1"), Some("a"));
    let outcome = project.workspace.run(&["refresh", "--now"]).code(1);
    assert!(outcome.stderr.contains("--image"), "{outcome:#?}");
    let outcome = project
        .workspace
        .run(&["refresh", "--minimum-age", "3"])
        .code(1);
    assert!(
        outcome.stderr.contains("such as '12h', '3d'"),
        "{outcome:#?}"
    );
}

#[test]
fn check_writes_nothing_that_is_pending() {
    let project = Project::pinned(&json!({ "minimumAge": "3d" }));
    project.point("1", "a");
    project.refresh_after(0, &["--check"]);
    assert!(!project.has_pending());
}

#[test]
fn a_failed_registry_and_other_images_keep_what_is_pending() {
    let project = Project::pinned(&json!({ "minimumAge": "3d" }));
    project.point("1", "a");
    project.refresh_after(0, &[]);
    let pending = project.workspace.read("pending.json");
    let other = Fake::start();
    let mut images: Value = serde_json::from_str(&project.workspace.read("images.json")).unwrap();
    let entry = json!({ "image": other.image(), "strategies": {}, "tags": ["1"] });
    images.as_array_mut().unwrap().push(entry);
    project.workspace.write("images.json", images.to_string());
    other.serve(&named_index("a"));
    project
        .workspace
        .run(&["refresh", "--image", &other.image()])
        .code(0);
    assert_eq!(project.workspace.read("pending.json"), pending);
    *project.is_down.lock().unwrap() = true;
    project
        .workspace
        .run(&["refresh", "--retries", "0"])
        .code(2);
    assert_eq!(project.workspace.read("pending.json"), pending);
}

#[test]
fn what_is_pending_goes_with_its_image() {
    let remove = |project: &Project| {
        let image = project.fake.image();
        project.workspace.run(&["remove", &image]).code(0);
    };
    let edit = |project: &Project| {
        project.workspace.write("images.json", "[]");
        project.workspace.run(&["refresh"]).code(0);
    };
    for way in [&remove as &dyn Fn(&Project), &edit] {
        let project = Project::pinned(&json!({ "minimumAge": "3d" }));
        project.point("1", "a");
        project.refresh_after(0, &[]);
        assert!(project.has_pending());
        way(&project);
        assert!(!project.has_pending());
    }
}

#[test]
fn an_image_is_not_removed_by_half() {
    let project = Project::pinned(&json!({ "minimumAge": "3d" }));
    let workspace = &project.workspace;
    workspace.write("pending.json", "<<<<<<< HEAD\n");
    let before = workspace.read("images.json");
    let image = project.fake.image();
    let outcome = workspace.run(&["remove", &image]).code(1);
    assert!(outcome.stderr.contains("pending.json"), "{outcome:#?}");
    assert_eq!(workspace.read("images.json"), before);
}

#[test]
fn a_table_that_is_printed_has_nothing_beside_it() {
    let project = Project::pinned(&json!({ "minimumAge": "3d" }));
    project.point("1", "a");
    let output = ["--output", "/dev/stdout"];
    let outcome = project.refresh_after(0, &output);
    assert!(outcome.stdout.contains("1 held"), "{outcome:#?}");
    assert!(!project.has_pending());
}

#[test]
fn merge_joins_what_is_pending() {
    let project = Project::pinned(&json!({ "minimumAge": "3d" }));
    project.point("1", "a");
    let workspace = &project.workspace;
    for shard in ["1", "2"] {
        let (shard, output) = (format!("{shard}/2"), format!("part-{shard}.json"));
        workspace
            .run(&["refresh", "--shard", &shard, "--output", &output])
            .code(0);
    }
    assert!(!project.has_pending());
    let merge = [
        "merge",
        "part-1.json",
        "part-2.json",
        "--output",
        "digests.json",
    ];
    workspace.run(&merge).code(0);
    let pending = workspace.read("pending.json");
    assert!(pending.contains(&digest_of(&named_index("a"))), "{pending}");
    // One of them is not passed on.
    let parts = ["part-1.json.pending", "part-2.json.pending"];
    let has_candidates = |part: &&str| workspace.read(part).contains("sha256:");
    let (with, without): (Vec<&str>, Vec<&str>) = parts.into_iter().partition(has_candidates);
    let passed_on = [with[0], without[0]].map(|part| (part, workspace.read(part)));
    std::fs::remove_file(workspace.path(without[0])).unwrap();
    workspace.run(&merge).code(0);
    std::fs::remove_file(workspace.path(with[0])).unwrap();
    std::fs::remove_file(workspace.path("pending.json")).unwrap();
    let with_images = [&merge[..], &["--images", "images.json"]].concat();
    let outcome = workspace.run(&with_images).code(0);
    let note = format!("note: {} is not there; if a refresh", with[0]);
    assert!(outcome.stderr.contains(&note), "{outcome:#?}");
    workspace.write("pending.json", &pending);
    let outcome = workspace.run(&merge).code(1);
    let missing = format!("{}: there is no such file, and digests of ", with[0]);
    assert!(outcome.stderr.contains(&missing), "{outcome:#?}");
    assert_eq!(workspace.read("pending.json"), pending);
    for (part, text) in passed_on {
        workspace.write(part, text);
    }
    // The parts disagree.
    workspace.write(
        "part-1.json.pending",
        pending.replace("\"age\": 0", "\"age\": 9"),
    );
    workspace.write("part-2.json.pending", &pending);
    let outcome = workspace.run(&merge).code(1);
    assert!(
        outcome
            .stderr
            .contains("other candidates than in another part")
    );
    assert_eq!(workspace.read("pending.json"), pending);
}

#[test]
fn what_a_killed_run_has_left_of_it_is_removed() {
    let project = Project::pinned(&json!({ "minimumAge": "3d" }));
    let leftover = ".pending.json.nix-oci-hashes-a1b2c3";
    project.workspace.write(leftover, "{");
    project.workspace.run(&["refresh"]).code(0);
    assert!(!project.workspace.path(leftover).exists());
}

#[cfg(target_os = "linux")]
#[test]
fn it_is_beside_a_link_to_a_table_on_another_file_system() {
    let project = Project::pinned(&json!({ "minimumAge": "3d" }));
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    let table = project.workspace.path("digests.json");
    let target = elsewhere.path().join("digests.json");
    std::fs::copy(&table, &target).unwrap();
    std::fs::remove_file(&table).unwrap();
    std::os::unix::fs::symlink(&target, &table).unwrap();
    project.point("1", "a");
    project.refresh_after(0, &[]);
    assert!(project.has_pending());
}

#[test]
fn a_malformed_pending_file_stops_a_refresh() {
    let project = Project::pinned(&json!({ "minimumAge": "3d" }));
    project.workspace.write("pending.json", "{");
    let outcome = project.workspace.run(&["refresh"]).code(1);
    assert!(outcome.stderr.contains("pending.json:1:"), "{outcome:#?}");
    assert!(
        outcome
            .stderr
            .contains("take its last good version from git"),
        "{outcome:#?}"
    );
    let outcome = project.workspace.run(&["check"]).code(1);
    assert!(outcome.stderr.contains("pending.json:1:"), "{outcome:#?}");
}

#[test]
fn check_names_what_a_registry_has_withdrawn() {
    let project = Project::new(&json!({ "strategies": { "major-minor-patch": true } }));
    for (tag, name) in [("1", "old"), ("1.0.0", "a"), ("1.0.1", "b"), ("1.0.2", "c")] {
        project.point(tag, name);
    }
    project.refresh_after(0, &[]);
    // What is served by its digest.
    let manifests = ["a", "b", "c", "old"].map(named_index);
    let mut served: Vec<String> = manifests.iter().map(|body| digest_of(body)).collect();
    for name in ["a", "b", "c", "old"] {
        let platforms = ["amd64", "arm64"].map(|of| digest_of(&format!("{name} {of}")));
        served.extend(platforms);
    }
    let registry = Fake::start();
    let gone = digest_of("b arm64");
    let withdrawn = gone.clone();
    registry.rule(move |request| {
        let digest = request.path.strip_prefix("/v2/app/manifests/")?;
        let is_served = served.iter().any(|one| one == digest) && digest != withdrawn;
        let response = FakeResponse::status(if is_served { 200 } else { 404 });
        Some(response.with_header("docker-content-digest", digest))
    });
    let workspace = &project.workspace;
    for file in ["images.json", "digests.json"] {
        let text = workspace.read(file);
        workspace.write(file, text.replace(&project.fake.image(), &registry.image()));
    }
    workspace.run(&["check"]).code(0);
    let outcome = workspace.run(&["check", "--registry"]).code(1);
    let image = registry.image();
    let line = format!(
        "{image}:1.0.1: the registry no longer serves {gone}; use {image}:1.0.2, the nearest version that it has\n"
    );
    assert!(outcome.stdout.contains(&line), "{outcome:#?}");
    assert_eq!(outcome.stdout.matches("no longer").count(), 1);
    let requests = registry.requests();
    assert!(requests.iter().all(|request| request.method == "HEAD"));
    assert_eq!(requests.len(), 12, "one a digest");
}

#[test]
fn check_does_not_take_a_failure_for_a_withdrawal() {
    let project = Project::pinned(&json!({}));
    let down = Fake::start();
    down.rule(|_| Some(FakeResponse::status(500)));
    let workspace = &project.workspace;
    for file in ["images.json", "digests.json"] {
        let text = workspace.read(file);
        workspace.write(file, text.replace(&project.fake.image(), &down.image()));
    }
    let outcome = workspace
        .run(&["check", "--registry", "--retries", "0"])
        .code(2);
    assert!(outcome.stdout.contains("500"), "{outcome:#?}");
    let end = ": a registry could not say\n";
    assert!(outcome.stdout.ends_with(end), "{outcome:#?}");
    assert!(!outcome.stdout.contains("no longer serves"), "{outcome:#?}");
}

/// Tracks the full version `1.0.0`, which is pushed again.
fn pushed_again(fields: &Value) -> (Project, Outcome) {
    let mut all = json!({ "tags": ["1.0.0"] });
    for (name, value) in fields.as_object().unwrap() {
        all[name] = value.clone();
    }
    let project = Project::new(&all);
    project.point("1.0.0", "old");
    project.refresh_after(0, &[]);
    project.point("1.0.0", "a");
    let outcome = project.refresh_after(0, &["--json"]);
    project.workspace.write("report.json", &outcome.stdout);
    (project, outcome)
}

#[test]
fn a_re_push_is_taken_and_has_to_be_reviewed() {
    let (project, _) = pushed_again(&json!({}));
    assert_eq!(project.pin("1.0.0"), Some("a"));
    project.workspace.run(&["review", "report.json"]).code(3);
}

#[test]
fn an_expected_re_push_is_a_move() {
    let (project, outcome) = pushed_again(&json!({ "repushed": "expected" }));
    assert_eq!(project.pin("1.0.0"), Some("a"));
    assert!(
        outcome.stdout.contains(r#""kind": "moved""#),
        "{outcome:#?}"
    );
    project.workspace.run(&["review", "report.json"]).code(0);
}

#[test]
fn a_held_re_push_keeps_its_digest_until_a_person_takes_it() {
    let (project, outcome) = pushed_again(&json!({ "repushed": "hold" }));
    assert_eq!(project.pin("1.0.0"), Some("old"));
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(report["held"][0]["reason"], "repushed");
    assert_eq!(report["held"][0]["digest"], digest_of(&named_index("a")));
    // Nothing in the table needs a review.
    project.workspace.run(&["review", "report.json"]).code(0);
    let image = project.fake.image();
    let outcome = project.refresh_after(0, &[]);
    let remedy = format!("'refresh --now --image {image}' takes it");
    assert!(outcome.stdout.contains(&remedy), "{outcome:#?}");
    project.refresh_after(0, &["--now", "--image", &image]);
    assert_eq!(project.pin("1.0.0"), Some("a"));
}

#[test]
fn hold_takes_an_imported_digest_that_the_registry_confirms() {
    let project = Project::new(&json!({ "tags": ["1.0.0"], "repushed": "hold" }));
    project.point("1.0.0", "a");
    let imported = |digest: &str| {
        let pins = json!({ "1.0.0": { "digest": digest } });
        json!({ "version": 1, "images": { project.fake.image(): pins } }).to_string()
    };
    // People wrote down the digest of one platform.
    project
        .workspace
        .write("digests.json", imported(&digest_of("a amd64")));
    project.refresh_after(0, &[]);
    assert_eq!(project.pin("1.0.0"), Some("a"));
    // And here one that is not what the tag points to.
    project
        .workspace
        .write("digests.json", imported(&digest_of(&named_index("old"))));
    let outcome = project.refresh_after(0, &[]);
    assert!(outcome.stdout.contains("1 held"), "{outcome:#?}");
    assert_eq!(project.pin("1.0.0"), Some("old"));
}

#[test]
fn check_says_where_what_is_pending_is_not_canonical() {
    let project = Project::pinned(&json!({ "minimumAge": "3d" }));
    project.point("1", "a");
    project.refresh_after(0, &[]);
    project.workspace.run(&["check"]).code(0);
    let text = project.workspace.read("pending.json");
    project
        .workspace
        .write("pending.json", text.replace('\n', ""));
    let outcome = project.workspace.run(&["check"]).code(1);
    let words = "pending.json: not in canonical form; run 'nix-oci-hashes refresh'";
    assert!(outcome.stdout.contains(words), "{outcome:#?}");
    project.refresh_after(0, &[]);
    project.workspace.run(&["check"]).code(0);
}
