//! A registry in the place of the network: a function from requests to responses,
//! and a record of the requests.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt as _};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, RANGE};
use reqwest::{Method, StatusCode, Url};

use crate::reference::{Algorithm, Digest, ImageName, Tag};
use crate::registry::address::ChosenBy;
use crate::registry::auth::{Credential, Credentials};
use crate::registry::client::{Client, Options};
use crate::registry::error::{Cause, ConnectProblem, RegistryError};
use crate::registry::transport::{Request, Response, Transport};

/// What it answers.
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Body,
    delay: Duration,
}

enum Body {
    Whole(String),
    /// Breaks off after this.
    Cut(String),
    Endless,
    /// No answer at all, ever.
    Never,
    Failure(ConnectProblem),
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::Whole(String::new()),
            delay: Duration::ZERO,
        }
    }

    pub(crate) fn body(body: impl Into<String>) -> Self {
        Self {
            body: Body::Whole(body.into()),
            ..Self::status(200)
        }
    }

    pub(crate) fn tags(tags: &[&str]) -> Self {
        Self::body(serde_json::json!({ "name": "app", "tags": tags }).to_string())
    }

    pub(crate) fn digest(of: &str) -> Self {
        Self::status(200).header("docker-content-digest", digest(of).to_string())
    }

    pub(crate) fn redirect(to: &str) -> Self {
        Self::status(307).header("location", to)
    }

    pub(crate) fn challenge(realm: &str) -> Self {
        let value = format!("Bearer realm=\"{realm}\",service=\"fake\"");
        Self::status(401).header("www-authenticate", value)
    }

    pub(crate) fn endless() -> Self {
        Self {
            body: Body::Endless,
            ..Self::status(200)
        }
    }

    pub(crate) fn cut(body: &str) -> Self {
        Self {
            body: Body::Cut(body.to_owned()),
            ..Self::status(200)
        }
    }

    pub(crate) fn never() -> Self {
        Self {
            body: Body::Never,
            ..Self::status(200)
        }
    }

    pub(in crate::registry) fn failure(problem: ConnectProblem) -> Self {
        Self {
            body: Body::Failure(problem),
            ..Self::status(200)
        }
    }

    /// No connection.
    pub(crate) fn down() -> Self {
        Self::failure(ConnectProblem::Transient)
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn code(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

/// A request that was made.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) authorization: Option<String>,
    pub(crate) form: Option<String>,
    pub(crate) range: Option<String>,
    pub(in crate::registry) chosen_by: ChosenBy,
}

impl Received {
    /// `GET https://r.example/v2/app/tags/list`, without the query.
    pub(crate) fn line(&self) -> String {
        let mut url = self.url.clone();
        url.set_query(None);
        format!("{} {url}", self.method)
    }
}

/// What a registry of these tests does with a request; `at` is the end of its
/// path, and `nth` counts the requests for the same from 0.
pub(crate) type Handler = dyn Fn(&Received, &str, usize) -> Answer + Send + Sync;

#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) answers: Arc<Handler>,
    asked: Arc<Mutex<Vec<Received>>>,
    in_flight: Arc<AtomicUsize>,
    max_in_flight: Arc<AtomicUsize>,
    pub(crate) served: Arc<AtomicUsize>,
}

impl Fake {
    pub(crate) fn new(
        answers: impl Fn(&Received, &str, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self {
            answers: Arc::new(answers),
            asked: Arc::default(),
            in_flight: Arc::default(),
            max_in_flight: Arc::default(),
            served: Arc::default(),
        }
    }

    /// A registry that has these manifests, by their digests.
    pub(crate) fn holding(manifests: Vec<String>) -> Self {
        Self::new(move |asked, _, _| {
            let path = asked.url.path();
            let found = manifests
                .iter()
                .find(|body| path.ends_with(&digest(body).to_string()));
            found.map_or(Answer::status(404), Answer::body)
        })
    }

    pub(crate) fn client(&self) -> Client {
        self.client_with(Options::default(), Credentials::default())
    }

    pub(crate) fn client_by(&self, options: Options) -> Client {
        self.client_with(options, Credentials::default())
    }

    pub(in crate::registry) fn client_as(&self, registry: &str, credential: Credential) -> Client {
        let credentials = Credentials::of([(registry, credential)]);
        self.client_with(Options::default(), credentials)
    }

    pub(in crate::registry) fn client_with(
        &self,
        options: Options,
        credentials: Credentials,
    ) -> Client {
        Client::over(Arc::new(self.clone()), credentials, options)
    }

    pub(crate) fn requests(&self) -> Vec<Received> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.requests().iter().map(Received::line).collect()
    }

