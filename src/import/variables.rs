//! Variables of compose files and Dockerfiles.

use crate::text::Quoted;

/// How deep a variable's default may hold variables.
const MAX_NESTING: usize = 16;
/// Longest text with its variables expanded, in bytes: no reference is as long.
const LONGEST_EXPANDED: usize = 1024;

/// Expands the variables of a shell-like text: `$NAME`, `${NAME}`, the default of
/// `${NAME:-default}` and the alternative of `${NAME:+alternative}`, which may
/// name variables themselves. The error names a variable without a value.
pub(super) fn expand(text: &str, value: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let unknown = |name: &str| format!("the variable {} has no value here", Quoted(name));
    let name_end = |text: &str| {
        let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        end.unwrap_or(text.len())
    };
    let mut expanded = String::new();
    let mut rest = text;
    let too_long =
        || format!("with its variables expanded it is longer than {LONGEST_EXPANDED} characters");
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
            '{' if depth == MAX_NESTING => return None,
            '{' => depth += 1,
            '}' if depth == 0 => return Some((&text[..at], &text[at + 1..])),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}
