//! Nix files: every attribute `image` whose value is a literal string.
//!
//! Read as tokens, which tell text from comments and strings; the parser of the
//! same library calls itself for every level, and no file may exhaust a stack.

use rnix::SyntaxKind::{
    self, TOKEN_ASSIGN, TOKEN_COMMENT, TOKEN_IDENT, TOKEN_SEMICOLON, TOKEN_STRING_CONTENT,
    TOKEN_STRING_END, TOKEN_STRING_START, TOKEN_WHITESPACE,
};

use super::Imported;
use crate::name::Reference;

/// Deepest nesting of `${` that is read; each costs the tokens within it time.
const DEEPEST: usize = 100;

/// Longest run of signs that is read; the tokenizer goes through it for each.
const LONGEST_RUN: usize = 1000;

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

/// Takes the value that these tokens begin with.
fn take(imported: &mut Imported, value: &[(usize, SyntaxKind, &str)]) {
    match value {
        [
            (line, TOKEN_STRING_START, _),
            (_, TOKEN_STRING_CONTENT, image),
            (_, TOKEN_STRING_END, _),
            (_, TOKEN_SEMICOLON, _),
            ..,
        ] => {
            let image = image.trim();
            match image.parse::<Reference>() {
                // A picture, a disk, a name: much is called an image.
                Ok(Reference {
                    tag: None,
                    digest: None,
                    ..
                })
                | Err(_) => {
                    imported.leave(
                        *line,
                        image,
                        "it has neither tag nor digest, and may be something else",
                    );
                }
                Ok(_) => imported.take(*line, image),
            }
        }
        [(line, TOKEN_STRING_START, _), ..] => {
            let mut depth = 0_usize;
            let expression = value.iter().take_while(|(_, kind, _)| {
                depth += usize::from(*kind == SyntaxKind::TOKEN_INTERPOL_START);
                depth -= usize::from(*kind == SyntaxKind::TOKEN_INTERPOL_END && depth > 0);
                *kind != TOKEN_SEMICOLON || depth > 0
            });
            let written: String = expression.map(|(_, _, token)| *token).collect();
            imported.leave(*line, &written, "it is not a literal string");
        }
        // What else it may be is for Nix to evaluate.
        _ => {}
    }
}
