//! Images in the Nix store: a real registry, a real Nix that builds in a store of its own,
//! and podman and Docker that run the result without a registry.
use std::path::Path;

use crate::support::image::{Compression, Format};
use crate::support::nix::literal;
use crate::support::registry::{Registry, USER};
use crate::support::store::{Docker, Podman, REPOSITORY, Store};
use crate::support::{Outcome, project};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

fn hex(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap()
}

fn skopeo_copy(podman: &Podman, layout: &Path, name: &str) {
    let from = format!("oci:{}", layout.display());
    let to = format!("containers-storage:{name}");
    let arguments = ["--insecure-policy", "copy", "--quiet", &from, &to];
    Outcome::of(&mut podman.command("skopeo", &arguments)).code(0);
}

#[test]
fn podman_runs_an_image_of_the_store_by_its_pin_without_a_registry() {
    for format in [Format::Oci, Format::Docker] {
        let store = Store::new();
        let digest = store.push(format, "hello from the store\n");
        let layout = store.build("layout", "recorded = true;");
        let reference = format!("{}@{digest}", store.reference());
        let podman = Podman::new();
        let name = store.loaded_name(&digest);
        drop(store.registry);
        skopeo_copy(&podman, &layout, &name);
        podman.outcome(&["image", "exists", &reference]).code(0);
        assert_eq!(podman.run(&reference), "hello from the store\n");
    }
}

#[test]
fn a_second_version_fetches_its_new_layers_alone() {
    let store = Store::new();
    store.push(Format::Oci, "one\n");
    let first = store.build("layout", "");
    let before = store.registry.requests().len();
    assert_eq!(store.build("layout", ""), first);
    store.build("stream", "");
    assert_eq!(
        store.requests_since(before),
        [""; 0],
        "nothing is fetched again"
    );

    store.push(Format::Oci, "two\n");
    let before = store.registry.requests().len();
    let second = store.build("layout", "");
    let requests = store.requests_since(before);
    let blobs = requests.iter().filter(|line| line.contains("/blobs/"));
    assert_eq!(
        blobs.count(),
        2,
        "a configuration and a layer: {requests:#?}"
    );
    let targets = |layout: &Path| {
        let blobs = std::fs::read_dir(layout.join("blobs/sha256")).unwrap();
        let targets = blobs.map(|blob| std::fs::read_link(blob.unwrap().path()).unwrap());
        targets.collect::<std::collections::BTreeSet<_>>()
    };
    let (first, second) = (targets(&first), targets(&second));
    assert_eq!((first.len(), second.len()), (5, 5));
    assert_eq!(
        first.intersection(&second).count(),
        2,
        "two layers are shared"
    );
}

#[test]
fn docker_loads_the_stream_and_runs_the_image() {
    let store = Store::new();
    // Docker 20.10 does not unpack zstd.
    let digest = store.push_with(Format::Oci, Compression::None, "hello from docker\n");
    let stream = store.build("stream", "");
    let archive = store.build("archive", "");
    let name = store.loaded_name(&digest);
    // k3s links archives by their names.
    let file = format!("-sha256-{}.tar", hex(&digest));
    assert!(archive.to_str().unwrap().ends_with(&file), "{archive:?}");
    drop(store.registry);
    let docker = Docker::start();
    let load = format!("{} | docker load --quiet", stream.display());
    let outcome = docker.script(&load).code(0);
    assert!(outcome.stdout.contains(&name), "{outcome:#?}");
    let run = format!("docker run --rm --network=none --pull never {name}");
    assert_eq!(docker.script(&run).code(0).stdout, "hello from docker\n");
    // Docker's own containerd imports it as Kubernetes would.
    let containerd = docker.folder.path().join("exec/containerd/containerd.sock");
    let ctr = format!(
        "ctr --address {} --namespace k8s.io images",
        containerd.display()
    );
    docker
        .script(&format!("{ctr} import {}", archive.display()))
        .code(0);
    let images = docker.script(&format!("{ctr} list --quiet")).code(0).stdout;
    assert_eq!(images.trim(), name);
    // The archive is what the stream writes, and skopeo reads it too.
    let same = format!("{} | cmp - {}", stream.display(), archive.display());
    docker.script(&same).code(0);
    let inspect = format!("skopeo inspect oci-archive:{}", archive.display());
    let inspected: Value = serde_json::from_str(&docker.script(&inspect).code(0).stdout).unwrap();
    assert_eq!(inspected["Digest"], json!(digest));
}

