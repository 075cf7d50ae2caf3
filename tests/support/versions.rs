//! The table of builds, nix/versions.txt.

use std::fs;

use super::project;

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub flavour: String,
    /// The first release; numbers that it leaves out are 0.
    pub first: Vec<u32>,
    /// The last series; `None` if there is no last one.
    pub last: Option<Vec<u32>>,
    /// The pkg-config module of the headers.
    pub headers: String,
    /// The C++ of the headers, such as `c++20`.
    pub standard: String,
    /// `run` or `compiled`.
    pub state: String,
}

/// The numbers of a version such as `2.26.3`.
pub fn numbers(version: &str) -> Vec<u32> {
    let numbers = version.split('.').map(|number| {
        let digits = number.find(|c: char| !c.is_ascii_digit());
        number[..digits.unwrap_or(number.len())].parse().unwrap()
    });
    numbers.collect()
}

impl Row {
    /// Whether the row is for this release of its flavour.
    pub fn has(&self, version: &str) -> bool {
        let version = numbers(version);
        self.first <= version && self.last.as_ref().is_none_or(|last| &version[..2] <= last)
    }
}

/// All rows.
pub fn rows() -> Vec<Row> {
    let text = fs::read_to_string(project().join("nix/versions.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(row).collect()
}

fn row(line: &str) -> Row {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [flavour, first, last, headers, standard, state] = words[..] else {
        panic!("six columns: {line}");
    };
    Row {
        flavour: flavour.to_owned(),
        first: numbers(first),
        last: (last != "-").then(|| numbers(last)),
        headers: headers.to_owned(),
        standard: standard.to_owned(),
        state: state.to_owned(),
    }
}
