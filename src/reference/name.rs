//! Image names and references, by the rules of distribution/reference.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;
use std::sync::Arc;

use super::digest::{Digest, DigestError};
use super::tag::{Tag, TagError};
use crate::text::{Quoted, deserialize_as_text};

const DOCKER_HUB: &str = "docker.io";
/// Docker Hub's namespace for the official images, omitted in printed names.
const OFFICIAL: &str = "library/";
/// Longest repository path, in bytes (distribution/reference).
const LONGEST_REPOSITORY: usize = 255;

/// Registry and repository without a tag: `docker.io/nextcloud`.
///
/// `nextcloud`, `docker.io/nextcloud` and `docker.io/library/nextcloud` parse
/// to one value. Host names are written in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    text: Arc<str>,
    registry: usize,
}

/// A reference: an image, maybe a tag, maybe a digest, such as
/// `docker.io/nextcloud:34@sha256:...`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    /// The image.
    pub image: ImageName,
    /// The tag, after the colon that follows the repository.
    pub tag: Option<Tag>,
    /// The digest, from the `@`.
    pub digest: Option<Digest>,
}

/// A reference whose tag is not parsed yet: it may be a version requirement.
pub(crate) struct RawReference<'a> {
    input: &'a str,
    pub(crate) image: ImageName,
    pub(crate) tag: Option<&'a str>,
    pub(crate) digest: Option<Digest>,
}

impl<'a> RawReference<'a> {
    /// Splits `input` into image, tag and digest.
    ///
    /// # Errors
    /// If its image or its digest is malformed.
    pub(crate) fn parse(input: &'a str) -> Result<Self, ReferenceError> {
        let parse = || {
            if is_identifier(input) {
                return Err(Reason::Identifier);
            }
            let (rest, digest) = match input.split_once('@') {
                Some((rest, digest)) => (rest, Some(digest.parse::<Digest>()?)),
                None => (input, None),
            };
            let path_start = rest.rfind('/').map_or(0, |slash| slash + 1);
            let (name, tag) = match rest[path_start..].rfind(':') {
                Some(colon) => {
                    let colon = path_start + colon;
                    (&rest[..colon], Some(&rest[colon + 1..]))
                }
                None => (rest, None),
            };
            Ok(Self {
                input,
                image: ImageName::parse_parts(name)?,
                tag,
                digest,
            })
        };
        parse().map_err(|reason| fail(input, reason))
    }

    /// The error for a malformed tag in this reference.
    pub(crate) fn invalid(&self, error: TagError) -> ReferenceError {
        fail(self.input, error.into())
    }
}

impl fmt::Display for RawReference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.image.fmt(f)?;
        if let Some(tag) = self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// Why a text is not an [`ImageName`] or a [`Reference`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid image reference {}: {reason}", Quoted(input))]
