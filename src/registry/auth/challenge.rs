//! Challenges of a registry: `WWW-Authenticate` (RFC 9110, section 11.6.1).

use http_auth::{ChallengeParser, ChallengeRef};
use reqwest::Url;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

use crate::reference::ImageName;
use crate::registry::address::{is_loopback_url, is_private_host, same_site, upgraded};
use crate::registry::error::AuthProblem;

/// What a registry wants in the `Authorization` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::registry) enum Challenge {
    /// A token of this service.
    Bearer(TokenService),
    /// A user name and a password.
    Basic,
}

/// A service that gives out tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::registry) struct TokenService {
    pub(in crate::registry) realm: Url,
    /// The service's name for the registry.
    pub(in crate::registry) service: Option<String>,
    scope: Option<String>,
}

impl Challenge {
    /// The challenge of a 401 from `from`; a token is preferred to a password. `None`
    /// where it has none that is understood.
    pub(in crate::registry) fn of(headers: &HeaderMap, from: &Url) -> Option<Self> {
        let mut basic = None;
        for value in headers.get_all(WWW_AUTHENTICATE) {
            let Ok(value) = value.to_str() else { continue };
            // A syntax error ends the header, not the search.
            for challenge in ChallengeParser::new(value).map_while(Result::ok) {
                if challenge.scheme.eq_ignore_ascii_case("bearer") {
                    return TokenService::of(&challenge, from).map(Self::Bearer);
                }
                if challenge.scheme.eq_ignore_ascii_case("basic") {
                    basic = Some(Self::Basic);
                }
            }
        }
        basic
    }
}

impl TokenService {
    fn of(challenge: &ChallengeRef<'_>, from: &Url) -> Option<Self> {
        let parameter = |name: &str| {
            let mut pairs = challenge.params.iter();
            let (_, value) = pairs.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
            Some(value.to_unescaped())
        };
        let realm = from.join(&parameter("realm")?).ok()?;
        Some(Self {
            realm: upgraded(realm, from),
            service: parameter("service"),
            scope: parameter("scope"),
        })
    }

    /// Whether the service may get the user's credential, for a challenge of the host
    /// of `from`.
    ///
    /// # Errors
    /// Where the service must get no request at all.
    pub(in crate::registry) fn takes_credentials(&self, from: &Url) -> Result<bool, AuthProblem> {
        let realm = &self.realm;
        let is_https = realm.scheme() == "https";
        if is_loopback_url(from) {
            // A service elsewhere is not part of this machine's registry.
            let is_web = is_https || realm.scheme() == "http";
            return if is_loopback_url(realm) && is_web {
                Ok(true)
            } else if is_https {
                Ok(false)
            } else {
                Err(AuthProblem::TokenServiceWithoutTls(realm.clone()))
            };
        }
        if is_private_host(realm) {
            return Err(AuthProblem::PrivateTokenService(realm.clone()));
        }
        // The user allowed plain http for this host.
        let is_allowed_http = realm.scheme() == "http"
            && from.scheme() == "http"
            && realm.host_str() == from.host_str();
        if is_https || is_allowed_http {
            Ok(is_https && from.scheme() == "https" && same_site(realm, from))
        } else {
            Err(AuthProblem::TokenServiceWithoutTls(realm.clone()))
        }
    }

    /// The scope of a token to pull `image`. A host other than its registry may have
    /// another name for the repository, which its challenge says.
    pub(super) fn scope_for(&self, image: &ImageName, is_registry: bool) -> String {
        match &self.scope {
            Some(scope) if !is_registry && scope.ends_with(":pull") => scope.clone(),
            _ => format!("repository:{}:pull", image.repository()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use reqwest::header::HeaderValue;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn challenge(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        Challenge::of(&headers, &url("https://r.example/v2/"))
    }

    #[test]
    fn reads_the_challenges_registries_send() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer(TokenService {
                realm: url(realm),
                service: service.map(str::to_owned),
                scope: None,
            }))
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
            Some(Challenge::Basic)
        );
        for other in [
            &[][..],
            &["Negotiate"],
            &["Bearer service=\"x\""],
            &["\"\""],
        ] {
            assert_eq!(challenge(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_credential_stays_within_the_site_and_tls() {
        let hub = "https://registry-1.docker.io/v2/";
        let local = "http://127.0.0.1:5000/v2/";
        let plain = "http://10.0.0.7:5000/v2/";
        for (realm, from, takes_credentials) in [
            ("https://auth.docker.io/token", hub, Some(true)),
            ("https://evil.example/token", hub, Some(false)),
            ("http://auth.docker.io/token", hub, None),
            ("https://127.0.0.1/token", hub, None),
            ("https://169.254.169.254/token", hub, None),
            ("https://localhost/token", hub, None),
            ("file:///etc/passwd", hub, None),
            ("http://127.0.0.1:5001/token", local, Some(true)),
            ("https://evil.example/token", local, Some(false)),
            ("http://evil.example/token", local, None),
            ("http://10.0.0.7:5001/t", plain, Some(false)),
            ("https://10.0.0.7:5001/t", plain, Some(false)),
            ("http://10.0.0.8/t", plain, None),
        ] {
            let service = TokenService {
                realm: url(realm),
                service: None,
                scope: None,
            };
            let found = service.takes_credentials(&url(from)).ok();
            assert_eq!(found, takes_credentials, "{realm} {from}");
        }
    }

    proptest! {
        #[test]
        fn a_service_that_takes_credentials_is_of_the_registrys_site(value in "[ -~]{0,80}") {
            let registry = url("https://r.example/v2/");
            for value in [value.clone(), format!("Bearer realm={value}"), format!("Bearer realm=\"{value}\"")] {
                if let Some(Challenge::Bearer(service)) = challenge(&[&value])
                    && service.takes_credentials(&registry) == Ok(true)
                {
                    prop_assert_eq!(service.realm.scheme(), "https");
                    prop_assert!(same_site(&service.realm, &registry));
                }
            }
        }
    }
}
