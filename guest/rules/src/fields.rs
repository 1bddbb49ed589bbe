//! Header fields: what is a caller's own credential, and how lists are merged.

/// The fields in which the API, the clouds that serve the same models, and proxies before them look for a credential, or for the
/// workspace that it is used in.
pub const CREDENTIALS: [&str; 8] = [
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "cookie",
    "anthropic-workspace-id",
    "x-amz-security-token",
    "x-serverless-authorization",
];

/// So does every field whose name starts with this.
pub const CREDENTIALS_PREFIX: &str = "x-goog-";

/// Whether a field of this name is a caller's credential, which does not reach the API beside ours. `_` is taken for `-`, because
/// servers behind CGI and its kin do not tell them apart; case does not matter.
#[must_use]
pub fn is_credential(name: &[u8]) -> bool {
    // Most names end here.
    let Some(b'a' | b'p' | b'x' | b'c') = name.first().map(u8::to_ascii_lowercase) else { return false };
    let same = |part: &[u8], known: &str| {
        let plain = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
        part.len() == known.len() && part.iter().map(plain).eq(known.bytes())
    };
    CREDENTIALS.iter().any(|known| same(name, known))
        || name.get(..CREDENTIALS_PREFIX.len()).is_some_and(|start| same(start, CREDENTIALS_PREFIX))
}

/// One comma-separated list of what stands in these, in order, each element once. An element that is not text is kept as it is.
#[must_use]
pub fn merge<'a>(lists: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut merged: Vec<u8> = Vec::new();
    for element in lists.into_iter().flat_map(|list| list.split(is_comma)).map(<[u8]>::trim_ascii) {
        if element.is_empty() || merged.split(is_comma).any(|known| known == element) {
            continue;
        }
        if !merged.is_empty() {
            merged.push(b',');
        }
        merged.extend(element);
    }
    merged
}

fn is_comma(byte: &u8) -> bool {
    *byte == b','
}