pub struct ReferenceError {
    input: String,
    reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Reason {
    #[error("it is empty; write one such as 'docker.io/nextcloud:34'")]
    Empty,
    #[error(
        "{} is no registry; write a host name with an optional port, such as 'ghcr.io' or 'localhost:5000'",
        Quoted(.0)
    )]
    Registry(String),
    #[error("a repository is written in lower case; did you mean {}?", Quoted(.0))]
    UpperCase(String),
    #[error(
        "{} is no repository; it is made of lower-case letters and digits, parted by '/', '.', '_', '__' or hyphens",
        Quoted(.0)
    )]
    Repository(String),
    #[error("its repository is longer than {LONGEST_REPOSITORY} characters")]
    TooLong,
    #[error("64 hexadecimal digits are an image ID, not an image; write the image's name")]
    Identifier,
    #[error("it has a tag or digest where only an image is meant; write {}", Quoted(.0))]
    NotBare(String),
    #[error("it names no registry; write {}", Quoted(.0))]
    NotQualified(String),
    #[error(transparent)]
    Tag(#[from] TagError),
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl ImageName {
    /// The registry as people write it: `docker.io`, `ghcr.io`, `localhost:5000`.
    pub fn registry(&self) -> &str {
        &self.text[..self.registry]
    }

    /// The repository as the registry knows it, `library/` included.
    pub fn repository(&self) -> String {
        let prefix = if self.is_official() { OFFICIAL } else { "" };
        [prefix, self.path()].concat()
    }

    /// Whether this is an official image of Docker Hub, printed without `library/`.
    fn is_official(&self) -> bool {
        self.registry() == DOCKER_HUB && !self.path().contains('/')
    }

    fn path(&self) -> &str {
        &self.text[self.registry + 1..]
    }

    /// The name in normal form.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Parses a name that must include its registry, as in `images.json`.
    ///
    /// # Errors
    /// If `input` is no image name, or has no registry.
    pub fn parse_qualified(input: &str) -> Result<Self, ReferenceError> {
        let name: Self = input.parse()?;
        if split_registry(input).0.is_none() {
            let reason = Reason::NotQualified(name.to_string());
            return Err(fail(input, reason));
        }
        Ok(name)
    }

    fn parse_parts(input: &str) -> Result<Self, Reason> {
        if input.is_empty() {
            return Err(Reason::Empty);
        }
        let (registry, path) = split_registry(input);
        let registry = match registry {
            None => Cow::Borrowed(DOCKER_HUB),
            Some(host) if !is_registry(host) => return Err(Reason::Registry(host.to_owned())),
            Some(host) => match lower_case(host) {
                // In lower case it would not be a registry but part of the repository.
                host if !is_host(&host) => {
                    return Err(Reason::UpperCase(input.to_ascii_lowercase()));
                }
                host if host == "index.docker.io" => Cow::Borrowed(DOCKER_HUB),
                host => host,
            },
        };
        if !is_repository(path) {
            let lower = input.to_ascii_lowercase();
            return Err(if lower != input && Self::parse_parts(&lower).is_ok() {
                Reason::UpperCase(lower)
            } else {
                Reason::Repository(path.to_owned())
            });
        }
        let path = match path.strip_prefix(OFFICIAL) {
            Some(official) if registry == DOCKER_HUB && !official.contains('/') => official,
            _ => path,
        };
        // Most names are in normal form already and need no new text.
        let is_as_written =
            input.starts_with(&*registry) && input.len() == registry.len() + 1 + path.len();
        let name = Self {
            text: if is_as_written {
                input.into()
            } else {
                [&*registry, path].join("/").into()
            },
            registry: registry.len(),
        };
        let prefix = if name.is_official() { OFFICIAL } else { "" };
        if prefix.len() + path.len() > LONGEST_REPOSITORY {
            return Err(Reason::TooLong);
        }
        Ok(name)
    }
}

/// Whether `input` looks like an image ID, which is not a valid reference.
fn is_identifier(input: &str) -> bool {
    input.len() == 64 && input.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The registry, if the first component is one: a name without a dot, a colon
/// or an upper-case letter is a namespace on Docker Hub, unless it is `localhost`.
fn split_registry(input: &str) -> (Option<&str>, &str) {
    match input.split_once('/') {
        Some((host, path)) if is_host(host) || host.bytes().any(|b| b.is_ascii_uppercase()) => {
            (Some(host), path)
        }
        _ => (None, input),
    }
}

fn is_host(component: &str) -> bool {
    component.bytes().any(|b| matches!(b, b'.' | b':')) || component == "localhost"
}

fn lower_case(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        text.to_ascii_lowercase().into()
    } else {
        text.into()
    }
}

/// `host[:port]`, where the host is a domain name, an IPv4 address, or an IPv6
/// address in brackets.
fn is_registry(text: &str) -> bool {
    let (host, port) = if text.starts_with('[') {
        match text.split_once(']') {
            Some((address, "")) => (address, None),
            Some((address, rest)) => match rest.strip_prefix(':') {
                Some(port) => (address, Some(port)),
                None => return false,
            },
            None => return false,
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let host_is_valid = match host.strip_prefix('[') {
        Some(address) => !address.contains('.') && address.parse::<Ipv6Addr>().is_ok(),
        None => {
            host.len() <= 253
                && host.as_bytes().split(|b| *b == b'.').all(|label| {
                    !label.is_empty()
                        && !label.starts_with(b"-")
                        && !label.ends_with(b"-")
                        && label
                            .iter()
                            .all(|b| b.is_ascii_alphanumeric() || *b == b'-')
                })
        }
    };
    let digits = |port: &str| port.bytes().all(|b| b.is_ascii_digit());
    host_is_valid && port.is_none_or(|port| digits(port) && port.parse::<u16>().is_ok())
}

/// Components joined by `/`, each of lower-case letters and digits parted by
/// one dot, one or two underscores, or any number of hyphens.
fn is_repository(path: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    path.as_bytes().split(|b| *b == b'/').all(|bytes| {
        let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else {
            return false;
        };
        // Most have no separator.
        if bytes.iter().all(|&b| alphanumeric(b)) {
            return true;
        }
        alphanumeric(first)
            && alphanumeric(last)
            && bytes
                .split(|&b| alphanumeric(b))
                .all(|separator| match separator {
                    b"" | b"." | b"_" | b"__" => true,
                    other => other.iter().all(|&b| b == b'-'),
                })
    })
}

fn fail(input: &str, reason: Reason) -> ReferenceError {
    ReferenceError {
        input: input.to_owned(),
        reason,
    }
}

impl FromStr for ImageName {
    type Err = ReferenceError;

    fn from_str(input: &str) -> Result<Self, ReferenceError> {
        let name = if is_identifier(input) {
            Err(Reason::Identifier)
        } else {
            Self::parse_parts(input)
        };
        name.map_err(|reason| match RawReference::parse(input) {
            Ok(written) => fail(input, Reason::NotBare(written.image.to_string())),
            Err(_) => fail(input, reason),
        })
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(input: &str) -> Result<Self, ReferenceError> {
        let written = RawReference::parse(input)?;
        let tag = written.tag.map(str::parse::<Tag>).transpose();
        let tag = tag.map_err(|error| written.invalid(error))?;
        Ok(Self {
            image: written.image,
            tag,
            digest: written.digest,
        })
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.image.fmt(f)?;
        if let Some(tag) = &self.tag {
            f.write_str(":")?;
            tag.fmt(f)?;
        }
        if let Some(digest) = &self.digest {
            f.write_str("@")?;
            digest.fmt(f)?;
        }
        Ok(())
    }
}

deserialize_as_text!(ImageName, "an image such as \"docker.io/nextcloud\"");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_image_are_one_value() {
        for (input, printed, repository) in [
            ("nextcloud", "docker.io/nextcloud", "library/nextcloud"),
            (
                "docker.io/nextcloud",
                "docker.io/nextcloud",
                "library/nextcloud",
            ),
            (
                "docker.io/library/nextcloud",
                "docker.io/nextcloud",
                "library/nextcloud",
            ),
            (
                "library/nextcloud",
                "docker.io/nextcloud",
                "library/nextcloud",
            ),
            (
                "index.docker.io/nextcloud",
                "docker.io/nextcloud",
                "library/nextcloud",
            ),
            (
                "grafana/grafana",
                "docker.io/grafana/grafana",
                "grafana/grafana",
            ),
            (
                "docker.io/library/a/b",
                "docker.io/library/a/b",
                "library/a/b",
            ),
            (
                "ghcr.io/library/nextcloud",
                "ghcr.io/library/nextcloud",
                "library/nextcloud",
            ),
            (
                "GHCR.io/immich-app/immich-server",
                "ghcr.io/immich-app/immich-server",
                "immich-app/immich-server",
            ),
            ("localhost/a", "localhost/a", "a"),
            ("localhost:5000/a/b", "localhost:5000/a/b", "a/b"),
            ("127.0.0.1:5000/a", "127.0.0.1:5000/a", "a"),
            ("[::1]:5000/a", "[::1]:5000/a", "a"),
            ("[2001:db8::1]/a", "[2001:db8::1]/a", "a"),
            (
                "registry.example/a__b/c.d/e---f",
                "registry.example/a__b/c.d/e---f",
                "a__b/c.d/e---f",
            ),
        ] {
            let name: ImageName = input.parse().unwrap();
            assert_eq!(name.as_str(), printed);
            assert_eq!(name.repository(), repository);
        }
    }

    #[test]
    fn splits_a_reference_into_its_parts() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for (input, tag, has_digest) in [
            ("localhost:5000/a".to_owned(), None, false),
            (format!("{}:1", "a".repeat(64)), Some("1"), false),
            ("localhost:5000/a:1.2".to_owned(), Some("1.2"), false),
            ("localhost:5000".to_owned(), Some("5000"), false),
            (format!("a@{digest}"), None, true),
            (format!("[::1]:5000/a:x@{digest}"), Some("x"), true),
        ] {
            let reference: Reference = input.parse().unwrap();
            assert_eq!(reference.tag.as_ref().map(Tag::as_str), tag, "{input}");
            assert_eq!(reference.digest.is_some(), has_digest, "{input}");
        }
    }

    #[test]
    fn says_what_is_wrong_and_what_to_write() {
        // One character too long, including the `library/` of Docker Hub.
        let long = format!("docker.io/{}", "a".repeat(248));
        let id = "a".repeat(64);
        for (input, part) in [
            ("", "it is empty"),
            ("docker.io/", "'' is no repository"),
            ("Nextcloud", "did you mean 'nextcloud'?"),
            ("Grafana/grafana", "did you mean 'grafana/grafana'?"),
            (
                "docker.io/Nextcloud:34",
                "did you mean 'docker.io/nextcloud'?",
            ),
            ("next cloud", "'next cloud' is no repository"),
            ("a//b", "'a//b' is no repository"),
            ("a/../b", "is no repository"),
            ("a___b", "is no repository"),
            ("a.-b", "is no repository"),
            ("-a", "is no repository"),
            ("http://ghcr.io/a", "is no registry"),
            ("ghcr.io:99999/a", "is no registry"),
            ("ghcr.io:/a", "is no registry"),
            ("-x.io/a", "is no registry"),
            ("[::g]/a", "is no registry"),
            ("[::ffff:1.2.3.4]/a", "is no registry"),
            ("[::1]5000/a", "is no registry"),
            ("a:", "invalid tag ''"),
            ("a:b c", "invalid tag 'b c'"),
            ("a@sha256:12", "64 lower-case hexadecimal digits"),
            ("a@", "it must start with 'sha256:'"),
            ("a\n", "'a\\n' is no repository"),
            ("a\0b", "is no repository"),
            (&long, "longer than 255"),
            (&id, "image ID"),
        ] {
            let error = input.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(part), "{input:?}: {error}");
            assert!(!error.contains(['\n', '\0']));
        }
    }

    #[test]
    fn an_image_name_has_neither_tag_nor_digest() {
        let error = "nextcloud:34".parse::<ImageName>().unwrap_err().to_string();
        assert!(error.contains("write 'docker.io/nextcloud'"), "{error}");
        let error = ImageName::parse_qualified("nextcloud")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no registry; write 'docker.io/nextcloud'"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn parse_of_print_is_the_identity(
            host in "(localhost(:[1-9][0-9]{0,3})?|(index|INDEX)\\.docker\\.io|[a-z]{1,5}\\.[a-zA-Z]{2,3}|\\[::1\\]:80|docker\\.io|)",
            path in "(library/)?[a-z0-9]{1,9}((\\.|_|__|-{1,3}|/)[a-z0-9]{1,5}){0,4}",
            tag in prop::option::of("[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,20}"),
            content in prop::option::of(any::<Vec<u8>>()),
        ) {
            // With a dot in it, the first component would be a registry.
            let mut text = if host.is_empty() { path.replace('.', "_") } else { format!("{host}/{path}") };
            if let Some(tag) = &tag {
                text = format!("{text}:{tag}");
            }
            if let Some(content) = content {
                text = format!("{text}@{}", Digest::of(super::super::Algorithm::Sha256, &content));
            }
            let reference: Reference = text.parse().unwrap();
            prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference.clone()));
            let image = reference.image;
            prop_assert_eq!(image.as_str().parse::<ImageName>(), Ok(image.clone()));
        }
    }
}
