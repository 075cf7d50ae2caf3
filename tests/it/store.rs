//! Images with `store`: the manifests beside the table.
use std::time::Instant;

use crate::support::fake::{Fake, INDEX, digest_of, index};
use crate::support::server::{FakeResponse, serve};
use crate::support::{Outcome, Workspace};
use serde_json::{Value, json};

/// The manifests of [`serve_index`], by architecture.
const MANIFESTS: [&str; 2] = ["amd64", "arm64"];

fn entry(fake: &Fake, store: bool) -> String {
    let entry = json!({ "image": fake.image(), "strategies": {}, "tags": ["1"], "store": store });
    json!([entry]).to_string()
}

/// Serves the tag 1, an index of two platforms, and their manifests.
fn serve_index(fake: &Fake) {
    fake.serve(&index(&[("linux", "amd64"), ("linux", "arm64")]));
    for manifest in MANIFESTS {
        fake.manifest(&digest_of(manifest), manifest);
    }
}

fn file_of(manifest: &str) -> String {
    format!("{}.json", digest_of(manifest).replace(':', "-"))
}

/// The names of the recorded manifests in `folder`.
fn recorded(workspace: &Workspace, folder: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(workspace.path(folder)) else {
        return Vec::new();
    };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn expected() -> Vec<String> {
    let mut names: Vec<String> = MANIFESTS.iter().map(|text| file_of(text)).collect();
    names.sort();
    names
}

/// How many manifests and indexes were pulled.
fn pulls(fake: &Fake) -> usize {
    let requests = fake.requests();
    let pulls = requests
        .iter()
        .filter(|request| request.method == "GET" && request.path.contains("/manifests/"));
    pulls.count()
}

fn refreshed() -> (Fake, Workspace) {
    let fake = Fake::start();
    serve_index(&fake);
    let workspace = Workspace::tracking(&entry(&fake, true));
    let outcome = workspace.run(&["refresh"]).code(0);
    let end = "1 added, 0 moved, 0 removed, 0 kept, 2 manifests recorded: digests.json written\n";
    assert!(outcome.stdout.ends_with(end), "{outcome:#?}");
    (fake, workspace)
}

#[test]
fn a_refresh_records_manifests_and_removes_them_with_their_pins() {
    let (fake, workspace) = refreshed();
    assert_eq!(recorded(&workspace, "manifests"), expected());
    for manifest in MANIFESTS {
        let file = format!("manifests/{}", file_of(manifest));
        assert_eq!(workspace.read(&file), manifest);
    }
    workspace.run(&["check"]).code(0);
    assert_eq!(pulls(&fake), 3);
    workspace.run(&["refresh"]).code(0);
    workspace.run(&["refresh", "--check"]).code(0);
    assert_eq!(pulls(&fake), 3, "a quiet day pulls nothing");

    // Without 'store', nothing needs them.
    workspace.write("images.json", entry(&fake, false));
    let outcome = workspace.run(&["check"]).code(1);
    let message = "only pins of images without 'store' name it; run 'nix-oci-hashes refresh'";
    assert!(outcome.stdout.contains(message), "{outcome:#?}");
    workspace.run(&["refresh", "--check"]).code(3);
    assert_eq!(recorded(&workspace, "manifests"), expected());
    workspace.run(&["refresh"]).code(0);
    assert_eq!(workspace.files(), ["digests.json", "images.json"]);

    // An old pin gets them when 'store' comes back.
    workspace.write("images.json", entry(&fake, true));
    let outcome = workspace.run(&["check"]).code(0);
    let expects = format!("waits  {}  2 manifests\n", fake.image());
    assert!(outcome.stdout.starts_with(&expects), "{outcome:#?}");
    let old = workspace.read("digests.json");
    workspace.run(&["refresh", "--check"]).code(3);
    assert_eq!(workspace.files(), ["digests.json", "images.json"]);
    workspace.run(&["refresh"]).code(0);
    assert_eq!(workspace.read("digests.json"), old);
    assert_eq!(recorded(&workspace, "manifests"), expected());

    workspace.run(&["remove", &fake.image()]).code(0);
    assert_eq!(workspace.files(), ["digests.json", "images.json"]);
}

#[test]
fn check_names_what_is_wrong_and_refresh_mends_it() {
    let (fake, workspace) = refreshed();
    let file = format!("manifests/{}", file_of("amd64"));
    workspace.write(&file, "amd64\r\n");
    // Another table may need it.
    let other = format!("manifests/{}", file_of("other"));
    workspace.write(&other, "other");
    let outcome = workspace.run(&["check"]).code(1);
    let message = format!("{file}: its content has another digest; run 'nix-oci-hashes refresh'");
    assert!(outcome.stdout.contains(&message), "{outcome:#?}");
    assert!(!outcome.stdout.contains(&other), "{outcome:#?}");
    workspace.run(&["refresh"]).code(0);
    workspace.run(&["check"]).code(0);
    assert_eq!(workspace.read(&file), "amd64");
    assert_eq!(workspace.read(&other), "other");
    assert_eq!(pulls(&fake), 4);
}

#[test]
fn a_pin_moves_with_its_manifests_or_not_at_all() {
    let (fake, workspace) = refreshed();
    let old = workspace.read("digests.json");
    let moved = Fake::start();
    moved.serve(&index(&[("linux", "amd64"), ("linux", "s390x")]));
    moved.manifest(&digest_of("amd64"), "amd64");
    let as_old = |text: String| text.replace(&fake.image(), &moved.image());
    workspace.write(
        "images.json",
        as_old(workspace.read("images.json")).replace(
            "\"store\"",
            "\"platforms\":[\"linux/amd64\",\"linux/s390x\",\"linux/arm64\"],\"store\"",
        ),
    );
    workspace.write("digests.json", as_old(old.clone()));
    let outcome = workspace.run(&["refresh", "--retries", "0"]).code(2);
    let message = format!(
        "1: the registry has nothing of {}@{}",
        moved.image(),
        digest_of("s390x")
    );
    assert!(outcome.stdout.contains(&message), "{outcome:#?}");
    assert_eq!(workspace.read("digests.json"), as_old(old));
    assert_eq!(recorded(&workspace, "manifests"), expected());
}

#[test]
fn an_output_has_its_manifests_beside_it() {
    let (fake, workspace) = refreshed();
    let before = pulls(&fake);
    std::fs::create_dir(workspace.path("out")).unwrap();
    let other = format!("out/manifests/{}", file_of("other"));
    workspace.write(&other, "other");
    workspace
        .run(&["refresh", "--output", "out/digests.json"])
        .code(0);
    assert_eq!(pulls(&fake), before, "the manifests are copied");
    let mut with_other = expected();
    with_other.push(file_of("other"));
    with_other.sort();
    assert_eq!(recorded(&workspace, "out/manifests"), with_other);
    // An output that has the table and not the manifests gets them.
    std::fs::remove_dir_all(workspace.path("out/manifests")).unwrap();
    workspace
        .run(&["refresh", "--output", "out/digests.json"])
        .code(0);
    assert_eq!(recorded(&workspace, "out/manifests"), expected());
    // A pipe has nothing beside it.
    let outcome = workspace
        .run(&["refresh", "--output", "/dev/stdout"])
        .code(0);
    assert!(outcome.stdout.starts_with('{'), "{outcome:#?}");
    for to in [&[][..], &["--output", "/dev/stdout"]] {
        let merged = workspace.run(&[&["merge", "out/digests.json"], to].concat());
        assert_eq!(merged.code(0).stdout, workspace.read("digests.json"));
    }
    assert_eq!(recorded(&workspace, "manifests"), expected());
}

#[test]
fn shards_are_merged_with_their_manifests() {
    let server = serve(uniform);
    let workspace = Workspace::tracking(&tracking(&server.to_string(), 30));
    for shard in ["1/2", "2/2"] {
        let part = format!("parts/{}", &shard[..1]);
        std::fs::create_dir_all(workspace.path(&part)).unwrap();
        let output = format!("{part}/digests.json");
        workspace
            .run(&["refresh", "--shard", shard, "--output", &output])
            .code(0);
        assert_eq!(
            recorded(&workspace, &format!("{part}/manifests")),
            expected()
        );
    }
    // The old table names a manifest that the new one does not, and another is foreign.
    let old_digest = digest_of("old");
    let pin = json!({ "digest": old_digest, "platforms": { "linux/amd64": old_digest } });
    let images = json!({ format!("{server}/shelf/i0"): { "1.0.0": pin } });
    let old = json!({ "version": 1, "images": images }).to_string();
    workspace.write("digests.json", &old);
    let (old_file, foreign) = (file_of("old"), file_of("foreign"));
    workspace.write(&format!("manifests/{old_file}"), "old");
    workspace.write(&format!("manifests/{foreign}"), "foreign");
    let parts = ["parts/1/digests.json", "parts/2/digests.json"];
    let more = ["--images", "images.json", "--output", "digests.json"];
    let arguments = [&["merge"][..], &parts, &more].concat();
    // A part without its manifests.
    for part in ["parts/1", "parts/2"] {
        let folder = workspace.path(part);
        std::fs::rename(folder.join("manifests"), folder.join("lost")).unwrap();
    }
    let without_image = json!({ "version": 1, "images": {} }).to_string();
    for old in [&without_image, &old] {
        workspace.write("digests.json", old);
        let outcome = workspace.run(&arguments).code(1);
        outcome.error("shelf/i0:1.0.0 is new, and a manifest of it is beside none of the parts");
        assert_eq!(workspace.read("digests.json"), **old);
    }
    for part in ["parts/1", "parts/2"] {
        let folder = workspace.path(part);
        std::fs::rename(folder.join("lost"), folder.join("manifests")).unwrap();
    }
    workspace.run(&arguments).code(0);
    let mut with_foreign = expected();
    with_foreign.push(foreign);
    with_foreign.sort();
    assert_eq!(recorded(&workspace, "manifests"), with_foreign);
    workspace.run(&["check"]).code(0);
    // A shard does not replace the whole table.
    workspace.run(&["refresh", "--shard", "1/2"]).code(0);
    assert_eq!(recorded(&workspace, "manifests"), with_foreign);
}

#[test]
fn parts_beside_each_other_keep_their_manifests() {
    let (fake, workspace) = refreshed();
    let digest = digest_of("other");
    let pin = json!({ "digest": digest, "platforms": { "linux/amd64": digest } });
    let images = json!({ "docker.io/other": { "1": pin } });
    let table = json!({ "version": 1, "images": images }).to_string();
    workspace.write("part.json", table);
    workspace.write(&format!("manifests/{}", file_of("other")), "other");
    // Neither a merge nor a refresh of one table removes what the other needs.
    workspace
        .run(&["merge", "part.json", "--output", "half.json"])
        .code(0);
    workspace.run(&["refresh"]).code(0);
    workspace.run(&["remove", &fake.image()]).code(0);
    assert_eq!(recorded(&workspace, "manifests"), [file_of("other")]);
}

#[test]
fn a_manifest_that_stays_missing_is_no_change() {
    let fake = Fake::start();
    fake.serve(&index(&[("linux", "amd64"), ("linux", "arm64")]));
    fake.manifest(&digest_of("amd64"), "amd64");
    let workspace = Workspace::tracking(&entry(&fake, true));
    workspace.run(&["refresh"]).code(2);
    for arguments in [&["refresh"][..], &["refresh", "--check"]] {
        let outcome = workspace.run(arguments).code(2);
        let end = "digests.json is up to date\n";
        assert!(outcome.stdout.ends_with(end), "{outcome:#?}");
    }
    let path = format!("/v2/app/manifests/{}", digest_of("amd64"));
    let requests = fake.requests();
    let pulls = requests.iter().filter(|request| request.path == path);
    assert_eq!(pulls.count(), 1);
}

/// The index for every tag, and the two manifests.
fn uniform(request: &crate::support::server::ReceivedRequest) -> FakeResponse {
    let index = index(&[("linux", "amd64"), ("linux", "arm64")]);
    let body = MANIFESTS
        .iter()
        .find(|text| request.path.ends_with(&digest_of(text)));
    let body = body.map_or(index, |text| (*text).to_owned());
    if request.path.ends_with("/tags/list") {
        FakeResponse::json(&json!({ "tags": ["1.0.0"] }))
    } else if request.path.contains("/manifests/") {
        FakeResponse::status(200)
            .with_header("docker-content-digest", &digest_of(&body))
            .with_body(INDEX, body)
    } else {
        FakeResponse::status(404)
    }
}

fn tracking(server: &str, images: usize) -> String {
    let entry = |n| json!({ "image": format!("{server}/shelf/i{n}"), "store": true });
    Value::from((0..images).map(entry).collect::<Vec<_>>()).to_string()
}

#[test]
fn killed_at_any_moment_the_table_names_no_missing_manifest() {
    let server = serve(uniform);
    let workspace = Workspace::tracking(&tracking(&server.to_string(), 4));
    let start = Instant::now();
    workspace.run(&["refresh"]).code(0);
    let whole = start.elapsed();
    let (mut without, mut with) = (0, 0);
    for n in 0..60_u32 {
        for name in ["digests.json", "manifests"] {
            let path = workspace.path(name);
            let _ = std::fs::remove_file(&path);
            let _ = std::fs::remove_dir_all(&path);
        }
        // 23 and 60 have no common divisor, so each moment comes once.
        let moment = whole.mul_f64(f64::from(n * 23 % 60) / 60.0 * 1.3);
        workspace.run_and_kill(&["refresh"], moment);
        if workspace.path("digests.json").exists() {
            with += 1;
            for manifest in MANIFESTS {
                assert_eq!(
                    workspace.read(&format!("manifests/{}", file_of(manifest))),
                    manifest
                );
            }
        } else {
            without += 1;
        }
    }
    assert!(with > 0 && without > 0, "{with} with, {without} without");
    workspace.run(&["refresh"]).code(0);
    assert_eq!(recorded(&workspace, "manifests"), expected());
    assert_eq!(
        workspace.files(),
        ["digests.json", "images.json", "manifests"]
    );
}

#[test]
fn add_records_the_manifests_of_a_new_image() {
    let server = serve(uniform);
    let workspace = Workspace::tracking("[]");
    let image = format!("{server}/app");
    let outcome: Outcome = workspace.run(&["add", &image, "--store"]).code(0);
    assert!(outcome.stdout.contains("\"store\": true"), "{outcome:#?}");
    assert_eq!(recorded(&workspace, "manifests"), expected());
    workspace.run(&["check"]).code(0);
}
