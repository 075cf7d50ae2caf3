//! What a command costs: its time, its memory, its instructions.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One run of a command.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    pub time: Duration,
    /// The most memory that it had, in KiB.
    pub memory: u64,
}

/// Runs a command, which has to succeed.
pub fn run(command: &mut Command) -> Run {
    run_to(command, 0)
}

/// Runs a command, which has to end with `code`.
pub fn run_to(command: &mut Command, code: i32) -> Run {
    let mut timed = wrapped(command, "time", &["-q", "-f", "%M"]);
    let start = Instant::now();
    let output = timed
        .output()
        .expect("GNU time is missing: make bench installs it");
    let time = start.elapsed();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{command:?}: {stderr}");
    let memory = stderr.lines().last().unwrap().trim().parse().unwrap();
    Run { time, memory }
}

/// The instructions of a command, as valgrind counts them.
pub fn instructions(command: &Command) -> u64 {
    let mut counted = wrapped(
        command,
        "valgrind",
        &["--tool=callgrind", "--callgrind-out-file=/dev/null"],
    );
    let output = counted
        .output()
        .expect("valgrind is missing: make bench installs it");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    let (_, count) = stderr.rsplit_once("Collected : ").unwrap();
    count.split_whitespace().next().unwrap().parse().unwrap()
}

/// The same command, run by another one.
fn wrapped(command: &Command, program: &str, arguments: &[&str]) -> Command {
    let mut other = Command::new(program);
    other
        .args(arguments)
        .arg(command.get_program())
        .args(command.get_args());
    // Only those that were set: this is for commands with an empty environment
    // or with that of this process.
    if command.get_envs().any(|(name, _)| name == "NIX_CONFIG") {
        other.env_clear();
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        other.current_dir(folder);
    }
    other.stdin(Stdio::null());
    other
}

/// Runs of several commands, one after the other and again from the beginning, so
/// that whatever else the machine does is the same for all.
pub fn in_turn<const N: usize>(times: usize, commands: [&dyn Fn() -> Run; N]) -> [Vec<Run>; N] {
    let mut runs = [const { Vec::new() }; N];
    for round in 0..=times {
        for (command, runs) in commands.iter().zip(&mut runs) {
            let run = command();
            // The first round only warms up.
            if round > 0 {
                runs.push(run);
            }
        }
    }
    runs
}

/// The one in the middle.
pub fn median(runs: &[Run]) -> Run {
    let middle = |mut values: Vec<u64>| {
        values.sort_unstable();
        values[values.len() / 2]
    };
    let nanos = runs
        .iter()
        .map(|run| u64::try_from(run.time.as_nanos()).unwrap());
    Run {
        time: Duration::from_nanos(middle(nanos.collect())),
        memory: middle(runs.iter().map(|run| run.memory).collect()),
    }
}

/// The seconds that `runs` take longer than those of `base`, each as a tenth of the
/// runs stay below: what else the machine does makes a run longer, and none shorter.
pub fn added(runs: &[Run], base: &[Run]) -> f64 {
    undisturbed(runs) - undisturbed(base)
}

/// The time, in seconds, that a tenth of the runs stay below.
pub fn undisturbed(runs: &[Run]) -> f64 {
    let mut times: Vec<Duration> = runs.iter().map(|run| run.time).collect();
    times.sort_unstable();
    times[times.len() / 10].as_secs_f64()
}

/// KiB as a number that can be divided; far below what loses precision.
#[expect(clippy::cast_precision_loss, reason = "kibibytes of one process")]
pub fn kib(memory: u64) -> f64 {
    memory as f64
}
