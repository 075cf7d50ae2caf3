//! `signedBy`: which signatures let a digest in, with a private Sigstore.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use crate::support::fake::{Fake, IMAGE, INDEX, digest_of, named_index};
use crate::support::server::{FakeResponse, ReceivedRequest};
use crate::support::sigstore::{
    BUNDLE, GITHUB_ISSUER, Identity, Key, PROVENANCE, SIGN, Sigstore, artifact, bundle_layer,
    referrers, simple_signing_layer,
};
use crate::support::{Outcome, Workspace};

/// What a registry stores for one repository.
#[derive(Default)]
struct Store {
    /// The digest of each tag.
    tags: BTreeMap<String, String>,
    manifests: BTreeMap<String, (String, String)>,
    blobs: BTreeMap<String, FakeResponse>,
    /// The manifests that refer to each digest.
    referrers: BTreeMap<String, Vec<String>>,
    /// What the referrers API answers; by default its list.
    referrers_status: Option<u16>,
}

impl Store {
    fn respond(&self, request: &ReceivedRequest) -> Option<FakeResponse> {
        let at = request.path.strip_prefix("/v2/app/")?;
        if at == "tags/list" {
            let names: Vec<&String> = self.tags.keys().filter(|tag| tag.len() < 9).collect();
            return Some(FakeResponse::json(&json!({ "name": "app", "tags": names })));
        }
        if let Some(digest) = at.strip_prefix("referrers/") {
            if let Some(status) = self.referrers_status {
                return Some(FakeResponse::status(status));
            }
            let list = self.referrers.get(digest).cloned().unwrap_or_default();
            let list = referrers(&list);
            return Some(FakeResponse::status(200).with_body(INDEX, list));
        }
        if let Some(digest) = at.strip_prefix("blobs/") {
            return self.blobs.get(digest).cloned();
        }
        let reference = at.strip_prefix("manifests/")?;
        let digest = self.tags.get(reference).map_or(reference, String::as_str);
        let (media_type, body) = self.manifests.get(digest)?;
        let response = FakeResponse::status(200).with_header("docker-content-digest", digest);
        Some(response.with_body(media_type, body.clone()))
    }

    fn manifest(&mut self, media_type: &str, body: String) -> String {
        let digest = digest_of(&body);
        self.manifests
            .insert(digest.clone(), (media_type.to_owned(), body));
        digest
    }

    fn blob(&mut self, content: &str) -> String {
        let digest = digest_of(content);
        let response =
            FakeResponse::status(200).with_body("application/octet-stream", content.to_owned());
        self.blobs.insert(digest.clone(), response);
        digest
    }

    /// Stores an artifact of these layers, and returns its manifest.
    fn artifact(&mut self, artifact_type: &str, layers: &[Value]) -> String {
        self.blob("{}");
        let manifest = artifact(artifact_type, layers);
        self.manifest(IMAGE, manifest.clone());
        manifest
    }
}

/// A registry with the tag 1, which points to the index named "new", and a workspace that
/// tracks it with a policy.
struct Project {
    fake: Fake,
    store: Arc<Mutex<Store>>,
    sigstore: Sigstore,
    workspace: Workspace,
}

impl Project {
    fn new(policy: &Value) -> Self {
        let fake = Fake::start();
        let store: Arc<Mutex<Store>> = Arc::default();
        let shared = Arc::clone(&store);
        fake.rule(move |request| shared.lock().unwrap().respond(request));
        let entry = json!({
            "image": fake.image(), "strategies": {}, "tags": ["1"], "signedBy": policy,
        });
        let workspace = Workspace::tracking(&json!([entry]).to_string());
        let sigstore = Sigstore::new();
        workspace.write("root.json", sigstore.trusted_root());
        let project = Self {
            fake,
            store,
            sigstore,
            workspace,
        };
        project.point("new");
        project
    }

    /// Tracks what the repository `owner/repo` on GitHub signs.
    fn github() -> Self {
        Self::new(&json!({ "github": "owner/repo" }))
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap()
    }

