//! An image of a gigabyte in the Nix store, compared with an archive as
//! `dockerTools.pullImage` makes it and with `podman pull`.

use std::path::Path;
use std::process::Command;

use super::chart::Bars;
use super::measure::{Quartiles, Run, as_float, run};
use super::page::{Page, Row, Section};
use super::support::Outcome;
use super::support::image::{Compression, Format, Layer, push};
use super::support::store::{Podman, REPOSITORY, SHOW, Store};

const LAYERS: usize = 10;
/// The size of a layer, in bytes.
const LAYER: usize = 100 << 20;

const PULL_IMAGE: &str = "pullImage";
const PODMAN_PULL: &str = "podman pull";

const ROUNDS: usize = 3;

/// One way to get an image: its cost, what it fetched and what it has stored since, in
/// bytes.
struct Cost {
    run: Run,
    fetched: u64,
    stored: u64,
}

/// The ways to get one version of the image.
struct Version {
    ours: Cost,
    archive: Cost,
    pull: Cost,
}

/// The ways to load the image into podman, and the bytes that its archive takes in the
/// store.
struct Loading {
    layout: Run,
    stream: Run,
    archive: Run,
    stored: u64,
}

/// A first version of the image, the next one, and loading that, all into empty stores.
struct Round {
    first: Version,
    next: Version,
    loading: Loading,
}

pub fn measure(page: &mut Page) {
    let rounds: Vec<Round> = (0..ROUNDS).map(|_| round()).collect();
    let firsts: Vec<&Version> = rounds.iter().map(|round| &round.first).collect();
    let nexts: Vec<&Version> = rounds.iter().map(|round| &round.next).collect();
    let loadings: Vec<&Loading> = rounds.iter().map(|round| &round.loading).collect();
    let mut rows = vec![
        time("first version", &firsts, PULL_IMAGE, |version| {
            &version.archive
        }),
        time("first version", &firsts, PODMAN_PULL, |version| {
            &version.pull
        }),
    ];
    rows.extend(next_version(&nexts, PULL_IMAGE, |version| &version.archive));
    rows.extend(next_version(&nexts, PODMAN_PULL, |version| &version.pull));
    rows.push(loading("from the layout", &loadings, |loading| {
        loading.layout
    }));
    rows.push(loading("from the stream", &loadings, |loading| {
        loading.stream
    }));
    page.add(Section {
        title: "An image of 1 GB in the Nix store",
        text: "What a container from the Nix store costs when its image moves. Ten layers of 100 MiB from Debian's \
               docker-registry on loopback, then a next version in which one of them has changed. pullImage stands for what \
               nixpkgs' dockerTools.pullImage runs: skopeo copies the image to an archive. podman has the storage driver \
               overlay; its storage has unpacked layers. Loading is from the Nix store into a new storage of podman, and \
               what it stores is besides that. Each round has a store and a storage of its own.",
        commands: vec![
            "nix-build --expr '(lib.image { ... }).layout'".to_owned(),
            "skopeo copy docker://IMAGE docker-archive:FILE".to_owned(),
            "podman pull IMAGE".to_owned(),
            "skopeo copy oci:LAYOUT containers-storage:NAME".to_owned(),
            "STREAM | podman load".to_owned(),
            "podman load --input ARCHIVE".to_owned(),
        ],
        rows,
    });
}

fn round() -> Round {
    let store = Store::new();
    let podman = Podman::with_driver("overlay");
    let archives = tempfile::tempdir().unwrap();
    let mut layers: Vec<Layer> = (0..LAYERS).map(|number| layer(number, number)).collect();
    let first = version(&store, &podman, archives.path(), &layers);
    layers[LAYERS - 1] = layer(LAYERS - 1, LAYERS);
    let next = version(&store, &podman, archives.path(), &layers);
    Round {
        first,
        next,
        loading: load(&store),
    }
}

/// A layer of random bytes, as compressed layers are.
fn layer(number: usize, seed: usize) -> Layer {
    let mut content = vec![0; LAYER];
    fastrand::Rng::with_seed(seed as u64).fill(&mut content);
    Layer::new(&format!("layer{number}"), &content, Compression::None)
}

/// Pushes a version of the image, and gets it in each way.
fn version(store: &Store, podman: &Podman, archives: &Path, layers: &[Layer]) -> Version {
    let target = (REPOSITORY, "1");
    push(&store.registry, target, Format::Oci, layers, SHOW);
    store.workspace.run(&["refresh"]).code(0);
    Version {
        ours: of_store(store),
        archive: of_archive(store, archives),
        pull: of_pull(store, podman),
    }
}

/// The bytes of all blobs that were fetched since the first `before` requests.
fn fetched(store: &Store, before: usize) -> u64 {
    let requests = store.requests_since(before);
    let blobs = requests.iter().filter(|line| line.starts_with("GET "));
    let digests = blobs.filter_map(|line| line.split_once("/blobs/sha256:"));
    let sizes = digests.map(|(_, hex)| {
        let path = format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
        store
            .registry
            .storage()
            .join(path)
            .metadata()
            .unwrap()
            .len()
    });
    sizes.sum()
}

