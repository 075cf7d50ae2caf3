//! Lines of Nix to copy.

use nix_oci_hashes::reference::{ImageName, Tag};

/// Keywords of Nix: an attribute of this name needs quotes.
const KEYWORDS: [&str; 9] = [
    "assert", "else", "if", "in", "inherit", "let", "rec", "then", "with",
];

/// Which table answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    /// The one that the flake and the plugin have built in.
    BuiltIn,
    /// Another one, which the Nix code has to name.
    OwnTable,
}

/// A way to use a reference: what stands before and after it.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) label: &'static str,
    pub(super) before: String,
    pub(super) after: &'static str,
}

impl Form {
    /// All forms. The first is the default.
    pub(super) fn all(answers: Answers) -> [Self; 3] {
        let (before, after, pin_after) = match answers {
            Answers::BuiltIn => (" \"", "\"", "\";"),
            Answers::OwnTable => (
                " { image = \"",
                "\"; digests = ./digests.json; }",
                "\"; digests = ./digests.json; };",
            ),
        };
        [
            Self {
                label: "NixOS module",
                before: format!("pin ={before}"),
                after: pin_after,
            },
            Self {
                label: "Flake",
                before: format!("nix-oci-hashes.lib.ociHash{before}"),
                after,
            },
            Self {
                label: "Builtin",
                before: format!("builtins.ociHash{before}"),
                after,
            },
        ]
    }

    /// The line for `image:tag`.
    pub(super) fn line(&self, image: &ImageName, tag: &Tag) -> String {
        format!("{}{image}:{tag}{}", self.before, self.after)
    }
}

/// The attribute path of the container in a NixOS configuration, for an image whose last
/// part is `name`.
pub(super) fn container(name: &str) -> String {
    let is_word = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        && !KEYWORDS.contains(&name);
    let name = if is_word {
        name.to_owned()
    } else {
        format!("\"{name}\"")
    };
    format!("virtualisation.oci-containers.containers.{name}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_no_word_of_nix_is_quoted() {
        let prefix = "virtualisation.oci-containers.containers.";
        for (name, attribute) in [
            ("paperless-ngx", "paperless-ngx"),
            ("a.b", "\"a.b\""),
            ("2fauth", "\"2fauth\""),
            ("with", "\"with\""),
        ] {
            assert_eq!(container(name), format!("{prefix}{attribute}."));
        }
    }
}
