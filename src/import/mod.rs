//! Reads image references from compose files, Dockerfiles, Kubernetes manifests,
//! Nix files, and the images.json and digests.json of this and the first
//! nix-oci-hashes. Sends no requests to registries.

mod built;
mod dockerfile;
mod imported;
mod nix;
mod seed;
mod variables;
mod yaml;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

pub use imported::{Imported, LocatedReference, Skipped};

use crate::json::FileError;
use crate::text::Quoted;

/// Largest file that is read, in bytes.
const MAX_FILE_SIZE: u64 = 16 << 20;
const REMEDY: &str = "pass compose files, Dockerfiles, Containerfiles, Kubernetes manifests, Nix files, images.json or \
                      digests.json, under their usual names";

/// Reads the file at `path`. Its name determines the format.
///
/// # Errors
/// If the file is unreadable, too large or malformed, or its name fits no known
/// format.
pub fn read(path: &Path) -> Result<Imported, FileError> {
    let kind = Kind::of(path)?;
    let failed = |message: &str, remedy| FileError::new(path.display(), message, remedy);
    let readable = "see that it is there and that you may read it";
    let io = |error: std::io::Error| failed(&crate::json::plain(&error), readable);
    let file = File::open(path).map_err(io)?;
    let mut content = Vec::new();
    file.take(MAX_FILE_SIZE + 1)
        .read_to_end(&mut content)
        .map_err(io)?;
    if content.len() as u64 > MAX_FILE_SIZE {
        return Err(failed("it is larger than 16 MiB", REMEDY));
    }
    let text = String::from_utf8(content).map_err(|_| failed("it is not UTF-8 text", REMEDY))?;
    kind.parse(&text, path)
}

/// Parses `text` in the format that the name of `path` determines. Does not access
/// the file system.
///
/// # Errors
/// If the name fits no known format, or the text is malformed.
pub fn parse(text: &str, path: &Path) -> Result<Imported, FileError> {
    Kind::of(path)?.parse(text, path)
}

enum Kind {
    Dockerfile,
    Nix,
    Yaml,
    Json,
}

impl Kind {
    fn of(path: &Path) -> Result<Self, FileError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let lower = name.to_ascii_lowercase();
        let extension = lower
            .rsplit_once('.')
            .map_or("", |(_, extension)| extension);
        let is_dockerfile = ["dockerfile", "containerfile"].iter().any(|word| {
            lower == *word || lower.starts_with(&format!("{word}.")) || extension == *word
        });
        match extension {
            _ if is_dockerfile => Ok(Self::Dockerfile),
            "nix" => Ok(Self::Nix),
            "yaml" | "yml" => Ok(Self::Yaml),
            "json" => Ok(Self::Json),
            _ => {
                let message = format!("unknown file name {}", Quoted(&name));
                Err(FileError::new(path.display(), message, REMEDY))
            }
        }
    }

    fn parse(&self, text: &str, path: &Path) -> Result<Imported, FileError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let remedy = "correct the file, or leave it out";
        let bad = |reason: String| FileError::new(path.display(), reason, remedy);
        match self {
            Self::Dockerfile => Ok(dockerfile::parse(text)),
            Self::Nix => nix::parse(text).map_err(bad),
            Self::Yaml => yaml::parse(text).map_err(bad),
            // YAML 1.2 includes JSON.
            Self::Json if yaml::is_known(text) => yaml::parse(text).map_err(bad),
            Self::Json => seed::parse(text, &path.display().to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
