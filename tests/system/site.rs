//! The website of `nix-oci-hashes site` in a browser.

use serde_json::{Value, json};

use crate::support::browser::{Browser, serve_files, with_browser};
use crate::support::fake::digest_of;
use crate::support::{Workspace, git};

const NEXTCLOUD: &str = "images/docker.io/nextcloud/index.html";
// Keys, as WebDriver names them (W3C WebDriver, "Keyboard actions").
const DOWN: &str = "\u{e015}";
const UP: &str = "\u{e013}";
const ENTER: &str = "\u{e007}";
const TAB: &str = "\u{e004}";
const ESCAPE: &str = "\u{e00c}";
const WAITING: &str = "images/ghcr.io/new/app/index.html";

fn pin(content: &str) -> Value {
    let platforms = json!({ "linux/amd64": digest_of(&format!("{content} amd64")) });
    json!({ "digest": digest_of(content), "platforms": platforms })
}

/// A website of three images, one of which has no pin yet. Their texts try to be markup.
fn site() -> (Workspace, String) {
    let hostile = "https://example.org/<script>window.hit=1</script>\"onmouseover=\"hit()*";
    let workspace = Workspace::tracking(
        &json!([
            { "image": "docker.io/nextcloud", "strategies": { "major": ">=33" } },
            {
                "image": "docker.io/caddy",
                "signedBy": { "issuer": "https://example.org", "identity": hostile },
            },
            { "image": "ghcr.io/new/app", "minimumAge": "3d", "tags": ["latest"] },
        ])
        .to_string(),
    );
    let long = "x".repeat(128);
    let table = |caddy: &str| {
        json!({
            "version": 1,
            "images": {
                "docker.io/caddy": {
                    "2": pin(caddy),
                    "2.11.4": pin("caddy"),
                    "__proto__": pin("caddy"),
                    long.clone(): pin("caddy"),
                },
                "docker.io/nextcloud": {
                    "33": pin("33"),
                    "33.0.9": pin("33"),
                    "34": pin("34"),
                    "34.0.4": pin("34"),
                },
            },
        })
        .to_string()
    };
    let folder = workspace.path("");
    git(&folder, &["init", "-q", "-b", "main"]);
    for caddy in ["old", "caddy"] {
        workspace.write("digests.json", table(caddy));
        git(&folder, &["add", "-A"]);
        git(&folder, &["commit", "-qm", "Refresh"]);
    }
    let title = "Pins <img src=x onerror=window.hit=1>";
    let built = workspace.run(&["site", "--output", "site", "--title", title]);
    built.code(0);
    let url = serve_files(&workspace.path("site"));
    (workspace, url)
}

async fn copied(browser: &Browser) -> String {
    let clipboard = browser.value("navigator.clipboard.readText()").await;
    clipboard.as_str().unwrap().to_owned()
}

async fn allow_clipboard(browser: &Browser) {
    let permissions = json!({
        "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]
    });
    browser
        .command("Browser.grantPermissions", permissions)
        .await;
}

/// The lines that the front page shows.
async fn lines(browser: &Browser) -> Value {
    let lines =
        "[...document.querySelectorAll('li:not([hidden]) code')].map((code) => code.textContent)";
    browser.value(lines).await
}

#[test]
fn search_finds_images_and_tags_as_one_types() {
    let (_workspace, url) = site();
    with_browser(|browser| async move {
        browser.open(&format!("{url}/index.html")).await;
        let status = browser.find("#status").await;
        let all = "Pinned images: 2, with 8 tags. Waiting for the next refresh: 1.";
        assert_eq!(status.text().await.unwrap(), all);
        let search = browser.find("#search").await;
        search.send_keys("ne").await.unwrap();
        assert_eq!(status.text().await.unwrap(), "2 of 3 images");
        search.send_keys("xt").await.unwrap();
        assert_eq!(
            lines(&browser).await,
            json!(["pin = { image = \"docker.io/nextcloud:34\"; digests = ./digests.json; };"])
        );
        // A tag, too: the line is for it, and the link leads to it.
        search.send_keys(":33").await.unwrap();
        assert_eq!(
            lines(&browser).await,
            json!(["pin = { image = \"docker.io/nextcloud:33\"; digests = ./digests.json; };"])
        );
        let link = browser.find("li:not([hidden]) a").await;
        let target = link.attr("href").await.unwrap().unwrap();
        assert_eq!(target, format!("{NEXTCLOUD}#tag-33"));
        browser.wait_for("location.search === '?q=next%3A33'").await;
        search.send_keys("5").await.unwrap();
        assert_eq!(lines(&browser).await, json!([]));
        let nothing = browser.find("#nothing").await.text().await.unwrap();
        assert!(nothing.contains("nix-oci-hashes add IMAGE"), "{nothing}");
        browser.press(ESCAPE).await;
        assert_eq!(status.text().await.unwrap(), all);

        // A link to a search.
        browser.open(&format!("{url}/index.html?q=2.11")).await;
        assert_eq!(
            lines(&browser).await,
            json!(["pin = { image = \"docker.io/caddy:2.11.4\"; digests = ./digests.json; };"])
        );
    });
}

