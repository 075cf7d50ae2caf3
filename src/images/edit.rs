//! Adds and removes entries in the text of `images.json`. Users choose its order
//! and formatting, so an edit leaves every other byte unchanged.

use std::collections::BTreeSet;
use std::fmt::Display;

use serde_json::value::RawValue;

use super::{Repushed, Strategy, TrackedImage, default_variants, parse};
use crate::json::FileError;
use crate::reference::{ImageName, Precision};

/// A longer entry is written with one field a line, in characters.
const MAX_LINE: usize = 96;
/// The text before the first entry of an empty list.
const FIRST_SEPARATOR: &str = "\n  ";

/// The text of an `images.json`, split into the text before the first entry, the
/// entries, and the text after the last entry.
pub struct Editor {
    head: String,
    entries: Vec<Entry>,
    tail: String,
    names: BTreeSet<ImageName>,
    /// The text between two entries.
    separator: Option<String>,
}

struct Entry {
    image: ImageName,
    text: String,
    /// The text between the previous entry and this one.
    before: String,
}

impl Editor {
    /// Parses the text of an `images.json`. Errors name the file `origin`.
    ///
    /// # Errors
    /// Those of [`parse`].
    pub fn new(content: &[u8], origin: &str) -> Result<Self, FileError> {
        let images = parse(content, origin)?;
        let text = &String::from_utf8_lossy(content);
        let raw: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
        // A `RawValue` borrows from `text`, so its address gives its offset.
        let start = |raw: &RawValue| raw.get().as_ptr().addr() - text.as_ptr().addr();
        let first = raw.first().map(|raw| start(raw));
        let first = first.unwrap_or_else(|| text.rfind(']').unwrap_or(text.len()));
        let mut end = first;
        let mut entries: Vec<Entry> = Vec::with_capacity(raw.len());
        for (raw, tracked) in raw.iter().zip(images) {
            let before = text[end..start(raw)].to_owned();
            end = start(raw) + raw.get().len();
            entries.push(Entry {
                image: tracked.image,
                text: raw.get().to_owned(),
                before,
            });
        }
        Ok(Self {
            head: text[..first].to_owned(),
            tail: text[end..].to_owned(),
            names: entries.iter().map(|entry| entry.image.clone()).collect(),
            separator: separator(&text[..first], &entries),
            entries,
        })
    }

    /// The text with all edits.
    pub fn text(&self) -> String {
        let entries = self.entries.iter();
        let entries = entries.flat_map(|entry| [entry.before.as_str(), &entry.text]);
        std::iter::once(self.head.as_str())
            .chain(entries)
            .chain([self.tail.as_str()])
            .collect()
    }

    /// Whether there is an entry of `image`.
    pub fn has(&self, image: &ImageName) -> bool {
        self.names.contains(image)
    }

    /// The text of the entry of `image`.
    pub fn entry(&self, image: &ImageName) -> Option<&str> {
        let mut entries = self.entries.iter();
        let entry = entries.find(|entry| entry.image == *image)?;
        Some(&entry.text)
    }

    /// The entries and their texts.
    pub fn into_entries(self) -> impl Iterator<Item = (ImageName, String)> {
        let entries = self.entries.into_iter();
        entries.map(|entry| (entry.image, entry.text))
    }

    /// Adds an entry, formatted like the others. It goes to its place in the order
    /// of names if the file is sorted, otherwise to the end.
    pub fn add(&mut self, tracked: &TrackedImage) {
        self.add_all([tracked.clone()]);
    }

    /// Adds several entries, as [`add`](Self::add) does.
    pub fn add_all(&mut self, tracked: impl IntoIterator<Item = TrackedImage>) {
        let entries = tracked.into_iter().map(|tracked| {
            let text = self.format_entry(&fields(&tracked));
            (tracked.image, text)
        });
        let entries: Vec<_> = entries.collect();
        self.add_texts(entries);
    }

    /// An entry of these fields on one line, or, if that is too long, with one
    /// field a line and the file's indent and line ends.
    fn format_entry(&self, fields: &[String]) -> String {
        let line = format!("{{ {} }}", fields.join(", "));
        let separator = self.separator.as_deref().unwrap_or(FIRST_SEPARATOR);
        let indent = separator.rsplit('\n').next().unwrap_or_default();
        let is_one_line = !separator.contains('\n');
        if is_one_line || line.chars().count() <= MAX_LINE {
            return line;
        }
        let end = if separator.contains('\r') {
            "\r\n"
        } else {
            "\n"
        };
        let inner = format!(
            "{end}{indent}{}",
            if indent.is_empty() { "  " } else { indent }
        );
        format!(
            "{{{inner}{}{end}{indent}}}",
            fields.join(&format!(",{inner}"))
        )
    }

