//! The errors of registries as sentences: what is wrong, then what to do.

use std::fmt;
use std::time::Duration;

use reqwest::{StatusCode, Url};

use super::{
    AuthProblem, Cause, ConnectProblem, Content, Login, RedirectProblem, RegistryError, SetupError,
};
use crate::reference::ImageName;
use crate::registry::address::DOCKER_HUB_HOST;
use crate::text::{Plain, Quoted};

const TELL_OPERATOR: &str = "try again, and tell the registry's operator if it persists";

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let image = &self.image;
        let registry = image.registry();
        match &*self.cause {
            Cause::NoUrl(reason) => write!(
                f,
                "'{image}' makes no URL: {}; check the image's name in images.json",
                Plain(reason)
            ),
            Cause::Unreachable {
                host,
                problem,
                message,
            } => {
                write!(f, "cannot reach {registry}: ")?;
                if !is_host_of(host, registry) {
                    write!(f, "it points to {}: ", Quoted(host))?;
                }
                write!(f, "{}; {}", Plain(message), remedy(*problem))
            }
            Cause::Redirect { to, problem } => write!(
                f,
                "a redirect for {image} to {} is not followed: {problem}; \
                 tell the registry's operator if it persists",
                Quoted(&without_query(to))
            ),
            Cause::Denied { problem, login } => denied(f, image, &format!("{problem}{login}")),
            Cause::TokenService {
                status,
                message,
                retry_after,
            } => write!(
                f,
                "the token service of {registry} answers {}; try again later",
                Answer(*status, message, *retry_after)
            ),
            Cause::Status { .. } => self.fmt_status(f),
            Cause::Timeout { after } => write!(
                f,
                "timed out after {} s waiting for {registry}; try again later",
                after.as_secs()
            ),
            Cause::QuotaSpent(quota) => write!(
                f,
                "{registry} allows {} more pulls within {} hours, which are left to others; \
                 try again later, or log in to it",
                quota.remaining,
                quota.window.div_ceil(3600)
            ),
            Cause::NoSuchImage => {
                write!(f, "the registry has no image {image}; check its name")
            }
            Cause::NoSuchDigest(digest) => write!(
                f,
                "the registry has nothing of {image}@{digest}; check the digest, or try again"
            ),
            Cause::WrongDigest { expected, found } => write!(
                f,
                "the registry sent content for {image}@{expected} whose digest is {found}; \
                 nothing of it is used; {TELL_OPERATOR}"
            ),
            Cause::Malformed { content, reason } => write!(
                f,
                "the registry sent {content} of {image} that cannot be read: {}; {TELL_OPERATOR}",
                Plain(reason)
            ),
            Cause::TooLarge { content, limit } => write!(
                f,
                "the registry sent {content} of {image} that is larger than {limit} bytes; \
                 {TELL_OPERATOR}"
            ),
            Cause::WrongSize { expected, found } => write!(
                f,
                "the registry sends a blob of {image} that has {found} bytes, \
                 and its manifest says {expected}; nothing of it is used; {TELL_OPERATOR}"
            ),
            Cause::UnknownSize => write!(
                f,
                "the registry does not say how large the blob of {image} is"
            ),
            Cause::CutOff { expected, found } => write!(
                f,
                "the registry sent {found} of {expected} bytes of a blob of {image}; \
                 nothing of it is used; check the network, and try again later"
            ),
            Cause::ForeignPage { next } => write!(
                f,
                "the tag list of {image} continues at {}, on another server, \
                 and is not followed; {TELL_OPERATOR}",
                Quoted(&without_query(next))
            ),
        }
    }
}

impl RegistryError {
    fn fmt_status(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cause::Status {
            method,
            status,
            message,
            retry_after,
            login,
        } = &*self.cause
        else {
            return Ok(());
        };
        let image = &self.image;
        let answer = Answer(*status, message, *retry_after);
        match *status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                denied(f, image, &format!("it answers {answer}{login}"))
            }
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => write!(
                f,
                "the registry does not support {method} for {image}; tell the registry's operator"
            ),
            StatusCode::TOO_MANY_REQUESTS => write!(
                f,
                "{} answers {answer}; try again later, or log in to it",
                image.registry()
            ),
            _ => write!(
                f,
                "the registry answers {answer} for {image}; try again later"
            ),
        }
    }
}

/// Whether `host` is where the registry of images named `registry` is.
fn is_host_of(host: &str, registry: &str) -> bool {
    let name = registry.rsplit_once(':').map_or(registry, |(name, _)| name);
    host == registry || host == name || (registry, host) == ("docker.io", DOCKER_HUB_HOST)
}

