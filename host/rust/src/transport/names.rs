//! Names are resolved to where they may lead, and nowhere else: a public name that answers with a private address is an
//! attempt to reach what only this machine can reach (DNS rebinding).

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};
use std::vec;

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use crate::clock::BoxFuture;
use crate::policy::{Origin, Policy, Reach, is_metadata};

/// The system's resolver, with its answers checked.
#[derive(Clone)]
pub(super) struct Resolver {
    /// Where all names may lead, for a client of one source's request.
    all: Option<Reach>,
    origins: Vec<Origin>,
    loopback: bool,
    proxy_host: Option<String>,
}

impl Resolver {
    pub(super) fn new(policy: &Policy) -> Self {
        let proxy_host = policy.proxy_url().and_then(|url| url.host_str()).map(str::to_owned);
        Self { all: None, origins: policy.origins().to_vec(), loopback: policy.allows_loopback(), proxy_host }
    }

    /// For a client that sends one request of a source.
    pub(super) fn of_source(policy: &Policy, reach: Reach) -> Self {
        Self { all: Some(reach), ..Self::new(policy) }
    }

    fn reach(&self, name: &str) -> Reach {
        if self.proxy_host.as_deref().is_some_and(|host| host.eq_ignore_ascii_case(name)) {
            return Reach::Private;
        }
        if let Some(reach) = self.all {
            return reach;
        }
        if self.loopback && name.eq_ignore_ascii_case("localhost") {
            return Reach::Loopback;
        }
        let reaches = || self.origins.iter().filter(|origin| origin.has_host(name)).map(Origin::reach);
        if reaches().any(|reach| reach == Reach::Private) { Reach::Private } else { reaches().next().unwrap_or(Reach::Public) }
    }
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let reach = self.reach(name.as_str());
        let origin = self.origins.iter().find(|origin| origin.has_host(name.as_str()));
        let origin = origin.map_or_else(|| format!("https://{}", name.as_str()), |origin| origin.as_str().to_owned());
        Box::pin(async move {
            let name = name.as_str();
            let found: Vec<_> = tokio::net::lookup_host((name, 0)).await?.collect();
            check(name, &origin, reach, &found)?;
            Ok(found.into_iter())
        })
    }
}

/// All of them: an answer that mixes public and private addresses is not an honest one.
fn check(name: &str, origin: &str, reach: Reach, found: &[SocketAddr]) -> Result<(), String> {
    match found.iter().map(SocketAddr::ip).find(|address| !may_reach(reach, *address)) {
        Some(address) => Err(refusal(name, origin, reach, address)),
        None => Ok(()),
    }
}

/// The rule that refuses an address, and what would allow it.
fn refusal(name: &str, origin: &str, reach: Reach, address: IpAddr) -> String {
    match (reach, scope(address.to_canonical())) {
        // Short: the component shows 200 characters of what went wrong, and this is the end of it.
        (Reach::Public, Scope::Private) => {
            format!("{name} resolves to the private address {address}: Policy::allow_private_origin(\"{origin}\") allows it")
        }
        (Reach::Loopback, _) => format!("{name} resolves to {address}, which is not this machine"),
        _ => format!("{name} resolves to {address}, which no policy allows: link-local, multicast or reserved"),
    }
}

fn may_reach(reach: Reach, address: IpAddr) -> bool {
    let address = address.to_canonical();
    match reach {
        Reach::Loopback => address.is_loopback(),
        Reach::Metadata => is_metadata(address),
        Reach::Public => scope(address) == Scope::Public,
        // A proxy or a gateway may stand on this machine too.
        Reach::Private => scope(address) != Scope::Never,
    }
}

#[derive(PartialEq, Eq)]
enum Scope {
    Public,
    Private,
    /// Link-local (metadata services), multicast, unspecified, reserved.
    Never,
}

fn scope(address: IpAddr) -> Scope {
    match address {
        IpAddr::V4(address) => scope_v4(address),
        IpAddr::V6(address) => scope_v6(address),
    }
}

/// By the registry of special-purpose addresses (RFC 6890).
fn scope_v4(address: Ipv4Addr) -> Scope {
    let [first, second, ..] = address.octets();
    match (first, second) {
        (0 | 224.., _) | (169, 254) => Scope::Never,
        // Carriers' shared space (RFC 6598) and networks of benchmarks (RFC 2544).
        (100, 64..=127) | (198, 18..=19) => Scope::Private,
        _ if address.is_private() || address.is_loopback() => Scope::Private,
        _ => Scope::Public,
    }
}

