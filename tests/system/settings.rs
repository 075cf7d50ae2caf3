//! The plugin's settings: how Nix shows them, and where it reads them from.
use std::fs;

use crate::support::Outcome;
use crate::support::nix::Nix;
use serde_json::{Value, json};

/// Every setting, as Nix shows it to programs.
fn shown(nix: &Nix, options: &[&str]) -> Value {
    let mut command = nix.command();
    command.args(options);
    match nix.release().version.as_str() {
        "2.8.0" => command.args(["show-config", "--json"]),
        _ => command.args(["config", "show", "--json"]),
    };
    serde_json::from_str(&Outcome::of(&mut command).code(0).stdout).unwrap()
}

#[test]
fn nix_shows_the_settings_with_their_documentation() {
    let with = shown(&Nix::with_plugin(), &[]);
    let without = shown(&Nix::without_plugin(), &[]);
    let without = without.as_object().unwrap();
    let added: Vec<_> = with
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| !without.contains_key(*name))
        .collect();
    let names: Vec<_> = added.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "oci-hash-digests",
            "oci-hash-registries",
            "oci-hash-resolve",
            "oci-hash-timeout"
        ]
    );
    for ((name, setting), default) in
        added
            .iter()
            .zip([json!(""), json!([]), json!(false), json!(15)])
    {
        assert_eq!(setting["value"], default, "{name}");
        assert_eq!(setting["defaultValue"], default, "{name}");
        assert!(
            setting["description"].as_str().unwrap().len() > 60,
            "{name}"
        );
    }
}

#[test]
fn settings_are_read_from_nix_conf_the_environment_and_the_command_line() {
    let timeout =
        |nix: &Nix, options: &[&str]| shown(nix, options)["oci-hash-timeout"]["value"].clone();
    let nix = Nix::with_plugin();
    assert_eq!(
        timeout(&nix, &["--option", "oci-hash-timeout", "20"]),
        json!(20)
    );
    let nix = nix.set("oci-hash-timeout", "30");
    assert_eq!(timeout(&nix, &[]), json!(30));
    let nix = Nix::with_plugin();
    fs::write(
        nix.home().join("nix.conf"),
        "oci-hash-timeout = 40\noci-hash-registries = ghcr.io docker.io\noci-hash-resolve = true\n",
    )
    .unwrap();
    let all = shown(&nix, &[]);
    assert_eq!(all["oci-hash-timeout"]["value"], json!(40));
    assert_eq!(
        all["oci-hash-registries"]["value"],
        json!(["ghcr.io", "docker.io"])
    );
    assert_eq!(all["oci-hash-resolve"]["value"], json!(true));
}

#[test]
fn every_setting_is_documented_with_its_default() {
    let page = fs::read_to_string(crate::support::project().join("docs/settings.md")).unwrap();
    let all = shown(&Nix::with_plugin(), &[]);
    for (name, setting) in all.as_object().unwrap() {
        if !name.starts_with("oci-hash-") {
            continue;
        }
        let default = match &setting["defaultValue"] {
            Value::String(text) if text.is_empty() => "none".to_owned(),
            Value::Array(items) if items.is_empty() => "empty".to_owned(),
            value => format!("`{value}`"),
        };
        let row = format!("| `{name}` | {default} |");
        assert!(page.contains(&row), "docs/settings.md has no row '{row}'");
    }
}
