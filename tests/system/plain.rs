//! The lookup in plain Nix, with and without the plugin.

use crate::support::nix::{Nix, literal};
use crate::support::{lookup_cases, nextcloud_34, project};
use nix_oci_hashes::lookup::Query;
use nix_oci_hashes::table::Table;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};

/// An expression that evaluates `filter` with the lookup of plain Nix in scope.
fn with_lookup(filter: &str) -> String {
    format!(
        "let
           names = import {0}/nix/lib/name.nix;
           inherit (import {0}/nix/lib/lookup.nix) lookup;
           inherit (import {0}/nix/lib/table.nix) load;
           said = table: argument:
             let result = lookup table argument; in
             if result ? error then {{ inherit (result) error; }}
             else {{ answer = names.toText result.value; }};
         in {filter}",
        project().display()
    )
}

/// An expression that evaluates `filter` with the flake's `lib` and the cases in scope.
fn with_lib(filter: &str) -> String {
    let project = project().display();
    let (path, _) = lookup_cases();
    format!(
        "let
           file = builtins.fromJSON (builtins.readFile {});
           lib = import {project}/nix/lib.nix {{ inherit (file) digests; }};
         in {filter}",
        path.display()
    )
}

/// An error as plain Nix writes it: `?` replaces everything but printable ASCII. A run of
/// `?` becomes one, so that its length is not compared.
fn in_plain_nix(error: &str) -> String {
    let mut plain = String::new();
    let mut rest = error;
    while let Some(character) = rest.chars().next() {
        let escaped = ["\\n", "\\t", "\\r"]
            .into_iter()
            .find(|it| rest.starts_with(it));
        let length = match escaped {
            Some(escaped) => escaped.len(),
            None if rest.starts_with("\\u{") => rest.find('}').unwrap() + 1,
            None => character.len_utf8(),
        };
        let is_shown = length == 1 && character != '?';
        if is_shown {
            plain.push(character);
        } else if !plain.ends_with('?') {
            plain.push('?');
        }
        rest = &rest[length..];
    }
    plain
}

/// Whether the results of plain Nix and of Rust are the same.
fn agrees(plain: &Value, rust: &Value) -> bool {
    match (plain["error"].as_str(), rust["error"].as_str()) {
        (Some(plain), Some(rust)) => plain == rust || in_plain_nix(plain) == in_plain_nix(rust),
        _ => plain == rust,
    }
}

#[test]
fn every_lookup_case_holds() {
    let (path, cases) = lookup_cases();
    let said = Nix::without_plugin().value(&with_lookup(&format!(
        "let file = builtins.fromJSON (builtins.readFile {}); in
         map (case: said (load file.digests) case.argument) file.cases",
        path.display()
    )));
    for (i, case) in cases["cases"].as_array().unwrap().iter().enumerate() {
        let expected = match &case["error"] {
            Value::Null => json!({ "answer": case["answer"] }),
            error => json!({ "error": error }),
        };
        assert!(agrees(&said[i], &expected), "{}: {}", case["name"], said[i]);
    }
}

#[test]
fn the_flakes_lib_answers_the_same_with_and_without_the_plugin() {
    let (_, cases) = lookup_cases();
    let answers =
        with_lib("map (c: if c ? answer then lib.ociHash c.argument else null) file.cases");
    let without = Nix::without_plugin().value(&answers);
    assert_eq!(without, Nix::with_plugin().value(&answers));
    let mut errors = 0;
    for (i, case) in cases["cases"].as_array().unwrap().iter().enumerate() {
        if let Value::String(error) = &case["error"] {
            errors += 1;
            // A process for each error is slow. `every_lookup_case_holds` compares all texts.
            if errors % 7 == 0 {
                let call = with_lib(&format!(
                    "lib.ociHash (builtins.elemAt file.cases {i}).argument"
                ));
                let said = Nix::without_plugin().error(&call);
                let plain = said.lines().next().unwrap();
                let expected = in_plain_nix(&format!("ociHash: {error}"));
                assert_eq!(in_plain_nix(plain), expected, "{said}");
                let said = Nix::with_plugin().error(&call);
                let expected = format!("builtins.ociHash: {error}\n");
                assert!(said.starts_with(&expected), "{said}");
            }
        } else {
            assert_eq!(without[i], case["answer"], "{}", case["name"]);
        }
    }
    assert!(errors > 50);
}

