//! Manifests: the platforms of a digest (OCI image spec, "Image Index" and "Image
//! Manifest"; Docker's schema 2 has the same shape).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use oci_client::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, ImageIndexEntry,
    OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciManifest,
};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::reference::{Digest, Platform};

/// The `Accept` header of a request for a manifest: every kind that is read.
pub(super) const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// Annotations and labels of an image, by key. Anybody may have written them.
pub type Annotations = BTreeMap<String, String>;

/// Those of the OCI image spec, "Pre-Defined Annotation Keys".
pub(super) fn predefined(all: Option<Annotations>) -> Annotations {
    let mut all = all.unwrap_or_default();
    all.retain(|key, _| key.starts_with("org.opencontainers.image."));
    all
}

/// The platforms of an index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexPlatforms {
    /// The first image manifest of each platform.
    pub manifests: BTreeMap<Platform, Digest>,
    /// Platforms with several image manifests that differ.
    pub ambiguous: BTreeSet<Platform>,
    /// Every manifest that some runtime may take for an image: also a second one of a
    /// platform, one without a platform, and one that is marked as an attestation. Without
    /// those of the platform `unknown/unknown`.
    pub all: BTreeSet<Digest>,
    /// The bytes of the manifest, where the digest is that of an image and not of an
    /// index.
    pub image_manifest: Option<Vec<u8>>,
    /// The pre-defined annotations of the first index that has any, the outermost first.
    pub annotations: Annotations,
}

impl IndexPlatforms {
    /// Adds a manifest. Of several for one platform the first counts, as for
    /// runtimes.
    pub(super) fn add(&mut self, platform: Platform, manifest: Digest) {
        self.all.insert(manifest.clone());
        match self.manifests.entry(platform) {
            Entry::Vacant(entry) => {
                entry.insert(manifest);
            }
            Entry::Occupied(entry) if *entry.get() != manifest => {
                self.ambiguous.insert(entry.key().clone());
            }
            Entry::Occupied(_) => {}
        }
    }

    /// The manifests of those `platforms` that it has.
    pub fn of(&self, platforms: &BTreeSet<Platform>) -> BTreeMap<Platform, Digest> {
        let manifests = self.manifests.iter();
        let tracked = manifests.filter(|(platform, _)| platforms.contains(*platform));
        tracked
            .map(|(platform, manifest)| (platform.clone(), manifest.clone()))
            .collect()
    }

    /// Adds what an index within has.
    pub(super) fn extend(&mut self, other: Self) {
        for (platform, manifest) in other.manifests {
            self.add(platform, manifest);
        }
        self.ambiguous.extend(other.ambiguous);
        self.all.extend(other.all);
        if self.annotations.is_empty() {
            self.annotations = other.annotations;
        }
    }
}

/// Whether an entry of an index is an image: attestations and artefacts may have a
/// platform too.
fn is_image(entry: &ImageIndexEntry) -> bool {
    let annotations = entry.annotations.iter().flatten();
    let is_attestation = annotations
        .into_iter()
        .any(|(name, _)| name == "vnd.docker.reference.type");
    let media_types = [OCI_IMAGE_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE];
    media_types.contains(&entry.media_type.as_str())
        && entry.artifact_type.is_none()
        && !is_attestation
}

/// Whether an entry is for the platform `unknown/unknown`, which no machine has.
fn is_for_nothing(entry: &ImageIndexEntry) -> bool {
    let platform = entry.platform.as_ref();
    platform.is_some_and(|platform| {
        platform.os.to_string() == "unknown" && platform.architecture.to_string() == "unknown"
    })
}

/// What the bytes of a manifest say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Manifest {
    /// An index.
    Index {
        /// The manifest of each platform.
        platforms: IndexPlatforms,
        /// The indexes within it.
        nested: Vec<Digest>,
    },
    /// One image. Its configuration has its platform.
    Image {
        /// The digest of the configuration.
        config: Digest,
    },
}