#[test]
fn an_archive_goes_into_podman_and_a_layout_to_another_registry() {
    for format in [Format::Oci, Format::Docker] {
        let store = Store::new();
        let digest = store.push(format, "hello again\n");
        let stream = store.build("stream", "");
        let layout = store.build("layout", "");
        let own = Registry::start();
        let podman = Podman::new();
        let copy = format!(
            "skopeo --insecure-policy copy --quiet --preserve-digests --dest-tls-verify=false \
             oci:{} docker://{}/copy:1",
            layout.display(),
            own.address
        );
        podman.script(&copy).code(0);
        let copied = format!("{}/copy:1", own.address);
        let resolved = store.workspace.run(&["resolve", &copied]).code(0).stdout;
        assert_eq!(resolved.trim(), format!("{copied}@{digest}"));
        podman
            .script(&format!("{} | podman load --quiet", stream.display()))
            .code(0);
        let name = store.loaded_name(&digest);
        assert_eq!(podman.images(), [name.as_str()]);
        assert_eq!(podman.run(&name), "hello again\n");
    }
}

#[test]
fn a_reference_builds_nothing() {
    let store = Store::new();
    let digest = store.push(Format::Oci, "one\n");
    let before = store.registry.requests().len();
    // Neither the fetcher nor the tools of pkgs are evaluated.
    let more =
        "fetcher = throw \"the fetcher\"; pkgs.stdenv.hostPlatform.system = \"x86_64-linux\";";
    let expression = format!("{}.reference", store.image(more));
    let reference = store.eval(&expression).code(0).stdout;
    assert_eq!(
        reference.trim(),
        literal(&format!("{}@{digest}", store.reference()))
    );
    assert_eq!(store.requests_since(before), [""; 0]);
}

#[test]
fn without_a_recorded_manifest_it_is_fetched_and_recorded_forbids_that() {
    let store = Store::new();
    store.push(Format::Oci, "one\n");
    let manifests = store.workspace.path("manifests");
    let elsewhere = store.workspace.path("elsewhere");
    std::fs::rename(&manifests, &elsewhere).unwrap();
    let layout = store.build("layout", "");
    assert!(layout.join("oci-layout").exists());
    let layout = format!("{}.layout", store.image("recorded = true;"));
    let error = store.try_build(&layout, &[]).code(1).stderr;
    assert!(error.contains("no manifest is recorded for"), "{error}");
    assert!(
        error.contains("write \"store\": true into its entry"),
        "{error}"
    );
    // The folder may be anywhere, and a parsed table has none beside it.
    let set = format!(
        "builtins.fromJSON (builtins.readFile {})",
        store.workspace.path("digests.json").display()
    );
    let more = format!(
        "recorded = true; digests = {set}; manifests = {};",
        elsewhere.display()
    );
    store.build("layout", &more);
    let alone = format!(
        "{}.layout",
        store.image(&format!("recorded = true; digests = {set};"))
    );
    let error = store.try_build(&alone, &[]).code(1).stderr;
    assert!(error.contains("no manifest is recorded for"), "{error}");
}

