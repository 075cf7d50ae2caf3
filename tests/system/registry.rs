//! Refreshes from a real registry, and lookups of the result in a real Nix.
use std::sync::{Arc, Mutex};

use crate::support::certificate::Certificate;
use crate::support::fake::{INDEX, digest_of, two_platform_index};
use crate::support::nix::Nix;
use crate::support::registry::{Registry, USER};
use crate::support::server::{FakeResponse, serve_over_tls};
use crate::support::{Outcome, Workspace};
use serde_json::json;

const BOTH: &[&str] = &["linux/amd64", "linux/arm64/v8"];

#[test]
fn pins_become_answers_and_follow_a_tag_that_moves() {
    let registry = Registry::start();
    let image = format!("{}/demo/app", registry.address);
    let mut digests = std::collections::BTreeMap::new();
    for tag in ["1", "1.4", "1.4.1", "1.4.2", "1.5.0-rc1", "latest"] {
        let text = if ["1.4.1", "1.5.0-rc1"].contains(&tag) {
            tag
        } else {
            "1.4.2"
        };
        digests.insert(tag, registry.push("demo/app", tag, text, BOTH));
    }
    let workspace =
        Workspace::tracking(&json!([{ "image": image, "tags": ["latest"] }]).to_string());

    let outcome = workspace.run(&["refresh"]).code(0);
    assert!(
        outcome
            .stdout
            .ends_with("5 added, 0 moved, 0 removed, 0 kept: digests.json written\n"),
        "{outcome:#?}"
    );
    let table = workspace.table();
    let pins = table["images"][&image].as_object().unwrap();
    let tags: Vec<&String> = pins.keys().collect();
    assert_eq!(tags.len(), 5, "a prerelease is not taken: {tags:?}");
    for (tag, pin) in pins {
        assert_eq!(pin["digest"], json!(digests[tag.as_str()]), "{tag}");
        assert_eq!(pin["platforms"].as_object().unwrap().len(), 2, "{tag}");
    }

    let nix = Nix::with_plugin();
    let ask = |argument: &str| {
        let digests = workspace.path("digests.json");
        nix.value(&format!(
            "builtins.ociHash {{ image = \"{image}\"; digests = {}; {argument} }}",
            digests.display()
        ))
    };
    assert_eq!(
        ask("version = \"1\";"),
        json!(format!("{image}:1@{}", digests["1"]))
    );
    let arm64 = pins["1"]["platforms"]["linux/arm64"].as_str().unwrap();
    assert_eq!(
        ask("version = \"1\"; platform = \"aarch64-linux\";"),
        json!(format!("{image}:1@{arm64}"))
    );

    let moved = registry.push("demo/app", "1", "1.4.3", BOTH);
    let repushed = registry.push("demo/app", "1.4.2", "1.4.2 again", BOTH);
    let outcome = workspace.run(&["refresh", "--check"]).code(3);
    assert!(outcome.stdout.contains("moved"), "{outcome:#?}");
    let outcome = workspace.run(&["refresh"]).code(0);
    let short = |digest: &str| digest["sha256:".len()..][..12].to_owned();
    for line in [
        format!(
            "moved      {image}:1      {} -> {}, 1 of 1 layers differ (10 kB)\n",
            short(&digests["1"]),
            short(&moved)
        ),
        format!(
            "re-pushed  {image}:1.4.2  {} -> {}, though it is a full version, 1 of 1 layers differ (10 kB)\n",
            short(&digests["1.4.2"]),
            short(&repushed)
        ),
    ] {
        assert!(outcome.stdout.contains(&line), "{outcome:#?}");
    }
    assert_eq!(ask("version = \"1\";"), json!(format!("{image}:1@{moved}")));
    assert_eq!(
        ask("version = \"^1\"; platform = \"x86_64-linux\";"),
        json!(format!(
            "{image}:1.4.2@{}",
            workspace.table()["images"][&image]["1.4.2"]["platforms"]["linux/amd64"]
                .as_str()
                .unwrap()
        ))
    );
}

