//! Resolves host names. A name that a registry chose must not resolve to a
//! private address.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};

use dns_lookup::LookupErrorKind;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::registry::address::is_private_address;
use crate::text::Quoted;

/// How host names are resolved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dns {
    /// By the system's C library, as every program does. It works on a thread of
    /// its own, which nothing can stop until it has an answer.
    #[default]
    System,
    /// By the hosts file and the DNS servers of the system, on this thread, so that
    /// a lookup ends when it is dropped. Other sources of the C library (NSS
    /// modules) do not count.
    #[cfg(feature = "resolve")]
    InProcess,
}

/// Resolves names for a client.
pub(super) struct Resolver {
    dns: Dns,
    guard: Option<Guard>,
}

/// Refuses private addresses, but for proxies, which the user chose.
struct Guard {
    proxies: BTreeSet<String>,
}

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
pub(super) enum DnsError {
    /// There is no such name, or it has no addresses.
    #[error("no such host")]
    NoSuchHost(String),
    /// All its addresses are private, and a registry chose it.
    #[error("{} resolves to an address within this machine's own network", Quoted(.0))]
    PrivateAddress(String),
    /// The lookup failed, which may pass.
    #[error("{0}")]
    Failed(String),
}

impl Resolver {
    pub(super) fn new(dns: Dns) -> Self {
        Self { dns, guard: None }
    }

    /// A resolver that refuses private addresses, but for the hosts `proxies`.
    pub(super) fn guarded(dns: Dns, proxies: BTreeSet<String>) -> Self {
        let guard = Some(Guard { proxies });
        Self { dns, guard }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let dns = self.dns;
        let guard = self.guard.as_ref();
        let is_guarded = guard.is_some_and(|guard| !guard.proxies.contains(name.as_str()));
        Box::pin(async move {
            let name = name.as_str();
            let found = match dns {
                Dns::System => by_system(name).await?,
                #[cfg(feature = "resolve")]
                Dns::InProcess => in_process(name).await?,
            };
            if found.is_empty() {
                return Err(DnsError::NoSuchHost(name.to_owned()).into());
            }
            let allowed: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| !is_guarded || !is_private_address(*address))
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            if allowed.is_empty() {
                return Err(DnsError::PrivateAddress(name.to_owned()).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

async fn by_system(name: &str) -> Result<Vec<IpAddr>, DnsError> {
    let host = name.to_owned();
    let lookup = move || dns_lookup::lookup_host(&host).map(Iterator::collect);
    match tokio::task::spawn_blocking(lookup).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => match error.kind() {
            LookupErrorKind::NoName | LookupErrorKind::NoData => {
                Err(DnsError::NoSuchHost(name.to_owned()))
            }
            _ => Err(DnsError::Failed(io::Error::from(error).to_string())),
        },
        Err(error) => Err(DnsError::Failed(error.to_string())),
    }
}

/// By the hosts file alone where it lists the name: hickory's own reading of it asks
/// DNS for the kind of address that the file does not have, and needs DNS settings.
///
/// Reads the system's configuration each time: the network may have changed, and
/// most processes resolve one name.
#[cfg(feature = "resolve")]
async fn in_process(name: &str) -> Result<Vec<IpAddr>, DnsError> {
    use hickory_resolver::TokioResolver;
    use hickory_resolver::config::{LookupIpStrategy, ResolveHosts};

    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let listed = in_hosts(&hosts, name);
    if !listed.is_empty() {
        return Ok(listed);
    }
    let failed = |error: &dyn std::fmt::Display| {
        DnsError::Failed(format!("cannot read the system's DNS settings: {error}"))
    };
    let mut builder = TokioResolver::builder_tokio().map_err(|error| failed(&error))?;
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = ResolveHosts::Never;
    let resolver = builder.build().map_err(|error| failed(&error))?;
    match resolver.lookup_ip(name).await {
        Ok(found) => Ok(found.iter().collect()),
        Err(error) if error.is_no_records_found() => Err(DnsError::NoSuchHost(name.to_owned())),
        Err(error) => Err(DnsError::Failed(error.to_string())),
    }
}

/// The addresses of `name` in the text of a hosts file (hosts(5)); `localhost` is
/// always this machine.
#[cfg(feature = "resolve")]
fn in_hosts(hosts: &str, name: &str) -> Vec<IpAddr> {
    use std::net::{Ipv4Addr, Ipv6Addr};

    let name = name.trim_end_matches('.');
    let mut found = Vec::new();
    for line in hosts.lines() {
        let entry = line.split('#').next().unwrap_or_default();
        let mut words = entry.split_whitespace();
        let address: Option<IpAddr> = words.next().and_then(|word| word.parse().ok());
        if words.any(|word| word.eq_ignore_ascii_case(name)) {
            found.extend(address);
        }
    }
    if found.is_empty() && name.eq_ignore_ascii_case("localhost") {
        found.extend([
            IpAddr::from(Ipv4Addr::LOCALHOST),
            Ipv6Addr::LOCALHOST.into(),
        ]);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "resolve")]
    #[test]
    fn the_hosts_file_lists_names_and_comments() {
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

    fn every() -> Vec<Dns> {
        vec![
            Dns::System,
            #[cfg(feature = "resolve")]
            Dns::InProcess,
        ]
    }

    async fn resolve(resolver: &Resolver, name: &str) -> Result<Vec<SocketAddr>, DnsError> {
        let found = resolver.resolve(name.parse().unwrap()).await;
        match found {
            Ok(found) => Ok(found.collect()),
            Err(error) => Err(*error.downcast().unwrap()),
        }
    }

    #[tokio::test]
    async fn a_registry_cannot_choose_a_name_of_this_machine() {
        for dns in every() {
            let guarded = Resolver::guarded(dns, BTreeSet::new());
            let error = resolve(&guarded, "localhost").await.unwrap_err();
            assert!(matches!(error, DnsError::PrivateAddress(_)), "{error}");
            // The user's own proxy may be there, and so may what the user chose.
            let with_proxy = Resolver::guarded(dns, ["localhost".to_owned()].into());
            for resolver in [with_proxy, Resolver::new(dns)] {
                let found = resolve(&resolver, "localhost").await.unwrap();
                assert!(found.iter().all(|address| address.ip().is_loopback()));
            }
        }
    }
}
