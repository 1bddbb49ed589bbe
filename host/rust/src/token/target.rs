//! Where a token may go, in the parts that a request's URI is compared in.

use http::Uri;
use http::uri::Authority;
use url::Url;

/// An origin: a scheme, a host and a port, as the URL parser writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    scheme: &'static str,
    host: String,
    port: u16,
    default_port: u16,
    authority: Authority,
}

impl Target {
    /// None for what is no origin of `http` or `https`.
    pub(crate) fn parse(origin: &str) -> Option<Self> {
        let url = Url::parse(origin).ok()?;
        let (scheme, default_port) = match url.scheme() {
            "https" => ("https", 443),
            "http" => ("http", 80),
            _ => return None,
        };
        let host = url.host_str()?.to_owned();
        let port = url.port().unwrap_or(default_port);
        let text = if port == default_port { host.clone() } else { format!("{host}:{port}") };
        Some(Self { scheme, host, port, default_port, authority: text.parse().ok()? })
    }

    /// Whether the URI is of this origin. The host has to be spelled as the URL parser spells it, upper case aside: what two
    /// parsers could read differently is another origin.
    pub(crate) fn contains(&self, uri: &Uri) -> bool {
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return false };
        scheme.eq_ignore_ascii_case(self.scheme)
            && authority.host().eq_ignore_ascii_case(&self.host)
            && self.port_of(authority) == Some(self.port)
    }

    /// The host and, unless it is the default, the port. Without user information.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    fn port_of(&self, authority: &Authority) -> Option<u16> {
        if let Some(port) = authority.port_u16() {
            return Some(port);
        }
        // No port, and not one that is empty or no number.
        let text = authority.as_str();
        let after_user = text.rsplit_once('@').map_or(text, |(_, host)| host);
        (after_user == authority.host()).then_some(self.default_port)
    }
}
