//! Unattended refreshes: killed, run twice, split, and on a full disk.
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::fake::{Fake, INDEX, digest_of, free_address, two_platform_index};
use crate::support::server::{FakeResponse, serve};
use crate::support::{Outcome, Workspace};
use nix_oci_hashes::file::Lock;
use serde_json::{Value, json};

/// A registry in which every repository has the same two releases.
fn uniform_registry() -> SocketAddr {
    serve(|request| {
        if request.path.ends_with("/tags/list") {
            FakeResponse::json(&json!({ "tags": ["1.0.0", "1.0.1"] }))
        } else if request.path.contains("/manifests/") {
            FakeResponse::status(200)
                .with_header("docker-content-digest", &digest_of(&two_platform_index()))
                .with_body(INDEX, two_platform_index())
        } else {
            FakeResponse::status(404)
        }
    })
}

fn tracking(server: SocketAddr, images: usize) -> String {
    let entry = |n| json!({ "image": format!("{server}/shelf/i{n}") });
    Value::from((0..images).map(entry).collect::<Vec<_>>()).to_string()
}

fn run(workspace: &Workspace, arguments: &[&str]) -> Outcome {
    workspace.run(arguments)
}

#[test]
fn killed_at_any_moment_the_table_is_the_old_or_the_new_one() {
    const OLD: &str = "{\n  \"version\": 1,\n  \"images\": {}\n}\n";
    let server = uniform_registry();
    let workspace = Workspace::tracking(&tracking(server, 6));
    let whole = (0..3).map(|_| {
        let start = Instant::now();
        workspace.write("digests.json", OLD);
        run(&workspace, &["refresh"]).code(0);
        start.elapsed()
    });
    // The fastest: other tests may slow down a run.
    let whole = whole.min().unwrap();
    let new = workspace.read("digests.json");
    let (mut kept, mut replaced) = (0, 0);
    for n in 0..200_u32 {
        workspace.write("digests.json", OLD);
        // The moments cover 1.3 times the duration of a run. 83 and 200 have no common
        // divisor, so each moment comes once.
        let moment = whole.mul_f64(f64::from(n * 83 % 200) / 200.0 * 1.3);
        workspace.run_and_kill(&["refresh"], moment);
        match workspace.read("digests.json") {
            table if table == OLD => kept += 1,
            table if table == new => replaced += 1,
            other => panic!("killed after {moment:?}: {other}"),
        }
    }
    assert!(kept > 0 && replaced > 0, "{kept} kept, {replaced} replaced");
    // The next run removes the temporary files of killed runs.
    run(&workspace, &["refresh"]).code(0);
    assert_eq!(workspace.files(), ["digests.json", "images.json"]);
}

#[test]
fn the_second_of_two_runs_says_so_and_stops() {
    let fake = Fake::start();
    fake.serve(&two_platform_index());
    let workspace = fake.workspace();
    let lock = Lock::take(&workspace.path("digests.json")).unwrap();
    let message = "digests.json: another nix-oci-hashes is at work on it; wait until that is done";
    for arguments in [
        &["refresh"][..],
        &["add", "docker.io/a"],
        &["remove", "docker.io/a"],
        &["import", "images.json"],
        &["merge", "digests.json", "--output", "digests.json"],
    ] {
        run(&workspace, arguments).code(1).error(message);
    }
    assert_eq!(workspace.read("digests.json"), fake.old_table());
    assert!(fake.requests().is_empty());
    // A run that writes nothing needs no lock.
    run(&workspace, &["refresh", "--check"]).code(3);
    drop(lock);
    run(&workspace, &["refresh"]).code(0);
}

#[test]
fn a_full_disk_keeps_the_old_table() {
    let server = uniform_registry();
    let workspace = Workspace::tracking(&tracking(server, 12));
    let old = "{\n  \"version\": 1,\n  \"images\": {}\n}\n";
    workspace.write("digests.json", old);
    // A file size limit with SIGXFSZ ignored stops a write in the middle, as a full disk
    // does.
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" refresh";
    let mut command = Command::new("bash");
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_nix-oci-hashes")])
        .current_dir(workspace.path(""));
    let outcome = Outcome::of(&mut command).code(1);
    let message = "error: digests.json: cannot be written: File too large; the file is as it was";
    assert!(outcome.stderr.contains(message), "{outcome:#?}");
    assert!(
        outcome.stdout.ends_with("digests.json not written\n"),
        "{outcome:#?}"
    );
    assert_eq!(workspace.read("digests.json"), old);
    assert_eq!(workspace.files(), ["digests.json", "images.json"]);
}

