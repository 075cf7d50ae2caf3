//! The loader opens the build that matches the running Nix, and never breaks nix.
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::Outcome;
use crate::support::nix::{Flavour, Nix, Release, builds, loader};
use tempfile::TempDir;

/// A copy of the loader in a temporary tree, to which tests add builds.
struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(tree.builds()).unwrap();
        fs::create_dir_all(tree.loader().parent().unwrap()).unwrap();
        fs::copy(loader(), tree.loader()).unwrap();
        tree
    }

    fn loader(&self) -> PathBuf {
        self.0.path().join("lib/nix/plugins/libnix_oci_hashes.so")
    }

    fn builds(&self) -> PathBuf {
        self.0.path().join("lib/nix-oci-hashes")
    }

    /// Adds the build for the running Nix under the name of the build for `release`.
    fn add(&self, release: &Release) -> PathBuf {
        let to = self.builds().join(release.build());
        fs::copy(fitting(), &to).unwrap();
        to
    }

    /// Evaluates with the loader, and asserts that nix succeeds.
    #[track_caller]
    fn eval(&self, expression: &str) -> Outcome {
        let nix = Nix::with_plugin_files(&self.loader());
        nix.eval(expression).code(0)
    }

    /// The one warning of a loader that opens no build. The builtin is then missing.
    #[track_caller]
    fn warning(&self) -> String {
        let outcome = self.eval("1+1");
        assert_eq!(outcome.stdout.trim(), "2");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
        let outcome_of_lookup = self.eval("builtins ? ociHash");
        assert_eq!(outcome_of_lookup.stdout.trim(), "false");
        let line = outcome.stderr.strip_prefix("warning: nix-oci-hashes: ");
        line.unwrap_or_else(|| panic!("{outcome:#?}")).to_owned()
    }

    #[track_caller]
    fn works(&self) {
        let outcome = self.eval("builtins ? ociHash");
        assert_eq!(
            (outcome.stdout.trim(), outcome.stderr.as_str()),
            ("true", "")
        );
    }
}

fn running() -> Release {
    Nix::without_plugin().release()
}

fn fitting() -> PathBuf {
    builds().join(running().build())
}

/// The running flavour in another version.
fn another(version: &str) -> Release {
    Release {
        version: version.to_owned(),
        ..running()
    }
}

/// The same series with another last number.
fn sibling(last: &str) -> Release {
    let running = running().version;
    let (series, _) = running.rsplit_once('.').unwrap();
    another(&format!("{series}.{last}"))
}

fn truncate(file: &Path, to: u64) {
    let file = fs::File::options().write(true).open(file).unwrap();
    file.set_len(to).unwrap();
}

/// A shared library made of `source`.
fn compile(source: &str, to: &Path) {
    let file = to.with_extension("c");
    fs::write(&file, source).unwrap();
    let mut compiler = Command::new("cc");
    Outcome::of(compiler.args(["-shared", "-fPIC", "-o"]).arg(to).arg(&file)).code(0);
    fs::remove_file(file).unwrap();
}

#[test]
fn the_build_for_the_running_nix_is_opened() {
    let tree = Tree::new();
    tree.add(&running());
    tree.works();
    // Other files in the folder do not matter.
    tree.add(&another("1.99.0"));
    tree.add(&another("99.1.0"));
    fs::write(tree.builds().join("README"), "").unwrap();
    fs::create_dir(tree.builds().join("nix-.so")).unwrap();
    tree.works();
}

/// Releases of one series have broken each other.
#[test]
fn a_build_for_another_release_of_the_series_is_not_opened() {
    let tree = Tree::new();
    tree.add(&sibling("77"));
    assert!(tree.warning().contains("has no fitting build"));
    tree.add(&running());
    tree.works();
}

#[test]
fn without_a_fitting_build_the_loader_warns_and_omits_the_builtin() {
    let tree = Tree::new();
    let running = running();
    let name = running.flavour.name();
    let version = &running.version;
    assert!(tree.warning().contains(&format!("the running {name} {version} has no fitting build of the plugin (there: none at all); builtins.ociHash is left out; install")));
    tree.add(&another("2.7.0"));
    tree.add(&another("99.1.0"));
    // A build for another flavour does not fit, even with the same version.
    for flavour in [Flavour::Nix, Flavour::Lix, Flavour::Determinate] {
        if flavour != running.flavour {
            let version = version.clone();
            tree.add(&Release { flavour, version });
        }
    }
    let id = running.flavour.id();
    let warning = tree.warning();
    assert!(
        warning.contains(&format!("(there: {id} 99.1.0, ")),
        "{warning}"
    );
    assert!(warning.contains(&format!("{id} 2.7.0")), "{warning}");
    fs::remove_dir_all(tree.builds()).unwrap();
    assert!(tree.warning().contains("none at all"));
}

