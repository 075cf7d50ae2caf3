//! Fetches tokens from token services, and writes `Authorization` headers.

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
    /// Fetches a token, and gives the `Authorization` header with it.
    pub(super) async fn send(
        &self,
        transport: &impl Transport,
        credential: Option<&Credential>,
    ) -> Result<HeaderValue, Refusal> {
        let response = transport.send(self.request(credential)).await;
        let mut response = response.map_err(Refusal::Cause)?;
        let status = response.status();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
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

/// The header with the token in the body of a token service.
pub(in crate::registry) fn parse(body: &[u8]) -> Result<HeaderValue, AuthProblem> {
    #[derive(Deserialize)]
    struct Body {
        token: Option<String>,
        access_token: Option<String>,
    }
    let body: Body = serde_json::from_slice(body).map_err(|_| AuthProblem::NoTokenBody)?;
    let tokens = [body.token, body.access_token];
    let token = tokens.into_iter().flatten().find(|token| !token.is_empty());
    let token = token.ok_or(AuthProblem::NoToken)?;
    secret(&format!("Bearer {token}")).ok_or(AuthProblem::BadToken)
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
        assert_eq!(parse(br#"{"token":"a"}"#).unwrap(), "Bearer a");
        assert_eq!(
            parse(br#"{"token":"","access_token":"b"}"#).unwrap(),
            "Bearer b"
        );
        assert!(parse(br#"{"token":"a"}"#).unwrap().is_sensitive());
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

    proptest! {
        #[test]
        fn a_token_is_sent_as_it_came(token in "[!-~]{1,80}") {
            let body = serde_json::json!({ "token": token }).to_string();
            let header = parse(body.as_bytes()).unwrap();
            prop_assert_eq!(header, format!("Bearer {token}"));
        }

        #[test]
        fn no_body_makes_a_header_of_two_lines(body: Vec<u8>) {
            if let Ok(header) = parse(&body) {
                prop_assert!(!header.as_bytes().contains(&b'\n'));
            }
        }
    }
}
