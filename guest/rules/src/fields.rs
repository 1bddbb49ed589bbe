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
    // Most names end here: every field of every request is asked for.
    let Some(b'a' | b'p' | b'x' | b'c') = name.first().map(u8::to_ascii_lowercase) else { return false };
    (LENGTHS & 1_u32.checked_shl(name.len() as u32).unwrap_or(0) != 0 && CREDENTIALS.iter().any(|known| is_same(name, known)))
        || name.get(..CREDENTIALS_PREFIX.len()).is_some_and(|start| is_same(start, CREDENTIALS_PREFIX))
}

/// A bit for each length that a name in [`CREDENTIALS`] has.
const LENGTHS: u32 = {
    let (mut lengths, mut index) = (0, 0);
    while index < CREDENTIALS.len() {
        lengths |= 1 << CREDENTIALS[index].len();
        index += 1;
    }
    lengths
};

fn is_same(part: &[u8], known: &str) -> bool {
    let plain = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    part.len() == known.len() && part.iter().map(plain).eq(known.bytes())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of every length, those of credentials among them.
    #[test]
    fn a_name_of_another_length_is_no_credential() {
        for known in CREDENTIALS {
            assert!(
                is_credential(known.as_bytes()) && is_credential(known.to_uppercase().replace('-', "_").as_bytes()),
                "{known}"
            );
            assert!(!is_credential(&known.as_bytes()[..known.len() - 1]), "{known}");
            assert!(!is_credential(format!("{known}s").as_bytes()), "{known}");
        }
        assert!(is_credential(b"X_Goog_") && is_credential(format!("x-goog-{}", "a".repeat(99)).as_bytes()));
        assert!(!is_credential(b"") && !is_credential(b"x-goo") && !is_credential("x".repeat(32).as_bytes()));
    }
}