    /// Adds entries whose text is given, at the places that [`add`](Self::add)
    /// chooses. Skips images that have an entry.
    pub fn add_texts(&mut self, entries: impl IntoIterator<Item = (ImageName, String)>) {
        let in_order = self.entries.is_sorted_by(|a, b| a.image <= b.image);
        let added = entries.into_iter().filter_map(|(image, text)| {
            let is_new = self.names.insert(image.clone());
            let before = String::new();
            is_new.then_some(Entry {
                image,
                text,
                before,
            })
        });
        let mut added: Vec<Entry> = added.collect();
        if added.is_empty() {
            return;
        }
        if self.entries.is_empty() {
            self.begin();
        }
        if in_order {
            added.sort_by(|a, b| a.image.cmp(&b.image));
        }
        let separator = self.separator.clone().unwrap_or_default();
        let mut merged: Vec<Entry> = Vec::with_capacity(self.entries.len() + added.len());
        let mut added = added.into_iter().peekable();
        for mut old in std::mem::take(&mut self.entries) {
            // The new entry takes the text before the old one, which may start the
            // list; the old one gets a separator.
            while in_order && let Some(mut new) = added.next_if(|new| new.image < old.image) {
                new.before = std::mem::replace(&mut old.before, separator.clone());
                merged.push(new);
            }
            merged.push(old);
        }
        for mut new in added {
            if !merged.is_empty() {
                new.before.clone_from(&separator);
            }
            merged.push(new);
        }
        self.entries = merged;
    }

    /// Prepares an empty list for its first entry.
    fn begin(&mut self) {
        let inside = self.head.find('[').map_or(0, |bracket| bracket + 1);
        self.head.truncate(inside);
        self.head.push_str(FIRST_SEPARATOR);
        self.tail.insert(0, '\n');
        self.separator = Some(format!(",{FIRST_SEPARATOR}"));
    }

    /// Removes the entry of `image`. Returns whether there was one.
    pub fn remove(&mut self, image: &ImageName) -> bool {
        if !self.names.remove(image) {
            return false;
        }
        let Some(at) = self.entries.iter().position(|entry| entry.image == *image) else {
            return false;
        };
        let removed = self.entries.remove(at);
        if let Some(next) = self.entries.get_mut(at) {
            next.before = removed.before;
        } else if self.entries.is_empty() {
            let inside = self.head.find('[').map_or(0, |bracket| bracket + 1);
            self.head.truncate(inside);
            self.tail = self.tail.trim_start().to_owned();
        }
        true
    }
}

/// The text between two entries: the shortest in the file, since longer ones have
/// blank lines between groups. With one entry, derived from the text before it.
fn separator(head: &str, entries: &[Entry]) -> Option<String> {
    let between = entries.iter().skip(1).map(|entry| entry.before.as_str());
    if let Some(shortest) = between.min_by_key(|text| text.len()) {
        return Some(shortest.to_owned());
    }
    entries.first()?;
    let gap = &head[head.rfind('[').map_or(0, |bracket| bracket + 1)..];
    Some(if gap.contains('\n') {
        format!(",{gap}")
    } else {
        ", ".to_owned()
    })
}

/// The fields of an entry, without those that have the default value.
fn fields(tracked: &TrackedImage) -> Vec<String> {
    fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
        let items = items.into_iter().map(|item| quoted(&item.to_string()));
        format!("[{}]", items.collect::<Vec<_>>().join(", "))
    }
    fn one_or_many<T: Display>(items: &[T]) -> String {
        match items {
            [item] => quoted(&item.to_string()),
            items => list(items),
        }
    }
    let mut fields = vec![
        format!("\"image\": {}", quoted(tracked.image.as_str())),
        format!("\"platforms\": {}", list(&tracked.platforms)),
    ];
    let is_default = Precision::ALL
        .iter()
        .all(|precision| tracked.strategies.get(precision) == Some(&Strategy::Newest));
    if !is_default {
        let strategies = tracked.strategies.iter().map(|(precision, strategy)| {
            let value = match strategy {
                Strategy::Matching(requirements) => one_or_many(requirements),
                // Only the fields of the first nix-oci-hashes give lower bounds,
                // and nothing writes those.
                Strategy::Newest | Strategy::Since(_) => "true".to_owned(),
            };
            format!("\"{precision}\": {value}")
        });
        let strategies = strategies.collect::<Vec<_>>().join(", ");
        fields.push(if strategies.is_empty() {
            "\"strategies\": {}".to_owned()
        } else {
            format!("\"strategies\": {{ {strategies} }}")
        });
    }
    if !tracked.patterns.is_empty() {
        fields.push(format!("\"pattern\": {}", one_or_many(&tracked.patterns)));
    }
    if tracked.variants != default_variants(&tracked.patterns) {
        fields.push(format!("\"variants\": {}", list(&tracked.variants)));
    }
    if let Some(keep) = tracked.keep {
        fields.push(format!("\"keep\": {keep}"));
    }
    if !tracked.tags.is_empty() {
        fields.push(format!("\"tags\": {}", list(&tracked.tags)));
    }
    if !tracked.ignore.is_empty() {
        fields.push(format!("\"ignore\": {}", list(&tracked.ignore)));
    }
    if tracked.store {
        fields.push("\"store\": true".to_owned());
    }
    if let Some(age) = tracked.minimum_age {
        fields.push(format!("\"minimumAge\": \"{age}\""));
    }
    match tracked.repushed {
        Repushed::Report => {}
        Repushed::Expected => fields.push("\"repushed\": \"expected\"".to_owned()),
        Repushed::Hold => fields.push("\"repushed\": \"hold\"".to_owned()),
    }
    if let Some(signed_by) = &tracked.signed_by {
        fields.push(format!("\"signedBy\": {signed_by}"));
    }
    fields
}

