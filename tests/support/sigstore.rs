//! A private Sigstore: an authority for certificates, a log, and signatures as cosign and
//! GitHub make them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, ExtendedKeyUsagePurpose,
    IsCa, KeyPair as AuthorityKey, KeyUsagePurpose, SanType, date_time_ymd,
};
use serde_json::{Value, json};
use sigstore_verify::crypto::{KeyPair, sha256};
use sigstore_verify::types::{DerCertificate, pae};

use super::fake::{IMAGE, INDEX, digest_of};

pub const GITHUB_ISSUER: &str = "https://token.actions.githubusercontent.com";
/// The predicate type of `cosign sign`.
pub const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";
pub const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const STATEMENT: &str = "application/vnd.in-toto+json";
/// The time of all log entries: in November 2023.
const TIME: i64 = 1_700_000_000;
/// The arc of Fulcio's extensions.
const FULCIO: [u64; 8] = [1, 3, 6, 1, 4, 1, 57264, 1];

pub struct Sigstore {
    root: CertifiedIssuer<'static, AuthorityKey>,
    authority: CertifiedIssuer<'static, AuthorityKey>,
    log: KeyPair,
}

/// Whom a certificate is for.
#[derive(Debug, Clone)]
pub struct Identity {
    pub issuer: String,
    pub san: String,
    pub repository: Option<String>,
    /// The years in which the certificate is valid, the last excluded.
    pub years: (i32, i32),
}

impl Identity {
    /// A release workflow of a repository on GitHub.
    pub fn workflow(repository: &str) -> Self {
        let uri = format!("https://github.com/{repository}");
        Self {
            issuer: GITHUB_ISSUER.to_owned(),
            san: format!("{uri}/.github/workflows/release.yml@refs/tags/v1"),
            repository: Some(uri),
            years: (2023, 2024),
        }
    }

    pub fn email(issuer: &str, address: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            san: address.to_owned(),
            repository: None,
            years: (2023, 2024),
        }
    }
}

/// A certificate, and its key.
struct Signer {
    certificate: DerCertificate,
    key: KeyPair,
}

