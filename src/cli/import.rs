//! `nix-oci-hashes import`: track and pin the images that other files name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use nix_oci_hashes::file;
use nix_oci_hashes::images::edit::Editor;
use nix_oci_hashes::images::{self, TrackedImage};
use nix_oci_hashes::import::{self, Imported, LocatedReference};
use nix_oci_hashes::reference::{ImageName, Reference, Tag, VariantPattern};
use nix_oci_hashes::table::{Pin, Platforms, Table};

use super::columns::{Cell, align};
use super::files::{Files, read_table};
use super::output;

/// Track and pin the images of compose files, Dockerfiles, Kubernetes manifests and Nix files
///
/// Also reads images.json and digests.json of the first nix-oci-hashes. Images and
/// tags that are tracked or pinned already do not change. A digest in a file is
/// pinned, and the next refresh verifies it. Exits with 0 when done, 1 if nothing
/// could be read or written, 2 if some of the files could not be read.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The files, under their usual names
    #[arg(required = true)]
    file: Vec<PathBuf>,

    /// Write nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    files: Files,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8> {
    let files = &arguments.files;
    let mut read = Vec::new();
    let mut unread = Vec::new();
    for path in &arguments.file {
        match import::read(path) {
            Ok(imported) => read.push((path.as_path(), imported)),
            Err(error) if arguments.file.len() == 1 => return Err(error.into()),
            Err(error) => unread.push(error),
        }
    }
    let locks = (!arguments.dry_run).then(|| files.lock()).transpose()?;
    let mut work = Importer {
        editor: files.editor()?,
        tracked: BTreeMap::new(),
        table: read_table(&files.digests)?.0,
        new: BTreeMap::new(),
        seen: BTreeSet::new(),
        rows: Vec::new(),
        taken: 0,
        left: 0,
    };
    // Entries first: a reference to an image with an entry needs no other entry.
    for (path, imported) in &read {
        work.take_entries(path, imported);
    }
    let origin = output::name_of(&files.images);
    let tracked = images::parse(work.editor.text().as_bytes(), &origin)?;
    work.tracked = tracked
        .into_iter()
        .map(|entry| (entry.image.clone(), entry))
        .collect();
    let read_none = read.is_empty();
    for (path, imported) in read {
        work.take_references(path, imported);
    }
    work.add_new();
    let failed = !unread.is_empty();
    for error in unread {
        let bad = AnsiColor::Red.on_default().bold();
        work.rows.push(vec![
            Cell::styled("failed", bad),
            Cell::plain(error.to_string()),
        ]);
    }
    // The edited text must be a valid images.json.
    images::parse(work.editor.text().as_bytes(), &origin)?;
    let outcome = if arguments.dry_run {
        "nothing written".to_owned()
    } else {
        if work.taken > 0 {
            file::write(&files.images, work.editor.text().as_bytes())?;
            file::write(&files.digests, work.table.to_json().as_bytes())?;
        }
        let (images, digests) = (
            output::name_of(&files.images),
            output::name_of(&files.digests),
        );
        if work.taken > 0 {
            format!(
                "{images} and {digests} written; run 'nix-oci-hashes refresh' to verify and complete the pins"
            )
        } else {
            format!("{images} and {digests} are as they were")
        }
    };
    drop(locks);
    let mut text = align(&work.rows);
    text.push_str(&format!(
        "{} taken, {} left: {outcome}\n",
        work.taken, work.left
    ));
    output::print(&text)?;
    Ok(if read_none {
        output::FAILED
    } else if failed {
        output::SOME_FAILED
    } else {
        output::DONE
    })
}

struct Importer {
    editor: Editor,
    /// The entries of images.json, including the imported ones.
    tracked: BTreeMap<ImageName, TrackedImage>,
    table: Table,
    /// Images without an entry, and their tags in the files.
    new: BTreeMap<ImageName, NewImage>,
    /// References without a digest so far.
    seen: BTreeSet<(ImageName, Tag)>,
    rows: Vec<Vec<Cell>>,
    taken: usize,
    left: usize,
}

/// What is known of an image that has no entry yet.
#[derive(Default)]
struct NewImage {
    /// Tags to list in the entry: those that no strategy selects, and those without a pin.
    tags: BTreeSet<Tag>,
    variants: BTreeSet<VariantPattern>,
}

impl Importer {
    fn take_entries(&mut self, path: &Path, imported: &Imported) {
        let mut new = Vec::new();
        let mut names = BTreeSet::new();
        for (image, entry) in &imported.entries {
            let place = output::name_of(&path);
            if self.editor.has(image) || !names.insert(image) {
                self.leave(place, image.to_string(), "tracked already");
            } else {
                new.push((image.clone(), entry.clone()));
                self.table.images.entry(image.clone()).or_default();
                self.took(place, image.to_string(), "tracked");
            }
        }
        self.editor.add_texts(new);
    }

