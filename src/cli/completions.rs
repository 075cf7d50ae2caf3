//! `nix-oci-hashes completions`: prints completions for a shell.

use anyhow::Result;
use clap_complete::Shell;

use super::output;

/// Print the completions for a shell
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments, mut command: clap::Command) -> Result<u8> {
    let mut text = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(arguments.shell, &mut command, name, &mut text);
    output::print(&String::from_utf8_lossy(&text))?;
    Ok(output::DONE)
}
