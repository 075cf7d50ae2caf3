//! The files in which docker and podman keep credentials: `config.json` and
//! `auth.json` (containers-auth.json(5)).

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::credential::Credential;
use crate::json::{self, FileError};
use crate::reference::ImageName;
use crate::text::Plain;

const REMEDY: &str = "log in again with 'docker login' or 'podman login', or correct the file";

/// A file of credentials.
#[derive(Debug)]
pub(super) struct AuthFile {
    /// By registry, or by registry and the beginning of a repository.
    auths: HashMap<String, Result<Credential, String>>,
    helpers: BTreeMap<String, String>,
    store: Option<String>,
}

/// Where the credential of an image is.
pub(super) enum Source<'a> {
    /// In the file, or a bad entry of it.
    Here(&'a Result<Credential, String>),
    /// A credential helper has it, by this name.
    Helper(&'a str),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    // `null` is as good as absent, as for docker.
    auths: Option<BTreeMap<String, serde_json::Value>>,
    cred_helpers: Option<BTreeMap<String, Option<String>>>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl AuthFile {
    /// Parses `content`, which errors call `origin`.
    pub(super) fn parse(content: &[u8], origin: &str) -> Result<Self, FileError> {
        let document: Document = json::parse(content, origin, REMEDY)?;
        let mut auths = HashMap::new();
        for (key, entry) in document.auths.unwrap_or_default() {
            let Some(registry) = normal(&key) else {
                continue;
            };
            let entry = serde_json::from_value::<Option<Entry>>(entry);
            let entry = entry.map_err(|_| "has a field of another type");
            let entry = entry.and_then(|entry| entry.unwrap_or_default().credential());
            let entry =
                entry.map_err(|reason| format!("{}: '{}' {reason}", Plain(origin), Plain(&key)));
            if let Some(entry) = entry.transpose() {
                auths.insert(registry, entry);
            }
        }
        let helpers = document.cred_helpers.unwrap_or_default().into_iter();
        Ok(Self {
            auths,
            helpers: helpers
                .filter_map(|(key, helper)| Some((normal(&key)?, helper?)))
                .collect(),
            store: document.creds_store.filter(|store| !store.is_empty()),
        })
    }

    /// A file with these entries and no helper.
    #[cfg(test)]
    pub(super) fn of<const N: usize>(entries: [(&str, Credential); N]) -> Self {
        let auths = entries.map(|(key, credential)| (key.to_owned(), Ok(credential)));
        Self {
            auths: auths.into(),
            helpers: BTreeMap::new(),
            store: None,
        }
    }

    /// Where the credential for `image` is: with the registry's helper, else in the
    /// most specific entry, else with the helper for all registries. A registry's helper
    /// without a name stands for the entries.
    pub(super) fn source(&self, image: &ImageName) -> Option<Source<'_>> {
        let entry = || keys(image).find_map(|key| self.auths.get(&key).map(Source::Here));
        match self.helpers.get(image.registry()).map(String::as_str) {
            Some("") => entry(),
            Some(helper) => Some(Source::Helper(helper)),
            None => entry().or_else(|| self.store.as_deref().map(Source::Helper)),
        }
    }
}

impl Entry {
    fn credential(self) -> Result<Option<Credential>, &'static str> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(token) = given(self.identitytoken) {
            return Ok(Some(Credential::IdentityToken(token)));
        }
        if let Some(user) = given(self.username) {
            return Ok(Some(Credential::Password {
                user,
                password: self.password.unwrap_or_default(),
            }));
        }
        // An entry without any marks a login that a helper keeps.
        let Some(auth) = given(self.auth) else {
            return Ok(None);
        };
        let decoded = STANDARD.decode(auth.trim()).ok();
        let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or("has an 'auth' that is not base64 of text")?;
        let (user, password) = text
            .trim_end_matches('\0')
            .split_once(':')
            .ok_or("has an 'auth' without a colon")?;
        Ok(Some(Credential::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        }))
    }
}

/// The keys of entries for `image`, the most specific first: the repository, its
/// parents, the registry.
fn keys(image: &ImageName) -> impl Iterator<Item = String> {
    let full = format!("{}/{}", image.registry(), image.repository());
    std::iter::successors(Some(full), |key| {
        key.rsplit_once('/').map(|(parent, _)| parent.to_owned())
    })
}

