//! The identity provider: it makes a key at start, signs identity tokens with it, and publishes them and the key.

mod key;
mod token;
#[cfg(unix)]
mod token_file;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::{Map, Value, json};

pub use self::key::KeyError;
pub(crate) use self::key::SigningKey;
pub use self::token::{IdentityToken, TokenBuilder};
#[cfg(unix)]
pub use self::token_file::{Rotation, TokenFile, TokenFileError};
use crate::clock::Clock;
use wif_federation::Algorithm;

/// Who vouches for workloads: it mints identity tokens (JWTs, RFC 7519) that the emulator's rule accepts.
///
/// Its public keys are at `/.well-known/jwks.json`, and `/.well-known/openid-configuration` says so (OpenID Connect
/// Discovery 1.0 section 4). Clones share the keys.
#[derive(Clone)]
pub struct IdentityProvider {
    shared: Arc<Shared>,
}

/// What a token says unless it is made to say otherwise.
pub(crate) struct Expected {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) audience: String,
    /// More claims, by name.
    pub(crate) claims: Map<String, Value>,
    pub(crate) lifetime_seconds: u64,
}

struct Shared {
    keys: RwLock<Keys>,
    withheld: AtomicBool,
    expected: Expected,
    clock: Arc<dyn Clock>,
    #[cfg(unix)]
    files: token_file::Files,
}

/// The key that signs, and those that the world is told of.
struct Keys {
    signing: Arc<SigningKey>,
    published: Vec<Arc<SigningKey>>,
    /// Published, and not signing yet.
    next: Option<Arc<SigningKey>>,
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
        &self.shared.expected.issuer
    }

    /// The `kid` of the key that signs.
    pub fn key_id(&self) -> String {
        self.signing_key().id().to_owned()
    }

    /// Its public keys, as the JSON of a JWK set (RFC 7517 section 5).
    pub fn jwks(&self) -> Value {
        json!({ "keys": self.public_keys() })
    }

    /// Publishes the key that the next rotation will use, and returns its `kid`. Who does this a quarter of an hour ahead
    /// causes no refusals. A key of RS or PS takes up to seconds to make.
    ///
    /// # Errors
    ///
    /// When no key can be made.
    pub fn publish_next_key(&self, algorithm: Algorithm) -> Result<String, KeyError> {
        let key = Arc::new(SigningKey::generate(algorithm)?);
        let mut keys = self.shared.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.published.push(key.clone());
        keys.next = Some(key.clone());
        Ok(key.id().to_owned())
    }

    /// Signs with another key from now on, and returns its `kid`: the one that was published ahead, or else a new one,
    /// which caches do not know for up to a minute. The old keys stay published, so that their tokens stay good. A key of RS
    /// or PS takes up to seconds to make.
    ///
    /// # Errors
    ///
    /// When no key can be made.
    pub fn rotate_key(&self, algorithm: Algorithm) -> Result<String, KeyError> {
        let ahead = self.shared.keys.write().unwrap_or_else(PoisonError::into_inner).next.take();
        let key = match ahead {
            Some(key) => key,
            None => {
                let key = Arc::new(SigningKey::generate(algorithm)?);
                self.shared.keys.write().unwrap_or_else(PoisonError::into_inner).published.push(key.clone());
                key
            }
        };
        let id = key.id().to_owned();
        self.shared.keys.write().unwrap_or_else(PoisonError::into_inner).signing = key;
        Ok(id)
    }

    /// Publishes only the key that signs: tokens of the others are refused once caches have noticed. Returns how many keys
    /// were withdrawn.
    pub fn withdraw_old_keys(&self) -> usize {
        let mut keys = self.shared.keys.write().unwrap_or_else(PoisonError::into_inner);
        let before = keys.published.len();
        keys.published = vec![keys.signing.clone()];
        keys.next = None;
        before - 1
    }

    pub(crate) fn public_keys(&self) -> Vec<Value> {
        let keys = self.shared.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.published.iter().map(|key| key.public().clone()).collect()
    }

    pub(crate) fn signing_algorithm(&self) -> Algorithm {
        self.signing_key().algorithm()
    }

    /// Whether its keys cannot be fetched.
    pub(crate) fn is_withheld(&self) -> bool {
        self.shared.withheld.load(Ordering::Relaxed)
    }

    pub(crate) fn withhold(&self, withheld: bool) {
        self.shared.withheld.store(withheld, Ordering::Relaxed);
    }

    pub(crate) fn new(key: SigningKey, expected: Expected, clock: Arc<dyn Clock>) -> Self {
        let signing = Arc::new(key);
        Self {
            shared: Arc::new(Shared {
                keys: RwLock::new(Keys { signing: signing.clone(), published: vec![signing], next: None }),
                withheld: AtomicBool::new(false),
                expected,
                clock,
                #[cfg(unix)]
                files: token_file::Files::default(),
            }),
        }
    }

    fn signing_key(&self) -> Arc<SigningKey> {
        self.shared.keys.read().unwrap_or_else(PoisonError::into_inner).signing.clone()
    }
}

impl std::fmt::Debug for IdentityProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdentityProvider").field("issuer", &self.issuer()).field("key_id", &self.key_id()).finish_non_exhaustive()
    }
}
