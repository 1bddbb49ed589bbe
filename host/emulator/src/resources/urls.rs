//! URLs from which keys are fetched.

use std::net::IpAddr;

use url::{Host, Url};

/// A URL that the real service would fetch, or one of loopback.
///
/// # Errors
///
/// In the words of the service: `url must use https scheme`.
pub(crate) fn fetched_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("url must not hold a user name or a password".to_owned());
    }
    if url.fragment().is_some() {
        return Err("url must not have a fragment".to_owned());
    }
    if is_loopback(&url) && matches!(url.scheme(), "http" | "https") {
        return Ok(url);
    }
    if url.scheme() != "https" {
        return Err("url must use https scheme".to_owned());
    }
    if url.port_or_known_default() != Some(443) {
        return Err("url must use port 443".to_owned());
    }
    let public = match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name.contains('.') && ![".local", ".internal", ".localhost"].iter().any(|suffix| name.ends_with(suffix))
        }
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => return Err("url must not use an IP address".to_owned()),
        None => false,
    };
    if !public {
        return Err("url must use a public DNS name".to_owned());
    }
    Ok(url)
}

/// Whether the host is this machine, by its name or its address.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    }
}
