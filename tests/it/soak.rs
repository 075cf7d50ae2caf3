//! Many refreshes of images with every policy, between which tags move and are pushed
//! again. Some are killed, and some meet faults. After each round the table, the
//! manifests and what is pending must be what the registry's history allows.
//!
//! `NIX_OCI_HASHES_SOAK` sets the number of rounds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::support::fake::{INDEX, digest_of, named_index};
use crate::support::server::{FakeResponse, ReceivedRequest, serve};
use crate::support::{Outcome, Workspace};
use serde_json::{Value, json};

const ROUNDS: usize = 40;
/// The `minimumAge` of one image, in hours.
const MINIMUM_AGE: u64 = 48;
/// Most hours that the gap between two runs adds to an age.
const LONGEST_GAP: u64 = 36;

/// What an image is tracked by, and so what its pins have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    None,
    MinimumAge,
    Hold,
    Store,
}

const POLICIES: [Policy; 4] = [
    Policy::None,
    Policy::MinimumAge,
    Policy::Hold,
    Policy::Store,
];

impl Policy {
    fn repository(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::MinimumAge => "minimum-age",
            Self::Hold => "hold",
            Self::Store => "store",
        }
    }

    fn entry(self, address: &str) -> Value {
        let mut entry = json!({
            "image": format!("{address}/{}", self.repository()),
            "strategies": { "major-minor-patch": true },
            "keep": 100,
            "tags": ["latest"],
        });
        match self {
            Self::None => {}
            Self::MinimumAge => entry["minimumAge"] = json!(format!("{MINIMUM_AGE}h")),
            Self::Hold => entry["repushed"] = json!("hold"),
            Self::Store => entry["store"] = json!(true),
        }
        entry
    }
}

/// What the registry has: the content of each tag, by its name, and all contents so far.
#[derive(Default)]
struct Content {
    tags: BTreeMap<&'static str, BTreeMap<String, String>>,
    names: BTreeMap<String, String>,
    manifests: BTreeMap<String, String>,
    faults: Option<fastrand::Rng>,
}

impl Content {
    fn point(&mut self, repository: &'static str, tag: &str, name: &str) {
        self.names
            .insert(digest_of(&named_index(name)), name.to_owned());
        for manifest in manifests_of(name) {
            self.manifests.insert(digest_of(&manifest), manifest);
        }
        let tags = self.tags.entry(repository).or_default();
        tags.insert(tag.to_owned(), name.to_owned());
    }

    fn answer(&mut self, request: &ReceivedRequest) -> FakeResponse {
        let response = self.without_fault(request);
        let Some(faults) = &mut self.faults else {
            return response;
        };
        match faults.usize(..12) {
            0 => FakeResponse::status(500),
            1 if request.method == "GET" => response.cut_off(),
            2 if request.path.contains("/manifests/sha256:") => {
                response.with_body(INDEX, named_index("another"))
            }
            _ => response,
        }
    }

    fn without_fault(&self, request: &ReceivedRequest) -> FakeResponse {
        let path = request.path.strip_prefix("/v2/").unwrap_or_default();
        let (repository, end) = path.split_once('/').unwrap_or_default();
        let Some(tags) = self.tags.get(repository) else {
            return FakeResponse::status(200);
        };
        if end == "tags/list" {
            let names: Vec<&String> = tags.keys().collect();
            return FakeResponse::json(&json!({ "name": repository, "tags": names }));
        }
        let reference = end.trim_start_matches("manifests/");
        if let Some(name) = tags.get(reference) {
            let index = named_index(name);
            let response = FakeResponse::status(200);
            let response = response.with_header("docker-content-digest", &digest_of(&index));
            return response.with_body(INDEX, index);
        }
        let index = self.names.get(reference).map(|name| named_index(name));
        match index.or_else(|| self.manifests.get(reference).cloned()) {
            Some(body) => FakeResponse::status(200).with_body(INDEX, body),
            None => FakeResponse::status(404),
        }
    }
}

