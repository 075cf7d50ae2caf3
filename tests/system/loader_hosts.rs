//! Which build the loader opens, in programs that look like each flavour of Nix: they
//! export the names that the loader reads. The builds print their names.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::Outcome;
use crate::support::nix::{Flavour, loader};
use tempfile::TempDir;

/// A program of a flavour, with the loader and builds beside it.
struct Host {
    folder: TempDir,
    program: PathBuf,
}

/// A variable of Nix that holds a version: a `std::string` of libstdc++.
fn version_variable(name: &str, version: &str) -> String {
    let length = name.len();
    format!(
        "struct string {{ const char *text; unsigned long length; char place[16]; }};\n\
         struct string _ZN3nix{length}{name}B5cxx11E = {{ \"{version}\", {}, {{ 0 }} }};\n",
        version.len()
    )
}

fn compile(source: &str, to: &Path, flags: &[&str]) {
    let file = to.with_extension("c");
    fs::write(&file, source).unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-Wno-overlength-strings", "-o"]).arg(to);
    Outcome::of(compiler.arg(&file).args(flags)).code(0);
    fs::remove_file(file).unwrap();
}

/// What evaluates `1+1`: it opens the plugin and prints 2.
const MAIN: &str = r#"
#include <dlfcn.h>
#include <stdio.h>
int main(int count, char **arguments) {
  void *plugin = dlopen(arguments[1], RTLD_LAZY | RTLD_LOCAL);
  if (!plugin) {
    fprintf(stderr, "error: could not dynamically open plugin file: %s\n", dlerror());
    return 1;
  }
  puts("2");
  return 0;
}
"#;

impl Host {
    /// A program that exports `variables`, and `functions` that do nothing.
    fn with(variables: &str, functions: &[&str], library: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("lib/nix/plugins")).unwrap();
        fs::create_dir_all(at("lib/nix-oci-hashes")).unwrap();
        fs::copy(loader(), at("lib/nix/plugins/libnix_oci_hashes.so")).unwrap();
        let functions: String = functions
            .iter()
            .map(|name| format!("void {name}(void) {{}}\n"))
            .collect();
        compile(
            &format!("{variables}{functions}"),
            &at(library),
            &["-shared", "-fPIC"],
        );
        let path = format!("-Wl,-rpath,{}", folder.path().display());
        let library = at(library).display().to_string();
        let flags = ["-Wl,--no-as-needed", &library, &path, "-ldl"];
        compile(MAIN, &at("host"), &flags);
        Self {
            program: at("host"),
            folder,
        }
    }

    fn of(flavour: Flavour, version: &str) -> Self {
        let nix_version = version_variable("nixVersion", version);
        match flavour {
            Flavour::Nix => Self::with(&nix_version, &["nix_register_primop"], "libnixutil.so"),
            Flavour::Lix => Self::with(&nix_version, &[], "liblix.so"),
            // Determinate Nix has a version of Nix too, and exports its C API.
            Flavour::Determinate => {
                let own = version_variable("determinateNixVersion", version);
                let own = own.split_once('\n').unwrap().1;
                let both = version_variable("nixVersion", "2.35.2") + own;
                Self::with(&both, &["nix_register_primop"], "libnixutil.so")
            }
        }
    }

    /// Adds builds; each prints its name when it is opened.
    fn add(self, builds: &[&str]) -> Self {
        for build in builds {
            let source = format!(
                "#include <stdio.h>\n__attribute__((constructor)) void f(void) {{ puts(\"{build}\"); }}\n"
            );
            compile(&source, &self.build(build), &["-shared", "-fPIC"]);
        }
        self
    }

    fn build(&self, name: &str) -> PathBuf {
        let builds = self.folder.path().join("lib/nix-oci-hashes");
        builds.join(format!("{name}.so"))
    }

    /// Runs it. The build that was opened, if any, and the warning, if any.
    #[track_caller]
    fn run(&self) -> (Option<String>, Option<String>) {
        let plugin = self.folder.path().join("lib/nix/plugins");
        let mut command = Command::new(&self.program);
        let outcome = Outcome::of(command.arg(plugin.join("libnix_oci_hashes.so"))).code(0);
        let mut lines: Vec<&str> = outcome.stdout.lines().collect();
        assert_eq!(lines.pop(), Some("2"), "{outcome:#?}");
        assert!(lines.len() <= 1, "{outcome:#?}");
        let warnings: Vec<&str> = outcome.stderr.lines().collect();
        assert!(warnings.len() <= 1, "{outcome:#?}");
        let text = |lines: Vec<&str>| lines.first().map(|&line| line.to_owned());
        (text(lines), text(warnings))
    }

    #[track_caller]
    fn opens(&self, build: &str) {
        assert_eq!(self.run(), (Some(build.to_owned()), None));
    }

    #[track_caller]
    fn warns(&self, part: &str) {
        let (opened, warning) = self.run();
        let warning = warning.unwrap_or_default();
        assert_eq!(opened, None, "{warning}");
        assert!(warning.contains(part), "{warning}");
        assert!(
            warning.contains("builtins.ociHash is left out"),
            "{warning}"
        );
    }
}

