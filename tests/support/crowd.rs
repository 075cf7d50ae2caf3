//! A simulated registry of thousands of images in this process, with configurable
//! latency and faults. It records its responses, so that a test can compare results
//! with them.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use super::fake::{INDEX, digest_of, index};
use super::server::{FakeResponse, ReceivedRequest, serve};

/// The configuration of a simulated registry.
#[derive(Debug, Clone, Copy)]
pub struct Simulation {
    pub images: usize,
    /// Tags of each image: `1.0.0`, `1.1.0` and so on.
    pub tags: usize,
    /// The delay of each response.
    pub latency: Duration,
    /// Whether one response in five is a fault.
    pub is_faulty: bool,
}

/// A fault. A retry succeeds after the transient ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    TooMany,
    TooManyFor1s,
    ServerError,
    Unavailable,
    Slow,
    CutOff,
    Unauthorized,
    Forbidden,
    NotFound,
    WrongContent,
    WrongMediaType,
    EndlessPages,
    HostileTags,
    Huge,
    RedirectLoop,
    RedirectAway,
}

impl Fault {
    const TRANSIENT: [Self; 6] = [
        Self::TooMany,
        Self::TooManyFor1s,
        Self::ServerError,
        Self::Unavailable,
        Self::Slow,
        Self::CutOff,
    ];
    const PERMANENT: [Self; 10] = [
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::WrongContent,
        Self::WrongMediaType,
        Self::EndlessPages,
        Self::HostileTags,
        Self::Huge,
        Self::RedirectLoop,
        Self::RedirectAway,
    ];
}

/// A running simulated registry: its content, and what it has served.
pub struct SimulatedRegistry {
    address: OnceLock<SocketAddr>,
    config: Simulation,
    /// The seed of the faults.
    seed: u64,
    /// The index of each digest, with its image and its tag.
    contents: HashMap<String, (usize, usize, String)>,
    digests: Vec<Vec<String>>,
    /// The number of requests for each path.
    attempts: Mutex<HashMap<String, usize>>,
    /// The requests that got a permanent fault, such as `GET /v2/org/app000001/tags/list`.
    permanent_faults: Mutex<BTreeSet<String>>,
    lists: AtomicUsize,
    heads: AtomicUsize,
    gets: AtomicUsize,
    faults: AtomicUsize,
}

impl Simulation {
    /// Starts it on loopback.
    pub fn serve(self) -> Arc<SimulatedRegistry> {
        let mut contents = HashMap::new();
        let mut digests = Vec::new();
        for image in 0..self.images {
            let tags = 0..self.tags;
            digests.push(
                tags.map(|tag| {
                    let content = content(image, tag);
                    let digest = digest_of(&content);
                    contents.insert(digest.clone(), (image, tag, content));
                    digest
                })
                .collect(),
            );
        }
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let served = Arc::new(SimulatedRegistry {
            address: OnceLock::new(),
            config: self,
            seed,
            contents,
            digests,
            attempts: Mutex::default(),
            permanent_faults: Mutex::default(),
            lists: AtomicUsize::default(),
            heads: AtomicUsize::default(),
            gets: AtomicUsize::default(),
            faults: AtomicUsize::default(),
        });
        let state = Arc::clone(&served);
        let address = serve(move |request| state.answer(request));
        served.address.set(address).unwrap();
        served
    }
}

/// An index of two platforms, different for each tag.
fn content(image: usize, tag: usize) -> String {
    let platforms = [("linux", "amd64"), ("linux", "arm64")];
    let index = index(&platforms);
    let [amd64, arm64] = ["amd64", "arm64"].map(digest_of);
    let of_tag = |platform: &str| digest_of(&format!("{image} {tag} {platform}"));
    index
        .replace(&amd64, &of_tag("amd64"))
        .replace(&arm64, &of_tag("arm64"))
}

impl SimulatedRegistry {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        *self.address.get().unwrap()
    }

    /// The name of an image.
    pub fn image(&self, number: usize) -> String {
        format!("{}/org/app{number:06}", self.address())
    }

    /// The images.json that tracks every tag of every image.
    pub fn images_json(&self) -> String {
        let images = (0..self.config.images).map(|number| {
            serde_json::json!({
                "image": self.image(number),
                "strategies": { "major-minor-patch": true },
                "keep": self.config.tags,
            })
        });
        serde_json::Value::Array(images.collect()).to_string()
    }

    /// The tag with this number.
    pub fn tag(number: usize) -> String {
        format!("1.{number}.0")
    }

    /// The digest that a tag really points to.
    pub fn digest(&self, image: usize, tag: usize) -> &str {
        &self.digests[image][tag]
    }

    /// Whether a request that a pin needs got a permanent fault.
    pub fn has_permanent_fault(&self, image: usize, tag: usize) -> bool {
        let permanent_faults = self.permanent_faults.lock().unwrap();
        let repository = format!("/v2/org/app{image:06}");
        let of_tag = Self::tag(tag);
        let digest = self.digest(image, tag);
        [
            format!("GET {repository}/tags/list"),
            format!("HEAD {repository}/manifests/{of_tag}"),
            format!("GET {repository}/manifests/{of_tag}"),
            format!("GET {repository}/manifests/{digest}"),
        ]
        .iter()
        .any(|path| permanent_faults.contains(path))
    }

    /// The number of lists, HEADs and GETs since the last call.
    pub fn take_requests(&self) -> [usize; 3] {
        [&self.lists, &self.heads, &self.gets].map(|count| count.swap(0, Ordering::Relaxed))
    }

    /// The number of faults so far.
    pub fn faults(&self) -> usize {
        self.faults.load(Ordering::Relaxed)
    }

    /// The fault for this attempt, if any, derived from the seed. From the fourth attempt
    /// on, a request gets no fault.
    fn fault(&self, request: &str) -> Option<Fault> {
        if !self.config.is_faulty {
            return None;
        }
        let mut attempts = self.attempts.lock().unwrap();
        let tries = attempts.entry(request.to_owned()).or_default();
        *tries += 1;
        let hash = digest_of(&format!("{} {request} {tries}", self.seed));
        let number = |at: usize| usize::from_str_radix(&hash[at..at + 4], 16).unwrap();
        if number(10) % 5 != 0 || *tries > 3 {
            return None;
        }
        // Three in four are transient.
        let fault = if number(14) % 4 != 0 {
            Fault::TRANSIENT[number(18) % Fault::TRANSIENT.len()]
        } else {
            Fault::PERMANENT[number(18) % Fault::PERMANENT.len()]
        };
        let is_list = request.ends_with("/tags/list");
        let is_get = request.starts_with("GET ");
        let fits = match fault {
            Fault::EndlessPages | Fault::HostileTags => is_list,
            Fault::WrongContent => is_get && !is_list,
            Fault::WrongMediaType | Fault::Huge | Fault::CutOff => is_get,
            _ => true,
        };
        fits.then_some(fault)
    }
}

