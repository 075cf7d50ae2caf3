//! Which credential goes where: tokens, passwords, redirects.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::fake::{Answer, Fake, digest, image, refused, tag};
use crate::registry::address::ChosenBy;
use crate::registry::auth::{Credential, Credentials};
use crate::registry::client::Options;
use crate::registry::error::{Cause, ConnectProblem};

pub(super) fn password() -> Credential {
    Credential::Password {
        user: "me".to_owned(),
        password: "secret".to_owned(),
    }
}

/// `me:secret`
pub(super) const BASIC: &str = "Basic bWU6c2VjcmV0";

/// A registry that wants a token from `realm`, which is `good`.
pub(super) fn wants_token(realm: &'static str) -> Fake {
    Fake::new(move |asked, at, _| {
        if asked.url.as_str().starts_with(realm) {
            return Answer::body(r#"{"token":"good"}"#);
        }
        match asked.authorization.as_deref() {
            Some("Bearer good") if at.ends_with("tags/list") => Answer::tags(&["1"]),
            Some("Bearer good") => Answer::digest("x"),
            _ => Answer::challenge(realm),
        }
    })
}

#[tokio::test(start_paused = true)]
async fn one_token_serves_a_repository_and_its_request_the_next() {
    let fake = wants_token("https://auth.docker.io/token");
    let client = fake.client();
    client.tags(&image("docker.io/a")).await.unwrap();
    client
        .digest(&image("docker.io/a"), &tag("1"))
        .await
        .unwrap();
    client.tags(&image("docker.io/b")).await.unwrap();
    let registry = "https://registry-1.docker.io/v2/library";
    assert_eq!(
        fake.lines(),
        [
            format!("GET {registry}/a/tags/list"),
            "GET https://auth.docker.io/token".to_owned(),
            format!("GET {registry}/a/tags/list"),
            format!("HEAD {registry}/a/manifests/1"),
            // The registry is not first asked without a token again.
            "GET https://auth.docker.io/token".to_owned(),
            format!("GET {registry}/b/tags/list"),
        ]
    );
    let query = fake.requests()[1].url.query().unwrap().to_owned();
    assert_eq!(query, "service=fake&scope=repository%3Alibrary%2Fa%3Apull");
    assert_eq!(fake.requests()[1].authorization, None);
}

/// The same registry, a round trip away.
pub(super) fn distant(near: &Fake) -> Fake {
    let answers = Arc::clone(&near.answers);
    Fake::new(move |asked, at, nth| answers(asked, at, nth).after(Duration::from_millis(50)))
}

#[tokio::test(start_paused = true)]
async fn many_requests_at_once_fetch_one_token() {
    let fake = distant(&wants_token("https://localhost:5000/token"));
    let client = fake.client();
    let image = image("localhost:5000/app");
    let tags: Vec<_> = (0..20).map(|n| tag(&n.to_string())).collect();
    let outcomes = join_all(tags.iter().map(|tag| client.digest(&image, tag))).await;
    assert!(outcomes.iter().all(Result::is_ok));
    let tokens = fake
        .lines()
        .iter()
        .filter(|line| line.ends_with("/token"))
        .count();
    assert_eq!(tokens, 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expires_is_replaced() {
    let fake = Fake::new(|asked, _, nth| {
        if asked.url.path() == "/token" {
            return Answer::body(format!("{{\"access_token\":\"number-{nth}\"}}"));
        }
        let valid = if nth < 3 {
            "Bearer number-0"
        } else {
            "Bearer number-1"
        };
        if asked.authorization.as_deref() == Some(valid) {
            Answer::digest("x")
        } else {
            Answer::challenge("/token")
        }
    });
    let client = fake.client();
    for _ in 0..4 {
        client
            .digest(&image("r.example/app"), &tag("1"))
            .await
            .unwrap();
    }
    let tokens = fake
        .lines()
        .iter()
        .filter(|line| line.ends_with("/token"))
        .count();
    assert_eq!(tokens, 2, "{:?}", fake.lines());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_never_good_is_an_error_not_a_loop() {
    let fake = Fake::new(|asked, _, _| match asked.url.path() {
        "/token" => Answer::body(r#"{"token":"bad"}"#),
        _ => Answer::challenge("https://r.example/token"),
    });
    let error = refused(&fake.client()).await;
    assert!(
        error.to_string().contains("it answers 401 Unauthorized"),
        "{error}"
    );
    assert!(
        error.to_string().contains("log in with 'docker login'"),
        "{error}"
    );
    assert_eq!(fake.requests().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_password_goes_to_the_registry_and_its_token_service() {
    let fake = wants_token("https://auth.docker.io/token");
    let client = fake.client_as("docker.io", password());
    client.tags(&image("docker.io/a")).await.unwrap();
    let asked = fake.requests();
    assert_eq!(asked[0].authorization, None, "only where it is asked for");
    assert_eq!(asked[1].authorization.as_deref(), Some(BASIC));
    assert_eq!(asked[2].authorization.as_deref(), Some("Bearer good"));

    let fake = Fake::new(|asked, _, _| match asked.authorization.as_deref() {
        Some(BASIC) => Answer::tags(&["1"]),
        _ => Answer::status(401).header("www-authenticate", "Basic realm=\"r\""),
    });
    let client = fake.client_as("r.example", password());
    client.tags(&image("r.example/a")).await.unwrap();
    client.tags(&image("r.example/b")).await.unwrap();
    assert_eq!(fake.requests().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_identity_token_is_exchanged_for_a_token_to_pull() {
    let fake = wants_token("https://r.example/token");
    let client = fake.client_as("r.example", Credential::IdentityToken("mine".to_owned()));
    client.tags(&image("r.example/app")).await.unwrap();
    let asked = &fake.requests()[1];
    assert_eq!(asked.method, "POST");
    assert_eq!(asked.authorization, None);
    assert_eq!(asked.url.query(), None, "not where it would be logged");
    let form = asked.form.clone().unwrap();
    for part in ["refresh_token", "mine", "repository:app:pull"] {
        assert!(form.contains(part), "{form}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_identity_token_that_has_expired_is_not_sent_again() {
    let fake = Fake::new(|asked, _, _| match asked.authorization.as_deref() {
        _ if asked.method == "POST" => Answer::body(r#"{"error":"invalid_grant"}"#).code(400),
        _ if asked.url.path() == "/token" => Answer::body(r#"{"token":"good"}"#),
        Some("Bearer good") => Answer::tags(&["1"]),
        _ => Answer::challenge("/token"),
    });
    let client = fake.client_as("r.example", Credential::IdentityToken("old".to_owned()));
    client.tags(&image("r.example/a")).await.unwrap();
    client.tags(&image("r.example/b")).await.unwrap();
    let sent = fake.requests().into_iter();
    assert_eq!(sent.filter(|request| request.method == "POST").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_service_of_another_site_gets_no_credential() {
    let fake = wants_token("https://evil.example/token");
    let client = fake.client_as("r.example", password());
    client.tags(&image("r.example/app")).await.unwrap();
    let to_evil: Vec<_> = fake
        .requests()
        .into_iter()
        .filter(|asked| asked.url.host_str() == Some("evil.example"))
        .collect();
    assert_eq!(to_evil.len(), 1);
    assert_eq!(to_evil[0].authorization, None);
    assert_eq!(
        to_evil[0].chosen_by,
        ChosenBy::Registry,
        "its name must not lead inwards"
    );
    let client = fake.client_as("r.example", Credential::IdentityToken("mine".to_owned()));
    client.tags(&image("r.example/app")).await.unwrap();
    assert!(fake.requests().iter().all(|asked| asked.form.is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_forbidden_token_service_gets_no_request() {
    for realm in [
        "http://r.example:8080/token",
        "http://evil.example/token",
        "https://127.0.0.1/token",
        "https://localhost:8443/token",
        "https://169.254.169.254/latest/api/token",
        "https://[::1]/token",
        "ftp://r.example/token",
    ] {
        let fake = wants_token(realm);
        let client = fake.client_as("r.example", password());
        let error = refused(&client).await;
        assert!(matches!(*error.cause, Cause::Denied { .. }), "{error}");
        assert_eq!(
            fake.lines(),
            ["GET https://r.example/v2/app/tags/list"],
            "{realm}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn hostile_tokens_are_refused() {
    for (answer, requests) in [
        ((|| Answer::endless()) as fn() -> Answer, 2),
        (|| Answer::body(r#"{"token":"a\r\nX-Evil: 1"}"#), 2),
        (|| Answer::body("<html>"), 2),
        (|| Answer::redirect("https://evil.example/"), 2),
        // Received once more without the login, which may be what is refused.
        (|| Answer::status(403), 3),
    ] {
        let fake = Fake::new(move |asked, _, _| match asked.url.path() {
            "/token" => answer(),
            _ => Answer::challenge("https://r.example/token"),
        });
        let client = fake.client_as("r.example", password());
        let error = refused(&client).await;
        assert!(error.to_string().contains("its token service"), "{error}");
        assert_eq!(fake.requests().len(), requests, "{:?}", fake.lines());
        assert_eq!(fake.hosts_with_credentials(), ["https://r.example"]);
        assert!(!error.to_string().contains("secret"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_password_does_not_go_out_without_tls() {
    let fake = Fake::new(|asked, _, _| match asked.url.scheme() {
        "https" => Answer::failure(ConnectProblem::NotTls),
        _ => Answer::status(401).header("www-authenticate", "Basic realm=\"r\""),
    });
    let options = Options {
        insecure_registries: ["10.0.0.7:5000".to_owned()].into(),
        ..Options::default()
    };
    let credentials = Credentials::of([("10.0.0.7:5000", password())]);
    let client = fake.client_with(options, credentials);
    let error = client.tags(&image("10.0.0.7:5000/app")).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("your stored login was not sent without TLS"),
        "{error}"
    );
    assert!(fake.hosts_with_credentials().is_empty());
    // Within this machine there is nobody to listen.
    let client = fake.client_as("127.0.0.1:5000", password());
    client.tags(&image("127.0.0.1:5000/app")).await.unwrap_err();
    assert_eq!(fake.hosts_with_credentials(), ["http://127.0.0.1:5000"]);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_to_another_host_carries_no_credential() {
    let fake = Fake::new(|asked, _, _| match asked.url.host_str() {
        Some("r.example") if asked.authorization.as_deref() == Some(BASIC) => {
            Answer::redirect("https://cdn.example/blob?signature=abc")
        }
        Some("r.example") => Answer::status(401).header("www-authenticate", "Basic realm=\"r\""),
        _ => Answer::digest("x"),
    });
    let client = fake.client_as("r.example", password());
    let found = client
        .digest(&image("r.example/app"), &tag("1"))
        .await
        .unwrap();
    assert_eq!(found, Some(digest("x")));
    assert_eq!(fake.hosts_with_credentials(), ["https://r.example"]);
    let last = fake.requests().pop().unwrap();
    assert_eq!(last.line(), "HEAD https://cdn.example/blob");
    assert_eq!(last.chosen_by, ChosenBy::Registry);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_target_gets_its_own_token_and_no_password() {
    let fake = Fake::new(|asked, _, _| {
        match (
            asked.url.host_str(),
            asked.url.path(),
            asked.authorization.as_deref(),
        ) {
            (Some("lscr.example"), ..) => {
                Answer::redirect("https://ghcr.example/v2/org/app/tags/list")
            }
            (_, "/token", _) => Answer::body(r#"{"token":"good"}"#),
            (_, _, Some("Bearer good")) => Answer::tags(&["1"]),
            _ => Answer::status(401).header(
                "www-authenticate",
                "Bearer realm=\"https://ghcr.example/token\",scope=\"repository:org/app:pull\"",
            ),
        }
    });
    let client = fake.client_as("lscr.example", password());
    client.tags(&image("lscr.example/app")).await.unwrap();
    let asked = fake.requests();
    assert_eq!(
        asked[2].url.query(),
        Some("scope=repository%3Aorg%2Fapp%3Apull")
    );
    assert_eq!(asked[2].authorization, None);
    let to_first: Vec<_> = asked
        .iter()
        .filter(|a| a.url.host_str() == Some("lscr.example"))
        .collect();
    assert!(to_first.iter().all(|asked| asked.authorization.is_none()));
}

#[tokio::test(start_paused = true)]
async fn forbidden_redirects_are_not_followed() {
    for (to, reason) in [
        ("http://r.example:8080/x", "it does not lead to https"),
        ("http://evil.example/x", "it does not lead to https"),
        ("https://127.0.0.1/x", "within this machine's own network"),
        ("https://localhost/x", "within this machine's own network"),
        ("https://[::1]:8080/x", "within this machine's own network"),
        (
            "https://169.254.169.254/latest/meta-data",
            "within this machine's own network",
        ),
        (
            "https://[::ffff:169.254.169.254]/",
            "within this machine's own network",
        ),
        ("file:///etc/passwd", "it does not lead to https"),
        ("https://", "its Location is no URL"),
    ] {
        let reason = reason.replace("within", "into");
        let fake = Fake::new(move |_, _, _| Answer::redirect(to));
        let client = fake.client_as("r.example", password());
        let error = refused(&client).await.to_string();
        assert!(error.contains(&reason), "{to}: {error}");
        assert_eq!(
            fake.lines(),
            ["GET https://r.example/v2/app/tags/list"],
            "{to}"
        );
    }
    let fake = Fake::new(|_, _, nth| {
        Answer::redirect(&format!("https://r.example/{nth}/{}", fastrand::u64(..)))
    });
    let error = refused(&fake.client()).await;
    assert!(error.to_string().contains("too many"), "{error}");
    assert_eq!(fake.requests().len(), 6);
    let fake = Fake::new(|_, _, _| Answer::status(302));
    refused(&fake.client()).await;
}

#[tokio::test(start_paused = true)]
async fn a_next_page_on_another_host_is_not_requested() {
    for next in [
        "https://evil.example/v2/app/tags/list?last=1",
        "//evil.example/v2/app/tags/list?last=1",
        "https://me:secret@evil.example/v2/",
    ] {
        let fake = Fake::new(move |asked, _, _| match asked.authorization.as_deref() {
            Some(BASIC) => Answer::tags(&["1"]).header("link", format!("<{next}>; rel=\"next\"")),
            _ => Answer::status(401).header("www-authenticate", "Basic realm=\"r\""),
        });
        let client = fake.client_as("r.example", password());
        let error = refused(&client).await;
        assert!(matches!(*error.cause, Cause::ForeignPage { .. }), "{error}");
        assert_eq!(fake.requests().len(), 2, "{next}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_repository_has_an_authorization_of_its_own() {
    let fake = Fake::new(|asked, at, _| match (at, asked.authorization.as_deref()) {
        ("public/tags/list", None) => Answer::tags(&["1"]),
        _ => Answer::status(401).header("www-authenticate", "Basic realm=\"r\""),
    });
    let client = fake.client();
    let error = client.tags(&image("r.example/private")).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("it wants a user name and a password;"),
        "{error}"
    );
    client.tags(&image("r.example/public")).await.unwrap();

    // Each repository has a token service of its own.
    let fake = Fake::new(|asked, at, _| {
        let own = |name: &str| asked.url.query().unwrap_or_default().contains(name);
        match (asked.url.path(), asked.authorization.as_deref()) {
            ("/token/a", _) if own("%3Aa%3A") => Answer::body(r#"{"token":"for-a"}"#),
            ("/token/b", _) if own("%3Ab%3A") => Answer::body(r#"{"token":"for-b"}"#),
            ("/token/a" | "/token/b", _) => Answer::status(403),
            (_, Some("Bearer for-a")) if at.starts_with("a/") => Answer::tags(&["1"]),
            (_, Some("Bearer for-b")) if at.starts_with("b/") => Answer::tags(&["1"]),
            _ if at.starts_with("a/") => Answer::challenge("https://r.example/token/a"),
            _ => Answer::challenge("https://r.example/token/b"),
        }
    });
    let client = fake.client();
    for name in ["r.example/a", "r.example/b", "r.example/a"] {
        client.tags(&image(name)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_refused_is_not_sent_again() {
    // Where everything is public, it is not even needed.
    let fake = Fake::new(
        |asked, _, _| match (asked.url.path(), asked.authorization.as_deref()) {
            ("/token", Some(_)) => Answer::status(401),
            ("/token", None) => Answer::body(r#"{"token":"good"}"#),
            (_, Some("Bearer good")) => Answer::tags(&["1"]),
            _ => Answer::challenge("/token"),
        },
    );
    let client = fake.client_as("r.example", password());
    for n in 0..20 {
        client
            .tags(&image(&format!("r.example/i{n}")))
            .await
            .unwrap();
    }
    let logins = fake
        .requests()
        .iter()
        .filter(|asked| asked.authorization.as_deref() == Some(BASIC))
        .count();
    assert_eq!(logins, 1);

    let fake =
        Fake::new(|_, _, _| Answer::status(401).header("www-authenticate", "Basic realm=\"r\""));
    let client = fake.client_as("r.example", password());
    for n in 0..5 {
        let error = client
            .tags(&image(&format!("r.example/i{n}")))
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("your stored login was refused"),
            "{error}"
        );
        assert!(!error.to_string().contains("secret"));
    }
    let logins = fake
        .requests()
        .iter()
        .filter(|asked| asked.authorization.is_some())
        .count();
    assert_eq!(logins, 1);

    // One that has opened something is right, wherever else it has no access.
    let fake = Fake::new(|asked, at, _| match asked.authorization.as_deref() {
        Some(BASIC) if at.starts_with("mine") => Answer::tags(&["1"]),
        _ => Answer::status(401).header("www-authenticate", "Basic realm=\"r\""),
    });
    let client = fake.client_as("r.example", password());
    client.tags(&image("r.example/mine")).await.unwrap();
    client.tags(&image("r.example/other")).await.unwrap_err();
    client.tags(&image("r.example/mine2")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_login_that_was_not_sent_is_not_said_to_be() {
    // The token service has no use for the login; what the registry refuses has none.
    let fake = Fake::new(
        |asked, _, _| match (asked.url.path(), asked.authorization.as_deref()) {
            ("/token", None) => Answer::body(r#"{"token":"anonymous"}"#),
            ("/token", Some(_)) | (_, Some("Bearer anonymous")) => Answer::status(403),
            _ => Answer::challenge("/token"),
        },
    );
    let error = refused(&fake.client_as("r.example", password()))
        .await
        .to_string();
    assert!(
        error.contains(
            "its token service answers 403 Forbidden to your stored login, and was asked for a token without it"
        ),
        "{error}"
    );
    // Nothing is sent to what speaks no HTTP.
    for realm in ["ftp://r.example/token", "file:///etc/passwd?x"] {
        let fake = Fake::new(move |_, _, _| Answer::challenge(realm));
        let error = refused(&fake.client_as("r.example", password()))
            .await
            .to_string();
        assert!(!error.contains("your stored login"), "{error}");
        assert!(!error.contains("null"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn errors_say_what_became_of_the_login() {
    let error = |fake: Fake, credential| async move {
        let client = fake.client_as("r.example", credential);
        refused(&client).await.to_string()
    };
    let elsewhere = || {
        Fake::new(|asked, _, _| match asked.url.path() {
            "/token" => Answer::body(r#"{"token":"anonymous"}"#),
            _ if asked.authorization.is_some() => Answer::status(403),
            _ => Answer::challenge("https://other.example/token"),
        })
    };
    let told = error(elsewhere(), password()).await;
    assert!(
        told.contains(
            "your stored login was not sent to its token service, which is of another site"
        ),
        "{told}"
    );
    let outage = Fake::new(|asked, _, _| match asked.url.path() {
        "/token" => Answer::status(503),
        _ => Answer::challenge("/token"),
    });
    let told = error(outage, password()).await;
    assert_eq!(
        told,
        "the token service of r.example answers 503 Service Unavailable; try again later"
    );
    // A realm that differs in the scheme alone is a misconfigured proxy's.
    let fake = wants_token("https://r.example/token");
    let plain = Fake::new(move |asked, at, nth| {
        let said = (fake.answers)(asked, at, nth);
        if asked.authorization.is_none() && asked.url.path() != "/token" {
            return Answer::challenge("http://r.example/token");
        }
        said
    });
    plain.client().tags(&image("r.example/app")).await.unwrap();
    assert_eq!(plain.lines()[1], "GET https://r.example/token");
}

#[tokio::test(start_paused = true)]
async fn a_tag_list_continues_at_the_redirect_target() {
    let fake = Fake::new(
        |asked, _, _| match (asked.url.host_str(), asked.url.query()) {
            (Some("r.example"), _) => {
                Answer::redirect("https://o.example/v2/prefix/app/tags/list?n=1000")
            }
            (_, Some("last=1")) => Answer::tags(&["2"]),
            _ => Answer::tags(&["1"])
                .header("link", "</v2/prefix/app/tags/list?last=1>; rel=\"next\""),
        },
    );
    let client = fake.client_as("r.example", password());
    let tags = client.tags(&image("r.example/app")).await.unwrap();
    assert_eq!(tags.len(), 2);
    assert_eq!(
        fake.lines().last().unwrap(),
        "GET https://o.example/v2/prefix/app/tags/list"
    );
    assert!(fake.hosts_with_credentials().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_loopback_registry_cannot_redirect_to_link_local_addresses() {
    let fake = Fake::new(|asked, _, _| match asked.url.scheme() {
        "https" => Answer::failure(ConnectProblem::NotTls),
        _ => Answer::redirect("http://169.254.169.254/latest/meta-data"),
    });
    let error = fake
        .client()
        .tags(&image("localhost:5000/app"))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("into this machine's own network"),
        "{error}"
    );
    let asked = fake.requests();
    assert!(
        asked
            .iter()
            .all(|asked| asked.url.host_str() == Some("localhost"))
    );
}

#[tokio::test(start_paused = true)]
async fn errors_leave_out_the_query_of_a_url() {
    let fake = Fake::new(|_, _, _| Answer::redirect("http://cdn.example/blob?X-Signature=hidden"));
    let error = refused(&fake.client()).await;
    assert!(
        error.to_string().contains("'http://cdn.example/blob'"),
        "{error}"
    );
    let fake = Fake::new(|_, _, _| {
        Answer::tags(&["1"]).header(
            "link",
            "<https://me:hidden@cdn.example/x?s=hidden>; rel=\"next\"",
        )
    });
    let error = refused(&fake.client()).await;
    assert!(!error.to_string().contains("hidden"), "{error}");
}

/// Logins for parts of a registry, of which one is wrong.
#[tokio::test(start_paused = true)]
async fn a_wrong_login_for_one_part_leaves_another_alone() {
    let fake = Fake::new(|asked, at, _| match asked.authorization.as_deref() {
        Some(BASIC) if at.starts_with("org2/") => Answer::tags(&["1"]),
        None if at.starts_with("public/") => Answer::tags(&["1"]),
        _ => Answer::status(401).header("www-authenticate", "Basic realm=\"r\""),
    });
    let wrong = Credential::Password {
        user: "me".to_owned(),
        password: "old".to_owned(),
    };
    let credentials = Credentials::of([
        ("r.example/org1", wrong.clone()),
        ("r.example/org2", password()),
        ("r.example/public", wrong),
    ]);
    let client = fake.client_with(Options::default(), credentials);
    let error = client.tags(&image("r.example/org1/a")).await.unwrap_err();
    assert!(
        error.to_string().contains("your stored login was refused"),
        "{error}"
    );
    client.tags(&image("r.example/org2/a")).await.unwrap();
    // Nor is what is public refused for a login that is sent ahead.
    for n in 0..5 {
        client
            .tags(&image(&format!("r.example/public/{n}")))
            .await
            .unwrap();
    }
    client.tags(&image("r.example/org1/b")).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_login_sent_up_front_and_refused_is_retried_without() {
    // The first repository takes the login, and so it is sent ahead to others.
    let fake = Fake::new(|asked, at, _| match asked.authorization.as_deref() {
        None if at.starts_with("public/") => Answer::tags(&["1"]),
        Some(BASIC) if at.starts_with("private/") => Answer::tags(&["1"]),
        _ => Answer::status(401).header("www-authenticate", "Basic realm=\"r\""),
    });
    let client = fake.client_as("r.example", password());
    client.tags(&image("r.example/private/a")).await.unwrap();
    client.tags(&image("r.example/public/b")).await.unwrap();
    client.tags(&image("r.example/private/c")).await.unwrap();
}

#[tokio::test]
async fn the_registrys_own_host_may_be_its_token_service_wherever_it_is() {
    let fake = Fake::new(|asked, _, _| match (asked.url.scheme(), asked.url.path()) {
        ("https", _) => Answer::down(),
        (_, "/token") => Answer::body(r#"{"token":"t"}"#),
        _ if asked.authorization.is_some() => Answer::tags(&["1"]),
        _ => Answer::challenge("http://forge:3000/token"),
    });
    let options = Options {
        insecure_registries: ["forge:3000".to_owned()].into(),
        ..Options::default()
    };
    let client = fake.client_by(options);
    client.tags(&image("forge:3000/app")).await.unwrap();
    let requests = fake.requests();
    let token = requests
        .iter()
        .find(|request| request.url.path() == "/token");
    assert_eq!(token.unwrap().chosen_by, ChosenBy::User);
}
