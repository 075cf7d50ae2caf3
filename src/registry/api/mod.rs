//! The verbs of one registry (OCI distribution spec, "Endpoints"): tags, digest,
//! manifest, blob, signatures. They check what comes back: sizes, pages, digests.

mod blobs;
mod known;
mod manifests;
mod scheme;
mod signatures;
mod tags;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use tokio::sync::Semaphore;

pub(super) use self::blobs::BlobPart;
use self::known::KnownManifests;
pub use self::tags::TagSet;
use super::auth::{Auth, Credentials};
use super::error::{Cause, Content};
use super::limits::Quota;
use super::redirect::Redirect;
use super::throttle::{Deadline, Throttle};
use super::transport::{Request, Response, Transport};
use crate::reference::ImageName;

/// Large tag lists of one registry that are in memory at once.
const LARGE_LISTS: usize = 4;

/// The layers below the verbs.
type Layers = Throttle<Auth<Redirect<Arc<dyn Transport>>>>;

/// How the registry of a name is reached.
pub(super) struct Settings {
    /// Requests at once.
    pub(super) jobs: usize,
    /// Retries of a request.
    pub(super) retries: u32,
    /// Whether the registry may be reached by plain http, where it has no https.
    pub(super) may_be_http: bool,
}

/// One registry.
pub(super) struct Api {
    layers: Layers,
    base: Url,
    /// Whether the registry supports GET where it does not support HEAD.
    has_no_head: AtomicBool,
    /// Permits for large tag lists.
    large_lists: Arc<Semaphore>,
    /// Manifests that came with the digest of a tag, which need no further request.
    manifests: Mutex<KnownManifests>,
}

impl Api {
    /// Connects the layers to the registry of `image`. `expected` are the images of later
    /// requests.
    ///
    /// # Errors
    /// Where the name makes no URL, or the deadline has passed.
    pub(super) async fn connect(
        image: &ImageName,
        settings: Settings,
        deadline: Deadline,
        network: Arc<dyn Transport>,
        credentials: Arc<Credentials>,
        expected: BTreeSet<ImageName>,
    ) -> Result<Self, Cause> {
        let find = scheme::base_url(image, settings.may_be_http, &network);
        let base = deadline.limit(find).await?;
        let redirect = Redirect::new(network, base.clone());
        let auth = Auth::new(redirect, base.clone(), credentials, expected);
        let mut layers = Throttle::new(auth, settings.jobs, settings.retries, deadline);
        // Where http is allowed, `base_url` has sent a request already.
        if !settings.may_be_http {
            layers = layers.with_first_alone();
        }
        Ok(Self {
            layers,
            base,
            has_no_head: AtomicBool::new(false),
            large_lists: Arc::new(Semaphore::new(LARGE_LISTS)),
            manifests: Mutex::default(),
        })
    }

    /// The pull quota that the registry says is left.
    pub(super) fn quota(&self) -> Option<Quota> {
        self.layers.quota()
    }

    /// How long the registry is paused from now on.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.layers.pause()
    }

    /// The URL of `path` within the repository of `image`.
    fn url(&self, image: &ImageName, path: &str) -> Result<Url, Cause> {
        let path = format!("{}/{path}", image.repository());
        let url = self.base.join(&path);
        url.map_err(|error| Cause::NoUrl(error.to_string()))
    }

    /// Fails if the page after `from` is on another server.
    fn check_page(&self, from: &Url, next: &Url) -> Result<(), Cause> {
        if next.origin() == from.origin() || next.origin() == self.base.origin() {
            return Ok(());
        }
        Err(Cause::ForeignPage { next: next.clone() })
    }

    /// A request for `content` at `url`.
    fn request(
        image: &ImageName,
        content: Content,
        method: Method,
        url: Url,
        accept: &'static str,
    ) -> Request {
        let request = Request::new(image, content, method, url);
        request.with_header(ACCEPT, HeaderValue::from_static(accept))
    }

    /// The response to `request`: a success that is no web page, or `None` for 404.
    async fn send(&self, request: Request) -> Result<Option<Response>, Cause> {
        let content = request.content();
        let is_head = *request.method() == Method::HEAD;
        let response = self.layers.send(request).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let content_type = response.headers().get(CONTENT_TYPE);
        let is_page = content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
        // Some frameworks declare a page for any HEAD, which has no body.
        if is_page && !is_head {
            return Err(Cause::Malformed {
                content,
                reason: "it is a web page; is this a registry?".to_owned(),
            });
        }
        Ok(Some(response))
    }
}
