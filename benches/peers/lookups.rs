//! Lookups, compared with plain attribute access in the table that `builtins.fromJSON`
//! parses. The cost of a cheap builtin is subtracted.

use std::path::Path;

use super::measure::{Run, added, as_float, in_turn, median, run};
use super::page::{Page, Row, Section};
use super::support::Workspace;
use super::support::nix::{Nix, literal};
use super::tables;

const LOOKUPS: usize = 10_000;
const ROUNDS: usize = 40;
/// Differences below this many milliseconds are noise.
const NOISE: f64 = 1.0;

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
        let each = |runs: &[Run]| added(runs, &base) / LOOKUPS as f64 * 1e6;
        let (ours, peer) = (each(&ours), each(&peer));
        rows.push(Row {
            what: what.to_owned(),
            ours: format!("{ours:.2} µs"),
            peer: format!("{peer:.2} µs"),
            ratio: format!("{:.1} times faster", peer / ours),
            budget: "at most 2 µs".to_owned(),
            is_met: ours <= 2.0,
        });
    }
    page.add(Section {
        title: "Ten thousand lookups in one evaluation",
        text: "What one lookup takes over a call of `builtins.stringLength`. The peer parses the table with \
               `builtins.fromJSON`, takes each reference apart with `builtins.match`, and looks the digest up.",
        commands: vec![
            format!("nix eval --impure --expr '{}'", fold("", "R")),
            format!("nix eval --impure --expr '{}'", fold("builtins.ociHash", "R")),
            "nix eval --impure --expr 'let table = builtins.fromJSON (builtins.readFile F); in ...'".to_owned(),
        ],
        rows,
    });
}

fn growing(page: &mut Page, workspace: &Workspace) {
    let mut rows = Vec::new();
    let nix = Nix::with_plugin();
    for tags in [240, 10_000, 100_000, 1_000_000] {
        let name = format!("{tags}.json");
        workspace.write(&name, tables::text(tags));
        let path = workspace.path(&name);
        let reference = tables::reference(tags / 2);
        let rounds = if tags < 1_000_000 { 20 } else { 3 };
        let [base, ours, peer] = in_turn(
            rounds,
            [
                &|| eval(&nix, "1"),
                &|| eval(&nix, &ours(&path, &reference)),
                &|| eval(&nix, &peers(&path, &reference)),
            ],
        );
        let (ours_took, peer_took) = (added(&ours, &base) * 1e3, added(&peer, &base) * 1e3);
        let (base, ours, peer) = (median(&base), median(&ours), median(&peer));
        let memory = |run: Run| (as_float(run.memory) - as_float(base.memory)) / 1024.0;
        let has_budget = tags == 100_000;
        let budget = |text: &str| {
            if has_budget {
                text.to_owned()
            } else {
                String::new()
            }
        };
        let faster = peer_took / ours_took.max(NOISE);
        let smaller = memory(peer) / memory(ours).max(0.1);
        rows.push(Row {
            what: format!("time of the first lookup among {tags} tags"),
            ours: if ours_took < NOISE {
                format!("under {NOISE:.0} ms")
            } else {
                format!("{ours_took:.1} ms")
            },
            peer: format!("{peer_took:.1} ms"),
            ratio: if ours_took < NOISE {
                format!("over {:.0} times faster", faster.floor())
            } else {
                format!("{faster:.1} times faster")
            },
            budget: budget("10 times faster"),
            is_met: !has_budget || faster >= 10.0,
        });
        rows.push(Row {
            what: format!("memory of it among {tags} tags"),
            ours: format!("{:.1} MiB", memory(ours)),
            peer: format!("{:.1} MiB", memory(peer)),
            ratio: if smaller < 1.0 {
                format!("{:.1}", 1.0 / smaller)
            } else {
                format!("1/{smaller:.0}")
            },
            budget: budget("a quarter"),
            is_met: !has_budget || smaller >= 4.0,
        });
    }
    page.add(Section {
        title: "The first lookup in a large table",
        text: "What a lookup adds to an evaluation of `1`, beside the same digest by `builtins.fromJSON`.",
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
