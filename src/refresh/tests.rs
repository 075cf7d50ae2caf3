//! Whole refreshes with a fake registry, in tokio's paused time.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::{Options, Progress, Scope, refresh};
use crate::images;
use crate::registry::Options as ClientOptions;
use crate::registry::tests::fake::{Answer, Fake, digest, index};
use crate::table::Table;

/// Records when digests arrive, and the reported pauses.
struct Clock {
    start: Instant,
    asked: Mutex<Vec<(String, Duration)>>,
    waits: Mutex<Vec<(String, Duration)>>,
}

impl Clock {
    fn start() -> Self {
        Self {
            start: Instant::now(),
            asked: Mutex::default(),
            waits: Mutex::default(),
        }
    }
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
    refresh(
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
    let (table, report) = refresh(&tracked, &old, &client, &Options::default(), &clock).await;

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
    let (table, report) = refresh(&tracked, &old, &client, &only_a, &none).await;
    assert_eq!(table.images.len(), 3);
    assert!(report.changes.is_empty());
    let (table, report) = refresh(&tracked, &old, &client, &Options::default(), &none).await;
    assert_eq!(table.images.len(), 2, "what is not tracked is removed");
    assert_eq!(report.changes.len(), 1);
}
