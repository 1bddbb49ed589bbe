//! Identity tokens, as far as a client needs to look into them. Nothing is verified here and nothing is trusted: the claims
//! decide when to send, never whether to believe (RFC 8725).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::shapes::in_place_of_a_jwt;
use crate::{Secret, hash_of, id_of};

/// The server's limit, in bytes.
pub(crate) const MAX_BYTES: usize = 16 * 1024;

/// How far ahead of the wall clock `nbf` and `iat` may be, in milliseconds: the server's own leeway.
pub(crate) const LEEWAY_MS: u64 = 30_000;

/// 100,000,000,000 seconds after 1970: a number of seconds that is larger is one of milliseconds.
const YEAR_5138_MS: u64 = 100_000_000_000_000;

/// An identity token that has the shape of a JWT with the claims that the server requires.
#[derive(Debug, Clone)]
pub(crate) struct IdentityToken {
    /// The JWT: three parts in base64url, and so nothing that JSON would escape.
    pub(crate) value: Secret,
    /// What is known about it without its value.
    pub(crate) about: About,
}

/// What an identity token says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    /// The first 16 hexadecimal digits of SHA-256 of it.
    pub(crate) id: String,
    /// A hash over the claims `iss` and `sub`, whole, where those below are cut to be shown.
    pub(crate) whose: String,
    /// Claim `iss`.
    pub(crate) issuer: String,
    /// Claim `sub`.
    pub(crate) subject: String,
    /// Claim `aud`, joined by commas.
    pub(crate) audience: String,
    /// Claim `iat` in milliseconds.
    pub(crate) issued_at_ms: u64,
    /// Claim `exp` in milliseconds.
    pub(crate) expires_at_ms: u64,
    /// Claim `nbf` in milliseconds.
    pub(crate) not_before_ms: u64,
    /// Whether it has a `jti`, and so can be exchanged once.
    pub(crate) has_jti: bool,
}

/// What is wrong with an identity token's times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Untimely {
    /// It expired this many milliseconds ago.
    Expired(u64),
    /// It is valid in this many milliseconds.
    NotYetValid(u64),
}

impl IdentityToken {
    /// Reads what a source gave. The message says what is wrong with it and never quotes it.
    pub(crate) fn parse(content: Secret) -> Result<Self, &'static str> {
        let text = content.reveal().trim_ascii();
        check_shape(text)?;
        let mut segments = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (segments.next(), segments.next(), segments.next(), segments.next())
        else {
            return Err("is not a JWT: it does not have three parts");
        };
        if signature.is_empty() || URL_SAFE_NO_PAD.decode(signature).is_err() {
            return Err("is not a JWT: its signature is missing or not base64url");
        }
        let header = decode_object(header).ok_or("is not a JWT: its header is not a JSON object in base64url")?;
        if header.get("kid").and_then(Value::as_str).is_none_or(str::is_empty) {
            return Err("has no `kid` in its header, which the server requires");
        }
        let claims = decode_object(payload).ok_or("is not a JWT: its claims are not a JSON object in base64url")?;
        let about = About {
            id: id_of(text),
            whose: hash_of(&[claims.get("iss").and_then(Value::as_str), claims.get("sub").and_then(Value::as_str)]),
            issuer: text_of(&claims, "iss"),
            subject: Some(text_of(&claims, "sub"))
                .filter(|subject| !subject.is_empty())
                .ok_or("has no claim `sub`, which the server requires")?,
            audience: audience_of(&claims),
            issued_at_ms: time_of(&claims, "iat")
                .ok_or("has no claim `iat` that is a number of seconds, which the server requires")?,
            expires_at_ms: time_of(&claims, "exp")
                .ok_or("has no claim `exp` that is a number of seconds, which the server requires")?,
            not_before_ms: time_of(&claims, "nbf").unwrap_or(0),
            has_jti: claims.contains_key("jti"),
        };
        if about.expires_at_ms <= about.issued_at_ms {
            return Err("expires before it was issued");
        }
        if about.issued_at_ms >= YEAR_5138_MS {
            return Err("has its times in milliseconds, where seconds belong");
        }
        // Moved where it can be: a copy is one more to wipe.
        let value = if text.len() == content.reveal().len() { content } else { Secret::from(text) };
        Ok(Self { value, about })
    }
}