#[test]
fn try_eval_catches_an_error_of_one_lookup() {
    let nix = Nix::without_plugin();
    let call = with_lib(
        "map (argument: builtins.tryEval (lib.ociHash argument))
           [ \"nextcloud:34\" \"nextclud:34\" { image = \"nextcloud\"; version = \"^99\"; } ]",
    );
    let results = nix.value(&call);
    assert_eq!(results[0]["success"], json!(true));
    assert_eq!(results[1]["success"], json!(false));
    assert_eq!(results[2]["success"], json!(false));
}

#[test]
fn a_wrong_argument_is_named() {
    let nix = Nix::without_plugin();
    for (call, message) in [
        ("ociHash 3", "the argument is an integer; write a reference"),
        ("ociHash ./Cargo.toml", "the argument is a path; write"),
        ("ociHash { image = null; }", "the attribute 'image' is null"),
        (
            "ociHash { image = \"a\"; version = 34; }",
            "the attribute 'version' is an integer; write a string",
        ),
        (
            "ociHash { imgae = throw \"not forced\"; }",
            "unknown attribute 'imgae'; the set takes image, version",
        ),
        (
            "ociHash (builtins.toFile \"a\" \"b\")",
            "the argument refers to a store path",
        ),
        (
            "ociHash { image = \"a:1\"; digests = 3; }",
            "the attribute 'digests' is an integer; write the path",
        ),
        (
            "ociHash { image = \"a:1\"; digests = { }; }",
            "the attribute 'digests' is no table of pins; pass",
        ),
        (
            "ociHash { image = \"a:1\"; digests = { version = 3; images = { }; }; }",
            "its version is 3, and this nix-oci-hashes reads 1 and 2; use a newer",
        ),
        (
            "ociHash { image = \"a:1\"; digests = { version = 1; images.\"docker.io/a\".\"1\".digest = \"x\"; }; }",
            "invalid digest 'x'",
        ),
        (
            "ociHash { image = \"a:1\"; digests = { version = 1; images.\"docker.io/a\".\"1\" = { }; }; }",
            "the pins of docker.io/a are malformed: each takes a 'digest'",
        ),
        (
            "ociHash { image = \"a:1\"; digests = { version = 1; images.\"docker.io/a\" = 3; }; }",
            "the pins of docker.io/a are malformed",
        ),
        ("platformOf \"amd64\"", "invalid platform 'amd64'"),
        ("platformOf 3", "the platform is an integer; write a string"),
        (
            "parseReference \"a:\"",
            "invalid image reference 'a:': invalid tag ''",
        ),
        (
            "parseReference null",
            "the reference is null; write a string",
        ),
        (
            "pullArgs \"nextclud:34\"",
            "docker.io/nextclud is not tracked",
        ),
    ] {
        let error = nix.error(&with_lib(&format!("lib.{call}")));
        assert!(error.starts_with("ociHash: "), "{call}: {error}");
        assert!(error.contains(message), "{call}: {error}");
    }
}

#[test]
fn the_table_is_a_path_a_string_a_derivation_or_a_parsed_set() {
    let digests = project().join("digests.json");
    let digests = digests.display();
    for nix in [Nix::without_plugin(), Nix::with_plugin()] {
        for table in [
            format!("{digests}"),
            format!("\"{digests}\""),
            format!("{{ outPath = {digests}; }}"),
            format!("(builtins.fromJSON (builtins.readFile {digests}))"),
        ] {
            let answer = nix.value(&format!(
                "(import {}/nix/lib.nix {{ digests = {table}; }}).ociHash \"nextcloud:34\"",
                project().display()
            ));
            let given = nix.value(&with_lib(&format!(
                "lib.ociHash {{ image = \"nextcloud:34\"; digests = {table}; }}"
            )));
            assert_eq!(answer, given);
            assert_eq!(answer, json!(nextcloud_34(None)));
        }
    }
}

#[test]
fn a_table_in_other_spellings_is_understood() {
    let table = json!({ "version": 1, "images": { "library/a": { "1": {
        "digest": format!("sha256:{}", "1".repeat(64)),
        "platforms": { "linux/arm64/v8": format!("sha256:{}", "2".repeat(64)) },
    } } } });
    let call = |argument: &str| {
        with_lib(&format!(
            "lib.ociHash ({argument} // {{ digests = builtins.fromJSON {}; }})",
            literal(&table.to_string())
        ))
    };
    for nix in [Nix::without_plugin(), Nix::with_plugin()] {
        assert_eq!(
            nix.value(&call("{ image = \"a:1\"; platform = \"aarch64-linux\"; }")),
            json!(format!("docker.io/a:1@sha256:{}", "2".repeat(64)))
        );
    }
}

#[test]
fn lib_parses_references_and_platforms() {
    let nix = Nix::without_plugin();
    let digest = format!("sha256:{}", "3".repeat(64));
    assert_eq!(
        nix.value(&with_lib(&format!(
            "lib.parseReference \"nextcloud:34@{digest}\""
        ))),
        json!({
            "image": "docker.io/nextcloud",
            "registry": "docker.io",
            "repository": "library/nextcloud",
            "tag": "34",
            "digest": digest,
        })
    );
    assert_eq!(
        nix.value(&with_lib("lib.parseReference \"localhost:5000/a/b\"")),
        json!({
            "image": "localhost:5000/a/b",
            "registry": "localhost:5000",
            "repository": "a/b",
            "tag": null,
            "digest": null,
        })
    );
    assert_eq!(
        nix.value(&with_lib(
            "map lib.platformOf [ \"x86_64-linux\" \"aarch64-darwin\" \"linux/arm\" \"Linux/ARM64/v8\" ]"
        )),
        json!(["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/arm64"])
    );
}

/// Arguments that are almost valid, as users mistype them.
fn argument() -> impl Strategy<Value = Map<String, Value>> {
    let image = prop_oneof![
        4 => "(docker\\.io/|)(nextcloud|plexinc/pms-docker|vaultwarden/server|gitlab/gitlab-ce)",
        3 => "(docker\\.io/|index\\.docker\\.io/|library/|)(nextcloud|nextclou|nxetcloud|next-cloud|grafana/grafana)(:(34|34-fpm|35|33\\.0\\.9|latest|1|v1))?",
        2 => "(ghcr\\.io/|lscr\\.io/|)(home-assistant/home-assistant|homeassistant|linuxserver/sonarr|example/many|example/mixed|immich|gitlab-ce|pms|vaultwarden)",
        3 => "ghcr\\.io/example/(builds|spellings|words|extensions)|(example/floating|caddy|odoo|minio/minio|eclipse-temurin)",
        2 => "(nextcloud|odoo|example/floating|minio/minio|ghcr\\.io/example/spellings):(\\^|~|>=|<)?(34|17|19|2025)(\\.(0|5|9|x))?( <35)?(@sha256:(44){32})?",
        1 => "([a-zA-Z0-9.-]{1,6}(:[0-9]{0,6})?|\\[[0-9a-f:]{0,12}\\](:5)?|localhost)/[a-z0-9]{1,3}([._/-]{1,3}[a-zA-Z0-9]{1,3}){0,3}(:[a-zA-Z0-9._-]{0,5})?",
        1 => "nextcloud(:34)?@(sha256|sha512|md5):[0-9a-f]{0,3}",
        1 => "nextcloud:34@sha256:(34){32}|nextcloud@sha256:(5b){32}|nextcloud:34@sha256:(00){32}",
        1 => "[a-f0-9]{64}",
        1 => "[ -~]{0,12}",
        1 => "\\PC{0,120}",
    ];
    let version = prop_oneof![
        4 => "[\\^~]?(34|33|34\\.0|1|18|1\\.42)|\\*|latest|>=1, <34",
        3 => "(\\^|~|>=|<=|>|<|=|)(17|18|33|34|35|1|4|2026|20260901)(\\.(0|1|x|\\*|11|10)){0,3}(-(rc|beta|alpha|dev|x)?\\.?[0-9]{0,2})?",
        2 => "(\\^|~|>=|<|<=|=)(17|18|33|34|2025|2)(\\.(0|3|5|9|11)){0,2}( |,|, | \\|\\| |\\|\\|)(\\^|~|>=|<|<=|=)?(17|18|34|35|21)(\\.(0|3|4)){0,2}",
        1 => "(~>|==|=>|=<|!=|\\^)? ?v?[0-9]{1,2}(\\.[0-9x]){0,3}( - [0-9])?",
        2 => "(\\^|~|>=|<|) ?[0-9]{1,2}(\\.[0-9]{1,2}){0,2}, ?(<|>|=)[0-9]{1,2}(\\.[0-9x]){0,2}",
        1 => "[0-9]{1,3}(\\.[0-9]{1,3}){0,3}[-.]?(fpm|rc1|b2|alpine3\\.22|4e8b05daf)?",
        1 => "[*xX^~<>=,0-9. +a-]{0,9}",
        1 => "[ -~]{0,8}",
        1 => ">=1\\PC",
    ];
    let variant = prop_oneof![
        2 => "-(fpm|alpine|ce\\.#|ls#|ls185|debian|rc1|4e8b05daf|#|dev|ea|jdk|jre)",
        1 => "-(vectorchord#\\.#\\.#|vectorchord#\\.#\\.#-pgvectors#\\.#\\.#|debian-#-r#|##|#1)",
        1 => "[-#a-z0-9.]{0,6}",
    ];
    let platform = prop_oneof![
        2 => "(linux|Linux|windows|unknown)/(amd64|arm64|arm|armhf|armel|aarch64|x86_64|386|i686|s390x)(/(v1|v5|v6|v7|v8|v9|8|7|))?",
        1 => "(x86_64|aarch64|armv7l|riscv64|sparc)-(linux|darwin|plan9)",
        1 => "[a-z/_.A-Z -]{0,10}",
    ];
    let optional =
        |strategy: BoxedStrategy<String>, chance| prop::option::weighted(chance, strategy);
    (
        optional(image.boxed(), 0.98),
        optional(version.boxed(), 0.6),
        optional(variant.boxed(), 0.2),
        optional(platform.boxed(), 0.3),
    )
        .prop_map(|(image, version, variant, platform)| {
            [
                ("image", image),
                ("version", version),
                ("variant", variant),
                ("platform", platform),
            ]
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?))))
            .collect()
        })
}

