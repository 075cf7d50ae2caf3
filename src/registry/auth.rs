//! What a registry's challenge asks for (distribution's token authentication
//! specification, and RFC 7617), and who is given what in answer.
//!
//! A credential goes to its registry, or to a token service of the registry's
//! own site, over TLS or within this machine. A token goes to the host that
//! asked for it.

use http_auth::{ChallengeParser, ChallengeRef};
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;

use super::address::{is_loopback_url, is_private_place, same_site, upgraded};
use super::credentials::Credential;
use super::error::without_query;
use crate::text::Quoted;

/// Largest answer of a token service, in bytes.
pub(super) const LARGEST_TOKEN: usize = 64 << 10;
/// Who asks a token service that speaks `OAuth2`.
const CLIENT_ID: &str = "nix-oci-hashes";

/// How a registry wants to be told who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// With a token that this service gives out.
    Bearer {
        /// The service's address.
        realm: Url,
        /// What the service calls the registry.
        service: Option<String>,
        /// What the registry wants to be asked for.
        scope: Option<String>,
    },
    /// With a user name and a password.
    Basic,
}

impl Challenge {
    /// The challenge of a 401, a token before a password. The error says what
    /// is wrong with it.
    pub(super) fn of(headers: &HeaderMap, base: &Url) -> Result<Self, String> {
        let mut basic = false;
        for value in headers.get_all(WWW_AUTHENTICATE) {
            let Ok(value) = value.to_str() else { continue };
            // What cannot be parsed ends the header, not the search.
            for challenge in ChallengeParser::new(value).map_while(Result::ok) {
                if challenge.scheme.eq_ignore_ascii_case("bearer") {
                    return Self::bearer(&challenge, base);
                }
                basic |= challenge.scheme.eq_ignore_ascii_case("basic");
            }
        }
        if basic {
            Ok(Self::Basic)
        } else {
            Err("it does not say how to log in".to_owned())
        }
    }

    fn bearer(challenge: &ChallengeRef<'_>, base: &Url) -> Result<Self, String> {
        let parameter = |name: &str| {
            let mut pairs = challenge.params.iter();
            let (_, value) = pairs.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
            Some(value.to_unescaped())
        };
        let realm = parameter("realm").ok_or("it names no token service")?;
        let realm = base.join(&realm).map_err(|error| {
            format!(
                "its token service {} is no address: {error}",
                Quoted(&realm)
            )
        })?;
        Ok(Self::Bearer {
            realm: upgraded(realm, base),
            service: parameter("service"),
            scope: parameter("scope"),
        })
    }
}

/// Whether the token service at `realm` may be asked by a client of the
/// registry at `base`, and if so whether with a credential. The error says why
/// not.
pub(super) fn may_be_asked(realm: &Url, base: &Url) -> Result<Trust, String> {
    let at = Quoted(&without_query(realm.as_str())).to_string();
    if is_loopback_url(base) {
        // Whatever runs on this machine, a token service elsewhere is not it.
        return if is_loopback_url(realm) && matches!(realm.scheme(), "http" | "https") {
            Ok(Trust::Credential)
        } else if realm.scheme() == "https" {
            Ok(Trust::Anonymous)
        } else {
            Err(format!("its token service {at} is not asked over TLS"))
        };
    }
    if is_private_place(realm) {
        return Err(format!(
            "its token service {at} is within this machine's own network"
        ));
    }
    match realm.scheme() {
        "https" if base.scheme() == "https" && same_site(realm, base) => Ok(Trust::Credential),
        "https" => Ok(Trust::Anonymous),
        // A registry that is asked over plain http by the user's own word.
        "http" if base.scheme() == "http" && realm.host_str() == base.host_str() => {
            Ok(Trust::Anonymous)
        }
        _ => Err(format!("its token service {at} is not asked over TLS")),
    }
}

/// What a host may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Who is asking.
    Credential,
    /// That somebody is asking.
    Anonymous,
}

/// The address to ask for a token to pull `repository`, without a credential
/// or with a password.
pub(super) fn token_url(realm: &Url, service: Option<&str>, scope: &str) -> Url {
    let mut url = realm.clone();
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = service {
            query.append_pair("service", service);
        }
        query.append_pair("scope", scope);
    }
    url
}

/// The form by which an identity token is traded for a token to pull (`OAuth2`,
/// as distribution's specification has it).
pub(super) fn oauth2_form(
    service: Option<&str>,
    scope: &str,
    identity_token: String,
) -> Vec<(&'static str, String)> {
    vec![
        ("grant_type", "refresh_token".to_owned()),
        ("client_id", CLIENT_ID.to_owned()),
        ("service", service.unwrap_or_default().to_owned()),
        ("scope", scope.to_owned()),
        ("refresh_token", identity_token),
    ]
}

