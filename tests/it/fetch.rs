//! `fetch`: manifests and blobs by their digests, from registries that work and from
//! ones that do not.
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::fake::{Fake, digest_of, free_address};
use crate::support::server::{FakeResponse, serve};
use crate::support::{Outcome, Workspace};

const BLOB: &str = "application/octet-stream";

/// Fetches the blob whose content should be `content`.
fn fetch(fake: &Fake, workspace: &Workspace, content: &str, more: &[&str]) -> Outcome {
    let reference = format!("{}@{}", fake.image(), digest_of(content));
    let arguments = ["fetch", &reference, "--output", "blob", "--retries", "1"];
    workspace.run(&[&arguments[..], more].concat())
}

fn blob(fake: &Fake, content: &str, answer: FakeResponse) {
    fake.answer("GET", &format!("blobs/{}", digest_of(content)), answer);
}

fn whole(content: &str) -> FakeResponse {
    FakeResponse::status(200).with_body(BLOB, content.to_owned())
}

#[test]
fn a_manifest_and_a_blob_are_written_as_they_are() {
    let fake = Fake::start();
    fake.manifest(&digest_of("manifest"), "manifest");
    blob(&fake, "layer", whole("layer"));
    let workspace = Workspace::new();
    let outcome = fetch(&fake, &workspace, "manifest", &[]).code(0);
    assert_eq!((outcome.stdout, outcome.stderr), Default::default());
    assert_eq!(workspace.read("blob"), "manifest");
    for size in [&[][..], &["--size", "5"]] {
        fetch(&fake, &workspace, "layer", &[&["--blob"], size].concat()).code(0);
        assert_eq!(workspace.read("blob"), "layer");
    }
    assert_eq!(workspace.files(), ["blob"]);
}

#[test]
fn a_broken_download_goes_on_where_it_broke() {
    let fake = Fake::start();
    let content = "0123456789".repeat(1000);
    let rest = content[5000..].to_owned();
    let path = format!("/v2/app/blobs/{}", digest_of(&content));
    let first = whole(&content).cut_off();
    fake.rule(move |request| {
        let is_rest = request.path == path && request.range.as_deref() == Some("bytes=5000-");
        let answer = FakeResponse::status(206).with_body(BLOB, rest.clone());
        is_rest.then(|| answer.with_header("content-range", "bytes 5000-9999/10000"))
    });
    blob(&fake, &content, first);
    let workspace = Workspace::new();
    fetch(&fake, &workspace, &content, &["--blob", "--size", "10000"]).code(0);
    assert_eq!(workspace.read("blob"), content);
    let requests = fake.requests();
    let of_blob = requests
        .iter()
        .filter(|request| request.path.contains("/blobs/"));
    assert_eq!(of_blob.count(), 2);
}

#[test]
fn what_is_wrong_leaves_no_file() {
    let loops = |path: &str| FakeResponse::status(307).with_header("location", path);
    for (answer, more, message) in [
        (
            FakeResponse::status(404),
            &[][..],
            "the registry has nothing of",
        ),
        (
            FakeResponse::status(401),
            &[],
            "the registry gives no access to",
        ),
        (whole("lawyer"), &["--size", "6"], "whose digest is sha256:"),
        (
            whole("lay").with_header("content-length", "3"),
            &["--size", "5"],
            "that has 3 bytes, and its manifest says 5",
        ),
        (
            whole("layer").cut_off(),
            &["--size", "5"],
            "; check the network",
        ),
        (
            whole(&"x".repeat(1 << 16)).endless(),
            &["--size", "100000"],
            "larger than 100000 bytes",
        ),
        (
            whole(&"x".repeat(1 << 16)).endless(),
            &[],
            "how large the blob of",
        ),
        (loops("/v2/app/again"), &[], "there are too many of them"),
    ] {
        let fake = Fake::start();
        blob(&fake, "layer", answer);
        fake.answer("GET", "again", loops("/v2/app/again"));
        let workspace = Workspace::new();
        let outcome = fetch(&fake, &workspace, "layer", &[&["--blob"], more].concat());
        outcome.code(1).error(message);
        assert_eq!(workspace.files(), [""; 0], "{message}");
        // A file that was there before stays what it was.
        workspace.write("blob", "old");
        fetch(&fake, &workspace, "layer", &[&["--blob"], more].concat()).code(1);
        assert_eq!(workspace.read("blob"), "old");
    }
    let fake = Fake::start();
    blob(&fake, "layer", whole(&"x".repeat(1 << 16)).endless());
    let workspace = Workspace::new();
    fetch(&fake, &workspace, "layer", &["--blob"])
        .code(1)
        .error("; give its size in bytes with --size");
}

