//! Registries that misbehave. A refresh reports the error, exits with code 2, and keeps
//! the old pins.
use crate::support::fake::{Fake, digest_of, free_address, index, two_platform_index};
use crate::support::server::FakeResponse;
use crate::support::{Outcome, Workspace};
use serde_json::json;

/// Asserts that a refresh reports `message` for the image, and keeps its pin.
fn assert_refresh_fails(fake: &Fake, message: &str) -> Outcome {
    let workspace = fake.workspace();
    let outcome = refresh(&workspace).code(2);
    assert!(outcome.stdout.contains("failed"), "{outcome:#?}");
    assert!(outcome.stdout.contains(message), "{outcome:#?}");
    assert_eq!(outcome.stderr, "", "{outcome:#?}");
    let end = "digests.json is up to date\n";
    assert!(outcome.stdout.ends_with(end), "{outcome:#?}");
    assert_eq!(workspace.read("digests.json"), fake.old_table());
    outcome
}

fn refresh(workspace: &Workspace) -> Outcome {
    workspace.run(&["refresh", "--retries", "0"])
}

#[test]
fn not_listening() {
    let free = free_address();
    let workspace = Workspace::tracking(&json!([{ "image": format!("{free}/app") }]).to_string());
    let old = json!({ "version": 1, "images": { format!("{free}/app"): {} } }).to_string();
    workspace.write("digests.json", &old);
    let outcome = refresh(&workspace).code(2);
    let message = format!("cannot reach {free}: connection refused; check the network");
    assert!(outcome.stdout.contains(&message), "{outcome:#?}");
}

#[test]
fn no_such_image() {
    let fake = Fake::start();
    assert_refresh_fails(&fake, "the registry has no image");
}

#[test]
fn no_such_platform() {
    let fake = Fake::start();
    let body = index(&[("windows", "amd64")]);
    fake.serve(&body);
    assert_refresh_fails(
        &fake,
        "1: it is for windows/amd64, and for none of the platforms in images.json",
    );
}

#[test]
fn a_body_that_does_not_match_its_digest() {
    let fake = Fake::start();
    let promised = digest_of("promised");
    fake.tags(&["1"]);
    fake.head("1", &promised);
    fake.manifest(&promised, &two_platform_index());
    let got = digest_of(&two_platform_index());
    let message = format!("@{promised} whose digest is {got}; nothing of it is used");
    assert_refresh_fails(&fake, &message);
}

#[test]
fn a_web_page_is_not_json() {
    let html = || FakeResponse::status(200).with_body("text/html", "<html>log in</html>");
    let fake = Fake::start();
    fake.answer("GET", "tags/list", html());
    assert_refresh_fails(&fake, "a tag list of");

    let fake = Fake::start();
    let digest = digest_of("<html>log in</html>");
    fake.tags(&["1"]);
    fake.head("1", &digest);
    fake.answer("GET", &format!("manifests/{digest}"), html());
    assert_refresh_fails(&fake, "it is a web page; is this a registry?");
}

#[test]
fn bodies_that_are_no_manifest() {
    for body in [
        "",
        "[]",
        "{}",
        "null",
        "{\"schemaVersion\":1,\"fsLayers\":[]}",
        "\u{1b}[2J",
    ] {
        let fake = Fake::start();
        fake.serve(body);
        let outcome =
            assert_refresh_fails(&fake, "it is neither an image index nor an image manifest");
        assert!(!outcome.stdout.contains('\u{1b}'));
    }
}

#[test]
fn error_statuses_are_reported() {
    for (status, message) in [
        (403, "gives no access"),
        (401, "gives no access"),
        (429, "answers 429 Too Many Requests"),
        (500, "answers 500 Internal Server Error"),
    ] {
        let fake = Fake::start();
        fake.answer("GET", "tags/list", FakeResponse::status(status));
        assert_refresh_fails(&fake, message);

        let fake = Fake::start();
        fake.tags(&["1"]);
        for verb in ["HEAD", "GET"] {
            fake.answer(verb, "manifests/1", FakeResponse::status(status));
        }
        assert_refresh_fails(&fake, message);
    }
}

