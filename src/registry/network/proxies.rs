//! The proxies that the environment names.

use std::collections::BTreeSet;

use reqwest::Url;

use crate::registry::error::SetupError;

const SCHEMES: &[&str] = &["http", "https", "socks4", "socks4a", "socks5", "socks5h"];

/// The proxies, by variable; `None` for a value that is no URL.
fn proxies() -> impl Iterator<Item = (String, Option<Url>)> {
    ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"]
        .into_iter()
        .flat_map(|name| [name.to_owned(), name.to_lowercase()])
        .filter_map(|name| {
            let value = std::env::var(&name)
                .ok()
                .filter(|value| !value.is_empty())?;
            let url = if value.contains("://") {
                Url::parse(&value)
            } else {
                Url::parse(&format!("http://{value}"))
            };
            Some((name, url.ok()))
        })
}

/// The hosts of the proxies.
pub(super) fn hosts() -> BTreeSet<String> {
    let hosts = proxies().filter_map(|(_, url)| url?.host_str().map(str::to_owned));
    hosts.collect()
}

/// Refuses a proxy that reqwest would silently ignore.
pub(super) fn check() -> Result<(), SetupError> {
    for (variable, url) in proxies() {
        let Some(url) = url else {
            return Err(SetupError::NoProxyUrl { variable });
        };
        if !SCHEMES.contains(&url.scheme()) {
            return Err(SetupError::ProxyScheme {
                variable,
                scheme: url.scheme().to_owned(),
                supported: SCHEMES,
            });
        }
    }
    Ok(())
}