#[test]
fn what_cannot_be_built_is_refused_with_the_remedy() {
    let store = Store::new();
    let digest = store.push(Format::Oci, "one\n");
    let file = format!("manifests/sha256-{}.json", hex(&digest));
    let good = store.workspace.read(&file);
    let error = |more: &str, attribute: &str| {
        let expression = format!("{}.{attribute}", store.image(more));
        store.try_build(&expression, &[]).code(1).stderr
    };
    store.workspace.write(&file, good.clone() + "\n");
    let message = error("", "layout");
    assert!(
        message.contains("has other bytes than those of its digest"),
        "{message}"
    );

    let table = |pin: Value| {
        let images = json!({ format!("{}/{REPOSITORY}", store.registry.address): { "1": pin } });
        let text = json!({ "version": 1, "images": images }).to_string();
        store.workspace.write("digests.json", text);
    };
    let index = store.workspace.table()["images"]
        [format!("{}/{REPOSITORY}", store.registry.address)]["1"]["digest"]
        .clone();
    // With a foreign layer, the manifest has a digest of its own.
    let mut foreign: Value = serde_json::from_str(&good).unwrap();
    foreign["layers"][0]["mediaType"] =
        json!("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
    foreign["layers"][0]["urls"] = json!(["https://elsewhere.example/layer"]);
    let foreign = foreign.to_string();
    let of_foreign = crate::support::image::digest(foreign.as_bytes());
    store.workspace.write(
        &format!("manifests/sha256-{}.json", hex(&of_foreign)),
        &foreign,
    );
    table(json!({ "digest": index, "platforms": { "linux/amd64": of_foreign } }));
    let message = error("", "layout");
    assert!(
        message.contains("has the foreign layer sha256:"),
        "{message}"
    );

    table(json!({ "digest": index }));
    let message = error("", "layout");
    assert!(message.contains("has the digest of an index"), "{message}");
    assert!(
        message.contains("run 'nix-oci-hashes refresh'"),
        "{message}"
    );
    table(json!({ "digest": index, "platforms": { "linux/amd64": digest } }));
    let with_digest = format!(
        "image = \"{}@{}\";",
        store.reference(),
        index.as_str().unwrap()
    );
    let message = error(&with_digest, "layout");
    assert!(message.contains("has the digest of an index"), "{message}");
    // A table that has the index in the place of a platform's manifest.
    std::fs::remove_dir_all(store.workspace.path("manifests")).unwrap();
    table(json!({ "digest": index, "platforms": { "linux/amd64": index } }));
    let message = error("", "layout");
    assert!(
        message.contains("names no configuration and layers"),
        "{message}"
    );
}

#[test]
fn a_build_logs_in_with_an_auth_file_and_asks_mirrors_first() {
    let store = Store::new();
    store.push(Format::Oci, "one\n");
    let (guarded, authority) = store.registry.guarded();
    let authority = format!("certificates = \"{}\";", authority.display());
    let mirrored = |host: &str| format!("{authority} mirrors = [ \"{host}\" ];");
    let config = format!("{}.config", store.image(&mirrored(&guarded.address)));
    let auth = store.nix.home().join("auth.json");
    let login = STANDARD.encode(format!("{}:{}", USER.0, USER.1));
    let auths = json!({ "auths": { guarded.address.clone(): { "auth": login } } });
    std::fs::write(&auth, auths.to_string()).unwrap();
    let before = store.registry.requests().len();
    let environment = [("REGISTRY_AUTH_FILE", auth.to_str().unwrap())];
    let outcome = store.try_build(&config, &environment).code(0);
    assert!(
        !outcome.stderr.contains("warning: the registry"),
        "{outcome:#?}"
    );
    assert_eq!(store.requests_since(before), [""; 0], "the mirror had it");
    // Without a login, the mirror refuses, and the registry has it.
    let layers = format!(
        "builtins.elemAt {}.layers 0",
        store.image(&mirrored(&guarded.address))
    );
    let outcome = store.try_build(&layers, &[]).code(0);
    assert!(
        outcome.stderr.contains("gives no access to"),
        "{outcome:#?}"
    );
    assert!(!store.requests_since(before).is_empty());
}

/// The units of the module, as its scripts.
fn units(store: &Store, configuration: &str) -> Value {
    let expression = format!(
        "(import {0}/tests/nix/nixos.nix {{
           modules = [
             (import {0}/nix/module.nix {{ self = {0}; }})
             {{
               nix.ociHashes.digests = {1};
               nix.ociHashes.fetcher = \"{2}/fetcher\";
             }}
             {{ {configuration} }}
           ];
         }}).services",
        project().display(),
        store.workspace.path("digests.json").display(),
        store.nix.home().display(),
    );
    // Building the image is what nixos-rebuild does.
    let outcome = store.eval(&expression).code(0);
    serde_json::from_str(&outcome.stdout).unwrap()
}

fn text<'a>(units: &'a Value, unit: &str) -> &'a str {
    units[unit]["script"].as_str().unwrap()
}

