//! Whole refreshes with a fake registry, in tokio's paused time.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::{
    Options, Progress, Recorder, Refusal, Report, Scope, Services, State, Verifier, refresh,
};
use crate::file::FileError;
use crate::images::{self, Claim, Signer, TrackedImage};
use crate::reference::Digest;
use crate::registry::tests::fake::{Answer, Fake, digest, image, index};
use crate::registry::{Client, Options as ClientOptions, StoredSignature};
use crate::table::Table;

/// Records when digests arrive, and the reported pauses.
pub(super) struct Clock {
    start: Instant,
    asked: Mutex<Vec<(String, Duration)>>,
    waits: Mutex<Vec<(String, Duration)>>,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            start: Instant::now(),
            asked: Mutex::default(),
            waits: Mutex::default(),
        }
    }
}

/// A refresh of images whose manifests are not recorded.
async fn refresh_with(
    tracked: &[TrackedImage],
    old: &Table,
    client: &Client,
    options: &Options,
    clock: &Clock,
) -> (Table, Report) {
    let recorded = Recorded::default();
    let old = State {
        table: old.clone(),
        ..State::default()
    };
    let services = Services {
        client,
        recorder: &recorded,
        verifier: &Unverified,
        progress: clock,
    };
    let (new, report) = refresh(tracked, &old, options, &services).await;
    (new.table, report)
}