/// The header for a user name and a password; `None` for an identity token,
/// which is nothing to log in with directly.
pub(super) fn basic(credential: &Credential) -> Option<HeaderValue> {
    use base64::Engine as _;
    let Credential::Password { user, password } = credential else {
        return None;
    };
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    secret(&format!("Basic {pair}"))
}

/// The header for the token in a token service's answer.
pub(super) fn bearer(body: &[u8]) -> Result<HeaderValue, String> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|_| "its token service does not answer with a token".to_owned())?;
    let tokens = [answer.token, answer.access_token];
    let token = tokens.into_iter().flatten().find(|token| !token.is_empty());
    let token = token.ok_or("its token service answers without a token")?;
    secret(&format!("Bearer {token}"))
        .ok_or_else(|| "its token service answers with a token that no header can hold".to_owned())
}

fn secret(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn challenge(values: &[&str]) -> Result<Challenge, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        Challenge::of(&headers, &url("https://r.example/v2/"))
    }

    #[test]
    fn reads_the_challenges_registries_send() {
        let bearer = |realm: &str, service: Option<&str>| {
            Ok(Challenge::Bearer {
                realm: url(realm),
                service: service.map(str::to_owned),
                scope: None,
            })
        };
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io""#;
        let expected = bearer("https://auth.docker.io/token", Some("registry.docker.io"));
        assert_eq!(challenge(&[hub]), expected);
        assert_eq!(challenge(&["Basic realm=\"x\"", hub]), expected);
        assert_eq!(challenge(&[&format!("Basic realm=\"x\", {hub}")]), expected);
        let relative = bearer("https://r.example/token", None);
        assert_eq!(challenge(&["bearer realm=\"/token\""]), relative);
        assert_eq!(
            challenge(&["Basic realm=\"Registry Realm\""]),
            Ok(Challenge::Basic)
        );
        for other in [
            &[][..],
            &["Negotiate"],
            &["Bearer service=\"x\""],
            &["\"\""],
        ] {
            assert!(challenge(other).is_err(), "{other:?}");
        }
    }

    #[test]
    fn a_credential_stays_within_the_site_and_tls() {
        let hub = "https://registry-1.docker.io/v2/";
        let local = "http://127.0.0.1:5000/v2/";
        for (realm, base, trust) in [
            ("https://auth.docker.io/token", hub, Some(Trust::Credential)),
            ("https://evil.example/token", hub, Some(Trust::Anonymous)),
            ("http://auth.docker.io/token", hub, None),
            ("https://127.0.0.1/token", hub, None),
            ("https://169.254.169.254/token", hub, None),
            ("https://localhost/token", hub, None),
            ("file:///etc/passwd", hub, None),
            (
                "http://127.0.0.1:5001/token",
                local,
                Some(Trust::Credential),
            ),
            ("https://evil.example/token", local, Some(Trust::Anonymous)),
            ("http://evil.example/token", local, None),
            (
                "http://10.0.0.7:5001/t",
                "http://10.0.0.7:5000/v2/",
                Some(Trust::Anonymous),
            ),
            (
                "https://10.0.0.7:5001/t",
                "http://10.0.0.7:5000/v2/",
                Some(Trust::Anonymous),
            ),
            ("http://10.0.0.8/t", "http://10.0.0.7:5000/v2/", None),
        ] {
            assert_eq!(
                may_be_asked(&url(realm), &url(base)).ok(),
                trust,
                "{realm} {base}"
            );
        }
    }

    #[test]
    fn a_token_is_one_that_a_header_can_hold() {
        assert_eq!(bearer(br#"{"token":"a"}"#).unwrap(), "Bearer a");
        assert_eq!(
            bearer(br#"{"token":"","access_token":"b"}"#).unwrap(),
            "Bearer b"
        );
        assert!(bearer(br#"{"token":"a"}"#).unwrap().is_sensitive());
        for other in [
            "",
            "{}",
            "[]",
            r#"{"token":"a\r\nX-Evil: 1"}"#,
            r#"{"token":1}"#,
        ] {
            assert!(bearer(other.as_bytes()).is_err(), "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(value in "[ -~]{0,80}", body: Vec<u8>) {
            let _ = challenge(&[&value]);
            let _ = challenge(&[&format!("Bearer realm={value}")]);
            let _ = bearer(&body);
        }
    }
}