    /// Lets the tag point to the index of this name, and returns its digest.
    fn point(&self, name: &str) -> String {
        let mut store = self.store();
        let digest = store.manifest(INDEX, named_index(name));
        store.tags.insert("1".to_owned(), digest.clone());
        digest
    }

    /// Attaches a bundle to a digest.
    fn attach(&self, digest: &str, bundle: &Value) {
        let mut store = self.store();
        let text = bundle.to_string();
        store.blob(&text);
        let manifest = store.artifact(BUNDLE, &[bundle_layer(&text)]);
        let referrers = store.referrers.entry(digest.to_owned());
        referrers.or_default().push(manifest);
    }

    /// Stores a simple signing payload under cosign's tag.
    fn sign(&self, digest: &str, (payload, annotations): (String, BTreeMap<String, String>)) {
        let mut store = self.store();
        store.blob(&payload);
        let layer = simple_signing_layer(&payload, &annotations);
        let manifest = store.artifact("application/vnd.oci.image.config.v1+json", &[layer]);
        let tag = format!("{}.sig", digest.replace(':', "-"));
        store.tags.insert(tag, digest_of(&manifest));
    }

    fn refresh(&self) -> Outcome {
        self.workspace
            .run(&["refresh", "--trusted-root", "root.json"])
    }

    /// Asserts that the next refresh pins what the tag points to.
    #[track_caller]
    fn accepts(&self) {
        let outcome = self.refresh().code(0);
        let table = self.workspace.table();
        let pin = &table["images"][self.fake.image()]["1"]["digest"];
        let digest = self.store().tags["1"].clone();
        assert_eq!(*pin, json!(digest), "{outcome:#?}");
    }

    /// Asserts that the next refresh pins nothing new and says why.
    #[track_caller]
    fn refuses(&self, reason: &str) {
        let before = self.pin();
        let outcome = self.refresh().code(0);
        assert_eq!(self.pin(), before);
        let lines: Vec<&str> = outcome.stdout.lines().collect();
        assert!(lines[0].starts_with("held "), "{outcome:#?}");
        assert!(lines[0].contains("no signature by {"), "{outcome:#?}");
        let line = format!("{}\n", lines[0]);
        assert!(line.contains(reason), "{reason}: {outcome:#?}");
    }

    /// The pinned digest.
    fn pin(&self) -> Option<Value> {
        if !self.workspace.path("digests.json").exists() {
            return None;
        }
        let table = self.workspace.table();
        let pin = &table["images"][self.fake.image()]["1"];
        pin.get("digest").cloned()
    }

    /// A bundle of the digest, by a workflow of `owner/repo`.
    fn bundle(&self, digest: &str) -> Value {
        let workflow = Identity::workflow("owner/repo");
        self.sigstore.statement(&workflow, SIGN, digest)
    }
}

fn new() -> String {
    digest_of(&named_index("new"))
}

/// The digest of one platform of [`new`].
fn platform(architecture: &str) -> String {
    digest_of(&format!("new {architecture}"))
}

#[test]
fn a_repository_signs_with_cosign_or_attests_where_an_image_was_built() {
    for predicate_type in [SIGN, PROVENANCE, "https://slsa.dev/provenance/v0.2"] {
        let project = Project::github();
        project.refuses("no signature by { \"github\": \"owner/repo\" }\n");
        let workflow = Identity::workflow("owner/repo");
        let bundle = project
            .sigstore
            .statement(&workflow, predicate_type, &new());
        project.attach(&new(), &bundle);
        project.accepts();
    }
    let project = Project::github();
    let workflow = Identity::workflow("owner/repo");
    project.sign(&new(), project.sigstore.simple_signing(&workflow, &new()));
    project.accepts();
}

#[test]
fn all_versions_of_the_bundle_are_read() {
    let with_chain = |bundle: &mut Value, version: &str| {
        bundle["mediaType"] =
            format!("application/vnd.dev.sigstore.bundle+json;version={version}").into();
        let material = bundle["verificationMaterial"].as_object_mut().unwrap();
        let certificate = material.remove("certificate").unwrap();
        material.insert(
            "x509CertificateChain".to_owned(),
            json!({ "certificates": [certificate] }),
        );
    };
    for version in ["0.1", "0.2"] {
        let project = Project::github();
        let mut bundle = project.bundle(&new());
        with_chain(&mut bundle, version);
        // A signed entry timestamp proves inclusion in a bundle of version 0.1.
        if version == "0.1" {
            let entry = &mut bundle["verificationMaterial"]["tlogEntries"][0];
            entry.as_object_mut().unwrap().remove("inclusionProof");
        }
        project.attach(&new(), &bundle);
        project.accepts();
    }
}

