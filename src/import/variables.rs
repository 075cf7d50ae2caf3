//! Expands variables of compose files and Dockerfiles.

use crate::text::Quoted;

/// Deepest nesting of variables in defaults: `${A:-${B}}`.
const MAX_NESTING: usize = 16;
/// Longest expanded text, in bytes. No reference is that long.
const MAX_EXPANDED: usize = 1024;

/// Expands `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+alternative}` in
/// `text`. Defaults and alternatives may contain variables.
///
/// # Errors
/// If `value` returns `None` for a variable without a default, a brace is not
/// closed, or the result is too long.
pub(super) fn expand(text: &str, value: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let unknown = |name: &str| format!("the variable {} has no value here", Quoted(name));
    let name_end = |text: &str| {
        let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        end.unwrap_or(text.len())
    };
    let mut expanded = String::new();
    let mut rest = text;
    let too_long = || format!("with its variables expanded it is longer than {MAX_EXPANDED} bytes");
    while let Some((before, after)) = rest.split_once('$') {
        if expanded.len() + before.len() > MAX_EXPANDED {
            return Err(too_long());
        }
        expanded.push_str(before);
        if let Some(literal) = after.strip_prefix('$') {
            expanded.push('$');
            rest = literal;
        } else if let Some(braced) = after.strip_prefix('{') {
            let (inside, remaining) =
                split_brace(braced).ok_or("a '${' has no end, or is nested too deep")?;
            let (name, suffix) = inside.split_at(name_end(inside));
            let found = value(name);
            // A colon makes an empty value as good as none.
            let (operator, is_set) = match suffix.strip_prefix(':') {
                Some(operator) => (operator, found.as_ref().is_some_and(|it| !it.is_empty())),
                None => (suffix, found.is_some()),
            };
            let word = operator.get(1..).unwrap_or_default();
            let value = match operator.chars().next() {
                None if suffix.is_empty() => found.ok_or_else(|| unknown(name))?,
                Some('-' | '=' | '?') if is_set => found.unwrap_or_default(),
                Some('-' | '=') => expand(word, value)?,
                Some('?') => return Err(unknown(name)),
                Some('+') if is_set => expand(word, value)?,
                Some('+') => String::new(),
                _ => return Err(format!("the operator {} is not supported", Quoted(suffix))),
            };
            expanded.push_str(&value);
            rest = remaining;
        } else {
            let (name, remaining) = after.split_at(name_end(after));
            expanded.push_str(&value(name).ok_or_else(|| unknown(name))?);
            rest = remaining;
        }
    }
    expanded.push_str(rest);
    if expanded.len() > MAX_EXPANDED && rest.len() < text.len() {
        return Err(too_long());
    }
    Ok(expanded)
}

/// Splits the text after a `${` into the text before the matching `}` and after it.
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