/// The result of Rust, which gets the attributes in the order of the builtin.
fn result_of_rust(argument: &Map<String, Value>, table: &Table) -> Value {
    let query = Query::from_attributes(
        ["image", "version", "variant", "platform"]
            .into_iter()
            .filter_map(|name| Some((name, argument.get(name)?.as_str()?))),
    );
    let answer = query
        .map_err(|error| error.to_string())
        .and_then(|query| query.answer(table).map_err(|error| error.to_string()));
    match answer {
        Ok(reference) => json!({ "answer": reference.to_string() }),
        Err(error) => json!({ "error": error }),
    }
}

#[test]
fn plain_nix_and_rust_agree_on_random_arguments() {
    let (path, cases) = lookup_cases();
    let table = Table::parse(cases["digests"].to_string().as_bytes(), "lookup.json").unwrap();
    let mut runner = random();
    let strategy = argument();
    let arguments: Vec<Map<String, Value>> = (0..4_000)
        .map(|_| strategy.new_tree(&mut runner).unwrap().current())
        .collect();
    let nix = Nix::without_plugin();
    let file = nix.home().join("arguments.json");
    std::fs::write(&file, json!(arguments).to_string()).unwrap();
    let said = nix.value(&with_lookup(&format!(
        "let
           file = builtins.fromJSON (builtins.readFile {});
           arguments = builtins.fromJSON (builtins.readFile {});
         in map (said (load file.digests)) arguments",
        path.display(),
        file.display()
    )));
    let mut answers = 0;
    for (i, argument) in arguments.iter().enumerate() {
        let expected = result_of_rust(argument, &table);
        let is_cut = |said: &Value| said.to_string().contains(" more characters)");
        if is_cut(&said[i]) || is_cut(&expected) {
            // Rust cuts after a hundred characters, plain Nix after as many bytes.
            let ends = |said: &Value| {
                let error = said["error"].as_str().unwrap();
                let start = error.split('\'').next().unwrap().to_owned();
                (start, error.rsplit('\'').next().unwrap().to_owned())
            };
            assert_eq!(ends(&said[i]), ends(&expected), "{}", json!(argument));
        } else {
            let is_equal = agrees(&said[i], &expected);
            assert!(is_equal, "{}: {} {expected}", json!(argument), said[i]);
        }
        answers += usize::from(expected.get("answer").is_some());
    }
    assert!((250..3_000).contains(&answers), "{answers} answers");
}

