//! The loader on two versions of Nix. A build for one version must not break the other.
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::Outcome;
use crate::support::nix::{Nix, Release, builds, loader};

/// The programs of the two versions.
fn both() -> [PathBuf; 2] {
    let other = std::env::var_os("NIX_OCI_HASHES_OTHER_NIX").expect(
        "NIX_OCI_HASHES_OTHER_NIX names a second nix; run the tests with 'make test-nix26'",
    );
    [PathBuf::from("nix"), PathBuf::from(other)]
}

fn release(program: &Path) -> Release {
    Nix::without_plugin().running(program).release()
}

fn eval(program: &Path, plugin: &Path, expression: &str) -> Outcome {
    let nix = Nix::with_plugin_files(plugin).running(program);
    nix.eval(expression).code(0)
}

#[test]
fn one_tree_serves_both() {
    let [here, other] = both();
    assert_ne!(release(&here), release(&other));
    for program in [here, other] {
        let outcome = eval(&program, &loader(), "builtins.ociHash \"nextcloud:34\"");
        assert!(
            outcome.stdout.contains("docker.io/nextcloud:34@sha256:"),
            "{outcome:#?}"
        );
        assert_eq!(outcome.stderr, "");
    }
}

#[test]
fn the_build_for_one_is_rejected_in_the_other() {
    let [here, other] = both();
    for (running, built) in [(&here, &other), (&other, &here)] {
        let (running_release, built_release) = (release(running), release(built));
        let (name, running_version) = (running_release.flavour.name(), &running_release.version);
        let (id, built_version) = (built_release.flavour.id(), &built_release.version);
        let tree = tempfile::tempdir().unwrap();
        let plugin = tree.path().join("lib/nix/plugins/libnix_oci_hashes.so");
        let folder = tree.path().join("lib/nix-oci-hashes");
        fs::create_dir_all(plugin.parent().unwrap()).unwrap();
        fs::create_dir_all(&folder).unwrap();
        fs::copy(loader(), &plugin).unwrap();
        let build = builds().join(built_release.build());
        fs::copy(&build, folder.join(built_release.build())).unwrap();
        let outcome = eval(running, &plugin, "1+1");
        assert_eq!(outcome.stdout.trim(), "2");
        assert_eq!(
            outcome.stderr,
            format!(
                "warning: nix-oci-hashes: the running {name} {running_version} has no fitting build of the plugin \
                 (there: {id} {built_version}); builtins.ociHash is left out; install the plugin for this Nix, \
                 or take it out of 'plugin-files' in nix.conf\n"
            )
        );
        // Even if the file name claims the running version.
        fs::copy(&build, folder.join(running_release.build())).unwrap();
        let outcome = eval(running, &plugin, "1+1");
        assert_eq!(outcome.stdout.trim(), "2");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
        assert!(
            outcome.stderr.contains("builtins.ociHash is left out"),
            "{outcome:#?}"
        );
    }
}

#[test]
fn a_statically_linked_nix_keeps_working() {
    // The nix of Debian 13, beside the one that the tests run.
    let path = std::env::var_os("PATH").unwrap();
    let program = std::env::split_paths(&path)
        .map(|folder| folder.join("nix-static"))
        .find(|program| program.exists())
        .expect("nix-static is missing; run the tests with 'make test-nix26'");
    let outcome = eval(&program, &loader(), "1+1");
    assert_eq!(outcome.stdout.trim(), "2");
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
    assert!(
        outcome.stderr.starts_with(
            "warning: nix-oci-hashes: the version of the running nix is unknown, as when it is linked statically, so none of the plugin's builds ("
        ),
        "{outcome:#?}"
    );
}
