//! What goes out and what is read of the answer: the same in every version of `wasi:http`, with types of its own in each.

use wif_engine::Secret;
use wif_engine::contract::{Header, HttpRequest, Outcome, Response};
use zeroize::Zeroizing;

use crate::clock::NANOS_PER_MS;

/// A connection that takes longer is not made; then nothing was sent, which is worth knowing. In nanoseconds.
const CONNECT_TIMEOUT: u64 = 10_000 * NANOS_PER_MS;

/// `fields`, `options` and `address` of a request in one version of `wasi:http`: the module that has its types, and the name of the
/// outgoing request among them.
#[macro_export]
macro_rules! wire {
    ($types:ident, $Outgoing:ident) => {
        /// The header of a request. The error is the task's outcome: nothing was sent.
        fn fields(request: &$crate::HttpRequest) -> Result<$types::Fields, $crate::Outcome> {
            let fields = $types::Fields::from_list(&$crate::http::headers(request))
                .map_err(|error| $crate::http::refused_header(matches!(error, $types::HeaderError::Forbidden)))?;
            // Otherwise it goes out in chunks, which not every endpoint accepts. Some hosts insist on setting it themselves.
            let length = request.body.reveal().len().to_string().into_bytes();
            let _ = fields.append("content-length", &length);
            Ok(fields)
        }

        /// Limits for the host, which may know no such thing; the whole exchange's, in nanoseconds, is kept here.
        fn options(timeout: u64) -> $types::RequestOptions {
            let options = $types::RequestOptions::new();
            let _ = options.set_connect_timeout(Some($crate::http::connect_timeout(timeout)));
            let _ = options.set_first_byte_timeout(Some(timeout));
            let _ = options.set_between_bytes_timeout(Some(timeout));
            options
        }

        /// Gives a request its method and its URL. The error is the task's outcome: nothing was sent.
        fn address(outgoing: &$types::$Outgoing, request: &$crate::HttpRequest) -> Result<(), $crate::Outcome> {
            let parts = $crate::http::Parts::of(&request.url)?;
            let scheme = if parts.encrypted { $types::Scheme::Https } else { $types::Scheme::Http };
            let method = match request.method.as_str() {
                "GET" => $types::Method::Get,
                "POST" => $types::Method::Post,
                "PUT" => $types::Method::Put,
                other => $types::Method::Other(other.to_owned()),
            };
            outgoing
                .set_method(&method)
                .and_then(|()| outgoing.set_scheme(Some(&scheme)))
                .and_then(|()| outgoing.set_authority(Some(parts.authority)))
                .and_then(|()| outgoing.set_path_with_query(Some(&parts.path)))
                .map_err(|()| $crate::Outcome::Unsent("the host takes the URL for malformed".to_owned()))
        }
    };
}

/// The header of a request, without its length.
#[must_use]
pub fn headers(request: &HttpRequest) -> Zeroizing<Vec<(String, Vec<u8>)>> {
    let pair = |header: &Header| (header.name.clone(), header.value.reveal().as_bytes().to_vec());
    request.headers.iter().map(pair).collect::<Vec<_>>().into()
}

/// The host does not take a header.
#[must_use]
pub fn refused_header(forbidden: bool) -> Outcome {
    if forbidden {
        Outcome::Denied("the host forbids a header of the request".to_owned())
    } else {
        Outcome::Unsent("the host takes a header of the request for malformed".to_owned())
    }
}

/// How long a connection may take, in nanoseconds, of an exchange with this limit.
#[must_use]
pub fn connect_timeout(timeout: u64) -> u64 {
    timeout.min(CONNECT_TIMEOUT)
}

/// The whole answer. `field` finds the values of a field by its name.
pub fn response(status: u16, field: impl Fn(&str) -> Vec<Vec<u8>>, content: &[u8]) -> Response {
    let passed_on = |name: &&str| {
        let value = String::from_utf8(field(name).into_iter().next()?).ok()?;
        Some(Header { name: (*name).to_owned(), value: value.into() })
    };
    Response {
        status,
        headers: wif_rules::PASSED_ON.iter().filter_map(passed_on).collect(),
        body: Secret::from(String::from_utf8_lossy(content).into_owned()),
    }
}

/// The parts of an absolute URL.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Whether it is `https`; otherwise it is `http`.
    pub encrypted: bool,
    /// Host and port.
    pub authority: &'a str,
    /// Path and query. They begin with a slash.
    pub path: String,
}

impl<'a> Parts<'a> {
    /// Takes a URL apart. The token endpoint's has a path and nothing else; one that a variable gives to a source may lack it, and a
    /// fragment is no server's business.
    ///
    /// # Errors
    ///
    /// The task's outcome: nothing was sent.
    pub fn of(url: &'a str) -> Result<Self, Outcome> {
        let unreadable = || Outcome::Unsent("the URL cannot be read".to_owned());
        let (scheme, rest) = url.split_once("://").ok_or_else(unreadable)?;
        let encrypted = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(unreadable()),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        Ok(Self { encrypted, authority, path: wif_rules::path_and_query(path) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let found = Parts::of("https://gateway.example:8443/base/v1/oauth/token").unwrap();
        assert!(found.encrypted);
        assert_eq!((found.authority, &*found.path), ("gateway.example:8443", "/base/v1/oauth/token"));
        let found = Parts::of("http://[::1]:80/v1").unwrap();
        assert!(!found.encrypted);
        assert_eq!((found.authority, &*found.path), ("[::1]:80", "/v1"));
        let found = Parts::of("http://127.0.0.1:80?api=1#there").unwrap();
        assert_eq!((found.authority, &*found.path), ("127.0.0.1:80", "/?api=1"));
        assert_eq!(&*Parts::of("http://127.0.0.1").unwrap().path, "/");
        assert!(Parts::of("ftp://host/").is_err());
    }
}
