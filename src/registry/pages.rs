//! The pages of a tag list (OCI distribution spec, "Listing Tags").

use std::borrow::Cow;
use std::fmt;

use reqwest::Url;
use reqwest::header::{HeaderMap, LINK};
use serde::de::SeqAccess;
use serde::{Deserialize, Deserializer};

use super::address::rebased;
use crate::reference::Tag;

/// Tags to request for a page. Registries may send fewer, or all of them at once.
pub(super) const PAGE_SIZE: usize = 1000;

/// One page of a tag list.
pub(super) struct Page(Names);

impl Page {
    /// Parses a page. It leaves out names that are no tags: they cannot be requested,
    /// and may be there to do harm.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct TagList {
            // `null` is how some registries write a list without tags. The key
            // itself must be there: an error sent as a success has none.
            #[serde(deserialize_with = "Option::deserialize")]
            tags: Option<Names>,
        }
        let list: TagList =
            serde_json::from_slice(body).map_err(|_| "it is not a list of tags".to_owned())?;
        Ok(Self(list.tags.unwrap_or_default()))
    }

    /// How many names the page has, those that are no tags too.
    pub(super) fn names(&self) -> usize {
        self.0.count
    }

    pub(super) fn into_tags(self) -> Vec<Tag> {
        self.0.tags
    }

    /// The next page: the target of the `Link` header or, for a page of exactly the
    /// requested size without such a header, the page after its last name.
    pub(super) fn next(&self, url: &Url, headers: &HeaderMap) -> Result<Option<Next>, String> {
        if let Some(next) = linked_page(url, headers)? {
            return Ok(Some(Next::Link(next)));
        }
        // A page of another size is the last one, or the registry ignores `n`.
        let last = self.0.last.as_deref();
        let Some(last) = last.filter(|_| self.names() == PAGE_SIZE) else {
            return Ok(None);
        };
        let mut next = url.clone();
        next.set_query(None);
        next.query_pairs_mut()
            .append_pair("n", &PAGE_SIZE.to_string())
            .append_pair("last", last);
        Ok(Some(Next::Guess(next)))
    }
}

/// The names of a page, of which those that are tags are kept.
#[derive(Default)]
struct Names {
    tags: Vec<Tag>,
    count: usize,
    last: Option<String>,
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Names;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of names")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Names, A::Error> {
                let mut names = Names::default();
                let mut last = None;
                while let Some(name) = access.next_element::<Cow<'de, str>>()? {
                    names.count += 1;
                    names.tags.extend(name.parse::<Tag>());
                    last = Some(name);
                }
                names.last = last.map(Cow::into_owned);
                Ok(names)
            }
        }
        deserializer.deserialize_seq(Visitor)
    }
}

/// The URL of the next page.
pub(super) enum Next {
    /// The registry's link.
    Link(Url),
    /// The specification's `last` parameter, for a registry that sends no links.
    Guess(Url),
}

/// The page that the `Link` header of the page at `url` names as the next.
pub(super) fn linked_page(url: &Url, headers: &HeaderMap) -> Result<Option<Url>, String> {
    let Some(target) = next_link(headers) else {
        return Ok(None);
    };
    let next = url.join(&target);
    let next = next.map_err(|error| format!("its next page '{target}' is no URL: {error}"))?;
    Ok(Some(rebased(next, url)))
}

/// The target of the link with `rel="next"` (RFC 8288).
fn next_link(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(LINK)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(",<").flat_map(|part| part.split(", <")))
        .find_map(|link| {
            let (target, parameters) = link.trim_start_matches([' ', '<']).split_once('>')?;
            let is_next = parameters.split(';').any(|parameter| {
                let Some((name, value)) = parameter.split_once('=') else {
                    return false;
                };
                let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
                name.trim().eq_ignore_ascii_case("rel")
                    && relations.any(|rel| rel.eq_ignore_ascii_case("next"))
            });
            is_next.then(|| target.to_owned())
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn next(link: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(LINK, link.parse().unwrap());
        next_link(&headers)
    }

    #[test]
    fn reads_the_links_registries_send() {
        let target = "/v2/a/b/tags/list?last=1.2&n=100";
        for link in [
            format!("<{target}>; rel=\"next\""),
            format!("<{target}>;rel=next"),
            format!("<{target}>; rel = \"next last\""),
            format!("</other>; rel=\"prev\", <{target}>; rel=\"next\""),
            format!("<{target}>; title=\"a; b\"; REL=\"next\""),
        ] {
            assert_eq!(next(&link).as_deref(), Some(target), "{link}");
        }
        for link in ["", "<x>", "x; rel=\"next\"", "<x>; rel=\"prev\""] {
            assert_eq!(next(link), None, "{link}");
        }
    }

    #[test]
    fn leaves_out_names_that_are_no_tags() {
        let page = Page::parse(
            br#"{"name":"a","tags":["1.2","../../etc/passwd","\u001b[31mred","","a b","latest"]}"#,
        )
        .unwrap();
        assert_eq!(page.names(), 6);
        let tags = page.into_tags();
        let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
        assert_eq!(tags, ["1.2", "latest"]);
        assert!(
            Page::parse(br#"{"name":"a","tags":null}"#)
                .unwrap()
                .into_tags()
                .is_empty()
        );
        for other in [
            &b"<html>"[..],
            b"{}",
            br#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#,
        ] {
            assert!(Page::parse(other).is_err());
        }
    }

    proptest! {
        #[test]
        fn every_tag_of_a_page_is_read(tags in proptest::collection::vec("[a-z0-9_][a-z0-9._-]{0,20}", 0..20)) {
            let body = serde_json::json!({ "name": "a", "tags": tags }).to_string();
            let found = Page::parse(body.as_bytes()).unwrap().into_tags();
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            prop_assert_eq!(found, tags);
        }

        #[test]
        fn a_link_is_found_among_others(
            target in "/[a-z0-9/?=&_]{0,40}", other in "[a-z]{1,8}", is_quoted: bool,
        ) {
            let rel = if is_quoted { "\"next\"" } else { "next" };
            let link = format!("<{target}>; rel={rel}, </x>; rel=\"{other}x\"");
            prop_assert_eq!(next(&link), Some(target));
        }
    }
}
