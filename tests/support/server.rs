//! An HTTP server in this process, on a thread of its own.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderName};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// A response, and how it is sent.
#[derive(Debug, Clone)]
pub struct FakeResponse {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
    delay: Duration,
    is_cut_off: bool,
    is_endless: bool,
}

impl FakeResponse {
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
            delay: Duration::ZERO,
            is_cut_off: false,
            is_endless: false,
        }
    }

    pub fn json(value: &serde_json::Value) -> Self {
        Self::status(200).with_body("application/json", value.to_string())
    }

    #[must_use]
    pub fn with_body(self, media_type: &str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self { body, ..self }.with_header(CONTENT_TYPE.as_str(), media_type)
    }

    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends the response after a delay.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Closes the connection in the middle of the body.
    #[must_use]
    pub fn cut_off(self) -> Self {
        Self {
            is_cut_off: true,
            ..self
        }
    }

    /// Repeats the body for ever.
    #[must_use]
    pub fn endless(self) -> Self {
        Self {
            is_endless: true,
            ..self
        }
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    fn response(self) -> Response<BoxBody<Bytes, io::Error>> {
        let body = if self.is_endless {
            let chunk = self.body.clone();
            let frames = std::iter::repeat_with(move || Ok(Frame::data(chunk.clone())));
            BodyExt::boxed(StreamBody::new(stream::iter(frames)))
        } else if self.is_cut_off {
            let half = self.body.slice(..self.body.len() / 2);
            let frames = stream::iter([Ok(Frame::data(half))]);
            let error = async {
                // The first half is sent before the connection closes.
                tokio::time::sleep(Duration::from_millis(20)).await;
                Err(io::Error::other("the body is cut off"))
            };
            BodyExt::boxed(StreamBody::new(frames.chain(stream::once(error))))
        } else {
            Full::from(self.body)
                .map_err(|never| match never {})
                .boxed()
        };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap();
        for (name, value) in self.headers {
            let name: HeaderName = name.parse().unwrap();
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        response
    }
}

/// The parts of a received request that tests look at.
#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    pub method: String,
    pub path: String,
    pub query: String,
    pub authorization: Option<String>,
    /// The `Range` header.
    pub range: Option<String>,
    pub is_http2: bool,
}

impl ReceivedRequest {
    fn of(request: &Request<Incoming>) -> Self {
        let header = |name: &str| {
            let value = request.headers().get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        Self {
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            authorization: header("authorization"),
            range: header("range"),
            is_http2: request.version() == Version::HTTP_2,
        }
    }
}

/// Starts a server on loopback that responds to each request with `answer`. Returns its
/// address. The server runs until the process ends.
pub fn serve(
    answer: impl Fn(&ReceivedRequest) -> FakeResponse + Send + Sync + 'static,
) -> SocketAddr {
    listen(None, Arc::new(answer))
}

/// The same over TLS, with HTTP/2 where `tls` offers it.
pub fn serve_over_tls(
    tls: ServerConfig,
    answer: impl Fn(&ReceivedRequest) -> FakeResponse + Send + Sync + 'static,
) -> SocketAddr {
    listen(Some(TlsAcceptor::from(Arc::new(tls))), Arc::new(answer))
}

type Answer = dyn Fn(&ReceivedRequest) -> FakeResponse + Send + Sync;

fn listen(tls: Option<TlsAcceptor>, answer: Arc<Answer>) -> SocketAddr {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        runtime.block_on(async {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let answer = Arc::clone(&answer);
                // An error means that the client has closed the connection.
                match tls.clone() {
                    None => tokio::spawn(async move { converse(stream, answer).await.is_ok() }),
                    Some(tls) => tokio::spawn(async move {
                        match tls.accept(stream).await {
                            Ok(stream) => converse(stream, answer).await.is_ok(),
                            Err(_) => false,
                        }
                    }),
                };
            }
        });
    });
    address
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    answer: Arc<Answer>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let service = service_fn(move |request| {
        let answer = answer(&ReceivedRequest::of(&request));
        async move {
            tokio::time::sleep(answer.delay).await;
            Ok::<_, Infallible>(answer.response())
        }
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new());
    server.serve_connection(TokioIo::new(stream), service).await
}
