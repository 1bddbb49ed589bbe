//! What an identity token says of itself. Nothing is verified here, and nothing here holds the token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::words::printable;

/// The two parts of a JWT that can be read without a key.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Parts {
    pub(crate) header: Map<String, Value>,
    pub(crate) claims: Map<String, Value>,
}

impl Parts {
    /// Reads a token in its compact form; none if it is no JWT.
    pub(crate) fn of(token: &str) -> Option<Self> {
        let mut segments = token.trim_ascii().split('.');
        let (Some(header), Some(claims), Some(_), None) = (segments.next(), segments.next(), segments.next(), segments.next())
        else {
            return None;
        };
        let read = |segment| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(segment).ok()?).ok();
        Some(Self { header: read(header)?, claims: read(claims)? })
    }

    /// A member of the header that is text: bounded, and free of control characters, for it goes to a terminal.
    pub(crate) fn named(&self, name: &str) -> Option<String> {
        self.header.get(name).and_then(Value::as_str).map(printable)
    }

    /// A claim that is a number of seconds.
    pub(crate) fn seconds(&self, name: &str) -> Option<i64> {
        let value = self.claims.get(name)?;
        value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64)).filter(|seconds| *seconds >= 0)
    }

    /// When its owner is expected to replace it, in seconds since the epoch, if the owner does as a kubelet does: at four fifths of
    /// its life, and up to 90 s for the volume to follow.
    pub(crate) fn rotates_at(&self) -> Option<i64> {
        let (issued, expires) = (self.seconds("iat")?, self.seconds("exp")?);
        Some(issued.saturating_add(expires.saturating_sub(issued) / 5 * 4).saturating_add(90).min(expires))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_token_says_is_read_and_nothing_that_is_no_token() {
        let token = format!(
            "{}.{}.c2ln",
            URL_SAFE_NO_PAD.encode(r#"{"kid":"k\u001b1"}"#),
            URL_SAFE_NO_PAD.encode(r#"{"iat":0,"exp":1000.5}"#)
        );
        let parts = Parts::of(&token).expect("a JWT");
        assert_eq!(parts.named("kid").as_deref(), Some("k1"));
        assert_eq!((parts.seconds("exp"), parts.rotates_at()), (Some(1000), Some(890)));
        for text in ["", "a.b", "a.b.c", "e30.e30.c2ln.x"] {
            assert_eq!(Parts::of(text), None, "{text}");
        }
    }
}
