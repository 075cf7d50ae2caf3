//! A registry of thousands of images in this process, as slow and as faulty as it
//! is told to be. It knows what it has served, so that others can be checked by it.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, LINK, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use super::fake::{INDEX, digest_of, index};

type Body = http_body_util::combinators::BoxBody<Bytes, std::io::Error>;

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

/// A fault, of which some are over when the same is asked again.
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
    pub address: SocketAddr,
    crowd: Crowd,
    /// Decides the faults.
    seed: u64,
    /// The index of each digest, with its image and its tag.
    contents: HashMap<String, (usize, usize, String)>,
    digests: Vec<Vec<String>>,
    /// How often each path was asked for.
    asked: Mutex<HashMap<String, usize>>,
    /// What cannot be had of it, by path.
    spoilt: Mutex<BTreeSet<String>>,
    lists: AtomicUsize,
    heads: AtomicUsize,
    gets: AtomicUsize,
    faults: AtomicUsize,
}

impl Crowd {
    /// Starts it on loopback, in a thread that ends with the process.
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
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let served = Arc::new(Served {
            address: listener.local_addr().unwrap(),
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
        thread::spawn(move || runtime.block_on(accept(listener, state)));
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

async fn accept(listener: TcpListener, served: Arc<Served>) {
    while let Ok((stream, _)) = listener.accept().await {
        let served = Arc::clone(&served);
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let service = service_fn(|request| answer(Arc::clone(&served), request));
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            // Who went away needs no answer.
            let _ = connection.await;
        });
    }
}

impl Served {
    /// The name of an image.
    pub fn image(&self, number: usize) -> String {
        format!("{}/org/app{number:06}", self.address)
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

async fn answer(
    served: Arc<Served>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    tokio::time::sleep(served.crowd.latency).await;
    let name = format!("{method} {path}");
    let Some(rest) = path.strip_prefix("/v2/org/app") else {
        return Ok(empty(StatusCode::OK));
    };
    let (image, asked) = rest.split_once('/').unwrap_or_default();
    let image: usize = image.parse().unwrap_or(usize::MAX);
    let count = match (method == Method::HEAD, asked) {
        (true, _) => &served.heads,
        (false, "tags/list") => &served.lists,
        (false, _) => &served.gets,
    };
    count.fetch_add(1, Ordering::Relaxed);
    let good = served.good(&method, image, asked);
    let Some(fault) = served.fault(&name) else {
        return Ok(good);
    };
    served.faults.fetch_add(1, Ordering::Relaxed);
    if Fault::LASTING.contains(&fault) && fault != Fault::HostileTags {
        served.spoilt.lock().unwrap().insert(name);
    }
    Ok(spoil(fault, good, &path).await)
}

impl Served {
    fn good(&self, method: &Method, image: usize, asked: &str) -> Response<Body> {
        if image >= self.crowd.images {
            return empty(StatusCode::NOT_FOUND);
        }
        if asked == "tags/list" {
            let tags: Vec<String> = (0..self.crowd.tags).map(Self::tag).collect();
            let list = serde_json::json!({ "name": format!("org/app{image:06}"), "tags": tags });
            return full(StatusCode::OK, "application/json", list.to_string());
        }
        let reference = asked.trim_start_matches("manifests/");
        let digest = if self.contents.contains_key(reference) {
            reference
        } else {
            let number = (0..self.crowd.tags).find(|tag| Self::tag(*tag) == reference);
            match number {
                Some(number) => self.digest(image, number),
                None => return empty(StatusCode::NOT_FOUND),
            }
        };
        let body = if method == Method::HEAD {
            String::new()
        } else {
            self.contents[digest].2.clone()
        };
        let mut response = full(StatusCode::OK, INDEX, body);
        let digest = digest.parse().unwrap();
        response
            .headers_mut()
            .insert("docker-content-digest", digest);
        response
    }
}

async fn spoil(fault: Fault, good: Response<Body>, path: &str) -> Response<Body> {
    let with = |status, name, value: &str| {
        let mut response = empty(status);
        response.headers_mut().insert(name, value.parse().unwrap());
        response
    };
    match fault {
        Fault::TooMany => empty(StatusCode::TOO_MANY_REQUESTS),
        Fault::TooManyFor1s => with(StatusCode::TOO_MANY_REQUESTS, RETRY_AFTER, "1"),
        Fault::ServerError => empty(StatusCode::INTERNAL_SERVER_ERROR),
        Fault::Unavailable => empty(StatusCode::SERVICE_UNAVAILABLE),
        Fault::Slow => {
            tokio::time::sleep(Duration::from_millis(500)).await;
            good
        }
        Fault::CutOff => {
            let body = good.into_body().collect().await.unwrap().to_bytes();
            let half = body.slice(..body.len() / 2);
            let broken = std::io::Error::other("cut off");
            let frames = [Ok(Frame::data(half)), Err(broken)];
            let body = StreamBody::new(futures_util::stream::iter(frames));
            Response::new(BodyExt::boxed(body))
        }
        Fault::Unauthorized => with(
            StatusCode::UNAUTHORIZED,
            WWW_AUTHENTICATE,
            "Basic realm=\"x\"",
        ),
        Fault::Forbidden => empty(StatusCode::FORBIDDEN),
        Fault::NotFound => empty(StatusCode::NOT_FOUND),
        Fault::WrongContent => full(StatusCode::OK, INDEX, content(usize::MAX, 0)),
        Fault::WrongMediaType => full(StatusCode::OK, "text/html", "<html>".to_owned()),
        Fault::EndlessPages => {
            let list = serde_json::json!({ "name": "x", "tags": ["9.9.9"] }).to_string();
            let mut response = full(StatusCode::OK, "application/json", list);
            let link = format!("<{path}>; rel=\"next\"");
            response.headers_mut().insert(LINK, link.parse().unwrap());
            response
        }
        Fault::HostileTags => {
            let body = good.into_body().collect().await.unwrap().to_bytes();
            let mut list: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let tags = list["tags"].as_array_mut().unwrap();
            tags.extend(["../../etc/passwd", "\u{1b}[2J", "a b", ""].map(Into::into));
            full(StatusCode::OK, "application/json", list.to_string())
        }
        Fault::Huge => full(StatusCode::OK, INDEX, " ".repeat(65 << 20)),
        Fault::RedirectLoop => with(StatusCode::TEMPORARY_REDIRECT, LOCATION, path),
        Fault::RedirectAway => with(
            StatusCode::TEMPORARY_REDIRECT,
            LOCATION,
            // Where nobody listens.
            "http://127.0.0.1:1/elsewhere",
        ),
    }
}

fn full(status: StatusCode, media_type: &str, body: String) -> Response<Body> {
    let body = Full::from(body).map_err(|never| match never {});
    let mut response = Response::new(BodyExt::boxed(body));
    *response.status_mut() = status;
    let media_type = media_type.parse().unwrap();
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    full(status, "text/plain", String::new())
}
