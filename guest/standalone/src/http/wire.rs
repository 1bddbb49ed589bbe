//! What goes out and what is read of the answer: the same in every version of `wasi:http`, with the types of whoever includes
//! this file.

use wif_engine::Secret;
use wif_engine::contract::{Header, HttpRequest, Outcome, Response};
use zeroize::Zeroizing;

use super::{Fields, HeaderError, Method, Outgoing, RequestOptions, Scheme};
use crate::clock::NANOS_PER_MS;

/// A connection that takes longer is not made; then nothing was sent, which is worth knowing. In nanoseconds.
const CONNECT_TIMEOUT: u64 = 10_000 * NANOS_PER_MS;

/// What the engine learns of an answer's header. Others are of no use to it.
const PASSED_ON: [&str; 5] = ["request-id", "retry-after", "date", "content-type", "location"];

/// The header of a request. The error is the task's outcome: nothing was sent.
pub(super) fn fields(request: &HttpRequest) -> Result<Fields, Outcome> {
    let fields: Zeroizing<Vec<(String, Vec<u8>)>> = request
        .headers
        .iter()
        .map(|header| (header.name.clone(), header.value.reveal().as_bytes().to_vec()))
        .collect::<Vec<_>>()
        .into();
    let fields = Fields::from_list(&fields).map_err(|error| match error {
        HeaderError::Forbidden => Outcome::Denied("the host forbids a header of the request".to_owned()),
        _ => Outcome::Unsent("the host takes a header of the request for malformed".to_owned()),
    })?;
    // Otherwise it goes out in chunks, which not every endpoint accepts. Some hosts insist on setting it themselves.
    let length = request.body.reveal().len().to_string().into_bytes();
    let _ = fields.append("content-length", &length);
    Ok(fields)
}

/// Limits for the host, which may know no such thing; the whole exchange's, in nanoseconds, is kept here.
pub(super) fn options(timeout: u64) -> RequestOptions {
    let options = RequestOptions::new();
    let _ = options.set_connect_timeout(Some(timeout.min(CONNECT_TIMEOUT)));
    let _ = options.set_first_byte_timeout(Some(timeout));
    let _ = options.set_between_bytes_timeout(Some(timeout));
    options
}

/// Gives a request its method and its URL. The error is the task's outcome: nothing was sent.
pub(super) fn address(outgoing: &Outgoing, request: &HttpRequest) -> Result<(), Outcome> {
    let parts = parts(&request.url).ok_or_else(|| Outcome::Unsent("the URL cannot be read".to_owned()))?;
    let method = match request.method.as_str() {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        other => Method::Other(other.to_owned()),
    };
    outgoing
        .set_method(&method)
        .and_then(|()| outgoing.set_scheme(Some(&parts.scheme)))
        .and_then(|()| outgoing.set_authority(Some(parts.authority)))
        .and_then(|()| outgoing.set_path_with_query(Some(&parts.path)))
        .map_err(|()| Outcome::Unsent("the host takes the URL for malformed".to_owned()))
}

/// The whole answer.
pub(super) fn response(status: u16, fields: &Fields, content: &[u8]) -> Response {
    let field = |name: &&str| {
        let value = String::from_utf8(fields.get(name).into_iter().next()?).ok()?;
        Some(Header { name: (*name).to_owned(), value: value.into() })
    };
    Response {
        status,
        headers: PASSED_ON.iter().filter_map(field).collect(),
        body: Secret::from(String::from_utf8_lossy(content).into_owned()),
    }
}

/// The parts of an absolute URL.
struct Parts<'a> {
    scheme: Scheme,
    authority: &'a str,
    path: String,
}

/// Takes a URL apart. The token endpoint's has a path and nothing else; one that a variable gives to a source may lack it, and a
/// fragment is no server's business.
fn parts(url: &str) -> Option<Parts<'_>> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = match scheme {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        _ => return None,
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let slash = if path.starts_with('/') { "" } else { "/" };
    Some(Parts { scheme, authority, path: [slash, path].concat() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let found = parts("https://gateway.example:8443/base/v1/oauth/token").unwrap();
        assert!(matches!(found.scheme, Scheme::Https));
        assert_eq!((found.authority, &*found.path), ("gateway.example:8443", "/base/v1/oauth/token"));
        let found = parts("http://[::1]:80/v1").unwrap();
        assert!(matches!(found.scheme, Scheme::Http));
        assert_eq!((found.authority, &*found.path), ("[::1]:80", "/v1"));
        let found = parts("http://127.0.0.1:80?api=1#there").unwrap();
        assert_eq!((found.authority, &*found.path), ("127.0.0.1:80", "/?api=1"));
        assert_eq!(&*parts("http://127.0.0.1").unwrap().path, "/");
        assert!(parts("ftp://host/").is_none());
    }
}