#[test]
fn a_search_among_many_images_shows_the_best_first() {
    let workspace = Workspace::tracking("[]");
    let images = (0..100).map(|app| (format!("docker.io/org/app{app}"), json!({ "1": pin("1") })));
    let mut images: serde_json::Map<String, Value> = images.collect();
    images.insert(
        "docker.io/earlier/app77".to_owned(),
        json!({ "1": pin("1") }),
    );
    workspace.write(
        "digests.json",
        json!({ "version": 1, "images": images }).to_string(),
    );
    workspace.run(&["site", "--output", "site"]).code(0);
    let url = serve_files(&workspace.path("site"));
    with_browser(|browser| async move {
        browser.open(&format!("{url}/index.html")).await;
        let names =
            "[...document.querySelectorAll('li:not([hidden]) a')].map((a) => a.textContent)";
        let before = browser.value(names).await;
        let search = browser.find("#search").await;
        // An image of that name comes before those that begin with it.
        for (query, first, count) in [
            ("app7", "docker.io/org/app7", 12),
            ("org", "docker.io/org/app0", 100),
        ] {
            search.clear().await.unwrap();
            search.send_keys(query).await.unwrap();
            browser
                .wait_for(&format!("{names}.length === {count}"))
                .await;
            assert_eq!(browser.value(names).await[0], first);
        }
        search.clear().await.unwrap();
        search.send_keys("app55 1").await.unwrap();
        assert_eq!(browser.value(names).await, json!(["docker.io/org/app55"]));
        browser.press(ESCAPE).await;
        browser.wait_for(&format!("{names}.length === 101")).await;
        assert_eq!(browser.value(names).await, before);
    });
}

#[test]
fn a_line_is_copied_with_a_mouse() {
    let (_workspace, url) = site();
    with_browser(|browser| async move {
        allow_clipboard(&browser).await;
        browser.open(&format!("{url}/index.html")).await;
        let button = browser.find("li:has([href*=caddy]) button").await;
        button.click().await.unwrap();
        assert_eq!(
            copied(&browser).await,
            "pin = { image = \"docker.io/caddy:2\"; digests = ./digests.json; };"
        );
        assert!(button.text().await.unwrap().starts_with("Copied"));
        let flake = browser.find("#forms label:nth-of-type(2)").await;
        flake.click().await.unwrap();
        button.click().await.unwrap();
        let expected = "nix-oci-hashes.lib.ociHash { image = \"docker.io/caddy:2\"; digests = ./digests.json; }";
        assert_eq!(copied(&browser).await, expected);
        // The choice is kept.
        browser.open(&format!("{url}/index.html")).await;
        assert_eq!(lines(&browser).await[0], expected);
    });
}

#[test]
fn a_line_is_copied_with_the_keyboard_alone() {
    let (_workspace, url) = site();
    with_browser(|browser| async move {
        allow_clipboard(&browser).await;
        browser.open(&format!("{url}/index.html")).await;
        // The search is the first on the page.
        browser.press(TAB).await;
        browser.press("app").await;
        browser.press(ESCAPE).await;
        browser.press("c").await;
        // Past nextcloud, and back.
        browser.press(DOWN).await;
        browser.press(DOWN).await;
        browser.press(UP).await;
        browser.press(TAB).await;
        browser.press(ENTER).await;
        assert_eq!(
            copied(&browser).await,
            "pin = { image = \"docker.io/caddy:2\"; digests = ./digests.json; };"
        );
        browser.press(UP).await;
        browser.press("addy 2.11").await;
        browser.press(DOWN).await;
        browser.press(ENTER).await;
        let page = "/images/docker.io/caddy/index.html#tag-2.11.4";
        browser
            .wait_for(&format!("location.href.endsWith('{page}')"))
            .await;
        // The chosen tag is that of the link.
        let line = browser.find(".line code").await.text().await.unwrap();
        assert!(
            line.ends_with(
                "caddy.pin = { image = \"docker.io/caddy:2.11.4\"; digests = ./digests.json; };"
            ),
            "{line}"
        );
    });
}

#[test]
fn the_page_of_an_image_has_a_line_for_every_tag() {
    let (_workspace, url) = site();
    with_browser(|browser| async move {
        browser.open(&format!("{url}/{NEXTCLOUD}")).await;
        let lines = "[...document.querySelectorAll('.line code')].map((code) => code.textContent)";
        for tag in ["34", "33.0.9"] {
            if tag != "34" {
                let option = browser.find("#tag option:nth-child(3)").await;
                option.click().await.unwrap();
            }
            let digest = digest_of(&tag[..2]);
            let image = format!("docker.io/nextcloud:{tag}");
            let set = format!("{{ image = \"{image}\"; digests = ./digests.json; }}");
            let expected = json!([
                format!("virtualisation.oci-containers.containers.nextcloud.pin = {set};"),
                format!("nix-oci-hashes.lib.ociHash {set}"),
                format!("builtins.ociHash {set}"),
                format!("{image}@{digest}"),
            ]);
            assert_eq!(browser.value(lines).await, expected);
        }
    });
}

