//! What a registry or its token service takes for a login.

use std::fmt;

/// A login of the user.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::registry) enum Credential {
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

/// Shows the kind, never the secret.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password { .. } => "Credential::Password",
            Self::IdentityToken(_) => "Credential::IdentityToken",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_hides_secrets() {
        let password = Credential::Password {
            user: "me".to_owned(),
            password: "secret".to_owned(),
        };
        let shown = format!(
            "{password:?} {:?}",
            Credential::IdentityToken("secret".to_owned())
        );
        assert!(
            !shown.contains("me") && !shown.contains("secret"),
            "{shown}"
        );
    }
}
