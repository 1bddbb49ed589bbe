//! A string that must not leave by accident.

use std::fmt;

use zeroize::Zeroizing;

/// A string that holds a secret: it cannot be displayed or serialised, shows nothing under `Debug`, and is wiped on drop.
/// [`Secret::reveal`] is the one way to its value.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The value. Every use of this is a place where a secret may leave.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Gives the value away, without a copy; from there on nobody wipes it.
    pub(crate) fn into_revealed(mut self) -> String {
        std::mem::take(&mut self.0)
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(Zeroizing::new(value))
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self::from(value.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}
