//! Dockerfiles and Containerfiles: `FROM`, `COPY --from`, `RUN --mount=from=`,
//! with the defaults of `ARG` put in.

use std::collections::{BTreeMap, BTreeSet};

use super::{Imported, expand};

pub(super) fn parse(text: &str) -> Imported {
    let mut imported = Imported::default();
    let mut arguments = BTreeMap::new();
    let mut stages = BTreeSet::from(["scratch".to_owned()]);
    for (line, instruction) in instructions(text) {
        let mut words = instruction.split_whitespace();
        let word = words.next().unwrap_or_default().to_ascii_uppercase();
        match word.as_str() {
            "ARG" => {
                for (name, value) in words.filter_map(|word| word.split_once('=')) {
                    let value = value.trim_matches(['"', '\'']).to_owned();
                    arguments.insert(name.to_owned(), value);
                }
            }
            "FROM" => {
                let mut words = words.filter(|word| !word.starts_with("--"));
                if let Some(image) = words.next() {
                    take(&mut imported, line, image, &arguments, &stages);
                }
                if words
                    .next()
                    .is_some_and(|word| word.eq_ignore_ascii_case("as"))
                    && let Some(name) = words.next()
                {
                    stages.insert(name.to_ascii_lowercase());
                }
            }
            "COPY" | "ADD" => {
                if let Some(image) = words.find_map(|word| word.strip_prefix("--from=")) {
                    take(&mut imported, line, image, &arguments, &stages);
                }
            }
            "RUN" => {
                let mounts = words.filter_map(|word| word.strip_prefix("--mount="));
                let images = mounts.flat_map(|mount| mount.split(','));
                for image in images.filter_map(|part| part.strip_prefix("from=")) {
                    take(&mut imported, line, image, &arguments, &stages);
                }
            }
            _ => {}
        }
    }
    imported
}

fn take(
    imported: &mut Imported,
    line: usize,
    image: &str,
    arguments: &BTreeMap<String, String>,
    stages: &BTreeSet<String>,
) {
    match expand(image, &|name| arguments.get(name).cloned()) {
        Err(reason) => imported.leave(line, image, &reason),
        Ok(expanded) => {
            // A stage is named, or counted from 0.
            let is_stage = stages.contains(&expanded.to_ascii_lowercase())
                || expanded.bytes().all(|byte| byte.is_ascii_digit());
            if !is_stage {
                imported.take(line, &expanded);
            }
        }
    }
}

/// The instructions with their first lines; continued lines are joined,
/// comments and the text of heredocs left out.
fn instructions(text: &str) -> Vec<(usize, String)> {
    let mut instructions = Vec::new();
    let mut open: Option<(usize, String)> = None;
    let mut heredoc: Option<String> = None;
    for (number, line) in text.lines().enumerate() {
        if let Some(end) = &heredoc {
            if line.trim() == end {
                heredoc = None;
            }
            continue;
        }
        let trimmed = line.trim();
        if trimmed.starts_with('#') || (trimmed.is_empty() && open.is_none()) {
            continue;
        }
        let (first, mut instruction) = open.take().unwrap_or((number + 1, String::new()));
        if let Some(start) = trimmed.strip_suffix('\\') {
            instruction.push_str(start);
            instruction.push(' ');
            open = Some((first, instruction));
            continue;
        }
        instruction.push_str(trimmed);
        if let Some((_, after)) = instruction.split_once("<<") {
            let word = after
                .trim_start_matches('-')
                .trim_start_matches(['"', '\'']);
            let end = word.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            let word = &word[..end.unwrap_or(word.len())];
            heredoc = (!word.is_empty()).then(|| word.to_owned());
        }
        instructions.push((first, instruction));
    }
    instructions.extend(open);
    instructions
}