fn scope_v6(address: Ipv6Addr) -> Scope {
    let [first, second, .., seventh, eighth] = address.segments();
    match first {
        _ if address.is_loopback() => Scope::Private,
        _ if address.is_unspecified() => Scope::Never,
        // Link-local, site-local and multicast.
        0xfe80..=0xfeff | 0xff00.. => Scope::Never,
        // Unique local addresses (RFC 4193).
        0xfc00..=0xfdff => Scope::Private,
        // An IPv4 address behind a translator (RFC 6052) or a tunnel (RFC 3056) is as good as itself.
        0x64 if second == 0xff9b => scope_v4(v4(seventh, eighth)),
        0x2002 => scope_v4(v4(second, address.segments()[2])),
        _ => Scope::Public,
    }
}

fn v4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// B3: a name that leads to a private address.
    #[test]
    fn addresses_lead_only_where_a_name_may_lead() {
        let cases = [
            ("160.79.104.10", [true, true, false]),
            ("2607:6bc0::10", [true, true, false]),
            ("10.0.0.1", [false, true, false]),
            ("172.16.0.1", [false, true, false]),
            ("192.168.1.1", [false, true, false]),
            ("100.64.0.1", [false, true, false]),
            ("fd00::1", [false, true, false]),
            ("127.0.0.1", [false, true, true]),
            ("::1", [false, true, true]),
            ("::ffff:127.0.0.1", [false, true, true]),
            ("::ffff:10.0.0.1", [false, true, false]),
            ("64:ff9b::10.0.0.1", [false, true, false]),
            ("2002:0a00:0001::", [false, true, false]),
            ("169.254.169.254", [false, false, false]),
            ("::ffff:169.254.169.254", [false, false, false]),
            ("64:ff9b::169.254.169.254", [false, false, false]),
            ("fe80::1", [false, false, false]),
            ("0.0.0.0", [false, false, false]),
            ("::", [false, false, false]),
            ("224.0.0.1", [false, false, false]),
            ("255.255.255.255", [false, false, false]),
        ];
        let behind_a_proxy = refusal("api.example", "https://api.example:8443", Reach::Public, "198.18.0.7".parse().unwrap());
        assert_eq!(
            behind_a_proxy,
            "api.example resolves to the private address 198.18.0.7: \
             Policy::allow_private_origin(\"https://api.example:8443\") allows it"
        );
        let metadata = refusal("api.example", "https://api.example", Reach::Private, "169.254.169.254".parse().unwrap());
        assert!(metadata.contains("which no policy allows"), "{metadata}");
        for (address, expected) in cases {
            let parsed: IpAddr = address.parse().unwrap();
            let found = [Reach::Public, Reach::Private, Reach::Loopback].map(|reach| may_reach(reach, parsed));
            assert_eq!(found, expected, "{address}");
        }
    }

    /// B3: an answer with one good address among bad ones, or one bad among good ones, wherever it stands.
    #[test]
    fn one_bad_address_among_many_spoils_the_answer() {
        let (good, bad) = ("160.79.104.10:443", "10.0.0.1:443");
        let answer = |addresses: &[&str]| {
            let addresses: Vec<SocketAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
            check("api.example", "https://api.example", Reach::Public, &addresses)
        };
        assert_eq!(answer(&[good, "160.79.104.11:443"]), Ok(()));
        for mixed in [[bad, good, good], [good, bad, good], [good, good, bad]] {
            let refused = answer(&mixed).unwrap_err();
            assert!(refused.starts_with("api.example resolves to the private address 10.0.0.1:"), "{mixed:?}: {refused}");
        }
    }

    /// B3: what a name resolves to is looked at before anything connects there. The name of this machine stands for one that leads to it.
    #[tokio::test]
    async fn a_name_that_leads_where_it_may_not_gives_no_address() {
        let resolved = async |mut resolver: Resolver| {
            let found = resolver.call("localhost".parse().unwrap()).await;
            found.map(Iterator::count).map_err(|error| error.to_string())
        };
        let policy = Policy::default();
        for resolver in [Resolver::new(&policy), Resolver::of_source(&policy, Reach::Metadata)] {
            let refused = resolved(resolver).await.unwrap_err();
            assert!(refused.starts_with("localhost resolves to "), "{refused}");
        }
        for resolver in [Resolver::new(&policy.clone().allow_loopback()), Resolver::of_source(&policy, Reach::Loopback)] {
            assert!(resolved(resolver).await.unwrap() > 0);
        }
    }

    /// B3: how far the name of a source leads says the source's recipe, whatever the policy says of the name as an origin.
    #[test]
    fn a_name_leads_as_far_as_it_may_for_whom_it_is_resolved() {
        let policy = Policy::default().allow_private_origin("https://gateway.example").unwrap().allow_loopback();
        let exchange = Resolver::new(&policy);
        assert_eq!(exchange.reach("gateway.example"), Reach::Private);
        assert_eq!(exchange.reach("localhost"), Reach::Loopback);
        assert_eq!(exchange.reach("api.anthropic.com"), Reach::Public);
        for name in ["gateway.example", "localhost", "metadata.google.internal"] {
            assert_eq!(Resolver::of_source(&policy, Reach::Metadata).reach(name), Reach::Metadata, "{name}");
        }
    }
}
