//! The identity provider: it makes a key at start, signs identity tokens with it, and publishes them.

mod key;
mod token;
#[cfg(unix)]
mod token_file;

use std::sync::Arc;

use jsonwebtoken::jwk::JwkSet;
use serde_json::Value;

pub(crate) use self::key::SigningKey;
pub use self::token::{IdentityToken, TokenBuilder};
#[cfg(unix)]
pub use self::token_file::{Rotation, TokenFile, TokenFileError};
use crate::clock::Clock;
use crate::options::Options;

/// Who vouches for workloads: it mints identity tokens (JWTs, RFC 7519) that the emulator's rule accepts.
///
/// Clones share the key.
#[derive(Clone)]
pub struct IdentityProvider {
    shared: Arc<Shared>,
}

struct Shared {
    key: SigningKey,
    issuer: String,
    subject: String,
    audience: String,
    lifetime_seconds: u64,
    clock: Arc<dyn Clock>,
}

impl IdentityProvider {
    /// An identity token as the rule expects it: it can be exchanged once.
    pub fn mint(&self) -> IdentityToken {
        self.token().sign()
    }

    /// The token that [`mint`](Self::mint) would make, to be changed before it is signed.
    pub fn token(&self) -> TokenBuilder<'_> {
        TokenBuilder::new(self)
    }

    /// The `iss` of its tokens.
    pub fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    /// The `kid` of its key.
    pub fn key_id(&self) -> &str {
        self.shared.key.id()
    }

    /// Its public keys, as the JSON of a JWK set (RFC 7517 section 5).
    pub fn jwks(&self) -> Value {
        serde_json::to_value(self.keys()).expect("a set of keys is JSON")
    }

    pub(crate) fn keys(&self) -> JwkSet {
        JwkSet { keys: vec![self.shared.key.public().clone()] }
    }

    pub(crate) fn new(key: SigningKey, issuer: String, options: &Options) -> Self {
        Self {
            shared: Arc::new(Shared {
                key,
                issuer,
                subject: options.subject.clone(),
                audience: options.audience.clone(),
                lifetime_seconds: options.identity_token_lifetime_seconds,
                clock: options.clock.clone(),
            }),
        }
    }
}

impl std::fmt::Debug for IdentityProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdentityProvider").field("issuer", &self.issuer()).field("key_id", &self.key_id()).finish_non_exhaustive()
    }
}
