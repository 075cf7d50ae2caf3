//! The website of a large table.

use std::process::Command;

use nix_oci_hashes::reference::{Algorithm, Digest};
use nix_oci_hashes::table::Table;
use serde_json::{Map, Value, json};

use super::measure::{Quartiles, Run, run};
use super::page::{Page, Row, Section};
use super::support::browser::{serve_files, with_browser};
use super::support::{Workspace, git};

const IMAGES: usize = 300;
const TAGS: usize = 50;
/// Commits of the table, each of which moves a tag of every tenth image.
const COMMITS: usize = 30;
const ROUNDS: usize = 5;

pub fn measure(page: &mut Page) {
    let workspace = Workspace::tracking("[]");
    let folder = workspace.path("");
    git(&folder, &["init", "-q", "-b", "main"]);
    for commit in 0..COMMITS {
        workspace.write("digests.json", table(commit));
        git(&folder, &["add", "-A"]);
        git(&folder, &["commit", "-qm", "Refresh"]);
    }
    let runs: Vec<Run> = (0..ROUNDS)
        .map(|round| {
            let output = format!("site{round}");
            run(&mut workspace.command(&["site", "--output", &output]))
        })
        .collect();
    let times = Quartiles::of_times(&runs);
    let front = workspace.path("site0/index.html");
    let packed = Command::new("gzip").arg("-c").arg(front).output().unwrap();
    let packed = packed.stdout.len() as f64 / 1000.0;
    let search = slowest_search(&workspace);
    let frame = 1000.0 / 60.0;
    page.add(Section {
        title: "The website",
        text: "What visitors wait for, and what CI waits for before. Of 300 images with 50 tags each, and a history of 30 \
               commits that move 3,000 tags each. The search is the slowest of ten, each with the layout of the page after \
               it, in headless Chromium.",
        commands: vec!["nix-oci-hashes site --output DIR".to_owned()],
        rows: vec![
            Row::new("build", times.show("s", 1.0, 2), "", "")
                .with_budget("2 s", times.middle <= 2.0),
            Row::new("front page, by gzip", format!("{packed:.0} kB"), "", "")
                .with_budget("150 kB", packed <= 150.0),
            Row::new("a search", format!("{search:.1} ms"), "", "")
                .with_budget("a frame, 16.7 ms", search <= frame),
        ],
    });
}

/// The table after a number of commits. Its tags are such as 12, 12.3 and 12.3.4.
fn table(commit: usize) -> String {
    let digest = |of: &str| Digest::of(Algorithm::Sha256, of.as_bytes()).to_string();
    let mut images = Map::new();
    for image in 0..IMAGES {
        let name = format!("docker.io/org{}/app{image}", image % 40);
        let moved = if image % 10 == commit % 10 { commit } else { 0 };
        let pins = (0..TAGS).map(|tag| {
            let major = 10 + tag / 10;
            let tag = match tag % 10 {
                0 => major.to_string(),
                1 => format!("{major}.2"),
                patch => format!("{major}.2.{patch}"),
            };
            let content = format!("{name}:{tag} {moved}");
            let platforms = json!({
                "linux/amd64": digest(&format!("{content} amd64")),
                "linux/arm64": digest(&format!("{content} arm64")),
            });
            let pin = json!({ "digest": digest(&content), "platforms": platforms });
            (tag, pin)
        });
        let pins: Map<String, Value> = pins.collect();
        images.insert(name, pins.into());
    }
    let text = json!({ "version": 1, "images": images }).to_string();
    Table::parse(text.as_bytes(), "the table")
        .unwrap()
        .to_json()
}

/// The time of the slowest search, in milliseconds.
fn slowest_search(workspace: &Workspace) -> f64 {
    let url = serve_files(&workspace.path("site0"));
    let (send, receive) = std::sync::mpsc::channel();
    with_browser(|browser| async move {
        browser.open(&format!("{url}/index.html")).await;
        let search = "(() => {
            const input = document.querySelector('#search');
            const queries = ['a', 'ap', 'app', 'app1', 'app12', 'app1 12', 'app1 12.2', 'x', 'org', ''];
            return Math.max(...queries.map((query) => {
                input.value = query;
                const start = performance.now();
                input.dispatchEvent(new Event('input'));
                document.body.getBoundingClientRect();
                return performance.now() - start;
            }));
        })()";
        send.send(browser.value(search).await.as_f64().unwrap())
            .unwrap();
    });
    receive.recv().unwrap()
}