#[test]
fn a_refresh_without_changes_costs_one_listing_and_one_head_a_tag() {
    let registry = Registry::start();
    for tag in ["1", "1.0", "1.0.0"] {
        registry.push("demo/app", tag, "same", BOTH);
    }
    registry.push("demo/one", "2.0.0", "one", &["single", "linux/amd64"]);
    let image = |name: &str| json!({ "image": format!("{}/demo/{name}", registry.address) });
    let workspace = Workspace::tracking(&json!([image("app"), image("one")]).to_string());

    workspace.run(&["refresh"]).code(0);
    let first = registry.requests();
    let count = |requests: &[String], start: &str| {
        requests
            .iter()
            .filter(|request| request.starts_with(start))
            .count()
    };
    assert_eq!(count(&first, "HEAD "), 4, "{first:?}");
    // The three tags share an index; the single image has a configuration too.
    assert_eq!(
        count(&first, "GET /v2/demo/app/manifests/sha256:"),
        1,
        "{first:?}"
    );
    assert_eq!(count(&first, "GET /v2/demo/one/"), 3, "{first:?}");
    assert_eq!(first.len(), 4 + 2 + 1 + 2, "{first:?}");

    let table = workspace.read("digests.json");
    let outcome = workspace.run(&["refresh"]).code(0);
    assert_eq!(
        outcome.stdout,
        "0 added, 0 moved, 0 removed, 4 kept: digests.json is up to date\n"
    );
    let mut second = registry.requests().split_off(first.len());
    second.sort();
    assert_eq!(
        second,
        [
            "GET /v2/demo/app/tags/list?n=1000",
            "GET /v2/demo/one/tags/list?n=1000",
            "HEAD /v2/demo/app/manifests/1",
            "HEAD /v2/demo/app/manifests/1.0",
            "HEAD /v2/demo/app/manifests/1.0.0",
            "HEAD /v2/demo/one/manifests/2.0.0",
        ]
    );
    assert_eq!(workspace.read("digests.json"), table);
}

#[test]
fn a_single_manifest_gives_tag_and_platform_the_same_digest() {
    let registry = Registry::start();
    let digest = registry.push("demo/one", "2.0.0", "one", &["single", "linux/arm/v7"]);
    let image = format!("{}/demo/one", registry.address);
    let workspace = Workspace::tracking(
        &json!([{ "image": image, "platforms": ["armv7l-linux", "linux/amd64"] }]).to_string(),
    );
    workspace.run(&["refresh"]).code(0);
    assert_eq!(
        workspace.table()["images"][&image]["2.0.0"],
        json!({ "digest": digest, "platforms": { "linux/arm/v7": digest } })
    );
}

#[test]
fn a_removed_image_leaves_the_table_and_published_pins_stay() {
    let registry = Registry::start();
    for tag in ["1.0.0", "1.0.1", "1.0.2"] {
        registry.push("demo/app", tag, tag, BOTH);
    }
    registry.push("demo/other", "1", "other", BOTH);
    let app = format!("{}/demo/app", registry.address);
    let other = format!("{}/demo/other", registry.address);
    let workspace = Workspace::tracking(&json!([{ "image": app }, { "image": other }]).to_string());
    workspace.run(&["refresh"]).code(0);
    let before = workspace.table();

    let entry = json!({ "image": app, "keep": 1, "platforms": ["linux/arm64"] });
    workspace.write("images.json", json!([entry]).to_string());
    let outcome = workspace.run(&["refresh"]).code(0);
    assert!(
        outcome.stdout.contains(&format!("removed    {other}:1 "))
            && outcome.stdout.contains(&format!("platforms  {app}:1.0.0 "))
            && outcome.stdout.contains("  -linux/amd64\n"),
        "{outcome:#?}"
    );
    let after = workspace.table();
    assert_eq!(after["images"].as_object().unwrap().len(), 1);
    for tag in ["1.0.0", "1.0.1", "1.0.2"] {
        let (before, after) = (&before["images"][&app][tag], &after["images"][&app][tag]);
        assert_eq!(before["digest"], after["digest"]);
        assert_eq!(
            after["platforms"],
            json!({ "linux/arm64": before["platforms"]["linux/arm64"] })
        );
    }
}