#[test]
fn an_oversized_manifest_is_refused() {
    let fake = Fake::start();
    let body = " ".repeat((4 << 20) + 1);
    fake.serve(&body);
    assert_refresh_fails(&fake, "larger than 4194304 bytes");
}

#[test]
fn a_bad_digest_header_is_followed_by_a_get() {
    let fake = Fake::start();
    fake.tags(&["1"]);
    fake.head("1", "sha256:short");
    fake.manifest("1", &two_platform_index());
    let workspace = fake.workspace();
    refresh(&workspace).code(0);
    let pin = workspace.table()["images"][fake.image()]["1"].clone();
    assert_eq!(pin["digest"], json!(digest_of(&two_platform_index())));
}

#[test]
fn an_unreachable_registry_does_not_affect_another() {
    let fake = Fake::start();
    fake.serve(&two_platform_index());
    let workspace = fake.workspace();
    let free = free_address();
    let images = json!([{ "image": format!("{free}/down") }, { "image": fake.image() }]);
    workspace.write("images.json", images.to_string());
    refresh(&workspace).code(2);
    let table = workspace.table();
    assert_eq!(
        table["images"][fake.image()]["1"]["digest"],
        json!(digest_of(&two_platform_index()))
    );
    assert_eq!(table["images"][format!("{free}/down")], json!({}));
}

#[test]
fn a_tag_that_is_gone_keeps_its_pin() {
    let fake = Fake::start();
    fake.tags(&[]);
    let workspace = fake.workspace();
    let outcome = refresh(&workspace).code(0);
    assert!(
        outcome
            .stdout
            .contains("no longer in the registry; its pin is kept"),
        "{outcome:#?}"
    );
    assert_eq!(workspace.read("digests.json"), fake.old_table());
}

#[test]
fn a_literal_tag_that_is_not_there_is_reported() {
    let fake = Fake::start();
    fake.tags(&["1"]);
    fake.head("1", &digest_of("old"));
    let workspace = fake.workspace();
    let entry = json!([{ "image": fake.image(), "tags": ["latets"] }]);
    workspace.write("images.json", entry.to_string());
    let outcome = refresh(&workspace).code(2);
    let message = "latets: the registry has no such tag; check 'tags' in images.json";
    assert!(outcome.stdout.contains(message), "{outcome:#?}");
}

#[test]
fn attestations_are_no_platforms_and_missing_platforms_are_left_out() {
    let fake = Fake::start();
    let body = index(&[("linux", "amd64"), ("windows", "amd64")]);
    fake.serve(&body);
    let workspace = fake.workspace();
    refresh(&workspace).code(0);
    assert_eq!(
        workspace.table()["images"][fake.image()]["1"],
        json!({ "digest": digest_of(&body), "platforms": { "linux/amd64": digest_of("amd64") } })
    );
}

#[test]
fn a_head_without_a_digest_is_followed_by_a_get() {
    let fake = Fake::start();
    fake.tags(&["1"]);
    fake.answer("HEAD", "manifests/1", FakeResponse::status(200));
    fake.manifest("1", &two_platform_index());
    fake.manifest(&digest_of(&two_platform_index()), &two_platform_index());
    let workspace = fake.workspace();
    refresh(&workspace).code(0);
    let table = workspace.table();
    assert_eq!(
        table["images"][fake.image()]["1"]["digest"],
        json!(digest_of(&two_platform_index()))
    );
}

/// Serves the page after the tag `last`, or without `last` the page for all other requests.
fn page(fake: &Fake, last: Option<&str>, tags: &[&str], link: Option<String>) {
    let mut answer = FakeResponse::json(&json!({ "name": "app", "tags": tags }));
    if let Some(link) = link {
        answer = answer.with_header("link", &link);
    }
    let last = last.map(|last| format!("last={last}"));
    fake.rule(move |request| {
        let is_list = request.path == "/v2/app/tags/list";
        let is_page = last
            .as_ref()
            .is_none_or(|last| request.query.split('&').any(|part| part == last));
        (is_list && is_page).then(|| answer.clone())
    });
}