#[test]
fn signatures_are_found_under_the_tag_where_a_registry_does_not_list_referrers() {
    for status in [400, 404, 405, 501] {
        let project = Project::github();
        project.attach(&new(), &project.bundle(&new()));
        {
            let mut store = project.store();
            store.referrers_status = Some(status);
            let list = referrers(&store.referrers[&new()]);
            let digest = store.manifest(INDEX, list);
            store.tags.insert(new().replace(':', "-"), digest);
        }
        project.accepts();
    }
}

#[test]
fn an_identity_is_a_glob_and_has_its_issuer() {
    let policy = json!({ "issuer": "https://accounts.example", "identity": "*@example.org" });
    let of = |issuer: &str, address: &str| {
        let project = Project::new(&policy);
        let identity = Identity::email(issuer, address);
        let bundle = project.sigstore.statement(&identity, SIGN, &new());
        project.attach(&new(), &bundle);
        project
    };
    of("https://accounts.example", "release@example.org").accepts();
    of("https://accounts.example", "release@example.org.evil")
        .refuses("one is by 'release@example.org.evil', issuer 'https://accounts.example'");
    of("https://evil.example", "release@example.org")
        .refuses("one is by 'release@example.org', issuer 'https://evil.example'");
}

#[test]
fn a_key_needs_no_log() {
    let key = Key::new();
    let policy = json!({ "key": "keys/app.pub" });
    let project = |signer: &Key, is_bundle: bool| {
        let project = Project::new(&policy);
        project.workspace.write("keys/app.pub", key.public());
        if is_bundle {
            project.attach(&new(), &signer.statement(SIGN, &new()));
        } else {
            project.sign(&new(), signer.simple_signing(&new()));
        }
        project
    };
    for is_bundle in [true, false] {
        project(&key, is_bundle).accepts();
        project(&Key::new(), is_bundle).refuses("signature invalid");
    }
    let other = project(&key, false);
    other.point("another");
    other.sign(
        &digest_of(&named_index("another")),
        key.simple_signing(&new()),
    );
    other.refuses("one is of another digest");
    let attested = Project::new(&policy);
    attested.workspace.write("keys/app.pub", key.public());
    attested.attach(&new(), &key.statement(PROVENANCE, &new()));
    attested.refuses("one is provenance");
}

#[test]
fn a_key_that_cannot_be_read_holds_the_digests_of_its_image() {
    let project = Project::new(&json!({ "key": "keys/app.pub" }));
    project.sign(&new(), Key::new().simple_signing(&new()));
    project.refuses("keys/app.pub: No such file");
    project.workspace.write("keys/app.pub", "no key");
    project.refuses("'key' in images.json is the path, from its folder");
}

#[test]
fn a_trusted_root_that_cannot_be_read_is_an_error_with_a_remedy() {
    let project = Project::github();
    project.workspace.write("root.json", "{}");
    let outcome = project.refresh().code(1);
    outcome.error("name the trusted_root.json of your Sigstore");
}

#[test]
fn every_platform_can_be_signed_instead_of_the_index() {
    let project = Project::github();
    let amd64 = platform("amd64");
    project.attach(&amd64, &project.bundle(&amd64));
    project.refuses("of the 2 manifests of its index 1 have one");
    let arm64 = platform("arm64");
    project.attach(&arm64, &project.bundle(&arm64));
    project.accepts();
}