/// The manifests in the index with this name.
fn manifests_of(name: &str) -> [String; 2] {
    ["amd64", "arm64"].map(|architecture| format!("{name} {architecture}"))
}

/// What one tag has pointed to.
#[derive(Default)]
struct Past {
    /// The contents that it has pointed to, by name, with the hours that they have been at
    /// some tag of the image since. One that no tag has any more is forgotten.
    seen: BTreeMap<String, u64>,
    /// The hours since it has last moved.
    steady: u64,
    ever: BTreeSet<String>,
    first: Option<String>,
    current: String,
}

/// A repository and a tag in it.
type Name = (&'static str, String);
/// The name of the content that each tag is pinned to.
type Names = BTreeMap<Name, String>;

struct Soak {
    content: Arc<Mutex<Content>>,
    address: String,
    workspace: Workspace,
    random: fastrand::Rng,
    past: BTreeMap<Name, Past>,
    /// The pins after the last round.
    pinned: Names,
    /// The pins after each run of this round.
    in_round: Vec<Names>,
    /// The manifests that killed runs may have left behind.
    left: BTreeSet<String>,
    next: usize,
}

impl Soak {
    fn start() -> Self {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let content: Arc<Mutex<Content>> = Arc::default();
        let served = Arc::clone(&content);
        let address = serve(move |request| served.lock().unwrap().answer(request)).to_string();
        let entries = POLICIES.map(|policy| policy.entry(&address));
        let mut soak = Self {
            content,
            workspace: Workspace::tracking(&json!(entries).to_string()),
            address,
            random: fastrand::Rng::with_seed(seed),
            past: BTreeMap::new(),
            pinned: BTreeMap::new(),
            in_round: Vec::new(),
            left: BTreeSet::new(),
            next: 0,
        };
        for policy in POLICIES {
            soak.point(policy, "1.0.0", None);
            soak.point(policy, "latest", None);
        }
        soak
    }

    /// Points a tag to a content, or to a new one.
    fn point(&mut self, policy: Policy, tag: &str, name: Option<String>) {
        let repository = policy.repository();
        self.next += 1;
        let name = name.unwrap_or(format!("{repository} {}", self.next));
        self.content.lock().unwrap().point(repository, tag, &name);
    }

    /// Moves tags, adds some, and lets some return to what they were.
    fn change(&mut self) {
        for _ in 0..self.random.usize(1..5) {
            let policy = POLICIES[self.random.usize(..POLICIES.len())];
            let tag = match self.random.usize(..3) {
                0 => "latest".to_owned(),
                _ => format!("1.{}.0", self.random.usize(..6)),
            };
            let known = self.content.lock().unwrap().tags[policy.repository()].clone();
            let known: Vec<String> = known.into_values().collect();
            let earlier = self.past.get(&(policy.repository(), tag.clone()));
            let earlier: Vec<String> = earlier
                .map(|past| past.ever.iter().cloned().collect())
                .unwrap_or_default();
            let name = match self.random.usize(..4) {
                0 => Some(known[self.random.usize(..known.len())].clone()),
                1 if !earlier.is_empty() => {
                    Some(earlier[self.random.usize(..earlier.len())].clone())
                }
                _ => None,
            };
            self.point(policy, &tag, name);
        }
    }

    /// Lets `hours` pass: what is pending was seen earlier.
    fn pass(&mut self, hours: u64) {
        if self.workspace.path("pending.json").exists() {
            let text = self.workspace.read("pending.json");
            let older = text.split_inclusive('\n').map(|line| {
                let Some((name, seen)) = line.split_once("\"seen\": ") else {
                    return line.to_owned();
                };
                let end = seen.trim_start_matches(|it: char| it.is_ascii_digit());
                let seen: u64 = seen[..seen.len() - end.len()].parse().unwrap();
                format!("{name}\"seen\": {}{end}", seen - hours * 3600)
            });
            self.workspace
                .write("pending.json", older.collect::<String>());
        }
        let counted = hours.min(LONGEST_GAP);
        let content = self.content.lock().unwrap();
        for (repository, tags) in &content.tags {
            for (tag, name) in tags {
                let past = self.past.entry((repository, tag.clone())).or_default();
                for age in past.seen.values_mut() {
                    *age += counted;
                }
                past.seen
                    .retain(|name, _| tags.values().any(|it| it == name));
                past.seen.entry(name.clone()).or_insert(0);
                past.steady += counted;
                if past.current != *name {
                    past.steady = 0;
                    past.current.clone_from(name);
                }
                past.ever.insert(name.clone());
                past.first.get_or_insert_with(|| name.clone());
            }
        }
    }

    fn refresh(&self) -> Outcome {
        self.workspace.run(&["refresh", "--retries", "0"])
    }

    /// The name of the content that each tag is pinned to. The pin must have its digests.
    fn pins(&self) -> Names {
        let content = self.content.lock().unwrap();
        let table = self.workspace.table();
        let mut pins = BTreeMap::new();
        for policy in POLICIES {
            let image = &table["images"][format!("{}/{}", self.address, policy.repository())];
            for (tag, pin) in image.as_object().into_iter().flatten() {
                let name = &content.names[pin["digest"].as_str().unwrap()];
                let [amd64, arm64] = manifests_of(name).map(|manifest| digest_of(&manifest));
                let platforms = json!({ "linux/amd64": amd64, "linux/arm64": arm64 });
                assert_eq!(pin["platforms"], platforms, "{tag}");
                pins.insert((policy.repository(), tag.clone()), name.clone());
            }
        }
        pins
    }

    /// Asserts what holds after any run: each pin is one that its tag has had, and the
    /// files belong together.
    fn assert_consistent(&mut self) {
        if !self.workspace.path("digests.json").exists() {
            return;
        }
        let pins = self.pins();
        for (tag, name) in &pins {
            assert!(self.past[tag].ever.contains(name), "{tag:?}: {name}");
        }
        self.in_round.push(pins);
        self.workspace.run(&["check"]).code(0);
    }

    /// Asserts what holds after a run without faults.
    fn assert_complete(&self) {
        let pins = self.pins();
        for (tag, past) in &self.past {
            let policy = POLICIES.iter().find(|it| it.repository() == tag.0).unwrap();
            let (old, new) = (self.pinned.get(tag), pins.get(tag));
            match policy {
                Policy::None | Policy::Store => assert_eq!(new, Some(&past.current), "{tag:?}"),
                Policy::Hold if tag.1 == "latest" => {
                    assert_eq!(new, Some(&past.current), "{tag:?}");
                }
                Policy::Hold => assert_eq!(new, past.first.as_ref(), "{tag:?}"),
                Policy::MinimumAge => {
                    if past.steady >= MINIMUM_AGE {
                        assert_eq!(new, Some(&past.current), "{tag:?}: too late");
                    }
                    if let Some(name) = new.filter(|name| old != Some(*name)) {
                        let mut all = self.in_round.iter().flatten().chain(&self.pinned);
                        let of_others = all.any(|(other, pinned)| {
                            other.0 == tag.0 && other != tag && pinned == name
                        });
                        let age = past.seen.get(name);
                        assert!(
                            of_others || age.is_some_and(|age| *age >= MINIMUM_AGE),
                            "{tag:?}: {name} is pinned too early: {age:?}"
                        );
                    }
                }
            }
        }
        self.assert_pending(&pins);
        let known = ["digests.json", "images.json", "manifests", "pending.json"];
        let files = self.workspace.files();
        let are_known = files.iter().all(|file| known.contains(&file.as_str()));
        assert!(are_known, "{files:?}");
    }

    /// Asserts that the digests that wait are pending, and no pinned ones.
    fn assert_pending(&self, pins: &Names) {
        let path = self.workspace.path("pending.json");
        let pending: Value = match std::fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text).unwrap(),
            Err(_) => json!({ "images": {} }),
        };
        let repository = Policy::MinimumAge.repository();
        let image = format!("{}/{repository}", self.address);
        let images: Vec<&String> = pending["images"].as_object().unwrap().keys().collect();
        assert!(images.iter().all(|it| **it == image), "{images:?}");
        let content = self.content.lock().unwrap();
        for (tag, past) in &self.past {
            if tag.0 != repository {
                continue;
            }
            let candidates = pending["images"][&image][&tag.1].as_array();
            let names: Vec<&String> = candidates
                .into_iter()
                .flatten()
                .map(|candidate| &content.names[candidate["digest"].as_str().unwrap()])
                .collect();
            let pin = pins.get(tag);
            let is_listed = names.contains(&&past.current);
            if pin != Some(&past.current) {
                assert!(is_listed, "{tag:?}: {names:?}");
            } else if self.pinned.get(tag) == pin {
                assert!(!is_listed, "{tag:?}: {names:?}");
            }
            let are_past = names.iter().all(|name| past.seen.contains_key(*name));
            assert!(are_past, "{tag:?}: {names:?}");
        }
    }

    /// Asserts that the manifests are those of the pins. After a kill, those of the earlier
    /// pins may stay behind.
    fn assert_manifests(&mut self, was_killed: bool) {
        let expected = recorded(&self.pins());
        let folder = std::fs::read_dir(self.workspace.path("manifests")).unwrap();
        let found: BTreeMap<String, String> = folder
            .map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, std::fs::read_to_string(path).unwrap())
            })
            .collect();
        if was_killed {
            self.left.extend(recorded(&self.pinned).into_keys());
        }
        self.left.retain(|file| found.contains_key(file));
        for (file, manifest) in &expected {
            assert_eq!(found.get(file), Some(manifest), "{file}");
        }
        let is_expected = |file: &String| expected.contains_key(file) || self.left.contains(file);
        assert!(found.keys().all(is_expected), "{found:?}");
    }
}

