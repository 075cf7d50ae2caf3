//! `signedBy` in `images.json`: whose signature a new digest needs.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use wildmatch::WildMatch;

use crate::json::Object;
use crate::text::{Quoted, deserialize_as_text};

/// The issuer of certificates for GitHub's workflows.
pub const GITHUB_ISSUER: &str = "https://token.actions.githubusercontent.com";
const GITHUB: &str = "https://github.com/";
/// Longest name of a GitHub owner or repository, in characters.
const LONGEST_NAME: usize = 100;

/// Whose signature a new digest needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedBy {
    /// Any workflow of this GitHub repository.
    GitHub(GitHubRepository),
    /// The owner of an identity (Fulcio, "Subject Alternative Name").
    Identity {
        /// Who has confirmed the identity: an `OpenID` Connect issuer.
        issuer: Glob,
        /// An email address, or the URI of a workflow or service.
        identity: Glob,
    },
    /// The owner of a key, whose public half is in this PEM file. The path is relative to
    /// the folder of `images.json`.
    Key(PathBuf),
}

/// `owner/repository` on github.com.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitHubRepository(String);

/// Why a text is not a [`GitHubRepository`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid repository {}: write it as github.com does, 'owner/repository'",
    Quoted(.0)
)]
pub struct RepositoryError(String);

/// A glob of a whole text: `*` matches any characters, `?` exactly one. It has at least
/// one character of its own, so that it never matches everything.
#[derive(Debug, Clone, PartialEq)]
pub struct Glob(WildMatch);

impl Eq for Glob {}

/// Why a text is not a [`Glob`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} matches everything: name the signer", Quoted(.0))]
pub struct EverythingError(String);

/// Who has signed, as a certificate says that an authority of Sigstore has issued
/// (Fulcio, "Sigstore OID information").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The issuer of the identity.
    pub issuer: String,
    /// The subject alternative name: an email address or a URI.
    pub identity: String,
    /// Whether it is an email address.
    pub is_email: bool,
    /// The Source Repository URI.
    pub repository: Option<String>,
}

/// What a signature says of a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The signer signs the image.
    Signature,
    /// The signer built the image (SLSA provenance).
    Provenance,
}

impl SignedBy {
    /// Whether the policy holds with a valid `claim` of `signer`. A key has no signer: its
    /// signatures are verified with it.
    pub fn accepts(&self, signer: &Signer, claim: Claim) -> bool {
        match self {
            Self::GitHub(repository) => {
                signer.issuer == GITHUB_ISSUER
                    && signer.repository.as_deref() == Some(&*repository.uri())
            }
            Self::Identity { issuer, identity } => {
                // A URI may end like an address: a branch can have any name.
                claim == Claim::Signature
                    && issuer.matches(&signer.issuer)
                    && identity.is_uri() != signer.is_email
                    && identity.matches(&signer.identity)
            }
            Self::Key(_) => false,
        }
    }

    /// The narrowest policy that a valid `claim` of `signer` satisfies, if there is one.
    pub fn of(signer: &Signer, claim: Claim) -> Option<Self> {
        let repository = || {
            let uri = signer.repository.as_deref()?;
            uri.strip_prefix(GITHUB)?.parse().ok()
        };
        let policy = match repository() {
            Some(repository) if signer.issuer == GITHUB_ISSUER => Self::GitHub(repository),
            _ => Self::Identity {
                issuer: Glob::literal(&signer.issuer)?,
                identity: Glob::literal(&signer.identity)?,
            },
        };
        policy.accepts(signer, claim).then_some(policy)
    }

    /// Why no signature can ever satisfy the policy, if none can.
    pub fn contradiction(&self) -> Option<&'static str> {
        let Self::Identity { issuer, identity } = self else {
            return None;
        };
        let is_identity = |text: &str| text.contains(['@', ':', '*', '?']);
        if !is_identity(&identity.to_string()) {
            return Some("an identity is an email address or a URI");
        }
        let is_github = issuer.to_string() == GITHUB_ISSUER;
        if is_github && !(identity.is_uri() && identity.may_start_with(GITHUB)) {
            return Some("the identity of a GitHub workflow starts with https://github.com/");
        }
        None
    }
}

impl GitHubRepository {
    fn uri(&self) -> String {
        format!("{GITHUB}{}", self.0)
    }
}

impl FromStr for GitHubRepository {
    type Err = RepositoryError;

    fn from_str(input: &str) -> Result<Self, RepositoryError> {
        let is_name = |name: &str| {
            let is_allowed = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
            (1..=LONGEST_NAME).contains(&name.len())
                && !name.starts_with('.')
                && name.bytes().all(is_allowed)
        };
        match input.split_once('/') {
            Some((owner, name)) if is_name(owner) && is_name(name) => Ok(Self(input.to_owned())),
            _ => Err(RepositoryError(input.to_owned())),
        }
    }
}

