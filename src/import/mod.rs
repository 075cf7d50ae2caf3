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
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let lower = name.to_ascii_lowercase();
    let extension = lower
        .rsplit_once('.')
        .map_or("", |(_, extension)| extension);
    let is_dockerfile = ["dockerfile", "containerfile"]
        .iter()
        .any(|word| lower == *word || lower.starts_with(&format!("{word}.")) || extension == *word);
    let parse: fn(&str) -> Result<Imported, String> = match extension {
        _ if is_dockerfile => |text| Ok(dockerfile::parse(text)),
        "nix" => nix::parse,
        "yaml" | "yml" => yaml::parse,
        "json" => seed::parse,
        _ => {
            let message = format!("{} is the name of no known kind of file", Quoted(&name));
            return Err(FileError::new(path.display(), message, REMEDY));
        }
    };
    let failed = |message: &str, remedy| FileError::new(path.display(), message, remedy);
    let readable = "see that it is there and that you may read it";
    let io = |error: std::io::Error| failed(&crate::json::plain(&error), readable);
    if std::fs::metadata(path).map_err(io)?.len() > LARGEST {
        return Err(failed("it is larger than 16 MiB", REMEDY));
    }
    let content = std::fs::read(path).map_err(io)?;
    let text = String::from_utf8(content).map_err(|_| failed("it is not UTF-8 text", REMEDY))?;
    parse(&text).map_err(|reason| failed(&reason, "correct the file, or leave it out"))
}

/// Puts in what a shell-like text names: `$NAME`, `${NAME}` and the default of
/// `${NAME:-default}`. The error names a variable without a value.
fn expand<'a>(
    text: &'a str,
    value: &dyn Fn(&str) -> Option<String>,
) -> Result<std::borrow::Cow<'a, str>, String> {
    if !text.contains('$') {
        return Ok(text.into());
    }
    let unknown = |name: &str| format!("the variable {} has no value here", Quoted(name));
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        if let Some(literal) = after.strip_prefix('$') {
            expanded.push('$');
            rest = literal;
        } else if let Some(braced) = after.strip_prefix('{') {
            let (inside, behind) = braced.split_once('}').ok_or("a '${' has no end")?;
            let end = inside
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .unwrap_or(inside.len());
            let (name, operator) = inside.split_at(end);
            let default = operator
                .strip_prefix(":-")
                .or_else(|| operator.strip_prefix('-'));
            let found = value(name).filter(|value| !value.is_empty());
            let found = found.or_else(|| default.map(str::to_owned));
            expanded.push_str(&found.ok_or_else(|| unknown(name))?);
            rest = behind;
        } else {
            let end = after
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .unwrap_or(after.len());
            let (name, behind) = after.split_at(end);
            expanded.push_str(&value(name).ok_or_else(|| unknown(name))?);
            rest = behind;
        }
    }
    expanded.push_str(rest);
    Ok(expanded.into())
}

#[cfg(test)]
mod tests;
