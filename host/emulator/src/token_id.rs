//! Names for tokens that can be shown.

use std::fmt;

use sha2::{Digest, Sha256};

/// The name of a token: the first 16 hexadecimal digits of its SHA-256. It can be logged; the token cannot.
///
/// Access tokens and identity tokens are named alike, so that a client's log and the emulator's history can be laid
/// side by side.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenId(String);

impl TokenId {
    /// The id of `token`, taken over its bytes as they are sent.
    pub fn of(token: &str) -> Self {
        Self(digest(token)[..8].iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The id that is written so; `None` if it is not 16 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let well_formed = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        well_formed.then(|| Self(text.to_owned()))
    }

    /// The 16 lower-case hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The SHA-256 of a token: what the emulator remembers in its stead.
pub(crate) fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