impl fmt::Display for GitHubRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

deserialize_as_text!(
    GitHubRepository,
    "a GitHub repository such as \"owner/repository\""
);

impl Glob {
    /// A glob that matches this text only, if there is one.
    fn literal(text: &str) -> Option<Self> {
        let is_literal = !text.is_empty() && !text.contains(['*', '?']);
        is_literal.then(|| Self(WildMatch::new(text)))
    }

    fn matches(&self, text: &str) -> bool {
        self.0.matches(text)
    }

    /// Whether it is of URIs, and not of email addresses: it begins with a scheme.
    fn is_uri(&self) -> bool {
        self.literal_start().contains("://")
    }

    /// Whether it begins with `https://` and a part of a host.
    fn names_host(&self) -> bool {
        let start = self.literal_start();
        let host = start.strip_prefix("https://");
        host.is_some_and(|host| !host.is_empty())
    }

    /// What comes before the first wildcard.
    fn literal_start(&self) -> String {
        let glob = self.to_string();
        let start = glob.split(['*', '?']).next();
        start.unwrap_or_default().to_owned()
    }

    /// Whether a text that starts with `start` can match.
    fn may_start_with(&self, start: &str) -> bool {
        let literal = self.literal_start();
        start.starts_with(&literal) || literal.starts_with(start)
    }
}

impl FromStr for Glob {
    type Err = EverythingError;

    fn from_str(input: &str) -> Result<Self, EverythingError> {
        if input.chars().all(|c| matches!(c, '*' | '?')) {
            return Err(EverythingError(input.to_owned()));
        }
        Ok(Self(WildMatch::new(input)))
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

deserialize_as_text!(Glob, "a text, or a glob such as \"*@example.com\"");

/// The members of the object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    github: Option<GitHubRepository>,
    issuer: Option<Glob>,
    identity: Option<Glob>,
    key: Option<PathBuf>,
}

impl<'de> Deserialize<'de> for SignedBy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Members {
            github,
            issuer,
            identity,
            key,
        } = Object::<Members>::deserialize(deserializer)?.0;
        match (github, issuer, identity, key) {
            (Some(repository), None, None, None) => Ok(Self::GitHub(repository)),
            (None, Some(issuer), Some(identity), None) if issuer.names_host() => {
                Ok(Self::Identity { issuer, identity })
            }
            (None, Some(issuer), Some(_), None) => Err(D::Error::custom(format_args!(
                "invalid issuer {}: write a URL with https that names its host",
                Quoted(&issuer.to_string())
            ))),
            (None, None, None, Some(key)) if !key.as_os_str().is_empty() => Ok(Self::Key(key)),
            _ => Err(D::Error::custom(
                "it has either 'github', or 'issuer' and 'identity', or 'key'",
            )),
        }
    }
}

