//! The user's credentials, as docker and podman keep them: in files, or with a
//! credential helper.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::OnceCell;

use super::credential::Credential;
use super::credential_file::{AuthFile, Source};
use super::helper;
use crate::json::{self, FileError};
use crate::lock::lock;
use crate::reference::ImageName;
use crate::text::Plain;

/// The variable that names the only file.
const AUTH_FILE: &str = "REGISTRY_AUTH_FILE";
/// Docker Hub's name for credential helpers.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// Helper timeout; some prompt the user.
const HELPER_TIMEOUT: Duration = Duration::from_secs(30);
/// The user name by which a helper says that the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// The credential files of the user, by precedence.
#[derive(Default)]
pub(in crate::registry) struct Credentials {
    files: Vec<AuthFile>,
    /// Why the file that the user names cannot be read.
    unreadable: Option<String>,
    /// The answers of helpers, by helper and registry: each is run once.
    answers: Mutex<HashMap<(String, String), Helper>>,
}

/// A helper for one registry: its answer, once it has run.
type Helper = Arc<OnceCell<Answer>>;

/// A credential if there is one, or why that is unknown.
type Answer = Result<Option<Credential>, String>;

impl Credentials {
    /// Reads the files that docker and podman read.
    ///
    /// # Errors
    /// Where one of them exists but cannot be read or is malformed.
    pub(in crate::registry) fn of_user() -> Result<Self, FileError> {
        let variable = |name: &str| {
            let value = std::env::var_os(name)?;
            (!value.is_empty()).then(|| PathBuf::from(value))
        };
        let paths = paths(&variable);
        let credentials = Self::read(paths.iter().map(PathBuf::as_path))?;
        let unreadable = variable(AUTH_FILE).and_then(|path| {
            let error = path.metadata().err()?;
            let (path, error) = (path.display().to_string(), json::plain(&error));
            Some(format!("{AUTH_FILE} names {}: {error}", Plain(&path)))
        });
        Ok(Self {
            unreadable,
            ..credentials
        })
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
            unreadable: None,
            answers: Mutex::default(),
        })
    }

    /// Credentials as of a file with these entries.
    #[cfg(test)]
    pub(in crate::registry) fn of<const N: usize>(entries: [(&str, Credential); N]) -> Self {
        Self {
            files: vec![AuthFile::of(entries)],
            unreadable: None,
            answers: Mutex::default(),
        }
    }

    /// The credential for `image`, if there is one. The error says why a helper gave
    /// none, or why the file that the user names is not there.
    pub(super) async fn find(&self, image: &ImageName) -> Answer {
        for file in &self.files {
            match file.source(image) {
                None => {}
                Some(Source::Here(entry)) => return entry.clone().map(Some),
                Some(Source::Helper(helper)) => {
                    let registry = image.registry();
                    let key = (helper.to_owned(), registry.to_owned());
                    let cell = Arc::clone(lock(&self.answers).entry(key).or_default());
                    let answer = cell
                        .get_or_init(|| run_helper(helper, registry))
                        .await
                        .clone();
                    if let Some(credential) = answer? {
                        return Ok(Some(credential));
                    }
                }
            }
        }
        self.unreadable.clone().map_or(Ok(None), Err)
    }
}

/// The files, by precedence.
fn paths(variable: &dyn Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    const CONTAINERS: &str = "containers/auth.json";
    let home = variable("HOME");
    if let Some(path) = variable(AUTH_FILE) {
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

/// The name of a registry for helpers.
fn server_of(registry: &str) -> &str {
    match registry {
        "docker.io" => DOCKER_HUB_KEY,
        registry => registry,
    }
}

/// Runs `docker-credential-HELPER get` (docker's credential helper protocol).
async fn run_helper(helper: &str, registry: &str) -> Answer {
    let program = format!("docker-credential-{helper}");
    let failed = |reason: &str| format!("{}: {}", Plain(&program), Plain(reason));
    if helper.contains('/') {
        return Err(failed("a helper is a name, not a path"));
    }
    let server = server_of(registry);
    let mut command = Command::new(&program);
    let run = helper::run(command.arg("get"), server.as_bytes());
    let output = match tokio::time::timeout(HELPER_TIMEOUT, run).await {
        Err(_) => return Err(failed("it did not exit in time")),
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
        // The protocol's way to say that there is no login.
        return if said.contains("credentials not found") {
            Ok(None)
        } else {
            Err(failed(said.trim()))
        };
    }
    let answer: Login = serde_json::from_slice(&output.stdout)
        .map_err(|_| failed("its output is no JSON with a user name and a secret"))?;
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

    #[test]
    fn docker_hub_has_another_name_for_helpers() {
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
        let output = helper::run(command.arg("get"), b"a.io").await;
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
        let missing = run_helper("not-on-this-machine", "a.io").await.unwrap_err();
        assert!(missing.contains("No such file"), "{missing}");
        assert!(
            run_helper("../x", "a.io")
                .await
                .unwrap_err()
                .contains("not a path")
        );
    }
}
