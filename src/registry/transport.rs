//! One exchange over the network: TLS, proxies, names to addresses. Everything
//! above it is the same in the tests, which put their own registry here.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt as _};
use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Method, StatusCode, Url};
use tokio::sync::OnceCell;

use super::error::RegistryError;
use super::names::{Finder, LeadsInwards, Names, check_proxies, proxy_hosts};
use crate::text::Plain;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence within an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const USER_AGENT: &str = concat!("nix-oci-hashes/", env!("CARGO_PKG_VERSION"));

/// How a request is sent on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// To this machine, past any proxy, which could not reach it.
    Loopback,
    /// To a registry that images.json names.
    Home,
    /// To a host that a registry has pointed to. Its name must not lead back
    /// into this machine.
    Away,
}

/// A request as it goes out.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) route: Route,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    /// The fields of a form, sent as the body.
    pub(super) form: Option<Vec<(&'static str, String)>>,
}

/// An answer, whose body comes as it is read.
pub(super) struct Response {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: BoxStream<'static, Result<Bytes, Failure>>,
}

/// No answer.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    /// What the network said.
    pub(super) reason: String,
}

/// Which failures a second try could mend, and which not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// No connection, silence, or an answer that broke off.
    Passing,
    /// The other side speaks no TLS.
    NotTls,
    /// The certificate is of an authority that is not known.
    UnknownAuthority,
    /// The certificate is not good for this server now.
    Certificate,
    /// A name leads into this machine's own network, where it must not.
    Inwards,
    /// There is no such host.
    NoSuchHost,
}

/// What carries requests to registries.
pub(super) trait Transport: Send + Sync {
    /// Sends `request`, follows no redirect, and gives the answer's head.
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Failure>>;
}

/// The real network. Each client reads the system's certificates, which takes some
/// milliseconds; most runs need one or two.
pub(super) struct Network {
    home: reqwest::Client,
    loopback: OnceCell<reqwest::Client>,
    away: OnceCell<reqwest::Client>,
    names: Names,
    certificates: Vec<Certificate>,
}

impl Network {
    pub(super) fn new(names: Names) -> Result<Self, RegistryError> {
        // An error means that a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        check_proxies().map_err(RegistryError::Setup)?;
        let certificates = extra_certificates()?;
        let home = client(Route::Home, names, &certificates);
        Ok(Self {
            home: home.map_err(|error| RegistryError::Setup(innermost(&error)))?,
            loopback: OnceCell::new(),
            away: OnceCell::new(),
            names,
            certificates,
        })
    }

    async fn client(&self, route: Route) -> reqwest::Result<&reqwest::Client> {
        let cell = match route {
            Route::Home => return Ok(&self.home),
            Route::Loopback => &self.loopback,
            Route::Away => &self.away,
        };
        let build = || async { client(route, self.names, &self.certificates) };
        cell.get_or_try_init(build).await
    }
}

fn client(
    route: Route,
    names: Names,
    certificates: &[Certificate],
) -> reqwest::Result<reqwest::Client> {
    let guarded = (route == Route::Away).then(proxy_hosts);
    let builder = reqwest::Client::builder()
        .dns_resolver(Arc::new(Finder { names, guarded }))
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .redirect(Policy::none())
        .tls_certs_merge(certificates.iter().cloned());
    if route == Route::Loopback {
        builder.no_proxy().build()
    } else {
        builder.build()
    }
}

impl Transport for Network {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
        Box::pin(async move {
            let client = self.client(request.route).await;
            let mut builder = client
                .map_err(|error| failure(&error))?
                .request(request.method, request.url)
                .headers(request.headers);
            if let Some(form) = request.form {
                builder = builder.form(&form);
            }
            let response = builder.send().await.map_err(|error| failure(&error))?;
            Ok(Response {
                status: response.status(),
                headers: response.headers().clone(),
                body: response
                    .bytes_stream()
                    .map(|chunk| chunk.map_err(|error| failure(&error)))
                    .boxed(),
            })
        })
    }
}

/// The certificates of `NIX_SSL_CERT_FILE`, which come on top of the system's.
/// `SSL_CERT_FILE` and `SSL_CERT_DIR`, which are read elsewhere, replace those.
fn extra_certificates() -> Result<Vec<Certificate>, RegistryError> {
    const VARIABLE: &str = "NIX_SSL_CERT_FILE";
    /// What Nix sets where there are no certificates.
    const NO_FILE: &str = "/no-cert-file.crt";
    let Some(path) = std::env::var_os(VARIABLE).filter(|path| !path.is_empty() && path != NO_FILE)
    else {
        return Ok(Vec::new());
    };
    let setup = |reason: &str| {
        let file = path.to_string_lossy();
        RegistryError::Setup(format!("{VARIABLE}: {}: {}", Plain(&file), Plain(reason)))
    };
    let bundle = std::fs::read(&path).map_err(|error| setup(&crate::json::plain(&error)))?;
    let certificates = Certificate::from_pem_bundle(&bundle).map_err(|e| setup(&innermost(&e)))?;
    if certificates.is_empty() {
        return Err(setup("it holds no certificate"));
    }
    Ok(certificates)
}

fn failure(error: &reqwest::Error) -> Failure {
    let mut reason = innermost(error);
    let kind = match tls_error(error) {
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)) => {
            FailureKind::UnknownAuthority
        }
        Some(rustls::Error::InvalidCertificate(_)) => FailureKind::Certificate,
        Some(rustls::Error::InvalidMessage(_)) => FailureKind::NotTls,
        _ if reason.contains("Name or service not known") => FailureKind::NoSuchHost,
        _ if causes(error).any(<dyn Error>::is::<LeadsInwards>) => FailureKind::Inwards,
        _ => FailureKind::Passing,
    };
    if error.is_timeout() {
        "it does not answer in time".clone_into(&mut reason);
    }
    Failure { kind, reason }
}

/// An error, what it is from, and so on; an I/O error hides what it is made of.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        let error: &'a (dyn Error + 'static) = *error;
        match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner),
            None => error.source(),
        }
    })
}

/// What TLS said.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// The cause that says most, without the address that the outer ones repeat.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let text = causes(error)
        .last()
        .map(ToString::to_string)
        .unwrap_or_default();
    let text = match text.split_once(" (os error") {
        Some((message, _)) => message.to_lowercase(),
        None => text,
    };
    let known = text.strip_prefix("failed to lookup address information: ");
    Plain(known.unwrap_or(&text)).to_string()
}