/// The bytes that a folder takes on disk.
fn size_of(folder: &Path) -> u64 {
    if !folder.exists() {
        return 0;
    }
    let output = Outcome::of(Command::new("du").arg("-sB1").arg(folder))
        .code(0)
        .stdout;
    output.split_whitespace().next().unwrap().parse().unwrap()
}

/// Measures `command`, which fetches into `folder`.
fn cost(store: &Store, folder: &Path, command: &mut Command) -> Cost {
    let (requests, before) = (store.registry.requests().len(), size_of(folder));
    let run = run(command);
    Cost {
        run,
        fetched: fetched(store, requests),
        stored: size_of(folder).saturating_sub(before),
    }
}

fn of_store(store: &Store) -> Cost {
    let mut command = store.nix.command_of("nix-build");
    let layout = format!("{}.layout", store.image("recorded = true;"));
    command.args(["--no-out-link", "--expr", &layout]);
    let mut command = store.nix.local(command);
    cost(store, &store.nix.home().join("nix/store"), &mut command)
}

fn of_archive(store: &Store, folder: &Path) -> Cost {
    let name = folder.join(format!("{}.tar", size_of(folder)));
    let mut command = Command::new("skopeo");
    command
        .args([
            "--insecure-policy",
            "copy",
            "--quiet",
            "--src-tls-verify=false",
        ])
        .arg(format!("docker://{}", store.reference()))
        .arg(format!("docker-archive:{}:demo:1", name.display()));
    cost(store, folder, &mut command)
}

fn of_pull(store: &Store, podman: &Podman) -> Cost {
    let reference = store.reference();
    let arguments = ["pull", "--quiet", "--tls-verify=false", &reference];
    let mut command = podman.command("podman", &arguments);
    cost(store, podman.folder.path(), &mut command)
}

fn mib(bytes: u64) -> String {
    format!("{:.0} MiB", as_float(bytes) / f64::from(1 << 20))
}

fn ratio(ours: f64, peer: f64) -> String {
    format!("{:.2}", ours / peer)
}

fn seconds(runs: impl Iterator<Item = Run>) -> Quartiles {
    Quartiles::of_times(&runs.collect::<Vec<Run>>())
}

/// The time that a version takes us and a peer.
fn time(what: &str, versions: &[&Version], peer: &str, of: fn(&Version) -> &Cost) -> Row {
    let ours = seconds(versions.iter().map(|version| version.ours.run));
    let other = seconds(versions.iter().map(|version| of(version).run));
    Row::new(
        format!("{what}, time"),
        ours.show("s", 1.0, 1),
        format!("{} {peer}", other.show("s", 1.0, 1)),
        ratio(ours.middle, other.middle),
    )
}

/// What the next version takes us and a peer. What is fetched and stored is the same in
/// each round.
fn next_version(versions: &[&Version], peer: &str, of: fn(&Version) -> &Cost) -> [Row; 3] {
    let what = "next version, one layer changed";
    let (ours, other) = (&versions[0].ours, of(versions[0]));
    let bytes = |verb: &str, ours: u64, other: u64| {
        Row::new(
            format!("{what}, {verb}"),
            mib(ours),
            format!("{} {peer}", mib(other)),
            ratio(as_float(ours), as_float(other)),
        )
    };
    let stored = bytes("stored", ours.stored, other.stored);
    let stored = if peer == PULL_IMAGE {
        stored.in_chart(Bars {
            what:
                "A new version of an image of 1 GB, in which one layer of ten has changed: stored"
                    .to_owned(),
            ours: mib(ours.stored),
            peer: format!("{} {peer}", mib(other.stored)),
            share: as_float(ours.stored) / as_float(other.stored),
        })
    } else {
        stored
    };
    [
        bytes("fetched", ours.fetched, other.fetched),
        stored,
        time(what, versions, peer, of),
    ]
}

/// Loads the image into podman: from the layout, from the stream, and from an archive.
fn load(store: &Store) -> Loading {
    let layout = store.build("layout", "");
    let stream = store.build("stream", "");
    let before = size_of(&store.nix.home().join("nix/store"));
    let archive = store.build("archive", "");
    let stored = size_of(&store.nix.home().join("nix/store")) - before;
    let load = |script: String| {
        let podman = Podman::with_driver("overlay");
        run(&mut podman.command("bash", &["-euo", "pipefail", "-c", &script]))
    };
    Loading {
        layout: load(format!(
            "skopeo --insecure-policy copy --quiet oci:{} containers-storage:localhost/demo:1",
            layout.display()
        )),
        stream: load(format!("{} | podman load --quiet", stream.display())),
        archive: load(format!("podman load --quiet --input {}", archive.display())),
        stored,
    }
}

/// The time that one way to load the image takes, beside an archive.
fn loading(what: &str, loadings: &[&Loading], of: fn(&Loading) -> Run) -> Row {
    let ours = seconds(loadings.iter().map(|loading| of(loading)));
    let archive = seconds(loadings.iter().map(|loading| loading.archive));
    Row::new(
        format!("loading, {what}"),
        format!("{}, 0 MiB stored", ours.show("s", 1.0, 1)),
        format!(
            "{}, {} stored, from an archive",
            archive.show("s", 1.0, 1),
            mib(loadings[0].stored)
        ),
        ratio(ours.middle, archive.middle),
    )
}
