//! Lookups, compared with plain attribute access in the table that `builtins.fromJSON`
//! parses. The cost of a cheap builtin is subtracted.

use std::path::Path;

use super::chart::Bars;
use super::measure::{Quartiles, Run, as_float, in_turn, median, run};
use super::page::{Page, Row, Section};
use super::support::nix::{Nix, literal};
use super::support::{Workspace, committed_table, project};
use super::tables;

const LOOKUPS: usize = 10_000;
const ROUNDS: usize = 40;
/// Differences below this many seconds are noise.
const NOISE: f64 = 1e-3;
/// The tags of the table with a budget.
const LARGE: usize = 100_000;
const CONTAINERS: usize = 200;

pub fn measure(page: &mut Page) {
    let workspace = Workspace::new();
    many(page, &workspace);
    growing(page, &workspace);
}

fn eval(nix: &Nix, expression: &str) -> Run {
    let mut command = nix.command();
    command.args([
        "eval", "--store", "dummy://", "--impure", "--expr", expression,
    ]);
    run(&mut command)
}

/// A Nix expression that calls `f` for `LOOKUPS` references and adds up the lengths of the
/// results. `reference` is a Nix expression for the reference with the number `i`.
fn fold(f: &str, reference: &str) -> String {
    format!(
        "builtins.foldl' (sum: i: sum + builtins.stringLength ({f} ({reference}))) 0 (builtins.genList (i: i) {LOOKUPS})"
    )
}

/// A Nix expression for the result of `tables::reference`. `number` is a Nix expression,
/// too.
fn numbered(number: &str) -> String {
    let padded = |number: &str, digits: usize| {
        let one = 10_usize.pow(u32::try_from(digits).unwrap());
        format!("builtins.substring 1 {digits} (toString ({one} + {number}))")
    };
    format!(
        "let n = {number}; app = n / 10; in \"docker.io/org\" + {} + \"/app\" + {} + \":1.\" + toString (n - 10 * app) + \".0\"",
        padded("app / 50", 4),
        padded("app", 6),
    )
}

fn many(page: &mut Page, workspace: &Workspace) {
    let mut rows = Vec::new();
    let cases = [
        ("one reference", 240, "0 * i".to_owned()),
        (
            "240 references in turn",
            240,
            "i - 240 * (i / 240)".to_owned(),
        ),
        (
            "10,000 references, of a table of as many",
            10_000,
            "i".to_owned(),
        ),
        (
            "10,000 references, of a table of 100,000",
            100_000,
            "10 * i".to_owned(),
        ),
    ];
    for (what, tags, number) in cases {
        let name = format!("{tags}.json");
        workspace.write(&name, tables::text(tags));
        let path = workspace.path(&name);
        let nix = Nix::with_plugin().set("oci-hash-digests", path.display());
        let reference = numbered(&number);
        let parts = "(reference: let m = builtins.match \"(.*):(.*)\" reference; in table.images.${builtins.elemAt m 0}.${builtins.elemAt m 1}.digest)";
        let plain = format!(
            "let table = builtins.fromJSON (builtins.readFile {}); in {}",
            path.display(),
            fold(parts, &reference)
        );
        let [base, ours, peer] = in_turn(
            ROUNDS,
            [
                &|| eval(&nix, &fold("", &reference)),
                &|| eval(&nix, &fold("builtins.ociHash", &reference)),
                &|| eval(&nix, &plain),
            ],
        );
        let each = 1e-6 * LOOKUPS as f64;
        let [ours, peer] = [ours, peer].map(|runs| Quartiles::of_added(&runs, &base));
        let row = Row::new(
            format!("`builtins.ociHash`, {what}"),
            ours.show("µs", each, 2),
            peer.show("µs", each, 2),
            format!("{:.1}", ours.middle / peer.middle),
        );
        rows.push(row.with_budget("at most 2 µs", ours.middle / each <= 2.0));
    }
    rows.push(in_plain_nix(workspace));
    rows.push(with_the_default_table());
    rows.push(with_a_large_table(workspace));
    page.add(Section {
        title: "Many lookups in one evaluation",
        text: "What each reference of a configuration costs. A row is what one lookup takes over a call of \
               `builtins.stringLength`. The peer parses the table with `builtins.fromJSON`, takes each reference apart with \
               `builtins.match`, and looks the digest up. The last rows are evaluations of the NixOS module with stand-ins \
               for nixpkgs.",
        commands: vec![
            format!("nix eval --impure --expr '{}'", fold("", "R")),
            format!("nix eval --impure --expr '{}'", fold("builtins.ociHash", "R")),
            "nix eval --impure --expr 'let table = builtins.fromJSON (builtins.readFile F); in ...'".to_owned(),
        ],
        rows,
    });
}

