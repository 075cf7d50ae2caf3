//! A refresh of 240 tags, compared with Renovate, which finds the same updates.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::chart::Bars;
use super::measure::{Quartiles, Run, as_float, median, run};
use super::page::{Page, Row, Section};
use super::shelf::{self, IMAGES, TAGS, image, images_json, tag};
use super::support::registry::Registry;
use super::support::{Workspace, git};

const ROUNDS: usize = 3;

/// Runs of one program, and the requests of the last.
struct Measured {
    runs: Vec<Run>,
    requests: usize,
}

pub fn measure(page: &mut Page) {
    let registry = Registry::start();
    shelf::push(&registry);
    let workspace = Workspace::tracking(&images_json(&registry.address));
    let first = measured(&registry, || {
        workspace.write("digests.json", "{ \"version\": 1, \"images\": {} }\n");
        run(&mut workspace.command(&["refresh"]))
    });
    let unchanged = measured(&registry, || run(&mut workspace.command(&["refresh"])));

    let renovate = Renovate::new(&registry, workspace);
    renovate.write_dockerfiles(false);
    let cold = measured(&registry, || {
        renovate.forget();
        renovate.run()
    });
    renovate.check();
    renovate.write_dockerfiles(true);
    renovate.run();
    let warm = measured(&registry, || renovate.run());
    page.add(Section {
        title: "Renovate, beside a refresh of 240 tags",
        text: "Renovate updates the digests in the files of a repository. Both look up 24 images with ten tags each in \
               Debian's docker-registry on loopback. Renovate finds the digests in a Dockerfile for each tag, and they are \
               the same. It reads no platforms, which takes half of our requests for first pins. Unchanged, its cache is \
               kept.",
        commands: [
            "nix-oci-hashes refresh",
            "renovate --platform=local --dry-run=lookup",
        ]
        .map(str::to_owned)
        .into(),
        rows: rows("first pins", &first, &cold)
            .into_iter()
            .chain(rows("nothing has changed", &unchanged, &warm))
            .collect(),
    });
}

fn measured(registry: &Registry, program: impl Fn() -> Run) -> Measured {
    let mut requests = 0;
    let runs = (0..ROUNDS).map(|_| {
        let before = registry.requests().len();
        let run = program();
        requests = registry.requests().len() - before;
        run
    });
    Measured {
        runs: runs.collect(),
        requests,
    }
}

fn rows(what: &str, ours: &Measured, renovate: &Measured) -> Vec<Row> {
    let [mine, its] = [ours, renovate].map(|measured| Quartiles::of_times(&measured.runs));
    let [shown, peer] = [mine, its].map(|times| times.show("s", 1.0, 2));
    let faster = its.middle / mine.middle;
    let memory = |measured: &Measured| as_float(median(&measured.runs).memory) / 1024.0;
    let time = Row::new(
        format!("{what}, time"),
        shown.clone(),
        peer.clone(),
        format!("{faster:.0} times faster"),
    );
    vec![
        time.in_chart(Bars {
            what: format!("240 tags on loopback, {what}"),
            ours: shown,
            peer: format!("Renovate: {peer}"),
            share: 1.0 / faster,
        }),
        Row::new(
            format!("{what}, requests"),
            ours.requests.to_string(),
            renovate.requests.to_string(),
            if renovate.requests == 0 {
                "its cache answers".to_owned()
            } else {
                format!("{:.2}", ours.requests as f64 / renovate.requests as f64)
            },
        ),
        Row::new(
            format!("{what}, memory"),
            format!("{:.0} MiB", memory(ours)),
            format!("{:.0} MiB", memory(renovate)),
            format!("1/{:.0}", memory(renovate) / memory(ours)),
        ),
    ]
}

/// Renovate in a repository with a Dockerfile for each tag, beside a table of the same.
struct Renovate<'a> {
    registry: &'a Registry,
    workspace: Workspace,
}

impl<'a> Renovate<'a> {
    fn new(registry: &'a Registry, workspace: Workspace) -> Self {
        let settings = json!({
            "extends": ["docker:pinDigests"],
            "enabledManagers": ["dockerfile"],
            "dockerfile": { "fileMatch": ["Dockerfile$"] },
        });
        workspace.write("renovate.json", settings.to_string());
        let folder = workspace.path("");
        let own = json!({
            "platform": "local",
            "dryRun": "lookup",
            "onboarding": false,
            "requireConfig": "optional",
            "hostRules": [{ "matchHost": registry.address, "insecureRegistry": true }],
            "reportType": "file",
            "reportPath": folder.join("report.json"),
            "baseDir": folder.join("renovate"),
            "cacheDir": folder.join("renovate/cache"),
        });
        workspace.write("config.json", own.to_string());
        git(&folder, &["init", "-q", "-b", "main"]);
        Self {
            registry,
            workspace,
        }
    }

    fn digest(&self, image: &str, tag: &str) -> String {
        let table = self.workspace.table();
        table["images"][image][tag]["digest"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Writes the Dockerfiles, with digests or without.
    fn write_dockerfiles(&self, with_digests: bool) {
        for number in 0..IMAGES {
            let image = image(&self.registry.address, number);
            for tag in (0..TAGS).map(tag) {
                let digest = if with_digests {
                    format!("@{}", self.digest(&image, &tag))
                } else {
                    String::new()
                };
                let name = format!("pins/app{number}/{tag}/Dockerfile");
                let path = self.workspace.path(&name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                self.workspace
                    .write(&name, format!("FROM {image}:{tag}{digest}\n"));
            }
        }
        let folder = self.workspace.path("");
        git(&folder, &["add", "pins", "renovate.json"]);
        git(&folder, &["commit", "-qm", "Pin"]);
    }

    /// Removes its cache.
    fn forget(&self) {
        let cache = self.workspace.path("renovate");
        if cache.exists() {
            std::fs::remove_dir_all(cache).unwrap();
        }
    }

    fn run(&self) -> Run {
        let program = std::env::var_os("NIX_OCI_HASHES_RENOVATE")
            .expect("renovate is missing: make bench BENCH=renovate gets it");
        let mut command = Command::new("node");
        command
            .arg(Path::new(&program))
            .env("LOG_LEVEL", "fatal")
            .env("RENOVATE_CONFIG_FILE", self.workspace.path("config.json"))
            .current_dir(self.workspace.path(""));
        run(&mut command)
    }

    /// Checks that it found the digests of the table.
    fn check(&self) {
        let report = std::fs::read(self.workspace.path("report.json")).unwrap();
        let report: Value = serde_json::from_slice(&report).unwrap();
        let mut found = 0;
        let repositories = report["repositories"].as_object().unwrap();
        let files = repositories
            .values()
            .flat_map(|repository| repository["packageFiles"]["dockerfile"].as_array().unwrap());
        for dependency in files.flat_map(|file| file["deps"].as_array().unwrap()) {
            let image = dependency["depName"].as_str().unwrap();
            let tag = dependency["currentValue"].as_str().unwrap();
            let mut updates = dependency["updates"].as_array().unwrap().iter();
            let pin = updates.find(|update| update["updateType"] == "pinDigest");
            assert_eq!(
                pin.unwrap()["newDigest"],
                self.digest(image, tag),
                "{dependency}"
            );
            found += 1;
        }
        assert_eq!(found, IMAGES * TAGS);
    }
}