const EVERY_BUILD: [&str; 8] = [
    "nix-2.34.8",
    "nix-2.35.1",
    "nix-2.35.2",
    "nix-c-api",
    "lix-2.95.3",
    "lix-2.35.2",
    "determinate-3.22.2",
    "determinate-2.35.2",
];

#[test]
fn each_flavour_gets_its_exact_build() {
    for (flavour, version) in [
        (Flavour::Nix, "2.34.8"),
        (Flavour::Nix, "2.35.2"),
        (Flavour::Lix, "2.95.3"),
        (Flavour::Determinate, "3.22.2"),
    ] {
        let host = Host::of(flavour, version).add(&EVERY_BUILD);
        host.opens(&format!("{}-{version}", flavour.id()));
    }
}

#[test]
fn the_build_for_the_c_api_stands_in_for_nix_from_2_35_on() {
    for version in [
        "2.35.0",
        "2.36.0",
        "2.36.0pre20260822_88b09c6",
        "2.100.1",
        "3.0.0",
    ] {
        Host::of(Flavour::Nix, version)
            .add(&EVERY_BUILD)
            .opens("nix-c-api");
    }
    for version in ["2.34.7", "2.9.1", "1.35.0"] {
        Host::of(Flavour::Nix, version)
            .add(&EVERY_BUILD)
            .warns(&format!(
                "the running Nix {version} has no fitting build of the plugin"
            ));
    }
    // Without the C API in the program.
    let variable = version_variable("nixVersion", "2.36.0");
    let host = Host::with(&variable, &[], "libnixutil.so").add(&EVERY_BUILD);
    host.warns("the running Nix 2.36.0 has no fitting build of the plugin");
}

#[test]
fn another_flavour_gets_no_build_of_another_version_and_none_for_the_c_api() {
    let host = Host::of(Flavour::Lix, "2.95.2").add(&EVERY_BUILD);
    host.warns("the running Lix 2.95.2 has no fitting build of the plugin");
    let host = Host::of(Flavour::Determinate, "3.22.1").add(&EVERY_BUILD);
    host.warns("the running Determinate Nix 3.22.1 has no fitting build of the plugin");
}

/// A half-working installation is not hidden by a build that can do less.
#[test]
fn a_broken_exact_build_is_a_warning_in_each_flavour() {
    for (flavour, version) in [
        (Flavour::Nix, "2.35.2"),
        (Flavour::Lix, "2.95.3"),
        (Flavour::Determinate, "3.22.2"),
    ] {
        let host = Host::of(flavour, version).add(&EVERY_BUILD);
        let build = host.build(&format!("{}-{version}", flavour.id()));
        let content = fs::read(&build).unwrap();
        fs::write(&build, &content[..content.len() / 2]).unwrap();
        host.warns("cannot be opened");
        let missing = "extern void not_there(void); void f(void) { not_there(); }";
        compile(missing, &build, &["-shared", "-fPIC"]);
        host.warns("undefined symbol: not_there");
    }
}

#[test]
fn a_version_of_an_unknown_layout_is_unknown() {
    let pointer = "const char *_ZN3nix10nixVersionE = \"2.35.2\";\n";
    let host = Host::with(pointer, &["nix_register_primop"], "libnixutil.so").add(&EVERY_BUILD);
    host.warns("the version of the running nix is unknown");
    let none = Host::with("int nothing;\n", &[], "libother.so").add(&EVERY_BUILD);
    none.warns("the version of the running nix is unknown");
}