#[test]
fn pages_work_without_javascript() {
    let (_workspace, url) = site();
    with_browser(|browser| async move {
        let disabled = json!({ "value": true });
        browser
            .command("Emulation.setScriptExecutionDisabled", disabled)
            .await;
        browser.open(&format!("{url}/index.html")).await;
        let text = browser.find("main").await.text().await.unwrap();
        assert!(
            text.contains(
                "pin = { image = \"docker.io/nextcloud:34\"; digests = ./digests.json; };"
            ),
            "{text}"
        );
        // Nothing that would do nothing.
        assert!(!text.contains("Copy"), "{text}");
        let link = browser.find("#images a[href*=nextcloud]").await;
        link.click().await.unwrap();
        let text = browser.find("main").await.text().await.unwrap();
        let pinned = format!("docker.io/nextcloud:34@{}", digest_of("34"));
        assert!(text.contains(&pinned), "{text}");
        assert!(!text.contains("Copy"), "{text}");
        // The digest of a platform, behind a summary.
        browser.find("summary").await.click().await.unwrap();
        let text = browser.find("main").await.text().await.unwrap();
        assert!(text.contains(&digest_of("34 amd64")), "{text}");
    });
}

#[test]
fn pages_are_accessible_on_a_phone_and_in_both_themes() {
    let (_workspace, url) = site();
    with_browser(|browser| async move {
        let mut grounds = Vec::new();
        for (theme, width) in [("light", None), ("dark", Some(360))] {
            browser.set_theme(theme).await;
            browser.set_width(width).await;
            for page in [
                "index.html",
                NEXTCLOUD,
                "images/docker.io/caddy/index.html",
                WAITING,
            ] {
                browser.open(&format!("{url}/{page}")).await;
                let broken = browser.broken_rules().await;
                assert!(broken.is_empty(), "{page}, {theme}: {broken:#?}");
                let room = browser
                    .value("document.documentElement.scrollWidth - innerWidth")
                    .await;
                assert!(room.as_i64().unwrap() <= 0, "{page}: {room} px too wide");
            }
            let ground = "getComputedStyle(document.body).backgroundColor";
            grounds.push(browser.value(ground).await);
        }
        assert_ne!(grounds[0], grounds[1]);
    });
}

#[test]
fn pages_request_nothing_from_elsewhere_and_run_nothing_of_a_text() {
    let (_workspace, url) = site();
    with_browser(|browser| async move {
        for page in ["index.html", "images/docker.io/caddy/index.html", WAITING] {
            browser.open(&format!("{url}/{page}")).await;
            assert_eq!(browser.value("typeof window.hit").await, "undefined");
        }
        browser
            .open(&format!("{url}/images/docker.io/caddy/index.html"))
            .await;
        let text = browser.find("body").await.text().await.unwrap();
        assert!(text.contains("<script>window.hit=1</script>"), "{text}");
        assert!(text.contains("Pins <img src=x onerror"), "{text}");
        let console = browser.console().await;
        assert!(console.is_empty(), "{console:#?}");
        let requests = browser.requests().await;
        let elsewhere: Vec<_> = requests
            .iter()
            .filter(|request| !request.starts_with(&url) && !request.starts_with("data:"))
            .collect();
        assert!(elsewhere.is_empty() && requests.len() > 8, "{requests:#?}");
    });
}

#[test]
fn pages_work_from_a_folder() {
    let (workspace, _) = site();
    with_browser(|browser| async move {
        let page = workspace.path("site/index.html");
        browser.open(&format!("file://{}", page.display())).await;
        browser
            .find("#search")
            .await
            .send_keys("caddy")
            .await
            .unwrap();
        assert_eq!(
            lines(&browser).await,
            json!(["pin = { image = \"docker.io/caddy:2\"; digests = ./digests.json; };"])
        );
        browser.find("#images a").await.click().await.unwrap();
        let title = browser.find("h1").await.text().await.unwrap();
        assert_eq!(title, "docker.io/caddy");
        let console = browser.console().await;
        assert!(console.is_empty(), "{console:#?}");
    });
}

#[test]
fn the_feed_of_an_image_has_its_changes() {
    let (_workspace, url) = site();
    with_browser(|browser| async move {
        let folder = format!("{url}/images/docker.io/caddy");
        browser.open(&format!("{folder}/atom.xml")).await;
        let titles =
            "[...document.querySelectorAll('entry > title')].map((title) => title.textContent)";
        let titles = browser.value(titles).await;
        let short = |content: &str| digest_of(content)["sha256:".len()..][..12].to_owned();
        let moved = format!(
            "docker.io/caddy:2 moved: {} -> {}",
            short("old"),
            short("caddy")
        );
        assert_eq!(titles[0], moved);
        assert_eq!(titles.as_array().unwrap().len(), 5);
        // Every entry has an id of its own (RFC 4287, "atom:id").
        let ids = "new Set([...document.querySelectorAll('id')].map((id) => id.textContent)).size";
        assert_eq!(browser.value(ids).await, 6);
    });
}