impl SimulatedRegistry {
    /// The response to a request.
    pub fn answer(&self, request: &ReceivedRequest) -> FakeResponse {
        let latency = self.config.latency;
        let Some(rest) = request.path.strip_prefix("/v2/org/app") else {
            return FakeResponse::status(200).after(latency);
        };
        let (image, end) = rest.split_once('/').unwrap_or_default();
        let image: usize = image.parse().unwrap_or(usize::MAX);
        let count = match (request.method.as_str(), end) {
            ("HEAD", _) => &self.heads,
            (_, "tags/list") => &self.lists,
            _ => &self.gets,
        };
        count.fetch_add(1, Ordering::Relaxed);
        let without_fault = self
            .without_fault(&request.method, image, end)
            .after(latency);
        let name = format!("{} {}", request.method, request.path);
        let Some(fault) = self.fault(&name) else {
            return without_fault;
        };
        self.faults.fetch_add(1, Ordering::Relaxed);
        if Fault::PERMANENT.contains(&fault) && fault != Fault::HostileTags {
            self.permanent_faults.lock().unwrap().insert(name);
        }
        with_fault(fault, without_fault, &request.path)
    }

    fn without_fault(&self, method: &str, image: usize, end: &str) -> FakeResponse {
        if image >= self.config.images {
            return FakeResponse::status(404);
        }
        if end == "tags/list" {
            let tags: Vec<String> = (0..self.config.tags).map(Self::tag).collect();
            let name = format!("org/app{image:06}");
            return FakeResponse::json(&serde_json::json!({ "name": name, "tags": tags }));
        }
        let reference = end.trim_start_matches("manifests/");
        let digest = if self.contents.contains_key(reference) {
            reference
        } else {
            let number = (0..self.config.tags).find(|tag| Self::tag(*tag) == reference);
            match number {
                Some(number) => self.digest(image, number),
                None => return FakeResponse::status(404),
            }
        };
        let answer = FakeResponse::status(200).with_header("docker-content-digest", digest);
        let body = match method {
            "HEAD" => String::new(),
            _ => self.contents[digest].2.clone(),
        };
        answer.with_body(INDEX, body)
    }
}

fn with_fault(fault: Fault, without_fault: FakeResponse, path: &str) -> FakeResponse {
    match fault {
        Fault::TooMany => FakeResponse::status(429),
        Fault::TooManyFor1s => FakeResponse::status(429).with_header("retry-after", "1"),
        Fault::ServerError => FakeResponse::status(500),
        Fault::Unavailable => FakeResponse::status(503),
        Fault::Slow => without_fault.after(Duration::from_millis(500)),
        Fault::CutOff => without_fault.cut_off(),
        Fault::Unauthorized => {
            FakeResponse::status(401).with_header("www-authenticate", "Basic realm=\"x\"")
        }
        Fault::Forbidden => FakeResponse::status(403),
        Fault::NotFound => FakeResponse::status(404),
        // A request for a tag can notice it only by the header.
        Fault::WrongContent => without_fault.with_body(INDEX, content(usize::MAX, 0)),
        Fault::WrongMediaType => FakeResponse::status(200).with_body("text/html", "<html>"),
        Fault::EndlessPages => {
            let list = serde_json::json!({ "name": "x", "tags": ["9.9.9"] });
            FakeResponse::json(&list).with_header("link", &format!("<{path}>; rel=\"next\""))
        }
        Fault::HostileTags => {
            let mut list: serde_json::Value = serde_json::from_str(&without_fault.text()).unwrap();
            let tags = list["tags"].as_array_mut().unwrap();
            tags.extend(["../../etc/passwd", "\u{1b}[2J", "a b", ""].map(Into::into));
            FakeResponse::json(&list)
        }
        Fault::Huge => FakeResponse::status(200).with_body(INDEX, " ".repeat(65 << 20)),
        Fault::RedirectLoop => FakeResponse::status(307).with_header("location", path),
        // Nothing listens at the target.
        Fault::RedirectAway => {
            FakeResponse::status(307).with_header("location", "http://127.0.0.1:1/elsewhere")
        }
    }
}
