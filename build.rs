//! Compiles `cpp/` against the machine's Nix, for the cargo feature `plugin`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "plugin")]
    plugin::build();
}

#[cfg(feature = "plugin")]
mod plugin {
    use std::process::exit;

    /// The versions of Nix that `cpp/compat.h` is written for.
    const SUPPORTED: &str = "2.8.";

    pub(crate) fn build() {
        println!("cargo:rerun-if-changed=cpp");
        println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");
        // Nix is in the process that loads the plugin: its libraries must not
        // be linked a second time, only its headers are wanted.
        let nix = pkg_config::Config::new()
            .cargo_metadata(false)
            .probe("nix-expr")
            .unwrap_or_else(|error| {
                eprintln!(
                    "The feature 'plugin' needs Nix with its development files, and pkg-config \
                     does not find 'nix-expr'.\n\
                     Debian 12: run scripts/setup, then build through the Makefile ('make plugin').\n\
                     Elsewhere: install Nix 2.8 with its headers, and put the folder of its \
                     nix-expr.pc into PKG_CONFIG_PATH.\n\n{error}"
                );
                exit(1)
            });
        if !nix.version.starts_with(SUPPORTED) {
            eprintln!(
                "pkg-config finds Nix {}, and so far the plugin is built for Nix 2.8 only.\n\
                 Put the folder of that version's nix-expr.pc first in PKG_CONFIG_PATH; on Debian \
                 12, scripts/setup makes one.",
                nix.version
            );
            exit(1)
        }
        let mut build = cxx_build::bridge("src/plugin.rs");
        // System headers: their warnings are not ours to mend.
        for folder in &nix.include_paths {
            build.flag("-isystem").flag(folder);
        }
        build
            .file("cpp/oci_hash.cc")
            .include("cpp")
            // As this version of Nix is built itself.
            .std("c++17")
            // Nix's structures are made for designated initialisers of some members.
            .flag_if_supported("-Wno-missing-field-initializers")
            .flag_if_supported("-Wno-unused-parameter")
            .compile("oci_hash");
    }
}