#[test]
fn a_reference_without_a_digest_is_refused() {
    let workspace = Workspace::new();
    let outcome = workspace.run(&["fetch", "docker.io/nextcloud:34", "--output", "blob"]);
    outcome.code(1).error(
        "docker.io/nextcloud:34 has no digest; write IMAGE@DIGEST, which 'nix-oci-hashes resolve docker.io/nextcloud:34' prints",
    );
    let reference = format!("docker.io/nextcloud@{}", digest_of("x"));
    let outcome = workspace.run(&["fetch", &reference, "--output", "no/folder"]);
    outcome
        .code(1)
        .error("no/folder: its folder does not exist");
}

#[test]
fn mirrors_come_first_and_the_registry_last() {
    let (fake, mirror, wrong) = (Fake::start(), Fake::start(), Fake::start());
    blob(&fake, "layer", whole("layer"));
    blob(&mirror, "layer", whole("layer"));
    blob(&wrong, "layer", whole("lawyer"));
    let workspace = Workspace::new();
    let hosts = [&mirror, &wrong].map(|fake| fake.address.to_string());
    let with = |mirrors: &[&str]| {
        let flags = mirrors.iter().flat_map(|mirror| ["--mirror", mirror]);
        let flags: Vec<&str> = ["--blob", "--size", "5"].into_iter().chain(flags).collect();
        fetch(&fake, &workspace, "layer", &flags)
    };
    let outcome = with(&[&hosts[0]]).code(0);
    assert_eq!(outcome.stderr, "");
    assert!(fake.requests().is_empty(), "the registry is not asked");
    // A mirror that is down, lacks the blob, or serves another one.
    let down = free_address().to_string();
    let other_path = format!("{}/docker", hosts[0]);
    for bad in [&down, &other_path, &hosts[1]] {
        let outcome = with(&[bad]).code(0);
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
        assert!(outcome.stderr.starts_with("warning: "), "{outcome:#?}");
        assert_eq!(workspace.read("blob"), "layer");
    }
    assert!(!fake.requests().is_empty());
    let path = format!("/v2/docker/app/blobs/{}", digest_of("layer"));
    assert!(mirror.requests().iter().any(|request| request.path == path));
    with(&["no mirror"]).code(1);
}

/// The maximum resident set size of a command, in KiB.
fn peak_memory(command: &mut Command) -> u64 {
    use std::os::unix::process::CommandExt as _;
    let mut limited = Command::new("sh");
    // The kernel refuses more address space than this, in KiB.
    limited
        .arg0("sh")
        .args(["-c", "ulimit -v 600000; exec \"$@\"", "sh"]);
    limited.arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        limited.current_dir(folder);
    }
    let mut child = limited.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(number.unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(child.wait().unwrap().success());
    peak
}

#[test]
fn a_large_blob_takes_little_memory() {
    use sha2::{Digest as _, Sha256};
    const SIZE: u64 = 1 << 30;
    let chunk = vec![7_u8; 1 << 20];
    let mut hasher = Sha256::new();
    for _ in 0..SIZE / (1 << 20) {
        hasher.update(&chunk);
    }
    let hex: String = hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let length = SIZE.to_string();
    let server = serve(move |_| {
        let answer = FakeResponse::status(200).with_body(BLOB, chunk.clone());
        answer.with_header("content-length", &length).endless()
    });
    let workspace = Workspace::new();
    let reference = format!("{server}/app@sha256:{hex}");
    let arguments = ["fetch", &reference, "--output", "blob", "--blob", "--quiet"];
    let peak = peak_memory(&mut workspace.command(&arguments));
    let length = workspace.path("blob").metadata().unwrap().len();
    assert_eq!(length, SIZE);
    assert!(peak > 0 && peak < 32 << 10, "{peak} KiB");
}

#[test]
fn ctrl_c_leaves_nothing_behind() {
    let fake = Fake::start();
    blob(&fake, "layer", whole("layer").cut_off());
    let workspace = Workspace::new();
    let reference = format!("{}@{}", fake.image(), digest_of("layer"));
    let arguments = [
        "fetch", &reference, "--output", "blob", "--blob", "--size", "5",
    ];
    let mut command = workspace.command(&arguments);
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    // It waits to resume the download, and has a temporary file.
    while workspace.files().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let message = "error: interrupted; nothing was written\n";
    assert_eq!(String::from_utf8(output.stderr).unwrap(), message);
    assert_eq!(workspace.files(), [""; 0]);
}

#[test]
fn a_pipe_takes_no_mirror() {
    let fake = Fake::start();
    blob(&fake, "layer", whole("layer"));
    let workspace = Workspace::new();
    let reference = format!("{}@{}", fake.image(), digest_of("layer"));
    let arguments = [
        "fetch",
        &reference,
        "--blob",
        "--size",
        "5",
        "--output",
        "/dev/stdout",
    ];
    assert_eq!(workspace.run(&arguments).code(0).stdout, "layer");
    let mirror = ["--mirror", "mirror.example"];
    let outcome = workspace.run(&[&arguments[..], &mirror].concat());
    outcome.code(1).error("/dev/stdout: it is not a file");
}