/// As `images.json` has it: `{ "github": "owner/repository" }`.
impl fmt::Display for SignedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = match self {
            Self::GitHub(repository) => vec![("github", repository.to_string())],
            Self::Identity { issuer, identity } => vec![
                ("issuer", issuer.to_string()),
                ("identity", identity.to_string()),
            ],
            Self::Key(key) => vec![("key", key.display().to_string())],
        };
        let pairs = pairs
            .into_iter()
            .map(|(name, value)| format!("\"{name}\": {}", serde_json::Value::String(value)));
        write!(f, "{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Result<SignedBy, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    fn workflow(repository: &str) -> Signer {
        Signer {
            issuer: GITHUB_ISSUER.to_owned(),
            identity: format!("{GITHUB}{repository}/.github/workflows/release.yml@refs/tags/v1"),
            is_email: false,
            repository: Some(format!("{GITHUB}{repository}")),
        }
    }

    #[test]
    fn a_policy_is_written_as_it_is_read() {
        for text in [
            r#"{ "github": "owner/repo" }"#,
            r#"{ "issuer": "https://accounts.google.com", "identity": "*@example.com" }"#,
            r#"{ "key": "keys/app.pub" }"#,
        ] {
            assert_eq!(policy(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_policy_that_names_nobody_is_refused() {
        for (text, reason) in [
            ("{}", "it has either 'github'"),
            (r#"{ "issuer": "https://a.example" }"#, "it has either"),
            (r#"{ "identity": "a@b.example" }"#, "it has either"),
            (r#"{ "github": "a/b", "key": "k" }"#, "it has either"),
            (r#"{ "key": "" }"#, "it has either"),
            (r#"{ "github": "owner" }"#, "'owner/repository'"),
            (r#"{ "github": "owner/*" }"#, "'owner/repository'"),
            (r#"{ "github": "owner/repo/x" }"#, "'owner/repository'"),
            (r#"{ "github": "owner/.." }"#, "'owner/repository'"),
            (
                r#"{ "issuer": "https://a.example", "identity": "*" }"#,
                "matches everything",
            ),
            (
                r#"{ "issuer": "*?*", "identity": "a@b.example" }"#,
                "matches everything",
            ),
            (
                r#"{ "issuer": "https://*", "identity": "*@b.example" }"#,
                "names its host",
            ),
            (
                r#"{ "issuer": "accounts.example", "identity": "a@b.example" }"#,
                "names its host",
            ),
            (r#"{ "issuer": "", "identity": "" }"#, "matches everything"),
            (r#"{ "gitlab": "a/b" }"#, "unknown field"),
            (r#"["a/b"]"#, "an object"),
        ] {
            let error = policy(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_repository_is_exactly_that() {
        let policy = policy(r#"{ "github": "owner/repo" }"#).unwrap();
        let accepts = |signer: &Signer| policy.accepts(signer, Claim::Provenance);
        assert!(accepts(&workflow("owner/repo")));
        for other in [
            "owner/repo-evil",
            "owner/repo/",
            "owner-evil/repo",
            "Owner/repo",
        ] {
            assert!(!accepts(&workflow(other)), "{other}");
        }
        let elsewhere = Signer {
            issuer: "https://gitlab.com".to_owned(),
            ..workflow("owner/repo")
        };
        assert!(!accepts(&elsewhere));
        let unnamed = Signer {
            repository: None,
            ..workflow("owner/repo")
        };
        assert!(!accepts(&unnamed));
    }

    #[test]
    fn an_identity_needs_its_issuer_and_a_signature() {
        let policy =
            policy(r#"{ "issuer": "https://a.example", "identity": "*@b.example" }"#).unwrap();
        let signer = |issuer: &str, identity: &str| Signer {
            issuer: issuer.to_owned(),
            identity: identity.to_owned(),
            is_email: identity.contains('@'),
            repository: None,
        };
        let right = signer("https://a.example", "release@b.example");
        assert!(policy.accepts(&right, Claim::Signature));
        assert!(!policy.accepts(&right, Claim::Provenance));
        for (issuer, identity) in [
            ("https://a.example.evil", "release@b.example"),
            ("https://a.example", "release@b.example.evil"),
            ("https://a.example", "release@c.example"),
        ] {
            assert!(!policy.accepts(&signer(issuer, identity), Claim::Signature));
        }
        // A branch of this name.
        let workflow = Signer {
            identity: "https://github.com/evil/repo/.github/workflows/w.yml@refs/heads/x@b.example"
                .to_owned(),
            is_email: false,
            ..right
        };
        assert!(!policy.accepts(&workflow, Claim::Signature));
    }

    #[test]
    fn the_policy_of_a_signer_accepts_no_other() {
        let of_workflow = SignedBy::of(&workflow("owner/repo"), Claim::Provenance).unwrap();
        assert_eq!(of_workflow.to_string(), r#"{ "github": "owner/repo" }"#);
        let person = Signer {
            issuer: "https://accounts.google.com".to_owned(),
            identity: "a@b.example".to_owned(),
            is_email: true,
            repository: None,
        };
        let of_person = SignedBy::of(&person, Claim::Signature).unwrap();
        assert!(of_person.accepts(&person, Claim::Signature));
        assert!(!of_person.accepts(&workflow("owner/repo"), Claim::Signature));
        assert_eq!(SignedBy::of(&person, Claim::Provenance), None);
        let glob = Signer {
            identity: "*@b.example".to_owned(),
            ..person
        };
        assert_eq!(SignedBy::of(&glob, Claim::Signature), None);
    }

    #[test]
    fn a_policy_that_can_never_hold_says_why() {
        let of = |issuer: &str, identity: &str| {
            let text = format!(r#"{{ "issuer": "{issuer}", "identity": "{identity}" }}"#);
            policy(&text).unwrap().contradiction()
        };
        assert!(of("https://gitlab.com", "group/project").is_some());
        assert!(of(GITHUB_ISSUER, "a@b.example").is_some());
        assert!(of(GITHUB_ISSUER, "*/release.yml@refs/tags/*").is_some());
        for (issuer, identity) in [
            ("https://gitlab.com", "https://gitlab.com/group/project//*"),
            (GITHUB_ISSUER, "https://github.com/owner/*"),
            ("https://accounts.example", "*@b.example"),
        ] {
            assert_eq!(of(issuer, identity), None, "{issuer} {identity}");
        }
    }
}
