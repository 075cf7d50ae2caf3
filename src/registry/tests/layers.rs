//! Each layer alone, over a fake of the one below.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use reqwest::header::HeaderValue;
use reqwest::{Method, StatusCode, Url};

use super::fake::{Answer, Fake, digest, image};
use crate::reference::{Algorithm, Digest};
use crate::registry::auth::{Auth, Credential, Credentials};
use crate::registry::client::{Client, Options};
use crate::registry::error::{Cause, Content, Login, RedirectProblem, RegistryError};
use crate::registry::redirect::Redirect;
use crate::registry::throttle::{Deadline, Throttle};
use crate::registry::transport::{Request, Transport as _};

const REGISTRY: &str = "https://r.example/v2/";

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

fn get(path: &str) -> Request {
    let url = url(REGISTRY).join(path).unwrap();
    Request::new(&image("r.example/app"), Content::Blob, Method::GET, url)
}

#[tokio::test]
async fn redirect_drops_credentials_at_another_origin_for_good() {
    let fake = Fake::new(|asked, at, _| match (asked.url.host_str(), at) {
        (Some("r.example"), "app/1") => Answer::redirect("/v2/app/2"),
        (Some("r.example"), "app/2") => Answer::redirect("https://cdn.example/back"),
        (Some("cdn.example"), _) => Answer::redirect("https://r.example/v2/app/3"),
        _ => Answer::body("x"),
    });
    let redirect = Redirect::new(fake.clone(), url(REGISTRY));
    let header = Some(HeaderValue::from_static("Bearer secret"));
    let request = get("app/1").with_authorization(header);
    let response = redirect.send(request).await.unwrap();
    assert_eq!(response.url().as_str(), "https://r.example/v2/app/3");
    let with_header: Vec<bool> = fake
        .requests()
        .iter()
        .map(|asked| asked.authorization.is_some())
        .collect();
    assert_eq!(with_header, [true, true, false, false]);
}

#[tokio::test]
async fn redirect_passes_on_what_is_no_redirect() {
    for status in [200, 304, 404, 500] {
        let fake = Fake::new(move |_, _, _| Answer::status(status));
        let redirect = Redirect::new(fake.clone(), url(REGISTRY));
        let response = redirect.send(get("app/1")).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
    }
    let fake = Fake::new(|_, _, _| Answer::redirect("https://r.example/v2/app/1"));
    let redirect = Redirect::new(fake.clone(), url(REGISTRY));
    let error = redirect.send(get("app/1")).await.err().unwrap();
    let problem = RedirectProblem::TooMany;
    assert!(
        matches!(error, Cause::Redirect { problem: p, .. } if p == problem),
        "{error:?}"
    );
}

#[tokio::test]
async fn auth_answers_a_bounded_number_of_challenges() {
    // Each host redirects to a new one, which sends a challenge of its own.
    let fake = Fake::new(|asked, _, _| {
        let host = asked.url.host_str().unwrap();
        if asked.url.path() == "/token" {
            return Answer::body(r#"{"token":"good"}"#);
        }
        match &asked.authorization {
            Some(_) => Answer::redirect(&format!("https://a{host}/v2/app/1")),
            None => Answer::challenge(&format!("https://{host}/token")),
        }
    });
    let redirect = Redirect::new(fake.clone(), url(REGISTRY));
    let auth = Auth::new(redirect, url(REGISTRY), Arc::default(), BTreeSet::new());
    let response = auth.send(get("app/1")).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        fake.requests().len(),
        3 * 3 + 1,
        "challenge, token, redirect: {:?}",
        fake.lines()
    );
}

#[tokio::test]
async fn auth_says_what_became_of_the_login() {
    let fake = Fake::new(|asked, _, _| match asked.authorization {
        Some(_) => Answer::status(403),
        None => Answer::status(401).header("www-authenticate", "Basic realm=\"r\""),
    });
    let credential = Credential::Password {
        user: "me".to_owned(),
        password: "secret".to_owned(),
    };
    let credentials = Arc::new(Credentials::of([("r.example", credential)]));
    let auth = Auth::new(fake, url(REGISTRY), credentials, BTreeSet::new());
    let response = auth.send(get("app/1")).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(*response.login(), Login::Sent);
}