#[test]
fn a_pin_without_platforms_is_verified() {
    let registry = Registry::start();
    let digest = registry.push("demo/app", "1.0.0", "x", BOTH);
    let image = format!("{}/demo/app", registry.address);
    let entry = json!({ "image": image, "strategies": {} });
    let workspace = Workspace::tracking(&json!([entry]).to_string());
    let table = json!({ "version": 1, "images": { &image: { "1.0.0": { "digest": digest } } } });
    workspace.write("digests.json", table.to_string());
    let outcome = workspace.run(&["refresh"]).code(0);
    assert!(outcome.stdout.starts_with("verified "), "{outcome:#?}");
    let pin = &workspace.table()["images"][&image]["1.0.0"];
    assert_eq!(pin["digest"], json!(digest));
    assert_eq!(pin["platforms"].as_object().unwrap().len(), 2);
}

/// A file of credentials, as docker writes it.
fn login(workspace: &Workspace, registry: &str) {
    use base64::Engine as _;
    let (user, password) = USER;
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    let config = json!({ "auths": { registry: { "auth": auth } } });
    std::fs::create_dir_all(workspace.path("docker")).unwrap();
    workspace.write("docker/config.json", config.to_string());
}

#[test]
fn tls_by_a_private_authority_and_a_password() {
    let open = Registry::start();
    let digest = open.push("demo/app", "1.0.0", "x", BOTH);
    let (guarded, authority) = open.guarded();
    let image = format!("{}/demo/app", guarded.address);
    let workspace = Workspace::tracking(&json!([{ "image": image }]).to_string());
    login(&workspace, &guarded.address);
    let docker = workspace.path("docker");
    let refresh = || workspace.command(&["refresh", "--retries", "0"]);

    let outcome = Outcome::of(&mut refresh()).code(2);
    let message = "invalid peer certificate: UnknownIssuer; if it is right, name the file of its certificate authority in NIX_SSL_CERT_FILE";
    assert!(outcome.stdout.contains(message), "{outcome:#?}");

    let outcome = Outcome::of(refresh().env("SSL_CERT_FILE", &authority)).code(2);
    assert!(
        outcome
            .stdout
            .contains("it wants a user name and a password"),
        "{outcome:#?}"
    );
    assert!(
        outcome
            .stdout
            .contains("log in with 'docker login' or 'podman login'"),
        "{outcome:#?}"
    );

    for variable in ["SSL_CERT_FILE", "NIX_SSL_CERT_FILE"] {
        let _ = std::fs::remove_file(workspace.path("digests.json"));
        let mut refresh = refresh();
        refresh
            .env(variable, &authority)
            .env("DOCKER_CONFIG", &docker);
        Outcome::of(&mut refresh).code(0);
        assert_eq!(
            workspace.table()["images"][&image]["1.0.0"]["digest"],
            json!(digest)
        );
    }

    // A wrong password is an error that does not repeat it.
    let config = workspace.read("docker/config.json");
    let wrong =
        json!({ "auths": { &guarded.address: { "username": "me", "password": "wrong-one" } } });
    workspace.write("docker/config.json", wrong.to_string());
    let mut refresh = refresh();
    let outcome = Outcome::of(
        refresh
            .env("SSL_CERT_FILE", &authority)
            .env("DOCKER_CONFIG", &docker),
    )
    .code(2);
    assert!(
        outcome.stdout.contains("your stored login was refused"),
        "{outcome:#?}"
    );
    assert!(
        !format!("{outcome:?}").contains("wrong-one"),
        "{outcome:#?}"
    );

    // Credentials from podman's file, and from a helper.
    let mut resolve = workspace.command(&["resolve", &format!("{image}:1.0.0")]);
    workspace.write("auth.json", config);
    resolve
        .env("SSL_CERT_FILE", &authority)
        .env("REGISTRY_AUTH_FILE", workspace.path("auth.json"));
    let pinned = format!("{image}:1.0.0@{digest}\n");
    assert_eq!(Outcome::of(&mut resolve).code(0).stdout, pinned);
    let helper = workspace.path("docker-credential-test");
    let (user, password) = USER;
    let script = format!(
        "#!/bin/sh\nread server\n[ \"$server\" = {} ] && echo '{{\"Username\":\"{user}\",\"Secret\":\"{password}\"}}'\n",
        guarded.address
    );
    workspace.write("docker-credential-test", script);
    std::fs::set_permissions(&helper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    workspace.write(
        "auth.json",
        json!({ "credHelpers": { &guarded.address: "test" } }).to_string(),
    );
    let path = format!(
        "{}:{}",
        workspace.path("").display(),
        std::env::var("PATH").unwrap()
    );
    assert_eq!(
        Outcome::of(resolve.env("PATH", path)).code(0).stdout,
        pinned
    );

    // A file that is not there.
    resolve.env("REGISTRY_AUTH_FILE", workspace.path("typo.json"));
    let outcome = Outcome::of(&mut resolve).code(1);
    assert!(
        outcome.stderr.contains("REGISTRY_AUTH_FILE names "),
        "{outcome:#?}"
    );
    assert!(
        outcome.stderr.contains("typo.json: No such file"),
        "{outcome:#?}"
    );
}

#[test]
fn a_proxy_from_the_environment_is_used_except_for_loopback() {
    let registry = Registry::start();
    registry.push("demo/app", "1.0.0", "x", BOTH);
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let workspace = Workspace::tracking(
        &json!([{ "image": format!("{}/demo/app", registry.address) }]).to_string(),
    );
    let mut refresh = workspace.command(&["refresh"]);
    Outcome::of(
        refresh
            .env("HTTPS_PROXY", &address)
            .env("HTTP_PROXY", &address),
    )
    .code(0);

    let asked = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut connection, _) = proxy.accept().unwrap();
        let mut line = [0; 64];
        let count = connection.read(&mut line).unwrap();
        connection
            .write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
            .unwrap();
        String::from_utf8_lossy(&line[..count]).into_owned()
    });
    let mut resolve = workspace.command(&["resolve", "registry.example/app:1", "--retries", "0"]);
    Outcome::of(resolve.env("HTTPS_PROXY", &address)).code(1);
    let line = asked.join().unwrap();
    assert!(
        line.starts_with("CONNECT registry.example:443 HTTP/1.1"),
        "{line}"
    );
}

