//! One registry: its address, what is remembered of it, and how many requests
//! it is sent at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode, Url};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::access::{Login, Slot};
use super::address::is_loopback_registry;
use super::auth::Challenge;
use super::client::{Options, Shared};
use super::credentials::Credential;
use super::error::RegistryError;
use super::exchange::Followed;
use super::limits::{Quota, retry_after};
use super::pace::{Kind, Recent};
use super::transport::{Failure, FailureKind, Request};
use crate::name::ImageName;

/// A request, as the registry's interface puts it.
pub(super) struct Ask<'a> {
    pub(super) image: &'a ImageName,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) accept: &'a str,
    /// What the answer's body is, for errors.
    pub(super) what: &'static str,
    /// Largest body, in bytes.
    pub(super) limit: usize,
    /// Whether registries with a quota count this one.
    pub(super) is_pull: bool,
}

/// An answer: a success, or that there is no such thing.
pub(super) struct Reply {
    /// Where it came from, behind all redirects.
    pub(super) url: Url,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// What is remembered of one registry during a run.
pub(super) struct Connection {
    pub(super) registry: String,
    pub(super) shared: Arc<Shared>,
    /// The address under which every repository is.
    pub(super) base: OnceCell<Url>,
    permits: Semaphore,
    pub(super) deadline: Instant,
    /// What requests carry, by repository.
    pub(super) slots: Mutex<HashMap<String, Arc<Slot>>>,
    /// How the registry wants to be told who is asking, once it has said so.
    pub(super) challenge: Mutex<Option<Challenge>>,
    pub(super) quota: Mutex<Option<Quota>>,
    pulls_under_way: AtomicU64,
    /// When it may be asked again, as it said.
    pub(super) pause: Mutex<Option<Instant>>,
    /// What has come of requests that are no pulls, and of pulls.
    pub(super) kinds: [Mutex<Kind>; 2],
    pub(super) recent: Recent,
    pub(super) answers: AtomicU64,
    pub(super) successes: AtomicU64,
    /// Logins that have been refused, and are not to be sent again.
    pub(super) refused: Mutex<Vec<Credential>>,
    /// Logins that have opened something.
    pub(super) proven: Mutex<Vec<Credential>>,
    /// Whether the registry answers GET where it does not answer HEAD.
    pub(super) has_no_head: AtomicBool,
}

/// Why one try has no reply.
pub(super) enum Fault {
    /// Another try would end the same.
    Final(RegistryError),
    /// Another try may do better, after the time that the registry names.
    Passing(RegistryError, Option<Duration>),
    /// The registry says that it has been asked too often.
    Limited(RegistryError, Option<Duration>),
}

impl From<RegistryError> for Fault {
    fn from(error: RegistryError) -> Self {
        Self::Final(error)
    }
}

impl Connection {
    /// A connection to the registry that images.json calls `registry`. Its
    /// deadline begins now.
    pub(super) fn new(registry: &str, shared: Arc<Shared>) -> Self {
        let Options { jobs, deadline, .. } = shared.options;
        Self {
            registry: registry.to_owned(),
            shared,
            base: OnceCell::new(),
            permits: Semaphore::new(jobs.get()),
            deadline: Instant::now() + deadline,
            slots: Mutex::default(),
            challenge: Mutex::default(),
            quota: Mutex::default(),
            pulls_under_way: AtomicU64::new(0),
            pause: Mutex::default(),
            kinds: Default::default(),
            recent: Recent::default(),
            answers: AtomicU64::new(0),
            successes: AtomicU64::new(0),
            refused: Mutex::default(),
            proven: Mutex::default(),
            has_no_head: AtomicBool::new(false),
        }
    }

    /// The pulls the registry says are left.
    pub(super) fn quota(&self) -> Option<Quota> {
        *lock(&self.quota)
    }

    /// The address of `end` within the repository of `image`. As long as nobody
    /// knows what a registry on loopback speaks, that is one by plain http.
    pub(super) async fn url(&self, image: &ImageName, end: &str) -> Result<Url, RegistryError> {
        let base = if self.may_be_asked_early() {
            self.address("http")?
        } else {
            let base = timeout_at(self.deadline, self.base()).await;
            base.map_err(|_| self.late())??.clone()
        };
        let path = format!("{}/{end}", image.repository());
        base.join(&path)
            .map_err(|error| RegistryError::no_address(image.as_str(), &error.to_string()))
    }

    /// Whether the registry is asked by plain http while it is looked for https: it
    /// is on loopback, where nobody listens in.
    pub(super) fn may_be_asked_early(&self) -> bool {
        self.base.get().is_none() && is_loopback_registry(&self.registry)
    }

    fn address(&self, scheme: &str) -> Result<Url, RegistryError> {
        Url::parse(&api(scheme, &self.registry))
            .map_err(|error| RegistryError::no_address(&self.registry, &error.to_string()))
    }

    /// Whether `url` is of this registry, down to scheme and port.
    pub(super) fn serves(&self, url: &Url) -> bool {
        let base = self.base.get();
        base.is_some_and(|base| url.origin() == base.origin())
    }

    /// Asks, as often as the options allow, until there is a reply.
    pub(super) async fn ask(&self, ask: &Ask<'_>) -> Result<Reply, RegistryError> {
        let reply = timeout_at(self.deadline, self.ask_again(ask)).await;
        reply.unwrap_or_else(|_| Err(self.late()))
    }

