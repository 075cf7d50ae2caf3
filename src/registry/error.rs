//! What can go wrong with a registry, in words for whoever reads the report.

use crate::digest::Digest;
use crate::name::ImageName;
use crate::text::{Plain, Quoted};

/// Why a registry gave no usable answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RegistryError {
    /// The HTTP client could not be made.
    #[error("cannot start the HTTP client: {0}; check the proxy and certificate settings")]
    Setup(String),
    /// There can be no registry or repository of that name.
    #[error("'{name}' is no address: {reason}; check the image's name in images.json")]
    NoAddress {
        /// The name, as images.json has it.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No connection, or it broke.
    #[error("cannot reach {registry}: {reason}; check the registry's name and the network")]
    Unreachable {
        /// The registry, as images.json names it.
        registry: String,
        /// What the network said.
        reason: String,
    },
    /// The registry does not know the image.
    #[error("the registry has no image {0}; check its name in images.json")]
    NoSuchImage(ImageName),
    /// The registry wants credentials, or hides that it has no such image.
    #[error(
        "the registry gives no access to {image}: {reason}; check its name, and whether it is public"
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
        /// The HTTP status, with its name.
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

    pub(super) fn no_address(name: &str, reason: &str) -> Self {
        Self::NoAddress {
            name: name.to_owned(),
            reason: reason.to_owned(),
        }
    }

    pub(super) fn unreachable(image: &ImageName, error: &reqwest::Error) -> Self {
        let mut reason = innermost(error);
        if error.is_timeout() {
            "it does not answer in time".clone_into(&mut reason);
        }
        Self::Unreachable {
            registry: image.registry().to_owned(),
            reason: Plain(&reason).to_string(),
        }
    }
}

/// The cause that says most, without the address that the outer ones repeat.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text = cause.to_string();
    match text.split_once(" (os error") {
        Some((message, _)) => message.to_lowercase(),
        None => text,
    }
}