impl Manifest {
    /// Parses a manifest's bytes; the error says what is wrong with them.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Members {
            manifests: Option<IgnoredAny>,
            layers: Option<IgnoredAny>,
            config: Option<IgnoredAny>,
        }
        let neither = |_| "it is neither an image index nor an image manifest".to_owned();
        let members: Members = serde_json::from_slice(body).map_err(neither)?;
        if members.manifests.is_some() && (members.layers.is_some() || members.config.is_some()) {
            // Runtimes may read it either way (CVE-2021-41190).
            return Err("it is an image index and an image manifest at once".to_owned());
        }
        let manifest: OciManifest = serde_json::from_slice(body).map_err(neither)?;
        match manifest {
            OciManifest::ImageIndex(index) => {
                let mut platforms = IndexPlatforms {
                    annotations: predefined(index.annotations),
                    ..IndexPlatforms::default()
                };
                let mut nested = Vec::new();
                for entry in index.manifests {
                    let media_type = entry.media_type.as_str();
                    if [OCI_IMAGE_INDEX_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE]
                        .contains(&media_type)
                    {
                        nested.push(entry.digest.parse().map_err(|e| format!("{e}"))?);
                        continue;
                    }
                    // BuildKit lists attestations as the platform unknown/unknown.
                    if is_for_nothing(&entry) {
                        continue;
                    }
                    let digest: Digest = entry.digest.parse().map_err(|e| format!("{e}"))?;
                    platforms.all.insert(digest.clone());
                    if !is_image(&entry) {
                        continue;
                    }
                    let Some(platform) = entry.platform else {
                        continue;
                    };
                    let platform = Platform::from_parts(
                        &platform.os.to_string(),
                        &platform.architecture.to_string(),
                        platform.variant.as_deref().unwrap_or_default(),
                    );
                    if let Some(platform) = platform {
                        platforms.add(platform, digest);
                    }
                }
                Ok(Self::Index { platforms, nested })
            }
            OciManifest::Image(image) => {
                let config = image.config.digest.parse().map_err(|e| format!("{e}"))?;
                Ok(Self::Image { config })
            }
        }
    }
}

