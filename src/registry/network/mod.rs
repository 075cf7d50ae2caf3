//! The bottom layer: requests over the network, by reqwest with rustls.

mod dns;
mod proxies;

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::StreamExt as _;
use reqwest::Certificate;
use reqwest::redirect::Policy;
#[cfg(feature = "signatures")]
use rustls::crypto::aws_lc_rs as cryptography;
#[cfg(not(feature = "signatures"))]
use rustls::crypto::ring as cryptography;
use tokio::sync::OnceCell;

pub use self::dns::Dns;
use self::dns::{DnsError, Resolver};
use super::address::{ChosenBy, is_loopback_url};
use super::error::{Cause, ConnectProblem, SetupError};
use super::transport::{Request, Response, Transport};
use crate::text::Plain;

/// For a connection, with its TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// This machine answers at once, or not at all.
const LOOPBACK_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest silence within a response.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const USER_AGENT: &str = concat!("nix-oci-hashes/", env!("CARGO_PKG_VERSION"));

/// The network. Each client reads the system's certificates, which takes some
/// milliseconds; most runs need one or two.
pub(super) struct Network {
    direct: reqwest::Client,
    loopback: OnceCell<reqwest::Client>,
    guarded: OnceCell<reqwest::Client>,
    dns: Dns,
    certificates: Vec<Certificate>,
}

/// The settings by which a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    /// To a host that the user chose.
    Direct,
    /// To this machine, without a proxy, which could not reach it.
    Loopback,
    /// To a host that a registry chose: refuses private addresses.
    Guarded,
}

impl Route {
    fn of(request: &Request) -> Self {
        if is_loopback_url(request.url()) {
            return Self::Loopback;
        }
        match request.chosen_by() {
            ChosenBy::User => Self::Direct,
            ChosenBy::Registry => Self::Guarded,
        }
    }
}

impl Network {
    /// # Errors
    /// Where a proxy of the environment, or the file of certificates, cannot be used.
    pub(super) fn new(dns: Dns) -> Result<Self, SetupError> {
        // An error means that a provider is installed already, which is as good.
        let _ = cryptography::default_provider().install_default();
        proxies::check()?;
        let certificates = extra_certificates()?;
        let direct = client(Route::Direct, dns, &certificates);
        Ok(Self {
            direct: direct.map_err(|error| SetupError::Http(innermost(&error)))?,
            loopback: OnceCell::new(),
            guarded: OnceCell::new(),
            dns,
            certificates,
        })
    }

    async fn client(&self, route: Route) -> reqwest::Result<&reqwest::Client> {
        let cell = match route {
            Route::Direct => return Ok(&self.direct),
            Route::Loopback => &self.loopback,
            Route::Guarded => &self.guarded,
        };
        let build = || async { client(route, self.dns, &self.certificates) };
        cell.get_or_try_init(build).await
    }

    async fn exchange(&self, request: &Request) -> reqwest::Result<reqwest::Response> {
        let client = self.client(Route::of(request)).await?;
        let builder = client
            .request(request.method().clone(), request.url().clone())
            .headers(request.headers().clone());
        let builder = match request.form() {
            Some(form) => builder.form(form),
            None => builder,
        };
        builder.send().await
    }
}

impl Transport for Network {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Cause>> {
        Box::pin(async move {
            let host = request.url().host_str().unwrap_or_default().to_owned();
            let response = self.exchange(&request).await;
            let response = response.map_err(|error| unreachable(&host, &error))?;
            Ok(Response::new(
                response.status(),
                request.url().clone(),
                response.headers().clone(),
                response
                    .bytes_stream()
                    .map(move |chunk| chunk.map_err(|error| unreachable(&host, &error)))
                    .boxed(),
            ))
        })
    }
}

fn client(
    route: Route,
    dns: Dns,
    certificates: &[Certificate],
) -> reqwest::Result<reqwest::Client> {
    let resolver = match route {
        Route::Guarded => Resolver::guarded(dns, proxies::hosts()),
        Route::Direct | Route::Loopback => Resolver::new(dns),
    };
    let connect_timeout = match route {
        Route::Loopback => LOOPBACK_CONNECT_TIMEOUT,
        Route::Direct | Route::Guarded => CONNECT_TIMEOUT,
    };
    let builder = reqwest::Client::builder()
        .dns_resolver(Arc::new(resolver))
        .user_agent(USER_AGENT)
        .connect_timeout(connect_timeout)
        .read_timeout(READ_TIMEOUT)
        .redirect(Policy::none())
        .tls_certs_merge(certificates.iter().cloned());
    match route {
        Route::Loopback => builder.no_proxy().build(),
        Route::Direct | Route::Guarded => builder.build(),
    }
}

/// The certificates of `NIX_SSL_CERT_FILE`, in addition to the system's.
/// `SSL_CERT_FILE` and `SSL_CERT_DIR`, which rustls reads, replace those.
fn extra_certificates() -> Result<Vec<Certificate>, SetupError> {
    const VARIABLE: &str = "NIX_SSL_CERT_FILE";
    /// What Nix sets where there are no certificates.
    const NO_FILE: &str = "/no-cert-file.crt";
    let Some(path) = std::env::var_os(VARIABLE).filter(|path| !path.is_empty() && path != NO_FILE)
    else {
        return Ok(Vec::new());
    };
    let error = |reason: &str| SetupError::Certificates {
        variable: VARIABLE,
        file: path.to_string_lossy().into_owned(),
        reason: reason.to_owned(),
    };
    let bundle = std::fs::read(&path).map_err(|e| error(&crate::json::plain(&e)))?;
    let certificates = Certificate::from_pem_bundle(&bundle).map_err(|e| error(&innermost(&e)))?;
    if certificates.is_empty() {
        return Err(error("it holds no certificate"));
    }
    Ok(certificates)
}

fn unreachable(host: &str, error: &reqwest::Error) -> Cause {
    use rustls::{CertificateError, Error as TlsError};
    let problem = match (source_of::<TlsError>(error), source_of::<DnsError>(error)) {
        (Some(TlsError::InvalidCertificate(CertificateError::UnknownIssuer)), _) => {
            ConnectProblem::UnknownAuthority
        }
        (Some(TlsError::InvalidCertificate(_)), _) => ConnectProblem::Certificate,
        (Some(TlsError::InvalidMessage(_)), _) => ConnectProblem::NotTls,
        (_, Some(DnsError::NoSuchHost(_))) => ConnectProblem::NoSuchHost,
        (_, Some(DnsError::PrivateAddress(_))) => ConnectProblem::PrivateAddress,
        _ => ConnectProblem::Transient,
    };
    let message = if error.is_timeout() {
        "no answer within the time limit".to_owned()
    } else {
        innermost(error)
    };
    Cause::Unreachable {
        host: host.to_owned(),
        problem,
        message,
    }
}

/// `error`, its source, and so on; `io::Error` hides its source.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
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

/// The first error of type `T` among `error` and its sources.
fn source_of<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    chain(error).find_map(|cause| cause.downcast_ref())
}

/// The innermost source, which says most and does not repeat the URL.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let text = chain(error)
        .last()
        .map(ToString::to_string)
        .unwrap_or_default();
    let text = match text.split_once(" (os error") {
        Some((message, _)) => message.to_lowercase(),
        None => text,
    };
    Plain(&text).to_string()
}
