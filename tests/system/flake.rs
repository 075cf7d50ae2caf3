//! The outputs of the flake that evaluate without nixpkgs, and the NixOS module with a
//! stand-in for nixpkgs.
use crate::support::nix::{Nix, literal};
use crate::support::registry::Registry;
use crate::support::{Clone, Outcome, Workspace, committed_table, nextcloud_34, project};
use serde_json::{Value, json};

/// `nix eval` in a clone, without a network.
fn eval(clone: &Clone, arguments: &[&str]) -> Outcome {
    let nix = Nix::without_plugin().set("experimental-features", "nix-command flakes");
    let mut command = nix.local(nix.command());
    command.current_dir(clone.path());
    command.args(["eval", "--offline"]).args(arguments);
    Outcome::of(&mut command)
}

fn value(clone: &Clone, arguments: &[&str]) -> Value {
    let outcome = eval(clone, &[arguments, &["--json"]].concat()).code(0);
    serde_json::from_str(&outcome.stdout).unwrap()
}

const AMD64: Option<&str> = Some("linux/amd64");

#[test]
fn the_tree_of_references_evaluates_offline_and_without_nixpkgs() {
    let clone = Clone::of_the_project();
    let images = value(&clone, &[".#ociHashes", "--apply", "builtins.attrNames"]);
    assert!(
        images
            .as_array()
            .unwrap()
            .contains(&json!("docker.io/nextcloud"))
    );
    let tags = value(
        &clone,
        &[
            ".#ociHashes.\"docker.io/nextcloud\"",
            "--apply",
            "builtins.attrNames",
        ],
    );
    assert!(tags.as_array().unwrap().contains(&json!("34")));
    let platforms = value(
        &clone,
        &[
            ".#ociHashes.\"docker.io/nextcloud\".\"34\"",
            "--apply",
            "builtins.attrNames",
        ],
    );
    assert_eq!(platforms, json!(["linux/amd64", "linux/arm64"]));
    let reference = ".#ociHashes.\"docker.io/nextcloud\".\"34\".\"linux/amd64\"";
    let outcome = eval(&clone, &[reference, "--raw"]).code(0);
    assert_eq!(outcome.stdout, nextcloud_34(AMD64));
}

#[test]
fn the_tree_has_every_pin_and_agrees_with_lookups() {
    let clone = Clone::of_the_project();
    let tree = value(&clone, &[".#ociHashes"]);
    let call = "lib: builtins.mapAttrs (image: builtins.mapAttrs (tag:
        builtins.mapAttrs (platform: _: lib.ociHash { inherit image platform; version = tag; })))
      (builtins.fromJSON (builtins.readFile ./tree.json))";
    let file = clone.path().join("tree.json");
    std::fs::write(&file, tree.to_string()).unwrap();
    let call = call.replace("./tree.json", file.to_str().unwrap());
    let looked_up = value(&clone, &["--impure", ".#lib", "--apply", &call]);
    assert_eq!(tree, looked_up);
    let mut pins = 0;
    for (image, tags) in tree.as_object().unwrap() {
        for (tag, platforms) in tags.as_object().unwrap() {
            assert!(!platforms.as_object().unwrap().is_empty(), "{image}:{tag}");
            pins += 1;
        }
    }
    let table = committed_table();
    let images = table["images"].as_object().unwrap().values();
    let expected: usize = images.map(|tags| tags.as_object().unwrap().len()).sum();
    assert_eq!(pins, expected);
}

#[test]
fn the_lib_answers_in_pure_evaluation() {
    let clone = Clone::of_the_project();
    let answer = value(
        &clone,
        &[
            ".#lib",
            "--apply",
            "lib: lib.ociHash { image = \"nextcloud\"; version = \"34\"; platform = \"x86_64-linux\"; }",
        ],
    );
    assert_eq!(answer, json!(nextcloud_34(AMD64)));
    let outcome = eval(
        &clone,
        &[".#lib", "--apply", "lib: lib.ociHash \"nextclud:34\""],
    )
    .code(1);
    let message = "ociHash: docker.io/nextclud is not tracked; did you mean docker.io/nextcloud?";
    assert!(outcome.stderr.contains(message), "{outcome:#?}");
}

