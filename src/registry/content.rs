//! What an image says of itself: its layers, annotations and labels (OCI image spec,
//! "Image Manifest" and "Image Configuration").

use std::collections::BTreeMap;

use oci_client::manifest::OciManifest;
use serde::Deserialize;

use super::manifest::{Annotations, predefined};
use crate::reference::Digest;

/// The layers, annotations and labels of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageContent {
    /// The size of each layer, in bytes, as the manifest declares it.
    pub layers: BTreeMap<Digest, u64>,
    /// The pre-defined annotations of its manifest.
    pub annotations: Annotations,
    /// The pre-defined annotations among the labels of its configuration.
    pub labels: Annotations,
    /// When it was made, as the configuration says.
    pub created: Option<String>,
}

impl ImageContent {
    /// Parses the bytes of an image manifest, without the configuration, whose digest
    /// comes first in the result. The error says what is wrong with them.
    pub(super) fn of_manifest(body: &[u8]) -> Result<(Digest, Self), String> {
        let Ok(OciManifest::Image(manifest)) = serde_json::from_slice(body) else {
            return Err("it is no image manifest".to_owned());
        };
        let digest = |text: &str| text.parse::<Digest>().map_err(|error| error.to_string());
        let layers = manifest.layers.iter().map(|layer| {
            let size = u64::try_from(layer.size).unwrap_or_default();
            Ok((digest(&layer.digest)?, size))
        });
        let content = Self {
            layers: layers.collect::<Result<_, String>>()?,
            annotations: predefined(manifest.annotations),
            ..Self::default()
        };
        Ok((digest(&manifest.config.digest)?, content))
    }

    /// Adds what the bytes of an image configuration say. The error says what is wrong
    /// with them.
    pub(super) fn with_configuration(self, body: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Configuration {
            created: Option<String>,
            config: Option<Execution>,
        }
        #[derive(Deserialize)]
        struct Execution {
            #[serde(rename = "Labels")]
            labels: Option<Annotations>,
        }
        let Configuration { created, config } =
            serde_json::from_slice(body).map_err(|error| error.to_string())?;
        Ok(Self {
            labels: predefined(config.and_then(|config| config.labels)),
            created,
            ..self
        })
    }
}
