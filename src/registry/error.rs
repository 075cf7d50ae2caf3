//! What can go wrong with a registry, in words for whoever reads the report.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use super::limits::Quota;
use super::transport::{Failure, FailureKind};
use crate::digest::Digest;
use crate::json::FileError;
use crate::name::ImageName;
use crate::text::{Plain, Quoted};

/// Why a registry gave no usable answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RegistryError {
    /// The HTTP client could not be made.
    #[error("cannot start the HTTP client: {0}; check the proxy and certificate settings")]
    Setup(String),
    /// A file of credentials cannot be read.
    #[error(transparent)]
    Credentials(Arc<FileError>),
    /// There can be no registry or repository of that name.
    #[error("'{name}' is no address: {reason}; check the image's name in images.json")]
    NoAddress {
        /// The name, as images.json has it.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No connection, or it broke.
    #[error("cannot reach {registry}: {reason}; {remedy}")]
    Unreachable {
        /// The registry, as images.json names it.
        registry: String,
        /// What the network said.
        reason: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The service that gives out a registry's tokens gives none.
    #[error("the token service of {registry} answers {reason}; try again later")]
    TokenService {
        /// The registry, as images.json names it.
        registry: String,
        /// What the service said.
        reason: String,
    },
    /// The registry was not done within the time that it is given.
    #[error(
        "{registry} was not done within {seconds} s; try again later, or give it more with --deadline"
    )]
    Late {
        /// The registry, as images.json names it.
        registry: String,
        /// The time it was given.
        seconds: u64,
    },
    /// The registry says that it has been asked too often.
    #[error("{registry} answers 429 Too Many Requests{reason}; try again later, or log in to it")]
    RateLimited {
        /// The registry, as images.json names it.
        registry: String,
        /// What it said.
        reason: String,
    },
    /// What may be pulled is all but used up.
    #[error(
        "{registry} allows {} more pulls within {} hours, which are left to others; try again later, or log in to it",
        quota.remaining, quota.window.div_ceil(3600)
    )]
    QuotaSpent {
        /// The registry, as images.json names it.
        registry: String,
        /// What is left.
        quota: Quota,
    },
    /// The registry does not know the HTTP method.
    #[error("the registry does not answer {method} for {image}; tell the registry's operator")]
    NoSuchMethod {
        /// The image.
        image: ImageName,
        /// The method.
        method: reqwest::Method,
    },
    /// The registry points somewhere that is not followed.
    #[error(
        "a redirect for {image} to {} is not followed: {reason}; tell the registry's operator if it stays so",
        Quoted(to)
    )]
    Redirect {
        /// The image.
        image: ImageName,
        /// Where it points.
        to: String,
        /// Why it is not followed.
        reason: &'static str,
    },
    /// The registry does not know the image.
    #[error("the registry has no image {0}; check its name")]
    NoSuchImage(ImageName),
    /// The registry wants credentials, or hides that it has no such image.
    #[error(
        "the registry gives no access to {image}: {reason}; check its name, and if it is not public log in with 'docker login' or 'podman login'"
    )]
    Denied {
        /// The image.
        image: ImageName,
        /// What the registry said.
        reason: String,
    },
    /// An answer that the specification has no use for.
    #[error("the registry answered {status} for {image}; try again later")]
    Status {
        /// The image.
        image: ImageName,
        /// The HTTP status.
        code: u16,
        /// The same with its name, and what the registry said.
        status: String,
    },
    /// The body is not what was asked for.
    #[error(
        "the registry sent {what} of {image} that cannot be read: {reason}; try again, and tell the registry's operator if it stays so"
    )]
    Malformed {
        /// The image.
        image: ImageName,
        /// What was asked for.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The body is larger than any honest one.
    #[error(
        "the registry sent {what} of {image} that is larger than {limit} bytes; try again, and tell the registry's operator if it stays so"
    )]
    TooLarge {
        /// The image.
        image: ImageName,
        /// What was asked for.
        what: &'static str,
        /// The limit that was passed.
        limit: usize,
    },
    /// The registry has nothing of that digest.
    #[error("the registry has nothing of {image}@{digest}; check the digest, or try again")]
    NoSuchDigest {
        /// The image.
        image: ImageName,
        /// The digest.
        digest: Digest,
    },
    /// The body does not have the digest it was asked for by.
    #[error(
        "the registry sent content for {image}@{asked} whose digest is {got}; nothing of it is used; try again, and tell the registry's operator if it stays so"
    )]
    WrongDigest {
        /// The image.
        image: ImageName,
        /// The digest that was asked for.
        asked: Digest,
        /// The digest of what came.
        got: Digest,
    },
    /// A page of the tag list points to another server.
    #[error(
        "the tag list of {image} goes on at {}, on another server, and is not followed; try again, and tell the registry's operator if it stays so",
        Quoted(next)
    )]
    ForeignPage {
        /// The image.
        image: ImageName,
        /// The next page's address.
        next: String,
    },
}

impl RegistryError {
    pub(super) fn malformed(image: &ImageName, what: &'static str, reason: &str) -> Self {
        Self::Malformed {
            image: image.clone(),
            what,
            reason: Plain(reason).to_string(),
        }
    }

    pub(super) fn denied(image: &ImageName, reason: &str) -> Self {
        Self::Denied {
            image: image.clone(),
            reason: Plain(reason).to_string(),
        }
    }

    pub(super) fn astray(image: &ImageName, to: &str, reason: &'static str) -> Self {
        Self::Redirect {
            image: image.clone(),
            to: without_query(to),
            reason,
        }
    }

    pub(super) fn no_address(name: &str, reason: &str) -> Self {
        Self::NoAddress {
            name: name.to_owned(),
            reason: reason.to_owned(),
        }
    }

    pub(super) fn unreachable(registry: &str, host: &str, failure: &Failure) -> Self {
        let mut reason = Plain(&failure.reason).to_string();
        // A host with another name is one that the registry has named.
        let bare = registry.rsplit_once(':').map_or(registry, |(name, _)| name);
        let hub = (registry, host) == ("docker.io", "registry-1.docker.io");
        if host != registry && host != bare && !hub {
            reason = format!("it points to {}: {reason}", Quoted(host));
        }
        Self::Unreachable {
            registry: registry.to_owned(),
            remedy: match failure.kind {
                FailureKind::Passing => "check the network, and try again later",
                FailureKind::NoSuchHost => "check the registry's name and the network",
                FailureKind::NotTls => {
                    "it speaks no TLS; name it with --insecure-registry if plain http is right"
                }
                FailureKind::UnknownAuthority => {
                    "if it is right, name the file of its certificate authority in NIX_SSL_CERT_FILE"
                }
                FailureKind::Certificate => "tell the registry's operator",
                FailureKind::Inwards => {
                    "no registry has a reason to point there; tell its operator"
                }
            },
            reason,
        }
    }

    pub(super) fn limited(registry: String, said: &str, wait: Option<Duration>) -> Self {
        let wait = wait.map(|wait| format!(", for {} seconds", wait.as_secs()));
        let reason = format!("{said}{}", wait.unwrap_or_default());
        Self::RateLimited { registry, reason }
    }
}

/// An address as it may be printed: what is behind the path may be a secret, as
/// the signature of a link to a storage is.
pub(super) fn without_query(address: &str) -> String {
    match Url::parse(address) {
        // One without a host, such as file:, has no origin to print.
        Ok(url) if !url.has_host() => format!("{}:{}", url.scheme(), url.path()),
        Ok(url) => format!("{}{}", url.origin().ascii_serialization(), url.path()),
        Err(_) => address.split('?').next().unwrap_or_default().to_owned(),
    }
}
