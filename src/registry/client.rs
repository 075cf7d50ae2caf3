//! A client for any number of registries.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::OnceCell;

use super::address::is_loopback_registry;
use super::api::{Api, BlobPart, Settings, TagSet};
use super::auth::Credentials;
use super::blob::Blob;
use super::content::ImageContent;
use super::error::{Cause, RegistryError, SetupError};
use super::limits::Quota;
use super::manifest::IndexPlatforms;
use super::network::{Dns, Network};
use super::signature::Signatures;
use super::throttle::Deadline;
use super::transport::Transport;
use crate::lock::lock;
use crate::reference::{Digest, ImageName, Tag};

/// How a client sends requests.
#[derive(Debug, Clone)]
pub struct Options {
    /// Requests at once to each registry.
    pub jobs: NonZeroUsize,
    /// Registries that may be reached by plain http, where they have no https. Those
    /// on loopback always may.
    pub insecure_registries: BTreeSet<String>,
    /// Retries of a failed request.
    pub retries: u32,
    /// The time for all requests to a registry, from the first one on.
    pub deadline: Duration,
    /// How the names of registries are resolved.
    pub dns: Dns,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            jobs: NonZeroUsize::MIN.saturating_add(31),
            insecure_registries: BTreeSet::new(),
            retries: 4,
            deadline: Duration::from_secs(1800),
            dns: Dns::default(),
        }
    }
}

/// A client for any number of registries.
pub struct Client {
    network: Arc<dyn Transport>,
    credentials: Arc<Credentials>,
    options: Options,
    registries: Mutex<HashMap<String, Arc<Registry>>>,
    /// The images of later requests, by registry.
    expected: Mutex<HashMap<String, BTreeSet<ImageName>>>,
}

/// A registry, and since when it is used.
struct Registry {
    deadline: Deadline,
    api: OnceCell<Api>,
}

impl Client {
    /// A client with the credentials that docker and podman keep for this user.
    ///
    /// # Errors
    /// Where the certificates, a proxy of the environment, or a file of credentials
    /// cannot be used.
    pub fn new(options: Options) -> Result<Self, SetupError> {
        let credentials = Credentials::of_user();
        let credentials = credentials.map_err(|e| SetupError::Credentials(Arc::new(e)))?;
        let network = Arc::new(Network::new(options.dns)?);
        Ok(Self::over(network, credentials, options))
    }

    /// A client over `network`.
    pub(super) fn over(
        network: Arc<dyn Transport>,
        credentials: Credentials,
        options: Options,
    ) -> Self {
        Self {
            network,
            credentials: Arc::new(credentials),
            options,
            registries: Mutex::default(),
            expected: Mutex::default(),
        }
    }

