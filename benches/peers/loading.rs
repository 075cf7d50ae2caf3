//! The cost of loading the plugin in an evaluation that does not use it.

use super::measure::{Quartiles, Run, added, as_float, in_turn, median, run};
use super::page::{Page, Row, Section};
use super::support::nix::{Nix, loader};

/// The most that the plugin may add: seconds, and KiB of memory.
const BUDGET: (f64, f64) = (1e-3, 2048.0);
const ROUNDS: usize = 200;

pub fn measure(page: &mut Page) {
    let without = Nix::without_plugin();
    let both = Nix::with_plugin_files(&loader());
    let command = |nix: &Nix| {
        let mut command = nix.command();
        command.args(["eval", "--store", "dummy://", "--expr", "1"]);
        command
    };
    let [base, loaded] = in_turn(
        ROUNDS,
        [&|| run(&mut command(&without)), &|| {
            run(&mut command(&both))
        }],
    );
    let (before, after) = (median(&base), median(&loaded));
    let time = added(&loaded, &base);
    let memory = as_float(after.memory) - as_float(before.memory);
    let times = |runs: &[Run]| Quartiles::of_times(runs).show("ms", 1e-3, 1);
    page.add(Section {
        title: "Loading the plugin",
        text: "What every `nix` command pays for `plugin-files`, whether it uses the builtin or not. The ratio compares the \
               fastest tenth of the runs.",
        commands: [
            "nix eval --store dummy:// --expr 1",
            "nix eval --store dummy:// --expr 1 --option plugin-files lib/nix/plugins/libnix_oci_hashes.so",
        ]
        .map(str::to_owned)
        .into(),
        rows: vec![
            Row::new(
                "any command, time",
                times(&loaded),
                format!("{} without", times(&base)),
                format!("{:+.2} ms", time * 1e3),
            )
            .with_budget("at most 1 ms more", time <= BUDGET.0),
            Row::new(
                "any command, memory",
                format!("{:.1} MiB", as_float(after.memory) / 1024.0),
                format!("{:.1} MiB without", as_float(before.memory) / 1024.0),
                format!("+{:.2} MiB", memory / 1024.0),
            )
            .with_budget("at most 2 MiB more", memory <= BUDGET.1),
        ],
    });
}
