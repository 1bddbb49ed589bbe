//! Whether an identity token is what it says: signature first, then claims (RFC 7523 section 3).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::Jwk;
use p521::ecdsa::signature::Verifier as _;
use serde_json::{Map, Value};

use crate::algorithm::{Algorithm, library_algorithm};
use crate::reason::Reason;
use crate::report::{Report, Stop};

/// How far the clocks of an issuer and the service may be apart, in seconds: on `iat`, `nbf` and `exp`.
pub const LEEWAY_SECONDS: i64 = 30;

/// The largest identity token, in bytes.
pub const MOST_ASSERTION_BYTES: usize = 16 * 1024;

/// A token whose signature was not looked at.
pub(crate) struct Unverified<'a> {
    message: &'a str,
    payload: &'a str,
    signature: &'a str,
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) key_id: Option<String>,
}

/// What the claims have to be.
pub(crate) struct Expectations<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) audience: &'a str,
    pub(crate) max_jwt_lifetime_seconds: u64,
    /// Seconds since the epoch.
    pub(crate) now: i64,
}

/// What the claims say, as far as they have their types.
#[derive(Default)]
pub(crate) struct Identity {
    pub(crate) subject: Option<String>,
    /// Seconds since the epoch.
    pub(crate) expires_at: Option<i64>,
}

/// Something is wrong with a token or a claim.
type Wrong = (Reason, Option<String>);

/// Reads the form and the header: what names the key, and how it was used.
pub(crate) fn read<'a>(assertion: &'a str, report: &mut Report) -> Result<Option<Unverified<'a>>, Stop> {
    let token = match parse(assertion) {
        Ok(token) => token,
        Err((reason, detail)) => {
            report.fail("form", reason, None, None, detail)?;
            return Ok(None);
        }
    };
    report.pass("form", None, None);
    Ok(Some(token))
}

/// The header, read before the signature is checked because it names the key.
fn parse(assertion: &str) -> Result<Unverified<'_>, Wrong> {
    let malformed = |detail: &str| (Reason::AssertionMalformed, Some(detail.to_owned()));
    if assertion.len() > MOST_ASSERTION_BYTES {
        return Err((Reason::AssertionTooLarge, Some(format!("{} bytes, at most {MOST_ASSERTION_BYTES}", assertion.len()))));
    }
    let segments: Vec<&str> = assertion.split('.').collect();
    let [header, payload, signature] = segments.as_slice() else {
        return Err(malformed("a JWT has three segments"));
    };
    let bytes = URL_SAFE_NO_PAD.decode(header).map_err(|_| malformed("the header is not base64url"))?;
    let members: Map<String, Value> = serde_json::from_slice(&bytes).map_err(|_| malformed("the header is no JSON object"))?;
    // RFC 7515 section 4.1.11: extensions that must be understood, and none is.
    if members.contains_key("crit") {
        return Err(malformed("crit"));
    }
    Ok(Unverified {
        message: &assertion[..header.len() + 1 + payload.len()],
        payload,
        signature,
        algorithm: members.get("alg").and_then(Value::as_str).and_then(Algorithm::of_name),
        key_id: members.get("kid").and_then(Value::as_str).map(str::to_owned),
    })
}

impl Unverified<'_> {
    /// Whether the owner of `key`, a JWK, signed it.
    pub(crate) fn verify(&self, key: &Value, algorithm: Algorithm) -> Result<(), Wrong> {
        let malformed = |detail: &str| (Reason::AssertionMalformed, Some(detail.to_owned()));
        if key["alg"].as_str().is_some_and(|alg| alg != algorithm.name()) {
            let detail = format!("the key is for {}, the token has {}", key["alg"], algorithm.name());
            return Err((Reason::AlgorithmRefused, Some(detail)));
        }
        if !is_for(key, algorithm) {
            return Err((Reason::AlgorithmRefused, Some("the algorithm is not that of the key".to_owned())));
        }
        let signature = URL_SAFE_NO_PAD.decode(self.signature).map_err(|_| malformed("the signature is not base64url"))?;
        let is_good = match library_algorithm(algorithm) {
            Some(known) => {
                let jwk: Jwk = serde_json::from_value(key.clone()).map_err(|_| unusable())?;
                let key = DecodingKey::from_jwk(&jwk).map_err(|_| unusable())?;
                // An error of the library says that key and signature do not fit, or that the key is none.
                jsonwebtoken::crypto::verify(self.signature, self.message.as_bytes(), &key, known).unwrap_or(false)
            }
            None => {
                let key = p521_key(key).ok_or_else(unusable)?;
                let signature = p521::ecdsa::Signature::from_slice(&signature);
                signature.is_ok_and(|signature| key.verify(self.message.as_bytes(), &signature).is_ok())
            }
        };
        if is_good { Ok(()) } else { Err((Reason::SignatureInvalid, None)) }
    }

    /// The claims. Nobody may act on them before [`verify`](Self::verify) has passed.
    pub(crate) fn claims(&self) -> Result<Map<String, Value>, Wrong> {
        let malformed = |detail: &str| (Reason::AssertionMalformed, Some(detail.to_owned()));
        let bytes = URL_SAFE_NO_PAD.decode(self.payload).map_err(|_| malformed("the payload is not base64url"))?;
        serde_json::from_slice(&bytes).map_err(|_| malformed("the payload is no JSON object"))
    }
}