fn issuer(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

fn hash(bytes: impl AsRef<[u8]>) -> [u8; 32] {
    *sha256(bytes.as_ref()).as_bytes()
}

impl Sigstore {
    pub fn new() -> Self {
        let key = || AuthorityKey::generate().unwrap();
        let root = CertifiedIssuer::self_signed(issuer("root"), key()).unwrap();
        let authority = CertifiedIssuer::signed_by(issuer("authority"), key(), &root).unwrap();
        Self {
            root,
            authority,
            log: KeyPair::generate_ecdsa_p256().unwrap(),
        }
    }

    /// The text of its `trusted_root.json`.
    pub fn trusted_root(&self) -> String {
        let certificates =
            [&self.authority, &self.root].map(|issuer| json!({ "rawBytes": base64(issuer.der()) }));
        let key = self.log.public_key_der().unwrap();
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [{
                "baseUrl": "https://log.example",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": key.to_base64(), "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": { "start": "2020-01-01T00:00:00Z" },
                },
                "logId": { "keyId": base64(self.log_id()) },
            }],
            "certificateAuthorities": [{
                "uri": "https://authority.example",
                "certChain": { "certificates": certificates },
                "validFor": { "start": "2020-01-01T00:00:00Z" },
            }],
        })
        .to_string()
    }

    fn log_id(&self) -> [u8; 32] {
        hash(self.log.public_key_der().unwrap().as_bytes())
    }

    fn certify(&self, identity: &Identity) -> Signer {
        let key = AuthorityKey::generate().unwrap();
        let mut params = CertificateParams::default();
        let name = identity.san.as_str().try_into().unwrap();
        let is_email = identity.san.contains('@') && !identity.san.contains("://");
        params.subject_alt_names = vec![if is_email {
            SanType::Rfc822Name(name)
        } else {
            SanType::URI(name)
        }];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        params.not_before = date_time_ymd(identity.years.0, 1, 1);
        params.not_after = date_time_ymd(identity.years.1, 1, 1);
        let claims = [
            (8, Some(&identity.issuer)),
            (12, identity.repository.as_ref()),
        ];
        for (number, text) in claims {
            let Some(text) = text else { continue };
            let oid = [&FULCIO[..], &[number]].concat();
            let length = u8::try_from(text.len()).unwrap();
            // A UTF8String in DER.
            let header = if length < 128 {
                vec![12, length]
            } else {
                vec![12, 0x81, length]
            };
            let content = [&header[..], text.as_bytes()].concat();
            let extension = CustomExtension::from_oid_content(&oid, content);
            params.custom_extensions.push(extension);
        }
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        Signer {
            certificate: DerCertificate::new(certificate.der().to_vec()),
            key: KeyPair::from_pkcs8_der(&key.serialize_der()).unwrap(),
        }
    }

    /// The signed entry timestamp of a log entry.
    fn promise(&self, body: &[u8]) -> String {
        let id = hex(&self.log_id());
        let entry = format!(
            r#"{{"body":"{}","integratedTime":{TIME},"logID":"{id}","logIndex":0}}"#,
            base64(body)
        );
        self.log.sign(entry.as_bytes()).unwrap().to_base64()
    }

    /// A log with this one entry.
    fn entry(&self, kind: &str, body: &[u8]) -> Value {
        let root = hash([&[0][..], body].concat());
        let note = format!("log.example\n1\n{}\n", base64(root));
        let signature = self.log.sign(note.as_bytes()).unwrap();
        let signature = [&self.log_id()[..4], signature.as_bytes()].concat();
        json!({
            "logIndex": "0",
            "logId": { "keyId": base64(self.log_id()) },
            "kindVersion": { "kind": kind, "version": "0.0.1" },
            "integratedTime": TIME.to_string(),
            "inclusionPromise": { "signedEntryTimestamp": self.promise(body) },
            "inclusionProof": {
                "logIndex": "0", "treeSize": "1", "rootHash": base64(root), "hashes": [],
                "checkpoint": {
                    "envelope": format!("{note}\n\u{2014} log.example {}\n", base64(signature)),
                },
            },
            "canonicalizedBody": base64(body),
        })
    }

    /// The bundle of a statement about `digest`, as cosign 3 and GitHub make it.
    pub fn statement(&self, identity: &Identity, predicate_type: &str, digest: &str) -> Value {
        let signer = self.certify(identity);
        let (envelope, payload) = envelope(&signer.key, predicate_type, digest);
        let body = json!({
            "apiVersion": "0.0.1", "kind": "dsse",
            "spec": {
                "envelopeHash": { "algorithm": "sha256", "value": hex(&hash(envelope.to_string())) },
                "payloadHash": { "algorithm": "sha256", "value": hex(&hash(&payload)) },
                "signatures": [{
                    "signature": envelope["signatures"][0]["sig"],
                    "verifier": base64(signer.certificate.to_pem()),
                }],
            },
        });
        json!({
            "mediaType": BUNDLE,
            "verificationMaterial": {
                "certificate": { "rawBytes": signer.certificate.to_base64() },
                "tlogEntries": [self.entry("dsse", body.to_string().as_bytes())],
            },
            "dsseEnvelope": envelope,
        })
    }

    /// A signature of `digest` as cosign 2 stores it: a payload and its annotations.
    pub fn simple_signing(
        &self,
        identity: &Identity,
        digest: &str,
    ) -> (String, BTreeMap<String, String>) {
        let signer = self.certify(identity);
        let payload = simple_signing_payload(digest);
        let signature = signer.key.sign(payload.as_bytes()).unwrap().to_base64();
        let pem = signer.certificate.to_pem();
        let body = json!({
            "apiVersion": "0.0.1", "kind": "hashedrekord",
            "spec": {
                "data": { "hash": { "algorithm": "sha256", "value": hex(&hash(&payload)) } },
                "signature": { "content": signature, "publicKey": { "content": base64(&pem) } },
            },
        })
        .to_string();
        let bundle = json!({
            "SignedEntryTimestamp": self.promise(body.as_bytes()),
            "Payload": {
                "body": base64(&body), "integratedTime": TIME, "logIndex": 0, "logID": hex(&self.log_id()),
            },
        });
        let annotations = [
            ("dev.cosignproject.cosign/signature", signature),
            ("dev.sigstore.cosign/certificate", pem),
            ("dev.sigstore.cosign/bundle", bundle.to_string()),
        ];
        let annotations = annotations.map(|(name, value)| (name.to_owned(), value));
        (payload, annotations.into())
    }
}

