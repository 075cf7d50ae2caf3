//! The table of ratios, for the terminal and for docs/benchmarks.md.

use std::process::Command;

use super::support::project;

/// One line of the table.
pub struct Row {
    pub what: String,
    /// Its cost, in words.
    pub ours: String,
    /// What the same costs the peer.
    pub peer: String,
    /// The comparison of the two.
    pub ratio: String,
    /// The budget; empty if there is none.
    pub budget: String,
    /// Whether the budget is met; true if there is none.
    pub is_met: bool,
}

/// A section of the page: what is compared, the commands, and the rows.
pub struct Section {
    pub title: &'static str,
    pub text: &'static str,
    pub commands: Vec<String>,
    pub rows: Vec<Row>,
}

#[derive(Default)]
pub struct Page {
    sections: Vec<Section>,
}

const HEAD: [&str; 5] = ["what", "nix-oci-hashes", "peer", "ratio", "budget"];

impl Page {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn add(&mut self, section: Section) {
        println!("\n{}", section.title);
        let rows: Vec<[String; 5]> = section.rows.iter().map(cells).collect();
        let widths: Vec<usize> = (0..5)
            .map(|i| {
                rows.iter()
                    .map(|row| row[i].chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        for row in rows {
            let cells = row.iter().zip(&widths);
            let line: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            println!("  {}", line.join("  ").trim_end());
        }
        self.sections.push(section);
    }

    /// Writes docs/benchmarks.md, if everything was measured.
    pub fn finish(self, is_whole: bool) {
        let missed = self.sections.iter().flat_map(|section| &section.rows);
        let missed = missed.filter(|row| !row.is_met).count();
        println!("\n{missed} of the budgets missed");
        if is_whole {
            let path = project().join("docs/benchmarks.md");
            std::fs::write(&path, self.markdown()).unwrap();
            println!("docs/benchmarks.md written");
        }
    }

    fn markdown(&self) -> String {
        let mut text = format!(
            "# Benchmarks\n\n\
             `make bench` measures all of this beside its peers, in one run of some ten minutes, and writes this page. Times \
             are those that a tenth of the runs stay below, memory is the median; what counts are the ratios.\n\n\
             This run: {}.\n",
            machine()
        );
        for section in &self.sections {
            text.push_str(&format!(
                "\n## {}\n\n{}\n\n```text\n",
                section.title, section.text
            ));
            for command in &section.commands {
                text.push_str(command);
                text.push('\n');
            }
            text.push_str(&format!(
                "```\n\n| {} |\n|{}\n",
                HEAD.join(" | "),
                " --- |".repeat(5)
            ));
            for row in &section.rows {
                text.push_str(&format!("| {} |\n", cells(row).join(" | ")));
            }
        }
        text.push_str(NOTES);
        text
    }
}

fn cells(row: &Row) -> [String; 5] {
    let budget = match (&*row.budget, row.is_met) {
        ("", _) => String::new(),
        (budget, true) => format!("{budget}: met"),
        (budget, false) => format!("{budget}: **missed**"),
    };
    [
        row.what.clone(),
        row.ours.clone(),
        row.peer.clone(),
        row.ratio.clone(),
        budget,
    ]
}

/// The programs and the machine of this run.
fn machine() -> String {
    let first_line = |program: &str| {
        let output = Command::new(program).arg("--version").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().next().unwrap_or_default().to_owned()
    };
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model
        .unwrap_or_default()
        .trim_start_matches(['\t', ' ', ':']);
    let cores = std::thread::available_parallelism().unwrap();
    format!(
        "{}, {}, {cores} cores of {model}",
        first_line("nix"),
        first_line("skopeo")
    )
}

const NOTES: &str = include_str!("notes.txt");
