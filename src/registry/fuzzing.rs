//! The parsers of what registries send, for the fuzz targets.

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LINK, WWW_AUTHENTICATE};

use super::auth::{Challenge, parse_token, token_url};
use super::content::ImageContent;
use super::manifest::{Manifest, platform_of_config};
use super::pages::Page;

/// A page of a tag list, and its `Link` header.
pub fn tag_list(body: &[u8], link: &[u8]) {
    let url = base();
    if let Ok(page) = Page::parse(body) {
        let _ = page.next(&url, &header(LINK, link));
    }
}

/// A manifest or an index, and an image configuration.
pub fn manifest(body: &[u8]) {
    let _ = Manifest::parse(body);
    let _ = platform_of_config(body);
    let _ = ImageContent::of_manifest(body);
    let _ = ImageContent::default().with_configuration(body);
}

/// The body of a token service.
pub fn token(body: &[u8]) {
    let _ = parse_token(body);
}

/// A `WWW-Authenticate` header.
pub fn challenge(value: &[u8]) {
    let url = base();
    if let Some(Challenge::Bearer(service)) = Challenge::of(&header(WWW_AUTHENTICATE, value), &url)
        && service.takes_credentials(&url).is_ok()
    {
        let token = token_url(
            &service.realm,
            service.service.as_deref(),
            &["repository:a:pull".to_owned()],
        );
        assert_eq!(token.origin(), service.realm.origin());
    }
}

fn base() -> Url {
    #[expect(clippy::unwrap_used, reason = "a text of this file")]
    "https://registry.example/v2/".parse().unwrap()
}

fn header(name: HeaderName, value: &[u8]) -> HeaderMap {
    let value = HeaderValue::from_bytes(value).into_iter();
    value.map(|value| (name.clone(), value)).collect()
}