#[test]
fn any_split_merges_to_what_one_run_makes() {
    let server = uniform_registry();
    let workspace = Workspace::tracking(&tracking(server, 23));
    run(&workspace, &["refresh"]).code(0);
    let whole = workspace.read("digests.json");
    // Some pins are there already, some images are not tracked any more.
    let old = json!({ "version": 1, "images": {
        "docker.io/left": { "1": { "digest": digest_of("left") } },
        format!("{}/shelf/i1", server): { "0.9.0": { "digest": digest_of("kept") } },
    } });
    for count in [1, 2, 3, 8] {
        let mut merge = vec!["merge".to_owned()];
        for number in 1..=count {
            workspace.write("digests.json", old.to_string());
            let (shard, part) = (format!("{number}/{count}"), format!("part-{number}.json"));
            run(
                &workspace,
                &["refresh", "--shard", &shard, "--output", &part],
            )
            .code(0);
            assert_eq!(
                workspace.read("digests.json"),
                old.to_string(),
                "the table is left alone"
            );
            merge.push(part);
        }
        workspace.write("digests.json", old.to_string());
        run(&workspace, &["refresh"]).code(0);
        let one_run = workspace.read("digests.json");
        assert!(one_run.contains("0.9.0") && !one_run.contains("docker.io/left"));
        merge.extend(["--images", "images.json", "--output", "digests.json"].map(str::to_owned));
        let merge: Vec<&str> = merge.iter().map(String::as_str).collect();
        run(&workspace, &merge).code(0);
        assert_eq!(workspace.read("digests.json"), one_run, "{count} parts");
        assert_ne!(one_run, whole);
    }
    // The jobs of a pipeline each have a checkout of their own.
    let jobs: Vec<Workspace> = (0..2)
        .map(|_| Workspace::tracking(&workspace.read("images.json")))
        .collect();
    let mut parts = Vec::new();
    for (job, shard) in jobs.iter().zip(["1/2", "2/2"]) {
        job.write("digests.json", old.to_string());
        let outcome = run(job, &["refresh", "--shard", shard]).code(0);
        assert!(
            outcome
                .stderr
                .contains(&format!("has only part {shard}; join the parts")),
            "{outcome:#?}"
        );
        parts.push(job.path("digests.json").display().to_string());
    }
    let outcome = run(
        &workspace,
        &["merge", &parts[0], &parts[1], "--images", "images.json"],
    )
    .code(0);
    assert_eq!(outcome.stdout, workspace.read("digests.json"));
    // A missing part is an error.
    let outcome = run(
        &workspace,
        &["merge", "part-1.json", "--images", "images.json"],
    )
    .code(1);
    outcome.error("other tracked images are in none of the parts; is a part missing?");
    for (arguments, message) in [
        (
            &["--shard", "0/2", "--output", "x"][..],
            "invalid shard '0/2'",
        ),
        (
            &["--shard", "1/2", "--output", "x", "--image", "a"],
            "cannot be used with",
        ),
    ] {
        let outcome = run(&workspace, &[&["refresh"][..], arguments].concat()).code(1);
        assert!(outcome.stderr.contains(message), "{outcome:#?}");
    }
}

#[test]
fn one_image_alone_can_be_refreshed() {
    let server = uniform_registry();
    let workspace = Workspace::tracking(&tracking(server, 3));
    let image = format!("{server}/shelf/i1");
    let other = json!({ "version": 1, "images": { "docker.io/left": { "1": { "digest": digest_of("left") } } } });
    workspace.write("digests.json", other.to_string());
    run(&workspace, &["refresh", "--image", &image]).code(0);
    let table = workspace.table();
    let images: Vec<&String> = table["images"].as_object().unwrap().keys().collect();
    assert_eq!(
        images,
        [&image, "docker.io/left"],
        "the others are as they were"
    );
    let outcome = run(&workspace, &["refresh", "--image", "docker.io/b"]).code(1);
    outcome
        .error("docker.io/b is not in images.json; add it with 'nix-oci-hashes add docker.io/b'");
}