    /// Announces the images of later requests, so that those of one registry can share a
    /// token. Has no effect on a registry that has received a request already.
    pub fn expect<'a>(&self, images: impl IntoIterator<Item = &'a ImageName>) {
        let mut expected = lock(&self.expected);
        for image in images {
            let registry = image.registry().to_owned();
            expected.entry(registry).or_default().insert(image.clone());
        }
    }

    /// What is left of the pull quota of each registry that has one.
    pub fn quotas(&self) -> BTreeMap<String, Quota> {
        self.of_each(Api::quota)
    }

    /// How long each registry that is paused stays so, from now on.
    pub fn pauses(&self) -> BTreeMap<String, Duration> {
        self.of_each(Api::pause)
    }

    fn of_each<T>(&self, property: fn(&Api) -> Option<T>) -> BTreeMap<String, T> {
        let registries = lock(&self.registries);
        let all = registries.iter();
        all.filter_map(|(name, registry)| Some((name.clone(), property(registry.api.get()?)?)))
            .collect()
    }

    /// Every tag of `image`, all pages (OCI distribution spec, "Listing Tags").
    ///
    /// # Errors
    /// Where the registry cannot be reached, does not know the image, or sends
    /// something other than tag lists of at most 8 MiB and 100,000 tags.
    pub async fn tags(&self, image: &ImageName) -> Result<TagSet, RegistryError> {
        self.run(image, async |api| api.tags(image).await).await
    }

    /// The digest that `tag` points to; `None` where the registry has no such tag.
    /// Costs a HEAD, which registries do not count as a pull.
    ///
    /// # Errors
    /// Where the registry cannot be reached or sends no digest.
    pub async fn digest(
        &self,
        image: &ImageName,
        tag: &Tag,
    ) -> Result<Option<Digest>, RegistryError> {
        self.run(image, async |api| api.digest(image, tag).await)
            .await
    }

    /// Whether the registry serves the manifest or index of `digest`. Costs a HEAD, which
    /// registries do not count as a pull.
    ///
    /// # Errors
    /// Where the registry cannot be reached, or serves something else.
    pub async fn serves(&self, image: &ImageName, digest: &Digest) -> Result<bool, RegistryError> {
        self.run(image, async |api| api.serves(image, digest).await)
            .await
    }

    /// The image manifest of each platform of `digest`, those of indexes within an
    /// index too. All bytes are checked against their digests.
    ///
    /// # Errors
    /// Where the registry cannot be reached, has nothing of that digest, or sends
    /// something that has another one or is no manifest.
    pub async fn platforms(
        &self,
        image: &ImageName,
        digest: &Digest,
    ) -> Result<IndexPlatforms, RegistryError> {
        self.run(image, async |api| api.platforms(image, digest).await)
            .await
    }

    /// The layers, annotations and labels of the image of the manifest `digest`. Costs a pull
    /// and a blob.
    ///
    /// # Errors
    /// Where the registry cannot be reached, has nothing of that digest, or sends
    /// something that has another one or is no image.
    pub async fn image_content(
        &self,
        image: &ImageName,
        digest: &Digest,
    ) -> Result<ImageContent, RegistryError> {
        self.run(image, async |api| api.image_content(image, digest).await)
            .await
    }

    /// The bytes of the manifest or index of `digest`, checked against it: at most
    /// 4 MiB.
    ///
    /// # Errors
    /// Where the registry cannot be reached, has nothing of that digest, or sends
    /// something that has another one.
    pub async fn manifest(
        &self,
        image: &ImageName,
        digest: &Digest,
    ) -> Result<Vec<u8>, RegistryError> {
        self.run(image, async |api| api.manifest(image, digest).await)
            .await
    }

    /// The signatures of `digest`: bundles that refer to it, and those of cosign's `.sig`
    /// tag. At most 64, each of at most 1 MiB. What cannot be read is in the result too.
    pub async fn signatures(&self, image: &ImageName, digest: &Digest) -> Signatures {
        let signatures = self.run(image, async |api| Ok(api.signatures(image, digest).await));
        signatures.await.unwrap_or_else(|error| Signatures {
            failure: Some(error),
            ..Signatures::default()
        })
    }

    /// The blob of `digest`, as a stream of chunks. `size` is its size in bytes, from
    /// the descriptor in a manifest; `None` takes the size that the registry declares.
    ///
    /// # Errors
    /// Where the registry cannot be reached, has nothing of that digest, or declares
    /// another size, or none where `size` is `None`. What is wrong with the content,
    /// [`Blob::chunk`] reports.
    pub async fn blob(
        &self,
        image: &ImageName,
        digest: &Digest,
        size: Option<u64>,
    ) -> Result<Blob<'_>, RegistryError> {
        Blob::open(self, image, digest, size).await
    }

    /// The blob of `digest` from byte `offset` on.
    pub(super) async fn blob_part(
        &self,
        image: &ImageName,
        digest: &Digest,
        offset: u64,
    ) -> Result<BlobPart, RegistryError> {
        self.run(image, async |api| api.blob(image, digest, offset).await)
            .await
    }

    /// Retries of a failed request.
    pub(super) fn retries(&self) -> u32 {
        self.options.retries
    }

    /// Runs `verb` of the registry of `image`.
    async fn run<T>(
        &self,
        image: &ImageName,
        verb: impl AsyncFnOnce(&Api) -> Result<T, Cause>,
    ) -> Result<T, RegistryError> {
        let registry = self.registry(image.registry());
        let connect = || self.connect(image, registry.deadline);
        let result = match registry.api.get_or_try_init(connect).await {
            Ok(api) => verb(api).await,
            Err(cause) => Err(cause),
        };
        result.map_err(|cause| cause.of(image))
    }

    fn registry(&self, name: &str) -> Arc<Registry> {
        let mut registries = lock(&self.registries);
        let new = || {
            Arc::new(Registry {
                deadline: Deadline::after(self.options.deadline),
                api: OnceCell::new(),
            })
        };
        Arc::clone(registries.entry(name.to_owned()).or_insert_with(new))
    }

    async fn connect(&self, image: &ImageName, deadline: Deadline) -> Result<Api, Cause> {
        let name = image.registry();
        let insecure = &self.options.insecure_registries;
        let settings = Settings {
            jobs: self.options.jobs.get(),
            retries: self.options.retries,
            may_be_http: is_loopback_registry(name) || insecure.contains(name),
        };
        let network = Arc::clone(&self.network);
        let credentials = Arc::clone(&self.credentials);
        let expected = lock(&self.expected).remove(name).unwrap_or_default();
        Api::connect(image, settings, deadline, network, credentials, expected).await
    }
}
