//! Platforms, as `os/arch[/variant]` of the OCI image spec, and Nix systems.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::text::{Quoted, deserialize_as_text};

/// A platform in its normal form: `linux/amd64`, `linux/arm64`, `linux/arm/v7`.
///
/// Other spellings of the same platform parse to the same value:
///
/// - A default variant is dropped: `linux/arm64/v8` is `linux/arm64`.
/// - `x86_64` is `amd64`, and `aarch64` is `arm64`.
/// - A Nix system such as `x86_64-linux` is the platform of the containers it runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform(Cow<'static, str>);

/// Why a text is not a [`Platform`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid platform {}: write 'os/arch' such as 'linux/amd64', or a Nix system such as 'x86_64-linux'",
    Quoted(.0)
)]
pub struct PlatformError(String);

/// Nix systems and the platform of the containers they run. On macOS these
/// run in a Linux virtual machine.
const NIX_SYSTEMS: &[(&str, &str)] = &[
    ("aarch64-darwin", "linux/arm64"),
    ("aarch64-linux", "linux/arm64"),
    ("armv5tel-linux", "linux/arm/v5"),
    ("armv6l-linux", "linux/arm/v6"),
    ("armv7l-linux", "linux/arm/v7"),
    ("i686-linux", "linux/386"),
    ("loongarch64-linux", "linux/loong64"),
    ("mips64el-linux", "linux/mips64le"),
    ("powerpc64le-linux", "linux/ppc64le"),
    ("riscv64-linux", "linux/riscv64"),
    ("s390x-linux", "linux/s390x"),
    ("x86_64-darwin", "linux/amd64"),
    ("x86_64-linux", "linux/amd64"),
];

impl Platform {
    /// The platform of `os`, `arch` and `variant` (empty for none), as in an index or an
    /// image configuration. `None` if a part is malformed, or if it is `unknown`, as in the
    /// entries for attestations.
    pub fn from_parts(os: &str, arch: &str, variant: &str) -> Option<Self> {
        let name = |part: &str| {
            part.len() <= 64
                && part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        if !name(os) || !name(arch) || !(variant.is_empty() || name(variant)) {
            return None;
        }
        let (os, arch, variant) = (
            os.to_ascii_lowercase(),
            arch.to_ascii_lowercase(),
            variant.to_ascii_lowercase(),
        );
        if os == "unknown" || arch == "unknown" {
            return None;
        }
        let (arch, variant) = match (arch.as_str(), variant.as_str()) {
            ("amd64" | "x86_64" | "x86-64", "" | "v1") => ("amd64", ""),
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("arm64" | "aarch64", "" | "8" | "v8") => ("arm64", ""),
            ("aarch64", variant) => ("arm64", variant),
            ("386" | "i386" | "i686", "") => ("386", ""),
            ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
            ("armel", _) | ("arm", "6") => ("arm", "v6"),
            ("arm", "5") => ("arm", "v5"),
            ("arm", "8") => ("arm", "v8"),
            other => other,
        };
        let separator = if variant.is_empty() { "" } else { "/" };
        let name = format!("{os}/{arch}{separator}{variant}");
        Some(match known(|platform| platform == name) {
            Some(platform) => platform,
            None => Self(name.into()),
        })
    }

    /// The platform, as written in `digests.json`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The first platform of a Nix system for which `is` holds. Most platforms in a table
/// are among these and need no allocation.
fn known(is: impl Fn(&str) -> bool) -> Option<Platform> {
    let mut platforms = NIX_SYSTEMS.iter().map(|(_, platform)| *platform);
    let platform = platforms.find(|platform| is(platform))?;
    Some(Platform(Cow::Borrowed(platform)))
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(input: &str) -> Result<Self, PlatformError> {
        if let Some(platform) = known(|platform| platform == input) {
            return Ok(platform);
        }
        if let Some((_, platform)) = NIX_SYSTEMS.iter().find(|(system, _)| *system == input) {
            return Ok(Self(Cow::Borrowed(platform)));
        }
        let mut parts = input.split('/');
        let platform = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(os), Some(arch), None, None) => Self::from_parts(os, arch, ""),
            (Some(os), Some(arch), Some(variant), None) if !variant.is_empty() => {
                Self::from_parts(os, arch, variant)
            }
            _ => None,
        };
        platform.ok_or_else(|| PlatformError(input.to_owned()))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Displays `linux/arm64, windows/amd64`, or `no platform`.
#[cfg(feature = "refresh")]
pub(crate) struct PlatformList<'a>(pub(crate) &'a [Platform]);

#[cfg(feature = "refresh")]
impl fmt::Display for PlatformList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no platform");
        }
        for (i, platform) in self.0.iter().enumerate() {
            write!(f, "{}{platform}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

deserialize_as_text!(Platform, "a platform such as \"linux/amd64\"");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_platform_are_one_value() {
        for (input, printed) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("Linux/AMD64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm64/v9", "linux/arm64/v9"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/7", "linux/arm/v7"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/armhf/v7", "linux/arm/v7"),
            ("linux/arm/8", "linux/arm/v8"),
            ("linux/arm/v6", "linux/arm/v6"),
            ("linux/i386", "linux/386"),
            ("windows/amd64", "windows/amd64"),
            ("x86_64-linux", "linux/amd64"),
            ("aarch64-linux", "linux/arm64"),
            ("aarch64-darwin", "linux/arm64"),
            ("armv7l-linux", "linux/arm/v7"),
            ("powerpc64le-linux", "linux/ppc64le"),
        ] {
            assert_eq!(input.parse::<Platform>().unwrap().as_str(), printed);
        }
    }

    #[test]
    fn every_nix_system_is_a_platform_in_normal_form() {
        for (system, platform) in NIX_SYSTEMS {
            let parsed: Platform = system.parse().unwrap();
            assert_eq!(parsed, platform.parse().unwrap());
            assert_eq!(parsed.as_str(), *platform);
        }
    }

    #[test]
    fn refuses_malformed_platforms() {
        for input in [
            "",
            "linux",
            "linux/",
            "/amd64",
            "linux//v7",
            "linux/arm/",
            "a/b/c/d",
            "linux/am d64",
            "unknown/unknown",
            "x86_64-plan9",
            "linux/amd64\n",
            "linux/-x",
        ] {
            let error = input.parse::<Platform>().unwrap_err().to_string();
            assert!(error.contains("linux/amd64"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn parse_of_print_is_the_identity(
            os in "(linux|windows|[a-z0-9]{1,8})",
            arch in "(amd64|arm64|arm|x86_64|aarch64|386|[a-z0-9_]{1,8})",
            variant in "(v[0-9]|[0-9]|[a-z]{0,4})",
        ) {
            if let Some(platform) = Platform::from_parts(&os, &arch, &variant) {
                prop_assert_eq!(platform.as_str().parse::<Platform>(), Ok(platform.clone()));
            }
        }
    }
}
