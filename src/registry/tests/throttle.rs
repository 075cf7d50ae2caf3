//! Rate limits, retries, deadlines and quotas.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Url;
use tokio::time::Instant;

use super::fake::{Answer, Fake, digest, image, index, refused, tag};
use crate::registry::auth::Credentials;
use crate::registry::client::Options;
use crate::registry::error::{Cause, ConnectProblem};

#[tokio::test(start_paused = true)]
async fn transient_errors_are_retried_with_backoff() {
    // Behind a 429 a request lets those pass that were not refused.
    for (fault, at_most) in [
        ((|| Answer::status(500)) as fn() -> Answer, 7),
        (|| Answer::status(503), 7),
        (|| Answer::status(429), 12),
        (|| Answer::status(429).header("retry-after", "0"), 12),
        (|| Answer::status(408), 7),
        (|| Answer::cut("{\"tags\":"), 7),
        (|| Answer::failure(ConnectProblem::Transient), 7),
    ] {
        let fake = Fake::new(move |_, _, nth| {
            if nth < 3 {
                fault()
            } else {
                Answer::tags(&["1"])
            }
        });
        let start = Instant::now();
        let tags = fake.client().tags(&image("r.example/app")).await.unwrap();
        assert_eq!(tags.len(), 1);
        assert_eq!(fake.requests().len(), 4);
        // 1, 2 and 4 seconds, of each of which half is left to chance.
        let waited = start.elapsed();
        assert!(waited >= Duration::from_millis(3500), "{waited:?}");
        assert!(waited <= Duration::from_secs(at_most), "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn permanent_errors_are_not_retried() {
    for fault in [
        || Answer::status(403),
        || Answer::status(400),
        || Answer::failure(ConnectProblem::Certificate),
        || Answer::failure(ConnectProblem::NoSuchHost),
    ] {
        let fake = Fake::new(move |_, _, _| fault());
        refused(&fake.client()).await;
        assert_eq!(fake.requests().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_pauses_every_request() {
    let fake = Fake::new(|_, at, nth| match (at, nth) {
        ("a/tags/list", 0) => Answer::status(429).header("retry-after", "20"),
        _ => Answer::tags(&["1"]),
    });
    let options = Options {
        jobs: NonZeroUsize::MIN,
        ..Options::default()
    };
    let client = fake.client_with(options, Credentials::default());
    let start = Instant::now();
    let (a, b) = (image("r.example/a"), image("r.example/b"));
    let (_, other) = tokio::join!(client.tags(&a), async {
        client.tags(&b).await.unwrap();
        start.elapsed()
    });
    assert!(
        (20..=22).contains(&other.as_secs()),
        "the other one waits too: {other:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn retry_after_may_be_a_date() {
    let fake = Fake::new(|_, _, nth| {
        let in_a_minute = std::time::SystemTime::now() + Duration::from_secs(60);
        match nth {
            0 => Answer::status(429).header("retry-after", httpdate::fmt_http_date(in_a_minute)),
            _ => Answer::tags(&["1"]),
        }
    });
    let start = Instant::now();
    fake.client().tags(&image("r.example/app")).await.unwrap();
    let waited = start.elapsed().as_secs();
    assert!((55..=66).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn a_rate_limited_registry_gets_no_further_requests() {
    let message =
        r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"pull\u001b[31m rate limit"}]}"#;
    let fake = Fake::new(move |_, _, _| {
        Answer::body(message)
            .code(429)
            .header("retry-after", "100000")
    });
    let client = fake.client();
    let start = Instant::now();
    for n in 0..9 {
        let error = client
            .tags(&image(&format!("r.example/i{n}")))
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "r.example answers 429 Too Many Requests ('pull\\u{1b}[31m rate limit'), for 100000 seconds; try again later, \
             or log in to it"
        );
    }
    assert_eq!(fake.requests().len(), 2);
    let elapsed = start.elapsed();
    assert!(elapsed < Duration::from_millis(10), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_registry_gets_no_request_for_every_image() {
    let fake = Fake::new(|_, _, _| Answer::failure(ConnectProblem::Transient));
    let client = fake.client();
    for name in ["a", "b", "c", "d"] {
        let error = client.tags(&image(&format!("r.example/{name}"))).await;
        let cause = error.unwrap_err().cause;
        assert!(matches!(*cause, Cause::Unreachable { .. }), "{cause:?}");
    }
    assert_eq!(fake.requests().len(), 10, "two requests and their retries");
}

#[tokio::test(start_paused = true)]
async fn one_failing_image_does_not_stop_its_registry() {
    let fake = Fake::new(|_, at, _| {
        if at.starts_with("bad/") {
            Answer::status(500)
        } else {
            Answer::tags(&["1"])
        }
    });
    let client = fake.client();
    let error = client.tags(&image("r.example/bad")).await.unwrap_err();
    assert!(
        error.to_string().contains("500 Internal Server Error"),
        "{error}"
    );
    client.tags(&image("r.example/good")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_every_request() {
    for fault in [
        Answer::never as fn() -> Answer,
        || Answer::status(500).after(Duration::from_secs(25)),
        || Answer::tags(&["1"]).after(Duration::from_secs(3600)),
    ] {
        let fake = Fake::new(move |_, _, _| fault());
        let options = Options {
            deadline: Duration::from_secs(90),
            ..Options::default()
        };
        let client = fake.client_with(options, Credentials::default());
        let start = Instant::now();
        let images: Vec<_> = (0..40).map(|n| image(&format!("r.example/i{n}"))).collect();
        let outcomes = join_all(images.iter().map(|image| client.tags(image))).await;
        assert!(
            start.elapsed() <= Duration::from_secs(90),
            "{:?}",
            start.elapsed()
        );
        assert!(outcomes.iter().all(Result::is_err));
        let late = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
        let late: Vec<String> = late.map(ToString::to_string).collect();
        assert!(
            late.iter().any(
                |e| e.contains("timed out after 90 s waiting for r.example;") || e.contains("500")
            ),
            "{late:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_at_once_than_allowed() {
    let fake = Fake::new(|_, _, _| Answer::tags(&["1"]).after(Duration::from_millis(50)));
    let client = fake.client();
    let images: Vec<_> = (0..320)
        .map(|n| image(&format!("r.example/i{n}")))
        .collect();
    let start = Instant::now();
    join_all(images.iter().map(|image| client.tags(image))).await;
    assert_eq!(fake.max_in_flight(), 32);
    // Some of the first requests wait for each other.
    let elapsed = start.elapsed().as_millis();
    assert!((500..600).contains(&elapsed), "{elapsed} ms");
}

#[tokio::test(start_paused = true)]
async fn pulls_stop_before_the_quota_is_spent() {
    let manifest = index(&[("linux/amd64", &digest("x"))]);
    let of_manifest = digest(&manifest);
    let left = std::sync::atomic::AtomicU64::new(30);
    let fake = Fake::new(move |asked, _, _| {
        let pull = u64::from(asked.method == "GET");
        let remaining = left.fetch_sub(pull, std::sync::atomic::Ordering::SeqCst) - pull;
        let said = if pull == 1 {
            Answer::body(&manifest)
        } else {
            Answer::digest("x")
        };
        said.after(Duration::from_millis(20))
            .header("ratelimit-limit", "100;w=21600")
            .header("ratelimit-remaining", format!("{remaining};w=21600"))
    });
    let client = fake.client();
    let image = image("docker.io/app");
    client.digest(&image, &tag("1")).await.unwrap();
    let pulls = (0..60).map(|_| client.platforms(&image, &of_manifest));
    let outcomes = join_all(pulls).await;
    let quota = client.quotas()["docker.io"];
    assert_eq!(
        (quota.remaining, quota.limit),
        (10, Some(100)),
        "a tenth is left"
    );
    let error = outcomes
        .into_iter()
        .find_map(Result::err)
        .unwrap()
        .to_string();
    assert!(error.starts_with("docker.io allows 1"), "{error}");
    assert!(
        error.contains("more pulls within 6 hours, which are left to others"),
        "{error}"
    );
    // What is not counted goes on.
    client.digest(&image, &tag("1")).await.unwrap();
}

/// A server that answers so many requests a second, and 429 to the rest.
fn paced(a_second: usize, header: Option<&'static str>) -> Fake {
    let start = Instant::now();
    let answered = std::sync::Mutex::new((0_u64, 0_usize));
    Fake::new(move |_, _, _| {
        let now = start.elapsed().as_secs();
        let mut answered = answered.lock().unwrap();
        if answered.0 != now {
            *answered = (now, 0);
        }
        answered.1 += 1;
        match (answered.1 <= a_second, header) {
            (true, _) => Answer::tags(&["1"]),
            (false, Some(wait)) => Answer::status(429).header("retry-after", wait),
            (false, None) => Answer::status(429),
        }
    })
}

#[tokio::test(start_paused = true)]
async fn requests_slow_down_to_the_rate_limit() {
    for (a_second, header) in [
        (6, Some("1")),
        (2, Some("1")),
        (2, Some("0")),
        (6, None),
        (2, None),
    ] {
        let fake = paced(a_second, header);
        let client = fake.client();
        let images: Vec<_> = (0..100)
            .map(|n| image(&format!("r.example/i{n}")))
            .collect();
        let start = Instant::now();
        let outcomes = join_all(images.iter().map(|image| client.tags(image))).await;
        let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
        assert_eq!(
            failed,
            0,
            "{a_second} a second, {header:?}, {:?}",
            start.elapsed()
        );
    }
    // A limit of requests a minute, which says nothing of itself.
    let start = Instant::now();
    let answered = AtomicUsize::default();
    let fake = Fake::new(move |_, _, _| {
        let nth = answered.fetch_add(1, Ordering::Relaxed);
        if nth < 20 || start.elapsed() > Duration::from_secs(60) {
            Answer::tags(&["1"])
        } else {
            Answer::status(429)
        }
    });
    let client = fake.client();
    let images: Vec<_> = (0..40).map(|n| image(&format!("r.example/i{n}"))).collect();
    let outcomes = join_all(images.iter().map(|image| client.tags(image))).await;
    assert!(outcomes.iter().all(Result::is_ok));
}

/// A bucket of `capacity` requests, into which `a_second` come back: how many of 300
/// requests it refuses, and how long they take.
async fn of_a_bucket(capacity: f64, a_second: f64, latency: Duration) -> (usize, Duration) {
    let start = Instant::now();
    let bucket = std::sync::Mutex::new((start, capacity));
    let refused = Arc::new(AtomicUsize::default());
    let counter = Arc::clone(&refused);
    let fake = Fake::new(move |_, _, _| {
        let mut bucket = bucket.lock().unwrap();
        let (last, tokens) = *bucket;
        let elapsed = last.elapsed().as_secs_f64();
        let tokens = (tokens + elapsed * a_second).min(capacity);
        if tokens < 1.0 {
            *bucket = (Instant::now(), tokens);
            counter.fetch_add(1, Ordering::Relaxed);
            Answer::status(429).after(latency)
        } else {
            *bucket = (Instant::now(), tokens - 1.0);
            Answer::tags(&["1"]).after(latency)
        }
    });
    let client = fake.client();
    let images: Vec<_> = (0..300)
        .map(|n| image(&format!("r.example/i{n}")))
        .collect();
    let outcomes = join_all(images.iter().map(|image| client.tags(image))).await;
    assert!(outcomes.iter().all(Result::is_ok));
    (refused.load(Ordering::Relaxed), start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_bucket_of_requests_refuses_few() {
    for latency in [0, 1, 2].map(Duration::from_millis) {
        let (refused, elapsed) = of_a_bucket(20.0, 20.0, latency).await;
        // The bucket dictates (300 - 20) / 20 seconds.
        let most = Duration::from_secs_f64(14.0 * 1.2);
        assert!(refused <= 5, "{latency:?}: {refused} refused");
        assert!(elapsed < most, "{latency:?}: {elapsed:?}");
    }
    for (capacity, a_second) in [(1.0, 20.0), (5.0, 5.0), (100.0, 50.0), (50.0, 10.0)] {
        // The waits are random: the middle of some runs.
        let (mut refused, mut elapsed) = (Vec::new(), Vec::new());
        for _ in 0..9 {
            let run = of_a_bucket(capacity, a_second, Duration::from_millis(20)).await;
            refused.push(run.0);
            elapsed.push(run.1);
        }
        refused.sort_unstable();
        elapsed.sort_unstable();
        let (refused, elapsed) = (refused[4], elapsed[4]);
        let dictated = (300.0 - capacity) / a_second;
        assert!(refused <= 60, "{capacity}: {refused} refused");
        assert!(elapsed.as_secs_f64() < 2.0 * dictated, "{elapsed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_one_alone_some_requests_are_sent_at_once_and_more_one_by_one() {
    let start = Instant::now();
    let sent = Arc::new(std::sync::Mutex::new(Vec::new()));
    let times = Arc::clone(&sent);
    let fake = Fake::new(move |_, _, _| {
        times.lock().unwrap().push(start.elapsed());
        Answer::tags(&["1"]).after(Duration::from_millis(50))
    });
    let client = fake.client();
    let images: Vec<_> = (0..24).map(|n| image(&format!("r.example/i{n}"))).collect();
    join_all(images.iter().map(|image| client.tags(image))).await;
    let sent = sent.lock().unwrap();
    assert_eq!(sent.len(), 24);
    // The first one is alone until its response.
    assert_eq!(sent[1], sent[0] + Duration::from_millis(50));
    assert_eq!(sent[19], sent[1]);
    for (earlier, later) in sent[19..].iter().zip(&sent[20..]) {
        assert!(*later >= *earlier + Duration::from_millis(1), "{sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_by_chance_do_not_slow_a_registry_down() {
    for seed in 0..6 {
        let random = std::sync::Mutex::new(fastrand::Rng::with_seed(seed));
        let fake = Fake::new(move |_, _, _| {
            let answer = match random.lock().unwrap().u32(0..20) {
                0 => Answer::status(429),
                _ => Answer::tags(&["1"]),
            };
            answer.after(Duration::from_millis(50))
        });
        let client = fake.client();
        let images: Vec<_> = (0..2000)
            .map(|n| image(&format!("r.example/i{n}")))
            .collect();
        let start = Instant::now();
        let outcomes = join_all(images.iter().map(|image| client.tags(image))).await;
        assert!(outcomes.iter().all(Result::is_ok));
        // Without refusals, it would be three seconds.
        let elapsed = start.elapsed();
        assert!(elapsed < Duration::from_secs(15), "{seed}: {elapsed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_by_chance_do_not_keep_a_rate_low() {
    let mut total = Duration::ZERO;
    for seed in 0..6 {
        let start = Instant::now();
        let random = std::sync::Mutex::new(fastrand::Rng::with_seed(seed));
        let answered = AtomicU32::default();
        let fake = Fake::new(move |_, _, _| {
            // A limit of ten a second for a while; then one in twenty is refused by chance.
            let elapsed = start.elapsed().as_secs_f64();
            let is_refused = if elapsed < 5.0 {
                20.0 + 10.0 * elapsed < f64::from(answered.load(Ordering::Relaxed))
            } else {
                random.lock().unwrap().u32(0..20) == 0
            };
            let answer = if is_refused {
                Answer::status(429)
            } else {
                answered.fetch_add(1, Ordering::Relaxed);
                Answer::tags(&["1"])
            };
            answer.after(Duration::from_millis(50))
        });
        let client = fake.client();
        let images: Vec<_> = (0..3000)
            .map(|n| image(&format!("r.example/i{n}")))
            .collect();
        let outcomes = join_all(images.iter().map(|image| client.tags(image))).await;
        assert!(outcomes.iter().all(Result::is_ok));
        total += start.elapsed();
    }
    // At ten a second, each would take five minutes.
    assert!(total < Duration::from_secs(6 * 140), "{total:?}");
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_refuses_everything_is_given_up() {
    for images in [1, 40] {
        let fake = Fake::new(|_, _, _| Answer::status(429));
        let client = fake.client();
        let images: Vec<_> = (0..images)
            .map(|n| image(&format!("r.example/i{n}")))
            .collect();
        let start = Instant::now();
        let outcomes = join_all(images.iter().map(|image| client.tags(image))).await;
        assert!(outcomes.iter().all(Result::is_err));
        let elapsed = start.elapsed();
        assert!(elapsed < Duration::from_secs(20), "{elapsed:?}");
        let requests = fake.requests().len();
        assert!(requests < 50, "{requests} requests");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_one_repository_is_not_that_of_all() {
    let fake = Fake::new(|_, at, nth| match at {
        "bad/tags/list" if nth < 2 => Answer::status(503).header("retry-after", "300"),
        _ => Answer::tags(&["1"]).after(Duration::from_millis(50)),
    });
    let client = fake.client();
    let (bad, good) = (image("r.example/bad"), image("r.example/good"));
    let start = Instant::now();
    let (bad, good) = tokio::join!(client.tags(&bad), async {
        client.tags(&good).await.unwrap();
        start.elapsed()
    });
    assert!(good < Duration::from_secs(1), "{good:?}");
    bad.unwrap();
    assert_eq!(start.elapsed().as_secs(), 600);
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_is_always_rate_limited_delays_no_other() {
    for wait in [None, Some("5"), Some("100000")] {
        let fake = Fake::new(move |_, at, _| match (at, wait) {
            ("bad/tags/list", Some(wait)) => Answer::status(429).header("retry-after", wait),
            ("bad/tags/list", None) => Answer::status(429),
            _ => Answer::tags(&["1"]).after(Duration::from_millis(50)),
        });
        let client = fake.client();
        let start = Instant::now();
        let bad = image("r.example/bad");
        let good: Vec<_> = (0..200)
            .map(|n| image(&format!("r.example/i{n}")))
            .collect();
        let all = join_all(good.iter().map(|image| async {
            client.tags(image).await.unwrap();
            start.elapsed()
        }));
        let (refused, done) = tokio::join!(client.tags(&bad), all);
        refused.unwrap_err();
        let done = done.into_iter().max().unwrap();
        assert!(done < Duration::from_secs(30), "{wait:?}: {done:?}");
        assert!(
            start.elapsed() < Duration::from_secs(400),
            "{:?}",
            start.elapsed()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_few_429s_delay_their_own_requests_only() {
    let asked = AtomicUsize::default();
    let fake = Fake::new(
        move |_, _, _| match asked.fetch_add(1, Ordering::Relaxed) % 20 {
            19 => Answer::status(429).header("retry-after", "10"),
            _ => Answer::tags(&["1"]).after(Duration::from_millis(50)),
        },
    );
    let client = fake.client();
    let images: Vec<_> = (0..400)
        .map(|n| image(&format!("r.example/i{n}")))
        .collect();
    let start = Instant::now();
    let outcomes = join_all(images.iter().map(|image| client.tags(image))).await;
    assert!(outcomes.iter().all(Result::is_ok));
    // Twenty are refused, one after the other; some of them twice.
    let elapsed = start.elapsed();
    assert!(elapsed < Duration::from_secs(50), "{elapsed:?}");
}

/// Pulls may be refused where nothing else is.
#[tokio::test(start_paused = true)]
async fn when_pulls_are_refused_the_rest_goes_on() {
    let fake = Fake::new(|asked, at, _| {
        if asked.method == "GET" && at.contains("/manifests/") {
            Answer::status(429).header("retry-after", "100000")
        } else if asked.method == "HEAD" {
            Answer::digest("x")
        } else {
            Answer::tags(&["1"])
        }
    });
    let client = fake.client();
    for n in 0..10 {
        let image = image(&format!("r.example/i{n}"));
        client.tags(&image).await.unwrap();
        client.digest(&image, &tag("1")).await.unwrap();
        let error = client.platforms(&image, &digest("x")).await.unwrap_err();
        assert!(error.cause.is_rate_limited(), "{error}");
    }
    let pulls = fake
        .lines()
        .iter()
        .filter(|line| line.starts_with("GET") && line.contains("/manifests/"))
        .count();
    assert_eq!(pulls, 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_registry_points_to_may_fail_for_one_repository_after_another() {
    // The token service, or the target of redirects, is down for three repositories.
    let down: [fn(&Url) -> Option<Answer>; 2] = [
        |url| match url.path() {
            "/token" if url.as_str().contains("good") => Some(Answer::body(r#"{"token":"t"}"#)),
            "/token" => Some(Answer::status(503)),
            path if path.starts_with("/v2/good") => None,
            _ => Some(Answer::challenge("/token")),
        },
        |url| match url.path() {
            path if path.starts_with("/v2/good") => None,
            "/cdn" => Some(Answer::down()),
            _ => Some(Answer::redirect("https://cdn.example/cdn")),
        },
    ];
    for down in down {
        let fake = Fake::new(move |asked, _, _| down(&asked.url).unwrap_or(Answer::tags(&["1"])));
        let client = fake.client();
        for name in ["r.example/a", "r.example/b", "r.example/c"] {
            client.tags(&image(name)).await.unwrap_err();
        }
        let tags = client.tags(&image("r.example/good")).await.unwrap();
        assert_eq!(tags.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_tag_is_no_tag_whatever_its_body() {
    for body in [Answer::cut("{"), Answer::endless()] {
        let body = std::sync::Mutex::new(Some(body.code(404)));
        let fake = Fake::new(move |_, _, _| body.lock().unwrap().take().unwrap());
        let found = fake
            .client()
            .digest(&image("r.example/app"), &tag("1"))
            .await;
        assert_eq!(found.unwrap(), None);
    }
}