/// Counts requests by method, and manifests apart.
fn by_method(requests: &[String]) -> (usize, usize, usize) {
    let count = |is: &dyn Fn(&str) -> bool| requests.iter().filter(|request| is(request)).count();
    (
        count(&|request| request.starts_with("GET ") && request.contains("/tags/list")),
        count(&|request| request.starts_with("HEAD ")),
        count(&|request| request.starts_with("GET ") && request.contains("/manifests/")),
    )
}

#[test]
fn a_table_of_240_tags_costs_the_documented_requests() {
    let registry = Registry::start();
    let mut entries = Vec::new();
    let mut all = 0;
    for n in 0..9 {
        let repository = format!("shelf/app{n}");
        // Twenty releases with an index each, and floating tags that point to them.
        let mut tags: Vec<(String, String)> = (0..20)
            .map(|patch| (format!("3.{}.{patch}", patch % 3), format!("{patch}")))
            .collect();
        for (tag, text) in [
            ("1", "0"),
            ("2", "1"),
            ("3", "19"),
            ("3.0", "18"),
            ("3.1", "19"),
            ("3.2", "17"),
            ("latest", "19"),
        ] {
            tags.push((tag.to_owned(), text.to_owned()));
        }
        tags.truncate(if n == 8 { 24 } else { 27 });
        all += tags.len();
        registry.push_many(&repository, &tags, BOTH);
        let literal = if n == 8 { json!([]) } else { json!(["latest"]) };
        entries.push(json!({ "image": format!("{}/{repository}", registry.address), "keep": 20, "tags": literal }));
    }
    assert_eq!(all, 240);
    let workspace = Workspace::tracking(&serde_json::Value::from(entries).to_string());
    let mut seen = registry.requests().len();
    let mut run = || {
        workspace.run(&["refresh"]).code(0);
        let requests = registry.requests().split_off(seen);
        seen += requests.len();
        let counts = by_method(&requests);
        assert_eq!(
            counts.0 + counts.1 + counts.2,
            requests.len(),
            "{requests:?}"
        );
        counts
    };
    assert_eq!(
        run(),
        (9, 240, 180),
        "the first run: a GET for each of the indexes"
    );
    assert_eq!(run(), (9, 240, 0), "nothing has changed");
    for n in 0..5 {
        registry.push_many(
            &format!("shelf/app{n}"),
            &[("3".to_owned(), "moved".to_owned())],
            BOTH,
        );
    }
    seen = registry.requests().len();
    let before = seen;
    workspace.run(&["refresh"]).code(0);
    let requests = registry.requests().split_off(before);
    assert_eq!(
        by_method(&requests),
        (9, 240, 15),
        "five tags have moved: an index of each, and for the report the old index, as they have annotations, and the \
         manifest that both have"
    );
}

