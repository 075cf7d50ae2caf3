//! What people have written down elsewhere: the references in compose files,
//! Dockerfiles, Kubernetes manifests and Nix files, and the two files of the
//! first nix-oci-hashes. Read from the text alone; no registry is asked.

mod dockerfile;
mod nix;
mod seed;
mod yaml;

use std::path::Path;

use crate::json::FileError;
use crate::name::{ImageName, Reference};
use crate::text::{Plain, Quoted};

/// Largest file that is read, in bytes.
const LARGEST: u64 = 16 << 20;
/// How deep a variable's default may hold variables.
const LONGEST_NEST: usize = 16;
/// Longest text with its variables put in, in bytes: no reference is as long.
const LONGEST_EXPANDED: usize = 1024;
const REMEDY: &str = "name compose files, Dockerfiles, Containerfiles, Kubernetes manifests, Nix files, or images.json and \
                      digests.json of the first nix-oci-hashes, by their usual names";

/// What a file has.
#[derive(Debug, Default)]
pub struct Imported {
    /// The references, in the order of the file.
    pub found: Vec<Found>,
    /// Entries of an `images.json`, each as it was written.
    pub entries: Vec<(ImageName, String)>,
    /// What looks like an image and is not taken.
    pub left: Vec<Left>,
}

/// A reference, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The line, from 1 on.
    pub line: usize,
    /// The reference.
    pub reference: Reference,
}

/// What is not taken, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The line, from 1 on.
    pub line: usize,
    /// The text, safe to print.
    pub text: String,
    /// Why it is not taken.
    pub reason: String,
}

impl Imported {
    /// Takes what a file has where a reference is meant.
    fn take(&mut self, line: usize, text: &str) {
        match text.parse() {
            Ok(reference) => self.found.push(Found { line, reference }),
            Err(error) => {
                let error: crate::name::ReferenceError = error;
                self.leave(line, text, &error.to_string());
            }
        }
    }

    fn leave(&mut self, line: usize, text: &str, reason: &str) {
        self.left.push(Left {
            line,
            text: Plain(text).to_string(),
            reason: reason.to_owned(),
        });
    }
}

/// Reads the file at `path`; what it is, its name says.
///
/// # Errors
/// Where it cannot be read, its name says nothing, or it is not well-formed.
pub fn read(path: &Path) -> Result<Imported, FileError> {
    let kind = Kind::of(path)?;
    let failed = |message: &str, remedy| FileError::new(path.display(), message, remedy);
    let readable = "see that it is there and that you may read it";
    let io = |error: std::io::Error| failed(&crate::json::plain(&error), readable);
    if std::fs::metadata(path).map_err(io)?.len() > LARGEST {
        return Err(failed("it is larger than 16 MiB", REMEDY));
    }
    let content = std::fs::read(path).map_err(io)?;
    let text = String::from_utf8(content).map_err(|_| failed("it is not UTF-8 text", REMEDY))?;
    kind.parse(&text, path)
}

/// Takes `text` for that of a file at `path`, which need not be there.
///
/// # Errors
/// Where the name says nothing, or the text is not well-formed.
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
                let message = format!("{} is the name of no known kind of file", Quoted(&name));
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
            // JSON is YAML.
            Self::Json if yaml::is_known(text) => yaml::parse(text).map_err(bad),
            Self::Json => seed::parse(text, &path.display().to_string()),
        }
    }
}

/// Puts in what a shell-like text names: `$NAME`, `${NAME}`, the default of
/// `${NAME:-default}` and the alternative of `${NAME:+alternative}`, which may
/// name variables themselves. The error names a variable without a value.
fn expand(text: &str, value: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let unknown = |name: &str| format!("the variable {} has no value here", Quoted(name));
    let name_end = |text: &str| {
        let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        end.unwrap_or(text.len())
    };
    let mut expanded = String::new();
    let mut rest = text;
    let too_long =
        || format!("with its variables put in it is longer than {LONGEST_EXPANDED} characters");
    while let Some((before, after)) = rest.split_once('$') {
        if expanded.len() + before.len() > LONGEST_EXPANDED {
            return Err(too_long());
        }
        expanded.push_str(before);
        if let Some(literal) = after.strip_prefix('$') {
            expanded.push('$');
            rest = literal;
        } else if let Some(braced) = after.strip_prefix('{') {
            let (inside, behind) = split_brace(braced).ok_or("a '${' has no end")?;
            let (name, operator) = inside.split_at(name_end(inside));
            let found = value(name);
            let set = found.clone().filter(|value| !value.is_empty());
            let value = if operator.is_empty() {
                found.ok_or_else(|| unknown(name))?
            } else if let Some(default) = operator.strip_prefix(":-") {
                set.map_or_else(|| expand(default, value), Ok)?
            } else if let Some(default) = operator.strip_prefix('-') {
                found.map_or_else(|| expand(default, value), Ok)?
            } else if let Some(alternative) = operator.strip_prefix(":+") {
                set.map_or_else(|| Ok(String::new()), |_| expand(alternative, value))?
            } else if let Some(alternative) = operator.strip_prefix('+') {
                found.map_or_else(|| Ok(String::new()), |_| expand(alternative, value))?
            } else {
                found.ok_or_else(|| unknown(name))?
            };
            expanded.push_str(&value);
            rest = behind;
        } else {
            let (name, behind) = after.split_at(name_end(after));
            expanded.push_str(&value(name).ok_or_else(|| unknown(name))?);
            rest = behind;
        }
    }
    expanded.push_str(rest);
    if expanded.len() > LONGEST_EXPANDED && rest.len() < text.len() {
        return Err(too_long());
    }
    Ok(expanded)
}

/// What is within a brace that has been opened, and what is behind it.
fn split_brace(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' if depth == LONGEST_NEST => return None,
            '{' => depth += 1,
            '}' if depth == 0 => return Some((&text[..at], &text[at + 1..])),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
