//! Whether an identity token is what it says: signature first, then claims (RFC 7523 section 3).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value};

use super::federation::Denial;
use crate::history::Reason;

/// How far the clocks of an issuer and the service may be apart, in seconds: on `iat`, `nbf` and `exp`.
pub(super) const LEEWAY_SECONDS: i64 = 30;

/// The largest identity token, in bytes.
const MOST_ASSERTION_BYTES: usize = 16 * 1024;

/// The claims of a token whose signature is good.
pub(super) struct SignedClaims(Map<String, Value>);

/// What the claims have to be.
pub(super) struct Expectations<'a> {
    pub(super) issuer: &'a str,
    pub(super) audience: &'a str,
    pub(super) max_jwt_lifetime_seconds: u64,
    /// Seconds since the epoch.
    pub(super) now: i64,
}

/// What the claims say.
pub(super) struct Identity {
    pub(super) subject: String,
    /// Seconds since the epoch.
    pub(super) expires_at: i64,
}

/// The claims of `assertion`, if one of `keys` signed it.
pub(super) fn signed_claims(assertion: &str, keys: &JwkSet) -> Result<SignedClaims, Denial> {
    if assertion.len() > MOST_ASSERTION_BYTES {
        return Err(Denial::new(Reason::AssertionTooLarge));
    }
    let header = header(assertion)?;
    let algorithm = algorithm(&header)?;
    let Some(key_id) = header.get("kid").and_then(Value::as_str) else {
        return Err(Denial::new(Reason::KeyIdMissing));
    };
    let key = keys.find(key_id).ok_or_else(|| Denial::new(Reason::KeyUnknown))?;
    let key = DecodingKey::from_jwk(key).map_err(|_| Denial::new(Reason::KeyUnknown))?;
    if key.family() != algorithm.family() {
        return Err(Denial::with_detail(Reason::AlgorithmRefused, "the algorithm is not that of the key"));
    }

    // The library checks the signature only: it would read the ambient clock for the rest.
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    match jsonwebtoken::decode(assertion, &key, &validation) {
        Ok(token) => Ok(SignedClaims(token.claims)),
        Err(error) => Err(Denial::new(match error.kind() {
            ErrorKind::InvalidSignature => Reason::SignatureInvalid,
            ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => Reason::AlgorithmRefused,
            _ => Reason::AssertionMalformed,
        })),
    }
}

impl SignedClaims {
    pub(super) fn jti(&self) -> Option<String> {
        self.0.get("jti").and_then(Value::as_str).map(str::to_owned)
    }

    pub(super) fn check(&self, expected: &Expectations<'_>) -> Result<Identity, Denial> {
        if self.required("iss", Self::text)? != expected.issuer {
            return Err(Denial::new(Reason::IssuerMismatch));
        }
        let subject = self.required("sub", Self::text)?.to_owned();
        let issued_at = self.required("iat", Self::date)?;
        let expires_at = self.required("exp", Self::date)?;
        if issued_at > expected.now + LEEWAY_SECONDS {
            return Err(Denial::new(Reason::JwtIssuedInFuture));
        }
        if expires_at <= expected.now - LEEWAY_SECONDS {
            return Err(Denial::new(Reason::JwtExpired));
        }
        let lifetime = expires_at.saturating_sub(issued_at);
        if u64::try_from(lifetime).is_ok_and(|lifetime| lifetime > expected.max_jwt_lifetime_seconds) {
            return Err(Denial::with_detail(
                Reason::JwtLifetimeTooLong,
                format!("{lifetime} s, at most {} s", expected.max_jwt_lifetime_seconds),
            ));
        }
        if self.date("nbf")?.is_some_and(|from| from > expected.now + LEEWAY_SECONDS) {
            return Err(Denial::new(Reason::JwtNotYetValid));
        }
        if !self.has_audience(expected.audience) {
            return Err(Denial::new(Reason::AudienceMismatch));
        }
        // A `jti` of another type would slip past the check for reuse.
        self.text("jti")?;
        Ok(Identity { subject, expires_at })
    }

    fn required<'a, T>(
        &'a self,
        name: &'static str,
        read: impl FnOnce(&'a Self, &'static str) -> Result<Option<T>, Denial>,
    ) -> Result<T, Denial> {
        read(self, name)?.ok_or_else(|| Denial::with_detail(Reason::ClaimMissing, name))
    }

    fn text(&self, name: &'static str) -> Result<Option<&str>, Denial> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Denial::with_detail(Reason::ClaimMalformed, name)),
        }
    }

    /// A `NumericDate` in whole seconds; RFC 7519 section 2 allows fractions.
    fn date(&self, name: &'static str) -> Result<Option<i64>, Denial> {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        let seconds = value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64));
        match seconds {
            // Far enough from the ends that a leeway can be added.
            Some(seconds) if seconds.unsigned_abs() < 1 << 53 => Ok(Some(seconds)),
            _ => Err(Denial::with_detail(Reason::ClaimMalformed, name)),
        }
    }

    fn has_audience(&self, audience: &str) -> bool {
        match self.0.get("aud") {
            Some(Value::String(only)) => only == audience,
            Some(Value::Array(several)) => several.iter().any(|one| one == audience),
            _ => false,
        }
    }
}

/// The header, read before the signature is checked because it names the key.
fn header(assertion: &str) -> Result<Map<String, Value>, Denial> {
    let malformed = || Denial::new(Reason::AssertionMalformed);
    let segments: Vec<&str> = assertion.split('.').collect();
    let [header, _payload, _signature] = segments.as_slice() else {
        return Err(malformed());
    };
    let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| malformed())?;
    let header: Map<String, Value> = serde_json::from_slice(&header).map_err(|_| malformed())?;
    // RFC 7515 section 4.1.11: extensions that must be understood, and none is.
    if header.contains_key("crit") {
        return Err(Denial::with_detail(Reason::AssertionMalformed, "crit"));
    }
    Ok(header)
}

/// The service takes the RS, PS and ES families. ES512 is missing here because the library lacks it.
fn algorithm(header: &Map<String, Value>) -> Result<Algorithm, Denial> {
    match header.get("alg").and_then(Value::as_str) {
        Some("RS256") => Ok(Algorithm::RS256),
        Some("RS384") => Ok(Algorithm::RS384),
        Some("RS512") => Ok(Algorithm::RS512),
        Some("PS256") => Ok(Algorithm::PS256),
        Some("PS384") => Ok(Algorithm::PS384),
        Some("PS512") => Ok(Algorithm::PS512),
        Some("ES256") => Ok(Algorithm::ES256),
        Some("ES384") => Ok(Algorithm::ES384),
        _ => Err(Denial::with_detail(Reason::AlgorithmRefused, "alg")),
    }
}
