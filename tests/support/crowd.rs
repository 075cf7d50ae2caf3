//! A registry of thousands of images in this process, as slow and as faulty as it
//! is told to be. It knows what it has served, so that others can be checked by it.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use super::fake::{INDEX, digest_of, index};
use super::server::{Answer, Asked, serve};

/// How many images there are and how they answer.
#[derive(Debug, Clone, Copy)]
pub struct Crowd {
    pub images: usize,
    /// Tags of each image: `1.0.0`, `1.1.0` and so on.
    pub tags: usize,
    /// How long each answer takes.
    pub latency: Duration,
    /// Whether one answer in five is a fault.
    pub is_faulty: bool,
}

/// A fault. A retry gets past some of them.
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
    const PASSING: [Self; 6] = [
        Self::TooMany,
        Self::TooManyFor1s,
        Self::ServerError,
        Self::Unavailable,
        Self::Slow,
        Self::CutOff,
    ];
    const LASTING: [Self; 10] = [
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

/// What a crowd has and has done.
pub struct Served {
    address: OnceLock<SocketAddr>,
    crowd: Crowd,
    /// Decides the faults.
    seed: u64,
    /// The index of each digest, with its image and its tag.
    contents: HashMap<String, (usize, usize, String)>,
    digests: Vec<Vec<String>>,
    /// The number of requests for each path.
    asked: Mutex<HashMap<String, usize>>,
    /// What cannot be had of it, by path.
    spoilt: Mutex<BTreeSet<String>>,
    lists: AtomicUsize,
    heads: AtomicUsize,
    gets: AtomicUsize,
    faults: AtomicUsize,
}

impl Crowd {
    /// Starts it on loopback.
    pub fn serve(self) -> Arc<Served> {
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
        let served = Arc::new(Served {
            address: OnceLock::new(),
            crowd: self,
            seed,
            contents,
            digests,
            asked: Mutex::default(),
            spoilt: Mutex::default(),
            lists: AtomicUsize::default(),
            heads: AtomicUsize::default(),
            gets: AtomicUsize::default(),
            faults: AtomicUsize::default(),
        });
        let state = Arc::clone(&served);
        let address = serve(move |asked| state.answer(asked));
        served.address.set(address).unwrap();
        served
    }
}

/// An index of two platforms, which is no other tag's.
fn content(image: usize, tag: usize) -> String {
    let platforms = [("linux", "amd64"), ("linux", "arm64")];
    let index = index(&platforms);
    let [amd64, arm64] = ["amd64", "arm64"].map(digest_of);
    let of_tag = |platform: &str| digest_of(&format!("{image} {tag} {platform}"));
    index
        .replace(&amd64, &of_tag("amd64"))
        .replace(&arm64, &of_tag("arm64"))
}

impl Served {
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
        let images = (0..self.crowd.images).map(|number| {
            serde_json::json!({
                "image": self.image(number),
                "strategies": { "major-minor-patch": true },
                "keep": self.crowd.tags,
            })
        });
        serde_json::Value::Array(images.collect()).to_string()
    }

    /// The tag with this number.
    pub fn tag(number: usize) -> String {
        format!("1.{number}.0")
    }

    /// What a tag truly points to.
    pub fn digest(&self, image: usize, tag: usize) -> &str {
        &self.digests[image][tag]
    }

    /// Whether something that a pin needs was refused for good.
    pub fn is_spoilt(&self, image: usize, tag: usize) -> bool {
        let spoilt = self.spoilt.lock().unwrap();
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
        .any(|path| spoilt.contains(path))
    }

    /// Lists, HEADs and GETs so far; and begins to count anew.
    pub fn take_requests(&self) -> [usize; 3] {
        [&self.lists, &self.heads, &self.gets].map(|count| count.swap(0, Ordering::Relaxed))
    }

    /// Answers so far that were faults.
    pub fn faults(&self) -> usize {
        self.faults.load(Ordering::Relaxed)
    }

    /// The fault that is due, if one is, by the seed. A request that is repeated is
    /// answered in the end, unless it is spoilt for good.
    fn fault(&self, request: &str) -> Option<Fault> {
        if !self.crowd.is_faulty {
            return None;
        }
        let mut asked = self.asked.lock().unwrap();
        let tries = asked.entry(request.to_owned()).or_default();
        *tries += 1;
        let hash = digest_of(&format!("{} {request} {tries}", self.seed));
        let number = |at: usize| usize::from_str_radix(&hash[at..at + 4], 16).unwrap();
        if number(10) % 5 != 0 || *tries > 3 {
            return None;
        }
        // Three in four are over the next time.
        let fault = if number(14) % 4 != 0 {
            Fault::PASSING[number(18) % Fault::PASSING.len()]
        } else {
            Fault::LASTING[number(18) % Fault::LASTING.len()]
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

impl Served {
    fn answer(&self, asked: &Asked) -> Answer {
        let latency = self.crowd.latency;
        let Some(rest) = asked.path.strip_prefix("/v2/org/app") else {
            return Answer::status(200).after(latency);
        };
        let (image, end) = rest.split_once('/').unwrap_or_default();
        let image: usize = image.parse().unwrap_or(usize::MAX);
        let count = match (asked.method.as_str(), end) {
            ("HEAD", _) => &self.heads,
            (_, "tags/list") => &self.lists,
            _ => &self.gets,
        };
        count.fetch_add(1, Ordering::Relaxed);
        let good = self.good(&asked.method, image, end).after(latency);
        let name = format!("{} {}", asked.method, asked.path);
        let Some(fault) = self.fault(&name) else {
            return good;
        };
        self.faults.fetch_add(1, Ordering::Relaxed);
        if Fault::LASTING.contains(&fault) && fault != Fault::HostileTags {
            self.spoilt.lock().unwrap().insert(name);
        }
        spoil(fault, good, &asked.path)
    }

    fn good(&self, method: &str, image: usize, end: &str) -> Answer {
        if image >= self.crowd.images {
            return Answer::status(404);
        }
        if end == "tags/list" {
            let tags: Vec<String> = (0..self.crowd.tags).map(Self::tag).collect();
            let name = format!("org/app{image:06}");
            return Answer::json(&serde_json::json!({ "name": name, "tags": tags }));
        }
        let reference = end.trim_start_matches("manifests/");
        let digest = if self.contents.contains_key(reference) {
            reference
        } else {
            let number = (0..self.crowd.tags).find(|tag| Self::tag(*tag) == reference);
            match number {
                Some(number) => self.digest(image, number),
                None => return Answer::status(404),
            }
        };
        let answer = Answer::status(200).with_header("docker-content-digest", digest);
        let body = match method {
            "HEAD" => String::new(),
            _ => self.contents[digest].2.clone(),
        };
        answer.with_body(INDEX, body)
    }
}

fn spoil(fault: Fault, good: Answer, path: &str) -> Answer {
    match fault {
        Fault::TooMany => Answer::status(429),
        Fault::TooManyFor1s => Answer::status(429).with_header("retry-after", "1"),
        Fault::ServerError => Answer::status(500),
        Fault::Unavailable => Answer::status(503),
        Fault::Slow => good.after(Duration::from_millis(500)),
        Fault::CutOff => good.cut_off(),
        Fault::Unauthorized => {
            Answer::status(401).with_header("www-authenticate", "Basic realm=\"x\"")
        }
        Fault::Forbidden => Answer::status(403),
        Fault::NotFound => Answer::status(404),
        Fault::WrongContent => Answer::status(200).with_body(INDEX, content(usize::MAX, 0)),
        Fault::WrongMediaType => Answer::status(200).with_body("text/html", "<html>"),
        Fault::EndlessPages => {
            let list = serde_json::json!({ "name": "x", "tags": ["9.9.9"] });
            Answer::json(&list).with_header("link", &format!("<{path}>; rel=\"next\""))
        }
        Fault::HostileTags => {
            let mut list: serde_json::Value = serde_json::from_str(&good.text()).unwrap();
            let tags = list["tags"].as_array_mut().unwrap();
            tags.extend(["../../etc/passwd", "\u{1b}[2J", "a b", ""].map(Into::into));
            Answer::json(&list)
        }
        Fault::Huge => Answer::status(200).with_body(INDEX, " ".repeat(65 << 20)),
        Fault::RedirectLoop => Answer::status(307).with_header("location", path),
        // Where nobody listens.
        Fault::RedirectAway => {
            Answer::status(307).with_header("location", "http://127.0.0.1:1/elsewhere")
        }
    }
}
