//! Fields of requests and answers.

use wif_rules::{is_credential, merge};
use zeroize::Zeroizing;

use crate::bindings::wasi::http::types::{Fields, HeaderError};
use crate::bindings::wif::credential::types::Usable;

/// Takes off every form of the application's own credential.
pub(crate) fn strip(fields: &Fields) -> Result<(), HeaderError> {
    for (name, _) in fields.copy_all() {
        if is_credential(name.as_bytes()) {
            fields.delete(&name)?;
        }
    }
    Ok(())
}

/// Puts ours on stripped fields.
pub(crate) fn apply(fields: &Fields, credential: &Usable) -> Result<(), HeaderError> {
    // It could name one of ours, and the next hop would drop it (RFC 9110 section 7.6.1). It is about the application's hop, which
    // ends here.
    // With it goes `host`: what says where a request goes is its authority, and the host makes the field of that.
    for name in ["connection", "host"] {
        if fields.has(name) {
            fields.delete(name)?;
        }
    }
    for header in &credential.set {
        let value = Zeroizing::new(vec![header.value.clone().into_bytes()]);
        fields.set(&header.name, &value)?;
    }
    for header in &credential.merge {
        let theirs = fields.get(&header.name);
        let merged = merge(theirs.iter().map(Vec::as_slice).chain([header.value.as_bytes()]));
        fields.set(&header.name, &[merged])?;
    }
    Ok(())
}

/// What must not come back.
pub(crate) struct Secrets(Vec<Zeroizing<Vec<u8>>>);

impl Secrets {
    pub(crate) fn of(credential: &Usable) -> Self {
        // Of `Bearer <token>` the token.
        let secret = |value: &str| value.rsplit(' ').next().map(|secret| Zeroizing::new(secret.as_bytes().to_vec()));
        Self(credential.set.iter().filter_map(|header| secret(&header.value)).filter(|secret| !secret.is_empty()).collect())
    }

    pub(crate) fn and(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    fn are_in(&self, text: &[u8]) -> bool {
        self.0.iter().any(|secret| text.windows(secret.len()).any(|window| window == secret.as_slice()))
    }

    /// Names of fields come in lower case (RFC 9113 section 8.2).
    fn are_in_name(&self, name: &str) -> bool {
        let name = name.as_bytes();
        self.0.iter().any(|secret| name.windows(secret.len()).any(|window| window.eq_ignore_ascii_case(secret)))
    }

    /// Takes out the fields that hold one, in their name or in their value.
    pub(crate) fn take_out_of(&self, fields: &Fields) -> Result<(), HeaderError> {
        for (name, value) in fields.copy_all() {
            if self.are_in(&value) || self.are_in_name(&name) {
                fields.delete(&name)?;
            }
        }
        Ok(())
    }

    /// Whether a field holds one.
    pub(crate) fn are_among(&self, fields: &Fields) -> bool {
        fields.copy_all().iter().any(|(name, value)| self.are_in(value) || self.are_in_name(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::wif::credential::types::{Header, Standing};

    /// E7: the API repeats the credential.
    #[test]
    fn a_token_is_found_wherever_it_stands() {
        let credential = Usable {
            id: String::new(),
            origin: String::new(),
            set: vec![Header { name: "authorization".to_owned(), value: "Bearer sk-ant-oat01-Canary".to_owned() }],
            merge: Vec::new(),
            refresh_in_ms: None,
            hold_in_ms: None,
            unusable_in_ms: None,
            standing: Standing::Good,
        };
        let secrets = Secrets::of(&credential);
        assert!(secrets.are_in(b"Bearer sk-ant-oat01-Canary"));
        assert!(secrets.are_in(b"authorization=Bearer%20sk-ant-oat01-Canary; x"));
        assert!(secrets.are_in_name("x-sk-ant-oat01-canary"));
        assert!(!secrets.are_in_name("authorization"));
        assert!(!secrets.are_in(b"Bearer"));
        assert!(!secrets.are_in(b""));
    }
}
