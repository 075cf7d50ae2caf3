//! Tokens that the images of a registry share, and the request that goes alone for them.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::auth::{BASIC, distant, password, wants_token};
use super::fake::{Answer, Fake, Received, image};
use crate::registry::auth::Credentials;
use crate::registry::client::Options;
use crate::registry::error::ConnectProblem;

/// The scopes of each request for a token.
fn token_scopes(fake: &Fake) -> Vec<Vec<String>> {
    let requests = fake.requests().into_iter();
    let tokens = requests.filter(|request| request.url.path() == "/token");
    tokens
        .map(|request| {
            let pairs = request.url.query_pairs();
            let scopes = pairs.filter(|(name, _)| name == "scope");
            scopes.map(|(_, scope)| scope.into_owned()).collect()
        })
        .collect()
}

/// How long it takes a client that is going to ask for images a, b and c of a registry to get
/// their tags.
async fn lists_of_three_images(registry: &str, fake: &Fake, credentials: Credentials) -> Duration {
    let client = fake.client_with(Options::default(), credentials);
    let images = ["a", "b", "c"].map(|name| image(&format!("{registry}/{name}")));
    client.expect(&images);
    let start = Instant::now();
    let outcomes = join_all(images.iter().map(|image| client.tags(image))).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    start.elapsed()
}

/// The scopes of the tokens for the tags of r.example/a, b and c.
async fn of_three_images(fake: &Fake, credentials: Credentials) -> Vec<Vec<String>> {
    lists_of_three_images("r.example", fake, credentials).await;
    token_scopes(fake)
}

fn scopes(of: &[&str]) -> Vec<String> {
    let scopes = of.iter().map(|name| format!("repository:{name}:pull"));
    scopes.collect()
}

#[tokio::test(start_paused = true)]
async fn the_images_of_a_registry_share_a_token() {
    let fake = wants_token("https://r.example/token");
    let tokens = of_three_images(&fake, Credentials::default()).await;
    assert_eq!(tokens, [scopes(&["a", "b", "c"])]);
    // None where none is wanted.
    let fake = Fake::new(|_, _, _| Answer::tags(&["1"]));
    let tokens = of_three_images(&fake, Credentials::default()).await;
    assert!(tokens.is_empty() && fake.requests().len() == 3);
}

