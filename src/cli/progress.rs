//! A progress bar for each registry, on a terminal; nothing in a pipe.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use nix_oci_hashes::refresh::Progress;

/// The bars of one verb, drawn on standard error.
pub(super) struct Bars {
    /// What is counted: `tags`.
    what: &'static str,
    all: MultiProgress,
    registries: RefCell<HashMap<String, Bar>>,
}

struct Bar {
    bar: ProgressBar,
    unlisted: usize,
}

impl Bars {
    pub(super) fn counting(what: &'static str) -> Self {
        Self {
            what,
            all: MultiProgress::default(),
            registries: RefCell::default(),
        }
    }

    /// Finishes all bars and leaves them on the screen.
    pub(super) fn finish(&self) {
        for Bar { bar, .. } in self.registries.borrow().values() {
            bar.finish();
        }
    }
}

impl Progress for Bars {
    fn registry(&self, registry: &str, images: usize) {
        let bar = self.all.add(ProgressBar::new(0));
        if let Ok(style) = ProgressStyle::with_template(&format!(
            "{{prefix:<24.bold}} {{bar:30.cyan/dim}} {{pos:>5}}/{{len:<5}} {} {{wide_msg}}",
            self.what
        )) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        bar.set_prefix(registry.to_owned());
        let unlisted = images;
        bar.set_message(left_to_list(unlisted));
        let bar = Bar { bar, unlisted };
        self.registries
            .borrow_mut()
            .insert(registry.to_owned(), bar);
    }

    fn listed(&self, registry: &str, requests: usize) {
        if let Some(Bar { bar, unlisted }) = self.registries.borrow_mut().get_mut(registry) {
            *unlisted = unlisted.saturating_sub(1);
            bar.inc_length(requests as u64);
            bar.set_message(left_to_list(*unlisted));
        }
    }

    fn answered(&self, registry: &str) {
        if let Some(Bar { bar, unlisted }) = self.registries.borrow().get(registry) {
            bar.inc(1);
            bar.set_message(left_to_list(*unlisted));
        }
    }

    fn paused(&self, registry: &str, left: Duration) {
        if let Some(Bar { bar, .. }) = self.registries.borrow().get(registry) {
            bar.set_message(format!("rate limited, waiting {} s", left.as_secs() + 1));
        }
    }
}

fn left_to_list(images: usize) -> String {
    match images {
        0 => String::new(),
        1 => "1 image to list".to_owned(),
        images => format!("{images} images to list"),
    }
}
