//! What content is addressed by.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// A SHA-256 digest. It is shown as references name it: `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    hex: String,
}

impl Digest {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self { hex: Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect() }
    }

    /// The 64 digits alone, as the fields named `sha256` of proxies take them.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.hex
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "sha256:{}", self.hex)
    }
}