#[test]
fn pull_args_have_the_full_name_and_the_platform() {
    let clone = Clone::of_the_project();
    let arm64 = nextcloud_34(Some("linux/arm64"));
    let (_, digest) = arm64.split_once('@').unwrap();
    let pull = "lib: lib.pullArgs { image = \"nextcloud:34\"; platform = \"aarch64-linux\"; }";
    assert_eq!(
        value(&clone, &[".#lib", "--apply", pull]),
        json!({
            "imageName": "docker.io/library/nextcloud",
            "imageDigest": digest,
            "os": "linux",
            "arch": "arm64",
        })
    );
    let pull = "lib: builtins.attrNames (lib.pullArgs \"nextcloud:34\")";
    assert_eq!(
        value(&clone, &[".#lib", "--apply", pull]),
        json!(["imageDigest", "imageName"])
    );
}

#[test]
fn one_input_is_locked() {
    let lock: Value = serde_json::from_str(include_str!("../../flake.lock")).unwrap();
    let inputs = lock["nodes"]["root"]["inputs"].as_object().unwrap();
    assert_eq!(inputs.keys().collect::<Vec<_>>(), ["nixpkgs"]);
    // Nix does not have to update the lock file.
    let clone = Clone::of_the_project();
    let nix = Nix::without_plugin().set("experimental-features", "nix-command flakes");
    let mut command = nix.local(nix.command());
    command.current_dir(clone.path());
    command.args([
        "flake",
        "metadata",
        "--offline",
        "--no-update-lock-file",
        "--json",
    ]);
    Outcome::of(&mut command).code(0);
}

/// The result of a configuration with the module: its `settings`, the messages of the
/// `failed` assertions, or the `images` of the containers.
fn nixos(what: &str, configuration: &str, more: &str) -> Value {
    Nix::without_plugin().value(&format!(
        "(import {0}/tests/nix/nixos.nix {{
           modules = [ (import {0}/nix/module.nix {{ self = {0}; }}) ({configuration}) ]; {more}
         }}).{what}",
        project().display()
    ))
}

fn containers(containers: &str) -> String {
    format!("{{ virtualisation.oci-containers.containers = {{ {containers} }}; }}")
}

