//! The tag list of an image (OCI distribution spec, "Listing Tags").

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use reqwest::{Method, Url};
use tokio::sync::OwnedSemaphorePermit;

use super::Api;
use crate::reference::{ImageName, Tag};
use crate::registry::address::chosen_by;
use crate::registry::error::{Cause, Content};
use crate::registry::pages::{Next, PAGE_SIZE, Page};
use crate::registry::transport::Response;

/// Largest tag list of an image, all pages together, in bytes.
const LARGEST_LIST: usize = 8 << 20;
/// Most tags of an image; no project comes near.
const MAX_TAGS: usize = 100_000;
/// Most pages of a tag list.
const MAX_PAGES: usize = 10_000;
/// From this size on, in bytes, a list is large.
const LARGE_LIST: usize = 256 << 10;

/// The tags of an image. Few large sets of a registry are in memory at once: the
/// next large list waits until one of them is dropped.
#[derive(Debug)]
pub struct TagSet {
    tags: BTreeSet<Tag>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Deref for TagSet {
    type Target = BTreeSet<Tag>;

    fn deref(&self) -> &BTreeSet<Tag> {
        &self.tags
    }
}

/// A tag list of which some pages have been read.
struct List {
    tags: BTreeSet<Tag>,
    /// Bytes that the other pages may have.
    budget: usize,
    /// The pages that have been requested.
    pages: BTreeSet<Url>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Api {
    /// Every tag of `image`, all pages.
    pub(in crate::registry) async fn tags(&self, image: &ImageName) -> Result<TagSet, Cause> {
        let mut url = self.url(image, "tags/list")?;
        url.query_pairs_mut()
            .append_pair("n", &PAGE_SIZE.to_string());
        let mut list = List {
            tags: BTreeSet::new(),
            budget: LARGEST_LIST,
            pages: BTreeSet::from([url.clone()]),
            permit: None,
        };
        loop {
            let next = self.read_page(image, url, &mut list).await?;
            match next {
                Some(next) => url = next,
                None => {
                    return Ok(TagSet {
                        tags: list.tags,
                        _permit: list.permit,
                    });
                }
            }
        }
    }

    /// Adds the page at `url` to `list`, and gives the URL of the next page.
    async fn read_page(
        &self,
        image: &ImageName,
        url: Url,
        list: &mut List,
    ) -> Result<Option<Url>, Cause> {
        let mut response = self.request_page(image, &url, list).await?;
        let from = response.url().clone();
        let body = response.read(Content::TagList, list.budget).await?;
        list.budget -= body.len();
        let page = Page::parse(&body).map_err(malformed)?;
        let next = page.next(&from, response.headers()).map_err(malformed)?;
        let names = page.names();
        let is_new = list.add(page)?;
        let next = match next {
            Some(Next::Link(next)) => next,
            // Without a new tag, the registry does not support `last`.
            Some(Next::Guess(next)) if is_new => next,
            _ => return Ok(None),
        };
        self.check_page(&from, &next)?;
        list.budget = list.budget.saturating_sub(next.as_str().len());
        if !list.pages.insert(next.clone()) {
            let is_loop = names > 0 && !is_new;
            let error = || malformed("its pages repeat themselves".to_owned());
            return if is_loop { Err(error()) } else { Ok(None) };
        }
        if list.pages.len() > MAX_PAGES {
            return Err(malformed(format!("it has more than {MAX_PAGES} pages")));
        }
        Ok(Some(next))
    }

    /// Requests a page. Where it makes the list a large one, waits for a permit.
    async fn request_page(
        &self,
        image: &ImageName,
        url: &Url,
        list: &mut List,
    ) -> Result<Response, Cause> {
        if list.budget <= LARGEST_LIST - LARGE_LIST {
            self.permit_large(list).await;
        }
        loop {
            let limit = match list.permit {
                Some(_) => list.budget,
                None => list.budget.min(LARGE_LIST),
            };
            let chosen_by = chosen_by(url, &self.base);
            let get = Self::request(
                image,
                Content::TagList,
                Method::GET,
                url.clone(),
                "application/json",
            );
            let get = get.at(url.clone(), chosen_by).with_limit(limit);
            match self.send(get).await {
                Err(Cause::TooLarge { .. }) if list.permit.is_none() => {
                    self.permit_large(list).await;
                }
                response => return response?.ok_or(Cause::NoSuchImage),
            }
        }
    }

    async fn permit_large(&self, list: &mut List) {
        if list.permit.is_none() {
            // Nobody closes the semaphore, so that there is always a permit.
            list.permit = Arc::clone(&self.large_lists).acquire_owned().await.ok();
        }
    }
}

impl List {
    /// Adds the tags of `page`. Returns whether any of them is new.
    fn add(&mut self, page: Page) -> Result<bool, Cause> {
        let before = self.tags.len();
        self.tags.extend(page.into_tags());
        if self.tags.len() > MAX_TAGS {
            return Err(malformed(format!("it has more than {MAX_TAGS} tags")));
        }
        Ok(self.tags.len() > before)
    }
}

fn malformed(reason: String) -> Cause {
    Cause::Malformed {
        content: Content::TagList,
        reason,
    }
}
