//! Which table `builtins.ociHash` looks in, and when it reads it.
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::Outcome;
use crate::support::nix::{Flavour, Nix, Release, Repl, literal, loader};
use crate::support::versions;
use serde_json::json;

fn digest(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

fn pinned(digit: char) -> String {
    format!("docker.io/a:1@{}", digest(digit))
}

/// A table in which `a:1` has the digest of this digit.
fn table(digit: char) -> String {
    let pin = json!({ "digest": digest(digit) });
    json!({ "version": 1, "images": { "docker.io/a": { "1": pin } } }).to_string()
}

fn write(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
}

#[test]
fn the_argument_overrides_the_setting_and_the_setting_the_built_in_table() {
    let nix = Nix::with_plugin();
    let (setting, argument) = (nix.home().join("1.json"), nix.home().join("2.json"));
    write(&setting, &table('1'));
    write(&argument, &table('2'));
    let nix = nix.set("oci-hash-digests", setting.display());
    assert_eq!(nix.value("builtins.ociHash \"a:1\""), json!(pinned('1')));
    let call = format!(
        "builtins.ociHash {{ image = \"a:1\"; digests = {}; }}",
        argument.display()
    );
    assert_eq!(nix.value(&call), json!(pinned('2')));
    // A miss in the file does not fall back to the built-in table.
    let error = nix.error("builtins.ociHash \"nextcloud:34\"");
    assert!(
        error.contains("docker.io/nextcloud is not tracked"),
        "{error}"
    );
    // Pure evaluation depends on the expression and the plugin alone.
    let pure = nix.eval_with(&["--expr", "builtins.ociHash \"nextcloud:34\""]);
    assert!(
        pure.code(0)
            .stdout
            .contains("docker.io/nextcloud:34@sha256:")
    );
    let pure = nix
        .eval_with(&["--expr", "builtins.ociHash \"a:1\""])
        .code(1);
    assert!(
        pure.stderr.contains("docker.io/a is not tracked"),
        "{pure:#?}"
    );
    // Restricted evaluation reads only the files that Nix allows.
    let restricted = nix.set("restrict-eval", "true");
    let error = restricted.error("builtins.ociHash \"a:1\"");
    assert!(
        error.contains("the file of the setting 'oci-hash-digests' cannot be read: access to"),
        "{error}"
    );
}

#[test]
fn a_derivation_can_build_the_table() {
    let nix = Nix::with_plugin();
    let script = format!("printf '%s' '{}' > $out", table('3').replace('"', "\\\""));
    let call = format!(
        "builtins.ociHash {{ image = \"a:1\"; digests = derivation {{
           name = \"digests.json\"; system = builtins.currentSystem; builder = \"/bin/sh\";
           args = [ \"-c\" \"{script}\" ]; }}; }}"
    );
    for digests in ["", "\"${x}\"", "x.outPath"] {
        let call = match digests {
            "" => call.clone(),
            way => call
                .replace("digests = derivation", "digests = let x = derivation")
                .replace("}; }", &format!("}}; in {way}; }}")),
        };
        let mut command = nix.local(nix.command_of("nix-instantiate"));
        command.args(["--eval", "--read-write-mode", "--json"]);
        command.args(["--option", "sandbox", "false", "--expr", &call]);
        let outcome = Outcome::of(&mut command).code(0);
        assert_eq!(
            outcome.stdout.trim(),
            json!(pinned('3')).to_string(),
            "{call}"
        );
    }
}

#[test]
fn a_file_is_read_once_an_evaluation() {
    let nix = Nix::with_plugin();
    let file = nix.home().join("digests.json");
    write(&file, &table('4'));
    let call = format!(
        "builtins.foldl' (n: _: builtins.seq (builtins.ociHash {{ image = \"a:1\"; digests = {}; }}) (n + 1))
           0 (builtins.genList (x: x) 500)",
        file.display()
    );
    let trace = nix.home().join("trace");
    let mut command = nix.command_of("strace");
    // From 2.35 on, Nix opens files by openat2, from folder to folder.
    command
        .args(["-f", "-qq", "-e", "trace=openat,openat2", "-o"])
        .arg(&trace);
    command.args([
        "nix", "eval", "--impure", "--store", "dummy://", "--expr", &call,
    ]);
    assert_eq!(Outcome::of(&mut command).code(0).stdout.trim(), "500");
    let trace = fs::read_to_string(trace).unwrap();
    let opened = trace.lines().filter(|line| line.contains("digests.json"));
    assert_eq!(opened.count(), 1, "{trace}");
}

#[test]
fn a_file_that_changes_is_seen_within_one_repl() {
    let nix = Nix::with_plugin();
    let file = nix.home().join("digests.json");
    let call = format!(
        "builtins.ociHash {{ image = \"a:1\"; digests = {}; }}",
        file.display()
    );
    let mut repl = Repl::of(&nix);
    for digit in ['5', '6', '7'] {
        write(&file, &table(digit));
        let answer = repl.value(&call);
        assert!(answer.contains(&pinned(digit)), "{answer}");
    }
    // Replaced by a rename, as git does, with the same length and modification time.
    let other = nix.home().join("other.json");
    write(&other, &table('8'));
    let mut touch = nix.command_of("touch");
    Outcome::of(touch.arg("-r").arg(&file).arg(&other)).code(0);
    fs::rename(&other, &file).unwrap();
    let answer = repl.value(&call);
    assert!(answer.contains(&pinned('8')), "{answer}");
}

/// A flake whose output `own` uses its own table, and `bare` the built-in one.
fn flake(nix: &Nix) -> String {
    let folder = nix.home().join("flake");
    fs::create_dir_all(&folder).unwrap();
    let system = format!("{}-linux", std::env::consts::ARCH);
    write(
        &folder.join("flake.nix"),
        &format!(
            "{{ outputs = _: let write = pin: derivation {{
                 inherit pin; name = \"pin\"; system = \"{system}\"; builder = \"/bin/sh\";
                 args = [ \"-c\" \"echo $pin > $out\" ]; }}; in {{
               packages.{system} = {{
                 own = write (builtins.ociHash {{ image = \"a:1\"; digests = ./digests.json; }});
                 bare = write (builtins.ociHash \"nextcloud:34\"); }}; }}; }}"
        ),
    );
    write(&folder.join("digests.json"), &table('1'));
    git(nix, &["init", "-q"]);
    commit(nix);
    format!("git+file://{}", folder.display())
}

fn git(nix: &Nix, arguments: &[&str]) {
    let mut command = nix.command_of("git");
    command.arg("-C").arg(nix.home().join("flake"));
    command.args(["-c", "user.name=test", "-c", "user.email=test@example.org"]);
    Outcome::of(command.args(arguments)).code(0);
}

/// Commits the flake, so that Nix caches its outputs.
fn commit(nix: &Nix) {
    git(nix, &["add", "."]);
    git(nix, &["commit", "-q", "-m", "pins"]);
}

#[test]
fn a_flake_with_its_own_table_does_not_depend_on_the_plugins_table() {
    let nix = Nix::with_plugin();
    let flake = flake(&nix);
    let build = |plugin: &Path, options: &[&str], output: &str| {
        let config = Nix::with_plugin_files(plugin)
            .set("experimental-features", "nix-command flakes")
            .set("sandbox", "false");
        let mut command = config.local(config.command());
        // The same store and cache, whichever plugin there is.
        let home = nix.home();
        command.env("HOME", home);
        for (name, folder) in [
            ("NIX_STORE_DIR", "store"),
            ("NIX_STATE_DIR", "var"),
            ("NIX_LOG_DIR", "log"),
        ] {
            command.env(name, home.join("nix").join(folder));
        }
        fs::create_dir_all(home.join("nix/var")).unwrap();
        command.args(["build", "--no-link", "--json"]).args(options);
        let outcome = Outcome::of(command.arg(format!("{flake}#{output}")));
        if outcome.code != Some(0) {
            return Err(outcome.stderr);
        }
        let built: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
        let path = built[0]["outputs"]["out"].as_str().unwrap().to_owned();
        Ok(fs::read_to_string(path).unwrap().trim().to_owned())
    };
    let plugin = crate::support::nix::loader();
    let none = nix.home().join("no-plugins");
    fs::create_dir_all(&none).unwrap();
    // A changed table changes the flake, so Nix evaluates it again.
    assert_eq!(build(&plugin, &[], "own"), Ok(pinned('1')));
    write(&nix.home().join("flake/digests.json"), &table('2'));
    commit(&nix);
    assert_eq!(build(&plugin, &[], "own"), Ok(pinned('2')));
    // Nix caches the outputs of an unchanged flake, even if the plugin has changed or
    // is gone.
    let bare = build(&plugin, &[], "bare").unwrap();
    assert!(bare.starts_with("docker.io/nextcloud:34@sha256:"), "{bare}");
    assert_eq!(build(&none, &[], "bare"), Ok(bare));
    let error = build(&none, &["--no-eval-cache"], "bare").unwrap_err();
    assert!(error.contains("attribute 'ociHash' missing"), "{error}");
}

/// Files in the store never change, but a path with `..` can lead out of the store.
#[test]
fn a_path_through_the_store_to_a_file_that_changes_is_read_again() {
    let nix = Nix::with_plugin();
    let file = nix.home().join("nix/digests.json");
    let store = nix.home().join("nix/store");
    fs::create_dir_all(&store).unwrap();
    let call = format!(
        "builtins.ociHash {{ image = \"a:1\"; digests = \"{}/../digests.json\"; }}",
        store.display()
    );
    let mut repl = Repl::start(nix.local(nix.command()));
    for digit in ['1', '2', '3'] {
        write(&file, &table(digit));
        std::thread::sleep(std::time::Duration::from_millis(50));
        let answer = repl.value(&call);
        assert!(answer.contains(&pinned(digit)), "{answer}");
    }
}

/// Later versions of Nix take `link/..` for the folder of the link, the system and
/// Nix 2.8 for that of its target.
#[test]
fn a_path_is_the_one_that_nix_reads() {
    let nix = Nix::with_plugin();
    let (mine, other) = (nix.home().join("mine"), nix.home().join("other"));
    for folder in [&mine, &other.join("inner")] {
        fs::create_dir_all(folder).unwrap();
    }
    std::os::unix::fs::symlink(other.join("inner"), mine.join("link")).unwrap();
    write(&mine.join("digests.json"), &table('1'));
    // A large file is read without Nix.
    let large = table('2') + &" ".repeat(1 << 20);
    write(&other.join("digests.json"), &large);
    let path = format!("\"{}/link/../digests.json\"", mine.display());
    let text = nix.value(&format!("builtins.readFile {path}"));
    let is_mine = text.as_str().unwrap().contains(&digest('1'));
    let call = format!("builtins.ociHash {{ image = \"a:1\"; digests = {path}; }}");
    let expected = pinned(if is_mine { '1' } else { '2' });
    assert_eq!(nix.value(&call), json!(expected));
}

/// Compiles tests/nix/evaluations.cc, a plugin that starts further evaluations in the
/// same process.
fn evaluations(nix: &Nix) -> PathBuf {
    let Release { flavour, version } = nix.release();
    let rows = versions::rows().into_iter();
    let row = rows
        .filter(|row| row.flavour == flavour.id())
        .find(|row| row.has(&version))
        .unwrap();
    let pkg_config =
        |argument| Outcome::of(Command::new("pkg-config").args([argument, &*row.headers]));
    // The headers of Determinate Nix have the version of Nix.
    let headers = pkg_config("--modversion").code(0).stdout;
    let mut numbers = headers.trim().split('.');
    let (major, minor) = (numbers.next().unwrap(), numbers.next().unwrap());
    let library = nix.home().join("evaluations.so");
    let outcome = Outcome::of(
        Command::new(std::env::var("CXX").unwrap_or("c++".to_owned()))
            .current_dir(crate::support::project())
            .args(pkg_config("--cflags").code(0).stdout.split_whitespace())
            .arg(format!("-std={}", row.standard))
            .args(["-shared", "-fPIC", "-I", "cpp", "-o"])
            .arg(&library)
            .arg("tests/nix/evaluations.cc")
            .args([
                format!("-DOCI_HASH_MAJOR={major}"),
                format!("-DOCI_HASH_MINOR={minor}"),
                format!("-DOCI_HASH_LIX={}", u8::from(flavour == Flavour::Lix)),
                format!(
                    "-DOCI_HASH_DETERMINATE={}",
                    u8::from(flavour == Flavour::Determinate)
                ),
            ]),
    );
    outcome.code(0);
    library
}

/// Evaluations that run after each other can have the same address. None of them may get
/// a table that another one was allowed to read or has built.
#[test]
fn an_evaluation_at_a_reused_address_gets_no_table_of_the_previous_one() {
    let plain = Nix::without_plugin();
    let plugins = format!("{} {}", loader().display(), evaluations(&plain).display());
    let nix = Nix::without_plugin().set("plugin-files", plugins);
    let file = nix.home().join("digests.json");
    write(&file, &table('1'));
    std::thread::sleep(std::time::Duration::from_millis(50));
    let lookup =
        |digests: &str| format!("builtins.ociHash {{ image = \"a:1\"; digests = {digests}; }}");
    let of_file = lookup(&file.display().to_string());
    let mut expected = Vec::new();
    let calls: Vec<String> = (0..60)
        .map(|i| {
            let (restrict, expression, answer) = match i % 3 {
                0 => (false, of_file.clone(), Some(pinned('1'))),
                1 => (true, of_file.clone(), None),
                _ => {
                    let digit = char::from_digit(i / 3 % 10, 10).unwrap();
                    let set = format!("(builtins.fromJSON {})", literal(&table(digit)));
                    (i % 2 == 0, lookup(&set), Some(pinned(digit)))
                }
            };
            expected.push(answer);
            format!(
                "(builtins.inNewEvaluation {{ restrict = {restrict}; expression = {}; }})",
                literal(&expression)
            )
        })
        .collect();
    let answers = nix.value(&format!("[ {} ]", calls.join(" ")));
    let mut addresses = HashSet::new();
    for (answer, expected) in answers.as_array().unwrap().iter().zip(&expected) {
        let (address, answer) = answer.as_str().unwrap().split_once(' ').unwrap();
        addresses.insert(address.to_owned());
        match expected {
            Some(expected) => assert_eq!(answer, expected),
            None => assert!(answer.starts_with("error: builtins.ociHash: "), "{answer}"),
        }
    }
    assert!(
        addresses.len() < expected.len(),
        "no address was used again"
    );
}