impl About {
    /// Whether the server could accept it at this time.
    pub(crate) fn check_times(&self, wall_ms: u64) -> Result<(), Untimely> {
        let valid_from = self.not_before_ms.max(self.issued_at_ms);
        if valid_from > wall_ms.saturating_add(LEEWAY_MS) {
            return Err(Untimely::NotYetValid(valid_from - wall_ms));
        }
        if self.expires_at_ms <= wall_ms {
            return Err(Untimely::Expired(wall_ms - self.expires_at_ms));
        }
        Ok(())
    }

    /// How long it is valid from issue to expiry, in milliseconds.
    #[must_use]
    pub(crate) fn lifetime_ms(&self) -> u64 {
        self.expires_at_ms - self.issued_at_ms
    }

    /// When its owner should have rotated it, as a kubelet does: at four fifths of its life, and up to 90 s for the
    /// volume to follow; but no owner lets a short one expire.
    #[must_use]
    pub(crate) fn rotation_expected_ms(&self) -> u64 {
        self.issued_at_ms.saturating_add(self.lifetime_ms() / 5 * 4).saturating_add(90_000).min(self.expires_at_ms)
    }
}

/// The claim `exp` of a token if it is a JWT, in milliseconds.
pub(crate) fn expiry_of_jwt(token: &str) -> Option<u64> {
    let mut segments = token.split('.');
    let (_, payload, _, None) = (segments.next()?, segments.next()?, segments.next()?, segments.next()) else {
        return None;
    };
    time_of(&decode_object(payload)?, "exp")
}

fn check_shape(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("is empty");
    }
    if let Some(what) = in_place_of_a_jwt(text) {
        return Err(what);
    }
    if text.starts_with('\u{feff}') {
        return Err("begins with a byte order mark: write it as plain ASCII");
    }
    if text.starts_with("-----BEGIN") {
        return Err("is not a JWT: it is a PEM file, a key or a certificate perhaps");
    }
    if text.len() > MAX_BYTES {
        return Err("is not a JWT that could be exchanged: it is longer than 16 KiB");
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("is not a JWT: it contains white space, control characters or characters outside ASCII");
    }
    Ok(())
}

fn decode_object(segment: &str) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(segment).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// A claim that goes into status and notes: bounded, and free of control characters.
fn text_of(claims: &Map<String, Value>, name: &str) -> String {
    printable(claims.get(name).and_then(Value::as_str).unwrap_or_default())
}

fn audience_of(claims: &Map<String, Value>) -> String {
    match claims.get("aud") {
        Some(Value::String(audience)) => printable(audience),
        Some(Value::Array(audiences)) => {
            let audiences: Vec<&str> = audiences.iter().filter_map(Value::as_str).take(8).collect();
            printable(&audiences.join(","))
        }
        _ => String::new(),
    }
}

fn printable(text: &str) -> String {
    text.chars().filter(|character| !wif_rules::is_unshown(*character)).take(256).collect()
}