#[test]
fn a_pin_sets_the_image_for_the_platform_of_the_host() {
    let configuration = containers(
        "a.pin = \"nextcloud:34\";
         b.pin = { image = \"docker.io/postgres\"; version = \"^17\"; variant = null; };
         c.pin = { image = \"nextcloud:34\"; platform = \"linux/arm64\"; };
         d.image = \"as it is\";
         e.pin = \"postgres:>=17 <18\";",
    );
    assert_eq!(nixos("failed", &configuration, ""), json!([]));
    assert_eq!(nixos("settings", &configuration, ""), json!({}));
    let images = nixos("images", &configuration, "");
    assert_eq!(images["a"], json!(nextcloud_34(AMD64)));
    assert_eq!(images["d"], json!("as it is"));
    let b = images["b"].as_str().unwrap();
    assert!(b.starts_with("docker.io/postgres:17."), "{b}");
    assert_eq!(images["e"], images["b"]);
    let on_arm64 = nixos("images", &configuration, "system = \"aarch64-linux\";");
    assert_eq!(on_arm64["a"], images["c"]);
    assert_ne!(on_arm64["a"], images["a"]);
}

#[test]
fn a_custom_table_replaces_the_default_one() {
    let digest = format!("sha256:{}", "1".repeat(64));
    let table = json!({ "version": 1, "images": { "docker.io/a": { "1": { "digest": digest } } } });
    let table = format!(
        "builtins.toFile \"digests.json\" {}",
        literal(&table.to_string())
    );
    let pinned = json!({ "x": format!("docker.io/a:1@{digest}") });
    for configuration in [
        format!(
            "{{ nix.ociHashes.digests = {table};
                virtualisation.oci-containers.containers.x.pin = \"a:1\"; }}"
        ),
        containers(&format!(
            "x.pin = {{ image = \"a:1\"; digests = {table}; }};"
        )),
    ] {
        assert_eq!(nixos("images", &configuration, ""), pinned);
    }
}

#[test]
fn wrong_pins_fail_with_the_remedy() {
    let wrong = containers(&format!(
        "a.pin = \"nextclud:34\";
         b = {{ pin = \"nextcloud:34\"; image = \"nextcloud:33\"; }};
         c.pin = {{ image = \"nextcloud:34\"; platform = \"linux/s390x\"; }};
         d = {{ pin = \"caddy:2\"; }};
         e = {{ pin = \"nextcloud:34\"; image = \"{}\"; }};",
        nextcloud_34(AMD64)
    ));
    let failed = nixos("failed", &wrong, "");
    let failed = failed.as_array().unwrap();
    assert_eq!(failed.len(), 3, "{failed:#?}");
    for (message, (name, part)) in failed.iter().zip([
        (
            "a.pin: ",
            "docker.io/nextclud is not tracked; did you mean docker.io/nextcloud?",
        ),
        ("b has both 'pin' and 'image'", "keep one of them"),
        (
            "c.pin: ",
            "is not pinned for linux/s390x; it is for linux/amd64, linux/arm64",
        ),
    ]) {
        let message = message.as_str().unwrap();
        let start = format!("virtualisation.oci-containers.containers.{name}");
        assert!(message.starts_with(&start), "{message}");
        assert!(message.contains(part), "{message}");
    }
    let first = json!({ "docker.io/a": { "1": { "linux/amd64": nextcloud_34(AMD64) } } });
    let configuration = format!(
        "{{ nix.ociHashes.digests = builtins.toFile \"digests.json\" {};
            virtualisation.oci-containers.containers.a.pin = \"a:1\"; }}",
        literal(&first.to_string())
    );
    let failed = nixos("failed", &configuration, "");
    let message = failed[0].as_str().unwrap();
    assert!(message.contains("nix-oci-hashes import FILE"), "{message}");
    // An option that uses the image of a failed pin fails with the same error.
    let error = Nix::without_plugin().error(&format!(
        "(import {0}/tests/nix/nixos.nix {{
           modules = [ (import {0}/nix/module.nix {{ self = {0}; }}) ({wrong}) ];
         }}).images.a",
        project().display()
    ));
    assert!(
        error.contains("containers.a.pin: docker.io/nextclud is not tracked"),
        "{error}"
    );
}

#[test]
fn the_references_of_the_containers_are_in_a_file_that_diff_reads() {
    let workspace = Workspace::new();
    for (generation, pins) in [
        ("old", "a.pin = \"nextcloud:33\"; d.image = \"as it is\";"),
        ("new", "a.pin = \"nextcloud:34\"; b.pin = \"postgres:17\";"),
    ] {
        let files = nixos("files", &containers(pins), "");
        let file = "nix-oci-hashes/containers.json";
        let text = files[file].as_str().unwrap();
        workspace.write(&format!("{generation}/etc/{file}"), text);
    }
    let outcome = workspace.run(&["diff", "old", "new"]).code(0);
    let words: Vec<&str> = outcome.stdout.lines().map(|line| &line[..10]).collect();
    assert_eq!(words, ["moved  a  ", "added  b  ", "1 added, 1"]);
    assert!(
        outcome.stdout.contains("docker.io/nextcloud:33 -> 34, "),
        "{outcome:#?}"
    );
}

#[test]
fn a_failed_pin_of_the_default_table_says_how_to_get_another() {
    let wrong = "virtualisation.oci-containers.containers.a.pin = \"nextclud:34\";";
    let hint =
        "make a table of your own (docs/your-own-table.md) and name it in nix.ociHashes.digests";
    let failed = nixos("failed", &format!("{{ {wrong} }}"), "");
    assert!(failed[0].as_str().unwrap().ends_with(hint), "{failed}");
    let table = "builtins.toFile \"digests.json\" ''{ \"version\": 1, \"images\": {} }''";
    let own = format!("{{ {wrong} nix.ociHashes.digests = {table}; }}");
    let failed = nixos("failed", &own, "");
    assert!(!failed[0].as_str().unwrap().contains(hint), "{failed}");
}

#[test]
fn a_pin_and_an_image_file_are_one_too_many() {
    for option in ["imageFile", "imageStream"] {
        let both = containers(&format!(
            "a = {{ pin = \"nextcloud:34\"; {option} = \"/image\"; }};"
        ));
        let failed = nixos("failed", &both, "");
        let message = failed[0].as_str().unwrap();
        let start = format!(
            "virtualisation.oci-containers.containers.a has both 'pin' and '{option}': keep one of them"
        );
        assert!(message.starts_with(&start), "{message}");
        assert!(message.ends_with("write pin.store = true"), "{message}");
    }
}

/// Its digest is that of the index, which may not have the platform of the host.
#[test]
fn a_pin_without_platforms_is_a_warning() {
    let digest = format!("sha256:{}", "1".repeat(64));
    for (pin, expected) in [
        (json!({ "digest": digest }), 1),
        (
            json!({ "digest": digest, "platforms": { "linux/amd64": digest } }),
            0,
        ),
    ] {
        let table = json!({ "version": 1, "images": { "docker.io/a": { "1": pin } } });
        let configuration = format!(
            "{{ nix.ociHashes.digests = builtins.toFile \"digests.json\" {};
                virtualisation.oci-containers.containers.x.pin = \"a:1\"; }}",
            literal(&table.to_string())
        );
        let warnings = nixos("warnings", &configuration, "");
        let warnings = warnings.as_array().unwrap();
        assert_eq!(warnings.len(), expected, "{warnings:#?}");
        if let Some(warning) = warnings.first() {
            let warning = warning.as_str().unwrap();
            assert!(
                warning.contains("docker.io/a:1 is pinned without platforms"),
                "{warning}"
            );
            assert!(warning.contains("may not have x86_64-linux"), "{warning}");
        }
    }
}

#[test]
fn the_plugin_goes_into_nix_conf_with_its_settings() {
    let enabled = |more: &str| format!("{{ nix.ociHashes = {{ enable = true; {more} }}; }}");
    assert_eq!(nixos("failed", &enabled(""), ""), json!([]));
    assert_eq!(
        nixos("settings", &enabled(""), ""),
        json!({
            "plugin-files": ["/plugin-for-2.31.4/lib/nix/plugins/libnix_oci_hashes.so"],
            "oci-hash-resolve": false,
            "oci-hash-registries": [],
            "oci-hash-timeout": 15,
        })
    );
    let table = project().join("digests.json");
    let settings = nixos(
        "settings",
        &enabled(&format!(
            "resolve = true; registries = [ \"ghcr.io\" ]; timeout = 5; digests = {};",
            table.display()
        )),
        "",
    );
    assert_eq!(settings["oci-hash-resolve"], json!(true));
    assert_eq!(settings["oci-hash-registries"], json!(["ghcr.io"]));
    assert_eq!(settings["oci-hash-timeout"], json!(5));
    // The table is copied to the store, so that it is part of the system.
    let digests = settings["oci-hash-digests"].as_str().unwrap();
    assert!(digests.ends_with("-digests.json"), "{digests}");
}

/// Nix warns of settings that it does not know.
#[test]
fn the_build_for_the_c_api_gets_no_settings() {
    let nix = "nix = { pname = \"nix\"; version = \"2.37.1\"; };";
    let configuration = "{ nix.ociHashes = { enable = true; resolve = true; }; }";
    assert_eq!(nixos("failed", configuration, nix), json!([]));
    assert_eq!(
        nixos("settings", configuration, nix),
        json!({ "plugin-files": ["/plugin-for-2.37.1/lib/nix/plugins/libnix_oci_hashes.so"] })
    );
}

#[test]
fn a_nix_that_the_plugin_cannot_be_built_for_is_refused() {
    for (name, version, is_supported) in [
        ("nix", "2.8.1", true),
        ("nix", "2.9.0", false),
        ("nix", "2.17.1", false),
        ("nix", "2.18.9", true),
        ("nix", "2.34.6", true),
        ("lix", "2.94.0", true),
        ("lix", "2.92.0", false),
        ("determinate-nix", "3.22.2", true),
        ("determinate-nix", "3.20.0", false),
    ] {
        let failed = nixos(
            "failed",
            "{ nix.ociHashes.enable = true; }",
            &format!("nix = {{ pname = \"{name}\"; version = \"{version}\"; }};"),
        );
        if is_supported {
            assert_eq!(failed, json!([]), "{name} {version}");
        } else {
            let message = failed[0].as_str().unwrap();
            let start =
                format!("nix.ociHashes.enable: the plugin cannot be built for {name} {version};");
            assert!(message.starts_with(&start), "{message}");
        }
    }
}

/// The containers of the template, in the stand-in.
#[test]
fn the_template_is_pinned() {
    let configuration = project().join("nix/template/configuration.nix");
    let configuration = format!("import {}", configuration.display());
    assert_eq!(nixos("failed", &configuration, ""), json!([]));
    let images = nixos("images", &configuration, "");
    assert_eq!(images["nextcloud"], json!(nextcloud_34(AMD64)));
    let postgres = images["postgres"].as_str().unwrap();
    assert!(postgres.starts_with("docker.io/postgres:17."), "{postgres}");
}

#[test]
fn flake_init_copies_the_template() {
    let clone = Clone::of_the_project();
    let nix = Nix::without_plugin().set("experimental-features", "nix-command flakes");
    let folder = nix.home().join("machine");
    std::fs::create_dir(&folder).unwrap();
    let mut command = nix.local(nix.command());
    command.current_dir(&folder);
    let template = format!("git+file://{}", clone.path().display());
    command.args(["flake", "init", "--offline", "-t", &template]);
    Outcome::of(&mut command).code(0);
    for name in ["flake.nix", "configuration.nix"] {
        let template = project().join("nix/template").join(name);
        assert_eq!(
            std::fs::read_to_string(folder.join(name)).unwrap(),
            std::fs::read_to_string(template).unwrap()
        );
    }
}

/// The NixOS test needs nixpkgs and a virtual machine. This checks only the digests that
/// it pins.
#[test]
fn the_image_of_the_nixos_test_has_the_pinned_digests() {
    let registry = Registry::start();
    let image = Nix::without_plugin().value(&format!(
        "import {}/nix/empty-image.nix {{ os = \"linux\"; arch = \"amd64\"; }} \"first\"",
        project().display()
    ));
    registry.push_blob(
        "demo/notes",
        &[0; 1024],
        image["layerDigest"].as_str().unwrap(),
    );
    let [config, manifest, index] = [0, 1, 2].map(|i| {
        let blob = &image["blobs"][i];
        (
            blob["text"].as_str().unwrap().to_owned(),
            blob["digest"].as_str().unwrap().to_owned(),
        )
    });
    registry.push_blob("demo/notes", config.0.as_bytes(), &config.1);
    registry.push_manifest("demo/notes", &manifest.1, &manifest.0);
    registry.push_manifest("demo/notes", "1", &index.0);
    let workspace = Workspace::new();
    let reference = format!("{}/demo/notes:1", registry.address);
    let resolved = workspace.run(&["resolve", &reference]).code(0).stdout;
    assert_eq!(
        resolved.trim(),
        format!("{reference}@{}", image["indexDigest"].as_str().unwrap())
    );
    let resolved = workspace.run(&["resolve", &reference, "--platform", "x86_64-linux"]);
    assert_eq!(
        resolved.code(0).stdout.trim(),
        format!("{reference}@{}", image["manifestDigest"].as_str().unwrap())
    );
}

#[test]
fn a_package_of_nix_gets_the_build_for_its_flavour_and_version() {
    let cases = [
        ("nix", "2.8.0", Some("nix-2.8.0")),
        ("nix", "2.17.0", None),
        ("nix", "2.34.8", Some("nix-2.34.8")),
        ("nix", "2.37.1", Some("nix-c-api")),
        ("lix", "2.95.3", Some("lix-2.95.3")),
        ("lix", "2.92.0", None),
        ("lix", "2.97.0", None),
        ("determinate-nix", "3.21.2", None),
        ("determinate-nix", "3.21.9", Some("determinate-3.21.9")),
        ("determinate-nix", "3.22.2", Some("determinate-3.22.2")),
        ("another-nix", "2.34.8", None),
    ];
    let packages: String = cases
        .iter()
        .map(|(name, version, _)| format!("{{ pname = \"{name}\"; version = \"{version}\"; }} "))
        .collect();
    let file = project().join("tests/nix/builds.nix");
    let call = format!("import {} [ {packages} ]", file.display());
    let expected: Vec<Option<&str>> = cases.iter().map(|(_, _, build)| *build).collect();
    assert_eq!(Nix::without_plugin().value(&call), json!(expected));
}

/// The containers of another program with the module of `pin`.
fn program(name: &str, given: &str, more: &str) -> Value {
    Nix::without_plugin().value(&format!(
        "let result = import {0}/tests/nix/programs.nix {{
           self = {0}; program = \"{name}\"; given = {given}; {more}
         }}; in {{
           inherit (result) images failed units warnings;
           containers = builtins.mapAttrs (_: container: {{
             arguments = container.extraPodmanArgs or null;
             pull = container.containerConfig.pull or null;
             unit = container.unitConfig or null;
             built = container.image.nixBuild or null;
             isProgram = container.build.image.isExe or null;
             loaded = container.build.image.imageName or null;
           }}) result.containers;
         }}",
        project().display()
    ))
}

/// How each program writes the containers `given` by name, as `pin` and `image`.
const PROGRAMS: [(&str, &str, &str); 3] = [
    ("podman", "services.podman.containers", "IMAGE"),
    (
        "quadlet",
        "virtualisation.quadlet.containers",
        "containerConfig.IMAGE",
    ),
    ("arion", "services", "service.IMAGE"),
];

#[test]
fn a_pin_sets_the_image_in_other_programs() {
    for (name, path, image) in PROGRAMS {
        let pin = image
            .replace("containerConfig.IMAGE", "IMAGE")
            .replace("IMAGE", "pin");
        let image = image.replace("IMAGE", "image");
        let given = format!(
            "{{ {path} = {{
               a.{pin} = \"nextcloud:34\";
               b.{image} = \"as it is\";
               c.{pin} = {{ image = \"nextcloud\"; version = \"^34\"; platform = \"linux/arm64\"; }};
               d = {{ {pin} = \"nextcloud:34\"; {image} = \"nextcloud:33\"; }};
             }}; }}"
        );
        let result = program(name, &given, "");
        let images = &result["images"];
        assert_eq!(images["a"], json!(nextcloud_34(AMD64)), "{name}");
        assert_eq!(images["b"], json!("as it is"), "{name}");
        let c = images["c"].as_str().unwrap();
        assert!(c.starts_with("docker.io/nextcloud:34.0.4@sha256:"), "{c}");
        let [failed] = &result["failed"].as_array().unwrap()[..] else {
            panic!("{name}: {result}")
        };
        let failed = failed.as_str().unwrap();
        assert!(failed.contains("has both 'pin' and"), "{failed}");
        assert!(failed.contains("not to nextcloud:33"), "{failed}");
    }
}

#[test]
fn a_wrong_pin_in_another_program_fails_with_the_remedy() {
    for (name, path, image) in PROGRAMS {
        let pin = image
            .replace("containerConfig.IMAGE", "IMAGE")
            .replace("IMAGE", "pin");
        let error = Nix::without_plugin().error(&format!(
            "(import {0}/tests/nix/programs.nix {{
               self = {0}; program = \"{name}\"; given = {{ {path}.a.{pin} = \"nextclud:34\"; }};
             }}).images.a",
            project().display()
        ));
        let expected = format!("{path}.a.{pin}: docker.io/nextclud is not tracked");
        assert!(error.contains(&expected), "{error}");
    }
}

#[test]
fn a_stored_image_is_loaded_before_the_container_in_other_programs() {
    let pin = format!(
        "{{ image = \"registry.example/app:1\"; store = true; digests = {}/tests/nix/store/digests.json; }}",
        project().display()
    );
    let copies = |script: &Value| {
        let script = script.as_str().unwrap().replace('\'', "");
        for part in [
            "/podman/bin/podman image exists registry.example/app:1@sha256:",
            "/skopeo/bin/skopeo --insecure-policy copy --quiet oci:",
            " containers-storage:registry.example/app:sha256-",
        ] {
            assert!(script.contains(part), "{script}");
        }
    };
    let podman = format!("{{ services.podman.containers.app.pin = {pin}; }}");
    let result = program("podman", &podman, "");
    let unit = &result["units"]["user"]["services"]["podman-app-pin"];
    copies(&unit["Service"]["ExecStart"]);
    assert_eq!(unit["Install"]["RequiredBy"], json!(["podman-app.service"]));
    let arguments = &result["containers"]["app"]["arguments"];
    assert_eq!(*arguments, json!(["--pull=never"]));

    let quadlet = format!("{{ virtualisation.quadlet.containers.app.pin = {pin}; }}");
    let result = program("quadlet", &quadlet, "");
    copies(&result["units"]["services"]["app-pin"]["script"]);
    let container = &result["containers"]["app"];
    assert_eq!(container["pull"], "never");
    for dependency in ["Requires", "After"] {
        assert_eq!(container["unit"][dependency], json!(["app-pin.service"]));
    }
    let result = program("quadlet", &quadlet, "isHome = true;");
    copies(&result["units"]["user"]["services"]["app-pin"]["Service"]["ExecStart"]);
    let rootless = format!(
        "{{ virtualisation.quadlet.containers.app = {{ pin = {pin}; rootlessConfig.uid = 1000; }}; }}"
    );
    let failed = program("quadlet", &rootless, "")["failed"].clone();
    assert!(
        failed[0].as_str().unwrap().contains("'rootlessConfig.uid'"),
        "{failed}"
    );

    let arion = format!("{{ services.app.service.pin = {pin}; }}");
    let result = program("arion", &arion, "");
    let image = result["images"]["app"].as_str().unwrap();
    assert!(image.starts_with("registry.example/app:sha256-"), "{image}");
    let container = &result["containers"]["app"];
    assert_eq!(container["built"], true);
    assert_eq!(container["isProgram"], true);
    assert_eq!(container["loaded"], "registry.example/app");
}

#[test]
fn a_pin_beside_what_overrides_it_is_refused_in_other_programs() {
    for (name, given, other) in [
        (
            "quadlet",
            "virtualisation.quadlet.containers.a = { pin = \"nextcloud:34\"; rawConfig = \"x\"; };",
            "'rawConfig'",
        ),
        (
            "arion",
            "services.a.service = { pin = \"nextcloud:34\"; build.context = \"x\"; };",
            "'build.context'",
        ),
        (
            "arion",
            "services.a = { service.pin = \"nextcloud:34\"; image.nixBuild = true; };",
            "image.nixBuild",
        ),
    ] {
        let failed = program(name, &format!("{{ {given} }}"), "")["failed"].clone();
        let failed = failed[0].as_str().unwrap_or_default();
        assert!(failed.contains(other), "{name}: {failed}");
    }
}

#[test]
fn a_nixpkgs_without_a_system_has_no_packages_for_it() {
    let clone = Clone::of_the_project();
    let nixpkgs = Workspace::new();
    nixpkgs.write(
        "flake.nix",
        "{ outputs = _: { legacyPackages.aarch64-darwin = { }; }; }",
    );
    let input = format!("path:{}", nixpkgs.path("").display());
    let names = |system: &str| {
        let output = format!(".#packages.{system}");
        let arguments = [
            &*output,
            "--apply",
            "builtins.attrNames",
            "--no-write-lock-file",
            "--override-input",
            "nixpkgs",
            &input,
        ];
        value(&clone, &arguments)
    };
    assert_eq!(names("x86_64-darwin"), json!([]));
    assert!(
        names("aarch64-darwin")
            .to_string()
            .contains("nix-oci-hashes")
    );
}