/// A key of a file as an image name spells it: without the scheme and the path that
/// docker writes, and `docker.io` for Docker Hub. `None` for entries that are no
/// logins, such as docker's `https://index.docker.io/v1/access-token`.
fn normal(key: &str) -> Option<String> {
    let with_scheme = ["https://", "http://"];
    let rest = with_scheme
        .iter()
        .find_map(|scheme| key.strip_prefix(scheme));
    let trimmed = rest.unwrap_or(key).trim_end_matches('/');
    let (host, path) = trimmed.split_once('/').unwrap_or((trimmed, ""));
    let host = match host.to_ascii_lowercase().as_str() {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        host => host.to_owned(),
    };
    match path {
        "" | "v1" | "v2" => Some(host),
        _ if rest.is_some() => None,
        path => Some(format!("{host}/{path}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str) -> ImageName {
        name.parse().unwrap()
    }

    fn auth(user: &str) -> String {
        STANDARD.encode(format!("{user}:{user}'s"))
    }

    fn user_for(file: &AuthFile, name: &str) -> Option<String> {
        match file.source(&image(name))? {
            Source::Here(Ok(Credential::Password { user, .. })) => Some(user.clone()),
            Source::Here(Ok(Credential::IdentityToken(token))) => Some(format!("token {token}")),
            Source::Here(Err(reason)) => Some(reason.clone()),
            Source::Helper(helper) => Some(format!("helper {helper}")),
        }
    }

    #[test]
    fn reads_what_docker_and_podman_write() {
        let content = serde_json::json!({
            "auths": {
                "https://index.docker.io/v1/": { "auth": auth("hub") },
                "ghcr.io": { "auth": auth("github") },
                "quay.io/org": { "auth": auth("org") },
                "quay.io/org/app": { "auth": auth("app") },
                "https://index.docker.io/v1/access-token": { "auth": auth("not-a-login") },
                "https://index.docker.io/v1/refresh-token": { "auth": auth("not-a-login") },
                "null.example": null,
                "nulls.example": { "auth": null },
                "https://old.example/v1/": { "username": "old", "password": "old's" },
                "token.example": { "identitytoken": "abc", "auth": "" },
                "stored.example": {},
                "localhost:5000": { "auth": auth("local") },
                "file.example": { "auth": auth("file") },
            },
            "credHelpers": { "gcr.io": "gcloud", "localhost:5000": "pass", "file.example": "" },
            "HttpHeaders": { "User-Agent": "x" },
            "currentContext": "default",
        });
        let file = AuthFile::parse(content.to_string().as_bytes(), "config.json").unwrap();
        for (name, user) in [
            ("nextcloud", Some("hub")),
            ("docker.io/grafana/grafana", Some("hub")),
            ("ghcr.io/a/b", Some("github")),
            ("quay.io/org/app", Some("app")),
            ("quay.io/org/app/part", Some("app")),
            ("quay.io/org/application", Some("org")),
            ("quay.io/organisation/app", None),
            ("old.example/a", Some("old")),
            ("token.example/a", Some("token abc")),
            ("stored.example/a", None),
            ("null.example/a", None),
            ("nulls.example/a", None),
            ("gcr.io/a", Some("helper gcloud")),
            ("localhost:5000/a", Some("helper pass")),
            ("file.example/a", Some("file")),
            ("ghcr.io.evil.example/a", None),
        ] {
            assert_eq!(user_for(&file, name).as_deref(), user, "{name}");
        }
        let store = br#"{ "auths": { "a.io": {} }, "credsStore": "desktop" }"#;
        let file = AuthFile::parse(store, "config.json").unwrap();
        assert_eq!(user_for(&file, "a.io/a").as_deref(), Some("helper desktop"));
    }

    #[test]
    fn bad_files_are_named_and_their_secrets_are_not() {
        for (content, part) in [("", "the file is empty"), ("[", "config.json:1:1: EOF")] {
            let error = AuthFile::parse(content.as_bytes(), "config.json").unwrap_err();
            let error = error.to_string();
            assert!(error.contains(part), "{error}");
            assert!(error.ends_with(REMEDY), "{error}");
        }
        // A bad entry matters to its own registry only.
        for (entry, part) in [
            (
                "\"%%\"",
                "config.json: 'a.io' has an 'auth' that is not base64 of text",
            ),
            (
                "\"c2VjcmV0\"",
                "config.json: 'a.io' has an 'auth' without a colon",
            ),
            ("12", "config.json: 'a.io' has a field of another type"),
        ] {
            let content =
                format!(r#"{{"auths":{{"a.io":{{"auth":{entry}}}}},"credHelpers":null}}"#);
            let file = AuthFile::parse(content.as_bytes(), "config.json").unwrap();
            assert_eq!(user_for(&file, "a.io/a").as_deref(), Some(part));
            assert_eq!(user_for(&file, "b.io/a"), None);
        }
    }
}