/// A NumericDate of RFC 7519 in milliseconds, saturated.
fn time_of(claims: &Map<String, Value>, name: &str) -> Option<u64> {
    let seconds = claims.get(name)?.as_f64().filter(|seconds| *seconds >= 0.0)?;
    // The conversion saturates.
    Some((seconds * 1000.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(text: &str) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    fn parsed(token: &str) -> Result<About, &'static str> {
        IdentityToken::parse(Secret::from(token)).map(|identity| identity.about)
    }

    fn of_claims(claims: &str) -> Result<About, &'static str> {
        parsed(&format!("{}.{}.c2ln", segment(r#"{"alg":"ES256","kid":"k"}"#), segment(claims)))
    }

    /// A2, A3: what is no JWT is refused before anything is sent, with what is wrong with it.
    #[test]
    fn what_is_no_jwt_says_what_is_missing() {
        let (header, claims) = (segment(r#"{"kid":"k"}"#), segment(r#"{"sub":"s","iat":1,"exp":2}"#));
        let good = format!("{header}.{claims}.c2ln");
        assert!(parsed(&good).is_ok());
        let signature = "is not a JWT: its signature is missing or not base64url";
        for (token, why) in [
            (format!("{header}.{claims}"), "is not a JWT: it does not have three parts"),
            (format!("{good}.c2ln"), "is not a JWT: it does not have three parts"),
            (format!("{header}.{claims}."), signature),
            (format!("{header}.{claims}.a+b"), signature),
            (format!("{}.{claims}.c2ln", segment("{}")), "has no `kid` in its header, which the server requires"),
            (format!("{}.{claims}.c2ln", segment(r#"{"kid":""}"#)), "has no `kid` in its header, which the server requires"),
            (format!("{header}.{}.c2ln", segment("[]")), "is not a JWT: its claims are not a JSON object in base64url"),
        ] {
            assert_eq!(parsed(&token).map(|about| about.id), Err(why), "{token}");
        }
        for (claims, why) in [
            (r#"{"sub":"","iat":1,"exp":2}"#, "has no claim `sub`, which the server requires"),
            (r#"{"sub":"s","iat":2,"exp":2}"#, "expires before it was issued"),
            (r#"{"sub":"s","iat":100000000000,"exp":100000000001}"#, "has its times in milliseconds, where seconds belong"),
        ] {
            assert_eq!(of_claims(claims).map(|about| about.id), Err(why), "{claims}");
        }
        assert!(of_claims(r#"{"sub":"s","iat":99999999999,"exp":100000000000}"#).is_ok());
    }

    /// A5: valid up to its last millisecond, and from half a minute before its first one.
    #[test]
    fn its_times_are_told_by_how_much_they_miss() {
        let about = of_claims(r#"{"sub":"s","iat":1000,"exp":2000}"#).unwrap();
        assert_eq!(about.check_times(1_000_000 - LEEWAY_MS), Ok(()));
        let early = Untimely::NotYetValid(LEEWAY_MS + 1);
        assert_eq!(about.check_times(1_000_000 - LEEWAY_MS - 1), Err(early));
        assert_eq!(about.check_times(1_999_999), Ok(()));
        assert_eq!(about.check_times(2_000_000), Err(Untimely::Expired(0)));
        assert_eq!(about.check_times(2_007_000), Err(Untimely::Expired(7_000)));
        let later = of_claims(r#"{"sub":"s","iat":1000,"nbf":1500,"exp":2000}"#).unwrap();
        assert_eq!(later.check_times(1_400_000), Err(Untimely::NotYetValid(100_000)));
    }

    #[test]
    fn whose_it_is_can_be_shown() {
        let about = of_claims(r#"{"iss":"https://i\n","sub":"s\u001b[1m","aud":["a","b",7],"iat":1,"exp":2}"#).unwrap();
        assert_eq!((about.issuer.as_str(), about.subject.as_str(), about.audience.as_str()), ("https://i", "s[1m", "a,b"));
        let about = of_claims(&format!(r#"{{"sub":"{}","aud":"a","iat":1,"exp":2}}"#, "s".repeat(300))).unwrap();
        assert_eq!((about.issuer.as_str(), about.subject.len(), about.audience.as_str()), ("", 256, "a"));
        assert_eq!(of_claims(r#"{"sub":"s","iat":1,"exp":2}"#).unwrap().audience, "");
    }

    #[test]
    fn the_longest_text_that_could_be_exchanged_is_looked_at() {
        assert_eq!(check_shape(&"a".repeat(MAX_BYTES)), Ok(()));
        assert!(check_shape(&"a".repeat(MAX_BYTES + 1)).unwrap_err().contains("longer than 16 KiB"));
    }
}