/// A publisher must not spend the quota of its registry.
#[test]
fn the_manifests_of_a_huge_index_are_not_verified_one_by_one() {
    let project = Project::github();
    let mut manifests: Vec<Value> = (0..100)
        .map(|n| {
            let platform = json!({ "os": "linux", "architecture": format!("a{n}") });
            let digest = digest_of(&n.to_string());
            json!({ "mediaType": IMAGE, "size": 1, "digest": digest, "platform": platform })
        })
        .collect();
    manifests[0]["platform"]["architecture"] = "amd64".into();
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
    let digest = {
        let mut store = project.store();
        let digest = store.manifest(INDEX, index.to_string());
        store.tags.insert("1".to_owned(), digest.clone());
        digest
    };
    project.refuses("; its index has 100 manifests, too many to verify each");
    assert!(project.fake.requests().len() < 20);
    project.attach(&digest, &project.bundle(&digest));
    project.accepts();
}

#[test]
fn a_platform_that_is_added_later_needs_a_signature_too() {
    let project = Project::github();
    project.attach(&new(), &project.bundle(&new()));
    let entries = project.workspace.read("images.json");
    let mut one: Value = serde_json::from_str(&entries).unwrap();
    one[0]["platforms"] = json!(["linux/amd64"]);
    project.workspace.write("images.json", one.to_string());
    project.accepts();
    let platforms = |project: &Project| {
        let table = project.workspace.table();
        let pin = &table["images"][project.fake.image()]["1"]["platforms"];
        pin.as_object().unwrap().len()
    };
    // The signature is gone, and comes back.
    let referrers = std::mem::take(&mut project.store().referrers);
    project.workspace.write("images.json", entries);
    project.refuses("no signature by { \"github\": \"owner/repo\" }\n");
    assert_eq!(platforms(&project), 1);
    project.store().referrers = referrers;
    project.refresh().code(0);
    assert_eq!(platforms(&project), 2);
}

/// A runtime may choose a manifest that a refresh does not pin.
#[test]
fn an_unsigned_index_must_not_hide_a_manifest_among_signed_ones() {
    let of = |architecture: &str| json!({ "os": "linux", "architecture": architecture });
    let entry = |text: &str| json!({ "mediaType": IMAGE, "size": 1, "digest": digest_of(text) });
    let with_variant = json!({ "os": "linux", "architecture": "arm64", "variant": "v8" });
    let unknown = json!({ "os": "unknown", "architecture": "unknown" });
    let attestation = json!({ "vnd.docker.reference.type": "attestation-manifest" });
    for (fields, is_refused) in [
        (
            json!({ "platform": of("amd64"), "annotations": attestation }),
            true,
        ),
        (
            json!({ "platform": of("amd64"), "artifactType": "text/plain" }),
            true,
        ),
        (
            json!({ "platform": of("amd64"), "mediaType": "text/plain" }),
            true,
        ),
        (json!({ "platform": with_variant }), true),
        (json!({ "platform": of("riscv64") }), true),
        (json!({}), true),
        (
            json!({ "platform": unknown, "annotations": attestation }),
            false,
        ),
    ] {
        let project = Project::github();
        let mut hidden = entry("hidden");
        for (name, value) in fields.as_object().unwrap() {
            hidden[name] = value.clone();
        }
        let mut manifests = vec![hidden];
        for architecture in ["amd64", "arm64"] {
            let mut signed = entry(architecture);
            signed["platform"] = of(architecture);
            manifests.push(signed);
            let digest = digest_of(architecture);
            project.attach(&digest, &project.bundle(&digest));
        }
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
        {
            let mut store = project.store();
            let digest = store.manifest(INDEX, index.to_string());
            store.tags.insert("1".to_owned(), digest);
        }
        if is_refused {
            project.refuses("of the 3 manifests of its index 2 have one");
            let hidden = digest_of("hidden");
            project.attach(&hidden, &project.bundle(&hidden));
        }
        project.accepts();
    }
}

/// Nor as an index that is an image, and of no platform.
#[test]
fn an_unsigned_index_must_not_hide_an_image_that_says_it_is_an_index() {
    let project = Project::github();
    let hidden = project.store().artifact("text/plain", &[]);
    let entry = |media_type: &str, digest: &str| json!({ "mediaType": media_type, "size": 1, "digest": digest });
    let mut manifests = vec![entry(INDEX, &digest_of(&hidden))];
    for architecture in ["amd64", "arm64"] {
        let digest = digest_of(architecture);
        let mut signed = entry(IMAGE, &digest);
        signed["platform"] = json!({ "os": "linux", "architecture": architecture });
        manifests.push(signed);
        project.attach(&digest, &project.bundle(&digest));
    }
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
    {
        let mut store = project.store();
        let digest = store.manifest(INDEX, index.to_string());
        store.tags.insert("1".to_owned(), digest);
    }
    project.refuses("of the 3 manifests of its index 2 have one");
}