    fn take_references(&mut self, path: &Path, imported: Imported) {
        for found in imported.found {
            self.take_reference(path, found);
        }
        for left in imported.skipped {
            let place = format!("{}:{}", output::name_of(&path), left.line);
            self.leave(place, left.text, &left.reason);
        }
    }

    fn take_reference(
        &mut self,
        path: &Path,
        LocatedReference { line, reference }: LocatedReference,
    ) {
        let place = format!("{}:{line}", output::name_of(&path));
        let text = reference.to_string();
        let Reference { image, tag, digest } = reference;
        let tag = match (tag, &digest) {
            (Some(tag), _) => tag,
            (None, None) => Tag::latest(),
            (None, Some(_)) => {
                return self.leave(place, text, "it has no tag to pin the digest to");
            }
        };
        let tracked = self.tracked.get(&image);
        let is_new = tracked.is_none();
        if tracked.is_some_and(|entry| entry.ignores(&tag)) {
            return self.leave(place, text, "listed in 'ignore'");
        }
        if digest.is_some() && tracked.is_some_and(|entry| entry.signed_by.is_some()) {
            let reason = "its digest needs a signature ('signedBy'); 'nix-oci-hashes refresh' verifies and pins it";
            return self.leave(place, text, reason);
        }
        let version = tracked.and_then(|entry| entry.recorded_version(&tag));
        let pinned = self
            .table
            .images
            .get(&image)
            .and_then(|pins| pins.get(&tag));
        match (digest, pinned) {
            (Some(digest), Some(pin))
                if pin.digest == digest || pin.platforms.values().any(|d| *d == digest) =>
            {
                self.leave(place, text, "pinned already");
            }
            (Some(_), Some(pin)) => {
                let reason = format!("pinned already, to {}", pin.digest.short());
                self.leave(place, text, &reason);
            }
            (Some(digest), None) => {
                if is_new {
                    self.note(&image, &tag, true);
                }
                let pin = Pin {
                    digest,
                    version: version.map(Box::new),
                    platforms: Platforms::new(),
                };
                self.table
                    .images
                    .entry(image)
                    .or_default()
                    .insert(tag, pin.into());
                self.took(place, text, "pinned");
            }
            (None, Some(_)) => self.leave(place, text, "pinned already"),
            (None, None) if !self.seen.insert((image.clone(), tag.clone())) => {
                self.leave(place, text, "tracked already");
            }
            (None, None) if is_new => {
                self.note(&image, &tag, false);
                self.table.images.entry(image).or_default();
                self.took(place, text, "tracked");
            }
            (None, None) => {
                self.leave(
                    place,
                    text,
                    "its image is tracked already; see that 'tags' or 'strategies' has the tag",
                );
            }
        }
    }

    /// Notes a tag of an image that has no entry yet.
    fn note(&mut self, image: &ImageName, tag: &Tag, has_pin: bool) {
        let new = self.new.entry(image.clone()).or_default();
        match tag.version() {
            Some(version) if !version.is_prerelease() => {
                new.variants
                    .insert(VariantPattern::of_rebuild(version.variant()));
                if !has_pin {
                    new.tags.insert(tag.clone());
                }
            }
            _ => {
                new.tags.insert(tag.clone());
            }
        }
    }

    /// Writes an entry for each image that is new.
    fn add_new(&mut self) {
        let entries = std::mem::take(&mut self.new);
        let entries = entries
            .into_iter()
            .map(|(image, NewImage { tags, mut variants })| {
                if variants.is_empty() {
                    variants.insert(VariantPattern::plain());
                }
                TrackedImage {
                    variants,
                    tags,
                    ..TrackedImage::new(image)
                }
            });
        self.editor.add_all(entries);
    }

    fn took(&mut self, place: String, what: String, how: &str) {
        self.taken += 1;
        self.row("took", AnsiColor::Green.on_default(), place, what, how);
    }

    fn leave(&mut self, place: String, what: String, why: &str) {
        self.left += 1;
        self.row("left", AnsiColor::Yellow.on_default(), place, what, why);
    }

    fn row(&mut self, word: &str, style: Style, place: String, what: String, how: &str) {
        self.rows.push(vec![
            Cell::styled(word, style),
            Cell::plain(place),
            Cell::plain(what),
            Cell::plain(how),
        ]);
    }
}