#[test]
fn the_report_is_written_as_json_and_as_a_summary() {
    let server = uniform_registry();
    let workspace = Workspace::tracking(&tracking(server, 1));
    let outcome = run(
        &workspace,
        &["refresh", "--json", "--summary", "summary.md", "--verbose"],
    )
    .code(0);
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(report["outcome"], "written");
    let schema =
        std::fs::read(crate::support::project().join("docs/schema/report.schema.json")).unwrap();
    let schema: Value = serde_json::from_slice(&schema).unwrap();
    assert!(jsonschema::is_valid(&schema, &report), "{report:#}");
    assert_eq!(report["counts"]["added"], 2);
    assert_eq!(report["decisions"].as_array().unwrap().len(), 2);
    let summary = workspace.read("summary.md");
    assert!(
        summary.starts_with("**2 added, 0 moved, 0 removed, 0 kept**: `digests.json` written\n"),
        "{summary}"
    );
    let outcome = run(&workspace, &["refresh", "--check", "-v"]).code(0);
    let reason = "among the 3 newest of 'major-minor-patch'";
    assert_eq!(outcome.stdout.matches(reason).count(), 2, "{outcome:#?}");
    let outcome = run(&workspace, &["refresh", "--summary", "none/summary.md"]).code(1);
    assert!(
        outcome
            .stderr
            .contains("none/summary.md: its folder does not exist; create it first"),
        "{outcome:#?}"
    );
}

#[test]
fn all_requests_versions_outside_the_window() {
    let server = uniform_registry();
    let image = format!("{server}/shelf/i0");
    let entry = json!([{ "image": image, "strategies": { "major-minor-patch": ">=1.0.1" } }]);
    let workspace = Workspace::tracking(&entry.to_string());
    let pin = |content: &str| {
        json!({ "digest": digest_of(content), "platforms": {
        "linux/amd64": digest_of("amd64"), "linux/arm64": digest_of("arm64") } })
    };
    let old = json!({ "version": 1, "images": { &image: { "1.0.0": pin("pushed once") } } });
    workspace.write("digests.json", old.to_string());
    run(&workspace, &["refresh"]).code(0);
    let kept = workspace.table()["images"][&image]["1.0.0"]["digest"].clone();
    assert_eq!(kept, json!(digest_of("pushed once")));
    let outcome = run(&workspace, &["refresh", "--all"]).code(0);
    assert!(outcome.stdout.contains("re-pushed"), "{outcome:#?}");
    let moved = workspace.table()["images"][&image]["1.0.0"]["digest"].clone();
    assert_eq!(moved, json!(digest_of(&two_platform_index())));
}

#[test]
fn a_registry_that_is_slow_costs_its_deadline_and_no_pins() {
    let slow = serve(|_| FakeResponse::status(200).after(Duration::from_secs(3600)));
    let healthy = uniform_registry();
    let down = free_address();
    let image = |address: &dyn std::fmt::Display| format!("{address}/shelf/i");
    let images = [image(&down), image(&slow), image(&healthy)];
    let entries: Vec<Value> = images
        .iter()
        .map(|image| json!({ "image": image }))
        .collect();
    let workspace = Workspace::tracking(&Value::from(entries).to_string());
    let old = json!({ "version": 1, "images": {
        &images[0]: { "1.0.0": { "digest": digest_of("down") } },
        &images[1]: { "1.0.0": { "digest": digest_of("slow") } },
    } });
    workspace.write("digests.json", old.to_string());
    let outcome = run(
        &workspace,
        &["refresh", "--deadline", "1", "--retries", "0"],
    )
    .code(2);
    assert!(
        outcome.stdout.contains("timed out after 1 s waiting for"),
        "{outcome:#?}"
    );
    assert!(
        outcome.stdout.contains("connection refused"),
        "{outcome:#?}"
    );
    let table = workspace.table();
    assert_eq!(table["images"][&images[0]], old["images"][&images[0]]);
    assert_eq!(table["images"][&images[1]], old["images"][&images[1]]);
    assert_eq!(table["images"][&images[2]].as_object().unwrap().len(), 2);
}
