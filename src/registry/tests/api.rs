//! Tag lists, digests and manifests as registries send them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::fake::{Answer, Fake, digest, image, index, refused, tag};
use crate::reference::{Algorithm, Digest, ImageName};
use crate::registry::error::{Cause, ConnectProblem};

#[tokio::test(start_paused = true)]
async fn docker_hub_is_served_under_another_name() {
    let fake = Fake::new(|_, _, _| Answer::tags(&["34"]));
    let client = fake.client();
    client.tags(&image("nextcloud")).await.unwrap();
    client
        .tags(&image("docker.io/grafana/grafana"))
        .await
        .unwrap();
    assert_eq!(
        fake.lines(),
        [
            "GET https://registry-1.docker.io/v2/library/nextcloud/tags/list",
            "GET https://registry-1.docker.io/v2/grafana/grafana/tags/list"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_loopback_registry_is_reached_by_https_or_else_http() {
    let fake = Fake::new(|asked, _, _| match asked.url.scheme() {
        "https" => Answer::failure(ConnectProblem::NotTls),
        _ => Answer::tags(&["1"]),
    });
    let client = fake.client();
    client.tags(&image("localhost:5000/app")).await.unwrap();
    let plain = "GET http://localhost:5000/v2/app/tags/list".to_owned();
    let probe = "GET https://localhost:5000/v2/".to_owned();
    assert_eq!(fake.lines(), [probe, plain.clone()]);
    client.tags(&image("localhost:5000/app")).await.unwrap();
    assert_eq!(fake.lines()[2..], [plain]);

    let fake = Fake::new(|_, _, _| Answer::tags(&["1"]));
    fake.client()
        .tags(&image("localhost:5000/app"))
        .await
        .unwrap();
    assert_eq!(
        fake.lines().last().unwrap(),
        "GET https://localhost:5000/v2/app/tags/list"
    );

    // A certificate that is not trusted is no reason to go without.
    let fake = Fake::new(|asked, _, _| match asked.url.scheme() {
        "https" => Answer::failure(ConnectProblem::UnknownAuthority),
        _ => Answer::tags(&["1"]),
    });
    let error = fake
        .client()
        .tags(&image("localhost:5000/app"))
        .await
        .unwrap_err();
    assert!(
        error.to_string().ends_with("in NIX_SSL_CERT_FILE"),
        "{error}"
    );
    // Elsewhere there is no going without at all.
    let fake = Fake::new(|_, _, _| Answer::failure(ConnectProblem::NotTls));
    let error = fake
        .client()
        .tags(&image("10.0.0.7:5000/app"))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("it does not speak TLS"),
        "{error}"
    );
    assert_eq!(fake.lines(), ["GET https://10.0.0.7:5000/v2/app/tags/list"]);
}

#[tokio::test(start_paused = true)]
async fn bodies_without_end_cost_no_more_than_their_limit() {
    let fake = Fake::new(|_, _, _| Answer::endless());
    let error = refused(&fake.client()).await;
    assert!(
        error.to_string().contains("larger than 8388608 bytes"),
        "{error}"
    );
    assert!(fake.served.load(Ordering::SeqCst) <= (1 + 1 + 8 + 1) << 20);

    let fake = Fake::new(|_, _, _| Answer::endless());
    let asked = fake
        .client()
        .platforms(&image("r.example/app"), &digest("x"))
        .await;
    let cause = asked.unwrap_err().cause;
    assert!(matches!(
        *cause,
        Cause::TooLarge {
            limit: 4_194_304,
            ..
        }
    ));
    assert!(fake.served.load(Ordering::SeqCst) <= (4 + 1) << 20);
    assert_eq!(fake.requests().len(), 1, "it is not tried again");

    // One that says so is not read at all.
    let fake = Fake::new(|_, _, _| Answer::endless().header("content-length", "99999999999"));
    fake.client()
        .platforms(&image("r.example/app"), &digest("x"))
        .await
        .unwrap_err();
    assert_eq!(fake.served.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn all_pages_together_have_one_limit() {
    // Each page is within the limit, and names the next.
    let fake = Fake::new(|_, _, nth| {
        let filler = " ".repeat(900 << 10);
        let last = format!("t{nth}-{}", filler.len());
        Answer::body(format!("{{\"tags\":[\"{last}\"]{filler}}}")).header(
            "link",
            format!("</v2/app/tags/list?last={}>; rel=\"next\"", rand_word()),
        )
    });
    let error = refused(&fake.client()).await;
    assert!(matches!(*error.cause, Cause::TooLarge { .. }), "{error}");
    // The first is large, and asked for again; the last is over what is left.
    assert_eq!(fake.requests().len(), 11);
}

/// One list of 60,000 tags, all on one page.
fn large_list() -> Fake {
    let all: Vec<String> = (0..60_000).map(|n| format!("1.0.0-alpha.{n}")).collect();
    Fake::new(move |_, _, _| {
        let tags: Vec<&str> = all.iter().map(String::as_str).collect();
        Answer::tags(&tags)
    })
}

#[tokio::test(start_paused = true)]
async fn few_large_lists_are_in_memory_at_once() {
    let client = large_list().client();
    let names: Vec<ImageName> = (0..6).map(|n| image(&format!("r.example/i{n}"))).collect();
    let mut held = Vec::new();
    for name in &names[..4] {
        held.push(client.tags(name).await.unwrap());
    }
    assert!(held.iter().all(|tags| tags.len() == 60_000));
    let fifth = client.tags(&names[4]);
    let late = tokio::time::timeout(Duration::from_secs(60), fifth).await;
    assert!(late.is_err(), "it waits for one of the others");
    drop(held);
    assert_eq!(client.tags(&names[5]).await.unwrap().len(), 60_000);
}

fn rand_word() -> String {
    std::iter::repeat_with(fastrand::alphanumeric)
        .take(8)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_list_of_ever_new_pages_comes_to_an_end() {
    let fake = Fake::new(|_, _, _| {
        Answer::tags(&["1"]).header(
            "link",
            format!("</v2/app/tags/list?last={}>; rel=\"next\"", rand_word()),
        )
    });
    let error = refused(&fake.client()).await;
    assert!(
        error.to_string().contains("more than 10000 pages"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_head_costs_one_get_and_no_second_one() {
    let manifest = index(&[("linux/amd64", &digest("amd64"))]);
    let expected = digest(&manifest);
    for refuses in [405, 501, 400, 401, 403, 406, 200] {
        let manifest = manifest.clone();
        let fake = Fake::new(move |asked, _, _| match asked.method.as_str() {
            "HEAD" => Answer::status(refuses),
            _ => Answer::body(&manifest),
        });
        let client = fake.client();
        let image = image("r.example/app");
        let found = client.digest(&image, &tag("1")).await.unwrap().unwrap();
        assert_eq!(found, expected);
        let platforms = client.platforms(&image, &found).await.unwrap();
        assert_eq!(
            platforms.manifests.values().collect::<Vec<_>>(),
            [&digest("amd64")]
        );
        assert_eq!(fake.requests().len(), 2, "{:?}", fake.lines());
    }
}

/// A cache that mixes up its contents says the digest of another one.
#[tokio::test(start_paused = true)]
async fn a_manifest_of_a_tag_has_the_digest_that_its_header_says() {
    let manifest = index(&[("linux/amd64", &digest("amd64"))]);
    for (stated, is_right) in [(digest(&manifest), true), (digest("another"), false)] {
        let (manifest, stated) = (manifest.clone(), stated.to_string());
        let fake = Fake::new(move |asked, _, _| match asked.method.as_str() {
            "HEAD" => Answer::status(403),
            _ => Answer::body(&manifest).header("docker-content-digest", &stated),
        });
        let found = fake
            .client()
            .digest(&image("r.example/app"), &tag("1"))
            .await;
        match found {
            Ok(found) => assert!(is_right, "{found:?}"),
            Err(error) => assert!(
                !is_right && matches!(*error.cause, Cause::WrongDigest { .. }),
                "{error}"
            ),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn indexes_within_an_index_are_read() {
    let (amd64, arm64, riscv64) = (digest("amd64"), digest("arm64"), digest("riscv64"));
    let innermost = index(&[("linux/riscv64", &riscv64), ("linux/amd64", &riscv64)]);
    let inner = index(&[("linux/arm64", &arm64), ("index", &digest(&innermost))]);
    // The first of two entries for a platform counts.
    let outer = index(&[("linux/amd64", &amd64), ("index", &digest(&inner))]);
    let all = vec![innermost, inner, outer.clone()];
    let fake = Fake::holding(all);
    let found = fake
        .client()
        .platforms(&image("r.example/app"), &digest(&outer))
        .await
        .unwrap();
    let found: Vec<_> = found
        .manifests
        .iter()
        .map(|(platform, digest)| (platform.as_str(), digest))
        .collect();
    assert_eq!(
        found,
        [
            ("linux/amd64", &amd64),
            ("linux/arm64", &arm64),
            ("linux/riscv64", &riscv64)
        ]
    );
    assert_eq!(fake.requests().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_index_of_very_many_indexes_is_not_followed_for_ever() {
    let inner: Vec<String> = (0..1000)
        .map(|n| index(&[("linux/amd64", &digest(&n.to_string()))]))
        .collect();
    let digests: Vec<Digest> = inner.iter().map(|body| digest(body)).collect();
    let entries: Vec<(&str, &Digest)> = digests.iter().map(|digest| ("index", digest)).collect();
    let outer = index(&entries);
    let all: Vec<String> = inner.into_iter().chain([outer.clone()]).collect();
    let fake = Fake::holding(all);
    let asked = fake
        .client()
        .platforms(&image("r.example/app"), &digest(&outer))
        .await;
    let error = asked.unwrap_err().to_string();
    assert!(error.contains("it holds more than 32 indexes"), "{error}");
    assert_eq!(fake.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_sha512_digest_is_checked_as_one() {
    let body = index(&[("linux/amd64", &digest("amd64"))]);
    let sha512 = Digest::of(Algorithm::Sha512, body.as_bytes());
    let header = sha512.to_string();
    let fake = Fake::new(move |asked, _, _| match asked.method.as_str() {
        "HEAD" => Answer::status(200).header("docker-content-digest", &header),
        _ => Answer::body(&body),
    });
    let client = fake.client();
    let image = image("r.example/app");
    assert_eq!(
        client.digest(&image, &tag("1")).await.unwrap(),
        Some(sha512.clone())
    );
    client.platforms(&image, &sha512).await.unwrap();
    let other = Digest::of(Algorithm::Sha512, b"other");
    let error = client.platforms(&image, &other).await.unwrap_err();
    assert!(matches!(*error.cause, Cause::WrongDigest { .. }), "{error}");
}

/// As Quay, GHCR, Docker Hub, GitLab, Harbor and the reference server send
/// them, the last behind a proxy that speaks TLS for it.
#[tokio::test(start_paused = true)]
async fn the_next_page_is_found_however_it_is_written() {
    for link in [
        "</v2/app/tags/list?next_page=gAAAAABn&n=100>; rel=\"next\"",
        "</v2/app/tags/list?last=1&n=1000>; rel=\"next\"",
        "<https://r.example/v2/app/tags/list?last=1&n=1000>; rel=\"next\"",
        "<tags/list?last=1>; rel=next",
        "<?last=1>; rel=\"next\"",
        "<http://r.example/v2/app/tags/list?last=1>; rel=\"next\"",
    ] {
        let link = link.replace("<tags", "<../app/tags");
        let fake = Fake::new(move |asked, _, _| {
            let query = asked.url.query().unwrap_or_default();
            if query.contains("last=1") || query.contains("next_page=") {
                Answer::tags(&["2"])
            } else {
                Answer::tags(&["1"]).header("link", &*link)
            }
        });
        let tags = fake.client().tags(&image("r.example/app")).await.unwrap();
        assert_eq!(tags.len(), 2, "{:?}", fake.requests());
        assert!(
            fake.lines()
                .iter()
                .all(|line| line.starts_with("GET https://r.example/v2/app/"))
        );
    }
}

/// A host that sends all there is, whatever `n` says, and no `Link`.
#[tokio::test(start_paused = true)]
async fn a_registry_that_ignores_n_gets_one_request() {
    let all: Vec<String> = (0..5000).map(|n| format!("0.0.{n}")).collect();
    let fake = Fake::new(move |_, _, _| {
        let tags: Vec<&str> = all.iter().map(String::as_str).collect();
        Answer::tags(&tags)
    });
    let tags = fake.client().tags(&image("r.example/app")).await.unwrap();
    assert_eq!((tags.len(), fake.requests().len()), (5000, 1));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_repeats_itself_is_no_list() {
    let fake = Fake::new(|_, _, _| {
        Answer::tags(&["1", "2"]).header("link", "</v2/app/tags/list?last=2>; rel=\"next\"")
    });
    let error = refused(&fake.client()).await;
    assert!(
        error.to_string().contains("its pages repeat themselves"),
        "{error}"
    );
    // An empty page that names itself is an end.
    let fake = Fake::new(|asked, _, _| {
        let first = asked.url.query() == Some("n=1000");
        Answer::tags(if first { &["1"] } else { &[] })
            .header("link", "</v2/app/tags/list?last=2>; rel=\"next\"")
    });
    assert_eq!(
        fake.client()
            .tags(&image("r.example/app"))
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn an_artifact_has_no_platforms() {
    let config = r#"{"name":"a chart","version":"1.0.0"}"#;
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": [],
        "config": { "mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": digest(config).to_string(), "size": 1 },
    })
    .to_string();
    let of_manifest = digest(&manifest);
    let fake = Fake::new(move |_, at, _| {
        if at.contains("/blobs/") {
            Answer::body(config)
        } else {
            Answer::body(&manifest)
        }
    });
    let found = fake
        .client()
        .platforms(&image("r.example/chart"), &of_manifest)
        .await
        .unwrap();
    assert!(found.manifests.is_empty());
}

#[tokio::test]
async fn a_head_needs_no_more_than_the_digest() {
    let large = "99999999";
    for (name, value) in [("content-type", "text/html"), ("content-length", large)] {
        let fake = Fake::new(move |_, _, _| Answer::digest("index").header(name, value));
        let found = fake
            .client()
            .digest(&image("r.example/app"), &tag("1"))
            .await;
        assert_eq!(found.unwrap(), Some(digest("index")));
        assert_eq!(fake.requests().len(), 1);
    }
}
