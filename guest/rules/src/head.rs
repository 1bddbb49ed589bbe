//! The head of a request: what of it decides what becomes of the request.

use crate::REJECTED_GRPC_STATUS;
use crate::fields::is_credential;

/// Requests with these methods carry no credential: a tunnel, a preflight, one that is answered with itself (RFC 9110 section
/// 9.3.8).
pub const EXEMPT_METHODS: [&str; 3] = ["CONNECT", "OPTIONS", "TRACE"];

/// Whether a request with this method carries no credential. Names of methods have a case; whoever writes one otherwise means the
/// same, and a server on the way may take it so.
#[must_use]
pub fn is_exempt_method(method: &[u8]) -> bool {
    EXEMPT_METHODS.iter().any(|name| method.eq_ignore_ascii_case(name.as_bytes()))
}

/// Whether this value of `connection` names `upgrade`. Without that an `upgrade` field means nothing (RFC 9110 section 7.8).
#[must_use]
pub fn names_upgrade(connection: &[u8]) -> bool {
    connection.split(|byte| *byte == b',').any(|name| name.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

/// What decides what becomes of a request, read in one pass over its fields.
#[derive(Debug, Default)]
pub struct Head {
    /// It is no request to the API as such: a tunnel, a preflight, another protocol. It loses the caller's credential and gets none.
    pub exempt: bool,
    /// Its authority names a user: whatever stands before the `@` may be a credential, too.
    pub names_user: bool,
    /// It has a `connection` field, which might name a field of ours, for the next hop to drop (RFC 9110 section 7.6.1).
    pub has_connection: bool,
    /// The names of the fields that are a caller's own credential, in whatever form.
    pub credentials: Vec<Vec<u8>>,
}

impl Head {
    /// From the fields, the pseudo-header fields `:method` and `:authority` among them.
    #[must_use]
    pub fn read<'a>(fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut head = Self::default();
        let (mut exempt_method, mut upgrades, mut named) = (false, false, false);
        for (name, value) in fields {
            match name {
                b":method" => exempt_method = is_exempt_method(value),
                b":authority" => head.names_user = value.contains(&b'@'),
                b"connection" => {
                    head.has_connection = true;
                    named |= names_upgrade(value);
                }
                b"upgrade" => upgrades = true,
                name if is_credential(name) => head.credentials.push(name.to_vec()),
                _ => {}
            }
        }
        head.exempt = exempt_method || upgrades && named;
        head
    }
}

/// What the session learns of an answer's header: of the token endpoint's, and of what a source asks. Others are of no use to it.
pub const PASSED_ON: [&str; 5] = ["request-id", "retry-after", "date", "content-type", "location"];

/// What of an answer's fields decides what it means for the token.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct AnswerHead {
    /// It rejects the token that the request carried.
    pub rejects: bool,
    /// It leads elsewhere.
    pub redirects: bool,
}

impl AnswerHead {
    /// From the fields, the pseudo-header field `:status` among them.
    #[must_use]
    pub fn read<'a>(fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut head = Self::default();
        for (name, value) in fields {
            match name {
                b":status" => {
                    head.rejects |= value == REJECTED.as_slice();
                    head.redirects = value.first() == Some(&b'3');
                }
                b"grpc-status" => head.rejects |= value == REJECTED_GRPC_STATUS.as_bytes(),
                _ => {}
            }
        }
        head
    }
}

/// [`crate::REJECTED_STATUS`], as it is written.
const REJECTED: [u8; 3] = *b"401";

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&str, &str)]) -> Head {
        Head::read(fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
    }

    #[test]
    fn a_callers_credentials_are_found_and_nothing_else() {
        let head = head(&[(":authority", "user@api"), ("x-api-key", "k"), ("accept", "*/*"), ("x_goog_user", "u")]);
        assert_eq!(head.credentials, [&b"x-api-key"[..], b"x_goog_user"]);
        assert!(head.names_user && !head.has_connection);
    }

    #[test]
    fn an_answer_rejects_by_its_status_or_by_that_of_grpc() {
        let read =
            |fields: &[(&str, &str)]| AnswerHead::read(fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        assert_eq!(REJECTED, *crate::REJECTED_STATUS.to_string().as_bytes());
        assert!(read(&[(":status", "401")]).rejects && read(&[(":status", "200"), ("grpc-status", "16")]).rejects);
        for fields in [&[(":status", "200")][..], &[(":status", "403")], &[(":status", "200"), ("grpc-status", "160")], &[]] {
            assert_eq!(read(fields), AnswerHead::default(), "{fields:?}");
        }
        assert_eq!(read(&[(":status", "307")]), AnswerHead { rejects: false, redirects: true });
    }
}
