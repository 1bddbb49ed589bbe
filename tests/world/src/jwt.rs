//! Identity tokens that look real to whoever does not verify them.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// A JWT with these claims: always the same header and signature, so that the same claims give the same text on any host.
/// Objects are written without spaces and with sorted keys.
pub fn jwt(claims: &Value) -> String {
    let segment = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let header = segment(br#"{"alg":"ES256","kid":"k"}"#);
    format!("{header}.{}.{}", segment(canonical(claims).as_bytes()), segment(b"signature"))
}

/// The claims of a JWT.
pub fn claims(jwt: &str) -> Option<Value> {
    let bytes = URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The first 16 hexadecimal digits of SHA-256, by which the contract names a token.
pub fn id_of(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().take(8).fold(String::new(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    })
}

/// Sorted keys whatever the features of the JSON library.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let mut members: Vec<_> = object.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            let members = members.iter().map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), canonical(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn what_is_put_into_a_jwt_can_be_read_out_of_it() {
        let claims = json!({"iss": "https://issuer", "exp": 1});
        let jwt = super::jwt(&claims);
        assert_eq!(jwt.split('.').count(), 3);
        assert_eq!(super::claims(&jwt), Some(claims));
    }

    /// The vector for SHA-256 of "abc" in FIPS 180.
    #[test]
    fn an_id_is_the_start_of_sha_256() {
        assert_eq!(super::id_of("abc"), "ba7816bf8f01cfea");
    }
}
