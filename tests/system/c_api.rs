//! The build for Nix's C API, in a Nix that has no build of its own: `make test-c-api`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::nix::{Nix, builds, literal, loader};
use crate::support::{Outcome, lookup_cases, nextcloud_34, project};
use serde_json::{Value, json};

const BUILD: &str = "nix-c-api.so";

/// The folder of the only build that the plugin of [`nix`] has.
fn folder(nix: &Nix) -> PathBuf {
    nix.home().join("lib/nix-oci-hashes")
}

/// A Nix whose plugin has only the build for the C API.
fn nix() -> Nix {
    let nix = Nix::without_plugin();
    let plugins = nix.home().join("lib/nix/plugins");
    fs::create_dir_all(&plugins).unwrap();
    fs::create_dir_all(folder(&nix)).unwrap();
    let plugin = plugins.join("libnix_oci_hashes.so");
    fs::copy(loader(), &plugin).unwrap();
    let build = builds().join(BUILD);
    assert!(build.is_file(), "{BUILD} is missing; run 'make test-c-api'");
    fs::copy(build, folder(&nix).join(BUILD)).unwrap();
    nix.set("plugin-files", plugin.display())
}

/// A call on the table of the project.
fn call(argument: &str, digests: impl std::fmt::Display) -> String {
    format!("builtins.ociHash ({{ digests = {digests}; }} // {argument})")
}

fn digests() -> String {
    project().join("digests.json").display().to_string()
}

/// A call on the table of the cases in the file at `path`.
fn call_of_case(path: &Path, argument: &Value) -> String {
    let set = match argument {
        Value::String(image) => json!({ "image": image }),
        set => set.clone(),
    };
    call(
        &format!("builtins.fromJSON {}", literal(&set.to_string())),
        format!(
            "(builtins.fromJSON (builtins.readFile {})).digests",
            path.display()
        ),
    )
}

/// The error of a call, without what the C API puts before it.
#[track_caller]
fn error(nix: &Nix, call: &str) -> String {
    let error = nix.error(call);
    let error = error.strip_prefix("Error from custom function: builtins.ociHash: ");
    error.unwrap_or_else(|| panic!("{call}: {error:?}")).into()
}

#[test]
fn every_lookup_case_has_the_same_answer() {
    let nix = nix();
    let (path, cases) = lookup_cases();
    let cases = cases["cases"].as_array().unwrap();
    let answered = || cases.iter().filter(|case| case["error"].is_null());
    let calls: Vec<String> = answered()
        .map(|case| format!("({})", call_of_case(&path, &case["argument"])))
        .collect();
    let answers = nix.value(&format!("[ {} ]", calls.join(" ")));
    for (i, case) in answered().enumerate() {
        assert_eq!(answers[i], case["answer"], "{}", case["name"]);
    }
    assert!(calls.len() > 50);
}

#[test]
fn every_lookup_case_has_the_same_error() {
    let nix = nix();
    let (path, cases) = lookup_cases();
    let failing = cases["cases"].as_array().unwrap().iter();
    let mut errors = 0;
    for case in failing.filter(|case| !case["error"].is_null()) {
        let error = error(&nix, &call_of_case(&path, &case["argument"]));
        assert_eq!(
            error.trim_end(),
            case["error"].as_str().unwrap(),
            "{}",
            case["name"]
        );
        errors += 1;
    }
    assert!(errors > 50);
}

#[test]
fn the_table_is_a_path_a_string_a_derivation_or_a_parsed_set() {
    let nix = nix();
    let digests = digests();
    for table in [
        digests.clone(),
        format!("\"{digests}\""),
        format!("{{ outPath = {digests}; }}"),
        format!("{{ outPath.outPath = \"{digests}\"; }}"),
        format!("builtins.fromJSON (builtins.readFile {digests})"),
    ] {
        let answer = nix.value(&call("{ image = \"nextcloud:34\"; }", &table));
        assert_eq!(answer, json!(nextcloud_34(None)), "{table}");
    }
}

