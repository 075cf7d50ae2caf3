//! The command `nix-oci-hashes`.

mod cli;

#[cfg(feature = "plugin")]
compile_error!(
    "the feature `plugin` is only for the library that Nix loads: run `make plugin`, or `cargo rustc --release \
     --lib --crate-type cdylib --no-default-features --features plugin`"
);

fn main() -> std::process::ExitCode {
    cli::main()
}
