//! Compiles `cpp/` against the machine's Nix, for the cargo features `plugin` and
//! `c-api`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "plugin")]
    plugin::build();
}

#[cfg(feature = "plugin")]
mod plugin {
    use std::fmt;
    use std::process::exit;

    use pkg_config::Library;

    /// The builds that there are.
    const VERSIONS: &str = include_str!("nix/versions.txt");
    /// Determinate Nix has the version of Nix in its headers. This variable has its own.
    const DETERMINATE_VERSION: &str = "NIX_OCI_HASHES_DETERMINATE";
    /// The headers of Nix are compiled, or only those of its C API.
    const IS_C_API: bool = cfg!(feature = "c-api");

    /// A version, of up to three numbers.
    type Version = [u32; 3];

    /// A row of the table of builds.
    struct Row {
        flavour: &'static str,
        first: &'static str,
        /// The last series, or `-`.
        last: &'static str,
        headers: &'static str,
        standard: &'static str,
    }

    impl Row {
        fn is_for(&self, nix: &Nix) -> bool {
            let version = numbers(&nix.version);
            self.flavour == nix.flavour
                && numbers(self.first) <= version
                && (self.last == "-" || version[..2] <= numbers(self.last)[..2])
        }
    }

    impl fmt::Display for Row {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let Self { flavour, first, .. } = self;
            match self.last {
                "-" => write!(f, "{flavour} from {first} on"),
                last if last == *first => write!(f, "{flavour} {first}"),
                last => write!(f, "{flavour} {first} to {last}"),
            }
        }
    }

    /// The rows for this build.
    fn rows() -> impl Iterator<Item = Row> {
        let lines = VERSIONS.lines().filter(|line| !line.starts_with('#'));
        let rows = lines.filter_map(|line| {
            let mut words = line.split_whitespace();
            Some(Row {
                flavour: words.next()?,
                first: words.next()?,
                last: words.next()?,
                headers: words.next()?,
                standard: words.next()?,
            })
        });
        rows.filter(|row| (row.flavour == "c-api") == IS_C_API)
    }

    /// What can be built, as text: `nix 2.8, nix 2.18 to 2.25`.
    fn supported() -> String {
        rows()
            .map(|row| row.to_string())
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The Nix that pkg-config finds.
    struct Nix {
        flavour: &'static str,
        /// In the flavour's own numbers.
        version: String,
        library: Library,
    }

    impl Nix {
        fn find() -> Self {
            let mut modules: Vec<&str> = rows().map(|row| row.headers).collect();
            modules.dedup();
            let mut errors = Vec::new();
            for module in &modules {
                match probe(module) {
                    Ok(library) => return Self::of(module, library),
                    Err(error) => errors.push(error.to_string()),
                }
            }
            eprintln!(
                "The plugin needs Nix with its development files, and pkg-config does not find \
                 '{}'.\n\
                 Debian 12: run scripts/setup, then build through the Makefile ('make plugin').\n\
                 Elsewhere: install Nix with its headers ({}), and put the folder of its .pc \
                 files into PKG_CONFIG_PATH.\n\n{}",
                modules.join("' or '"),
                supported(),
                errors.join("\n")
            );
            exit(1)
        }

        fn of(module: &str, library: Library) -> Self {
            let mut version = library.version.clone();
            let flavour = match module {
                "lix-expr" => "lix",
                "nix-expr-c" => "c-api",
                _ if is_determinate(&library) => {
                    version = std::env::var(DETERMINATE_VERSION).unwrap_or_else(|_| {
                        eprintln!(
                            "The headers are those of Determinate Nix, which do not say its \
                             version: set {DETERMINATE_VERSION} to it, such as 3.22.2."
                        );
                        exit(1)
                    });
                    "determinate"
                }
                _ => "nix",
            };
            Self {
                flavour,
                version,
                library,
            }
        }
    }

    /// Only the headers: the process that loads the plugin already contains Nix's
    /// libraries, so they must not be linked a second time.
    fn probe(module: &str) -> Result<Library, pkg_config::Error> {
        pkg_config::Config::new()
            .cargo_metadata(false)
            // `-isystem /usr/include` would hide the compiler's own headers.
            .print_system_cflags(false)
            .probe(module)
    }

    fn is_determinate(library: &Library) -> bool {
        library.include_paths.iter().any(|folder| {
            let globals = std::fs::read_to_string(folder.join("nix/store/globals.hh"));
            globals.is_ok_and(|text| text.contains("determinateNixVersion"))
        })
    }

    pub(crate) fn build() {
        println!("cargo:rerun-if-changed=cpp");
        println!("cargo:rerun-if-changed=nix/versions.txt");
        println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");
        println!("cargo:rerun-if-env-changed=PKG_CONFIG_LIBDIR");
        println!("cargo:rerun-if-env-changed={DETERMINATE_VERSION}");
        // The linker must accept undefined symbols: Nix provides them when it loads the plugin.
        if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "macos") {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-undefined,dynamic_lookup");
        }
        let nix = Nix::find();
        let Some(row) = rows().find(|row| row.is_for(&nix)) else {
            eprintln!(
                "pkg-config finds {} {}, and the plugin can be built for {}.\n\
                 Put the folder of such a version's .pc files first in PKG_CONFIG_PATH; on \
                 Debian 12, scripts/setup makes one.",
                nix.flavour,
                nix.version,
                supported()
            );
            exit(1)
        };
        compile(&nix, row.standard);
    }

    fn compile(nix: &Nix, standard: &str) {
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
        for folder in &nix.library.include_paths {
            bridge.flag("-isystem").flag(folder);
        }
        if IS_C_API {
            bridge.file("cpp/c_api.cc");
        } else {
            bridge
                .file("cpp/oci_hash.cc")
                .file("cpp/settings.cc")
                .file("cpp/tables.cc");
        }
        let [major, minor, _] = numbers(&nix.library.version);
        let is = |flavour: &str| if nix.flavour == flavour { "1" } else { "0" };
        bridge
            .define("OCI_HASH_LIX", is("lix"))
            .define("OCI_HASH_DETERMINATE", is("determinate"))
            .define("OCI_HASH_MAJOR", &*major.to_string())
            .define("OCI_HASH_MINOR", &*minor.to_string())
            .define("OCI_HASH_NIX_VERSION", &*format!("\"{}\"", nix.version))
            .define("OCI_HASH_NIX_FLAVOUR", &*format!("\"{}\"", nix.flavour))
            .std(standard)
            // Nix's structures are made for designated initialisers of some members.
            .flag_if_supported("-Wno-missing-field-initializers")
            .flag_if_supported("-Wno-unused-parameter")
            .compile("oci_hash");
    }

    /// The first three numbers of a version such as `2.26.3` or `2.36.0pre`; a number
    /// that is not there is 0.
    fn numbers(version: &str) -> Version {
        let mut numbers = version.split('.').map(|number| {
            let digits = number.find(|c: char| !c.is_ascii_digit());
            number[..digits.unwrap_or(number.len())]
                .parse()
                .unwrap_or(0)
        });
        std::array::from_fn(|_| numbers.next().unwrap_or(0))
    }
}
