//! An image of a gigabyte in the Nix store, compared with an archive as
//! `dockerTools.pullImage` makes it and with `podman pull`.

use std::path::Path;
use std::process::Command;

use super::chart::Bars;
use super::measure::{Run, as_float, run};
use super::page::{Page, Row, Section};
use super::support::Outcome;
use super::support::image::{Compression, Format, Layer, push};
use super::support::store::{Podman, REPOSITORY, SHOW, Store};

const LAYERS: usize = 10;
/// The size of a layer, in bytes.
const LAYER: usize = 100 << 20;

const FIRST: &str = "first version";
const PULL_IMAGE: &str = "pullImage";

/// One way to get an image: its cost, what it fetched and what it has stored since, in
/// bytes.
struct Cost {
    run: Run,
    fetched: u64,
    stored: u64,
}

pub fn measure(page: &mut Page) {
    let store = Store::new();
    let layer = |number: usize, seed: u64| {
        // Random, as compressed layers are.
        let mut content = vec![0; LAYER];
        fastrand::Rng::with_seed(seed).fill(&mut content);
        Layer::new(&format!("layer{number}"), &content, Compression::None)
    };
    let mut layers: Vec<Layer> = (0..LAYERS).map(|i| layer(i, i as u64)).collect();
    let podman = Podman::with_driver("overlay");
    let archives = tempfile::tempdir().unwrap();
    let mut rows = Vec::new();
    for what in [FIRST, "next version, one layer changed"] {
        push(
            &store.registry,
            (REPOSITORY, "1"),
            Format::Oci,
            &layers,
            SHOW,
        );
        store.workspace.run(&["refresh"]).code(0);
        let ours = of_store(&store);
        let archive = of_archive(&store, archives.path());
        let pull = of_pull(&store, &podman);
        rows.extend(compare(what, PULL_IMAGE, &ours, &archive));
        rows.extend(compare(what, "podman pull", &ours, &pull));
        layers[LAYERS - 1] = layer(LAYERS - 1, LAYERS as u64);
    }
    rows.extend(loading(&store));
    page.add(Section {
        title: "An image of 1 GB in the Nix store",
        text: "What a container from the Nix store costs when its image moves. Ten layers of 100 MiB from Debian's docker-registry on loopback, then a next version in which one of them \
               has changed. pullImage stands for what nixpkgs' dockerTools.pullImage runs: skopeo copies the image to an \
               archive. podman has the storage driver overlay; its storage has unpacked layers. Loading is from the \
               Nix store into a new storage of podman, and what it stores is besides that.",
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

fn compare(what: &str, peer: &str, ours: &Cost, other: &Cost) -> Vec<Row> {
    let named = |text: String| format!("{text} {peer}");
    let seconds = |run: &Run| run.time.as_secs_f64();
    let bytes = |of: &str, ours: u64, other: u64| {
        let share = as_float(ours) / as_float(other);
        let row = Row::new(
            format!("{what}, {of}"),
            mib(ours),
            named(mib(other)),
            format!("{share:.2}"),
        );
        (row, share)
    };
    let time = Row::new(
        format!("{what}, time"),
        format!("{:.1} s", seconds(&ours.run)),
        named(format!("{:.1} s", seconds(&other.run))),
        ratio(seconds(&ours.run), seconds(&other.run)),
    );
    let (fetched, _) = bytes("fetched", ours.fetched, other.fetched);
    let (stored, share) = bytes("stored", ours.stored, other.stored);
    let is_next = what != FIRST;
    let stored = if is_next && peer == PULL_IMAGE {
        stored.in_chart(Bars {
            what:
                "A new version of an image of 1 GB, in which one layer of ten has changed: stored"
                    .to_owned(),
            ours: mib(ours.stored),
            peer: named(mib(other.stored)),
            share,
        })
    } else {
        stored
    };
    if is_next {
        vec![fetched, stored, time]
    } else {
        vec![time]
    }
}

/// Loads the image into podman: from the layout, from the stream, and from an archive.
fn loading(store: &Store) -> Vec<Row> {
    let layout = store.build("layout", "");
    let stream = store.build("stream", "");
    let layout = format!(
        "skopeo --insecure-policy copy --quiet oci:{} containers-storage:localhost/demo:1",
        layout.display()
    );
    let stream = format!("{} | podman load --quiet", stream.display());
    let load = |script: &str| {
        let podman = Podman::with_driver("overlay");
        run(&mut podman.command("bash", &["-euo", "pipefail", "-c", script]))
    };
    let from_layout = load(&layout);
    let from_stream = load(&stream);
    let before = size_of(&store.nix.home().join("nix/store"));
    let archive = store.build("archive", "");
    let stored = size_of(&store.nix.home().join("nix/store")) - before;
    let from_archive = load(&format!(
        "podman load --quiet --input {}",
        archive.display()
    ));
    let seconds = |run: Run| run.time.as_secs_f64();
    let row = |what: &str, ours: Run| {
        Row::new(
            format!("loading, {what}"),
            format!("{:.1} s, 0 MiB stored", seconds(ours)),
            format!(
                "{:.1} s, {} stored, from an archive",
                seconds(from_archive),
                mib(stored)
            ),
            ratio(seconds(ours), seconds(from_archive)),
        )
    };
    vec![
        row("from the layout", from_layout),
        row("from the stream", from_stream),
    ]
}
