//! The cost of loading the plugin in an evaluation that does not use it.

use super::measure::{added, as_float, in_turn, instructions, median, run, undisturbed};
use super::page::{Page, Row, Section};
use super::support::nix::{Nix, builds, loader};

/// The most that the plugin may add: seconds, and KiB of memory.
const BUDGET: (f64, f64) = (1e-3, 2048.0);
const ROUNDS: usize = 200;

pub fn measure(page: &mut Page) {
    let without = Nix::without_plugin();
    let single = Nix::with_plugin_files(&builds().join(without.release().build()));
    let both = Nix::with_plugin_files(&loader());
    let command = |nix: &Nix| {
        let mut command = nix.command();
        command.args(["eval", "--store", "dummy://", "--expr", "1"]);
        command
    };
    let [base, alone, loaded] = in_turn(
        ROUNDS,
        [
            &|| run(&mut command(&without)),
            &|| run(&mut command(&single)),
            &|| run(&mut command(&both)),
        ],
    );
    let before = median(&base);
    let counted = instructions(&command(&without));
    let mut rows = Vec::new();
    for (what, runs, nix) in [
        ("its build alone", &alone, &single),
        ("the loader and the build", &loaded, &both),
    ] {
        let after = median(runs);
        let time = added(runs, &base);
        let memory = as_float(after.memory) - as_float(before.memory);
        let more = instructions(&command(nix)).saturating_sub(counted);
        rows.push(Row {
            what: format!("time of `nix eval --expr 1` with {what}"),
            ours: format!("{:.2} ms", undisturbed(runs) * 1e3),
            peer: format!("{:.2} ms without", undisturbed(&base) * 1e3),
            ratio: format!("{:+.2} ms", time * 1e3),
            budget: "at most 1 ms more".to_owned(),
            is_met: time <= BUDGET.0,
        });
        rows.push(Row {
            what: format!("memory of it with {what}"),
            ours: format!("{:.1} MiB", as_float(after.memory) / 1024.0),
            peer: format!("{:.1} MiB without", as_float(before.memory) / 1024.0),
            ratio: format!("+{:.2} MiB", memory / 1024.0),
            budget: "at most 2 MiB more".to_owned(),
            is_met: memory <= BUDGET.1,
        });
        rows.push(Row {
            what: format!("instructions of it with {what}"),
            ours: format!("{:.2} million", as_float(counted + more) / 1e6),
            peer: format!("{:.2} million without", as_float(counted) / 1e6),
            ratio: format!("+{:.2} million", as_float(more) / 1e6),
            budget: String::new(),
            is_met: true,
        });
    }
    page.add(Section {
        title: "Loading the plugin",
        text: "An evaluation with the plugin loaded but not used, compared with one without the plugin.",
        commands: [
            "nix eval --store dummy:// --expr 1",
            "nix eval --store dummy:// --expr 1 --option plugin-files lib/nix-oci-hashes/nix-VERSION.so",
            "nix eval --store dummy:// --expr 1 --option plugin-files lib/nix/plugins/libnix_oci_hashes.so",
            "valgrind --tool=callgrind nix eval ...",
        ]
        .map(str::to_owned)
        .into(),
        rows,
    });
}