#[tokio::test(start_paused = true)]
async fn of_many_requests_one_fetches_the_token_that_fails() {
    let fake = Fake::new(|asked, _, _| match asked.url.path() {
        "/token" => Answer::status(503).after(Duration::from_millis(50)),
        _ => Answer::challenge("https://r.example/token"),
    });
    let auth = Auth::new(fake.clone(), url(REGISTRY), Arc::default(), BTreeSet::new());
    let outcomes = join_all((0..20).map(|_| auth.send(get("app/1")))).await;
    for outcome in outcomes {
        let cause = outcome.err().unwrap();
        assert!(matches!(cause, Cause::TokenService { .. }), "{cause:?}");
    }
    let tokens = fake.lines();
    let tokens = tokens.iter().filter(|line| line.ends_with("/token"));
    assert_eq!(tokens.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn throttle_counts_a_stream_until_it_has_been_read() {
    let fake = Fake::new(|_, _, _| Answer::body("content"));
    let deadline = Deadline::after(Duration::from_secs(60));
    let throttle = Throttle::new(fake.clone(), 1, 0, deadline);
    let first = throttle.send(get("app/1")).await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_secs(1), throttle.send(get("app/2")));
    assert!(waiting.await.is_err(), "the only permit is taken");
    let mut body = first.into_body();
    while body.next().await.is_some() {}
    drop(body);
    throttle.send(get("app/2")).await.unwrap();
}

#[tokio::test]
async fn a_manifest_comes_as_the_bytes_of_its_digest() {
    let body = r#"{"schemaVersion":2,  "any": "spacing"}"#;
    let fake = Fake::holding(vec![body.to_owned()]);
    let client = fake.client();
    let app = image("r.example/app");
    let bytes = client.manifest(&app, &digest(body)).await.unwrap();
    assert_eq!(bytes, body.as_bytes());
    let other = client.manifest(&app, &digest("other")).await.unwrap_err();
    assert!(matches!(*other.cause, Cause::NoSuchDigest(_)), "{other}");
    let fake = Fake::new(|_, _, _| Answer::body("something else"));
    let wrong = fake.client().manifest(&app, &digest(body)).await;
    let wrong = wrong.unwrap_err();
    assert!(matches!(*wrong.cause, Cause::WrongDigest { .. }), "{wrong}");
}

/// All of a blob of `r.example/app`.
async fn read(
    client: &Client,
    digest: &Digest,
    size: Option<u64>,
) -> Result<String, RegistryError> {
    let mut blob = client.blob(&image("r.example/app"), digest, size).await?;
    let mut content = Vec::new();
    while let Some(chunk) = blob.chunk().await? {
        content.extend_from_slice(&chunk);
    }
    assert_eq!(blob.chunk().await?, None);
    assert_eq!(blob.size(), content.len() as u64);
    Ok(String::from_utf8(content).unwrap())
}

type IsExpected = fn(&Cause) -> bool;

#[tokio::test(start_paused = true)]
async fn a_blob_is_checked_while_it_streams() {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let expected = Digest::of(algorithm, b"layer");
        let fake = Fake::new(|_, _, _| Answer::body("layer").header("content-length", "5"));
        let content = read(&fake.client(), &expected, None).await.unwrap();
        assert_eq!(content, "layer");

        let fake = Fake::new(|_, _, _| Answer::body("lawyer"));
        let error = read(&fake.client(), &expected, Some(6)).await.unwrap_err();
        assert!(matches!(*error.cause, Cause::WrongDigest { .. }), "{error}");
    }
    let empty = Fake::new(|_, _, _| Answer::body("").header("content-length", "0"));
    let content = read(&empty.client(), &digest(""), Some(0)).await.unwrap();
    assert_eq!(content, "");
    let refusals: [(Answer, Option<u64>, IsExpected); 5] = [
        (Answer::status(404), None, |cause| {
            matches!(cause, Cause::NoSuchDigest(_))
        }),
        (Answer::status(403), None, |cause| {
            matches!(cause, Cause::Status { .. })
        }),
        (Answer::body("layer"), None, |cause| {
            matches!(cause, Cause::UnknownSize)
        }),
        (Answer::body("layers"), Some(5), |cause| {
            matches!(cause, Cause::TooLarge { .. })
        }),
        (
            Answer::body("layers").header("content-length", "6"),
            Some(5),
            |cause| {
                matches!(
                    cause,
                    Cause::WrongSize {
                        expected: 5,
                        found: 6
                    }
                )
            },
        ),
    ];
    for (answer, size, is_expected) in refusals {
        let answer = std::sync::Mutex::new(Some(answer));
        let fake = Fake::new(move |_, _, _| answer.lock().unwrap().take().unwrap());
        let error = read(&fake.client(), &digest("layer"), size)
            .await
            .unwrap_err();
        assert!(is_expected(&error.cause), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_download_is_resumed_where_it_broke() {
    let range = |of: &'static str| Answer::body(of).code(206);
    let with_ranges = Fake::new(move |_, _, nth| match nth {
        0 => Answer::cut("la").header("content-length", "5"),
        1 => Answer::down(),
        2 => Answer::cut("ye")
            .code(206)
            .header("content-range", "bytes 2-4/5"),
        _ => range("r").header("content-range", "bytes 4-4/*"),
    });
    let content = read(&with_ranges.client(), &digest("layer"), None).await;
    assert_eq!(content.unwrap(), "layer");
    let ranges: Vec<_> = with_ranges
        .requests()
        .into_iter()
        .map(|request| request.range.unwrap_or_default())
        .collect();
    assert_eq!(ranges, ["", "bytes=2-", "bytes=2-", "bytes=4-"]);

    // Without support for ranges, the whole blob comes again.
    let without = Fake::new(|_, _, nth| match nth {
        0 => Answer::cut("lay"),
        _ => Answer::body("layer"),
    });
    let content = read(&without.client(), &digest("layer"), Some(5)).await;
    assert_eq!(content.unwrap(), "layer");

    // The end without an error, before the size, is a broken connection too.
    let short = Fake::new(move |_, _, nth| match nth {
        0 => Answer::body("lay"),
        _ => range("er").header("content-range", "bytes 3-4/5"),
    });
    let content = read(&short.client(), &digest("layer"), Some(5)).await;
    assert_eq!(content.unwrap(), "layer");
}

#[tokio::test(start_paused = true)]
async fn a_download_that_stays_broken_is_an_error() {
    let never = Fake::new(|_, _, _| Answer::cut(""));
    let error = read(&never.client(), &digest("layer"), Some(5)).await;
    let error = error.unwrap_err();
    assert!(matches!(*error.cause, Cause::Unreachable { .. }), "{error}");
    assert_eq!(never.requests().len(), 5);

    let other = Fake::new(|_, _, nth| match nth {
        0 => Answer::cut("la"),
        _ => Answer::body("er")
            .code(206)
            .header("content-range", "bytes 3-4/5"),
    });
    let error = read(&other.client(), &digest("layer"), Some(5)).await;
    let error = error.unwrap_err();
    assert!(matches!(*error.cause, Cause::Malformed { .. }), "{error}");

    // A byte a connection is progress, but not for ever.
    let slow = Fake::new(|asked, _, _| {
        let start = asked.range.as_deref().unwrap_or("bytes=0-");
        let range = start.replace('=', " ") + "9/1073741824";
        Answer::cut("x").code(206).header("content-range", range)
    });
    let error = read(&slow.client(), &digest("x"), Some(1 << 30)).await;
    error.unwrap_err();
    assert_eq!(slow.requests().len(), 101);
}

#[tokio::test]
async fn a_blob_without_end_is_in_memory_a_chunk_at_a_time() {
    let fake = Fake::new(|_, _, _| Answer::endless());
    let options = Options {
        jobs: NonZeroUsize::MIN,
        ..Options::default()
    };
    let client = fake.client_by(options);
    let app = image("r.example/app");
    let mut blob = client
        .blob(&app, &digest("x"), Some(1 << 40))
        .await
        .unwrap();
    for _ in 0..3 {
        blob.chunk().await.unwrap().unwrap();
    }
    let served = fake.served.load(std::sync::atomic::Ordering::SeqCst);
    assert!(served <= 4 << 20, "{served}");
}
