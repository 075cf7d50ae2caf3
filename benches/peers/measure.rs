//! Measures the time and the memory of a command.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One run of a command.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    pub time: Duration,
    /// Peak memory, in KiB.
    pub memory: u64,
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) -> Run {
    run_to(command, 0)
}

/// Runs a command that must exit with `code`.
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

/// The same command, run by `program`.
fn wrapped(command: &Command, program: &str, arguments: &[&str]) -> Command {
    let mut other = Command::new(program);
    other
        .args(arguments)
        .arg(command.get_program())
        .args(command.get_args());
    // `get_envs` does not tell whether `env_clear` was called. Commands of `Nix` set
    // NIX_CONFIG and have an otherwise empty environment.
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

/// Runs the commands in turn, for `times` rounds, so that other load on the machine
/// affects all of them equally.
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

/// The median time and the median memory.
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

/// The quartiles of some numbers.
#[derive(Debug, Clone, Copy)]
pub struct Quartiles {
    pub low: f64,
    pub middle: f64,
    pub high: f64,
}

impl Quartiles {
    pub fn of(numbers: impl Iterator<Item = f64>) -> Self {
        let mut numbers: Vec<f64> = numbers.collect();
        numbers.sort_by(f64::total_cmp);
        let last = numbers.len() - 1;
        // Of a few numbers, rather too wide than too narrow.
        Self {
            low: numbers[last / 4],
            middle: numbers[last / 2],
            high: numbers[(last * 3).div_ceil(4)],
        }
    }

    /// Of the times, in seconds.
    pub fn of_times(runs: &[Run]) -> Self {
        Self::of(runs.iter().map(|run| run.time.as_secs_f64()))
    }

    /// Of how many seconds each of `runs` takes longer than the one of `base` beside it.
    pub fn of_added(runs: &[Run], base: &[Run]) -> Self {
        let pairs = runs.iter().zip(base);
        Self::of(pairs.map(|(run, base)| run.time.as_secs_f64() - base.time.as_secs_f64()))
    }

    /// `0.70 s (0.68 to 0.74)`: in a unit of so many seconds.
    pub fn show(&self, unit: &str, seconds: f64, digits: usize) -> String {
        let [middle, low, high] = [self.middle, self.low, self.high].map(|time| time / seconds);
        format!("{middle:.digits$} {unit} ({low:.digits$} to {high:.digits$})")
    }
}

/// How many seconds `runs` take longer than `base`. Compares the fastest tenth of each,
/// because other load on the machine only ever makes a run slower.
pub fn added(runs: &[Run], base: &[Run]) -> f64 {
    undisturbed(runs) - undisturbed(base)
}

/// The tenth percentile of the times, in seconds.
pub fn undisturbed(runs: &[Run]) -> f64 {
    let mut times: Vec<Duration> = runs.iter().map(|run| run.time).collect();
    times.sort_unstable();
    times[times.len() / 10].as_secs_f64()
}

/// A count of KiB or instructions as a float.
#[expect(
    clippy::cast_precision_loss,
    reason = "the counts of one process are below 2^52"
)]
pub fn as_float(memory: u64) -> f64 {
    memory as f64
}
