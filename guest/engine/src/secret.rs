//! A string that must not leave by accident.

use core::fmt;

use serde::Deserialize;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A string that holds a secret.
///
/// It cannot be displayed or serialised, shows nothing but its presence under `Debug`, is compared in constant time, and is
/// wiped on drop. [`Secret::reveal`] is the one way to its value.
///
/// ```compile_fail,E0277
/// let secret = wif_engine::Secret::from("s");
/// println!("{secret}");
/// ```
///
/// ```compile_fail,E0277
/// fn serialisable<T: serde::Serialize>(_: T) {}
/// serialisable(wif_engine::Secret::from("s"));
/// ```
///
/// The types that carry one cannot be serialised either:
///
/// ```compile_fail,E0277
/// fn serialisable<T: serde::Serialize>() {}
/// serialisable::<wif_engine::contract::Output>();
/// ```
///
/// ```compile_fail,E0277
/// fn serialisable<T: serde::Serialize>() {}
/// serialisable::<wif_engine::contract::Header>();
/// ```
#[derive(Clone, Default, Zeroize, ZeroizeOnDrop, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The value. Every use of this is a place where a secret may leave.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Gives the value away, without a copy.
    #[must_use]
    pub fn into_revealed(mut self) -> String {
        core::mem::take(&mut self.0)
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.0.as_bytes(), other.0.as_bytes());
        let difference = a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b));
        a.len() == b.len() && difference == 0
    }
}

impl Eq for Secret {}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(value: &str) -> Secret {
        Secret::from(value.to_owned())
    }

    /// G2: whatever prints it, prints this.
    #[test]
    fn a_secret_prints_as_a_placeholder_and_is_handed_over_whole() {
        assert_eq!(format!("{:?}", Some(secret("canary"))), "Some([secret])");
        assert_eq!(secret("canary").into_revealed(), "canary");
    }

    /// Also where two differences cancel each other out.
    #[test]
    fn secrets_that_differ_in_any_byte_or_in_length_differ() {
        assert_eq!(secret("canary"), secret("canary"));
        for other in ["", "canar", "canary2", "Canary", "canarz", "cnaary", "acnary"] {
            assert_ne!(secret("canary"), secret(other), "{other}");
        }
    }
}
