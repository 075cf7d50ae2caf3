//! Fetches tokens from token services, and writes `Authorization` headers.

use std::ops::RangeInclusive;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

use super::challenge::TokenService;
use super::credential::Credential;
use crate::reference::ImageName;
use crate::registry::address::ChosenBy;
use crate::registry::error::{AuthProblem, Cause, Content, Login};
use crate::registry::transport::{Request, Transport};

/// Largest body of a token service, in bytes.
const LARGEST_TOKEN: usize = 64 << 10;
/// How long a token is valid, in seconds: at least so long, also where its service does not
/// say so, and so long at most.
const LIFETIME: RangeInclusive<u64> = 60..=86_400;
/// The client's name for token services that speak `OAuth2`.
const CLIENT_ID: &str = "nix-oci-hashes";

/// A request for a token to pull.
pub(super) struct TokenRequest<'a> {
    pub(super) image: &'a ImageName,
    pub(super) service: &'a TokenService,
    /// One for each repository.
    pub(super) scopes: Vec<String>,
    /// Who chose the host of the service.
    pub(super) chosen_by: ChosenBy,
}

/// A token of a token service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::registry) struct Token {
    /// The `Authorization` header with it.
    pub(super) header: HeaderValue,
    /// How long it is valid.
    pub(super) lifetime: Duration,
}

/// Why a token service gives no token.
pub(super) enum Refusal {
    /// It refused the login, or the lack of one, with this status.
    Login(StatusCode),
    Problem(AuthProblem),
    Cause(Cause),
}

impl Refusal {
    pub(super) fn into_cause(self, login: Login) -> Cause {
        let problem = match self {
            Self::Cause(cause) => return cause,
            Self::Problem(problem) => problem,
            Self::Login(status) => AuthProblem::TokenServiceStatus {
                status,
                message: None,
            },
        };
        Cause::Denied { problem, login }
    }
}

impl TokenRequest<'_> {
    /// Fetches a token.
    pub(super) async fn send(
        &self,
        transport: &impl Transport,
        credential: Option<&Credential>,
    ) -> Result<Token, Refusal> {
        let response = transport.send(self.request(credential)).await;
        let mut response = response.map_err(Refusal::Cause)?;
        let status = response.status();
        let is_refused = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => true,
            // What OAuth2 (RFC 6749, section 5.2) answers to an expired token.
            StatusCode::BAD_REQUEST => matches!(credential, Some(Credential::IdentityToken(_))),
            _ => false,
        };
        if is_refused {
            return Err(Refusal::Login(status));
        }
        if !status.is_success() {
            let retry_after = response.retry_after();
            let message = response.error_message().await;
            let is_transient = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
            return Err(if is_transient {
                Refusal::Cause(Cause::TokenService {
                    status,
                    message,
                    retry_after,
                })
            } else {
                Refusal::Problem(AuthProblem::TokenServiceStatus { status, message })
            });
        }
        let body = match response.read(Content::Token, LARGEST_TOKEN).await {
            Err(Cause::TooLarge { .. }) => {
                return Err(Refusal::Problem(AuthProblem::TokenTooLarge));
            }
            body => body.map_err(Refusal::Cause)?,
        };
        parse(&body).map_err(Refusal::Problem)
    }

    fn request(&self, credential: Option<&Credential>) -> Request {
        let TokenService { realm, service, .. } = self.service;
        let new = |method, url: Url| {
            let request = Request::new(self.image, Content::Token, method, url.clone());
            request.at(url, self.chosen_by)
        };
        if let Some(Credential::IdentityToken(token)) = credential {
            let form = oauth2_form(service.as_deref(), &self.scopes, token);
            return new(Method::POST, realm.clone()).with_form(form);
        }
        let url = url(realm, service.as_deref(), &self.scopes);
        new(Method::GET, url).with_authorization(credential.and_then(basic))
    }
}

/// The URL for a token, without a credential or with a password.
pub(in crate::registry) fn url(realm: &Url, service: Option<&str>, scopes: &[String]) -> Url {
    let mut url = realm.clone();
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = service {
            query.append_pair("service", service);
        }
        for scope in scopes {
            query.append_pair("scope", scope);
        }
    }
    url
}

