//! The state machine of a workload's credential: from an identity token to an access token, and from there to the next.
//!
//! It is pure: no I/O, no clock, no randomness but a seed, no unsafe code. The contract that its callers keep is written
//! down once, in `wit/session.wit`; [`contract`] holds the same types for Rust.
//!
//! ```
//! use wif_engine::{Session, contract::{Access, Clock, Event, Start}};
//!
//! let configuration = r#"{ "bearer": { "source": "literal", "value": "token-from-a-broker" } }"#;
//! let mut session = Session::open(configuration, 7, &[], Start::Fresh).unwrap();
//! let output = session.step(Clock { wall_ms: 0, steady_ms: Some(0) }, Event::Woken);
//! assert!(matches!(output.access, Access::Usable(_)));
//! ```
//!
//! Where to look: what can be configured, `configuration`, which `wif-document` reads; precedence and profiles, `discovery`; what an answer means, the
//! table in `answer`; when to refresh, `schedule`; which token is served, `tokens`; what is known of an identity token, `ledger`; what outlives a session,
//! `state`; everything that decides, `session`.

#![forbid(unsafe_code)]

mod answer;
pub mod boundary;
mod configuration;
pub mod contract;
mod credentials;
mod discovery;
mod held;
mod http_date;
mod identity_token;
pub mod json;
mod ledger;
mod lint;
mod login;
mod rejections;
mod schedule;
mod scrub;
mod secret;
mod session;
mod shapes;
mod snapshot;
mod state;
mod timeline;
mod tokens;

pub use secret::Secret;
pub use session::Session;

use sha2::{Digest, Sha256};

/// Whether sources can be recipes. In a build without them nothing of what runs them is left.
const RECIPES: bool = cfg!(feature = "recipes");

/// Whether logins of people are served. In a build without them nothing of what refreshes them is left.
const LOGINS: bool = cfg!(feature = "logins");

/// [`wif_document::origin_of`], compiled once in a component.
///
/// # Errors
///
/// It is none, with what is wrong with it.
#[inline(never)]
pub fn origin_of(url: &str) -> Result<String, &'static str> {
    wif_document::origin_of(url)
}

/// The id of a token or an identity token: the first 16 hexadecimal digits of its SHA-256.
#[must_use]
pub fn id_of(token: &str) -> String {
    hexadecimal(&Sha256::digest(token)[..8])
}

/// A hash over all of these parts, each with its length before it, so that no two lists can be spelled alike.
fn hash_of(parts: &[Option<&str>]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // A missing part differs from an empty one.
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        hash.update(length.to_be_bytes());
        hash.update(part.unwrap_or_default());
    }
    hexadecimal(&hash.finalize()[..16])
}

fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_origin_is_that_of_a_url() {
        assert_eq!(super::origin_of("https://api.example/v1").as_deref(), Ok("https://api.example"));
        assert!(super::origin_of("api.example").is_err());
    }
}