#[test]
fn import_leaves_a_digest_that_needs_a_signature() {
    let project = Project::github();
    let image = project.fake.image();
    let compose = format!("services:\n  a:\n    image: {image}:9@{}\n", new());
    project.workspace.write("compose.yaml", compose);
    let outcome = project.workspace.run(&["import", "compose.yaml"]);
    assert!(
        outcome.stdout.contains("its digest needs a signature"),
        "{outcome:#?}"
    );
    assert_eq!(project.pin(), None);
}

#[test]
fn the_old_pin_is_kept_and_no_flag_takes_an_unsigned_digest() {
    let project = Project::github();
    project.attach(&new(), &project.bundle(&new()));
    project.accepts();
    project.point("unsigned");
    project.refuses("no signature by { \"github\": \"owner/repo\" }\n");
    let image = project.fake.image();
    let now = [
        "refresh",
        "--trusted-root",
        "root.json",
        "--now",
        "--image",
        &image,
    ];
    let outcome = project.workspace.run(&now).code(0);
    assert!(outcome.stdout.contains("1 held"), "{outcome:#?}");
    assert_eq!(project.pin(), Some(json!(new())));
}

#[test]
fn another_repository_is_refused_whatever_its_prefix() {
    for repository in ["owner/repo-evil", "owner-evil/repo", "evil/owner"] {
        let project = Project::github();
        let bundle = project
            .sigstore
            .statement(&Identity::workflow(repository), SIGN, &new());
        project.attach(&new(), &bundle);
        project.refuses(&format!(
            "one is by 'https://github.com/{repository}/.github/workflows/release.yml@refs/tags/v1', \
             issuer '{GITHUB_ISSUER}'"
        ));
    }
}

#[test]
fn a_repository_of_another_issuer_is_refused() {
    let project = Project::github();
    let identity = Identity {
        issuer: "https://gitlab.example".to_owned(),
        ..Identity::workflow("owner/repo")
    };
    project.attach(&new(), &project.sigstore.statement(&identity, SIGN, &new()));
    project.refuses("issuer 'https://gitlab.example'");
}

#[test]
fn a_certificate_that_had_expired_is_refused() {
    // At the time of the log entry.
    let expired = Identity {
        years: (2021, 2022),
        ..Identity::workflow("owner/repo")
    };
    let project = Project::github();
    project.attach(&new(), &project.sigstore.statement(&expired, SIGN, &new()));
    project.refuses("CertExpired");
    let project = Project::github();
    project.sign(&new(), project.sigstore.simple_signing(&expired, &new()));
    project.refuses("CertExpired");
    // Nobody vouches for a time at which it was valid.
    let project = Project::github();
    let mut bundle = project.bundle(&new());
    let entry = &mut bundle["verificationMaterial"]["tlogEntries"][0];
    entry.as_object_mut().unwrap().remove("inclusionPromise");
    project.attach(&new(), &bundle);
    project.refuses("no verified timestamp");
}

#[test]
fn a_tampered_payload_is_refused() {
    let project = Project::github();
    let mut bundle = project.bundle(&digest_of("other"));
    bundle["dsseEnvelope"]["payload"] = project.bundle(&new())["dsseEnvelope"]["payload"].clone();
    project.attach(&new(), &bundle);
    project.refuses("signature invalid");

    let project = Project::github();
    let workflow = Identity::workflow("owner/repo");
    let (payload, annotations) = project
        .sigstore
        .simple_signing(&workflow, &digest_of("other"));
    let payload = payload.replace(&digest_of("other"), &new());
    project.sign(&new(), (payload, annotations));
    project.refuses("signature invalid");
}