#[test]
fn every_page_of_a_tag_list_is_read() {
    let fake = Fake::start();
    let next = |last: &str| Some(format!("</v2/app/tags/list?n=2&last={last}>; rel=\"next\""));
    page(&fake, Some("2"), &["3", "4"], next("4"));
    page(&fake, Some("4"), &["5"], None);
    page(&fake, None, &["1", "2"], next("2"));
    for tag in ["1", "2", "3", "4", "5"] {
        fake.head(tag, &digest_of(&two_platform_index()));
    }
    fake.manifest(&digest_of(&two_platform_index()), &two_platform_index());
    let workspace = fake.workspace();
    refresh(&workspace).code(0);
    let table = workspace.table();
    let tags: Vec<&String> = table["images"][fake.image()]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert_eq!(tags, ["1", "3", "4", "5"]);
}

#[test]
fn a_full_page_without_a_link_continues_after_its_last_tag() {
    let fake = Fake::start();
    let full: Vec<String> = (0..1000).map(|n| format!("0.0.{n}")).collect();
    let full: Vec<&str> = full.iter().map(String::as_str).collect();
    page(&fake, Some("0.0.999"), &["9"], None);
    page(&fake, None, &full, None);
    for tag in ["9", "1", "0.0.997", "0.0.998", "0.0.999"] {
        fake.head(tag, &digest_of(&two_platform_index()));
    }
    fake.manifest(&digest_of(&two_platform_index()), &two_platform_index());
    let workspace = fake.workspace();
    refresh(&workspace).code(0);
    assert!(workspace.table()["images"][fake.image()]["9"].is_object());
}

#[test]
fn pages_that_repeat_themselves_are_an_error() {
    let fake = Fake::start();
    let round = Some("</v2/app/tags/list?last=1>; rel=\"next\"".to_owned());
    page(&fake, None, &["1"], round);
    assert_refresh_fails(&fake, "its pages repeat themselves");
    assert_eq!(fake.requests().len(), 2);
}

#[test]
fn a_page_without_valid_tags_is_not_the_last() {
    let fake = Fake::start();
    let next = |last: &str| Some(format!("</v2/app/tags/list?last={last}>; rel=\"next\""));
    page(&fake, Some("a"), &["no tag"], next("b"));
    page(&fake, Some("b"), &["1"], None);
    page(&fake, None, &[], next("a"));
    fake.head("1", &digest_of(&two_platform_index()));
    fake.manifest(&digest_of(&two_platform_index()), &two_platform_index());
    let workspace = fake.workspace();
    refresh(&workspace).code(0);
    let table = workspace.table();
    assert_eq!(
        table["images"][fake.image()]["1"]["digest"],
        json!(digest_of(&two_platform_index()))
    );
}

#[test]
fn an_error_body_with_status_200_is_not_an_empty_list() {
    let fake = Fake::start();
    let body = json!({ "errors": [{ "code": "TOOMANYREQUESTS" }] });
    let answer = FakeResponse::json(&body);
    fake.answer("GET", "tags/list", answer);
    assert_refresh_fails(&fake, "it is not a list of tags");
}

#[test]
fn a_listed_tag_without_a_manifest_is_not_a_failure() {
    let fake = Fake::start();
    fake.tags(&["1", "2"]);
    fake.head("1", &digest_of("old"));
    let workspace = fake.workspace();
    let outcome = refresh(&workspace).code(0);
    let line = format!("gone  {}:2  no longer in the registry\n", fake.image());
    assert!(outcome.stdout.contains(&line), "{outcome:#?}");
    assert_eq!(workspace.read("digests.json"), fake.old_table());
}

#[test]
fn a_platform_that_no_index_has_is_reported() {
    let fake = Fake::start();
    let body = index(&[("linux", "amd64")]);
    fake.serve(&body);
    let outcome = refresh(&fake.workspace()).code(0);
    let line = "1 of its pins lack linux/arm64; 'refresh --all' requests it again";
    assert!(outcome.stdout.contains(line), "{outcome:#?}");
}

