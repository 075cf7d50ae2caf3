//! The command line: one file for each verb.

mod add;
mod check;
mod choice;
mod columns;
mod completions;
mod diff;
mod events;
mod fetch;
mod files;
mod generations;
mod history;
mod import;
mod list;
mod lookup;
mod manifests;
mod manual;
mod merge;
mod network;
mod output;
mod progress;
mod refresh;
mod remedy;
mod remove;
mod report;
mod resolve;
mod review;
mod revisions;
mod signatures;
mod site;
mod waiting;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use output::{DONE, FAILED};

/// Pinned OCI image references for Nix: one table of digests, kept fresh.
#[derive(Debug, Parser)]
#[command(version, about, disable_help_subcommand = true)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Refresh(refresh::Arguments),
    Lookup(lookup::Arguments),
    List(list::Arguments),
    Add(add::Arguments),
    Remove(remove::Arguments),
    Resolve(resolve::Arguments),
    Fetch(fetch::Arguments),
    Import(import::Arguments),
    Check(check::Arguments),
    Diff(diff::Arguments),
    History(history::Arguments),
    Site(site::Arguments),
    Merge(merge::Arguments),
    Review(review::Arguments),
    Completions(completions::Arguments),
    #[command(hide = true)]
    Manual(manual::Arguments),
}

/// Runs the command line of this process.
pub(crate) fn main() -> ExitCode {
    let command = match Command::try_parse() {
        Ok(command) => command,
        Err(error) => {
            // Printing fails only if the output is closed.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { FAILED } else { DONE });
        }
    };
    let result = match command.verb {
        Verb::Refresh(arguments) => refresh::run(&arguments),
        Verb::Lookup(arguments) => lookup::run(&arguments),
        Verb::List(arguments) => list::run(&arguments),
        Verb::Add(arguments) => add::run(arguments),
        Verb::Remove(arguments) => remove::run(&arguments),
        Verb::Resolve(arguments) => resolve::run(&arguments),
        Verb::Fetch(arguments) => fetch::run(&arguments),
        Verb::Import(arguments) => import::run(&arguments),
        Verb::Check(arguments) => check::run(&arguments),
        Verb::Diff(arguments) => diff::run(&arguments),
        Verb::History(arguments) => history::run(&arguments),
        Verb::Site(arguments) => site::run(&arguments),
        Verb::Merge(arguments) => merge::run(&arguments),
        Verb::Review(arguments) => review::run(&arguments),
        Verb::Completions(arguments) => completions::run(&arguments, Command::command()),
        Verb::Manual(arguments) => manual::run(&arguments, Command::command()),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let bad = clap::builder::Styles::styled();
            let (bad, plain) = (bad.get_error().render(), bad.get_error().render_reset());
            anstream::eprintln!("{bad}error:{plain} {}", remedy::error(&error));
            ExitCode::from(FAILED)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_valid() {
        Command::command().debug_assert();
    }
}
