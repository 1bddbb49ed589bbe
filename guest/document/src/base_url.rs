//! Where the API is: a strict subset of RFC 3986, so that no two parsers can disagree about the host.

/// A base URL in normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    origin: String,
    path: String,
}

impl BaseUrl {
    /// Reads a URL. The message says what is wrong with it.
    ///
    /// Accepted are `https` with a host name or an IP address, and `http` for `localhost`, `127.0.0.1` and `[::1]` alone. Refused is
    /// all that parsers are known to disagree about: user information, query, fragment, escapes, a trailing dot, other
    /// spellings of IP addresses, characters outside ASCII.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let url = Self::parse_any(text)?;
        if ["/v1", "/v1/messages", "/v1/oauth/token"].iter().any(|end| url.path.ends_with(end)) {
            return Err("must end before /v1: leave that out, as in https://api.anthropic.com");
        }
        Ok(url)
    }

    /// The same for a URL of which only the origin matters.
    pub fn parse_any(text: &str) -> Result<Self, &'static str> {
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("must be visible ASCII without spaces; write an international name in its xn-- form");
        }
        let lower = text.to_ascii_lowercase();
        let (scheme, default_port) = match lower.split_once("://") {
            Some(("https", _)) => ("https", 443),
            Some(("http", _)) => ("http", 80),
            _ => return Err("must begin with https://"),
        };
        let rest = &text[scheme.len() + 3..];
        if rest.contains(['?', '#', '\\', '@', '%']) {
            return Err("must have no user information, query, fragment or escapes");
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let authority = authority.to_ascii_lowercase();
        let (host, port) = split_port(&authority, default_port)?;
        check_host(host)?;
        if scheme == "http" && !matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
            return Err("must begin with https://; http:// is for localhost, 127.0.0.1 and [::1] alone");
        }
        let path = path.trim_end_matches('/');
        if path.split('/').any(|segment| segment == "." || segment == "..") || path.contains("//") {
            return Err("must have a plain path");
        }
        let origin = if port == default_port { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{port}") };
        Ok(Self { origin, path: path.to_owned() })
    }

    /// Scheme, host and port, the port left out where it is the scheme's own.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// What follows the origin, without a slash at its end.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The base URL followed by `path`.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{}{}{path}", self.origin, self.path)
    }
}

/// The origin of a URL in the one form in which tokens name origins, for drivers that
/// compare. It is as strict as a `base_url` is.
///
/// # Errors
///
/// It is none, with what is wrong with it.
pub fn origin_of(url: &str) -> Result<String, &'static str> {
    BaseUrl::parse_any(url).map(|url| url.origin)
}

impl Default for BaseUrl {
    fn default() -> Self {
        Self { origin: "https://api.anthropic.com".to_owned(), path: String::new() }
    }
}

fn split_port(authority: &str, default: u16) -> Result<(&str, u16), &'static str> {
    let host_end = if authority.starts_with('[') {
        authority.find(']').ok_or("must close the bracket of its IPv6 address")? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, port) = authority.split_at(host_end);
    if port.is_empty() {
        return Ok((host, default));
    }
    let digits = port.strip_prefix(':').ok_or("must have nothing but a port after the host")?;
    let port = if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None };
    match port {
        Some(port) if !digits.starts_with('0') => Ok((host, port)),
        _ => Err("must have a port from 1 to 65535"),
    }
}

fn check_host(host: &str) -> Result<(), &'static str> {
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return match address.parse::<core::net::Ipv6Addr>() {
            Ok(parsed) if parsed.to_string() == address => Ok(()),
            _ => Err("must spell its IPv6 address in the canonical form of RFC 5952"),
        };
    }
    let labels = || host.split('.');
    if host.is_empty() || host.len() > 253 {
        return Err("must have a host");
    }
    let fine = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if !labels().all(fine) {
        return Err("must have a plain host name, without a trailing dot");
    }
    // What ends in a number is an IPv4 address to URL parsers, whatever it looks like.
    let last = labels().next_back().unwrap_or_default();
    let numeric = last.bytes().all(|byte| byte.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if numeric && host.parse::<core::net::Ipv4Addr>().is_err() {
        return Err("must spell its IPv4 address as four decimal numbers");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Result<String, &'static str> {
        BaseUrl::parse(text).map(|url| url.origin)
    }

    #[test]
    fn ordinary_base_urls_keep_origin_and_path() {
        let url = BaseUrl::parse("HTTPS://Gateway.Example:8443/anthropic/").unwrap();
        assert_eq!(url.origin(), "https://gateway.example:8443");
        assert_eq!(url.join("/v1/oauth/token"), "https://gateway.example:8443/anthropic/v1/oauth/token");
        assert_eq!(origin("https://api.anthropic.com:443").unwrap(), "https://api.anthropic.com");
        assert_eq!(origin("http://[::1]:8080").unwrap(), "http://[::1]:8080");
    }

    /// B1: no spelling gets past the check that another parser would take for a different host.
    #[test]
    fn spellings_that_parsers_disagree_about_are_refused() {
        for text in [
            "",
            "api.anthropic.com",
            "ftp://api.anthropic.com",
            "http://api.anthropic.com",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "http://127.1",
            "http://0x7f000001",
            "http://2130706433",
            "http://0177.0.0.1",
            "https://1.2.3",
            "https://api.anthropic.com@evil.example",
            "https://api.anthropic.com\\@evil.example",
            "https://api.anthropic.com.",
            "https://api..anthropic.com",
            "https://api.anthropic.com#x",
            "https://api.anthropic.com?x",
            "https://api.anthropic.com:0",
            "https://api.anthropic.com:65536",
            "https://api.anthropic.com:+443",
            "https://api.anthropic.com:",
            "https://api.anthropic.com/../x",
            "https://api.anthropic.com//x",
            "https://%61pi.anthropic.com",
            "https://аpi.anthropic.com",
            "https://[fe80::1%25eth0]",
            "https://[0:0:0:0:0:0:0:1]",
            "https://[::1",
            "https://",
            " https://api.anthropic.com",
        ] {
            assert!(BaseUrl::parse(text).is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn hosts_are_names_or_addresses_in_their_one_form() {
        let longest = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
        for host in ["a-b.example", "127.0.0.1", "[2001:db8::1]", "a.0xg", &longest] {
            let url = format!("https://{host}");
            assert_eq!(origin_of(&url), Ok(url.clone()));
        }
        assert_eq!(origin("https://"), Err("must have a host"));
        assert_eq!(origin(&format!("https://{longest}b")), Err("must have a host"));
        for host in ["a_b.example", "-a.example", "a-.example", "127.0.0.01", "1.2.3.256", &"a".repeat(64)] {
            assert!(origin(&format!("https://{host}")).is_err(), "{host}");
        }
        for port in ["1", "65535"] {
            assert_eq!(origin(&format!("https://a.example:{port}")), Ok(format!("https://a.example:{port}")));
        }
        for port in ["0443", "00"] {
            assert!(origin(&format!("https://a.example:{port}")).is_err(), "{port}");
        }
        assert_eq!(BaseUrl::parse("https://a.example/b/c/").unwrap().path(), "/b/c");
        assert_eq!(BaseUrl::default().path(), "");
    }
}
