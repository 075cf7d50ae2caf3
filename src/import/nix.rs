//! Nix files: every attribute `image` whose value is a literal string.
//!
//! Read as tokens, which tell text from comments and strings; the parser of the
//! same library calls itself for every level, and no file may exhaust a stack.

use rnix::SyntaxKind::{
    self, TOKEN_ASSIGN, TOKEN_COMMENT, TOKEN_IDENT, TOKEN_SEMICOLON, TOKEN_STRING_CONTENT,
    TOKEN_STRING_END, TOKEN_STRING_START, TOKEN_WHITESPACE,
};

use super::imported::Imported;
use crate::reference::Reference;

/// Deepest nesting of `${` that is read; each costs the tokens within it time.
const DEEPEST: usize = 100;

/// Longest run of signs that is read; the tokenizer goes through it for each.
const LONGEST_RUN: usize = 1000;

/// Most tokens of a value that is looked at.
const LONGEST_VALUE: usize = 64;

pub(super) fn parse(text: &str) -> Result<Imported, String> {
    let mut runs = text.split(|c| !matches!(c, '+' | '-' | '.'));
    if runs.any(|run| run.len() > LONGEST_RUN) {
        return Err(format!("it has more than {LONGEST_RUN} signs in a row"));
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
        if depth > DEEPEST {
            imported.leave(line, token, "the rest is not read: it is nested too deep");
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

/// Whether an attribute's path, which these tokens end with, ends in `image`.
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

/// Takes the value that these tokens begin with: a string, or a function of one
/// such as `lib.mkDefault`.
fn take(imported: &mut Imported, value: &[(usize, SyntaxKind, &str)]) {
    let mut depth = 0_usize;
    let expression = value.iter().take(LONGEST_VALUE).take_while(|(_, kind, _)| {
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
        // What has no text in it is for Nix to evaluate.
        return;
    };
    let is_path = |(_, kind, _): &(usize, SyntaxKind, &str)| {
        matches!(kind, TOKEN_IDENT | SyntaxKind::TOKEN_DOT)
    };
    match &expression[..] {
        [path @ .., _, _, _] if path.iter().any(|(_, _, token)| *token == "ociHash") => {
            imported.leave(*line, &written(), "ociHash pins it already");
        }
        [
            path @ ..,
            (_, TOKEN_STRING_START, _),
            (_, TOKEN_STRING_CONTENT, image),
            (_, TOKEN_STRING_END, _),
        ] if path.iter().all(is_path) && expression.len() < value.len() => {
            let image = image.trim();
            match image.parse::<Reference>() {
                // A picture, a disk, a name: much is called an image.
                Ok(Reference {
                    tag: None,
                    digest: None,
                    ..
                })
                | Err(_) => {
                    let reason = "it has neither tag nor digest, and may be something else";
                    imported.leave(*line, image, reason);
                }
                Ok(_) => imported.take(*line, image),
            }
        }
        _ => imported.leave(*line, &written(), "it is not a literal string"),
    }
}
