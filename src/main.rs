//! The command `nix-oci-hashes`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