#[test]
fn builds_that_cannot_be_opened_only_cause_a_warning() {
    let tree = Tree::new();
    let build = tree.add(&running());
    let size = fs::metadata(&build).unwrap().len();
    for length in [0, 1, 63, 64, 200, 4096, size / 2, size - size / 8] {
        fs::copy(fitting(), &build).unwrap();
        truncate(&build, length);
        let warning = tree.warning();
        assert!(
            warning.contains("cannot be opened: it is no shared library")
                || warning.contains("cannot be opened: its end is missing"),
            "{length}: {warning}"
        );
    }
    // ELF headers of a 32-bit file, of an AArch64 file, and of no ELF file.
    for (at, byte, reason) in [
        (4, 1, "it is for another kind of machine"),
        (18, 0xb7, "cannot be opened: "),
        (0, 0, "it is no shared library"),
    ] {
        let mut content = fs::read(fitting()).unwrap();
        content[at] = byte;
        fs::write(&build, content).unwrap();
        let warning = tree.warning();
        assert!(warning.contains(reason), "{at}: {warning}");
    }
    fs::remove_file(&build).unwrap();
    symlink("nowhere", &build).unwrap();
    assert!(tree.warning().contains("it cannot be read"));
    fs::remove_file(&build).unwrap();
    fs::create_dir(&build).unwrap();
    assert!(tree.warning().contains("it is no file"));
    fs::remove_dir(&build).unwrap();
    // Opening a pipe would block until somebody writes to it.
    Outcome::of(Command::new("mkfifo").arg(&build)).code(0);
    assert!(tree.warning().contains("it is no file"));
}

#[test]
fn an_unreadable_build_is_skipped() {
    let tree = Tree::new();
    let build = tree.add(&running());
    fs::set_permissions(&build, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(&build).is_err() {
        assert!(tree.warning().contains("it cannot be read"));
        return;
    }
    // Root can read every file, unless it drops the capabilities for that.
    let nix = Nix::with_plugin_files(&tree.loader());
    let rights = "-dac_override,-dac_read_search";
    let mut command = nix.command_of("setpriv");
    command.args([
        format!("--inh-caps={rights}"),
        format!("--bounding-set={rights}"),
    ]);
    command.args(["nix", "eval", "--store", "dummy://", "--expr", "1+1"]);
    let outcome = Outcome::of(&mut command).code(0);
    assert_eq!(outcome.stdout, "2\n", "{outcome:#?}");
    assert!(outcome.stderr.contains("it cannot be read"), "{outcome:#?}");
}

#[test]
fn a_build_with_an_undefined_symbol_only_causes_a_warning() {
    let tree = Tree::new();
    // A function and a variable that the running Nix does not have.
    for source in [
        "extern void not_in_this_nix(void); void f(void) { not_in_this_nix(); }",
        "extern int not_in_this_nix; int f(void) { return not_in_this_nix; }",
    ] {
        compile(source, &tree.builds().join(running().build()));
        let warning = tree.warning();
        assert!(
            warning.contains("undefined symbol: not_in_this_nix"),
            "{warning}"
        );
        assert!(warning.ends_with("in nix.conf\n"), "{warning}");
    }
}

#[test]
fn the_folder_of_the_loader_may_be_named_and_links_are_followed() {
    let tree = Tree::new();
    tree.add(&running());
    let folder = tree.loader().parent().unwrap().to_owned();
    let nix = Nix::with_plugin_files(&folder);
    assert_eq!(nix.value("builtins ? ociHash"), true);
    // As in a profile of Nix.
    let profile = tempfile::tempdir().unwrap();
    symlink(tree.loader(), profile.path().join("plugin.so")).unwrap();
    let nix = Nix::with_plugin_files(profile.path());
    assert_eq!(nix.value("builtins ? ociHash"), true);
    let nix = Nix::with_plugin_files(&profile.path().join("plugin.so"));
    assert_eq!(nix.value("builtins ? ociHash"), true);
}

#[test]
fn a_build_works_without_the_loader() {
    let nix = Nix::with_plugin_files(&fitting());
    let outcome = nix.eval("builtins.ociHash \"nextcloud:34\"").code(0);
    assert!(outcome.stdout.contains("docker.io/nextcloud:34@sha256:"));
    assert_eq!(outcome.stderr, "");
}

#[test]
fn the_loader_does_not_link_to_nix() {
    let symbols = Outcome::of(Command::new("nm").arg("-D").arg(loader())).code(0);
    for line in symbols.stdout.lines() {
        assert!(!line.contains("nix3") && !line.contains("_ZN"), "{line}");
    }
    let needed = Outcome::of(Command::new("readelf").arg("-d").arg(loader())).code(0);
    let needed: Vec<_> = needed
        .stdout
        .lines()
        .filter(|line| line.contains("NEEDED"))
        .collect();
    assert!(
        needed
            .iter()
            .all(|line| line.contains("libc.so") || line.contains("libdl")),
        "{needed:?}"
    );
}