/// A source of random values with a new seed each run. The seed is printed if the test
/// fails.
fn random() -> TestRunner {
    let seed: [u8; 32] = std::array::from_fn(|_| fastrand::u8(..));
    println!("seed {seed:?}");
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    TestRunner::new_with_rng(Config::default(), rng)
}

/// Random tags of an image, and for some the version and variant that a pin records.
fn random_tags() -> impl Strategy<Value = Vec<(String, Option<(String, String)>)>> {
    let tag = prop_oneof![
        6 => "v?(1|2|17|18)(\\.(0|4|5|11)){0,3}",
        2 => "(1|2|17)(\\.(0|4)){0,2}-(fpm|alpine3\\.22|ce\\.[0-9]|ls1[0-9]|94|2025091[0-9]|dev|ea|debian-12-r[0-9])",
        2 => "(1|2|17)(\\.(0|4)){1,2}-(4e8b05daf|55212038[0-9]|c635284|1234567|b123456)(-fpm)?",
        1 => "(1|2|17)\\.0(\\.0)?-?(rc|beta|b|dev|M)\\.?[0-9]{0,2}",
        1 => "0?[0-9]{6,8}|latest|34\\.x|sha-4e8b05d",
    ];
    let recorded = (
        "[1-3](\\.(0|4|5)){0,3}(\\+[0-9](\\.[0-9])?)?",
        "(-jdk|-jre)?",
    );
    prop_oneof![
        4 => prop::collection::vec((tag.clone(), Just(None)), 1..9),
        1 => prop::collection::vec((tag, prop::option::of(recorded)), 1..9),
    ]
}

