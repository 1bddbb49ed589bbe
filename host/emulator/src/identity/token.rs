//! Identity tokens and what they claim.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{IdentityProvider, SigningKey};
use crate::random;
use crate::token_id::TokenId;
use wif_federation::unix_seconds;

/// A signed identity token. Whoever holds it can become the workload until it is exchanged or expires, so it cannot be
/// printed; it is wiped from memory when dropped.
#[derive(Clone)]
pub struct IdentityToken {
    text: Zeroizing<String>,
    jti: Option<String>,
}

/// An identity token in the making: the claims that the rule expects, to be changed.
#[must_use = "a token is made by `sign`"]
pub struct TokenBuilder<'a> {
    provider: &'a IdentityProvider,
    key: Arc<SigningKey>,
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

impl IdentityToken {
    /// The secret: the token in its compact form (RFC 7515 section 3.1).
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Its name in the history.
    pub fn id(&self) -> TokenId {
        TokenId::of(&self.text)
    }

    /// Its `jti`, if it has one.
    pub fn jti(&self) -> Option<&str> {
        self.jti.as_deref()
    }
}

impl fmt::Debug for IdentityToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityToken").field("id", &self.id()).field("jti", &self.jti).finish_non_exhaustive()
    }
}

impl<'a> TokenBuilder<'a> {
    /// Sets `sub`.
    pub fn subject(self, subject: &str) -> Self {
        self.claim("sub", subject)
    }

    /// Sets `iss`.
    pub fn issuer(self, issuer: &str) -> Self {
        self.claim("iss", issuer)
    }

    /// Sets `aud`, as an array of these.
    pub fn audiences(self, audiences: &[&str]) -> Self {
        self.claim("aud", audiences)
    }

    /// Sets `iat` and `nbf` to this time, and `exp` to so many seconds after it.
    pub fn valid(self, from: SystemTime, for_seconds: u64) -> Self {
        let from = unix_seconds(from);
        self.claim("iat", from).claim("nbf", from).claim("exp", from.saturating_add_unsigned(for_seconds))
    }

    /// Leaves `jti` out, so that the token can be exchanged any number of times.
    pub fn without_jti(self) -> Self {
        self.without_claim("jti")
    }

    /// Sets any claim.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// Leaves a claim out.
    pub fn without_claim(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Sets the `kid` of the header. The key stays the same.
    pub fn key_id(mut self, id: impl Into<String>) -> Self {
        self.header.insert("kid".to_owned(), Value::String(id.into()));
        self
    }

    /// Leaves the `kid` out of the header.
    pub fn without_key_id(mut self) -> Self {
        self.header.remove("kid");
        self
    }

    /// Sets `iat` and `nbf` to now, and `exp` to so many seconds later.
    pub fn lifetime(self, seconds: u64) -> Self {
        let now = self.provider.shared.clock.now();
        self.valid(now, seconds)
    }

    /// What the token will claim.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Signs the token with the key that the provider signed with when this was begun.
    pub fn sign(self) -> IdentityToken {
        IdentityToken {
            text: self.key.sign(&self.header, &self.claims),
            jti: self.claims.get("jti").and_then(Value::as_str).map(str::to_owned),
        }
    }

    pub(super) fn new(provider: &'a IdentityProvider) -> Self {
        let expected = &provider.shared.expected;
        let key = provider.signing_key();
        // Kubernetes sends no `typ`, and a verifier that demands one would lock its workloads out.
        let header =
            Map::from_iter([("alg".to_owned(), Value::from(key.algorithm().name())), ("kid".to_owned(), Value::from(key.id()))]);
        Self { provider, key, header, claims: expected.claims.clone() }
            .issuer(&expected.issuer)
            .subject(&expected.subject)
            .audiences(&[&expected.audience])
            .valid(provider.shared.clock.now(), expected.lifetime_seconds)
            .claim("jti", random::uuid())
    }
}

impl fmt::Debug for TokenBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenBuilder").field("claims", &self.claims).finish_non_exhaustive()
    }
}