#[test]
fn a_pin_is_removed_with_its_last_platform() {
    let fake = Fake::start();
    fake.tags(&[]);
    let workspace = fake.workspace();
    let entry = json!([{ "image": fake.image(), "platforms": ["linux/arm64"] }]);
    workspace.write("images.json", entry.to_string());
    let outcome = refresh(&workspace).code(0);
    assert!(outcome.stdout.starts_with("removed"), "{outcome:#?}");
    assert_eq!(workspace.table()["images"][fake.image()], json!({}));
}

#[test]
fn a_pin_gets_the_platforms_that_replace_its_own() {
    let fake = Fake::start();
    let tags = ["1.0.0", "1.0.1"];
    fake.tags(&tags);
    for tag in tags {
        fake.head(tag, &digest_of(&two_platform_index()));
    }
    fake.manifest(&digest_of(&two_platform_index()), &two_platform_index());
    let entry = |platform: &str, keep: u8| {
        json!([{ "image": fake.image(), "platforms": [platform], "keep": keep }]).to_string()
    };
    let workspace = Workspace::tracking(&entry("linux/amd64", 2));
    refresh(&workspace).code(0);
    let before = workspace.read("digests.json");
    workspace.write("images.json", entry("linux/arm64", 1));
    // If the registry is unreachable, no pin is lost.
    let down = free_address().to_string();
    let elsewhere = |text: String| text.replace(&fake.address.to_string(), &down);
    workspace.write("images.json", elsewhere(workspace.read("images.json")));
    workspace.write("digests.json", elsewhere(before.clone()));
    refresh(&workspace).code(2);
    assert_eq!(workspace.read("digests.json"), elsewhere(before.clone()));

    workspace.write("images.json", entry("linux/arm64", 1));
    workspace.write("digests.json", before);
    refresh(&workspace).code(0);
    for tag in tags {
        let pin = workspace.table()["images"][fake.image()][tag].clone();
        assert_eq!(
            pin["platforms"],
            json!({ "linux/arm64": digest_of("arm64") })
        );
    }
}

#[test]
fn a_full_version_without_a_platform_costs_no_request() {
    let fake = Fake::start();
    fake.tags(&["1.0.0", "1.0.1"]);
    let old = index(&[("linux", "amd64")]);
    for (tag, body) in [("1.0.0", &old), ("1.0.1", &two_platform_index())] {
        fake.head(tag, &digest_of(body));
        fake.manifest(&digest_of(body), body);
    }
    let entry = |keep: u8| json!([{ "image": fake.image(), "keep": keep }]).to_string();
    let workspace = Workspace::tracking(&entry(2));
    refresh(&workspace).code(0);
    workspace.write("images.json", entry(1));
    let before = fake.requests().len();
    refresh(&workspace).code(0);
    // The tag list, and a HEAD for 1.0.1.
    assert_eq!(fake.requests().len(), before + 2);
}

#[test]
fn a_new_platform_reaches_full_versions_outside_the_window() {
    let fake = Fake::start();
    let tags = ["1.0.0", "1.0.1", "1.0.2"];
    fake.tags(&tags);
    for tag in tags {
        fake.head(tag, &digest_of(&two_platform_index()));
    }
    fake.manifest(&digest_of(&two_platform_index()), &two_platform_index());
    let entry = |platforms: &[&str], keep: u8| {
        json!([{ "image": fake.image(), "platforms": platforms, "keep": keep }]).to_string()
    };
    let workspace = Workspace::tracking(&entry(&["linux/amd64"], 3));
    refresh(&workspace).code(0);
    workspace.write("images.json", entry(&["linux/amd64", "linux/arm64"], 1));
    let outcome = refresh(&workspace).code(0);
    assert!(outcome.stdout.contains("platforms  "), "{outcome:#?}");
    assert!(outcome.stdout.contains("+linux/arm64\n"), "{outcome:#?}");
    for tag in tags {
        let pin = workspace.table()["images"][fake.image()][tag].clone();
        assert_eq!(pin["platforms"].as_object().unwrap().len(), 2, "{tag}");
    }
}

#[test]
fn a_page_on_another_host_is_not_followed() {
    let fake = Fake::start();
    let other = Fake::start();
    let link = format!(
        "<http://localhost:{}/v2/app/tags/list?last=1>; rel=\"next\"",
        other.address.port()
    );
    page(&fake, None, &["1"], Some(link));
    assert_refresh_fails(&fake, "on another server, and is not followed");
    assert!(other.requests().is_empty());
}