#[test]
fn plain_nix_and_rust_agree_on_random_tables() {
    let mut runner = random();
    let requirement = "(\\^|~|>=|<=|<|>|=)(1|2|17|18|1234567)(\\.(0|4|5|11)){0,2}( ?(,|\\|\\|) ?<(2|17|18)(\\.5)?)?|\\*|>=1\\.0\\.0-rc1";
    let variant = "-(fpm|ce\\.#|ls#|#|dev|ea|jdk|debian-#-r#|alpine3\\.#)";
    let query = (requirement, prop::option::weighted(0.5, variant));
    let mut images = Map::new();
    let mut arguments = Vec::new();
    for i in 0..300 {
        let image = format!("r.example/i{i}");
        let mut pins = Map::new();
        for (tag, recorded) in random_tags().new_tree(&mut runner).unwrap().current() {
            let digest = format!("sha256:{:064x}", pins.len());
            let mut pin = json!({ "digest": digest });
            if let Some((version, variant)) = recorded {
                pin["version"] = version.into();
                pin["variant"] = variant.into();
            }
            pins.insert(tag, pin);
        }
        images.insert(image.clone(), pins.into());
        for _ in 0..10 {
            let (version, variant) = query.new_tree(&mut runner).unwrap().current();
            let mut argument = json!({ "image": image, "version": version });
            if let Some(variant) = variant {
                argument["variant"] = variant.into();
            }
            arguments.push(argument);
        }
    }
    let digests = json!({ "version": 2, "images": images });
    let table = Table::parse(digests.to_string().as_bytes(), "random").unwrap();
    let nix = Nix::without_plugin();
    let file = nix.home().join("random.json");
    let content = json!({ "digests": digests, "arguments": arguments });
    std::fs::write(&file, content.to_string()).unwrap();
    let said = nix.value(&with_lookup(&format!(
        "let file = builtins.fromJSON (builtins.readFile {}); in
         map (said (load file.digests)) file.arguments",
        file.display()
    )));
    let mut answers = 0;
    for (i, argument) in arguments.iter().enumerate() {
        let expected = result_of_rust(argument.as_object().unwrap(), &table);
        let tags = &digests["images"][argument["image"].as_str().unwrap()];
        assert_eq!(said[i], expected, "{argument} of {tags}");
        answers += usize::from(expected.get("answer").is_some());
    }
    assert!(answers > 300, "{answers} answers");
}

#[test]
fn long_and_odd_texts_do_not_crash_nix() {
    let nix = Nix::without_plugin();
    let long = |text: &str, times: usize| {
        format!("(builtins.concatStringsSep \"\" (builtins.genList (_: \"{text}\") {times}))")
    };
    for argument in [
        format!("{{ image = {}; }}", long("a", 200_000)),
        format!("{{ image = {}; }}", long("a/", 100_000)),
        format!("{{ image = {}; }}", long("ü", 100_000)),
        format!("{{ image = {}; }}", long("1.", 100_000)),
        format!("{{ image = \"a:\" + {}; }}", long("1.", 100_000)),
        format!("{{ image = \"a@sha256:\" + {}; }}", long("1", 100_000)),
        format!(
            "{{ image = \"nextcloud\"; version = {}; }}",
            long("1", 100_000)
        ),
        format!(
            "{{ image = \"nextcloud\"; version = \"^\" + {}; }}",
            long("1,", 100_000)
        ),
        format!(
            "{{ image = \"nextcloud\"; version = \"^1\"; variant = \"-\" + {}; }}",
            long("a", 100_000)
        ),
        format!(
            "{{ image = \"nextcloud\"; platform = {}; }}",
            long("a/", 100_000)
        ),
    ] {
        let error = nix.error(&with_lib(&format!("lib.ociHash {argument}")));
        assert!(error.starts_with("ociHash: "), "{error}");
        assert!(error.len() < 2_000, "{error}");
    }
}