/// Whether the key is of the kind that the algorithm needs (RFC 7518 sections 3.3 to 3.5).
fn is_for(key: &Value, algorithm: Algorithm) -> bool {
    let (kind, curve) = match algorithm {
        Algorithm::Es256 => ("EC", Some("P-256")),
        Algorithm::Es384 => ("EC", Some("P-384")),
        Algorithm::Es512 => ("EC", Some("P-521")),
        _ => ("RSA", None),
    };
    key["kty"] == kind && key["crv"].as_str() == curve
}

fn unusable() -> Wrong {
    (Reason::KeyUnknown, Some("the issuer's key of that kid is not usable".to_owned()))
}

/// An uncompressed point (SEC 1 section 2.3.3) from the coordinates of a JWK, which leave leading zeros in.
fn p521_key(key: &Value) -> Option<p521::ecdsa::VerifyingKey> {
    let coordinate = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str()?).ok().filter(|bytes| bytes.len() == 66);
    let point = [vec![4], coordinate("x")?, coordinate("y")?].concat();
    p521::ecdsa::VerifyingKey::from_sec1_bytes(&point).ok()
}

/// Looks at the claims that every token has.
pub(crate) fn check_claims(
    claims: &Map<String, Value>,
    expected: &Expectations<'_>,
    report: &mut Report,
) -> Result<Identity, Stop> {
    let mut identity = Identity::default();
    let found = |name: &str| claims.get(name).cloned();
    if let Some(issuer) = required(claims, "iss", text, report)? {
        report.check("iss", issuer == expected.issuer, Reason::IssuerMismatch, expected.issuer, found("iss"))?;
    }
    if let Some(subject) = required(claims, "sub", text, report)? {
        report.pass("sub", None, found("sub"));
        identity.subject = Some(subject.to_owned());
    }
    let issued_at = required(claims, "iat", date, report)?;
    let expires_at = required(claims, "exp", date, report)?;
    identity.expires_at = expires_at;
    let latest = expected.now + LEEWAY_SECONDS;
    let at_most = |limit: i64| format!("at most {limit}");
    if let Some(issued_at) = issued_at {
        report.check("iat", issued_at <= latest, Reason::JwtIssuedInFuture, at_most(latest), found("iat"))?;
    }
    if let Some(expires_at) = expires_at {
        let limit = expected.now - LEEWAY_SECONDS;
        report.check("exp", expires_at > limit, Reason::JwtExpired, format!("more than {limit}"), found("exp"))?;
    }
    if let (Some(issued_at), Some(expires_at)) = (issued_at, expires_at) {
        let lifetime = expires_at.saturating_sub(issued_at);
        let longest = expected.max_jwt_lifetime_seconds;
        let is_short = !u64::try_from(lifetime).is_ok_and(|lifetime| lifetime > longest);
        let limit = format!("at most {longest} s");
        report.check("lifetime", is_short, Reason::JwtLifetimeTooLong, limit, Some(lifetime.into()))?;
    }
    match date(claims, "nbf") {
        Ok(None) => {}
        Ok(Some(from)) => report.check("nbf", from <= latest, Reason::JwtNotYetValid, at_most(latest), found("nbf"))?,
        Err((reason, detail)) => report.fail("nbf", reason, None, found("nbf"), detail)?,
    }
    let has_audience = match claims.get("aud") {
        Some(Value::String(only)) => only == expected.audience,
        Some(Value::Array(several)) => several.iter().any(|one| one == expected.audience),
        _ => false,
    };
    report.check("aud", has_audience, Reason::AudienceMismatch, expected.audience, found("aud"))?;
    // A `jti` of another type would slip past the check for reuse.
    if let Err((reason, detail)) = text(claims, "jti") {
        report.fail("jti", reason, None, found("jti"), detail)?;
    }
    Ok(identity)
}

fn required<'a, T>(
    claims: &'a Map<String, Value>,
    name: &'static str,
    read: impl FnOnce(&'a Map<String, Value>, &'static str) -> Result<Option<T>, Wrong>,
    report: &mut Report,
) -> Result<Option<T>, Stop> {
    let wrong = match read(claims, name) {
        Ok(Some(value)) => return Ok(Some(value)),
        Ok(None) => (Reason::ClaimMissing, Some(name.to_owned())),
        Err(wrong) => wrong,
    };
    report.fail(name, wrong.0, None, claims.get(name).cloned(), wrong.1)?;
    Ok(None)
}

fn text<'a>(claims: &'a Map<String, Value>, name: &'static str) -> Result<Option<&'a str>, Wrong> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err((Reason::ClaimMalformed, Some(name.to_owned()))),
    }
}

/// A `NumericDate` in whole seconds; RFC 7519 section 2 allows fractions.
fn date(claims: &Map<String, Value>, name: &'static str) -> Result<Option<i64>, Wrong> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let seconds = value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64));
    match seconds {
        // Far enough from the ends that a leeway can be added.
        Some(seconds) if seconds.unsigned_abs() < 1 << 53 => Ok(Some(seconds)),
        _ => Err((Reason::ClaimMalformed, Some(name.to_owned()))),
    }
}
