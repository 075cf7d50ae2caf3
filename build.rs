//! Compiles `cpp/` against the machine's Nix, for the cargo feature `plugin`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "plugin")]
    plugin::build();
}

#[cfg(feature = "plugin")]
mod plugin {
    use std::path::PathBuf;
    use std::process::exit;

    /// The versions that the plugin can be built for.
    const VERSIONS: &str = include_str!("nix/versions.txt");

    /// A row of the table of versions.
    struct Row {
        flavour: &'static str,
        first: (u32, u32),
        last: (u32, u32),
        standard: &'static str,
    }

    fn rows() -> impl Iterator<Item = Row> {
        let lines = VERSIONS.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| {
            let mut words = line.split_whitespace();
            Some(Row {
                flavour: words.next()?,
                first: series(words.next()?)?,
                last: series(words.next()?)?,
                standard: words.next()?,
            })
        })
    }

    /// The supported versions as text: `nix 2.8 to 2.8, nix 2.18 to 2.30`.
    fn supported() -> String {
        let ranges = rows().map(|row| {
            let ((major, minor), (_, last)) = (row.first, row.last);
            format!("{} {major}.{minor} to {major}.{last}", row.flavour)
        });
        ranges.collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn build() {
        println!("cargo:rerun-if-changed=cpp");
        println!("cargo:rerun-if-changed=nix/versions.txt");
        println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");
        println!("cargo:rerun-if-env-changed=PKG_CONFIG_LIBDIR");
        // The linker must accept undefined symbols: Nix provides them when it loads the plugin.
        if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "macos") {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-undefined,dynamic_lookup");
        }
        // Use only the headers: the process that loads the plugin already contains
        // Nix's libraries, so they must not be linked a second time.
        let nix = pkg_config::Config::new()
            .cargo_metadata(false)
            // `-isystem /usr/include` would hide the compiler's own headers.
            .print_system_cflags(false)
            .probe("nix-expr")
            .unwrap_or_else(|error| {
                eprintln!(
                    "The feature 'plugin' needs Nix with its development files, and pkg-config \
                     does not find 'nix-expr'.\n\
                     Debian 12: run scripts/setup, then build through the Makefile ('make plugin').\n\
                     Elsewhere: install Nix with its headers ({}), and put the folder of \
                     its nix-expr.pc into PKG_CONFIG_PATH.\n\n{error}",
                    supported()
                );
                exit(1)
            });
        let flavour = flavour(&nix.include_paths);
        let version = series(&nix.version).unwrap_or_default();
        let fits = |row: &Row| row.flavour == flavour && (row.first..=row.last).contains(&version);
        let Some(row) = rows().find(fits) else {
            eprintln!(
                "pkg-config finds {flavour} {}, and the plugin can be built for {}.\n\
                 Put the folder of such a version's nix-expr.pc first in PKG_CONFIG_PATH; on \
                 Debian 12, scripts/setup makes one.",
                nix.version,
                supported()
            );
            exit(1)
        };
        let (major, minor) = (version.0.to_string(), version.1.to_string());
        let configure = |build: &mut cc::Build| {
            build
                .include("cpp")
                .flag_if_supported("-fvisibility=hidden");
        };
        let mut running_nix = cc::Build::new();
        configure(&mut running_nix);
        running_nix
            .file("cpp/running_nix.c")
            .std("c11")
            .compile("running_nix");
        let mut bridge = cxx_build::bridge("src/plugin/bridge.rs");
        configure(&mut bridge);
        // As system headers: the compiler does not report warnings in them.
        for folder in &nix.include_paths {
            bridge.flag("-isystem").flag(folder);
        }
        bridge
            .file("cpp/oci_hash.cc")
            .file("cpp/settings.cc")
            .file("cpp/tables.cc")
            .define("OCI_HASH_NIX_MAJOR", &*major)
            .define("OCI_HASH_NIX_MINOR", &*minor)
            .define("OCI_HASH_NIX_VERSION", &*format!("\"{}\"", nix.version))
            .define("OCI_HASH_NIX_FLAVOUR", &*format!("\"{flavour}\""))
            .std(row.standard)
            // Nix's structures are made for designated initialisers of some members.
            .flag_if_supported("-Wno-missing-field-initializers")
            .flag_if_supported("-Wno-unused-parameter")
            .compile("oci_hash");
    }

    /// The first two numbers of a version such as `2.26.3` or `2.36.0pre`.
    fn series(version: &str) -> Option<(u32, u32)> {
        let mut numbers = version.split('.');
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?;
        let digits = minor.find(|c: char| !c.is_ascii_digit());
        Some((major, minor[..digits.unwrap_or(minor.len())].parse().ok()?))
    }

    /// Determinate Nix has the version of `CppNix` and a version of its own, which only
    /// its headers declare.
    fn flavour(headers: &[PathBuf]) -> &'static str {
        let is_determinate = headers.iter().any(|folder| {
            let globals = std::fs::read_to_string(folder.join("nix/store/globals.hh"));
            globals.is_ok_and(|text| text.contains("determinateNixVersion"))
        });
        if is_determinate { "determinate" } else { "nix" }
    }
}
