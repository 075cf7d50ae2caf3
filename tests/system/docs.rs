//! Checks the links of the documentation, and evaluates its Nix blocks unchanged.
use crate::support::docs::{BlockEnvironment, blocks, blocks_of_kind, pages};
use crate::support::{project, without_digests};

#[test]
fn every_block_has_a_known_kind() {
    let mut shell = 0;
    for block in blocks() {
        let known = ["console", "ini", "json", "nix", "sh", "text", "yaml"];
        assert!(
            known.contains(&&*block.kind),
            "{}: '{}'",
            block.name(),
            block.kind
        );
        shell += usize::from(block.kind == "sh");
    }
    assert!(shell > 15);
}

#[test]
fn links_point_to_existing_pages_and_headings() {
    for page in pages() {
        let text = std::fs::read_to_string(project().join(&page)).unwrap();
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.starts_with("https://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = page.parent().unwrap().join(file);
            let target = if file.is_empty() {
                page.clone()
            } else {
                target
            };
            let target = project().join(target);
            assert!(target.exists(), "{}: {link}", page.display());
            if !heading.is_empty() {
                let target = std::fs::read_to_string(target).unwrap();
                let mut headings = target.lines().filter(|line| line.starts_with('#'));
                assert!(
                    headings.any(|line| anchor(line) == heading),
                    "{}: {link}",
                    page.display()
                );
            }
        }
    }
}

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn nix_blocks_evaluate_to_what_they_say() {
    let environment = BlockEnvironment::new();
    let blocks = blocks_of_kind("nix");
    assert!(blocks.len() > 15);
    for block in blocks {
        let name = block.name();
        println!("{name}");
        // The comment after an expression is its value.
        let (text, answer) = match block.text.trim_end().rsplit_once("\n# ") {
            Some((text, answer)) if !answer.contains('\n') => (text, Some(answer)),
            _ => (&*block.text, None),
        };
        let value = if text.contains("outputs =") {
            environment.value_of_flake(text)
        } else {
            environment.value_of(text)
        };
        let printed = value.to_string();
        if let Some(answer) = answer {
            assert_eq!(without_digests(&printed), without_digests(answer), "{name}");
        }
        if let Some(failed) = value.get("failed") {
            assert_eq!(failed, &serde_json::json!([]), "{name}");
        }
        let is_pinned = printed.contains("@sha256:") || printed.contains("\"sha256:");
        let wants_pin = ["ociHash ", "ociHash\n", "pin =", "pullArgs"];
        let wants_pin = wants_pin.iter().any(|word| text.contains(word));
        assert!(is_pinned || !wants_pin, "{name}: {printed}");
    }
}
