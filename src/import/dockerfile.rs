//! Reads Dockerfiles and Containerfiles: `FROM`, `COPY --from` and `RUN
//! --mount=from=`, with the defaults of `ARG` expanded.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::imported::Imported;
use super::variables::expand;

type Arguments = BTreeMap<String, String>;

/// Largest total size of all values of `ARG`, in bytes. Further arguments stay
/// unset.
const MAX_ARGUMENTS_SIZE: usize = 1 << 20;

pub(super) fn parse(text: &str) -> Imported {
    let mut imported = Imported::default();
    // `FROM` sees only the arguments before the first stage.
    let mut global = Arguments::new();
    let mut in_stage: Option<Arguments> = None;
    let mut stages = BTreeSet::from(["scratch".to_owned()]);
    let mut values = 0;
    for (line, instruction) in instructions(text) {
        let mut words = instruction.split_whitespace().peekable();
        while words
            .next_if(|word| word.eq_ignore_ascii_case("onbuild"))
            .is_some()
        {}
        let word = words.next().unwrap_or_default().to_ascii_uppercase();
        match word.as_str() {
            "ARG" => {
                for word in words {
                    let (name, default) = word.split_once('=').unwrap_or((word, ""));
                    let value = if word.contains('=') {
                        let known = in_stage.as_ref().unwrap_or(&global);
                        expand(unquoted(default), &|name| known.get(name).cloned()).ok()
                    } else {
                        global.get(name).cloned()
                    };
                    let arguments = in_stage.as_mut().unwrap_or(&mut global);
                    if let Some(value) = value {
                        values += value.len();
                        if values <= MAX_ARGUMENTS_SIZE {
                            arguments.insert(name.to_owned(), value);
                        }
                    }
                }
            }
            "FROM" => {
                in_stage = Some(Arguments::new());
                let mut words = words.filter(|word| !word.starts_with("--"));
                if let Some(image) = words.next() {
                    take(&mut imported, line, image, &global, |name| {
                        stages.contains(name)
                    });
                }
                if words
                    .next()
                    .is_some_and(|word| word.eq_ignore_ascii_case("as"))
                    && let Some(name) = words.next()
                {
                    stages.insert(name.to_ascii_lowercase());
                }
            }
            "COPY" | "ADD" | "RUN" => {
                let arguments = in_stage.as_ref().unwrap_or(&global);
                let flags = words.map_while(|word| word.strip_prefix("--"));
                let images = flags.flat_map(|flag| {
                    let mount = flag.strip_prefix("mount=").unwrap_or(flag);
                    mount
                        .split(',')
                        .filter_map(|part| unquoted(part).strip_prefix("from="))
                });
                for image in images {
                    take(&mut imported, line, image, arguments, |name| {
                        // A stage has a name or an index.
                        stages.contains(name) || name.bytes().all(|byte| byte.is_ascii_digit())
                    });
                }
            }
            _ => {}
        }
    }
    imported
}

fn unquoted(text: &str) -> &str {
    text.trim_matches(['"', '\''])
}

fn take(
    imported: &mut Imported,
    line: usize,
    image: &str,
    arguments: &Arguments,
    is_stage: impl Fn(&str) -> bool,
) {
    match expand(unquoted(image), &|name| arguments.get(name).cloned()) {
        Err(reason) => imported.skip(line, image, &reason),
        Ok(expanded) => {
            if !is_stage(&expanded.to_ascii_lowercase()) {
                imported.take(line, &expanded);
            }
        }
    }
}

/// The instructions, each with the number of its first line. Joins continued lines,
/// and drops comments and the bodies of heredocs.
fn instructions(text: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, line) in lines.iter().enumerate() {
        places.entry(line.trim()).or_default().push(place);
    }
    let mut instructions = Vec::new();
    let mut open: Option<(usize, String)> = None;
    let mut number = 0;
    while let Some(line) = lines.get(number) {
        number += 1;
        let trimmed = line.trim();
        // A comment or a blank line does not end a continued instruction.
        if trimmed.starts_with('#') || trimmed.is_empty() {
            continue;
        }
        let (first, mut instruction) = open.take().unwrap_or((number, String::new()));
        if let Some(start) = trimmed.strip_suffix('\\') {
            instruction.push_str(start);
            instruction.push(' ');
            open = Some((first, instruction));
            continue;
        }
        instruction.push_str(trimmed);
        for end in heredocs(&instruction) {
            // `<<` without a matching end line does not start a heredoc.
            let places = places.get(end.as_str()).map_or(&[][..], Vec::as_slice);
            let next = places.partition_point(|place| *place < number);
            if let Some(place) = places.get(next) {
                number = place + 1;
            }
        }
        instructions.push((first, instruction));
    }
    instructions.extend(open);
    instructions
}

/// The delimiters of an instruction's heredocs. Only `RUN`, `COPY` and `ADD` can
/// have heredocs.
fn heredocs(instruction: &str) -> Vec<String> {
    let mut words = instruction.split_whitespace();
    let may_have = words.any(|word| {
        let names = ["run", "copy", "add"];
        names.iter().any(|name| word.eq_ignore_ascii_case(name))
    });
    if !may_have {
        return Vec::new();
    }
    let marks = instruction.split("<<").skip(1).filter_map(|after| {
        let name = after
            .strip_prefix('-')
            .unwrap_or(after)
            .trim_start_matches(['"', '\'']);
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = name.find(|c| !is_part(c)).unwrap_or(name.len());
        let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        starts.then(|| name[..end].to_owned())
    });
    marks.collect()
}
