//! The tables of ratios, for the terminal and for docs/benchmarks.md, and its chart.

use std::process::Command;

use super::chart::{Bars, chart};
use super::support::project;

/// One line of a table.
pub struct Row {
    /// What a user does.
    pub what: String,
    /// Its cost, in words.
    pub ours: String,
    /// What the same costs the peer.
    pub peer: String,
    /// The comparison of the two.
    pub ratio: String,
    /// The budget, and whether it is met.
    pub budget: Option<(String, bool)>,
    /// What the chart shows of it.
    pub bars: Option<Bars>,
}

impl Row {
    pub fn new(
        what: impl Into<String>,
        ours: impl Into<String>,
        peer: impl Into<String>,
        ratio: impl Into<String>,
    ) -> Self {
        Self {
            what: what.into(),
            ours: ours.into(),
            peer: peer.into(),
            ratio: ratio.into(),
            budget: None,
            bars: None,
        }
    }

    pub fn with_budget(mut self, budget: &str, is_met: bool) -> Self {
        self.budget = Some((budget.to_owned(), is_met));
        self
    }

    /// Shows the row in the chart.
    pub fn in_chart(mut self, bars: Bars) -> Self {
        self.bars = Some(bars);
        self
    }

    fn cells(&self) -> [String; 5] {
        let budget = match &self.budget {
            None => String::new(),
            Some((budget, true)) => format!("{budget}: met"),
            Some((budget, false)) => format!("{budget}: **missed**"),
        };
        [
            self.what.clone(),
            self.ours.clone(),
            self.peer.clone(),
            self.ratio.clone(),
            budget,
        ]
    }
}

/// A section of the page: what is compared, what a user gains, the commands, and the rows.
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
        let rows: Vec<[String; 5]> = section.rows.iter().map(Row::cells).collect();
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

    /// Writes docs/benchmarks.md and its chart, if everything was measured.
    pub fn finish(self, is_whole: bool) {
        let rows = || self.sections.iter().flat_map(|section| &section.rows);
        let budgets = rows().filter_map(|row| row.budget.as_ref());
        let missed = budgets.filter(|(_, is_met)| !is_met).count();
        println!("\n{missed} of the budgets missed");
        if is_whole {
            let docs = project().join("docs");
            let bars: Vec<&Bars> = rows().filter_map(|row| row.bars.as_ref()).collect();
            std::fs::write(docs.join("benchmarks.svg"), chart(&bars)).unwrap();
            std::fs::write(docs.join("benchmarks.md"), self.markdown()).unwrap();
            println!("docs/benchmarks.md and docs/benchmarks.svg written");
        }
    }

    fn markdown(&self) -> String {
        let mut text = format!(
            "# Benchmarks\n\n\
             ![What nix-oci-hashes costs, beside its peers](benchmarks.svg)\n\n\
             `make bench` measures all of this beside its peers, in one run of twenty-five minutes, and writes this page. \
             Times differ from machine to machine; what counts are the ratios. Behind a time is, in brackets, where the \
             middle half of the runs lies.\n\n\
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
                text.push_str(&format!("| {} |\n", row.cells().join(" | ")));
            }
        }
        text.push_str(NOTES);
        text
    }
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