/// The files of manifests that these pins need, with their content.
fn recorded(pins: &Names) -> BTreeMap<String, String> {
    let stored = pins
        .iter()
        .filter(|(tag, _)| tag.0 == Policy::Store.repository());
    stored
        .flat_map(|(_, name)| manifests_of(name))
        .map(|text| (format!("{}.json", digest_of(&text).replace(':', "-")), text))
        .collect()
}

#[test]
fn after_each_refresh_the_files_are_what_the_registrys_history_allows() {
    let rounds = std::env::var("NIX_OCI_HASHES_SOAK");
    let rounds = rounds.map_or(ROUNDS, |text| text.parse().unwrap());
    let mut soak = Soak::start();
    soak.pass(0);
    let start = Instant::now();
    soak.refresh().code(0);
    let usual = start.elapsed();
    let [mut killed, mut failed] = [0; 2];
    for round in 0..rounds {
        let hours = [0, 7, 20, 30, 50][soak.random.usize(..5)];
        soak.pass(hours);
        soak.in_round.clear();
        let is_to_kill = round % 2 == 0;
        if is_to_kill {
            let after = usual.mul_f64(1.2 * soak.random.f64());
            let refresh = ["refresh", "--retries", "0"];
            killed += usize::from(soak.workspace.run_and_kill(&refresh, after));
            soak.assert_consistent();
        }
        if round % 3 == 0 {
            let faults = fastrand::Rng::with_seed(soak.random.u64(..));
            soak.content.lock().unwrap().faults = Some(faults);
            let outcome = soak.refresh();
            soak.content.lock().unwrap().faults = None;
            assert!(matches!(outcome.code, Some(0 | 2)), "{outcome:#?}");
            failed += usize::from(outcome.code == Some(2));
            soak.assert_consistent();
        }
        soak.refresh().code(0);
        soak.assert_consistent();
        soak.assert_complete();
        soak.assert_manifests(is_to_kill);
        soak.pinned = soak.pins();
        soak.change();
    }
    println!("{killed} runs were killed, {failed} met faults");
    assert!(rounds < ROUNDS || (killed > 0 && failed > 0));
}