#[test]
fn the_lib_of_the_flake_answers_with_it() {
    let nix = nix();
    let lib = format!(
        "(import {}/nix/lib.nix {{ digests = {}; }})",
        project().display(),
        digests()
    );
    let answer = nix.value(&format!("{lib}.ociHash \"nextcloud:34\""));
    assert_eq!(answer, json!(nextcloud_34(None)));
}

#[test]
fn a_call_without_a_table_says_what_to_add() {
    let nix = nix();
    for argument in ["\"nextcloud:34\"", "{ image = \"nextcloud:34\"; }"] {
        let error = error(&nix, &format!("builtins.ociHash {argument}"));
        assert!(
            error.contains("the plugin has no build for Nix "),
            "{error}"
        );
        assert!(error.contains("add an attribute such as digests = ./digests.json"));
    }
}

#[test]
fn a_wrong_argument_is_named() {
    let nix = nix();
    let broken = nix.home().join("broken.json");
    fs::write(&broken, "{ \"version\": 1, ").unwrap();
    let wrong = |argument: &str, digests: &dyn std::fmt::Display, message: &str| {
        let error = error(&nix, &call(argument, digests));
        assert!(error.contains(message), "{argument}: {error}");
    };
    let digests = digests();
    let image = "{ image = \"a:1\"; }";
    wrong(
        "{ image = null; }",
        &digests,
        "the attribute 'image' is null",
    );
    wrong(
        "{ image = \"a\"; version = 34; }",
        &digests,
        "the attribute 'version' is an integer; write a string",
    );
    wrong(
        "{ imgae = throw \"not forced\"; }",
        &digests,
        "unknown attribute 'imgae'",
    );
    wrong(
        "{ image = builtins.toFile \"a\" \"b\"; }",
        &digests,
        "the attribute 'image' refers to a store path",
    );
    wrong(image, &3, "the attribute 'digests' is an integer");
    wrong(
        image,
        &"{ outPath = 3; }",
        "has an outPath that is an integer",
    );
    wrong(
        image,
        &"/nonexistent/digests.json",
        "the attribute 'digests' cannot be read: ",
    );
    wrong(image, &broken.display(), "EOF while parsing");
}

#[test]
fn what_the_users_own_expressions_throw_is_thrown_unchanged() {
    let nix = nix();
    let error = nix.error(&call("{ image = throw \"mine\"; }", digests()));
    assert_eq!(error.trim_end(), "mine");
    let table = "{ version = 1; images = throw \"mine, too\"; }";
    let error = nix.error(&call("{ image = \"a:1\"; }", table));
    assert_eq!(error.trim_end(), "mine, too");
}

#[test]
fn restricted_evaluation_reads_only_what_nix_allows() {
    let nix = nix();
    let nix = nix.set("restrict-eval", "true");
    let error = error(&nix, &call("{ image = \"a:1\"; }", digests()));
    assert!(
        error.contains("the attribute 'digests' cannot be read: access to"),
        "{error}"
    );
}

#[test]
fn try_eval_does_not_catch_its_errors() {
    let nix = nix();
    let call = call("{ image = \"nextclud:34\"; }", digests());
    let outcome = nix.eval(&format!("builtins.tryEval ({call})")).code(1);
    let message = "docker.io/nextclud is not tracked";
    assert!(outcome.stderr.contains(message), "{outcome:?}");
}

#[test]
fn nix_works_with_it_as_without() {
    let nix = nix();
    assert_eq!(nix.value("1 + 1"), json!(2));
    let outcome = nix.eval("1 + 1").code(0);
    assert_eq!(outcome.stderr, "");
    let build = folder(&nix).join(BUILD);
    // A truncated build leaves the builtin out.
    let content = fs::read(&build).unwrap();
    fs::write(build, &content[..content.len() / 2]).unwrap();
    let Outcome { stdout, stderr, .. } = nix.eval("1 + 1").code(0);
    assert_eq!(
        (stdout.trim(), stderr.lines().count()),
        ("2", 1),
        "{stderr}"
    );
    assert!(stderr.contains("its end is missing"), "{stderr}");
}