/// `lib.ociHash` without the plugin.
fn in_plain_nix(workspace: &Workspace) -> Row {
    let path = workspace.path("10000.json");
    let nix = Nix::without_plugin();
    let reference = numbered("i");
    let plain = format!(
        "let lib = import {}/nix/lib.nix {{ digests = {}; }}; in {}",
        project().display(),
        path.display(),
        fold("lib.ociHash", &reference)
    );
    // The table is read, which takes as long without the lookups.
    let without = format!(
        "let table = builtins.fromJSON (builtins.readFile {}); in builtins.seq table.version ({})",
        path.display(),
        fold("", &reference)
    );
    let [base, ours] = in_turn(
        ROUNDS / 4,
        [&|| eval(&nix, &without), &|| eval(&nix, &plain)],
    );
    let each = 1e-6 * LOOKUPS as f64;
    let times = Quartiles::of_added(&ours, &base);
    Row::new(
        "`lib.ociHash` in plain Nix, 10,000 references, of a table of as many",
        times.show("µs", each, 0),
        "",
        "",
    )
    .with_budget("at most 50 µs", times.middle / each <= 50.0)
}

/// A NixOS configuration of [`CONTAINERS`] containers with pins of the default table.
fn with_the_default_table() -> Row {
    let table = committed_table();
    let images = table["images"].as_object().unwrap();
    let references = images.iter().flat_map(|(image, tags)| {
        let tags = tags.as_object().unwrap().keys();
        tags.map(move |tag| format!("{image}:{tag}"))
    });
    let references: Vec<String> = references.take(CONTAINERS).collect();
    let (row, more) = of_a_configuration("the default table", "", &references);
    row.with_budget("at most 50 ms more", more <= 50.0)
}

/// The same with pins of a table of 10,000 tags.
fn with_a_large_table(workspace: &Workspace) -> Row {
    let references: Vec<String> = (0..CONTAINERS)
        .map(|number| tables::reference(number * 50))
        .collect();
    let path = workspace.path("10000.json");
    let setting = format!("nix.ociHashes.digests = {};", path.display());
    of_a_configuration("a table of 10,000 tags", &setting, &references).0
}

/// A NixOS configuration with a container for each reference, as pins of the table that
/// `setting` sets. Also returns by how many milliseconds that takes longer than strings.
fn of_a_configuration(table: &str, setting: &str, references: &[String]) -> (Row, f64) {
    assert_eq!(references.len(), CONTAINERS);
    let nix = Nix::without_plugin();
    let configuration = |of: &dyn Fn(&str) -> String| {
        let containers: String = references
            .iter()
            .enumerate()
            .map(|(number, reference)| format!("c{number} = {{ {} }};", of(reference)))
            .collect();
        format!(
            "builtins.length (builtins.attrNames (builtins.groupBy (image: image) (builtins.attrValues
              (import {0}/tests/nix/nixos.nix {{ modules = [
                (import {0}/nix/module.nix {{ self = {0}; }})
                {{
                  {setting}
                  virtualisation.oci-containers.containers = {{ {containers} }};
                }}
              ]; }}).images)))",
            project().display(),
        )
    };
    let pins = configuration(&|reference| format!("pin = \"{reference}\";"));
    let strings = configuration(&|reference| format!("image = \"{reference}\";"));
    let [base, ours] = in_turn(
        ROUNDS / 2,
        [&|| eval(&nix, &strings), &|| eval(&nix, &pins)],
    );
    let [with_strings, with_pins] = [base, ours].map(|runs| Quartiles::of_times(&runs));
    let more = (with_pins.middle - with_strings.middle) * 1e3;
    let row = Row::new(
        format!("a NixOS configuration with {CONTAINERS} pins of {table}"),
        with_pins.show("ms", 1e-3, 0),
        format!("{} with strings", with_strings.show("ms", 1e-3, 0)),
        format!("{more:+.0} ms"),
    );
    (row, more)
}

