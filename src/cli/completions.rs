//! `nix-oci-hashes completions`: what a shell needs to complete a command line.

use anyhow::Result;
use clap::CommandFactory as _;
use clap_complete::Shell;

/// Print the completions for a shell, to be put where it looks for them
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8> {
    let mut text = Vec::new();
    let mut command = super::Command::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(arguments.shell, &mut command, name, &mut text);
    super::print(&String::from_utf8_lossy(&text))?;
    Ok(super::DONE)
}
