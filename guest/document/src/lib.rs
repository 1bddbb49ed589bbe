//! Reads configuration documents: typed values by name, and an error that names the field for whatever is missing, malformed or
//! unknown. For the engine's own document, and for those of drivers that contain it, such as Envoy's: they need nothing else of the
//! engine.

#![forbid(unsafe_code)]

mod base_url;
mod clusters;
mod fields;

pub use base_url::{BaseUrl, origin_of};
pub use clusters::{Clusters, of_a_service};
pub use fields::{ConfigurationError, Fields};

/// Whether this is the token where only its place belongs.
#[must_use]
pub fn looks_like_jwt(text: &str) -> bool {
    let text = text.trim();
    text.starts_with("eyJ") && text.matches('.').count() == 2 && !text.contains('/')
}

/// Whether this is a key or a token of the API where something else belongs, which will be shown.
#[must_use]
pub fn looks_like_key(text: &str) -> bool {
    text.trim().starts_with("sk-ant-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_told_from_its_place() {
        assert!(looks_like_jwt(" eyJa.eyJb.c\n"));
        for place in ["", "/run/token", "token", "a.b.c", "eyJa.eyJb", "eyJa.eyJb.c.d", "eyJa.eyJb/c.d", "eyJ/a.b.c"] {
            assert!(!looks_like_jwt(place), "{place}");
        }
    }
}