#[tokio::test(start_paused = true)]
async fn the_first_request_to_a_registry_goes_alone() {
    let fake = distant(&wants_token("https://r.example/token"));
    lists_of_three_images("r.example", &fake, Credentials::default()).await;
    let lines = fake.lines();
    assert_eq!(lines.len(), 5, "one is refused: {lines:?}");
    assert_eq!(lines[1], "GET https://r.example/token");
    // Without HTTP/2 it would save no connection.
    let fake = Fake::new(|asked, _, _| match asked.url.scheme() {
        "https" => Answer::failure(ConnectProblem::NotTls),
        _ => Answer::tags(&["1"]).after(Duration::from_secs(3)),
    });
    let time = lists_of_three_images("localhost:5000", &fake, Credentials::default()).await;
    assert!(time < Duration::from_secs(4), "{time:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_first_response_keeps_no_request_waiting_for_long() {
    let fake = Fake::new(|_, _, _| Answer::tags(&["1"]).after(Duration::from_secs(20)));
    let time = lists_of_three_images("r.example", &fake, Credentials::default()).await;
    let expected = Duration::from_secs(20)..Duration::from_secs(22);
    assert!(expected.contains(&time), "{time:?}");
    // An error lets the others go at once.
    let fake = distant(&Fake::new(|_, at, _| match at {
        "a/tags/list" => Answer::failure(ConnectProblem::Certificate),
        _ => Answer::tags(&["1"]),
    }));
    let client = fake.client();
    let (a, b) = (image("r.example/a"), image("r.example/b"));
    let start = Instant::now();
    let (first, second) = tokio::join!(client.tags(&a), client.tags(&b));
    assert!(first.is_err() && second.is_ok());
    assert_eq!(start.elapsed(), Duration::from_millis(100));
}

/// A registry whose token service answers a request of several scopes with `of_several`.
fn takes_one_scope(
    of_several: impl Fn() -> Answer + Send + Sync + 'static,
    login: Option<&'static str>,
) -> Fake {
    Fake::new(move |asked, _, _| {
        if asked.url.path() != "/token" {
            return match asked.authorization.as_deref() {
                Some("Bearer good") => Answer::tags(&["1"]),
                _ => Answer::challenge("/token"),
            };
        }
        match number_of_scopes(asked) {
            1 if asked.authorization.as_deref() == login => Answer::body(r#"{"token":"good"}"#),
            1 => Answer::status(401),
            _ => of_several(),
        }
    })
}

fn number_of_scopes(request: &Received) -> usize {
    let pairs = request.url.query_pairs();
    pairs.filter(|(name, _)| name == "scope").count()
}

#[tokio::test(start_paused = true)]
async fn a_token_service_may_take_one_scope_only() {
    let refusals: [fn() -> Answer; 5] = [
        || Answer::status(400),
        || Answer::status(401),
        || Answer::status(403),
        || Answer::status(502),
        Answer::down,
    ];
    for of_several in refusals {
        let fake = takes_one_scope(of_several, Some(BASIC));
        let credentials = Credentials::of([("r.example", password())]);
        let tokens = of_three_images(&fake, credentials).await;
        let alone = ["a", "b", "c"].map(|name| scopes(&[name]));
        assert_eq!(tokens[0], scopes(&["a", "b", "c"]));
        assert_eq!(tokens.len(), 4, "{tokens:?}");
        assert!(alone.iter().all(|scopes| tokens.contains(scopes)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_of_the_token_service_does_not_end_sharing() {
    let fake = Fake::new(|asked, _, nth| match asked.authorization.as_deref() {
        _ if asked.url.path() == "/token" && nth == 0 => Answer::status(429),
        _ if asked.url.path() == "/token" => Answer::body(r#"{"token":"good"}"#),
        Some("Bearer good") => Answer::tags(&["1"]),
        _ => Answer::challenge("/token"),
    });
    let tokens = of_three_images(&fake, Credentials::default()).await;
    assert!(tokens.iter().all(|scopes| scopes.len() == 3), "{tokens:?}");
}

#[tokio::test(start_paused = true)]
async fn images_do_not_wait_in_turn_for_a_token_service_that_is_down() {
    let connection = Duration::from_secs(10);
    let fake = Fake::new(move |asked, _, _| match asked.url.path() {
        "/token" => Answer::down().after(connection),
        _ => Answer::challenge("https://auth.r.example/token"),
    });
    let client = fake.client();
    let images: Vec<_> = (0..20).map(|n| image(&format!("r.example/{n}"))).collect();
    client.expect(&images);
    let start = Instant::now();
    let outcomes = join_all(images.iter().map(|image| client.tags(image))).await;
    assert!(outcomes.iter().all(Result::is_err));
    // Five attempts and the waits between them, and the request for several.
    assert!(start.elapsed() < 8 * connection, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expires_unused_is_shared_anew() {
    for (says, expected) in [("", 2), (r#","expires_in":300"#, 1)] {
        let fake = Fake::new(move |asked, _, nth| {
            if asked.url.path() == "/token" {
                return Answer::body(format!("{{\"token\":\"number-{nth}\"{says}}}"));
            }
            match asked.authorization.as_deref() {
                None => Answer::challenge("/token"),
                Some(_) => Answer::tags(&["1"]),
            }
        });
        let client = fake.client();
        let images = ["a", "b", "c"].map(|name| image(&format!("r.example/{name}")));
        client.expect(&images);
        client.tags(&images[0]).await.unwrap();
        sleep(Duration::from_secs(120)).await;
        client.tags(&images[1]).await.unwrap();
        client.tags(&images[2]).await.unwrap();
        let tokens = token_scopes(&fake);
        let all = [scopes(&["a", "b", "c"]), scopes(&["b", "c"])];
        assert_eq!(tokens, all[..expected], "{says}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shared_token_that_does_not_hold_is_replaced() {
    for status in [401, 403, 404, 431] {
        let fake = Fake::new(move |asked, at, _| {
            if asked.url.path() == "/token" {
                let token = match number_of_scopes(asked) {
                    1 => "alone",
                    _ => "shared",
                };
                return Answer::body(format!("{{\"token\":\"{token}\"}}"));
            }
            match asked.authorization.as_deref() {
                Some("Bearer alone") => Answer::tags(&["1"]),
                Some("Bearer shared") if at.starts_with("a/") => Answer::tags(&["1"]),
                Some("Bearer shared") if status == 401 => Answer::challenge("/token"),
                Some("Bearer shared") => Answer::status(status),
                _ => Answer::challenge("/token"),
            }
        });
        let tokens = of_three_images(&fake, Credentials::default()).await;
        assert_eq!(tokens[0], scopes(&["a", "b", "c"]), "{status}");
        assert_eq!(tokens.len(), 3, "{status}");
        assert!(tokens.contains(&scopes(&["b"])) && tokens.contains(&scopes(&["c"])));
    }
}

#[tokio::test(start_paused = true)]
async fn images_with_different_logins_share_no_token() {
    let fake = wants_token("https://r.example/token");
    let credentials = Credentials::of([("r.example/b", password())]);
    let tokens = of_three_images(&fake, credentials).await;
    assert_eq!(tokens.len(), 2, "{tokens:?}");
    assert!(tokens.contains(&scopes(&["b"])), "{tokens:?}");
    let with_login: Vec<bool> = fake
        .requests()
        .iter()
        .filter(|request| request.url.path() == "/token")
        .map(|request| request.authorization.is_some())
        .collect();
    assert_eq!(with_login.iter().filter(|has| **has).count(), 1);
}
