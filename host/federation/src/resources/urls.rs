//! URLs from which keys are fetched.

use std::net::IpAddr;

use url::{Host, Url};

/// A URL that the real service would fetch, or one of loopback.
///
/// # Errors
///
/// In the words of the service: `url must use https scheme`.
pub fn fetched_url(text: &str) -> Result<Url, String> {
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

/// A URL that the document at `document` names. Whoever writes a document elsewhere does not choose what is asked here.
///
/// # Errors
///
/// Those of [`fetched_url`], and for a URL of loopback in a document that is not there itself.
pub fn named_url(text: &str, document: &Url) -> Result<Url, String> {
    let url = fetched_url(text)?;
    if is_loopback(&url) && !is_loopback(document) {
        return Err("url must use a public DNS name, for the document that names it does".to_owned());
    }
    Ok(url)
}

/// Whether the host is this machine, by its name or its address.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_elsewhere_names_no_url_of_this_machine_and_no_plain_one() {
        let elsewhere = Url::parse("https://issuer.example/.well-known/openid-configuration").expect("a URL");
        for url in [
            "http://127.0.0.1:9200/keys",
            "https://127.0.0.1/keys",
            "http://localhost/keys",
            "https://[::1]/keys",
            "http://0x7f.1/keys",
            "http://keys.example/keys",
            "https://keys.example:8443/keys",
        ] {
            assert!(named_url(url, &elsewhere).is_err(), "{url}");
        }
        assert!(named_url("https://keys.example/keys", &elsewhere).is_ok());
    }

    #[test]
    fn a_document_of_this_machine_names_urls_of_this_machine() {
        let here = Url::parse("http://localhost:8787/.well-known/openid-configuration").expect("a URL");
        assert!(named_url("http://127.0.0.1:9200/keys", &here).is_ok());
        assert!(named_url("http://keys.example/keys", &here).is_err());
    }
}
