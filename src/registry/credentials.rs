//! Credentials as docker and podman keep them: `config.json`, `auth.json`
//! (containers-auth.json(5)) and credential helpers.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tokio::sync::OnceCell;

use super::helper;
use crate::json::{self, FileError};
use crate::name::ImageName;
use crate::text::Plain;

const REMEDY: &str = "log in anew with 'docker login' or 'podman login', or mend the file";
/// What Docker Hub is called in docker's own files and by its helpers.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// How long a helper may think; some ask a person.
const HELPER_TIMEOUT: Duration = Duration::from_secs(30);
/// The user name by which a helper says that the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// What proves to a registry who is asking.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credential {
    /// A user name and a password.
    Password {
        /// The user name.
        user: String,
        /// The password.
        password: String,
    },
    /// An `OAuth2` refresh token.
    IdentityToken(String),
}

/// Shows which kind it is, and never what it is.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password { .. } => "Credential::Password",
            Self::IdentityToken(_) => "Credential::IdentityToken",
        })
    }
}

/// Every credential file of this user, in the order in which they count.
#[derive(Default)]
pub(super) struct Credentials {
    files: Vec<AuthFile>,
    /// What helpers have said, by helper and registry: each is asked once.
    answers: Mutex<HashMap<(String, String), Asked>>,
}

/// A helper that is being asked, or has been.
type Asked = Arc<OnceCell<Answer>>;

/// A credential, if there is one, or why that cannot be said.
type Answer = Result<Option<Credential>, String>;

#[derive(Debug)]
struct AuthFile {
    /// By registry, or by registry and the start of a repository.
    auths: HashMap<String, Result<Credential, String>>,
    helpers: BTreeMap<String, String>,
    store: Option<String>,
}