fn remedy(problem: ConnectProblem) -> &'static str {
    match problem {
        ConnectProblem::Transient => "check the network, and try again later",
        ConnectProblem::NoSuchHost => "check the registry's name and the network",
        ConnectProblem::NotTls => "it does not speak TLS; check its name and port",
        ConnectProblem::UnknownAuthority => {
            "if it is right, name the file of its certificate authority in NIX_SSL_CERT_FILE"
        }
        ConnectProblem::Certificate => "tell the registry's operator",
        ConnectProblem::PrivateAddress => {
            "no registry has a reason to point there; tell its operator"
        }
    }
}

fn denied(f: &mut fmt::Formatter<'_>, image: &ImageName, reason: &str) -> fmt::Result {
    write!(
        f,
        "the registry gives no access to {image}: {}; check its name, \
         and if it is not public log in with 'docker login' or 'podman login'",
        Plain(reason)
    )
}

/// A status, the message of its body, and how long to wait.
struct Answer<'a>(StatusCode, &'a Option<String>, Option<Duration>);

impl fmt::Display for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        if let Some(message) = self.1 {
            write!(f, " ({})", Quoted(message))?;
        }
        if self.0 == StatusCode::TOO_MANY_REQUESTS
            && let Some(wait) = self.2
        {
            write!(f, ", for {} seconds", wait.as_secs())?;
        }
        Ok(())
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TagList => "a tag list",
            Self::Manifest => "a manifest",
            Self::Configuration => "an image configuration",
            Self::Blob => "a blob",
            Self::Referrers => "a list of referrers",
            Self::Signature => "a signature",
            Self::Version => "a version check",
            Self::Token => "a token",
            Self::Error => "an error",
        })
    }
}

impl fmt::Display for RedirectProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "there are too many of them",
            Self::NoLocation => "it has no Location",
            Self::NoUrl => "its Location is no URL",
            Self::NotHttps => "it does not lead to https",
            Self::PrivateAddress => "it leads into this machine's own network",
        })
    }
}

impl fmt::Display for AuthProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeedsPassword => f.write_str("it wants a user name and a password"),
            Self::TokenServiceWithoutTls(url) => write!(
                f,
                "its token service {} is not served over TLS",
                Quoted(&without_query(url))
            ),
            Self::PrivateTokenService(url) => write!(
                f,
                "its token service {} is within this machine's own network",
                Quoted(&without_query(url))
            ),
            Self::TokenServiceStatus { status, message } => write!(
                f,
                "its token service answers {}",
                Answer(*status, message, None)
            ),
            Self::TokenTooLarge => f.write_str("its token service sends a body that is too large"),
            Self::NoTokenBody => f.write_str("its token service does not answer with a token"),
            Self::NoToken => f.write_str("its token service answers without a token"),
            Self::BadToken => {
                f.write_str("its token service answers with a token that no header can hold")
            }
        }
    }
}

/// The end of a sentence on having no access.
impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Sent => f.write_str("; your stored login was sent"),
            Self::Refused => f.write_str("; your stored login was refused"),
            Self::Ignored(status) => write!(
                f,
                "; its token service answers {status} to your stored login, \
                 and was asked for a token without it"
            ),
            Self::NoPassword => {
                f.write_str("; your stored login was not sent since it is no password")
            }
            Self::WithoutTls => f.write_str("; your stored login was not sent without TLS"),
            Self::OtherSite => f.write_str(
                "; your stored login was not sent to its token service, which is of another site",
            ),
            Self::Unreadable(reason) => {
                write!(f, "; your stored login could not be read: {reason}")
            }
        }
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self {
            Self::Credentials(error) => return error.fmt(f),
            Self::Http(reason) => Plain(reason).to_string(),
            Self::NoProxyUrl { variable } => format!("{variable} names no URL of a proxy"),
            Self::ProxyScheme {
                variable,
                scheme,
                supported,
            } => format!(
                "{variable} names a proxy of the scheme {}, which is none of {}",
                Quoted(scheme),
                supported.join(", ")
            ),
            Self::Certificates {
                variable,
                file,
                reason,
            } => format!("{variable}: {}: {}", Plain(file), Plain(reason)),
        };
        write!(
            f,
            "cannot start the HTTP client: {reason}; check the proxy and certificate settings"
        )
    }
}

/// A URL without its query, which may hold a secret such as the signature of a
/// link to a storage.
fn without_query(url: &Url) -> String {
    if url.has_host() {
        format!("{}{}", url.origin().ascii_serialization(), url.path())
    } else {
        // One without a host, such as file:, has no origin.
        format!("{}:{}", url.scheme(), url.path())
    }
}