#[test]
fn a_signature_of_another_digest_is_refused() {
    let project = Project::github();
    let other = digest_of("other");
    project.attach(&new(), &project.bundle(&other));
    let workflow = Identity::workflow("owner/repo");
    project.sign(&new(), project.sigstore.simple_signing(&workflow, &other));
    project.refuses("one is of another digest");
}

#[test]
fn an_attestation_of_another_type_is_no_signature() {
    let project = Project::github();
    let workflow = Identity::workflow("owner/repo");
    let sbom = "https://spdx.dev/Document/v2.3";
    project.attach(&new(), &project.sigstore.statement(&workflow, sbom, &new()));
    project.refuses(&format!("one is an attestation of type '{sbom}'"));
}

#[test]
fn a_signature_without_log_inclusion_is_refused() {
    for (fault, reason) in [
        ("no entry", "must have an inclusion proof"),
        ("no proof", "must have an inclusion proof"),
        ("another log", "No log key valid"),
        ("another key", "SET verification failed"),
    ] {
        let project = Project::github();
        let mut bundle = project.bundle(&new());
        let material = &mut bundle["verificationMaterial"];
        let other = Sigstore::new();
        match fault {
            "no entry" => material["tlogEntries"] = json!([]),
            "no proof" => {
                let entry = material["tlogEntries"][0].as_object_mut().unwrap();
                entry.remove("inclusionProof");
            }
            // The entry of a log that nobody trusts.
            "another log" => {
                let workflow = Identity::workflow("owner/repo");
                let foreign = other.statement(&workflow, SIGN, &new());
                material["tlogEntries"] = foreign["verificationMaterial"]["tlogEntries"].clone();
            }
            _ => {
                let entry = &mut material["tlogEntries"][0];
                entry["inclusionPromise"]["signedEntryTimestamp"] = "AAAA".into();
            }
        }
        project.attach(&new(), &bundle);
        project.refuses(reason);
    }
    let project = Project::github();
    let workflow = Identity::workflow("owner/repo");
    let (payload, mut annotations) = project.sigstore.simple_signing(&workflow, &new());
    annotations.remove("dev.sigstore.cosign/bundle");
    project.sign(&new(), (payload, annotations));
    project.refuses("one is not valid: it is in no log");
}

#[test]
fn a_log_entry_of_another_artifact_is_refused() {
    let project = Project::github();
    let mut bundle = project.bundle(&new());
    let other = project.bundle(&digest_of("other"));
    bundle["verificationMaterial"]["tlogEntries"] =
        other["verificationMaterial"]["tlogEntries"].clone();
    project.attach(&new(), &bundle);
    project.refuses("log entry does not match the bundle");

    let project = Project::github();
    let workflow = Identity::workflow("owner/repo");
    let (payload, mut annotations) = project.sigstore.simple_signing(&workflow, &new());
    let (_, mut other) = project
        .sigstore
        .simple_signing(&workflow, &digest_of("other"));
    let log = "dev.sigstore.cosign/bundle";
    annotations.insert(log.to_owned(), other.remove(log).unwrap());
    project.sign(&new(), (payload, annotations));
    project.refuses("one is of another digest");
}

#[test]
fn an_authority_that_is_not_in_the_root_is_named_with_a_remedy() {
    let project = Project::github();
    let other = Sigstore::new();
    let workflow = Identity::workflow("owner/repo");
    project.attach(&new(), &other.statement(&workflow, SIGN, &new()));
    project.refuses("one does not chain to the trusted root");
    let outcome = project.workspace.run(&["refresh"]).code(0);
    assert!(
        outcome
            .stdout
            .contains("if nix-oci-hashes is old, update it"),
        "{outcome:#?}"
    );
}

#[test]
fn an_oversized_or_endless_bundle_is_refused() {
    let large = vec![b' '; (1 << 20) + 1];
    let body = |content: Vec<u8>| FakeResponse::status(200).with_body("text/plain", content);
    for response in [body(large.clone()), body(large).endless()] {
        let project = Project::github();
        project.attach(&new(), &project.bundle(&new()));
        for blob in project.store().blobs.values_mut() {
            *blob = response.clone();
        }
        project.refuses("that is larger than 1048576 bytes");
    }
}

