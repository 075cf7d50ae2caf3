//! From the name of a host to its addresses: by the system, or within this
//! process. Names that a registry points to may not lead back into this machine.

use std::collections::BTreeSet;
use std::net::SocketAddr;
#[cfg(feature = "resolve")]
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::is_private_address;
use crate::text::Quoted;

/// Who is asked for the addresses of a name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Names {
    /// The system's C library, as every program does. It works on a thread of
    /// its own, which nothing can stop until it has an answer.
    #[default]
    System,
    /// The DNS servers and the hosts file that the system is set up with, from
    /// within this thread, so that the question ends when it is dropped. The
    /// system's other sources of names are not asked.
    #[cfg(feature = "resolve")]
    InProcess,
}

/// Finds addresses for a client.
pub(super) struct Finder {
    pub(super) names: Names,
    /// Refuses names that lead into this machine or to its link-local
    /// neighbours, but for these: proxies are the user's own word, not a
    /// registry's.
    pub(super) guarded: Option<BTreeSet<String>>,
}

#[cfg(feature = "resolve")]
type Failed = Box<dyn std::error::Error + Send + Sync>;

impl Resolve for Finder {
    fn resolve(&self, name: Name) -> Resolving {
        let names = self.names;
        let is_free = self
            .guarded
            .as_ref()
            .is_none_or(|proxies| proxies.contains(name.as_str()));
        Box::pin(async move {
            let found: Vec<SocketAddr> = match names {
                Names::System => tokio::net::lookup_host((name.as_str(), 0)).await?.collect(),
                #[cfg(feature = "resolve")]
                Names::InProcess => in_process(name.as_str()).await?,
            };
            let allowed: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| is_free || !is_private_address(address.ip()))
                .collect();
            if allowed.is_empty() {
                return Err(LeadsInwards(name.as_str().to_owned()).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// The addresses by the hosts file, or else by DNS. Their set-up is read anew
/// each time: the network may have changed since the last, and one question is
/// all that is asked in most processes.
#[cfg(feature = "resolve")]
async fn in_process(name: &str) -> Result<Vec<SocketAddr>, Failed> {
    use hickory_resolver::TokioResolver;
    use hickory_resolver::config::{LookupIpStrategy, ResolveHosts};

    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let listed = in_hosts(&hosts, name);
    if !listed.is_empty() {
        return Ok(at_any_port(listed));
    }
    let setup = |error: &dyn std::fmt::Display| -> Failed {
        format!("cannot read how this system finds names: {error}").into()
    };
    let mut builder = TokioResolver::builder_tokio().map_err(|error| setup(&error))?;
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.options_mut().use_hosts_file = ResolveHosts::Never;
    let resolver = builder.build().map_err(|error| setup(&error))?;
    match resolver.lookup_ip(name).await {
        Ok(found) => Ok(at_any_port(found.iter())),
        Err(error) if error.is_no_records_found() => Err(Box::new(NoSuchHost)),
        Err(error) => Err(error.to_string().into()),
    }
}

/// The addresses that a hosts file has for `name` (hosts(5)); `localhost` is this
/// machine in any case.
#[cfg(feature = "resolve")]
fn in_hosts(hosts: &str, name: &str) -> Vec<IpAddr> {
    let name = name.trim_end_matches('.');
    let mut found = Vec::new();
    // Block lists make these files long, so a line is looked at before it is
    // taken apart.
    for line in hosts.lines().filter(|line| contains(line, name)) {
        let mut words = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_whitespace();
        let address: Option<IpAddr> = words.next().and_then(|word| word.parse().ok());
        if words.any(|word| word.eq_ignore_ascii_case(name)) {
            found.extend(address);
        }
    }
    if found.is_empty() && name.eq_ignore_ascii_case("localhost") {
        found.extend([
            Ipv4Addr::LOCALHOST.into(),
            IpAddr::from(Ipv6Addr::LOCALHOST),
        ]);
    }
    found
}

#[cfg(feature = "resolve")]
fn contains(line: &str, name: &str) -> bool {
    let mut windows = line.as_bytes().windows(name.len().max(1));
    windows.any(|window| window.eq_ignore_ascii_case(name.as_bytes()))
}

#[cfg(feature = "resolve")]
fn at_any_port(addresses: impl IntoIterator<Item = IpAddr>) -> Vec<SocketAddr> {
    let addresses = addresses.into_iter();
    addresses.map(|ip| SocketAddr::new(ip, 0)).collect()
}

/// Why a name has no addresses; in the words of the C library.
#[cfg(feature = "resolve")]
#[derive(Debug, thiserror::Error)]
#[error("Name or service not known")]
pub(super) struct NoSuchHost;

/// Why a name is not resolved.
#[derive(Debug, thiserror::Error)]
#[error("{} leads into this machine's own network", Quoted(.0))]
pub(super) struct LeadsInwards(String);

/// The proxies that the environment names, by variable; `None` for what is no address.
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

/// The hosts of the proxies that the environment names.
pub(super) fn proxy_hosts() -> BTreeSet<String> {
    let hosts = proxies().filter_map(|(_, url)| url?.host_str().map(str::to_owned));
    hosts.collect()
}

/// Refuses a proxy that requests would bypass. The error is for the user.
pub(super) fn check_proxies() -> Result<(), String> {
    const SCHEMES: [&str; 6] = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"];
    for (name, url) in proxies() {
        let Some(url) = url else {
            return Err(format!("{name} names no address of a proxy"));
        };
        if !SCHEMES.contains(&url.scheme()) {
            return Err(format!(
                "{name} names a proxy of the scheme {}, which is none of {}",
                Quoted(url.scheme()),
                SCHEMES.join(", ")
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "resolve")]
    #[test]
    fn the_hosts_file_goes_before_dns() {
        let hosts = "127.0.0.1 localhost\n# 1.1.1.1 registry.example\n\
                     10.0.0.1\tregistry.example other # registry.test\n\
                     ::1 Registry.Example\nnonsense registry.example\n10.0.0.2 my-registry.example\n";
        let found = |name| {
            let found = in_hosts(hosts, name);
            let texts = found.iter().map(ToString::to_string);
            texts.collect::<Vec<_>>()
        };
        assert_eq!(found("registry.example"), ["10.0.0.1", "::1"]);
        assert_eq!(found("REGISTRY.example."), ["10.0.0.1", "::1"]);
        assert_eq!(found("other"), ["10.0.0.1"]);
        assert_eq!(found("localhost"), ["127.0.0.1"]);
        assert!(found("registry.test").is_empty());
        assert!(found("example").is_empty());
        assert_eq!(in_hosts("", "localhost").len(), 2);
    }

    fn every() -> Vec<Names> {
        vec![
            Names::System,
            #[cfg(feature = "resolve")]
            Names::InProcess,
        ]
    }

    #[tokio::test]
    async fn a_name_that_leads_into_this_machine_is_not_resolved() {
        let name = || "localhost".parse::<Name>().unwrap();
        for names in every() {
            let guarded = |proxies: &[&str]| Finder {
                names,
                guarded: Some(proxies.iter().map(ToString::to_string).collect()),
            };
            let Err(error) = guarded(&[]).resolve(name()).await else {
                panic!("localhost is this machine");
            };
            assert!(error.is::<LeadsInwards>(), "{error}");
            // Unless it is the user's own proxy.
            assert!(guarded(&["localhost"]).resolve(name()).await.is_ok());
            let open = Finder {
                names,
                guarded: None,
            };
            assert!(open.resolve(name()).await.is_ok());
        }
    }
}