    /// Every host that was sent something to log in with.
    pub(crate) fn hosts_with_credentials(&self) -> Vec<String> {
        let asked = self.requests();
        let told = asked
            .iter()
            .filter(|asked| asked.authorization.is_some() || asked.form.is_some());
        let mut hosts: Vec<String> = told
            .map(|asked| asked.url.origin().ascii_serialization())
            .collect();
        hosts.dedup();
        hosts
    }

    pub(crate) fn max_in_flight(&self) -> usize {
        self.max_in_flight.load(Ordering::SeqCst)
    }
}

impl Transport for Fake {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Cause>> {
        let authorization = request.headers().get(AUTHORIZATION);
        let asked = Received {
            method: request.method().clone(),
            authorization: authorization.map(|value| value.to_str().unwrap().to_owned()),
            form: request.form().map(|form| format!("{form:?}")),
            range: request
                .headers()
                .get(RANGE)
                .map(|range| range.to_str().unwrap().to_owned()),
            chosen_by: request.chosen_by(),
            url: request.url().clone(),
        };
        let said = {
            let mut before = self.asked.lock().unwrap();
            let same = before
                .iter()
                .filter(|one| one.url == asked.url && one.method == asked.method)
                .count();
            let path = asked.url.path();
            let at = path.strip_prefix("/v2/").unwrap_or(path).to_owned();
            before.push(asked.clone());
            (self.answers)(&asked, &at, same)
        };
        let in_flight = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.max_in_flight.fetch_max(in_flight, Ordering::SeqCst);
        Box::pin(async move {
            tokio::time::sleep(said.delay).await;
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
            let mut headers = HeaderMap::new();
            for (name, value) in said.headers {
                headers.append(HeaderName::from_static(name), value.parse().unwrap());
            }
            let served = Arc::clone(&self.served);
            let host = asked.url.host_str().unwrap_or_default().to_owned();
            let failure = |problem| Cause::Unreachable {
                host,
                problem,
                message: "the test says so".to_owned(),
            };
            let body = match said.body {
                Body::Whole(body) => stream::iter([Ok(Bytes::from(body))]).boxed(),
                Body::Cut(body) => {
                    let broken = failure(ConnectProblem::Transient);
                    stream::iter([Ok(Bytes::from(body)), Err(broken)]).boxed()
                }
                Body::Endless => stream::repeat_with(move || {
                    served.fetch_add(1 << 20, Ordering::SeqCst);
                    Ok(Bytes::from(vec![b' '; 1 << 20]))
                })
                .boxed(),
                Body::Never => std::future::pending().await,
                Body::Failure(problem) => return Err(failure(problem)),
            };
            let status = StatusCode::from_u16(said.status).unwrap();
            Ok(Response::new(status, asked.url, headers, body))
        })
    }
}

pub(crate) fn digest(of: &str) -> Digest {
    Digest::of(Algorithm::Sha256, of.as_bytes())
}

pub(crate) fn image(name: &str) -> ImageName {
    name.parse().unwrap()
}

/// Why there is no list of the tags of `r.example/app`.
pub(crate) async fn refused(client: &Client) -> RegistryError {
    client.tags(&image("r.example/app")).await.unwrap_err()
}

pub(crate) fn tag(name: &str) -> Tag {
    name.parse().unwrap()
}

/// The text of an index; an entry is a platform, or `index`, and a digest.
pub(crate) fn index(entries: &[(&str, &Digest)]) -> String {
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
    let entry = |(platform, digest): &(&str, &Digest)| match platform.split_once('/') {
        Some((os, architecture)) => serde_json::json!({
            "mediaType": IMAGE, "size": 1, "digest": digest.to_string(),
            "platform": { "os": os, "architecture": architecture },
        }),
        None => {
            serde_json::json!({ "mediaType": INDEX, "size": 1, "digest": digest.to_string() })
        }
    };
    let manifests: Vec<_> = entries.iter().map(entry).collect();
    serde_json::json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests })
        .to_string()
}
