//! The credentials file of a profile, in the vendor's format: `credentials/NAME.json`.
//!
//! Other programs read and write it, too, and leave members that they do not know as they are. It is read and replaced as the entry
//! `file:PATH` of the host. For a login it is the truth ([`login`](crate::login)). The sessions of a federation put into it what they
//! share, and their access token for the vendor's clients.

use serde_json::{Map, Value};

use crate::Secret;
use crate::json::wipe;

/// What the sessions of a federation share. A text, for other programs round numbers, and hide texts in what they tell of a failure.
const SHARED: &str = "wif_shared";

/// The key of this file, for a host.
pub(crate) fn key_of(path: &str) -> String {
    format!("file:{path}")
}

/// *Secret.* What sessions of a federation put into this file; nothing if none did. An `Err` says what is wrong with the
/// file.
pub(crate) fn shared_in(file: &Secret) -> Result<Option<Secret>, &'static str> {
    let document = Document::read(file).ok_or("it is not a JSON object")?;
    Ok(document.0.get(SHARED).and_then(Value::as_str).map(Secret::from))
}

/// *Secret.* The file with this in it, and with the access token and its end, in seconds since 1970. Everything else in it is kept.
pub(crate) fn with_shared(file: &Secret, shared: &Secret, token: Option<(&Secret, u64)>) -> Secret {
    let mut document = Document::read(file).unwrap_or(Document(Map::new()));
    document.put(SHARED, shared.reveal().into());
    if let Some((access_token, expires_at)) = token {
        document.put_token(access_token, expires_at);
    }
    document.write()
}

/// A JSON object that is wiped when it is dropped.
pub(crate) struct Document(pub(crate) Map<String, Value>);

impl Document {
    pub(crate) fn read(text: &Secret) -> Option<Self> {
        match serde_json::from_str(text.reveal().trim_start_matches('\u{feff}')) {
            Ok(Value::Object(members)) => Some(Self(members)),
            _ => None,
        }
    }

    pub(crate) fn put(&mut self, member: &str, value: Value) {
        if let Some(mut old) = self.0.insert(member.to_owned(), value) {
            wipe(&mut old);
        }
    }

    /// As the vendor's clients write it.
    pub(crate) fn put_token(&mut self, access_token: &Secret, expires_at: u64) {
        self.put("version", "1.0".into());
        self.put("type", "oauth_token".into());
        self.put("access_token", access_token.reveal().into());
        self.put("expires_at", expires_at.into());
    }

    /// Makes the object anew without this member: to take one out of a tree would bring 3 KiB of code along.
    pub(crate) fn leave_out(&mut self, member: &str) {
        for (name, value) in core::mem::take(&mut self.0) {
            if name != member {
                self.0.insert(name, value);
            }
        }
    }

    /// *Secret.*
    pub(crate) fn write(mut self) -> Secret {
        let value = Value::Object(core::mem::take(&mut self.0));
        let text = Secret::from(value.to_string());
        if let Value::Object(members) = value {
            self.0 = members;
        }
        text
    }
}

impl Drop for Document {
    fn drop(&mut self) {
        self.0.values_mut().for_each(wipe);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &Secret) -> Value {
        serde_json::from_str(text.reveal()).unwrap()
    }

    #[test]
    fn what_sessions_share_stands_beside_everything_else() {
        let (state, token) = (Secret::from(r#"{"a":1}"#), Secret::from("t"));
        let file = Secret::from(r#"{"account_email":"x@example.com","access_token":"old","expires_at":5}"#);
        let kept = with_shared(&file, &state, None);
        let expected = serde_json::json!({"account_email": "x@example.com", "access_token": "old", "expires_at": 5,
            "wif_shared": "{\"a\":1}"});
        assert_eq!(members(&kept), expected, "without a token, the vendor's clients find what they had");
        let kept = with_shared(&kept, &Secret::from(r#"{"b":2}"#), Some((&token, 9)));
        let expected = serde_json::json!({"account_email": "x@example.com", "access_token": "t", "expires_at": 9,
            "type": "oauth_token", "version": "1.0", "wif_shared": "{\"b\":2}"});
        assert_eq!(members(&kept), expected);
        assert_eq!(shared_in(&kept).unwrap().unwrap().reveal(), r#"{"b":2}"#);
    }

    #[test]
    fn a_member_of_another_form_is_none_of_theirs() {
        for other in ["{}", r#"{"wif_shared":null}"#, r#"{"wif_shared":{"a":1}}"#] {
            assert!(matches!(shared_in(&Secret::from(other)), Ok(None)), "{other}");
        }
    }

    #[test]
    fn what_is_no_object_is_no_place_for_it() {
        for other in ["", "canary", "[]", "{"] {
            assert_eq!(shared_in(&Secret::from(other)).err(), Some("it is not a JSON object"));
        }
    }

    /// G2: wherever in the document a text stands.
    #[test]
    fn all_texts_of_a_file_are_wiped() {
        let mut file = serde_json::json!({"a": "t", "b": ["u", {"c": "v"}], "d": 7});
        wipe(&mut file);
        assert_eq!(file, serde_json::json!({"a": "", "b": ["", {"c": ""}], "d": 7}));
    }
}
