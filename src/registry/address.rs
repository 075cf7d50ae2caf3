//! Where a request may go: which hosts are this machine, which ones a registry
//! may point elsewhere to, and which ones belong together.

use std::net::IpAddr;

use reqwest::Url;

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

/// Whether `url` names, by its address, a place that no registry elsewhere has
/// any business pointing to: this machine, or the neighbours that only a
/// machine itself should talk to, such as a cloud's metadata service.
pub(super) fn is_private_place(url: &Url) -> bool {
    is_loopback_url(url) || ip_of(url).is_some_and(is_private_address)
}

/// Loopback, link-local, unspecified and multicast addresses, and the cloud
/// metadata address that is none of these.
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

/// Whether two addresses are of one site: the same host, or hosts under one
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

/// `next` over https where only the scheme tells it from what `url` asks: a
/// registry behind a proxy that speaks TLS for it may not know of that.
pub(super) fn upgraded(mut next: Url, url: &Url) -> Url {
    let is_same = next.host_str() == url.host_str() && next.port().is_none();
    if next.scheme() == "http" && url.scheme() == "https" && is_same {
        // Neither fails between these two schemes.
        let _ = next.set_scheme("https");
        let _ = next.set_port(url.port());
    }
    next
}

/// `next` at the server of `url` where both name one host, by whatever scheme
/// and port: likewise.
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
            assert!(is_private_place(&url(place)), "{place}");
        }
        for place in ["https://ghcr.io/", "https://10.0.0.7/", "https://1.1.1.1/"] {
            assert!(!is_private_place(&url(place)), "{place}");
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