    pub(super) async fn ask_once(&self, ask: &Ask<'_>) -> Result<Reply, Fault> {
        // Closed by no one, so that a permit always comes.
        let _permit = self.permits.acquire().await.ok();
        // Many wait for a permit, and need no room yet for what comes behind it.
        Box::pin(self.ask_permitted(ask)).await
    }

    async fn ask_permitted(&self, ask: &Ask<'_>) -> Result<Reply, Fault> {
        self.check_given_up(ask)?;
        self.wait_for_pause().await;
        self.check_given_up(ask)?;
        let _pull = if ask.is_pull {
            Some(self.take_pull()?)
        } else {
            None
        };
        let Followed {
            mut response,
            url,
            login,
        } = self.follow(ask).await?;
        let status = response.status;
        self.recent.add(status == StatusCode::TOO_MANY_REQUESTS);
        if status.is_success() || status == StatusCode::NOT_FOUND {
            let body = if status.is_success() {
                self.read(ask, &mut response).await?
            } else {
                Vec::new()
            };
            self.successes.fetch_add(1, Ordering::Relaxed);
            if let Login::Used(credential) = login {
                let mut proven = lock(&self.proven);
                if !proven.contains(&credential) {
                    proven.push(credential);
                }
            }
            return Ok(Reply {
                status,
                url,
                headers: response.headers,
                body,
            });
        }
        let said = self.reason(&mut response).await;
        let image = ask.image.clone();
        let wait = retry_after(&response.headers, SystemTime::now());
        let status_error = |image| RegistryError::Status {
            image,
            code: status.as_u16(),
            status: format!("{status}{said}"),
        };
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let reason = format!("it answers {status}{said}{login}");
                Fault::Final(RegistryError::denied(&image, &reason))
            }
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
                Fault::Final(RegistryError::NoSuchMethod {
                    image,
                    method: ask.method.clone(),
                })
            }
            StatusCode::TOO_MANY_REQUESTS => {
                let registry = self.registry.clone();
                Fault::Limited(RegistryError::limited(registry, &said, wait), wait)
            }
            StatusCode::REQUEST_TIMEOUT => Fault::Passing(status_error(image), wait),
            status if status.is_server_error() => Fault::Passing(status_error(image), wait),
            _ => Fault::Final(status_error(image)),
        })
    }

    /// The address of the registry's interface. Where plain http is allowed,
    /// https is tried first: nothing else tells a registry that has it.
    pub(super) async fn base(&self) -> Result<&Url, RegistryError> {
        let insecure = &self.shared.options.insecure_registries;
        let may_be_plain =
            is_loopback_registry(&self.registry) || insecure.contains(&self.registry);
        self.base
            .get_or_try_init(|| async {
                let secure = self.address("https")?;
                if !may_be_plain {
                    return Ok(secure);
                }
                let probe = Request {
                    route: self.route(&secure, true),
                    method: Method::GET,
                    url: secure.clone(),
                    headers: HeaderMap::new(),
                    form: None,
                };
                match self.shared.transport.send(probe).await {
                    // What is wrong with a certificate is told by the request that follows.
                    Ok(_)
                    | Err(Failure {
                        kind: FailureKind::Certificate | FailureKind::UnknownAuthority,
                        ..
                    }) => Ok(secure),
                    Err(_) => self.address("http"),
                }
            })
            .await
    }

    fn take_pull(&self) -> Result<Pull<'_>, RegistryError> {
        let under_way = self.pulls_under_way.fetch_add(1, Ordering::Relaxed);
        let pull = Pull(&self.pulls_under_way);
        match self.quota() {
            Some(mut quota) if !quota.allows_a_pull(under_way) => {
                // Those under way are as good as spent.
                quota.remaining = quota.remaining.saturating_sub(under_way);
                Err(RegistryError::QuotaSpent {
                    registry: self.registry.clone(),
                    quota,
                })
            }
            _ => Ok(pull),
        }
    }

    pub(super) fn unreachable(&self, host: &str, failure: &Failure) -> Fault {
        let error = RegistryError::unreachable(&self.registry, host, failure);
        match failure.kind {
            FailureKind::Passing => Fault::Passing(error, None),
            _ => Fault::Final(error),
        }
    }

    fn late(&self) -> RegistryError {
        RegistryError::Late {
            registry: self.registry.clone(),
            seconds: self.shared.options.deadline.as_secs(),
        }
    }
}

/// A pull that is under way, until dropped.
struct Pull<'a>(&'a AtomicU64);

impl Drop for Pull<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The URL under which the tag list and the manifests of `image` are. On loopback it
/// is the one by plain http, since a registry there may have no TLS.
#[cfg(feature = "resolve")]
pub fn repository_url(image: &ImageName) -> String {
    let scheme = if is_loopback_registry(image.registry()) {
        "http"
    } else {
        "https"
    };
    let api = api(scheme, image.registry());
    format!("{api}{}/", image.repository())
}

/// The URL under which the manifests of `image` are, likewise.
#[cfg(feature = "resolve")]
pub fn manifests_url(image: &ImageName) -> String {
    repository_url(image) + "manifests/"
}

/// The address of a registry's interface.
fn api(scheme: &str, registry: &str) -> String {
    let host = match registry {
        // Docker Hub is served elsewhere than its images' names say.
        "docker.io" => "registry-1.docker.io",
        other => other,
    };
    format!("{scheme}://{host}/v2/")
}