#[test]
fn the_units_of_the_module_load_and_remove_images_with_podman() {
    let store = Store::new();
    let first = store.push(Format::Oci, "one\n");
    let pin = format!(
        "virtualisation.oci-containers.containers.app = {{
           pin = {{ image = \"{}\"; store = true; }};
           dependsOn = [ \"other\" ];
         }};
         virtualisation.oci-containers.containers.other.image = \"x\";
         nix.ociHashes.prune = true;",
        store.reference()
    );
    store.build("layout", "");
    let units_of_first = units(&store, &pin);
    let unit = &units_of_first["podman-app"];
    assert_eq!(unit["wants"], json!([]), "not even the network");
    let after = json!(["podman-other.service", "podman-app-image.service"]);
    assert_eq!(unit["after"], after);
    let other = json!(["network-online.target"]);
    assert_eq!(units_of_first["podman-other"]["after"], other);
    assert_eq!(unit["requires"], json!(["podman-app-image.service"]));

    let network = "systemd.services.podman-app.requires = [ \"network-online.target\" ];";
    let after = &units(&store, &format!("{pin}{network}"))["podman-app"]["after"];
    assert_eq!(after[0], "network-online.target", "unless it is required");
    let without_containers = units(&store, "nix.ociHashes.prune = true;");
    assert_eq!(without_containers, json!({}), "there may be no podman");

    let podman = Podman::new();
    let load = text(&units_of_first, "podman-app-image");
    podman.script(load).code(0);
    let of_first = store.loaded_name(&first);
    let mark = |digest: &str| format!("localhost/nix-oci-hashes:sha256-{}", hex(digest));
    assert_eq!(podman.images(), [of_first.clone(), mark(&first)]);
    // Loaded once: without skopeo, the second run does nothing.
    let without_skopeo = load.replace("skopeo", "exit 1; skopeo");
    podman.script(&without_skopeo).code(0);

    let second = store.push(Format::Oci, "two\n");
    store.build("layout", "");
    let units_of_second = units(&store, &pin);
    podman
        .script(text(&units_of_second, "podman-app-image"))
        .code(0);
    assert_eq!(podman.images().len(), 4);
    // Names that the units have not given stay, even if they look alike.
    let alike = format!("localhost/other:sha256-{}", "0".repeat(64));
    for name in ["localhost/mine:1", &alike] {
        podman.outcome(&["tag", &of_first, name]).code(0);
    }
    podman
        .script(text(&units_of_second, "oci-image-prune"))
        .code(0);
    let of_second = store.loaded_name(&second);
    let kept = [
        of_second,
        "localhost/mine:1".to_owned(),
        mark(&second),
        alike,
    ];
    assert_eq!(podman.images(), kept);
    assert_eq!(
        podman.run(&format!("{}@{second}", store.reference())),
        "two\n"
    );
}

#[test]
fn the_units_of_the_module_load_images_with_docker() {
    let store = Store::new();
    let digest = store.push_with(Format::Oci, Compression::Gzip, "hello\n");
    store.build("stream", "");
    let configuration = format!(
        "virtualisation.oci-containers = {{
           backend = \"docker\";
           containers.app.pin = \"{}\";
         }};
         nix.ociHashes = {{ store = true; prune = true; }};",
        store.reference()
    );
    let units = units(&store, &configuration);
    assert_eq!(
        units["docker-app"]["after"],
        json!(["docker-app-image.service"])
    );
    let name = store.loaded_name(&digest);
    drop(store.registry);
    let docker = Docker::start();
    docker.script(text(&units, "docker-app-image")).code(0);
    let again = text(&units, "docker-app-image").replace("docker load", "exit 1; docker load");
    docker.script(&again).code(0);
    let old = format!("{}{}", &name[..name.len() - 64], "0".repeat(64));
    let mark = format!("localhost/nix-oci-hashes:sha256-{}", "0".repeat(64));
    for other in [&old, &mark] {
        docker.script(&format!("docker tag {name} {other}")).code(0);
    }
    docker.script(text(&units, "oci-image-prune")).code(0);
    let run = format!("docker run --rm --network=none --pull never {name}");
    assert_eq!(docker.script(&run).code(0).stdout, "hello\n");
    for gone in [old, mark] {
        docker
            .script(&format!("docker image inspect {gone}"))
            .code(1);
    }
}