/// Runs `refresh` on a file system of 16 KiB, after the shell commands of `prepare`.
/// Also returns the names of the files that are left.
fn on_small_disk(workspace: &Workspace, prepare: &str) -> (Outcome, String) {
    let script = format!(
        "set -e; mkdir disk; mount -t tmpfs -o size=16k tmpfs disk; cp images.json digests.json disk; cd disk; {prepare}; \
         code=0; \"$0\" refresh >&2 || code=$?; cat digests.json; ls -A | tr '\\n' ' ' >../left; exit $code"
    );
    let mut command = std::process::Command::new("unshare");
    command
        .args([
            "--map-root-user",
            "--mount",
            "bash",
            "-c",
            &script,
            env!("CARGO_BIN_EXE_nix-oci-hashes"),
        ])
        .current_dir(workspace.path(""));
    (Outcome::of(&mut command), workspace.read("left"))
}

#[test]
fn a_full_or_read_only_disk_is_an_error_and_keeps_the_old_table() {
    let registry = Registry::start();
    registry.push("demo/app", "1.0.0", "x", BOTH);
    for (prepare, message) in [
        (
            "head -c 12k /dev/zero >filler || true; cat /dev/zero >>filler 2>/dev/null || true",
            "No space left on device",
        ),
        (
            "mount -o remount,ro .",
            "digests.json: cannot be locked: Read-only file system; see that its folder is writable",
        ),
    ] {
        let image = format!("{}/demo/app", registry.address);
        let workspace = Workspace::tracking(&json!([{ "image": image }]).to_string());
        let old = "{ \"version\": 1, \"images\": {} }";
        workspace.write("digests.json", old);
        let (outcome, left) = on_small_disk(&workspace, prepare);
        assert!(outcome.stderr.contains(message), "{outcome:#?}");
        assert_eq!(outcome.code, Some(1), "{outcome:#?}");
        assert_eq!(outcome.stdout, old);
        assert!(
            [
                "digests.json filler images.json ",
                "digests.json images.json "
            ]
            .contains(&&*left),
            "{left}"
        );
    }
}

#[test]
fn a_registry_over_tls_is_asked_over_http2() {
    let served: Arc<Mutex<Vec<bool>>> = Arc::default();
    let seen = Arc::clone(&served);
    let certificate = Certificate::for_host("127.0.0.1");
    let address = serve_over_tls(certificate.tls(), move |request| {
        seen.lock().unwrap().push(request.is_http2);
        let index = two_platform_index();
        if request.path.ends_with("/tags/list") {
            FakeResponse::json(&json!({ "name": "app", "tags": ["1.0.0"] }))
        } else {
            let response = FakeResponse::status(200);
            let response = response.with_header("docker-content-digest", &digest_of(&index));
            response.with_body(INDEX, index)
        }
    });
    let workspace =
        Workspace::tracking(&json!([{ "image": format!("{address}/app") }]).to_string());
    workspace.write("authority.pem", certificate.authority());
    let mut refresh = workspace.command(&["refresh"]);
    refresh.env("SSL_CERT_FILE", workspace.path("authority.pem"));
    let outcome = Outcome::of(&mut refresh).code(0);
    assert!(outcome.stdout.contains("1 added"), "{outcome:#?}");
    let served = served.lock().unwrap();
    assert!(served.len() >= 3 && served.iter().all(|is_http2| *is_http2));
}
