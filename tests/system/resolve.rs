//! If the user allows it, `builtins.ociHash` asks the registry for references that are
//! not in the table.
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::Outcome;
use crate::support::nix::{Nix, Repl};
use crate::support::registry::{Registry, USER};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const BOTH: &[&str] = &["linux/amd64", "linux/arm64/v8"];

fn nix_that_resolves() -> Nix {
    Nix::with_plugin().set("oci-hash-resolve", "true")
}

fn oci_hash_call(reference: &str) -> String {
    format!("builtins.ociHash \"{reference}\"")
}

fn cache(nix: &Nix) -> PathBuf {
    nix.home().join(".cache/nix-oci-hashes/resolved.json")
}

/// A registry with one image, its name, and its digest.
fn registry() -> (Registry, String, String) {
    let registry = Registry::start();
    let digest = registry.push("demo/app", "1.0", "1.0", BOTH);
    let image = format!("{}/demo/app", registry.address);
    (registry, image, digest)
}

#[test]
fn a_miss_is_resolved_with_one_warning() {
    let (registry, image, digest) = registry();
    let nix = nix_that_resolves();
    let call = format!(
        "map builtins.ociHash [ \"{image}:1.0\" \"{image}:1.0@{digest}\" \"{image}:1.0\"
           {{ image = \"{image}\"; version = \"1.0\"; platform = \"aarch64-linux\"; }} ]"
    );
    let outcome = nix.eval(&call).code(0);
    let answers: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let pinned = format!("{image}:1.0@{digest}");
    assert_eq!(answers[0], json!(pinned));
    assert_eq!(answers[1], answers[0]);
    assert_eq!(answers[2], answers[0]);
    let arm64 = answers[3].as_str().unwrap();
    assert_ne!(arm64, pinned);
    let warnings: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(warnings.len(), 2, "{outcome:#?}");
    for (warning, pinned) in warnings.iter().zip([pinned.as_str(), arm64]) {
        assert_eq!(
            *warning,
            format!(
                "warning: builtins.ociHash: not in the table, but the registry has it: {pinned}; \
                 to pin it, run 'nix-oci-hashes add {image}'"
            )
        );
    }
    // One HEAD for the tag, and one GET for its index.
    assert_eq!(
        registry.requests(),
        [
            "HEAD /v2/demo/app/manifests/1.0".to_owned(),
            format!("GET /v2/demo/app/manifests/{digest}"),
        ]
    );
    // The next process has it from the cache.
    assert_eq!(nix.value(&call), answers);
    assert_eq!(registry.requests().len(), 2);
}

#[test]
fn a_pinned_reference_costs_no_request() {
    let (registry, image, _) = registry();
    let nix = nix_that_resolves();
    let pinned = format!("sha256:{}", "5".repeat(64));
    let pin = json!({ "digest": pinned, "platforms": { "linux/amd64": pinned } });
    let table = json!({ "version": 1, "images": { (&image): { "1.0": pin } } });
    fs::write(nix.home().join("digests.json"), table.to_string()).unwrap();
    let digests = format!("digests = {}/digests.json;", nix.home().display());
    let answer = nix.value(&format!(
        "builtins.ociHash {{ image = \"{image}:1.0\"; {digests} }}"
    ));
    assert_eq!(answer, json!(format!("{image}:1.0@{pinned}")));
    assert!(registry.requests().is_empty());
    // A digest that is not the pinned one is an error, whatever a registry says.
    let other = "6".repeat(64);
    let error = nix.error(&format!(
        "builtins.ociHash {{ image = \"{image}:1.0@sha256:{other}\"; {digests} }}"
    ));
    assert!(error.contains("is not what is pinned"), "{error}");
    assert!(registry.requests().is_empty());
    // The same for requirements: only one that no pin satisfies costs a request.
    let requirement = |version: &str| {
        format!("builtins.ociHash {{ image = \"{image}\"; version = \"{version}\"; {digests} }}")
    };
    let answer = nix.value(&requirement("^1"));
    assert_eq!(answer, json!(format!("{image}:1.0@{pinned}")));
    assert!(registry.requests().is_empty());
    let error = nix.error(&requirement("^2"));
    for part in [
        "has no pinned tag that satisfies '^2'",
        "Its registry was asked, because 'oci-hash-resolve' is set: the registry has no tag of",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn an_unpinned_platform_is_read_from_the_pinned_index() {
    let (registry, image, digest) = registry();
    let nix = nix_that_resolves();
    let amd64 = format!("sha256:{}", "5".repeat(64));
    let pin = json!({ "digest": digest, "platforms": { "linux/amd64": amd64 } });
    let table = json!({ "version": 1, "images": { (&image): { "1.0": pin } } });
    fs::write(nix.home().join("digests.json"), table.to_string()).unwrap();
    // The tag has moved since the refresh; the pinned index still counts.
    registry.push("demo/app", "1.0", "moved", BOTH);
    let outcome = nix
        .eval(&format!(
            "builtins.ociHash {{ image = \"{image}:1.0\"; platform = \"linux/arm64\"; digests = {}/digests.json; }}",
            nix.home().display()
        ))
        .code(0);
    assert_eq!(
        registry.requests(),
        [format!("GET /v2/demo/app/manifests/{digest}")]
    );
    assert!(
        outcome.stderr.contains(&format!(
            "add \"linux/arm64\" to its 'platforms' in images.json and run 'nix-oci-hashes refresh --image {image}'"
        )),
        "{outcome:#?}"
    );
}

#[test]
fn a_miss_in_table_and_registry_is_an_error_that_reports_both() {
    let (_registry, image, digest) = registry();
    let nix = nix_that_resolves();
    let error = nix.error(&oci_hash_call(&format!("{image}:2.0")));
    let expected = format!(
        "builtins.ociHash: {image} is not tracked; to track it, run 'nix-oci-hashes add {image}'. \
         Its registry was asked, because 'oci-hash-resolve' is set: the registry has no tag {image}:2.0; check its spelling\n"
    );
    assert!(error.starts_with(&expected), "{error}");
    let error = nix.error(&format!(
        "builtins.ociHash {{ image = \"{image}:1.0\"; platform = \"linux/s390x\"; }}"
    ));
    assert!(
        error.contains("is not for linux/s390x; it is for linux/amd64, linux/arm64"),
        "{error}"
    );
    let wrong = digest.replace("sha256:", "sha256:0")[..71].to_owned();
    let error = nix.error(&oci_hash_call(&format!("{image}:1.0@{wrong}")));
    assert!(
        error.contains("is not what the tag points to now"),
        "{error}"
    );
    // `tryEval` catches it.
    let call = format!(
        "(builtins.tryEval ({})).success",
        oci_hash_call(&format!("{image}:2.0"))
    );
    assert_eq!(nix.value(&call), json!(false));
}

#[test]
fn no_request_is_sent_unless_every_setting_allows_it() {
    let (registry, image, _) = registry();
    let call = oci_hash_call(&format!("{image}:1.0"));
    let miss = format!("{image} is not tracked; to track it, run 'nix-oci-hashes add {image}'");
    // By default, and in pure evaluation.
    let error = Nix::with_plugin().error(&call);
    assert!(error.contains(&format!("{miss}\n")), "{error}");
    let pure = nix_that_resolves().eval_with(&["--expr", &call]).code(1);
    assert!(pure.stderr.contains(&format!("{miss}\n")), "{pure:#?}");
    // Not among the registries.
    let nix = nix_that_resolves().set("oci-hash-registries", "docker.io ghcr.io");
    let error = nix.error(&call);
    assert!(
        error.contains(&format!(
            "{miss}. The registry {} was not asked, because the setting 'oci-hash-registries' does not name it",
            registry.address
        )),
        "{error}"
    );
    // Restricted, with another URL.
    let nix = nix_that_resolves()
        .set("restrict-eval", "true")
        .set("allowed-uris", "https://example.org");
    let error = nix.error(&call);
    assert!(
        error.contains(&format!(
            "{miss}. Its registry was not asked: access to URI"
        )),
        "{error}"
    );
    assert!(
        error.contains("the setting 'allowed-uris' allows it"),
        "{error}"
    );
    // Offline.
    let offline = nix_that_resolves()
        .eval_with(&["--offline", "--impure", "--expr", &call])
        .code(1);
    assert!(
        offline
            .stderr
            .contains("there is no cached answer, and Nix is offline"),
        "{offline:#?}"
    );
    assert!(registry.requests().is_empty());
}

#[test]
fn an_allowed_registry_gets_requests() {
    let (registry, image, _) = registry();
    let call = oci_hash_call(&format!("{image}:1.0"));
    let address = &registry.address;
    for nix in [
        nix_that_resolves().set("oci-hash-registries", format!("ghcr.io {address}")),
        nix_that_resolves()
            .set("restrict-eval", "true")
            .set("allowed-uris", format!("http://{address}/")),
        nix_that_resolves()
            .set("restrict-eval", "true")
            .set("allowed-uris", format!("http://{address}/v2/demo")),
        nix_that_resolves().set("download-attempts", "0"),
    ] {
        nix.value(&call);
    }
    assert_eq!(registry.requests().len(), 8);
}

#[test]
fn an_answer_is_fresh_for_tarball_ttl_and_serves_offline_at_any_age() {
    let (registry, image, digest) = registry();
    let nix = nix_that_resolves();
    let call = oci_hash_call(&format!("{image}:1.0"));
    let old = nix.value(&call);
    assert!(old.as_str().unwrap().ends_with(&digest));
    let moved = registry.push("demo/app", "1.0", "moved", BOTH);
    assert_eq!(nix.value(&call), old);
    let anew = nix
        .eval_with(&["--tarball-ttl", "0", "--impure", "--expr", &call])
        .code(0);
    assert!(anew.stdout.contains(&moved), "{anew:#?}");
    // Make the cached answer old.
    let text = fs::read_to_string(cache(&nix)).unwrap();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    document["answers"][format!("{image}:1.0")]["time"] = json!(1_000_000_000);
    fs::write(cache(&nix), document.to_string()).unwrap();
    let asked = registry.requests().len();
    let offline = nix
        .eval_with(&["--offline", "--impure", "--expr", &call])
        .code(0);
    assert!(offline.stdout.contains(&moved), "{offline:#?}");
    assert_eq!(registry.requests().len(), asked);
    nix.value(&call);
    assert_eq!(registry.requests().len(), asked + 2);
}

#[test]
fn a_corrupt_cache_is_ignored_and_replaced() {
    let (registry, image, _) = registry();
    let nix = nix_that_resolves();
    fs::create_dir_all(cache(&nix).parent().unwrap()).unwrap();
    fs::write(cache(&nix), "{ \"version\": 1, \"answ").unwrap();
    let call = oci_hash_call(&format!("{image}:1.0"));
    let answer = nix.value(&call);
    assert_eq!(nix.value(&call), answer);
    assert_eq!(registry.requests().len(), 2);
    // A cache that cannot be written gives a warning, and the answer.
    fs::remove_dir_all(cache(&nix).parent().unwrap()).unwrap();
    fs::write(cache(&nix).parent().unwrap(), "a file").unwrap();
    let outcome = nix.eval(&call).code(0);
    assert!(outcome.stderr.contains("cannot be cached"), "{outcome:#?}");
}

#[test]
fn eight_processes_share_one_cache() {
    let (registry, image, _) = registry();
    let tags: Vec<String> = (0..8).map(|i| format!("2.{i}")).collect();
    for tag in &tags {
        registry.push("demo/app", tag, tag, BOTH);
    }
    let nix = nix_that_resolves();
    let children: Vec<Child> = tags
        .iter()
        .map(|tag| {
            let mut command = nix.command();
            let call = format!(
                "map builtins.ociHash [ \"{image}:1.0\" \"{image}:{tag}\" \"{image}:2.0\" ]"
            );
            command.args([
                "eval", "--json", "--impure", "--store", "dummy://", "--expr", &call,
            ]);
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let kept: Value = serde_json::from_str(&fs::read_to_string(cache(&nix)).unwrap()).unwrap();
    assert_eq!(kept["answers"].as_object().unwrap().len(), 9, "{kept}");
    let files = fs::read_dir(cache(&nix).parent().unwrap()).unwrap();
    assert_eq!(files.count(), 1, "lock files or temporary files are left");
}

#[test]
fn wrong_settings_are_errors_that_name_them() {
    let (_registry, image, _) = registry();
    let call = oci_hash_call(&format!("{image}:1.0"));
    for (name, value, message) in [
        (
            "oci-hash-timeout",
            "0",
            "the setting 'oci-hash-timeout' is 0; write how many seconds",
        ),
        (
            "oci-hash-registries",
            "https://docker.io",
            "the setting 'oci-hash-registries' names 'https://docker.io', which is no registry; write",
        ),
        (
            "oci-hash-registries",
            "docker.io,ghcr.io",
            "names 'docker.io,ghcr.io', which is no registry",
        ),
        (
            "oci-hash-registries",
            "ghcr.io/org",
            "names 'ghcr.io/org', which is no registry",
        ),
        ("oci-hash-timeout", "soon", "oci-hash-timeout"),
        ("oci-hash-timeout", "-1", "oci-hash-timeout"),
        ("oci-hash-resolve", "maybe", "oci-hash-resolve"),
        (
            "oci-hash-digests",
            "digests.json",
            "the file of the setting 'oci-hash-digests' cannot be read: ",
        ),
        (
            "oci-hash-digests",
            "/missing.json",
            "write the absolute path of a digests.json into nix.conf",
        ),
    ] {
        // For the settings of plugins, Nix keeps the first value.
        let nix = Nix::with_plugin()
            .set(name, value)
            .set("oci-hash-resolve", "true");
        let outcome = nix.eval(&call).code(1);
        assert!(
            outcome.stderr.contains(message),
            "{name} = {value}: {outcome:#?}"
        );
    }
}

#[test]
fn credentials_are_those_of_docker_and_podman() {
    let registry = Registry::start();
    registry.push("private/app", "1.0", "1.0", BOTH);
    let (guarded, authority) = registry.guarded();
    let image = format!("{}/private/app", guarded.address);
    let nix = nix_that_resolves();
    let evaluate = |extra: &[(&str, String)]| {
        let mut command = nix.command();
        for (name, value) in extra {
            command.env(name, value);
        }
        command.args([
            "eval", "--json", "--impure", "--store", "dummy://", "--expr",
        ]);
        Outcome::of(command.arg(oci_hash_call(&format!("{image}:1.0"))))
    };
    let tls = ("NIX_SSL_CERT_FILE", authority.display().to_string());
    let denied = evaluate(std::slice::from_ref(&tls)).code(1);
    assert!(
        denied
            .stderr
            .contains("log in with 'docker login' or 'podman login'"),
        "{denied:#?}"
    );
    // From the file, and from a helper on PATH.
    let docker = nix.home().join(".docker");
    fs::create_dir_all(&docker).unwrap();
    let (user, password) = USER;
    let auth = STANDARD.encode(format!("{user}:{password}"));
    let config = json!({ "auths": { (&guarded.address): { "auth": auth } } });
    fs::write(docker.join("config.json"), config.to_string()).unwrap();
    evaluate(std::slice::from_ref(&tls)).code(0);
    let config = json!({ "credHelpers": { (&guarded.address): "test" } });
    fs::write(docker.join("config.json"), config.to_string()).unwrap();
    let helper = nix.home().join("docker-credential-test");
    let answer = json!({ "ServerURL": guarded.address, "Username": user, "Secret": password });
    fs::write(&helper, format!("#!/bin/sh\nread x\necho '{answer}'\n")).unwrap();
    Outcome::of(Command::new("chmod").arg("+x").arg(&helper)).code(0);
    let path = format!(
        "{}:{}",
        nix.home().display(),
        std::env::var("PATH").unwrap()
    );
    fs::remove_file(cache(&nix)).unwrap();
    evaluate(&[tls, ("PATH", path)]).code(0);
}

/// What strace prints for `nix eval` with `-e filter`.
fn system_calls(nix: &Nix, filter: &str, arguments: &[&str]) -> String {
    let trace = nix.home().join("trace");
    let mut command = nix.command_of("strace");
    command.args(["-f", "-qq", "-e", filter, "-o"]).arg(&trace);
    command
        .args(["nix", "eval", "--store", "dummy://"])
        .args(arguments);
    Outcome::of(&mut command);
    fs::read_to_string(trace).unwrap()
}

#[test]
fn a_requirement_is_resolved_among_the_tags_of_the_registry() {
    let registry = Registry::start();
    for tag in ["1.2.0", "1.10.0", "1.10.0-fpm", "2.0.0-rc1", "20260901"] {
        registry.push("demo/app", tag, tag, BOTH);
    }
    let image = format!("{}/demo/app", registry.address);
    let nix = nix_that_resolves();
    let answer = |reference: &str| {
        let answer = nix.value(&oci_hash_call(reference));
        answer.as_str().unwrap().to_owned()
    };
    assert!(answer(&format!("{image}:^1")).starts_with(&format!("{image}:1.10.0@sha256:")));
    assert!(answer(&format!("{image}:<1.5")).starts_with(&format!("{image}:1.2.0@sha256:")));
    // The cache keeps the chosen tag, too.
    drop(registry);
    assert!(answer(&format!("{image}:^1")).starts_with(&format!("{image}:1.10.0@sha256:")));
}

#[test]
fn a_cache_file_that_is_a_pipe_or_a_link_is_ignored() {
    let (_registry, image, _) = registry();
    let nix = nix_that_resolves();
    let path = cache(&nix);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let lock = path.with_extension("json.lock");
    let other = nix.home().join("other");
    fs::write(&other, "kept").unwrap();
    for place in [&path, &lock] {
        for is_pipe in [true, false] {
            if is_pipe {
                let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
                rustix::fs::mkfifoat(rustix::fs::CWD, place, mode).unwrap();
            } else {
                std::os::unix::fs::symlink(&other, place).unwrap();
            }
            let start = Instant::now();
            let answer = nix.value(&oci_hash_call(&format!("{image}:1.0")));
            assert!(answer.as_str().unwrap().contains("@sha256:"));
            assert!(start.elapsed() < Duration::from_secs(10));
            let _ = fs::remove_file(place);
        }
    }
    assert_eq!(fs::read_to_string(&other).unwrap(), "kept");
}

#[test]
fn pure_evaluation_opens_no_socket() {
    let (_registry, image, _) = registry();
    let nix = nix_that_resolves();
    let call = oci_hash_call(&format!("{image}:1.0"));
    let sockets = |arguments: &[&str]| {
        let system_calls = system_calls(&nix, "trace=network", arguments);
        // Nix itself asks the kernel for its interfaces.
        system_calls
            .lines()
            .filter(|line| !line.contains("AF_NETLINK") && !line.contains("exited"))
            .filter(|line| line.contains("AF_INET"))
            .count()
    };
    assert_eq!(sockets(&["--expr", &call]), 0);
    assert!(sockets(&["--impure", "--expr", &call]) > 0);
}

#[test]
fn a_lookup_starts_no_thread() {
    let (_registry, image, _) = registry();
    // A host name, so that the lookup includes DNS.
    let image = image.replace("127.0.0.1", "localhost");
    let nix = nix_that_resolves();
    let threads = |call: &str| {
        let system_calls = system_calls(&nix, "trace=clone,clone3", &["--impure", "--expr", call]);
        system_calls
            .lines()
            .filter(|line| line.contains("CLONE_THREAD"))
            .count()
    };
    assert_eq!(
        threads(&oci_hash_call(&format!("{image}:1.0"))),
        threads("1")
    );
    assert!(cache(&nix).exists(), "the registry was asked");
}

/// A server that runs `serve` on a thread for each connection.
fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serve = std::sync::Arc::new(serve);
    // Ends with the test's process.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = std::sync::Arc::clone(&serve);
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Reads a request; `None` if the client starts a TLS handshake.
fn request(stream: &mut TcpStream) -> Option<String> {
    let mut buffer = [0; 4096];
    let length = stream.read(&mut buffer).ok()?;
    (length > 0 && buffer[0] != 0x16)
        .then(|| String::from_utf8_lossy(&buffer[..length]).into_owned())
}

fn hang() {
    thread::sleep(Duration::from_secs(20));
}

/// A server that answers HEAD, and stops in the middle of the body of a GET.
fn server_with_partial_body() -> String {
    server(|mut stream| {
        while let Some(request) = request(&mut stream) {
            let digest = format!("sha256:{}", "1".repeat(64));
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.oci.image.index.v1+json\r\n\
                 docker-content-digest: {digest}\r\ncontent-length: 1000\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).unwrap();
            if request.starts_with("GET") {
                stream.write_all(b"{\"schemaVersion\":2,").unwrap();
                hang();
            }
        }
    })
}

/// A server without TLS that reads a request and sends no response.
fn unresponsive_server() -> String {
    server(|mut stream| {
        if request(&mut stream).is_some() {
            hang();
        }
    })
}

/// A server that accepts connections and sends nothing.
fn silent_server() -> String {
    server(|stream| {
        hang();
        drop(stream);
    })
}

/// What Ctrl-C does to a process.
fn interrupt(id: u32) {
    let process = Pid::from_raw(id.try_into().unwrap()).unwrap();
    kill_process(process, Signal::INT).unwrap();
}

/// Interrupts the evaluation while it waits, and returns how long it takes to end.
fn time_to_interrupt(mut command: Command) -> Duration {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    thread::sleep(Duration::from_secs(2));
    assert!(
        child.try_wait().unwrap().is_none(),
        "it is waiting: {:?}",
        child.wait_with_output()
    );
    let start = Instant::now();
    interrupt(child.id());
    let output = child.wait_with_output().unwrap();
    let took = start.elapsed();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("interrupted by the user"), "{output:?}");
    took
}

/// The arguments of an evaluation without a store, before the expression.
const EVALUATION: [&str; 4] = ["--store", "dummy://", "--impure", "--expr"];

fn evaluation(nix: &Nix, program: &str, reference: &str) -> Command {
    let mut command = nix.command_of(program);
    if program == "nix" {
        command.arg("eval");
    }
    command.args(EVALUATION).arg(oci_hash_call(reference));
    command
}

/// Makes the command of an evaluation that waits.
type WaitingCommand<'a> = Box<dyn Fn() -> Command + 'a>;

#[test]
fn ctrl_c_ends_a_lookup_at_every_stage() {
    let nix = nix_that_resolves();
    // A network in which no host responds: packets to the neighbour are lost.
    let resolver = nix.home().join("resolv.conf");
    fs::write(&resolver, "nameserver 10.1.2.3\n").unwrap();
    let script = format!(
        "ip link set lo up && ip link add v0 type veth peer name v1 && ip addr add 10.1.2.1/24 dev v0 \
         && ip link set v0 up && ip link set v1 up && ip neigh add 10.1.2.3 lladdr 02:00:00:00:00:01 dev v0 \
         && mount --bind {} /etc/resolv.conf && exec nix eval \"$@\"",
        resolver.display()
    );
    let in_unreachable_network = |reference: &str| {
        let mut command = nix.command_of("unshare");
        command.args([
            "--user",
            "--map-root-user",
            "--net",
            "--mount",
            "sh",
            "-c",
            &script,
            "sh",
        ]);
        command.args(EVALUATION).arg(oci_hash_call(reference));
        command
    };
    let (silent_server, unresponsive_server, half) = (
        silent_server(),
        unresponsive_server(),
        server_with_partial_body(),
    );
    let stages: [(&str, WaitingCommand); 5] = [
        (
            "name look-up",
            Box::new(|| in_unreachable_network("registry.example/app:1")),
        ),
        (
            "connect",
            Box::new(|| in_unreachable_network("10.1.2.3:5000/app:1")),
        ),
        (
            "TLS",
            Box::new(|| evaluation(&nix, "nix", &format!("{silent_server}/app:1"))),
        ),
        (
            "waiting",
            Box::new(|| evaluation(&nix, "nix", &format!("{unresponsive_server}/app:1"))),
        ),
        (
            "body",
            Box::new(|| evaluation(&nix, "nix", &format!("{half}/app:1"))),
        ),
    ];
    for (stage, command) in stages {
        // On a busy machine one attempt may be slow, but not all three.
        let mut times = (0..3).map(|_| time_to_interrupt(command()));
        let is_prompt = times.any(|time| time < Duration::from_millis(200));
        assert!(is_prompt, "{stage}");
    }
}

#[test]
fn ctrl_c_works_more_than_once_in_a_repl() {
    let nix = nix_that_resolves();
    let silent_server = silent_server();
    let mut repl = Repl::of(&nix);
    for _ in 0..2 {
        let start = Instant::now();
        let pid = repl.id();
        let interrupter = thread::spawn(move || {
            thread::sleep(Duration::from_secs(1));
            interrupt(pid);
        });
        repl.value(&oci_hash_call(&format!("{silent_server}/app:1")));
        interrupter.join().unwrap();
        // Sooner than the default timeout of fifteen seconds.
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn a_resolution_times_out_in_time() {
    let nix = nix_that_resolves().set("oci-hash-timeout", "1");
    for server in [silent_server(), server_with_partial_body()] {
        let start = Instant::now();
        let error = nix.error(&oci_hash_call(&format!("{server}/app:1")));
        assert!(start.elapsed() < Duration::from_secs(10), "{error}");
        assert!(
            error.contains(
                "timed out after 1 s waiting for the registry; try again later, or raise 'oci-hash-timeout' in nix.conf"
            ),
            "{error}"
        );
    }
}

#[test]
fn the_error_quotes_the_registrys_message() {
    let address = server(|mut stream| {
        while request(&mut stream).is_some() {
            let answer =
                "HTTP/1.1 429 Too Many Requests\r\nretry-after: 60\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let nix = nix_that_resolves().set("oci-hash-timeout", "3");
    let error = nix.error(&oci_hash_call(&format!("{address}/app:1")));
    assert!(error.contains("429 Too Many Requests"), "{error}");
    assert!(error.contains("log in to it"), "{error}");
}

#[test]
fn a_digest_without_a_tag_is_resolved() {
    let (registry, image, digest) = registry();
    let nix = nix_that_resolves();
    let reference = format!("{image}@{digest}");
    assert_eq!(nix.value(&oci_hash_call(&reference)), json!(reference));
    assert_eq!(
        registry.requests(),
        [format!("GET /v2/demo/app/manifests/{digest}")]
    );
}

#[test]
fn a_wrong_digest_is_never_an_answer() {
    let address = server(|mut stream| {
        while let Some(request) = request(&mut stream) {
            let digest = format!("sha256:{}", "1".repeat(64));
            let body = r#"{"schemaVersion":2,"manifests":[]}"#;
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.oci.image.index.v1+json\r\n\
                 docker-content-digest: {digest}\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).unwrap();
            if request.starts_with("GET") {
                stream.write_all(body.as_bytes()).unwrap();
            }
        }
    });
    let nix = nix_that_resolves();
    let error = nix.error(&oci_hash_call(&format!("{address}/app:1")));
    assert!(error.contains("whose digest is"), "{error}");
    assert!(!cache(&nix).exists());
}