/// The text of an artifact's manifest. Its configuration is `{}`.
pub fn artifact(artifact_type: &str, layers: &[Value]) -> String {
    json!({
        "schemaVersion": 2, "mediaType": IMAGE, "artifactType": artifact_type,
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of("{}"), "size": 2,
        },
        "layers": layers,
    })
    .to_string()
}

/// The descriptor of a bundle.
pub fn bundle_layer(text: &str) -> Value {
    json!({ "mediaType": BUNDLE, "digest": digest_of(text), "size": text.len() })
}

/// The descriptor of a simple signing payload.
pub fn simple_signing_layer(payload: &str, annotations: &BTreeMap<String, String>) -> Value {
    json!({
        "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
        "digest": digest_of(payload), "size": payload.len(), "annotations": annotations,
    })
}

/// A list of artifacts, whose manifests are these texts.
pub fn referrers(artifacts: &[String]) -> String {
    let descriptors = artifacts.iter().map(|text| {
        let artifact: Value = serde_json::from_str(text).unwrap();
        json!({
            "mediaType": IMAGE, "artifactType": artifact["artifactType"],
            "digest": digest_of(text), "size": text.len(),
        })
    });
    let descriptors: Vec<Value> = descriptors.collect();
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": descriptors }).to_string()
}

/// A key that signs without Sigstore.
pub struct Key(KeyPair);

impl Key {
    pub fn new() -> Self {
        Self(KeyPair::generate_ecdsa_p256().unwrap())
    }

    /// The public key, as `cosign public-key` prints it.
    pub fn public(&self) -> String {
        self.0.public_key_der().unwrap().to_pem()
    }

    /// A signature of `digest` as cosign 2 stores it with `--tlog-upload=false`.
    pub fn simple_signing(&self, digest: &str) -> (String, BTreeMap<String, String>) {
        let payload = simple_signing_payload(digest);
        let signature = self.0.sign(payload.as_bytes()).unwrap().to_base64();
        let name = "dev.cosignproject.cosign/signature".to_owned();
        (payload, [(name, signature)].into())
    }

    /// The bundle of a statement about `digest`.
    pub fn statement(&self, predicate_type: &str, digest: &str) -> Value {
        let (envelope, _) = envelope(&self.0, predicate_type, digest);
        json!({
            "mediaType": BUNDLE,
            "verificationMaterial": { "publicKey": { "hint": "any" } },
            "dsseEnvelope": envelope,
        })
    }
}

/// An envelope with a statement about `digest`, and the text of the statement.
fn envelope(key: &KeyPair, predicate_type: &str, digest: &str) -> (Value, String) {
    let (algorithm, hex) = digest.split_once(':').unwrap();
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "", "digest": { algorithm: hex } }],
        "predicateType": predicate_type, "predicate": {},
    })
    .to_string();
    let signature = key.sign(&pae(STATEMENT, statement.as_bytes())).unwrap();
    let envelope = json!({
        "payloadType": STATEMENT, "payload": base64(&statement),
        "signatures": [{ "sig": signature.to_base64() }],
    });
    (envelope, statement)
}

fn simple_signing_payload(digest: &str) -> String {
    json!({
        "critical": {
            "identity": { "docker-reference": "" },
            "image": { "docker-manifest-digest": digest },
            "type": "cosign container image signature",
        },
        "optional": null,
    })
    .to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
