//! The pages of the website, from the templates in `templates`, which escape what they
//! insert.

use anyhow::Result;
use askama::Template;

use super::catalogue::{Catalogue, Image, ImageChange};
use super::policy;
use super::snippets::{Answers, Form, container};

const STYLE: &str = include_str!("../../../templates/style.css");
const ICON: &str = include_str!("../../../templates/icon.svg");
const SCRIPT: &str = include_str!("../../../templates/script.js");

/// How many changes a feed has.
const FEED: usize = 30;

#[derive(Template)]
#[template(path = "index.html")]
struct FrontPage<'a> {
    title: &'a str,
    root: &'a str,
    catalogue: &'a Catalogue<'a>,
    forms: &'a [Form],
}

#[derive(Template)]
#[template(path = "image.html")]
struct ImagePage<'a> {
    title: &'a str,
    root: &'a str,
    image: &'a Image<'a>,
    forms: &'a [Form],
    /// The attribute path of a container of this image.
    container: String,
    policy: Vec<(&'static str, Vec<String>)>,
}

#[derive(Template)]
#[template(path = "atom.xml")]
struct Feed<'a> {
    image: &'a Image<'a>,
    /// The last changes, at least one, newest first.
    changes: &'a [ImageChange<'a>],
}

/// Every file with its path in the site.
pub(super) fn render(
    catalogue: &Catalogue<'_>,
    title: &str,
    answers: Answers,
) -> Result<Vec<(String, String)>> {
    let forms = &Form::all(answers)[..];
    let front = FrontPage {
        title,
        root: "",
        catalogue,
        forms,
    };
    let mut files = vec![
        ("index.html".to_owned(), front.render()?),
        ("style.css".to_owned(), STYLE.to_owned()),
        ("icon.svg".to_owned(), ICON.to_owned()),
        ("script.js".to_owned(), SCRIPT.to_owned()),
    ];
    for image in &catalogue.images {
        let folder = format!("images/{}", image.name);
        let page = ImagePage {
            title,
            root: &"../".repeat(folder.split('/').count()),
            image,
            forms,
            container: container(image.short_name()),
            policy: image.entry.map(policy::describe).unwrap_or_default(),
        };
        files.push((format!("{folder}/index.html"), page.render()?));
        if !image.changes.is_empty() {
            let changes = &image.changes[..image.changes.len().min(FEED)];
            let feed = Feed { image, changes };
            files.push((format!("{folder}/atom.xml"), feed.render()?));
        }
    }
    Ok(files)
}
