//! Header fields: what is a caller's credential, and how lists are merged.

use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};

fn is_credential(name: &HeaderName) -> bool {
    wif_rules::is_credential(name.as_str().as_bytes())
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
    let theirs = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    // Made of parts of valid values and commas.
    if let Ok(merged) = HeaderValue::from_bytes(&wif_rules::merge(theirs.chain([ours.as_bytes()]))) {
        headers.insert(name.clone(), merged);
    }
}
