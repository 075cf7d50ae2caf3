//! `signedBy` with the reference registry server, which does not list referrers.

use serde_json::json;

use crate::support::Workspace;
use crate::support::fake::digest_of;
use crate::support::registry::Registry;
use crate::support::sigstore::{
    BUNDLE, Identity, PROVENANCE, SIGN, Sigstore, artifact, bundle_layer, referrers,
    simple_signing_layer,
};

const REPOSITORY: &str = "demo/app";

/// Pushes an artifact of one layer, and returns its manifest.
fn push(registry: &Registry, artifact_type: &str, layer: &serde_json::Value, blob: &str) -> String {
    registry.push_blob(REPOSITORY, b"{}", &digest_of("{}"));
    registry.push_blob(REPOSITORY, blob.as_bytes(), &digest_of(blob));
    let manifest = artifact(artifact_type, std::slice::from_ref(layer));
    registry.push_manifest(REPOSITORY, &digest_of(&manifest), &manifest);
    manifest
}

#[test]
fn signatures_of_cosign_and_github_let_digests_in() {
    let registry = Registry::start();
    let sigstore = Sigstore::new();
    let workflow = Identity::workflow("owner/repo");
    let both = ["linux/amd64", "linux/arm64/v8"];
    let workspace = Workspace::tracking(
        &json!([{
            "image": format!("{}/{REPOSITORY}", registry.address), "strategies": {},
            "tags": ["1"], "signedBy": { "github": "owner/repo" },
        }])
        .to_string(),
    );
    workspace.write("root.json", sigstore.trusted_root());
    for form in ["cosign 3", "GitHub", "cosign 2"] {
        let digest = registry.push(REPOSITORY, "1", form, &both);
        let refresh = ["refresh", "--trusted-root", "root.json"];
        let outcome = workspace.run(&refresh).code(0);
        assert!(outcome.stdout.contains("no signature by"), "{outcome:#?}");
        let tag = digest.replace(':', "-");
        if form == "cosign 2" {
            let (payload, annotations) = sigstore.simple_signing(&workflow, &digest);
            let layer = simple_signing_layer(&payload, &annotations);
            let config = "application/vnd.oci.image.config.v1+json";
            let manifest = push(&registry, config, &layer, &payload);
            registry.push_manifest(REPOSITORY, &format!("{tag}.sig"), &manifest);
        } else {
            let predicate_type = if form == "GitHub" { PROVENANCE } else { SIGN };
            let bundle = sigstore.statement(&workflow, predicate_type, &digest);
            let text = bundle.to_string();
            let manifest = push(&registry, BUNDLE, &bundle_layer(&text), &text);
            registry.push_manifest(REPOSITORY, &tag, &referrers(&[manifest]));
        }
        let outcome = workspace.run(&refresh).code(0);
        let table = workspace.table();
        let pins = table["images"].as_object().unwrap().values();
        let pinned: Vec<_> = pins.map(|pins| pins["1"]["digest"].clone()).collect();
        assert_eq!(pinned, [json!(digest)], "{form}: {outcome:#?}");
    }
}
