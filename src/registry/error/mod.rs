//! What can go wrong with a registry. `display` turns it into sentences.

mod display;

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode, Url};

use super::limits::Quota;
use crate::json::FileError;
use crate::reference::{Digest, ImageName};

/// Why a registry gave no usable answer for an image.
#[derive(Debug, Clone)]
pub struct RegistryError {
    /// The image that the request was for.
    pub image: ImageName,
    /// What went wrong.
    pub cause: Box<Cause>,
}

impl std::error::Error for RegistryError {}

/// What went wrong with a request.
#[derive(Debug, Clone)]
pub enum Cause {
    /// The image's name makes no URL, for this reason.
    NoUrl(String),
    /// There is no connection, or it broke.
    Unreachable {
        /// The host, as the URL has it.
        host: String,
        /// What kind of failure it is.
        problem: ConnectProblem,
        /// What the network stack said.
        message: String,
    },
    /// A redirect that is not followed.
    Redirect {
        /// Its target, or its source where it has none.
        to: Url,
        /// Why it is not followed.
        problem: RedirectProblem,
    },
    /// A challenge that cannot be answered.
    Denied {
        /// Why not.
        problem: AuthProblem,
        /// What became of the user's login.
        login: Login,
    },
    /// The token service answered with an error that may pass.
    TokenService {
        /// The status: 429 or 5xx.
        status: StatusCode,
        /// The message in the body.
        message: Option<String>,
        /// What `Retry-After` says.
        retry_after: Option<Duration>,
    },
    /// The registry answered with an error.
    Status {
        /// The method of the request.
        method: Method,
        /// The status: neither a success nor 404.
        status: StatusCode,
        /// The message in the body.
        message: Option<String>,
        /// What `Retry-After` says.
        retry_after: Option<Duration>,
        /// What became of the user's login.
        login: Login,
    },
    /// The registry was not done within its deadline.
    Timeout {
        /// The deadline.
        after: Duration,
    },
    /// The pull quota is all but used up.
    QuotaSpent(Quota),
    /// The registry has no tag list for the image: 404.
    NoSuchImage,
    /// The registry has no content of this digest: 404.
    NoSuchDigest(Digest),
    /// The content does not have the digest that it was requested by.
    WrongDigest {
        /// The digest of the request.
        expected: Digest,
        /// The digest of what was sent.
        found: Digest,
    },
    /// The body is not what was requested.
    Malformed {
        /// What was requested.
        content: Content,
        /// What is wrong with it.
        reason: String,
    },
    /// The body is too large.
    TooLarge {
        /// What was requested.
        content: Content,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The registry declares another size than the manifest does.
    WrongSize {
        /// The size in the manifest, in bytes.
        expected: u64,
        /// The size that the registry declares.
        found: u64,
    },
    /// The registry declares no size, and none is known.
    UnknownSize,
    /// The body ended before its size.
    CutOff {
        /// The size, in bytes.
        expected: u64,
        /// How many bytes came.
        found: u64,
    },
    /// A page of the tag list links to a page on another server.
    ForeignPage {
        /// The link's target.
        next: Url,
    },
}

impl Cause {
    /// The error for a request that was made for `image`.
    pub(super) fn of(self, image: &ImageName) -> RegistryError {
        let image = image.clone();
        let cause = Box::new(self);
        RegistryError { image, cause }
    }

    /// Whether a retry may succeed.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { problem, .. } => *problem == ConnectProblem::Transient,
            Self::TokenService { .. } | Self::CutOff { .. } => true,
            Self::Status { status, .. } => {
                matches!(
                    *status,
                    StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
                ) || (status.is_server_error() && *status != StatusCode::NOT_IMPLEMENTED)
            }
            _ => false,
        }
    }

    /// Whether the server said that there are too many requests.
    pub fn is_rate_limited(&self) -> bool {
        matches!(
            self,
            Self::Status { status, .. } | Self::TokenService { status, .. }
                if *status == StatusCode::TOO_MANY_REQUESTS
        )
    }

    /// Whether the registry does not serve the request's method.
    pub(super) fn is_unsupported_method(&self) -> bool {
        let unsupported = [StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_IMPLEMENTED];
        matches!(self, Self::Status { status, .. } if unsupported.contains(status))
    }

    /// How long the server asks to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } | Self::TokenService { retry_after, .. } => {
                *retry_after
            }
            _ => None,
        }
    }
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A page of a tag list.
    TagList,
    /// A manifest or an index.
    Manifest,
    /// An image configuration.
    Configuration,
    /// A blob.
    Blob,
    /// A list of referrers.
    Referrers,
    /// A signature.
    Signature,
    /// The version check of the API, `/v2/`.
    Version,
    /// A token of a token service.
    Token,
    /// The body of an error response.
    Error,
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectProblem {
    /// No connection, silence, or a body that broke off: it may pass.
    Transient,
    /// The server does not speak TLS.
    NotTls,
    /// The certificate is of an unknown authority.
    UnknownAuthority,
    /// The certificate is not valid for this server now.
    Certificate,
    /// A host that a registry chose has a private address.
    PrivateAddress,
    /// The host's name has no address.
    NoSuchHost,
}

/// Why a redirect is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectProblem {
    /// There were too many of them.
    TooMany,
    /// It has no `Location`.
    NoLocation,
    /// Its `Location` is no URL.
    NoUrl,
    /// It leads from https to another scheme.
    NotHttps,
    /// It leads to a private address.
    PrivateAddress,
}

/// Why a challenge cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthProblem {
    /// It takes a user name and a password.
    NeedsPassword,
    /// Its token service is not reached by TLS.
    TokenServiceWithoutTls(Url),
    /// Its token service is within this machine's own network.
    PrivateTokenService(Url),
    /// The token service answered with an error.
    TokenServiceStatus {
        /// The status.
        status: StatusCode,
        /// The message in the body.
        message: Option<String>,
    },
    /// The token service's body is too large.
    TokenTooLarge,
    /// The token service's body is not JSON with a token.
    NoTokenBody,
    /// The token service's body has no token.
    NoToken,
    /// The token cannot be written into a header.
    BadToken,
}

/// What became of the login that docker or podman store for the user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Login {
    /// There is none.
    #[default]
    None,
    /// It was sent.
    Sent,
    /// It was refused, and is not sent again.
    Refused,
    /// The token service answered it with this status, and was asked without it.
    Ignored(StatusCode),
    /// It was not sent, since it is no password.
    NoPassword,
    /// It was not sent without TLS.
    WithoutTls,
    /// It was not sent to a token service of another site.
    OtherSite,
    /// A credential helper, or a bad entry of a file, gave none.
    Unreadable(String),
}

/// Why there is no client for registries.
#[derive(Debug, Clone)]
pub enum SetupError {
    /// The HTTP client cannot start.
    Http(String),
    /// A variable names a proxy whose URL cannot be parsed.
    NoProxyUrl {
        /// The environment variable.
        variable: String,
    },
    /// A variable names a proxy of an unknown scheme.
    ProxyScheme {
        /// The environment variable.
        variable: String,
        /// The scheme.
        scheme: String,
        /// The schemes that are supported.
        supported: &'static [&'static str],
    },
    /// The file of certificates cannot be used.
    Certificates {
        /// The environment variable that names it.
        variable: &'static str,
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of credentials cannot be read.
    Credentials(Arc<FileError>),
}

impl std::error::Error for SetupError {}