#[test]
fn hostile_tags_reach_neither_the_table_nor_any_report() {
    let fake = Fake::start();
    fake.tags(&[
        "../../../etc/passwd",
        "\u{1b}]0;owned\u{7}",
        "9\n",
        "a b",
        "..",
        "1",
    ]);
    fake.head("1", &digest_of("old"));
    let workspace = fake.workspace();
    let outcome = refresh(&workspace).code(0);
    let line = "0 added, 0 moved, 0 removed, 1 kept: digests.json is up to date\n";
    assert_eq!(outcome.stdout, line);
    // Neither do the other forms of the report, even with a reason for every tag.
    let report = ["refresh", "--verbose", "--summary", "summary.md"];
    let json = [&report[..], &["--json"]].concat();
    for arguments in [&report[..], &json] {
        let outcome = workspace.run(arguments).code(0);
        let texts = [outcome.stdout, workspace.read("summary.md")];
        for hostile in ["passwd", "owned", "\u{1b}", "\\u001b", "a b", "\u{7}"] {
            assert!(
                texts.iter().all(|text| !text.contains(hostile)),
                "{hostile:?} {texts:?}"
            );
        }
    }
    let table = workspace.table();
    assert_eq!(table["images"][fake.image()].as_object().unwrap().len(), 1);
}

#[test]
fn a_bearer_token_is_fetched_after_a_challenge() {
    let fake = Fake::start();
    let challenge = format!(
        "Bearer realm=\"http://{}/token\",service=\"fake\"",
        fake.address
    );
    fake.rule(|request| {
        let is_token = request.path == "/token";
        let has_scope = request.query.contains("scope=repository%3Aapp%3Apull");
        (is_token && has_scope).then(|| FakeResponse::json(&json!({ "token": "let-me-in" })))
    });
    fake.rule(move |request| {
        let is_allowed = request.authorization.as_deref() == Some("Bearer let-me-in");
        (!is_allowed).then(|| FakeResponse::status(401).with_header("www-authenticate", &challenge))
    });
    fake.serve(&two_platform_index());
    let workspace = fake.workspace();
    refresh(&workspace).code(0);
    assert_eq!(
        workspace.table()["images"][fake.image()]["1"]["digest"],
        json!(digest_of(&two_platform_index()))
    );
    let tokens = fake.requests();
    let tokens = tokens.iter().filter(|request| request.path == "/token");
    assert_eq!(tokens.count(), 1);
}

#[test]
fn a_pin_to_the_digest_of_a_platform_is_verified_and_not_re_pushed() {
    let fake = Fake::start();
    fake.tags(&["1.0.0"]);
    fake.head("1.0.0", &digest_of(&two_platform_index()));
    fake.manifest(&digest_of(&two_platform_index()), &two_platform_index());
    let workspace = fake.workspace();
    let written = json!({ "version": 1, "images": { fake.image(): { "1.0.0": { "digest": digest_of("amd64") } } } });
    workspace.write("digests.json", written.to_string());
    let outcome = refresh(&workspace).code(0);
    assert!(outcome.stdout.starts_with("verified  "), "{outcome:#?}");
}

#[test]
fn an_image_with_one_platform_costs_one_probe_a_run() {
    let fake = Fake::start();
    let tags = ["1.0.0", "1.0.1", "1.0.2", "1.0.3"];
    fake.tags(&tags);
    for tag in tags {
        let body = format!("{} ", index(&[("linux", "amd64")]))
            + &" ".repeat(tag.len() + usize::from(tag.ends_with('2')));
        fake.head(tag, &digest_of(&body));
        fake.manifest(&digest_of(&body), &body);
    }
    let workspace = Workspace::tracking(&json!([{ "image": fake.image() }]).to_string());
    refresh(&workspace).code(0);
    let before = fake.requests().len();
    let outcome = refresh(&workspace).code(0);
    assert!(
        outcome.stdout.contains("3 of its pins lack linux/arm64"),
        "{outcome:#?}"
    );
    // The tag list, three HEADs, and one probe for arm64.
    assert_eq!(fake.requests().len(), before + 5);
}

