//! `builtins.ociHash` in a real Nix.
use crate::support::nix::{Flavour, Nix, literal};
use crate::support::{lookup_cases, nextcloud_34, project};
use serde_json::{Value, json};

#[test]
fn every_lookup_case_holds() {
    let nix = Nix::with_plugin();
    let (path, cases) = lookup_cases();
    // A string is looked up in the built-in table; only a set can name another table.
    let call = |filter: &str| {
        format!(
            "let file = builtins.fromJSON (builtins.readFile {});
                 set = case: if builtins.isString case.argument then {{ image = case.argument; }} else case.argument;
                 ask = case: builtins.ociHash (set case // {{ inherit (file) digests; }});
             in {filter}",
            path.display()
        )
    };
    let answers = nix.value(&call(
        "map (c: if c ? answer then ask c else null) file.cases",
    ));
    for (i, case) in cases["cases"].as_array().unwrap().iter().enumerate() {
        if let Value::String(error) = &case["error"] {
            let got = nix.error(&call(&format!("ask (builtins.elemAt file.cases {i})")));
            let expected = format!("builtins.ociHash: {error}\n");
            assert!(got.starts_with(&expected), "{}: {got}", case["name"]);
        } else {
            assert_eq!(answers[i], case["answer"], "{}", case["name"]);
        }
    }
}

#[test]
fn a_string_is_looked_up_in_the_built_in_table() {
    let nix = Nix::with_plugin();
    let reference = nextcloud_34(None);
    assert_eq!(
        nix.value("builtins.ociHash \"docker.io/nextcloud:34\""),
        json!(reference)
    );
    assert_eq!(
        nix.value(&format!("builtins.ociHash \"{reference}\"")),
        json!(reference)
    );
    assert_eq!(
        nix.value("builtins.ociHash { image = \"nextcloud\"; version = \"34\"; platform = \"aarch64-linux\"; }"),
        json!(nextcloud_34(Some("linux/arm64")))
    );
}

#[test]
fn the_table_is_a_path_a_string_a_parsed_set_or_a_store_path() {
    let nix = Nix::with_plugin();
    let digest = format!("sha256:{}", "34".repeat(32));
    let table = json!({ "version": 1, "images": { "docker.io/a": { "1": { "digest": digest } } } });
    let file = nix.home().join("digests.json");
    std::fs::write(&file, table.to_string()).unwrap();
    let file = file.display();
    for digests in [
        format!("{file}"),
        format!("\"{file}\""),
        format!("builtins.fromJSON (builtins.readFile {file})"),
        format!("builtins.toFile \"digests.json\" (builtins.readFile {file})"),
        format!("\"${{{file}}}\""),
        format!("{{ outPath = {file}; }}"),
    ] {
        let call = format!("builtins.ociHash {{ image = \"a:1\"; digests = {digests}; }}");
        assert_eq!(
            nix.value(&call),
            json!(format!("docker.io/a:1@{digest}")),
            "{digests}"
        );
    }
}

#[test]
fn an_evaluation_can_use_several_tables() {
    let nix = Nix::with_plugin();
    let mut answers = Vec::new();
    for digit in ["5", "6"] {
        let digest = format!("sha256:{}", digit.repeat(64));
        let table =
            json!({ "version": 1, "images": { "docker.io/a": { "1": { "digest": digest } } } });
        let file = nix.home().join(format!("{digit}.json"));
        std::fs::write(file, table.to_string()).unwrap();
        answers.push(format!("docker.io/a:1@{digest}"));
    }
    let home = nix.home().display();
    let expression = format!(
        "map (digests: builtins.ociHash {{ image = \"a:1\"; inherit digests; }})
           [ {home}/5.json {home}/6.json {home}/5.json
             (builtins.fromJSON (builtins.readFile {home}/6.json)) {home}/5.json ]"
    );
    let expected: Vec<_> = [0, 1, 0, 1, 0].map(|i| json!(answers[i])).into();
    assert_eq!(nix.value(&expression), json!(expected));
}

#[test]
fn bad_tables_are_clear_errors() {
    let nix = Nix::with_plugin();
    let flavour = nix.release().flavour;
    let home = nix.home().display().to_string();
    let good = project().join("digests.json").display().to_string();
    let written = |name: &str, content: &[u8]| {
        std::fs::write(nix.home().join(name), content).unwrap();
        format!("{home}/{name}")
    };
    let deep = written("deep.json", &b"[".repeat(10_000_000));
    let cut = std::fs::read(&good).unwrap();
    let cut = written("cut.json", &cut[..cut.len() / 2]);
    let html = written("html.json", b"<html></html>");
    let empty = written("empty.json", b"");
    let nul = written("nul.json", b"{\0}");
    for (digests, message) in [
        (
            format!("{home}/missing.json"),
            format!("'{home}/missing.json'"),
        ),
        (
            home.clone(),
            "the attribute 'digests' cannot be read: ".to_owned(),
        ),
        (
            empty,
            "empty.json: the file is empty; mend the file".to_owned(),
        ),
        (
            html,
            "html.json:1:1: expected value; mend the file".to_owned(),
        ),
        (cut, "cut.json:".to_owned()),
        (deep, "deep.json:1:".to_owned()),
        (
            "{ }".to_owned(),
            "missing field `version`; pass the set that builtins.fromJSON makes".to_owned(),
        ),
        (
            "{ version = 3; images = { }; }".to_owned(),
            "its version is 3, and this nix-oci-hashes".to_owned(),
        ),
        (
            "{ \"docker.io/a\".\"1\".\"linux/amd64\" = \"docker.io/a:1@sha256:00\"; }".to_owned(),
            "it is a table of the first nix-oci-hashes; give it another name".to_owned(),
        ),
        (
            nul,
            // A string of Lix may hold a NUL, and the table has it then.
            match flavour {
                Flavour::Lix => "nul.json:1:2: key must be a string; mend the file".to_owned(),
                _ => "cannot be represented as a Nix string; write the path of a digests.json"
                    .to_owned(),
            },
        ),
        (
            "\"digests.json\"".to_owned(),
            "doesn't represent an absolute path; write the path of a digests.json".to_owned(),
        ),
        (
            format!("builtins.readFile {good}"),
            "more characters); write the path of a digests.json or the set".to_owned(),
        ),
        (
            "{ outPath = \"digests.json\"; }".to_owned(),
            "doesn't represent an absolute path".to_owned(),
        ),
        (
            "{ outPath = 3; }".to_owned(),
            "the attribute 'digests' has an outPath that is an integer; write".to_owned(),
        ),
        (
            "{ version = 1; images = x: x; }".to_owned(),
            "cannot convert a function to JSON".to_owned(),
        ),
        (
            "3".to_owned(),
            "the attribute 'digests' is an integer; write the path".to_owned(),
        ),
        (
            "null".to_owned(),
            "the attribute 'digests' is null".to_owned(),
        ),
        (
            "[ ]".to_owned(),
            "the attribute 'digests' is a list".to_owned(),
        ),
    ] {
        let call = format!("builtins.ociHash {{ image = \"a:1\"; digests = {digests}; }}");
        let error = nix.error(&call);
        assert!(error.starts_with("builtins.ociHash: "), "{error}");
        assert!(error.contains(&message), "{error}");
        let is_missing = digests.ends_with("missing.json");
        assert!(!is_missing || error.contains("cannot be read: "), "{error}");
        assert!(error.len() < 1_000, "{error}");
        assert_eq!(
            nix.value(&format!("(builtins.tryEval ({call})).success")),
            json!(false)
        );
    }
}

#[test]
fn bad_arguments_are_clear_errors() {
    let nix = Nix::with_plugin();
    for (argument, message) in [
        ("3", "the argument is an integer; write a reference"),
        ("null", "the argument is null; write"),
        ("[ ]", "the argument is a list; write"),
        ("(x: x)", "the argument is a function; write"),
        ("./Cargo.toml", "the argument is a path; write"),
        ("{ }", "the set has no attribute 'image'"),
        (
            "{ image = 3; }",
            "the attribute 'image' is an integer; write a string",
        ),
        (
            "{ image = \"a\"; version = 34; }",
            "the attribute 'version' is an integer; write a string",
        ),
        (
            "{ image = \"a\"; platform = null; }",
            "the attribute 'platform' is null; write a string",
        ),
        (
            "{ version = 3; platform = 4; image = 5; }",
            "the attribute 'image' is an integer; write a string",
        ),
        (
            "{ imgae = throw \"not forced\"; }",
            "unknown attribute 'imgae'; the set takes image, version",
        ),
        ("\"\"", "invalid image reference ''"),
        ("\"   \"", "invalid image reference '   '"),
        ("\"a\\nb\"", "invalid image reference 'a\\nb'"),
        ("\"\\t\"", "invalid image reference '\\t'"),
        (
            "(builtins.toFile \"a\" \"b\")",
            "the argument refers to a store path",
        ),
        (
            "{ image = builtins.toFile \"a\" \"b\"; }",
            "the attribute 'image' refers to a store path",
        ),
        (
            "(builtins.concatStringsSep \"\" (builtins.genList (_: \"a\") 1000000))",
            "(999900 more characters)",
        ),
    ] {
        let error = nix.error(&format!("builtins.ociHash {argument}"));
        assert!(error.starts_with("builtins.ociHash: "), "{error}");
        assert!(error.contains(message), "{error}");
        assert!(error.len() < 2_000, "{error}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_a_clear_error() {
    let nix = Nix::with_plugin();
    let flavour = nix.release().flavour;
    for (name, expression, message) in [
        (
            "a.nix",
            &b"builtins.ociHash \"a\xff\xfe\""[..],
            "the image is not UTF-8",
        ),
        (
            "b.nix",
            b"builtins.ociHash { image = \"a\xff\"; }",
            "the image is not UTF-8",
        ),
        (
            "c.nix",
            b"builtins.ociHash { image = \"a\"; \"\xff\" = 1; }",
            "unknown attribute",
        ),
        (
            "d.nix",
            b"builtins.ociHash (builtins.readFile ./nul)",
            match flavour {
                Flavour::Lix => "invalid image reference 'a\\u{0}b'",
                _ => "contents of the file",
            },
        ),
    ] {
        std::fs::write(nix.home().join(name), expression).unwrap();
        std::fs::write(nix.home().join("nul"), "a\0b").unwrap();
        let file = nix.home().join(name);
        let outcome = nix
            .eval_with(&["--impure", "-f", file.to_str().unwrap()])
            .code(1);
        assert!(outcome.stderr.contains(message), "{outcome:#?}");
    }
}

#[test]
fn errors_thrown_by_an_argument_pass_through() {
    let nix = Nix::with_plugin();
    for argument in [
        "(throw \"mine\")",
        "{ image = throw \"mine\"; }",
        "{ image = \"a\"; digests = throw \"mine\"; }",
        "{ image = \"a\"; digests = { version = 1; images = throw \"mine\"; }; }",
    ] {
        let call = format!("builtins.ociHash {argument}");
        assert!(nix.error(&call).starts_with("mine\n"), "{argument}");
        assert_eq!(
            nix.value(&format!("(builtins.tryEval ({call})).success")),
            json!(false)
        );
    }
    // `tryEval` does not catch `abort`, even with the builtin in between.
    let error = nix
        .error("builtins.tryEval (builtins.ociHash { image = \"a\"; digests = abort \"mine\"; })");
    assert!(
        error.contains("aborted with the following error message: 'mine'"),
        "{error}"
    );
}

#[test]
fn errors_have_the_callers_position_and_can_be_caught() {
    let nix = Nix::with_plugin();
    let file = nix.home().join("configuration.nix");
    std::fs::write(
        &file,
        "{\n  image =\n    builtins.ociHash \"docker.io/nextcloud:99\";\n}\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let outcome = nix.eval_with(&["--impure", "-f", file, "image"]).code(1);
    assert!(
        outcome.stderr.contains(&format!("at {file}:3:5:")),
        "{outcome:#?}"
    );
    assert_eq!(
        nix.value(&format!(
            "(builtins.tryEval (import {}).image).success",
            literal(file)
        )),
        json!(false)
    );
}

#[test]
fn pure_evaluation_reads_nothing_outside_the_store() {
    let nix = Nix::with_plugin();
    let table = project().join("digests.json");
    let outcome = nix
        .eval_with(&["--expr", "builtins.ociHash \"nextcloud:34\""])
        .code(0);
    assert!(outcome.stdout.contains(&nextcloud_34(None)));
    let call = format!(
        "builtins.ociHash {{ image = \"nextcloud:34\"; digests = {}; }}",
        table.display()
    );
    let outcome = nix.eval_with(&["--expr", &call]).code(1);
    assert!(
        outcome.stderr.contains("is forbidden in pure eval"),
        "{outcome:#?}"
    );
}

#[test]
fn the_manual_page_of_the_builtin_is_shown() {
    let page = Nix::with_plugin().repl(":doc builtins.ociHash\n");
    for part in [
        "Synopsis:",
        "builtins.ociHash",
        "docker.io/nextcloud:34",
        "platform",
        "digests",
    ] {
        assert!(page.contains(part), "{page}");
    }
}

#[test]
fn nothing_but_the_builtin_is_added() {
    let names = "builtins.attrNames builtins";
    let with = Nix::with_plugin().value(names);
    let without = Nix::without_plugin().value(names);
    let (with, without) = (with.as_array().unwrap(), without.as_array().unwrap());
    let added: Vec<_> = with.iter().filter(|name| !without.contains(name)).collect();
    assert_eq!(added, [&json!("ociHash")]);
    let error = Nix::with_plugin().error("ociHash");
    assert!(error.contains("undefined variable 'ociHash'"), "{error}");
}

#[test]
fn the_page_of_the_builtin_shows_the_real_error() {
    let nix = Nix::with_plugin();
    let page = std::fs::read_to_string(project().join("docs/builtin.md")).unwrap();
    let error = page.lines().find_map(|line| line.strip_prefix("error: "));
    let said = nix.error("builtins.ociHash \"homeassistant\"");
    assert_eq!(said.lines().next(), error);
}

#[test]
fn ten_thousand_lookups_in_one_evaluation_agree() {
    let nix = Nix::with_plugin();
    let table = project().join("digests.json");
    let call = format!(
        "let digests = builtins.fromJSON (builtins.readFile {0});
             ask = i: builtins.ociHash (
               if i - (i / 50) * 50 == 0 then {{ image = \"nextcloud:34\"; inherit digests; }}
               else if i - (i / 10) * 10 == 0 then {{ image = \"nextcloud:34\"; digests = {0}; }}
               else \"nextcloud:34\");
             answers = builtins.genList ask 10000;
         in builtins.length (builtins.filter (answer: answer == ask 1) answers)",
        table.display()
    );
    assert_eq!(nix.value(&call), json!(10000));
}
