//! Remedies for errors that name flags and verbs of this command.

use nix_oci_hashes::refresh::Problem;
use nix_oci_hashes::registry::{Cause, ConnectProblem, RegistryError};
use nix_oci_hashes::resolve::ResolveError;

/// For a table that cannot be read.
pub(super) const TABLE: &str =
    "run 'nix-oci-hashes refresh' where images.json is, or name the table with --digests FILE";
/// For an images.json that is missing.
pub(super) const IMAGES: &str =
    "create it with 'nix-oci-hashes add docker.io/nextcloud', or name it with --images FILE";

/// A problem of a refresh, with the flag that helps.
pub(super) fn problem(problem: &Problem) -> String {
    let flag = match problem {
        Problem::Image(error) | Problem::Tag { error, .. } => flag(error),
        _ => "",
    };
    format!("{problem}{flag}")
}

/// An error of a registry, with the flag that helps, without the image.
pub(super) fn sentence(error: &RegistryError) -> String {
    format!("{error}{}", flag(error))
}

/// An error of a registry, with the flag that helps.
pub(super) fn registry(error: &RegistryError) -> String {
    format!("{}: {error}{}", error.image, flag(error))
}

/// An error of a verb, with the flag that helps.
pub(super) fn error(error: &anyhow::Error) -> String {
    let of_registry = match error.downcast_ref::<ResolveError>() {
        Some(ResolveError::Registry(error)) => Some(error),
        _ => error.downcast_ref::<RegistryError>(),
    };
    format!("{error:#}{}", of_registry.map_or("", flag))
}

/// The flag that helps, as the end of the error's last sentence.
fn flag(error: &RegistryError) -> &'static str {
    match &*error.cause {
        Cause::Timeout { .. } => ", or allow more time with --deadline",
        Cause::Unreachable {
            problem: ConnectProblem::NotTls,
            ..
        } => ", or allow plain http with --insecure-registry",
        Cause::UnknownSize => "; give its size in bytes with --size",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flag_is_named_where_it_helps() {
        let of = |cause: Cause| RegistryError {
            image: "10.0.0.7:5000/app".parse().unwrap(),
            cause: Box::new(cause),
        };
        let timeout = of(Cause::Timeout {
            after: Duration::from_secs(9),
        });
        assert_eq!(
            error(&ResolveError::Registry(timeout).into()),
            "timed out after 9 s waiting for 10.0.0.7:5000; try again later, \
             or allow more time with --deadline"
        );
        let plain = of(Cause::Unreachable {
            host: "10.0.0.7".to_owned(),
            problem: ConnectProblem::NotTls,
            message: "received corrupt message".to_owned(),
        });
        assert_eq!(
            problem(&Problem::Image(plain)),
            "cannot reach 10.0.0.7:5000: received corrupt message; it does not speak TLS; \
             check its name and port, or allow plain http with --insecure-registry"
        );
        assert!(!error(&of(Cause::NoSuchImage).into()).contains("--"));
    }
}
