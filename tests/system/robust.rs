//! No argument of `builtins.ociHash` crashes Nix, and every program of Nix works with
//! the plugin.
use std::fs;
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::nix::{Flavour, Nix, Repl, literal};
use crate::support::{Outcome, project};

/// Random numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % most as u64).unwrap()
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn text(&mut self) -> String {
        let pieces = [
            "docker.io",
            "nextcloud",
            "/",
            ":",
            "@",
            "34",
            "^",
            ">=",
            ", ",
            "-fpm",
            "#",
            ".",
            " ",
            "sha256:",
            "linux/arm64",
            "ü",
            "\\n",
            "\\\\",
            "$",
            "library",
            "x86_64-linux",
            "latest",
            "digests.json",
            "/nonexistent",
            "{",
            "\u{7f}",
        ];
        let length = if self.below(50) == 0 {
            2_000
        } else {
            self.below(6)
        };
        let text: String = (0..length).map(|_| self.pick(&pieces)).collect();
        // `${` would start an interpolation.
        text.replace("${", "$\\{")
    }

    /// A random Nix expression, nested at most `depth` levels.
    fn value(&mut self, depth: usize) -> String {
        let kinds = if depth == 0 { 8 } else { 12 };
        match self.below(kinds) {
            0..3 => format!("\"{}\"", self.text()),
            3 => self
                .pick(&["0", "(-1)", "9223372036854775807", "1.5", "34"])
                .to_owned(),
            4 => self
                .pick(&["null", "true", "false", "[ ]", "{ }"])
                .to_owned(),
            5 => self
                .pick(&[
                    "(x: x)",
                    "builtins.ociHash",
                    "builtins.add",
                    "(throw \"mine\")",
                ])
                .to_owned(),
            6 => self
                .pick(&[
                    "/nonexistent",
                    "/etc/passwd",
                    "./Cargo.toml",
                    "./digests.json",
                ])
                .to_owned(),
            7 => "(builtins.toFile \"a\" \"b\")".to_owned(),
            8 => {
                let items: Vec<_> = (0..self.below(4)).map(|_| self.value(depth - 1)).collect();
                format!("[ {} ]", items.join(" "))
            }
            _ => self.set(depth),
        }
    }

    /// A random argument. Some are valid, so that not every lookup fails at once.
    fn argument(&mut self) -> String {
        match self.below(10) {
            0 => format!(
                "\"nextcloud:34{}\"",
                self.pick(&["", "", ".0.4", "-fpm", " "])
            ),
            1 => format!(
                "{{ image = \"nextcloud\"; version = \"{}\"; platform = \"{}\"; }}",
                self.pick(&["34", "^34", "*", ">=33, <34", "35"]),
                self.pick(&["linux/arm64", "x86_64-linux", "linux/s390x"])
            ),
            _ => self.value(3),
        }
    }

    fn set(&mut self, depth: usize) -> String {
        let mut names = vec![
            "image", "version", "variant", "platform", "digests", "outPath", "images", "type", "x",
        ];
        let mut set = String::from("{ ");
        for _ in 0..self.below(5) {
            let name = names.swap_remove(self.below(names.len()));
            let value = match (name, self.below(3)) {
                ("image", 0) => "\"nextcloud\"".to_owned(),
                ("version", 0) => "\"34\"".to_owned(),
                ("digests", 0) => "./digests.json".to_owned(),
                _ => self.value(depth - 1),
            };
            set.push_str(&format!("{name} = {value}; "));
        }
        set.push('}');
        set
    }
}

#[test]
fn ten_thousand_random_arguments_are_answers_or_errors_of_nix() {
    const MANY: usize = 10_000;
    let nix = Nix::with_plugin();
    let mut random = Random(0x5eed_0c1a_55e5_0004);
    let mut expression = String::from(
        "let try = x: (builtins.tryEval (builtins.ociHash x)).success; in map try [\n",
    );
    for _ in 0..MANY {
        expression.push_str(&random.argument());
        expression.push('\n');
    }
    // Sets as deep as Nix itself can force them.
    let deep = "{ a = ".repeat(300) + "1" + &"; }".repeat(300);
    expression.push_str(&format!("{{ image = \"a:1\"; digests = {deep}; }}\n]"));
    let file = nix.home().join("random.nix");
    fs::write(
        &file,
        expression.replace("./", &format!("{}/", project().display())),
    )
    .unwrap();
    let outcome = nix
        .eval_with(&["--impure", "-f", file.to_str().unwrap()])
        .code(0);
    let results: Vec<bool> = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(results.len(), MANY + 1);
    let answers = results.iter().filter(|success| **success).count();
    assert!((500..5_000).contains(&answers), "{answers} answers");
}