/// The form that exchanges an identity token for a token to pull (distribution's
/// specification of `OAuth2` token authentication).
fn oauth2_form(
    service: Option<&str>,
    scopes: &[String],
    identity_token: &str,
) -> Vec<(&'static str, String)> {
    vec![
        ("grant_type", "refresh_token".to_owned()),
        ("client_id", CLIENT_ID.to_owned()),
        ("service", service.unwrap_or_default().to_owned()),
        ("scope", scopes.join(" ")),
        ("refresh_token", identity_token.to_owned()),
    ]
}

/// The header with a user name and a password (RFC 7617); `None` for an identity
/// token, which only a token service takes.
pub(super) fn basic(credential: &Credential) -> Option<HeaderValue> {
    let Credential::Password { user, password } = credential else {
        return None;
    };
    secret(&format!(
        "Basic {}",
        STANDARD.encode(format!("{user}:{password}"))
    ))
}

/// The token in the body of a token service.
pub(in crate::registry) fn parse(body: &[u8]) -> Result<Token, AuthProblem> {
    #[derive(Deserialize)]
    struct Body {
        token: Option<String>,
        access_token: Option<String>,
        #[serde(default)]
        expires_in: serde_json::Value,
    }
    let body: Body = serde_json::from_slice(body).map_err(|_| AuthProblem::NoTokenBody)?;
    let tokens = [body.token, body.access_token];
    let token = tokens.into_iter().flatten().find(|token| !token.is_empty());
    let token = token.ok_or(AuthProblem::NoToken)?;
    let header = secret(&format!("Bearer {token}")).ok_or(AuthProblem::BadToken)?;
    let lifetime = body.expires_in.as_u64().unwrap_or_default();
    let lifetime = lifetime.clamp(*LIFETIME.start(), *LIFETIME.end());
    Ok(Token {
        header,
        lifetime: Duration::from_secs(lifetime),
    })
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

    #[test]
    fn a_token_is_one_that_a_header_can_hold() {
        let header = |body: &[u8]| parse(body).unwrap().header;
        assert_eq!(header(br#"{"token":"a"}"#), "Bearer a");
        assert_eq!(header(br#"{"token":"","access_token":"b"}"#), "Bearer b");
        assert!(header(br#"{"token":"a"}"#).is_sensitive());
        for (other, problem) in [
            ("", AuthProblem::NoTokenBody),
            ("{}", AuthProblem::NoToken),
            ("[]", AuthProblem::NoTokenBody),
            (r#"{"token":"a\r\nX-Evil: 1"}"#, AuthProblem::BadToken),
            (r#"{"token":1}"#, AuthProblem::NoTokenBody),
        ] {
            assert_eq!(parse(other.as_bytes()), Err(problem), "{other}");
        }
    }

    #[test]
    fn a_token_is_valid_for_a_minute_or_as_long_as_its_service_says() {
        for (of, seconds) in [
            ("", 60),
            (r#","expires_in":300"#, 300),
            (r#","expires_in":5"#, 60),
            (r#","expires_in":18446744073709551615"#, 86_400),
            (r#","expires_in":"300""#, 60),
        ] {
            let token = parse(format!("{{\"token\":\"a\"{of}}}").as_bytes()).unwrap();
            assert_eq!(token.lifetime, Duration::from_secs(seconds), "{of}");
        }
    }

    proptest! {
        #[test]
        fn a_token_is_sent_as_it_came(token in "[!-~]{1,80}") {
            let body = serde_json::json!({ "token": token }).to_string();
            let parsed = parse(body.as_bytes()).unwrap();
            prop_assert_eq!(parsed.header, format!("Bearer {token}"));
        }

        #[test]
        fn no_body_makes_a_header_of_two_lines(body: Vec<u8>) {
            if let Ok(token) = parse(&body) {
                prop_assert!(!token.header.as_bytes().contains(&b'\n'));
            }
        }
    }
}
