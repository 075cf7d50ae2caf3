//! Reads Nix files: every attribute `image` whose value is a literal string.
//!
//! Uses the tokenizer of rnix, which already separates code, comments and strings.
//! Its parser is recursive, so a deeply nested file could overflow the stack.

use rnix::SyntaxKind::{
    self, TOKEN_ASSIGN, TOKEN_COMMENT, TOKEN_IDENT, TOKEN_SEMICOLON, TOKEN_STRING_CONTENT,
    TOKEN_STRING_END, TOKEN_STRING_START, TOKEN_WHITESPACE,
};

use super::imported::Imported;
use crate::reference::Reference;

/// Deepest nesting of `${`. The tokenizer's time for a token grows with its depth.
const MAX_NESTING: usize = 100;

/// Longest run of `+`, `-` and `.`. The tokenizer's time is quadratic in its
/// length.
const MAX_OPERATOR_RUN: usize = 1000;

/// Most tokens of a value that are read.
const MAX_VALUE_TOKENS: usize = 64;

pub(super) fn parse(text: &str) -> Result<Imported, String> {
    let mut runs = text.split(|c| !matches!(c, '+' | '-' | '.'));
    if runs.any(|run| run.len() > MAX_OPERATOR_RUN) {
        return Err(format!(
            "it has more than {MAX_OPERATOR_RUN} operator characters in a row"
        ));
    }
    let mut imported = Imported::default();
    let mut tokens: Vec<(usize, SyntaxKind, &str)> = Vec::new();
    let mut line = 1;
    let mut depth = 0_usize;
    for (kind, token) in rnix::tokenize(text) {
        match kind {
            SyntaxKind::TOKEN_INTERPOL_START => depth += 1,
            SyntaxKind::TOKEN_INTERPOL_END => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_NESTING {
            imported.skip(
                line,
                token,
                "it is nested too deep; the rest of the file is skipped",
            );
            break;
        }
        if !matches!(kind, TOKEN_COMMENT | TOKEN_WHITESPACE) {
            tokens.push((line, kind, token));
        }
        line += token.matches('\n').count();
    }
    for (at, (_, kind, _)) in tokens.iter().enumerate() {
        if *kind == TOKEN_ASSIGN && is_image(&tokens[..at]) {
            take(&mut imported, &tokens[at + 1..]);
        }
    }
    Ok(imported)
}

/// Whether these tokens end with an attribute path whose last name is `image`.
fn is_image(before: &[(usize, SyntaxKind, &str)]) -> bool {
    matches!(
        before,
        [.., (_, TOKEN_IDENT, "image")]
            | [
                ..,
                (_, TOKEN_STRING_START, _),
                (_, TOKEN_STRING_CONTENT, "image"),
                (_, TOKEN_STRING_END, _),
            ]
    )
}

/// Reads the value at the start of these tokens: a string, or a call with a string
/// argument, such as `lib.mkDefault "caddy:2"`.
fn take(imported: &mut Imported, value: &[(usize, SyntaxKind, &str)]) {
    let mut depth = 0_usize;
    let expression = value
        .iter()
        .take(MAX_VALUE_TOKENS)
        .take_while(|(_, kind, _)| {
            depth += usize::from(*kind == SyntaxKind::TOKEN_INTERPOL_START);
            depth -= usize::from(*kind == SyntaxKind::TOKEN_INTERPOL_END && depth > 0);
            *kind != TOKEN_SEMICOLON || depth > 0
        });
    let expression: Vec<_> = expression.copied().collect();
    let written = || {
        expression
            .iter()
            .map(|(_, _, token)| *token)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let Some((line, ..)) = expression
        .iter()
        .find(|(_, kind, _)| *kind == TOKEN_STRING_START)
    else {
        // Only Nix can evaluate a value without a string literal.
        return;
    };
    let is_path = |(_, kind, _): &(usize, SyntaxKind, &str)| {
        matches!(kind, TOKEN_IDENT | SyntaxKind::TOKEN_DOT)
    };
    match &expression[..] {
        [path @ .., _, _, _] if path.iter().any(|(_, _, token)| *token == "ociHash") => {
            imported.skip(*line, &written(), "ociHash pins it already");
        }
        [
            path @ ..,
            (_, TOKEN_STRING_START, _),
            (_, TOKEN_STRING_CONTENT, image),
            (_, TOKEN_STRING_END, _),
        ] if path.iter().all(is_path) && expression.len() < value.len() => {
            let image = image.trim();
            match image.parse::<Reference>() {
                // Attributes named `image` also hold pictures and disk images.
                Ok(Reference {
                    tag: None,
                    digest: None,
                    ..
                })
                | Err(_) => {
                    let reason = "it has neither tag nor digest, and may be something else";
                    imported.skip(*line, image, reason);
                }
                Ok(_) => imported.take(*line, image),
            }
        }
        _ => imported.skip(*line, &written(), "it is not a literal string"),
    }
}
