//! Which hosts are this machine, which ones a registry may point to, and which
//! ones belong to one site.

use std::net::IpAddr;

use reqwest::Url;

#[cfg(feature = "resolve")]
use crate::reference::ImageName;

/// The host that serves the images of `docker.io`.
pub(super) const DOCKER_HUB_HOST: &str = "registry-1.docker.io";

/// Who chose the host of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChosenBy {
    /// The user, who wrote the registry's name.
    User,
    /// A registry, by a redirect, a token service or a next page. Such a host
    /// must not resolve to an address within this machine's own network.
    Registry,
}

/// Who chose the host of `url`, for the registry with the base URL `registry`.
pub(super) fn chosen_by(url: &Url, registry: &Url) -> ChosenBy {
    if url.host_str() == registry.host_str() {
        ChosenBy::User
    } else {
        ChosenBy::Registry
    }
}

/// The base URL of the API of `registry`, as images name it (OCI distribution
/// spec, "Endpoints").
pub(super) fn api_url(scheme: &str, registry: &str) -> String {
    let host = match registry {
        "docker.io" => DOCKER_HUB_HOST,
        other => other,
    };
    format!("{scheme}://{host}/v2/")
}

/// The URL of the repository of `image`, under which its tag list and manifests are.
/// On loopback it is an http URL, as a registry there may have no TLS.
#[cfg(feature = "resolve")]
pub fn repository_url(image: &ImageName) -> String {
    let scheme = if is_loopback_registry(image.registry()) {
        "http"
    } else {
        "https"
    };
    let base = api_url(scheme, image.registry());
    format!("{base}{}/", image.repository())
}

/// The URL under which the manifests of `image` are, likewise.
#[cfg(feature = "resolve")]
pub fn manifests_url(image: &ImageName) -> String {
    repository_url(image) + "manifests/"
}

/// Whether a registry's `host[:port]` is this machine.
pub(super) fn is_loopback_registry(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => registry.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(is_loopback)
}

/// Whether the host of `url` is this machine.
pub(super) fn is_loopback_url(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    host == "localhost" || host.ends_with(".localhost") || ip_of(url).is_some_and(is_loopback)
}

/// Whether the host of `url` is written as a private address: this machine, or a
/// neighbour that only the machine itself may talk to, such as a cloud's metadata
/// service. No registry elsewhere has a reason to point there.
pub(super) fn is_private_host(url: &Url) -> bool {
    is_loopback_url(url) || ip_of(url).is_some_and(is_private_address)
}

/// Loopback, link-local, unspecified and multicast addresses, and the IPv6
/// address of AWS's metadata service, which is none of these.
pub(super) fn is_private_address(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_broadcast()
        }
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unicast_link_local()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.segments() == [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254]
        }
    }
}

/// Whether two URLs are of one site: the same host, or hosts under one
/// registrable domain (`registry-1.docker.io` and `auth.docker.io`), by the
/// Public Suffix List.
pub(super) fn same_site(a: &Url, b: &Url) -> bool {
    let (Some(host), Some(other)) = (a.host_str(), b.host_str()) else {
        return false;
    };
    if host == other {
        return true;
    }
    if ip_of(a).is_some() || ip_of(b).is_some() {
        return false;
    }
    match (psl::domain_str(host), psl::domain_str(other)) {
        (Some(site), Some(other)) => site == other,
        _ => false,
    }
}

/// `next` over https where it names the host of `url` over http: a registry behind
/// a proxy that terminates TLS may not know that it is served over https.
pub(super) fn upgraded(mut next: Url, url: &Url) -> Url {
    let is_same = next.host_str() == url.host_str() && next.port().is_none();
    if next.scheme() == "http" && url.scheme() == "https" && is_same {
        // Neither fails between these two schemes.
        let _ = next.set_scheme("https");
        let _ = next.set_port(url.port());
    }
    next
}

/// `next` with the scheme and port of `url` where both name one host, for the same
/// reason.
pub(super) fn rebased(next: Url, url: &Url) -> Url {
    if next.host_str() != url.host_str() || !matches!(next.scheme(), "http" | "https") {
        return next;
    }
    let mut there = url.clone();
    there.set_path(next.path());
    there.set_query(next.query());
    there
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

fn ip_of(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    bare.unwrap_or(host).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn loopback_is_this_machine_only() {
        for name in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.1.2.3",
            "[::1]:80",
        ] {
            assert!(is_loopback_registry(name), "{name}");
        }
        for name in [
            "docker.io",
            "localhost.example.org",
            "10.0.0.1:5000",
            "[2001:db8::1]",
            "127.0.0.1.nip.io",
        ] {
            assert!(!is_loopback_registry(name), "{name}");
        }
    }

    #[test]
    fn no_registry_may_point_into_this_machine() {
        for place in [
            "https://127.0.0.1/x",
            "https://localhost:8080/",
            "https://a.localhost/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://0x7f000001/",
            "https://2130706433/",
            "https://169.254.169.254/latest/meta-data",
            "https://[fe80::1]/",
            "https://[fd00:ec2::254]/",
            "https://0.0.0.0/",
        ] {
            assert!(is_private_host(&url(place)), "{place}");
        }
        for place in ["https://ghcr.io/", "https://10.0.0.7/", "https://1.1.1.1/"] {
            assert!(!is_private_host(&url(place)), "{place}");
        }
    }

    #[test]
    fn a_site_is_a_registrable_domain() {
        for (a, b) in [
            (
                "https://registry-1.docker.io",
                "https://auth.docker.io/token",
            ),
            ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth"),
            ("https://ghcr.io", "https://ghcr.io:443/token"),
            ("https://10.0.0.7:5000", "https://10.0.0.7:5001/auth"),
            ("https://registry.home.lan", "https://auth.home.lan"),
        ] {
            assert!(same_site(&url(a), &url(b)), "{a} {b}");
        }
        for (a, b) in [
            ("https://registry-1.docker.io", "https://auth.docker.com"),
            ("https://a.co.uk", "https://b.co.uk"),
            ("https://a.github.io", "https://b.github.io"),
            ("https://10.0.0.7", "https://10.0.0.8"),
            ("https://registry", "https://auth"),
            ("https://docker.io.evil.example", "https://docker.io"),
        ] {
            assert!(!same_site(&url(a), &url(b)), "{a} {b}");
        }
    }
}