fn growing(page: &mut Page, workspace: &Workspace) {
    let mut rows = Vec::new();
    let nix = Nix::with_plugin();
    for tags in [10_000, 100_000] {
        let name = format!("{tags}.json");
        workspace.write(&name, tables::text(tags));
        let path = workspace.path(&name);
        let reference = tables::reference(tags / 2);
        let [base, ours, peer] = in_turn(
            ROUNDS / 2,
            [
                &|| eval(&nix, "1"),
                &|| eval(&nix, &ours(&path, &reference)),
                &|| eval(&nix, &peers(&path, &reference)),
            ],
        );
        let [mine, its] = [&ours, &peer].map(|runs| Quartiles::of_added(runs, &base));
        let faster = its.middle / mine.middle.max(NOISE);
        let time = Row::new(
            format!("first lookup among {tags} tags, time"),
            if mine.middle < NOISE {
                "under 1 ms".to_owned()
            } else {
                mine.show("ms", 1e-3, 1)
            },
            its.show("ms", 1e-3, 1),
            format!("at least {faster:.0} times faster"),
        );
        let (base, ours, peer) = (median(&base), median(&ours), median(&peer));
        let memory = |run: Run| (as_float(run.memory) - as_float(base.memory)) / 1024.0;
        let smaller = memory(peer) / memory(ours).max(0.1);
        let memory = Row::new(
            format!("first lookup among {tags} tags, memory"),
            format!("{:.1} MiB", memory(ours)),
            format!("{:.1} MiB", memory(peer)),
            format!("1/{smaller:.0}"),
        );
        if tags == LARGE {
            let bars = Bars {
                what: format!("The first lookup in a table of {tags} tags"),
                ours: time.ours.clone(),
                peer: format!("builtins.fromJSON: {}", time.peer),
                share: 1.0 / faster,
            };
            rows.push(
                time.with_budget("10 times faster", faster >= 10.0)
                    .in_chart(bars),
            );
            rows.push(memory.with_budget("a quarter", smaller >= 4.0));
        } else {
            rows.extend([time, memory]);
        }
    }
    page.add(Section {
        title: "The first lookup in a large table",
        text: "What a table that grows costs an evaluation with one pin. A row is what a lookup adds to an evaluation \
               of `1`, beside the same digest by `builtins.fromJSON`.",
        commands: vec![
            format!("nix eval --impure --expr '{}'", ours(Path::new("F"), "R")),
            "nix eval --impure --expr '(builtins.fromJSON (builtins.readFile F)).images.IMAGE.TAG.digest'".to_owned(),
        ],
        rows,
    });
}

fn ours(path: &Path, reference: &str) -> String {
    let path = path.display();
    format!(
        "builtins.ociHash {{ image = {}; digests = {path}; }}",
        literal(reference)
    )
}

fn peers(path: &Path, reference: &str) -> String {
    let (image, tag) = reference.split_once(':').unwrap();
    format!(
        "(builtins.fromJSON (builtins.readFile {})).images.{}.{}.digest",
        path.display(),
        literal(image),
        literal(tag)
    )
}