#[test]
fn of_a_thousand_referrers_the_first_are_read() {
    let project = Project::github();
    {
        let mut store = project.store();
        store.blob("{}");
        let manifests = (0..1000).map(|i| {
            let other = json!({ "mediaType": "text/plain", "digest": digest_of("{}"), "size": i });
            store.artifact(BUNDLE, &[bundle_layer("{}"), other])
        });
        let manifests = manifests.collect();
        store.referrers.insert(new(), manifests);
    }
    project.refuses("936 more were not read");
    let requests = project.fake.requests();
    assert!(requests.len() < 300, "{} requests", requests.len());
}

#[test]
fn a_referrer_that_is_an_index_of_itself_is_left_out() {
    let project = Project::github();
    {
        let mut store = project.store();
        // An index, and one that says in the list that it is a manifest.
        let index = |of: &str| {
            let entry = json!({ "mediaType": INDEX, "digest": digest_of(of), "size": 1 });
            json!({
                "schemaVersion": 2, "mediaType": INDEX, "artifactType": BUNDLE, "manifests": [entry],
            })
            .to_string()
        };
        let (inner, outer) = (index("inner"), index(&index("inner")));
        store.manifest(INDEX, inner.clone());
        store.manifest(INDEX, outer.clone());
        store.referrers.insert(new(), vec![inner, outer]);
    }
    project.refuses("it is no image manifest");
    project.attach(&new(), &project.bundle(&new()));
    project.accepts();
}

#[test]
fn a_request_that_fails_is_not_called_unsigned() {
    for status in [429, 500, 503] {
        let project = Project::github();
        project.store().referrers_status = Some(status);
        let outcome =
            project
                .workspace
                .run(&["refresh", "--trusted-root", "root.json", "--retries", "0"]);
        let outcome = outcome.code(2);
        assert!(outcome.stdout.contains("failed"), "{outcome:#?}");
        assert!(!outcome.stdout.contains("no signature"), "{outcome:#?}");
    }
    // A signature that was found suffices.
    let project = Project::github();
    project.store().referrers_status = Some(500);
    let workflow = Identity::workflow("owner/repo");
    project.sign(&new(), project.sigstore.simple_signing(&workflow, &new()));
    let flags = ["refresh", "--trusted-root", "root.json", "--retries", "0"];
    project.workspace.run(&flags).code(0);
    assert_eq!(project.pin(), Some(json!(new())));
}

#[test]
fn add_names_the_policy_that_signatures_satisfy() {
    let project = Project::github();
    project.attach(&new(), &project.bundle(&new()));
    project.attach(&new(), &Key::new().statement(SIGN, &new()));
    project.workspace.write("images.json", "[]\n");
    let image = project.fake.image();
    let outcome = project
        .workspace
        .run(&["add", &image, "--trusted-root", "root.json"])
        .code(0);
    let line = r#"It is signed; to pin nothing else, add "signedBy": { "github": "owner/repo" } to its entry."#;
    assert!(outcome.stdout.contains(line), "{outcome:#?}");
    assert!(
        outcome
            .stdout
            .contains("It says that it is signed with a key"),
        "{outcome:#?}"
    );
}

#[test]
fn check_names_policies_that_no_signature_satisfies() {
    let project = Project::github();
    project.attach(&new(), &project.bundle(&new()));
    project.accepts();
    project.workspace.run(&["check"]).code(0);
    for (policy, reason) in [
        (
            json!({ "issuer": GITHUB_ISSUER, "identity": "release@example.org" }),
            "the identity of a GitHub workflow starts with https://github.com/",
        ),
        (
            json!({ "key": "keys/app.pub" }),
            "keys/app.pub: No such file",
        ),
    ] {
        let entries = project.workspace.read("images.json");
        let mut entries: Value = serde_json::from_str(&entries).unwrap();
        entries[0]["signedBy"] = policy;
        project.workspace.write("images.json", entries.to_string());
        let outcome = project.workspace.run(&["check"]).code(1);
        let words = format!(
            "{}: no signature can satisfy 'signedBy': {reason}",
            project.fake.image()
        );
        assert!(outcome.stdout.contains(&words), "{outcome:#?}");
    }
}
