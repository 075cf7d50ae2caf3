//! `nix/versions.txt` and docs/nix-versions.md list the same versions of Nix.

use std::fs;

use crate::support::project;

type Series = (u32, u32);

fn series(version: &str) -> Series {
    let mut numbers = version.split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// The first and the last series of each row.
fn supported() -> Vec<(Series, Series)> {
    let text = fs::read_to_string(project().join("nix/versions.txt")).unwrap();
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let words: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(words.len(), 4, "{row}");
        (series(words[1]), series(words[2]))
    })
    .collect()
}

#[test]
fn the_page_lists_what_can_be_built_and_what_cannot() {
    let supported = supported();
    let is_supported = |version: Series| {
        supported
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&version))
    };
    let page = fs::read_to_string(project().join("docs/nix-versions.md")).unwrap();
    let mut rows = 0;
    for line in page.lines().filter(|line| line.starts_with("| 2.")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let versions = cells[0].split(" (").next().unwrap();
        let is_listed = cells[1].starts_with("built") || cells[1].starts_with("compiled");
        for version in versions.split(" to ") {
            assert_eq!(is_supported(series(version)), is_listed, "{line}");
        }
        rows += 1;
    }
    assert!(rows > 5, "{rows}");
    for (first, _) in supported {
        assert!(
            page.contains(&format!("| {}.{}", first.0, first.1)),
            "{first:?}"
        );
    }
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