/// A JSON string. Names, tags, versions and patterns need no escapes.
fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn image(name: &str) -> ImageName {
        name.parse().unwrap()
    }

    fn with(text: &str, name: &str) -> String {
        let mut editor = Editor::new(text.as_bytes(), "images.json").unwrap();
        editor.add_texts([(image(name), format!("{{ \"image\": \"{name}\" }}"))]);
        editor.text()
    }

    fn without(text: &str, name: &str) -> String {
        let mut editor = Editor::new(text.as_bytes(), "images.json").unwrap();
        assert!(editor.remove(&image(name)));
        editor.text()
    }

    #[test]
    fn add_keeps_the_order_and_the_rest_of_the_text() {
        let sorted = "[\n    {\"image\":\"a.io/a\",\n     \"keep\" : 2},\n\n    {\"image\":\"c.io/c\"},\n    {\"image\":\"d.io/d\"}\n]\n";
        assert_eq!(
            with(sorted, "b.io/b"),
            "[\n    {\"image\":\"a.io/a\",\n     \"keep\" : 2},\n\n    { \"image\": \"b.io/b\" },\n    {\"image\":\"c.io/c\"},\n    {\"image\":\"d.io/d\"}\n]\n"
        );
        assert_eq!(
            with(sorted, "e.io/e"),
            sorted.replace(
                "{\"image\":\"d.io/d\"}",
                "{\"image\":\"d.io/d\"},\n    { \"image\": \"e.io/e\" }"
            )
        );
        let unsorted = "[ {\"image\":\"b.io/b\"} , {\"image\":\"a.io/a\"} ]";
        assert_eq!(
            with(unsorted, "a.io/b"),
            "[ {\"image\":\"b.io/b\"} , {\"image\":\"a.io/a\"} , { \"image\": \"a.io/b\" } ]"
        );
        let one = "[{\"image\":\"b.io/b\"}]";
        assert_eq!(
            with(one, "c.io/c"),
            "[{\"image\":\"b.io/b\"}, { \"image\": \"c.io/c\" }]"
        );
        for empty in ["[]", "[ ]", "[\n]"] {
            assert_eq!(with(empty, "c.io/c"), "[\n  { \"image\": \"c.io/c\" }\n]");
        }
    }

    #[test]
    fn remove_undoes_add() {
        let text = "[\n  { \"image\": \"a.io/a\" },\n  { \"image\": \"c.io/c\" }\n]\n";
        for name in ["a.io/0", "b.io/b", "z.io/z"] {
            assert_eq!(without(&with(text, name), name), text, "{name}");
        }
        assert_eq!(
            without("[\n  { \"image\": \"a.io/a\" }\n]\n", "a.io/a"),
            "[]\n"
        );
        let mut editor = Editor::new(text.as_bytes(), "images.json").unwrap();
        assert!(!editor.remove(&image("b.io/b")));
        assert_eq!(editor.text(), text);
    }

    #[test]
    fn an_entry_is_written_as_it_is_read() {
        for entry in [
            r#"{ "image": "docker.io/a", "platforms": ["linux/amd64"] }"#,
            r#"{ "image": "docker.io/a", "platforms": ["linux/amd64"], "strategies": {}, "tags": ["latest"] }"#,
            "{\n    \"image\": \"docker.io/nextcloud\",\n    \"platforms\": [\"linux/amd64\", \"linux/arm64\"],\n    \"strategies\": { \"major\": \">=33\", \"major-minor\": true },\n    \"variants\": [\"\", \"-fpm\"],\n    \"keep\": 5\n  }",
            r#"{ "image": "docker.io/a", "platforms": ["linux/amd64"], "keep": 3, "ignore": ["20*"] }"#,
            r#"{ "image": "docker.io/a", "platforms": ["linux/amd64"], "store": true }"#,
            r#"{ "image": "docker.io/a", "platforms": ["linux/amd64"], "minimumAge": "3d" }"#,
            r#"{ "image": "docker.io/a", "platforms": ["linux/amd64"], "repushed": "expected" }"#,
            r#"{ "image": "docker.io/a", "platforms": ["linux/amd64"], "repushed": "hold" }"#,
            r#"{ "image": "docker.io/a", "platforms": ["linux/amd64"], "pattern": "{major}-{minor}" }"#,
            "{\n    \"image\": \"docker.io/a\",\n    \"platforms\": [\"linux/amd64\"],\n    \"strategies\": { \"major-minor-patch\": [\"^17\", \"^21\"] },\n    \"pattern\": [\"{major}-jdk\", \"{major}_{build}-jdk\"]\n  }",
        ] {
            let parsed = parse(format!("[{entry}]").as_bytes(), "images.json").unwrap();
            let mut editor = Editor::new(b"[]", "images.json").unwrap();
            editor.add(&parsed[0]);
            assert_eq!(editor.text(), format!("[\n  {entry}\n]"));
        }
    }

    #[test]
    fn a_new_entry_is_formatted_like_the_others() {
        let long = r#"[{ "image": "z.io/nextcloud-of-some-length", "strategies": { "major": ">=33", "major-minor": true }, "tags": ["latest"] }]"#;
        let tracked = parse(long.as_bytes(), "images.json").unwrap().remove(0);
        for (file, entry) in [
            (
                "[\r\n\t{\"image\":\"a.io/a\"}\r\n]",
                "\t{\r\n\t\t\"image\": \"z.io/nextcloud-of-some-length\",\r\n\t\t\"platforms\"",
            ),
            (
                "[\n    {\"image\":\"a.io/a\"}\n]",
                "\n    {\n        \"image\": \"z.io",
            ),
            ("[{\"image\":\"a.io/a\"}]", ", { \"image\": \"z.io"),
        ] {
            let mut editor = Editor::new(file.as_bytes(), "images.json").unwrap();
            editor.add(&tracked);
            assert!(editor.text().contains(entry), "{}", editor.text());
            assert_eq!(file.contains('\n'), editor.text().contains('\n'));
            if file.contains('\r') {
                let ends = |end: &str| editor.text().matches(end).count();
                assert_eq!(ends("\n"), ends("\r\n"));
            }
            assert_eq!(
                parse(editor.text().as_bytes(), "images.json").unwrap()[1],
                tracked
            );
        }
    }

    proptest! {
        #[test]
        fn edits_keep_the_file_valid(
            names in prop::collection::vec("[a-e]", 0..8), take in prop::collection::vec("[a-e]", 0..8),
        ) {
            let mut editor = Editor::new(b"[]", "images.json").unwrap();
            let mut expected = BTreeSet::new();
            for name in names {
                if expected.insert(name.clone()) {
                    let name = format!("r.io/{name}");
                    editor.add_texts([(image(&name), format!("{{\"image\":\"{name}\"}}"))]);
                }
            }
            for name in take {
                let removed = editor.remove(&image(&format!("r.io/{name}")));
                prop_assert_eq!(removed, expected.remove(&name));
            }
            let found = parse(editor.text().as_bytes(), "images.json").unwrap();
            let found: Vec<String> = found.iter().map(|entry| entry.image.repository()).collect();
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
            for name in ["a", "b", "c", "d", "e"] {
                let name = format!("r.io/{name}");
                if let Some(entry) = editor.entry(&image(&name)) {
                    prop_assert_eq!(entry, format!("{{\"image\":\"{name}\"}}"));
                }
            }
        }
    }

    #[test]
    fn many_entries_are_added_at_once() {
        let images = (0..5_000).rev().map(|n| {
            (
                image(&format!("r.io/i{n:05}")),
                format!("{{ \"image\": \"r.io/i{n:05}\" }}"),
            )
        });
        let mut editor =
            Editor::new(b"[\n  { \"image\": \"r.io/i02500\" }\n]\n", "images.json").unwrap();
        editor.add_texts(images);
        let text = editor.text();
        let parsed = parse(text.as_bytes(), "images.json").unwrap();
        assert_eq!(parsed.len(), 5_000);
        assert!(parsed.is_sorted_by(|a, b| a.image < b.image));
        assert_eq!(text.lines().count(), 5_002);
    }
}