#[tokio::test(start_paused = true)]
async fn progress_shows_the_pauses_of_a_registry() {
    let fake = Fake::new(|_, _, nth| match nth {
        0 => Answer::status(429).header("retry-after", "3"),
        _ => Answer::tags(&[]),
    });
    let tracked = images::parse(br#"[{ "image": "r.example/a" }]"#, "images.json").unwrap();
    let clock = Clock::start();
    let options = Options::default();
    refresh_with(
        &tracked,
        &Table::default(),
        &fake.client(),
        &options,
        &clock,
    )
    .await;
    let waits: Vec<u64> = clock
        .waits
        .lock()
        .unwrap()
        .iter()
        .map(|(_, left)| left.as_secs())
        .collect();
    assert_eq!(waits, [2, 1]);
}

/// Recorded manifests, in memory.
#[derive(Default)]
pub(super) struct Recorded(Mutex<BTreeMap<Digest, Vec<u8>>>);

impl Recorded {
    fn contents(&self) -> Vec<String> {
        let recorded = self.0.lock().unwrap();
        let contents = recorded
            .values()
            .map(|bytes| String::from_utf8(bytes.clone()).unwrap());
        let mut contents: Vec<String> = contents.collect();
        contents.sort();
        contents
    }
}

impl Recorder for Recorded {
    fn has(&self, digest: &Digest) -> bool {
        self.0.lock().unwrap().contains_key(digest)
    }

    fn record(&self, digest: &Digest, manifest: &[u8]) -> Result<(), FileError> {
        assert!(digest.matches(manifest));
        let before = self
            .0
            .lock()
            .unwrap()
            .insert(digest.clone(), manifest.to_vec());
        assert_eq!(before, None, "{digest} is recorded once");
        Ok(())
    }
}

/// For images without `signedBy`.
struct Unverified;

impl Verifier for Unverified {
    fn signer(&self, _: &Digest, _: &StoredSignature) -> Result<(Signer, Claim), Refusal> {
        panic!("no signature is verified")
    }

    fn verify_key(&self, _: &Path, _: &Digest, _: &StoredSignature) -> Result<(), Refusal> {
        panic!("no signature is verified")
    }
}

impl Progress for Clock {
    fn registry(&self, _: &str, _: usize) {}
    fn listed(&self, _: &str, _: usize) {}
    fn paused(&self, registry: &str, left: Duration) {
        self.waits.lock().unwrap().push((registry.to_owned(), left));
    }
    fn answered(&self, registry: &str) {
        let after = self.start.elapsed();
        self.asked
            .lock()
            .unwrap()
            .push((registry.to_owned(), after));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_registry_does_not_delay_a_healthy_one() {
    let body = index(&[("linux/amd64", &digest("amd64"))]);
    let of_body = digest(&body).to_string();
    let fake = Fake::new(move |asked, at, _| {
        match asked.url.host_str() {
            Some("down.example") => Answer::down(),
            Some("slow.example") => Answer::never(),
            _ if at.ends_with("tags/list") => Answer::tags(&["1.0.0", "1.0.1", "1.0.2"]),
            _ if asked.method == "HEAD" => {
                Answer::status(200).header("docker-content-digest", &of_body)
            }
            _ => Answer::body(&body),
        }
        .after(Duration::from_millis(50))
    });
    let deadline = Duration::from_secs(600);
    let options = ClientOptions {
        deadline,
        ..ClientOptions::default()
    };
    let client = fake.client_by(options);
    let entries: Vec<String> = ["down", "slow", "healthy"]
        .iter()
        .flat_map(|host| (0..20).map(move |n| format!("{{ \"image\": \"{host}.example/i{n}\" }}")))
        .collect();
    let tracked = format!("[{}]", entries.join(","));
    let tracked = images::parse(tracked.as_bytes(), "images.json").unwrap();
    let old = format!(
        r#"{{ "version": 1, "images": {{ "slow.example/i7": {{ "0.9.0": {{ "digest": "{0}" }} }}, "down.example/i7": {{ "0.9.0": {{ "digest": "{0}" }} }} }} }}"#,
        digest("old")
    );
    let old = Table::parse(old.as_bytes(), "digests.json").unwrap();
    let clock = Clock::start();
    let (table, report) = refresh_with(&tracked, &old, &client, &Options::default(), &clock).await;

    // 20 tag lists, 60 HEADs and 20 GETs, up to 32 at a time. Each image needs its
    // tag list before its HEADs, and its HEADs before its GET.
    let asked = clock.asked.lock().unwrap();
    let healthy = asked
        .iter()
        .filter(|(registry, _)| registry == "healthy.example");
    let done = healthy.map(|(_, after)| *after).max().unwrap();
    assert!(done <= Duration::from_millis(50 * 6), "{done:?}");
    assert_eq!(
        clock.start.elapsed(),
        deadline,
        "the slow registry gets the whole deadline, and no more"
    );
    for (image, pins) in &table.images {
        match image.registry() {
            "healthy.example" => assert_eq!(pins.len(), 3, "{image}"),
            _ => assert_eq!(
                old.images.get(image).cloned().unwrap_or_default(),
                *pins,
                "{image}"
            ),
        }
    }
    assert_eq!(
        table.images.len(),
        60,
        "every tracked image is in the table"
    );
    let failed = |host: &str| {
        let problems = report.problems.iter();
        problems
            .filter(|(image, _)| image.registry() == host)
            .count()
    };
    assert_eq!(
        (
            failed("down.example"),
            failed("slow.example"),
            failed("healthy.example")
        ),
        (20, 20, 0)
    );
    // The circuit breaker stops requests to the unreachable registry, except for
    // those already in flight.
    let to_down = fake
        .requests()
        .iter()
        .filter(|a| a.url.host_str() == Some("down.example"))
        .count();
    assert!(to_down <= 20 * 5, "{to_down}");
}

#[tokio::test(start_paused = true)]
async fn a_scope_keeps_the_pins_of_other_images() {
    let fake = Fake::new(|_, _, _| Answer::tags(&[]));
    let tracked = r#"[{ "image": "r.example/a" }, { "image": "r.example/b" }]"#;
    let tracked = images::parse(tracked.as_bytes(), "images.json").unwrap();
    let old = format!(
        r#"{{ "version": 1, "images": {{ "r.example/b": {{ "1": {{ "digest": "{0}" }} }}, "r.example/c": {{ "1": {{ "digest": "{0}" }} }} }} }}"#,
        digest("old")
    );
    let old = Table::parse(old.as_bytes(), "digests.json").unwrap();
    let client = fake.client();
    let none = Clock::start();
    let only_a = Options {
        scope: Scope::Images(["r.example/a".parse().unwrap()].into()),
        ..Options::default()
    };
    let (table, report) = refresh_with(&tracked, &old, &client, &only_a, &none).await;
    assert_eq!(table.images.len(), 3);
    assert!(report.changes.is_empty());
    let (table, report) = refresh_with(&tracked, &old, &client, &Options::default(), &none).await;
    assert_eq!(table.images.len(), 2, "what is not tracked is removed");
    assert_eq!(report.changes.len(), 1);
}

const IMAGE: &str = "r.example/app";
const STORED: &str =
    r#"[{ "image": "r.example/app", "strategies": {}, "tags": ["1"], "store": true }]"#;

/// One refresh of [`IMAGE`], whose manifests are recorded.
async fn refresh_stored(
    fake: &Fake,
    entry: &str,
    old: &Table,
    recorded: &Recorded,
) -> (Table, Report) {
    let tracked = images::parse(entry.as_bytes(), "images.json").unwrap();
    let options = Options::default();
    let old = State {
        table: old.clone(),
        ..State::default()
    };
    let clock = Clock::start();
    let services = Services {
        client: &fake.client(),
        recorder: recorded,
        verifier: &Unverified,
        progress: &clock,
    };
    let (new, report) = refresh(&tracked, &old, &options, &services).await;
    (new.table, report)
}

/// A registry with the tag `1` of [`IMAGE`], an index of `amd64` and `arm64` whose
/// manifests are these two texts; `answers` comes first.
fn registry(
    amd64: &str,
    arm64: &str,
    answers: impl Fn(&str) -> Option<Answer> + Send + Sync + 'static,
) -> Fake {
    let manifests = [amd64.to_owned(), arm64.to_owned()];
    let index = index(&[
        ("linux/amd64", &digest(amd64)),
        ("linux/arm64", &digest(arm64)),
    ]);
    Fake::new(move |_, at, _| {
        if let Some(answer) = answers(at) {
            return answer;
        }
        if at.ends_with("/tags/list") {
            return Answer::tags(&["1"]);
        }
        if at.ends_with("/manifests/1") {
            return Answer::digest(&index);
        }
        let known = manifests.iter().chain([&index]);
        let mut known = known.filter(|body| at.ends_with(&digest(body).to_string()));
        known.next().map_or(Answer::status(404), Answer::body)
    })
}

/// How many manifests and indexes were pulled.
fn pulls(fake: &Fake) -> usize {
    let lines = fake.lines();
    let is_pull = |line: &&String| line.starts_with("GET ") && line.contains("/manifests/");
    lines.iter().filter(is_pull).count()
}

#[tokio::test(start_paused = true)]
async fn records_each_manifest_with_one_pull() {
    let fake = registry("amd", "arm", |_| None);
    let recorded = Recorded::default();
    let (table, report) = refresh_stored(&fake, STORED, &Table::default(), &recorded).await;
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(report.manifests_recorded, 2);
    assert_eq!(recorded.contents(), ["amd", "arm"]);
    assert_eq!(pulls(&fake), 3);

    let fake = registry("amd", "arm", |_| None);
    let (again, report) = refresh_stored(&fake, STORED, &table, &recorded).await;
    assert_eq!((again, report.manifests_recorded), (table, 0));
    assert_eq!(pulls(&fake), 0);
}

#[tokio::test(start_paused = true)]
async fn the_manifest_of_an_image_without_an_index_is_pulled_once() {
    let config = r#"{ "os": "linux", "architecture": "amd64" }"#;
    let manifest = format!(
        r#"{{ "schemaVersion": 2, "config": {{ "mediaType": "m", "digest": "{}", "size": 1 }}, "layers": [] }}"#,
        digest(config)
    );
    let of_tag = digest(&manifest).to_string();
    let body = manifest.clone();
    let fake = Fake::new(move |_, at, _| match at.rsplit('/').next() {
        Some("list") => Answer::tags(&["1"]),
        Some("1") => Answer::status(200).header("docker-content-digest", of_tag.as_str()),
        Some(last) if last == of_tag => Answer::body(&*body),
        _ => Answer::body(config),
    });
    let recorded = Recorded::default();
    let (_, report) = refresh_stored(&fake, STORED, &Table::default(), &recorded).await;
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(recorded.contents(), [manifest]);
    assert_eq!(pulls(&fake), 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_or_moved_pin_needs_its_manifests() {
    let without_arm = |of: &'static str| {
        move |at: &str| {
            let is_it = at.ends_with(&digest(of).to_string());
            is_it.then(|| Answer::status(404))
        }
    };
    let recorded = Recorded::default();
    let fake = registry("amd", "arm", without_arm("arm"));
    let (table, report) = refresh_stored(&fake, STORED, &Table::default(), &recorded).await;
    assert_eq!(table.images[&image(IMAGE)].len(), 0);
    assert_eq!(report.problems.len(), 1);
    assert!(report.changes.is_empty());

    let (old, _) =
        refresh_stored(&registry("amd", "arm", |_| None), STORED, &table, &recorded).await;
    let fake = registry("amd 2", "arm 2", without_arm("arm 2"));
    let (table, report) = refresh_stored(&fake, STORED, &old, &recorded).await;
    assert_eq!(table, old);
    assert_eq!((report.problems.len(), report.kept), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_old_pin_is_kept_without_its_manifests() {
    let unstored = STORED.replace("true", "false");
    let fake = registry("amd", "arm", |_| None);
    let recorded = Recorded::default();
    let (old, report) = refresh_stored(&fake, &unstored, &Table::default(), &recorded).await;
    assert_eq!(report.manifests_recorded, 0);
    assert!(report.missing_manifests.is_empty());
    // The registry no longer has one, and its quota is spent after the other.
    for status in [404, 200] {
        let fake = registry("amd", "arm", move |at| {
            let quota = |answer: Answer| answer.header("ratelimit-remaining", "1;w=60");
            match status {
                404 => at.contains("sha256").then(|| Answer::status(404)),
                _ => at.ends_with("list").then(|| quota(Answer::tags(&["1"]))),
            }
        });
        let (table, report) = refresh_stored(&fake, STORED, &old, &Recorded::default()).await;
        assert_eq!(table, old);
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        let missing: Vec<_> = report
            .missing_manifests
            .iter()
            .map(|of| of.manifests)
            .collect();
        assert_eq!(missing, [2]);
    }
    let fake = registry("amd", "arm", |at| {
        let is_manifest = at.ends_with(&digest("amd").to_string());
        is_manifest.then(|| Answer::status(500))
    });
    let (table, report) = refresh_stored(&fake, STORED, &old, &recorded).await;
    assert_eq!(table, old);
    assert_eq!((report.problems.len(), report.manifests_recorded), (1, 1));
    assert_eq!(recorded.contents(), ["arm"]);
}

/// The manifest of an image with one layer, and its configuration.
fn image_of(version: &str) -> [String; 2] {
    let config = serde_json::json!({
        "os": "linux", "architecture": "amd64",
        "config": { "Labels": { "org.opencontainers.image.version": version } },
    })
    .to_string();
    let descriptor = |content: &str, size: usize| serde_json::json!({ "mediaType": "m", "digest": digest(content).to_string(), "size": size });
    let manifest = serde_json::json!({
        "schemaVersion": 2, "config": descriptor(&config, 1), "layers": [descriptor(version, 7)],
    });
    [manifest.to_string(), config]
}

/// A registry whose tag 1 is `version` for amd64, with this much of a quota of 100 left.
/// The annotations of its indexes, if any, name a version too.
fn labelled(version: &'static str, remaining: usize, is_annotated: bool) -> Fake {
    let index_of = |version: &str| {
        let [manifest, _] = image_of(version);
        let index = index(&[("linux/amd64", &digest(&manifest))]);
        let mut index: serde_json::Value = serde_json::from_str(&index).unwrap();
        if is_annotated {
            index["annotations"] = serde_json::json!({
                "org.opencontainers.image.version": format!("{version}-index"),
            });
        }
        index.to_string()
    };
    let versions = ["1.0", "1.1"];
    let images = versions.into_iter().flat_map(image_of);
    let contents: Vec<String> = images.chain(versions.map(index_of)).collect();
    let current = index_of(version);
    Fake::new(move |_, at, _| {
        let quota = |answer: Answer| {
            let remaining = format!("{remaining};w=21600");
            let answer = answer.header("ratelimit-remaining", remaining);
            answer.header("ratelimit-limit", "100;w=21600")
        };
        if at.ends_with("/tags/list") {
            return Answer::tags(&["1"]);
        }
        if at.ends_with("/manifests/1") {
            return quota(Answer::digest(&current));
        }
        let body = contents
            .iter()
            .find(|body| at.ends_with(&digest(body).to_string()));
        body.map_or(Answer::status(404), Answer::body)
    })
}

#[tokio::test(start_paused = true)]
async fn a_move_costs_a_manifest_and_a_configuration_of_each_digest() {
    let entry = br#"[{ "image": "r.example/app", "strategies": {}, "tags": ["1"], "platforms": ["linux/amd64"] }]"#;
    let tracked = images::parse(entry, "images.json").unwrap();
    let options = Options {
        details: true,
        ..Options::default()
    };
    let clock = Clock::start();
    let run = async |fake: &Fake, old: &Table| {
        refresh_with(&tracked, old, &fake.client(), &options, &clock).await
    };
    let blobs = |fake: &Fake| {
        let lines = fake.lines();
        lines.iter().filter(|line| line.contains("/blobs/")).count()
    };
    for (is_annotated, names, cost) in [
        // Of the new index, and of both images.
        (false, ["1.0", "1.1"], (3, 2)),
        // And of the old index.
        (true, ["1.0-index", "1.1-index"], (4, 2)),
    ] {
        // A new image says nothing: everything of it is new.
        let fake = labelled("1.0", 90, is_annotated);
        let (old, report) = run(&fake, &Table::default()).await;
        assert_eq!((report.details.len(), pulls(&fake)), (0, 1));

        let fake = labelled("1.1", 90, is_annotated);
        let (new, report) = run(&fake, &old).await;
        assert_eq!(report.details.len(), 2);
        let [of_old, of_new] = names.map(|version| {
            let mut all = report.details.values();
            all.find(|of| of.version.as_deref() == Some(version))
                .unwrap()
        });
        assert_eq!(of_new.new_layers(of_old), (1, 7));
        assert_eq!((pulls(&fake), blobs(&fake)), cost);

        // A quiet day costs nothing, and neither does a registry whose quota runs low.
        let fake = labelled("1.1", 90, is_annotated);
        run(&fake, &new).await;
        assert_eq!((pulls(&fake), blobs(&fake)), (0, 0));
        let fake = labelled("1.1", 49, is_annotated);
        let (_, report) = run(&fake, &old).await;
        assert_eq!((report.changes.len(), report.details.len()), (1, 0));
        assert_eq!((pulls(&fake), blobs(&fake)), (1, 0));
    }
}
