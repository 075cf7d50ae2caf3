//! nix/versions.txt lists the builds that there are. Everything else that knows them
//! agrees with it.

use std::collections::BTreeSet;
use std::fs;

use crate::support::project;
use crate::support::versions::{Row, rows};

/// The names of the flavours in docs/nix-versions.md, and in nix/versions.txt.
const FLAVOURS: [(&str, &str); 4] = [
    ("Nix", "nix"),
    ("Lix", "lix"),
    ("Determinate Nix", "determinate"),
    ("Nix, C API", "c-api"),
];

/// A release in the table of docs/nix-versions.md.
struct Tried {
    flavour: &'static str,
    version: String,
    state: String,
}

fn text(path: &str) -> String {
    fs::read_to_string(project().join(path)).unwrap()
}

fn tried() -> Vec<Tried> {
    let page = text("docs/nix-versions.md");
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let flavour = FLAVOURS.iter().find(|(name, _)| cells[0] == *name)?.1;
        Some(Tried {
            flavour,
            version: cells[1].split(' ').next()?.to_owned(),
            state: cells[2].to_owned(),
        })
    });
    rows.collect()
}

fn row_of<'a>(rows: &'a [Row], release: &Tried) -> Option<&'a Row> {
    rows.iter()
        .filter(|row| row.flavour == release.flavour)
        .find(|row| row.has(&release.version))
}

#[test]
fn the_page_lists_releases_of_every_row_and_their_state() {
    let rows = rows();
    let tried = tried();
    assert!(tried.len() > 10);
    for release in &tried {
        let row = row_of(&rows, release);
        let version = &release.version;
        match release.state.as_str() {
            "not supported" => assert_eq!(row, None, "{version}"),
            "run" | "compiled" => assert!(row.is_some(), "{version} is in no row"),
            state => panic!("{version}: {state}"),
        }
    }
    for row in &rows {
        let mut of_row = tried
            .iter()
            .filter(|release| row_of(&rows, release) == Some(row));
        let is_run = of_row.clone().any(|release| release.state == "run");
        assert_eq!(is_run, row.state == "run", "{row:?}");
        assert!(of_row.next().is_some(), "no release of {row:?}");
    }
}

#[test]
fn no_release_has_two_rows() {
    let rows = rows();
    for release in tried() {
        let of_release = rows
            .iter()
            .filter(|row| row.flavour == release.flavour && row.has(&release.version));
        assert!(of_release.count() <= 1, "{}", release.version);
    }
}

/// Both name the flavours by the names of the builds.
#[test]
fn the_loader_and_the_packages_know_every_flavour() {
    let flavours: BTreeSet<String> = rows().into_iter().map(|row| row.flavour).collect();
    let loader = text("cpp/running_nix.c") + &text("cpp/loader.c");
    let packages = text("nix/support.nix");
    for flavour in &flavours {
        assert!(loader.contains(&format!("\"{flavour}\"")), "{flavour}");
        assert!(packages.contains(&format!("\"{flavour}\"")), "{flavour}");
    }
}

#[test]
fn the_loader_opens_the_build_for_the_c_api_where_the_table_has_it() {
    let loader = text("cpp/loader.c");
    let constant = |name: &str| {
        let line = loader.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().parse::<u32>().unwrap()
    };
    let first = ["#define C_API_MAJOR", "#define C_API_MINOR"].map(constant);
    let row = rows().into_iter().find(|row| row.flavour == "c-api");
    assert_eq!(row.unwrap().first, first);
    // A release that is older than the C API has to have a row of its own.
    let last = rows()
        .into_iter()
        .filter(|row| row.flavour == "nix")
        .filter_map(|row| row.last)
        .max();
    assert!(last.unwrap() >= first.to_vec());
}

/// `nix build` runs the tests that need no other program.
#[test]
fn the_package_names_tests_that_exist() {
    let package = fs::read_to_string(project().join("nix/package.nix")).unwrap();
    let named = |flag: &str| {
        let words = package
            .split('"')
            .filter_map(|word| word.strip_prefix(flag));
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    for binary in named("--test=") {
        assert!(project().join("tests").join(&binary).is_dir(), "{binary}");
    }
    let skipped = named("--skip=");
    assert!(!skipped.is_empty());
    for module in skipped {
        let file = module.replace("::", ".rs");
        assert!(project().join("tests/it").join(&file).is_file(), "{file}");
    }
}