#[test]
fn lookups_do_not_leak_memory() {
    let digests = project().join("digests.json");
    let lookup = |image: &str| {
        format!(
            "builtins.ociHash {{ image = \"{image}\"; digests = {}; }}",
            digests.display()
        )
    };
    let lookups = sizes_of_rounds(&lookup("nextcloud:34"), &lookup("nextclud:${toString i}"));
    // Determinate Nix leaks each error that is caught, text and all, and the heap of Lix
    // goes on growing. A lookup's error has a longer trace than a plain one.
    let text = Nix::with_plugin().error(&lookup("nextclud:1"));
    let throws = sizes_of_rounds(
        "toString i",
        &format!("throw ({} + toString i)", literal(text.trim())),
    );
    let growth = |sizes: &[u64]| sizes[7].saturating_sub(sizes[3]);
    // The collector's heap grows at first; what leaks goes on growing: 64 bytes a
    // lookup would be 1000 KiB in the last four rounds.
    let of_nix = match Nix::without_plugin().release().flavour {
        Flavour::Nix => 0,
        Flavour::Lix => growth(&throws),
        Flavour::Determinate => growth(&throws) * 5 / 4,
    };
    assert!(
        growth(&lookups) < of_nix + 800,
        "KiB after each round: {lookups:?}, and of plain errors: {throws:?}"
    );
}

/// The memory in KiB after each of 8 rounds in one REPL, of 2000 values of `good` and
/// 2000 caught errors of `bad` each.
fn sizes_of_rounds(good: &str, bad: &str) -> Vec<u64> {
    let nix = Nix::with_plugin();
    let mut repl = Repl::of(&nix);
    let round = format!(
        "builtins.foldl' (n: i: n + (if (builtins.tryEval (
           if i - 2 * (i / 2) == 0 then {good} else {bad})).success then 1 else 0))
         0 (builtins.genList (i: i) 4000)"
    )
    .replace('\n', " ");
    let rounds = (0..8).map(|_| {
        assert!(repl.value(&round).contains("2000"));
        repl.resident()
    });
    rounds.collect()
}

#[test]
fn every_program_of_nix_starts_with_the_plugin() {
    let nix = Nix::with_plugin()
        .set("experimental-features", "nix-command flakes")
        .set("sandbox", "false");
    let run = |program: &str, arguments: &[&str]| {
        let mut command = nix.local(nix.command_of(program));
        command.env("NIX_BUILD_SHELL", "/bin/bash");
        Outcome::of(command.args(arguments)).code(0)
    };
    let pinned = "docker.io/nextcloud:34@sha256:";
    let call = "builtins.ociHash \"nextcloud:34\"";
    let derivation = format!(
        "derivation {{ name = \"pin\"; system = builtins.currentSystem; builder = \"/bin/sh\";
           args = [ \"-c\" \"echo $pin > $out\" ]; pin = {call}; }}"
    );
    assert!(
        run("nix-instantiate", &["--eval", "--expr", call])
            .stdout
            .contains(pinned)
    );
    let built = run("nix-build", &["--no-out-link", "--expr", &derivation]).stdout;
    let built = fs::read_to_string(built.trim()).unwrap();
    assert!(built.starts_with(pinned), "{built}");
    let shell = run(
        "nix-shell",
        &["--expr", &derivation, "--run", "echo in $pin"],
    );
    assert!(shell.stdout.contains(&format!("in {pinned}")), "{shell:#?}");
    run("nix-store", &["--verify"]);
    run("nix-env", &["-q"]);
    run("nix-collect-garbage", &[]);
    assert!(nix.repl(&format!("{call}\n")).contains(pinned));
    let folder = nix.home().join("flake");
    fs::create_dir_all(&folder).unwrap();
    fs::write(
        folder.join("flake.nix"),
        format!("{{ outputs = _: {{ lib.pin = {call}; overlays.default = _: _: {{ }}; }}; }}"),
    )
    .unwrap();
    let flake = format!("path:{}", folder.display());
    run("nix", &["flake", "check", &flake]);
    let output = format!("{flake}#lib.pin");
    assert!(
        run("nix", &["eval", "--raw", &output])
            .stdout
            .starts_with(pinned)
    );
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_daemon_starts_with_the_plugin() {
    let nix = Nix::with_plugin();
    let socket = nix.home().join("socket");
    let mut daemon = nix.local(nix.command_of("nix-daemon"));
    daemon
        .env("NIX_DAEMON_SOCKET_PATH", &socket)
        .stderr(Stdio::piped());
    let mut daemon = Running(daemon.spawn().unwrap());
    let deadline = Instant::now() + Duration::from_secs(20);
    while UnixStream::connect(&socket).is_err() {
        if daemon.0.try_wait().unwrap().is_some() || Instant::now() > deadline {
            let mut said = String::new();
            let _ = daemon.0.kill();
            daemon
                .0
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut said)
                .unwrap();
            panic!("the daemon does not start: {said}");
        }
        sleep(Duration::from_millis(20));
    }
    let mut client = nix.local(nix.command());
    client
        .env("NIX_DAEMON_SOCKET_PATH", &socket)
        .env("NIX_REMOTE", "daemon");
    client.args(["eval", "--raw", "--impure", "--expr"]);
    client.arg("builtins.readFile (builtins.toFile \"pin\" (builtins.ociHash \"nextcloud:34\"))");
    let outcome = Outcome::of(&mut client).code(0);
    assert!(outcome.stdout.starts_with("docker.io/nextcloud:34@sha256:"));
}

#[test]
fn eight_evaluations_at_once() {
    let nix = Nix::with_plugin();
    let children: Vec<Child> = (0..8)
        .map(|_| {
            let mut command: Command = nix.command();
            command.args(["eval", "--raw", "--store", "dummy://", "--expr"]);
            command.arg("builtins.ociHash \"nextcloud:34\"");
            command.stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.stdout.starts_with(b"docker.io/nextcloud:34@sha256:"));
    }
}
