//! A registry as most on the internet are: over TLS, with bearer tokens, each for the
//! repositories that the client names, and lists in pages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use reqwest::Url;
use serde_json::{Value, json};

use super::shelf::{IMAGES, TAGS};
use super::support::certificate::Certificate;
use super::support::crowd::{SimulatedRegistry, Simulation};
use super::support::latency;
use super::support::server::{FakeResponse, ReceivedRequest, serve_over_tls};

/// Most tags of a page of a list, whatever the client asks for.
pub const PAGE: usize = 5;

/// The number of requests of each kind.
#[derive(Debug, Clone, Copy, Default)]
pub struct Requests {
    pub refused: usize,
    pub tokens: usize,
    pub pages: usize,
    pub others: usize,
}

/// The running registry.
pub struct GuardedRegistry {
    state: Arc<State>,
    /// The certificate of its authority, in PEM.
    pub authority: String,
}

struct State {
    images: Arc<SimulatedRegistry>,
    /// Where clients reach it.
    address: OnceLock<String>,
    /// The repositories of each token.
    tokens: Mutex<BTreeMap<String, BTreeSet<String>>>,
    requests: Mutex<Requests>,
}

impl GuardedRegistry {
    /// Starts it on loopback, at this distance.
    pub fn start(round_trip: Duration) -> Self {
        let simulation = Simulation {
            images: IMAGES,
            tags: TAGS,
            latency: Duration::ZERO,
            is_faulty: false,
        };
        let state = Arc::new(State {
            images: simulation.serve(),
            address: OnceLock::new(),
            tokens: Mutex::default(),
            requests: Mutex::default(),
        });
        let certificate = Certificate::for_host("127.0.0.1");
        let answering = Arc::clone(&state);
        let server = serve_over_tls(certificate.tls(), move |request| answering.answer(request));
        let address = latency::proxy_to(&server.to_string(), round_trip);
        state.address.set(address).unwrap();
        Self {
            state,
            authority: certificate.authority(),
        }
    }

    /// The requests since the last call.
    pub fn take_requests(&self) -> Requests {
        std::mem::take(&mut self.state.requests.lock().unwrap())
    }

    /// Where clients reach it.
    pub fn address(&self) -> &str {
        self.state.address()
    }
}

impl State {
    fn address(&self) -> &str {
        self.address.get().unwrap()
    }

    fn count(&self, of: impl Fn(&mut Requests) -> &mut usize) {
        *of(&mut self.requests.lock().unwrap()) += 1;
    }

    fn answer(&self, request: &ReceivedRequest) -> FakeResponse {
        if request.path == "/token" {
            self.count(|requests| &mut requests.tokens);
            return self.token(request);
        }
        let rest = request.path.strip_prefix("/v2/").unwrap_or_default();
        let end = ["/tags/", "/manifests/"].map(|part| rest.find(part));
        let Some(end) = end.into_iter().flatten().next() else {
            return self.refuse(None);
        };
        let repository = &rest[..end];
        if !self.allows(request.authorization.as_deref(), repository) {
            return self.refuse(Some(repository));
        }
        if rest.ends_with("/tags/list") {
            self.count(|requests| &mut requests.pages);
            return self.page(request);
        }
        self.count(|requests| &mut requests.others);
        self.images.answer(request)
    }

    /// A token for the repositories in the scopes of the request.
    fn token(&self, request: &ReceivedRequest) -> FakeResponse {
        let repositories = parameters(request, "scope")
            .iter()
            .filter_map(|scope| Some(scope.split(':').nth(1)?.to_owned()))
            .collect();
        let mut tokens = self.tokens.lock().unwrap();
        let token = format!("token{}", tokens.len());
        tokens.insert(token.clone(), repositories);
        FakeResponse::json(&json!({ "token": token, "expires_in": 300 }))
    }

    fn allows(&self, authorization: Option<&str>, repository: &str) -> bool {
        let tokens = self.tokens.lock().unwrap();
        let token = authorization.and_then(|header| header.strip_prefix("Bearer "));
        token
            .and_then(|token| tokens.get(token))
            .is_some_and(|repositories| repositories.contains(repository))
    }

    fn refuse(&self, repository: Option<&str>) -> FakeResponse {
        self.count(|requests| &mut requests.refused);
        let mut challenge = format!(
            "Bearer realm=\"https://{}/token\",service=\"bench\"",
            self.address()
        );
        if let Some(repository) = repository {
            write!(challenge, ",scope=\"repository:{repository}:pull\"").unwrap();
        }
        FakeResponse::status(401).with_header("www-authenticate", &challenge)
    }

    /// The page of a list of tags after the parameter `last` (OCI distribution
    /// specification, "Listing Tags").
    fn page(&self, request: &ReceivedRequest) -> FakeResponse {
        let mut body: Value = serde_json::from_str(&self.images.answer(request).text()).unwrap();
        let tags = body["tags"].as_array_mut().unwrap();
        tags.sort_by_key(Value::to_string);
        if let Some(last) = parameters(request, "last").first() {
            tags.retain(|tag| tag.as_str().unwrap() > last.as_str());
        }
        let has_more = tags.len() > PAGE;
        tags.truncate(PAGE);
        let last = tags[tags.len() - 1].as_str().unwrap();
        let link = format!("<{}?n={PAGE}&last={last}>; rel=\"next\"", request.path);
        let response = FakeResponse::json(&body);
        if has_more {
            response.with_header("link", &link)
        } else {
            response
        }
    }
}

/// The values of a parameter of the query.
fn parameters(request: &ReceivedRequest, name: &str) -> Vec<String> {
    let url = Url::parse(&format!("https://registry/?{}", request.query)).unwrap();
    let pairs = url.query_pairs().filter(|(key, _)| key == name);
    pairs.map(|(_, value)| value.into_owned()).collect()
}