#[test]
fn the_report_names_a_platform_that_a_tag_has_lost() {
    let fake = Fake::start();
    fake.serve(&index(&[("linux", "amd64")]));
    let workspace = fake.workspace();
    let old = workspace.read("digests.json").replace(
        "\"linux/amd64\"",
        &format!(
            "\"linux/arm64\": \"{}\", \"linux/amd64\"",
            digest_of("arm64")
        ),
    );
    workspace.write("digests.json", old);
    let outcome = refresh(&workspace).code(0);
    assert!(
        outcome.stdout.contains(", no longer for linux/arm64"),
        "{outcome:#?}"
    );
}

#[test]
fn an_interrupted_backfill_is_retried_on_the_next_run() {
    interrupted_backfill(None);
}

#[test]
fn an_interrupted_backfill_is_retried_when_there_is_a_new_release() {
    interrupted_backfill(Some("1.0.4"));
}

/// A platform is added to images.json while the registry cannot send a manifest. The
/// next run, which may find the tag `new`, adds the missing platform. A tag that has been
/// deleted is not a failure.
fn interrupted_backfill(new: Option<&str>) {
    let fake = Fake::start();
    let tags = ["1.0.0", "1.0.1", "1.0.2", "1.0.3"];
    fake.tags(&tags);
    let body = |tag: &str| {
        format!(
            "{}{}",
            two_platform_index(),
            " ".repeat(usize::from(tag.as_bytes()[4] - b'0'))
        )
    };
    for tag in tags {
        fake.head(tag, &digest_of(&body(tag)));
        fake.manifest(&digest_of(&body(tag)), &body(tag));
    }
    let entry = |platforms: &[&str]| {
        json!([{ "image": fake.image(), "platforms": platforms, "keep": 4 }]).to_string()
    };
    let workspace = Workspace::tracking(&entry(&["linux/amd64"]));
    refresh(&workspace).code(0);

    let half = Fake::start();
    half.tags(&["1.0.1", "1.0.2", "1.0.3"]);
    for tag in tags {
        half.head(tag, &digest_of(&body(tag)));
        match tag {
            "1.0.0" => {}
            "1.0.1" => {
                let broken = FakeResponse::status(500);
                let at = format!("manifests/{}", digest_of(&body(tag)));
                half.answer("GET", &at, broken);
            }
            _ => half.manifest(&digest_of(&body(tag)), &body(tag)),
        }
    }
    // The same files, with the image at the other registry.
    let move_image = |images: String, from: &Fake, to: &Fake| {
        let moved = |text: String| text.replace(&from.image(), &to.image());
        workspace.write("images.json", moved(images));
        workspace.write("digests.json", moved(workspace.read("digests.json")));
    };
    move_image(entry(&["linux/amd64", "linux/arm64"]), &fake, &half);
    let outcome = refresh(&workspace).code(2);
    assert!(
        outcome.stdout.contains("1.0.1: the registry answers 500"),
        "{outcome:#?}"
    );

    let whole = Fake::start();
    let tags: Vec<&str> = tags.into_iter().chain(new).collect();
    whole.tags(&tags);
    for tag in &tags {
        whole.head(tag, &digest_of(&body(tag)));
        whole.manifest(&digest_of(&body(tag)), &body(tag));
    }
    move_image(workspace.read("images.json"), &half, &whole);
    refresh(&workspace).code(0);
    for tag in tags {
        let pin = workspace.table()["images"][whole.image()][tag].clone();
        assert_eq!(pin["platforms"].as_object().unwrap().len(), 2, "{tag}");
    }
    // A tag that was deleted with its manifest keeps its pin, and is not a failure.
    let images = entry(&["linux/amd64", "linux/s390x"]).replace(&fake.image(), &whole.image());
    move_image(images, &whole, &half);
    let outcome = refresh(&workspace).code(0);
    assert!(
        outcome.stdout.contains("1.0.0  no longer in the registry"),
        "{outcome:#?}"
    );
}
