//! Header fields: what is a caller's credential, and how lists are merged.

use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};

/// The headers in which the API, the clouds that serve the same models, and proxies before them look for a credential, or for
/// the workspace that it is used in. `_` is taken for `-`, because servers behind CGI and its kin do not tell them apart.
const CREDENTIALS: [&str; 8] = [
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "cookie",
    "anthropic-workspace-id",
    "x-amz-security-token",
    "x-serverless-authorization",
];

/// So does every header whose name starts with this.
const CREDENTIALS_PREFIX: &str = "x-goog-";

fn is_credential(name: &HeaderName) -> bool {
    let name = name.as_str().as_bytes();
    let same = |part: &[u8], known: &str| {
        part.len() == known.len()
            && part.iter().zip(known.bytes()).all(|(byte, known)| *byte == known || (*byte, known) == (b'_', b'-'))
    };
    CREDENTIALS.iter().any(|known| same(name, known))
        || name.get(..CREDENTIALS_PREFIX.len()).is_some_and(|start| same(start, CREDENTIALS_PREFIX))
}

/// Takes off every form of a caller's credential.
pub(crate) fn strip(headers: &mut HeaderMap) {
    let found: Vec<HeaderName> = headers.keys().filter(|name| is_credential(name)).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

/// Takes out of `connection` what would have the next hop drop one of our headers (RFC 9110 section 7.6.1).
pub(super) fn keep_through_hops(headers: &mut HeaderMap, is_ours: impl Fn(&HeaderName) -> bool) {
    if !headers.contains_key(CONNECTION) {
        return;
    }
    let stays = |element: &&str| {
        !element.is_empty()
            && HeaderName::from_bytes(element.as_bytes()).is_ok_and(|name| !is_ours(&name) && !is_credential(&name))
    };
    let fields = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let elements: Vec<&str> = fields.flat_map(|value| value.split(',')).map(str::trim).filter(stays).collect();
    let joined = HeaderValue::from_str(&elements.join(", ")).ok().filter(|value| !value.is_empty());
    match joined {
        Some(value) => drop(headers.insert(CONNECTION, value)),
        None => drop(headers.remove(CONNECTION)),
    }
}

/// Adds the elements of a comma-separated value that no field of this name has yet, in one field, in order, each once.
pub(super) fn merge(headers: &mut HeaderMap, name: &HeaderName, ours: &HeaderValue) {
    let theirs: Option<Vec<&str>> = headers.get_all(name).iter().map(|value| value.to_str().ok()).collect();
    let (Some(theirs), Ok(ours_text)) = (theirs, ours.to_str()) else {
        // Not text, so not a list that could be read: it stays as it is, and ours stands beside it, once.
        if !headers.get_all(name).iter().any(|value| value == ours) {
            headers.append(name.clone(), ours.clone());
        }
        return;
    };
    let mut elements: Vec<&str> = Vec::new();
    for element in theirs.into_iter().chain([ours_text]).flat_map(|value| value.split(',')).map(str::trim) {
        if !element.is_empty() && !elements.contains(&element) {
            elements.push(element);
        }
    }
    // Made of parts of valid values and commas.
    if let Ok(merged) = HeaderValue::from_str(&elements.join(",")) {
        headers.insert(name.clone(), merged);
    }
}
