//! Takes one value out of an answer.

use serde_json::Value;

/// Where a value stands in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// The whole body, without white space around it.
    Body,
    /// A member of a JSON document, by its JSON pointer (RFC 6901).
    Json(String),
    /// The content of the first XML element of this name.
    Xml(String),
}

impl Place {
    /// `body`, a JSON pointer, or `xml:NAME`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "body" => Some(Self::Body),
            pointer if pointer.starts_with('/') => Some(Self::Json(pointer.to_owned())),
            other => {
                let name = other.strip_prefix("xml:").filter(|name| !name.is_empty())?;
                name.bytes().all(|byte| byte.is_ascii_alphanumeric()).then(|| Self::Xml(name.to_owned()))
            }
        }
    }

    /// The value; none where it is not there, is empty, or is no text.
    pub(crate) fn take(&self, body: &str) -> Option<String> {
        let found = match self {
            // Some write one text as a JSON document.
            Self::Body => match serde_json::from_str(body) {
                Ok(Value::String(text)) => text,
                _ => body.trim().to_owned(),
            },
            Self::Json(pointer) => {
                let document: Value = serde_json::from_str(body).ok()?;
                match document.pointer(pointer)? {
                    Value::String(text) => text.clone(),
                    Value::Number(number) => number.to_string(),
                    _ => return None,
                }
            }
            Self::Xml(name) => element(body, name)?,
        };
        Some(found).filter(|found| !found.is_empty())
    }

    /// What it is called in a message.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Body => "text".to_owned(),
            Self::Json(pointer) => format!("member {pointer}"),
            Self::Xml(name) => format!("element {name}"),
        }
    }
}

/// Answers are flat, and what is looked for has neither attributes nor elements inside.
fn element(body: &str, name: &str) -> Option<String> {
    let (_, after) = body.split_once(&format!("<{name}>"))?;
    let (content, _) = after.split_once(&format!("</{name}>"))?;
    if content.contains('<') {
        return None;
    }
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#39;", "'"), ("&amp;", "&")];
    let text = entities.iter().fold(content.trim().to_owned(), |text, (entity, character)| text.replace(entity, character));
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_taken_from_where_it_stands() {
        let take = |place: &str, body: &str| Place::parse(place).unwrap().take(body);
        assert_eq!(take("body", " eyJ\n").as_deref(), Some("eyJ"));
        assert_eq!(take("body", "\"eyJ\"\n").as_deref(), Some("eyJ"));
        assert_eq!(take("/data/token", r#"{"data": {"token": "eyJ"}}"#).as_deref(), Some("eyJ"));
        assert_eq!(take("/expires_in", r#"{"expires_in": 300}"#).as_deref(), Some("300"));
        assert_eq!(take("xml:Token", "<R><Token>a+&lt;b&amp;</Token></R>").as_deref(), Some("a+<b&"));
        for (place, body) in [
            ("body", "  "),
            ("body", "\"\""),
            ("/token", "not JSON"),
            ("/token", "{}"),
            ("/token", r#"{"token": null}"#),
            ("/token", r#"{"token": ""}"#),
            ("/token", r#"{"token": ["eyJ"]}"#),
            ("xml:Token", "<Token>eyJ"),
            ("xml:Token", "<Token><b/></Token>"),
            ("xml:Token", "<Tokens>x</Tokens>"),
        ] {
            assert_eq!(take(place, body), None, "{place} {body}");
        }
    }

    #[test]
    fn a_place_that_is_none_is_refused() {
        for place in ["", "token", "xml:", "xml:a b", "json:/x"] {
            assert_eq!(Place::parse(place), None, "{place}");
        }
    }
}