/// Where a credential is to be had.
enum Source<'a> {
    Here(&'a Result<Credential, String>),
    Helper(&'a str),
}

impl Credentials {
    /// Reads the files that docker and podman read.
    ///
    /// # Errors
    /// Where one of them is there but cannot be read or is not well-formed.
    pub(super) fn of_user() -> Result<Self, FileError> {
        let variable = |name: &str| {
            let value = std::env::var_os(name)?;
            (!value.is_empty()).then(|| PathBuf::from(value))
        };
        let paths = paths(&variable);
        Self::read(paths.iter().map(PathBuf::as_path))
    }

    /// Reads those of `paths` that exist.
    fn read<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<Self, FileError> {
        let mut files = Vec::new();
        for path in paths {
            if path.exists() {
                let content = json::read_file(path, "see that you may read it")?;
                files.push(AuthFile::parse(&content, &path.display().to_string())?);
            }
        }
        Ok(Self {
            files,
            answers: Mutex::default(),
        })
    }

    /// Credentials, as if a file had them.
    #[cfg(test)]
    pub(super) fn of<const N: usize>(entries: [(&str, Credential); N]) -> Self {
        let auths = entries.map(|(key, credential)| (key.to_owned(), Ok(credential)));
        let file = AuthFile {
            auths: auths.into(),
            helpers: BTreeMap::new(),
            store: None,
        };
        Self {
            files: vec![file],
            answers: Mutex::default(),
        }
    }

    /// The credential for `image`, if there is one. The error says why a helper
    /// gave none.
    pub(super) async fn find(&self, image: &ImageName) -> Answer {
        for file in &self.files {
            match file.source(image) {
                None => {}
                Some(Source::Here(entry)) => return entry.clone().map(Some),
                Some(Source::Helper(helper)) => {
                    let registry = image.registry();
                    let key = (helper.to_owned(), registry.to_owned());
                    let cell = {
                        let mut answers =
                            self.answers.lock().unwrap_or_else(PoisonError::into_inner);
                        Arc::clone(answers.entry(key).or_default())
                    };
                    let answer = cell
                        .get_or_init(|| ask_helper(helper, registry))
                        .await
                        .clone();
                    if let Some(credential) = answer? {
                        return Ok(Some(credential));
                    }
                }
            }
        }
        Ok(None)
    }
}

/// The files, those that count first before the others.
fn paths(variable: &dyn Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    const CONTAINERS: &str = "containers/auth.json";
    let home = variable("HOME");
    if let Some(path) = variable("REGISTRY_AUTH_FILE") {
        return vec![path];
    }
    let config = variable("XDG_CONFIG_HOME").or_else(|| Some(home.as_ref()?.join(".config")));
    let docker = variable("DOCKER_CONFIG").or_else(|| Some(home?.join(".docker")));
    [
        variable("XDG_RUNTIME_DIR").map(|folder| folder.join(CONTAINERS)),
        config.map(|folder| folder.join(CONTAINERS)),
        docker.map(|folder| folder.join("config.json")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    // What is `null` is not there, as docker has it.
    auths: Option<BTreeMap<String, Option<Entry>>>,
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
    fn parse(content: &[u8], origin: &str) -> Result<Self, FileError> {
        let document: Document = json::parse(content, origin, REMEDY)?;
        let mut auths = HashMap::new();
        for (key, entry) in document.auths.unwrap_or_default() {
            let Some(registry) = normal(&key) else {
                continue;
            };
            let entry = entry.unwrap_or_default().credential();
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

    /// A helper named for the registry, then the entry that fits best, then the
    /// helper for all registries.
    fn source(&self, image: &ImageName) -> Option<Source<'_>> {
        let helper = self.helpers.get(image.registry());
        let helper = helper.map(|helper| Source::Helper(helper));
        let entry = || keys(image).find_map(|key| self.auths.get(&key).map(Source::Here));
        let store = || self.store.as_deref().map(Source::Helper);
        helper.or_else(entry).or_else(store)
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
        // Without any, a helper keeps the login.
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

/// The keys under which a credential for `image` may stand, the most particular
/// first: the repository, what it is within, the registry.
fn keys(image: &ImageName) -> impl Iterator<Item = String> {
    let full = format!("{}/{}", image.registry(), image.repository());
    std::iter::successors(Some(full), |key| {
        key.rsplit_once('/').map(|(parent, _)| parent.to_owned())
    })
}

/// A key without scheme and, as docker writes them, without the path behind a
/// host that has a scheme; Docker Hub under its one name. `None` for what docker
/// keeps there beside the logins (`https://index.docker.io/v1/access-token`).
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
        // `index.docker.io/v1/` is how docker writes Docker Hub.
        "" | "v1" | "v2" => Some(host),
        _ if rest.is_some() => None,
        path => Some(format!("{host}/{path}")),
    }
}

/// What a helper calls a registry.
fn server_of(registry: &str) -> &str {
    match registry {
        "docker.io" => DOCKER_HUB_KEY,
        registry => registry,
    }
}

/// Asks `docker-credential-HELPER` (docker's credential helper protocol).
async fn ask_helper(helper: &str, registry: &str) -> Answer {
    let program = format!("docker-credential-{helper}");
    let failed = |reason: &str| format!("{}: {}", Plain(&program), Plain(reason));
    if helper.contains('/') {
        return Err(failed("a helper is a name, not a path"));
    }
    let server = server_of(registry);
    let mut command = Command::new(&program);
    let exchange = helper::ask(command.arg("get"), server.as_bytes());
    let output = match tokio::time::timeout(HELPER_TIMEOUT, exchange).await {
        Err(_) => return Err(failed("it does not answer in time")),
        Ok(Err(error)) => return Err(failed(&json::plain(&error))),
        Ok(Ok(output)) => output,
    };
    read_answer(&program, &output)
}

fn read_answer(program: &str, output: &Output) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Login {
        username: String,
        secret: String,
    }
    let failed = |reason: &str| format!("{}: {}", Plain(program), Plain(reason));
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        return if said.contains("credentials not found") {
            Ok(None)
        } else {
            Err(failed(said.trim()))
        };
    }
    let answer: Login = serde_json::from_slice(&output.stdout)
        .map_err(|_| failed("its answer is no JSON with a user name and a secret"))?;
    Ok(match (answer.username.as_str(), answer.secret) {
        (_, secret) if secret.is_empty() => None,
        (TOKEN_USER, secret) => Some(Credential::IdentityToken(secret)),
        (user, password) => Some(Credential::Password {
            user: user.to_owned(),
            password,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn image(name: &str) -> ImageName {
        name.parse().unwrap()
    }

    fn password(user: &str) -> Credential {
        Credential::Password {
            user: user.to_owned(),
            password: format!("{user}'s"),
        }
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
            },
            "credHelpers": { "gcr.io": "gcloud", "localhost:5000": "pass" },
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
        // One bad entry is the affair of its own registry.
        for (entry, part) in [
            (
                "%%",
                "config.json: 'a.io' has an 'auth' that is not base64 of text",
            ),
            (
                "c2VjcmV0",
                "config.json: 'a.io' has an 'auth' without a colon",
            ),
        ] {
            let content =
                format!(r#"{{"auths":{{"a.io":{{"auth":"{entry}"}}}},"credHelpers":null}}"#);
            let file = AuthFile::parse(content.as_bytes(), "config.json").unwrap();
            assert_eq!(user_for(&file, "a.io/a").as_deref(), Some(part));
            assert_eq!(user_for(&file, "b.io/a"), None);
        }
        assert!(!format!("{:?}", password("me")).contains("me"));
        assert_eq!(server_of("docker.io"), "https://index.docker.io/v1/");
        assert_eq!(server_of("ghcr.io"), "ghcr.io");
    }

    #[test]
    fn the_files_are_where_docker_and_podman_look() {
        let with = |pairs: &'static [(&str, &str)]| {
            let found = paths(&|name| {
                let pair = pairs.iter().find(|(key, _)| *key == name);
                pair.map(|(_, value)| PathBuf::from(value))
            });
            let names = found.iter().map(|path| path.display().to_string());
            names.collect::<Vec<_>>()
        };
        assert_eq!(
            with(&[("HOME", "/h")]),
            ["/h/.config/containers/auth.json", "/h/.docker/config.json"]
        );
        assert_eq!(
            with(&[
                ("HOME", "/h"),
                ("XDG_RUNTIME_DIR", "/r"),
                ("XDG_CONFIG_HOME", "/c"),
                ("DOCKER_CONFIG", "/d")
            ]),
            [
                "/r/containers/auth.json",
                "/c/containers/auth.json",
                "/d/config.json"
            ]
        );
        assert_eq!(
            with(&[("HOME", "/h"), ("REGISTRY_AUTH_FILE", "/f")]),
            ["/f"]
        );
        assert!(with(&[]).is_empty());
    }

    /// Runs with a helper that prints `answer` and ends with `code`.
    async fn helped(answer: &str, code: u8) -> Answer {
        let folder = tempfile::tempdir().unwrap();
        let helper = folder.path().join("docker-credential-test");
        let script = format!("#!/bin/sh\ncat >/dev/null\nprintf '%s' '{answer}'\nexit {code}\n");
        std::fs::write(&helper, script).unwrap();
        std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
        // The name may be looked up on PATH only, which tests must not change.
        let mut command = Command::new(&helper);
        let output = helper::ask(command.arg("get"), b"a.io").await;
        read_answer("docker-credential-test", &output.unwrap())
    }

    #[tokio::test]
    async fn a_helper_answers_in_its_protocol() {
        let answer = r#"{"ServerURL":"a","Username":"me","Secret":"s"}"#;
        let credential = helped(answer, 0).await.unwrap();
        assert!(matches!(credential, Some(Credential::Password { .. })));
        let token = r#"{"ServerURL":"a","Username":"<token>","Secret":"s"}"#;
        let credential = helped(token, 0).await.unwrap();
        assert_eq!(credential, Some(Credential::IdentityToken("s".to_owned())));
        let none = "credentials not found in native keychain";
        assert_eq!(helped(none, 1).await, Ok(None));
        let error = helped("keychain is locked", 1).await.unwrap_err();
        assert_eq!(error, "docker-credential-test: keychain is locked");
        assert!(helped("no json", 0).await.unwrap_err().contains("no JSON"));
        let missing = ask_helper("not-on-this-machine", "a.io").await.unwrap_err();
        assert!(missing.contains("No such file"), "{missing}");
        assert!(
            ask_helper("../x", "a.io")
                .await
                .unwrap_err()
                .contains("not a path")
        );
    }
}