/// The platform of an image configuration, if it has one.
pub(super) fn platform_of_config(body: &[u8]) -> Result<Option<Platform>, String> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Config {
        os: String,
        architecture: String,
        variant: String,
    }
    let config: Config = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Ok(Platform::from_parts(
        &config.os,
        &config.architecture,
        &config.variant,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(c: char) -> String {
        format!("sha256:{}", c.to_string().repeat(64))
    }

    fn entry(os: &str, arch: &str, variant: Option<&str>, c: char) -> serde_json::Value {
        let mut platform = serde_json::json!({ "os": os, "architecture": arch });
        if let Some(variant) = variant {
            platform["variant"] = variant.into();
        }
        serde_json::json!({
            "mediaType": OCI_IMAGE_MEDIA_TYPE, "digest": digest(c), "size": 1, "platform": platform
        })
    }

    #[test]
    fn all_kinds_of_manifests_are_accepted() {
        let kinds = [
            OCI_IMAGE_INDEX_MEDIA_TYPE,
            IMAGE_MANIFEST_LIST_MEDIA_TYPE,
            OCI_IMAGE_MEDIA_TYPE,
            IMAGE_MANIFEST_MEDIA_TYPE,
        ];
        assert_eq!(ACCEPTED, kinds.join(", "));
    }

    #[test]
    fn takes_the_platforms_of_an_index_and_leaves_attestations() {
        for media_type in [OCI_IMAGE_INDEX_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE] {
            let index = serde_json::json!({
                "schemaVersion": 2,
                "mediaType": media_type,
                "manifests": [
                    entry("linux", "amd64", None, 'a'),
                    entry("linux", "arm64", Some("v8"), 'b'),
                    entry("linux", "arm", Some("v7"), 'c'),
                    entry("windows", "amd64", None, 'd'),
                    entry("windows", "amd64", None, 'e'),
                    entry("unknown", "unknown", None, 'f'),
                ],
            });
            let parsed = Manifest::parse(index.to_string().as_bytes());
            let Ok(Manifest::Index { platforms, .. }) = parsed else {
                panic!("an index");
            };
            assert_eq!(
                platforms.ambiguous,
                ["windows/amd64".parse().unwrap()].into()
            );
            let found: Vec<_> = platforms
                .manifests
                .iter()
                .map(|(platform, digest)| format!("{platform} {}", digest.short()))
                .collect();
            assert_eq!(
                found,
                [
                    "linux/amd64 aaaaaaaaaaaa",
                    "linux/arm/v7 cccccccccccc",
                    "linux/arm64 bbbbbbbbbbbb",
                    "windows/amd64 dddddddddddd",
                ]
            );
        }
    }

    #[test]
    fn of_one_platform_the_first_image_counts() {
        let mut attestation = entry("linux", "amd64", None, 'a');
        attestation["annotations"] =
            serde_json::json!({ "vnd.docker.reference.type": "attestation-manifest" });
        let mut artefact = entry("linux", "amd64", None, 'b');
        artefact["artifactType"] = "application/vnd.example.sbom".into();
        let mut layer = entry("linux", "amd64", None, 'c');
        layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar+gzip".into();
        let manifests = [
            attestation,
            artefact,
            layer,
            entry("linux", "amd64", None, 'd'),
            entry("linux", "amd64", None, 'd'),
            entry("linux", "arm64", None, 'e'),
            entry("linux", "arm64", None, 'f'),
        ];
        let index = serde_json::json!({
            "schemaVersion": 2, "mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE, "manifests": manifests,
        });
        let parsed = Manifest::parse(index.to_string().as_bytes());
        let Ok(Manifest::Index { platforms, .. }) = parsed else {
            panic!("an index");
        };
        let of = |platform: &str| platforms.manifests[&platform.parse().unwrap()].to_string();
        assert_eq!(of("linux/amd64"), digest('d'));
        assert_eq!(of("linux/arm64"), digest('e'));
        assert_eq!(platforms.ambiguous, ["linux/arm64".parse().unwrap()].into());
    }

    #[test]
    fn takes_the_configuration_of_a_single_image() {
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": IMAGE_MANIFEST_MEDIA_TYPE,
            "config": { "mediaType": "application/vnd.docker.container.image.v1+json", "digest": digest('c'), "size": 2 },
            "layers": [],
        });
        assert_eq!(
            Manifest::parse(manifest.to_string().as_bytes()),
            Ok(Manifest::Image {
                config: digest('c').parse().unwrap()
            })
        );
        let platform =
            platform_of_config(br#"{"os":"linux","architecture":"arm64","variant":"v8"}"#);
        assert_eq!(platform, Ok("linux/arm64".parse().ok()));
    }

    #[test]
    fn refuses_what_is_no_manifest() {
        for body in [
            "", "{}", "[]", "null", "<html></html>", "{\"schemaVersion\":1}",
            &serde_json::json!({ "schemaVersion": 2, "config": { "mediaType": "x", "digest": digest('a'), "size": 1 }, "layers": [], "manifests": [] }).to_string(),
            &serde_json::json!({ "schemaVersion": 2, "manifests": [{ "mediaType": OCI_IMAGE_MEDIA_TYPE, "digest": "sha256:0", "size": 1, "platform": { "os": "linux", "architecture": "amd64" } }] }).to_string(),
        ] {
            assert!(Manifest::parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn an_index_offers_what_it_lists(
            platforms in proptest::collection::btree_map("[a-z0-9]{1,8}", "[a-f0-9]", 0..8)
        ) {
            let entries: Vec<_> = platforms
                .iter()
                .map(|(arch, c)| entry("linux", arch, None, c.chars().next().unwrap()))
                .collect();
            let index = serde_json::json!({
                "schemaVersion": 2, "mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE, "manifests": entries,
            });
            let parsed = Manifest::parse(index.to_string().as_bytes());
            let Ok(Manifest::Index { platforms: found, nested }) = parsed else {
                panic!("an index");
            };
            prop_assert!(nested.is_empty() && found.ambiguous.is_empty());
            let expected: Vec<_> = platforms
                .iter()
                .filter_map(|(arch, c)| {
                    let platform = Platform::from_parts("linux", arch, "")?;
                    Some((platform, digest(c.chars().next().unwrap()).parse().unwrap()))
                })
                .collect::<BTreeMap<Platform, Digest>>()
                .into_iter()
                .collect();
            let found: Vec<_> = found.manifests.into_iter().collect();
            prop_assert_eq!(found, expected);
        }
    }
}
