//! One object of a document.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::base_url::BaseUrl;
use crate::clusters::Clusters;
use crate::{looks_like_jwt, looks_like_key};

/// Why a configuration was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ConfigurationError {
    /// The field, as a path such as `federation.organization_id`; empty for the document as a whole.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

/// An object being read: every key that nobody asked for is an error in the end. It may hold a secret.
pub struct Fields {
    path: String,
    values: Map<String, Value>,
    known: Vec<Cow<'static, str>>,
}

impl Fields {
    /// A whole document. What is no JSON is not quoted: it may hold a literal token.
    ///
    /// # Errors
    ///
    /// It is no JSON, or no object.
    #[inline]
    pub fn read(document: &str) -> Result<Self, ConfigurationError> {
        let value: Value = serde_json::from_str(document).map_err(|error| ConfigurationError {
            field: String::new(),
            message: format!("is not JSON: the fault is at line {}, column {}", error.line(), error.column()),
        })?;
        Self::of("", value)
    }

    /// The object at this path.
    ///
    /// # Errors
    ///
    /// It is no object.
    #[inline]
    pub fn of(path: &str, value: Value) -> Result<Self, ConfigurationError> {
        match value {
            Value::Object(values) => Ok(Self { path: path.to_owned(), values, known: Vec::new() }),
            _ => Err(ConfigurationError { field: path.to_owned(), message: "must be an object".to_owned() }),
        }
    }

    /// An error that names this field.
    #[must_use]
    #[inline]
    pub fn error(&self, name: &str, message: &str) -> ConfigurationError {
        ConfigurationError { field: self.name(name), message: message.to_owned() }
    }

    /// The path of this field.
    #[must_use]
    #[inline]
    pub fn name(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The value as it is, if the field is there.
    #[inline]
    pub fn take(&mut self, name: &'static str) -> Option<Value> {
        self.asked_for(Cow::Borrowed(name))
    }

    /// Moves a value out, once, and leaves its key: to take that out of a tree would bring 3 KiB of code along.
    fn asked_for(&mut self, name: Cow<'static, str>) -> Option<Value> {
        let value = self.values.get_mut(name.as_ref()).map(Value::take);
        let first = !self.is_known(&name);
        self.known.push(name);
        value.filter(|_| first)
    }

    fn is_known(&self, name: &str) -> bool {
        self.known.iter().any(|known| known == name)
    }

    fn unknown(&self) -> impl Iterator<Item = &String> {
        self.values.keys().filter(|key| !self.is_known(key))
    }

    /// A text of one line that is not empty.
    ///
    /// # Errors
    ///
    /// It is there and something else.
    #[inline]
    pub fn optional_text(&mut self, name: &'static str) -> Result<Option<String>, ConfigurationError> {
        let value = self.take(name);
        self.checked_text(name, value)
    }

    /// The same for a field whose name is known only at run time.
    #[inline]
    pub fn optional_text_named(&mut self, name: &str) -> Result<Option<String>, ConfigurationError> {
        let value = self.asked_for(Cow::Owned(name.to_owned()));
        self.checked_text(name, value)
    }

    /// All fields that nobody has asked for, each a text.
    #[inline]
    pub fn rest_of_texts(&mut self) -> Result<Vec<(String, String)>, ConfigurationError> {
        let names: Vec<String> = self.unknown().cloned().collect();
        let mut texts = Vec::new();
        for name in names {
            if let Some(text) = self.optional_text_named(&name)? {
                texts.push((name, text));
            }
        }
        Ok(texts)
    }

    #[inline]
    fn checked_text(&self, name: &str, value: Option<Value>) -> Result<Option<String>, ConfigurationError> {
        match value {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Err(self.error(name, "is empty: leave it out or fill it in")),
            Some(Value::String(text)) if text.trim() != text => Err(self.error(name, "has white space at its beginning or end")),
            Some(Value::String(text)) if text.contains(['\0', '\n', '\r']) => {
                Err(self.error(name, "contains a line break or a NUL"))
            }
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.error(name, "must be a string")),
        }
    }

    /// A text of one line that must be there.
    ///
    /// # Errors
    ///
    /// It is missing, or something else.
    #[inline]
    pub fn text(&mut self, name: &'static str) -> Result<String, ConfigurationError> {
        self.optional_text(name)?.ok_or_else(|| self.missing(name, "is missing"))
    }

    /// An error about a field that is missing. Where another key is there that nobody has asked for, and looks like it, names that one.
    #[must_use]
    pub fn missing(&self, name: &str, message: &str) -> ConfigurationError {
        match self.unknown().find(|key| strsim::osa_distance(key, name) <= 2) {
            Some(key) => self.error(name, &format!("is missing; is `{key}` meant to be it?")),
            None => self.error(name, message),
        }
    }

    /// Where an identity token is to be found. It will be shown, so it must not be the token itself.
    ///
    /// # Errors
    ///
    /// It is missing, no text, or a token.
    #[inline]
    pub fn pointer(&mut self, name: &'static str) -> Result<String, ConfigurationError> {
        let text = self.text(name)?;
        if looks_like_jwt(&text) {
            return Err(
                self.error(name, "holds an identity token, where only the place of one belongs: use the source `literal`")
            );
        }
        if looks_like_key(&text) {
            return Err(self.error(name, "holds a key or a token, where only the place of an identity token belongs"));
        }
        Ok(text)
    }

    /// `true` or `false`.
    ///
    /// # Errors
    ///
    /// It is there and something else.
    #[inline]
    pub fn boolean(&mut self, name: &'static str, default: bool) -> Result<bool, ConfigurationError> {
        match self.take(name) {
            None => Ok(default),
            Some(Value::Bool(value)) => Ok(value),
            Some(_) => Err(self.error(name, "must be true or false")),
        }
    }

    /// A whole number. Control planes turn them into doubles, so `1000.0` is one too.
    ///
    /// # Errors
    ///
    /// It is there and something else, or out of range.
    #[inline]
    pub fn number(
        &mut self,
        name: &'static str,
        default: u32,
        range: core::ops::RangeInclusive<u32>,
    ) -> Result<u32, ConfigurationError> {
        let Some(value) = self.take(name) else { return Ok(default) };
        let number = value.as_f64().filter(|number| number.fract() == 0.0);
        match number {
            Some(number) if (f64::from(*range.start())..=f64::from(*range.end())).contains(&number) => {
                // In range and whole, so the conversion is exact.
                Ok(number as u32)
            }
            _ => {
                let message = format!("must be a whole number from {} to {}", range.start(), range.end());
                Err(self.error(name, &message))
            }
        }
    }

    /// The position of the text among these, if it is there.
    ///
    /// # Errors
    ///
    /// It is there and none of them.
    #[inline]
    pub fn choice(&mut self, name: &'static str, choices: &[&str]) -> Result<Option<usize>, ConfigurationError> {
        let Some(text) = self.optional_text(name)? else { return Ok(None) };
        match choices.iter().position(|choice| *choice == text) {
            Some(position) => Ok(Some(position)),
            None => Err(self.error(name, &format!("must be one of {}", choices.join(", ")))),
        }
    }

    /// An object with fields of its own, if it is there.
    ///
    /// # Errors
    ///
    /// It is there and something else.
    #[inline]
    pub fn object(&mut self, name: &'static str) -> Result<Option<Fields>, ConfigurationError> {
        let path = self.name(name);
        self.take(name).map(|value| Fields::of(&path, value)).transpose()
    }

    /// The origin of the API, in the form in which a token names it.
    ///
    /// # Errors
    ///
    /// It is there and none, or has a path.
    #[inline]
    pub fn origin(&mut self, name: &'static str) -> Result<Option<String>, ConfigurationError> {
        let Some(url) = self.url(name, BaseUrl::parse_any)? else { return Ok(None) };
        match url.path() {
            "" => Ok(Some(url.origin().to_owned())),
            _ => Err(self.error(name, "must be scheme, host and port, without a path")),
        }
    }

    /// The clusters that lead to the API: a list of names that is not empty, or the word `all`.
    ///
    /// # Errors
    ///
    /// They are missing, or something else.
    #[inline]
    pub fn clusters(&mut self, name: &'static str) -> Result<Clusters, ConfigurationError> {
        let message =
            "must list the clusters that lead to the API, as Envoy names them; or be \"all\", where no other request passes here";
        let items = match self.take(name) {
            Some(Value::String(word)) if word == "all" => return Ok(Clusters::All),
            Some(Value::Array(items)) => items,
            _ => return Err(self.error(name, message)),
        };
        texts_of(items).map(Clusters::Named).ok_or_else(|| self.error(name, message))
    }

    /// A list of texts that is not empty, and neither is one of them; nothing if it is not there. They will be shown.
    ///
    /// # Errors
    ///
    /// It is there and something else, or one of them is a token or a key.
    #[inline]
    pub fn optional_texts(&mut self, name: &'static str) -> Result<Option<Vec<String>>, ConfigurationError> {
        let texts = match self.take(name) {
            None => return Ok(None),
            Some(Value::Array(items)) => texts_of(items),
            Some(_) => None,
        };
        let texts = texts.ok_or_else(|| self.error(name, "must be a list of texts that are not empty"))?;
        if texts.iter().any(|text| text.contains('\0') || looks_like_jwt(text) || looks_like_key(text)) {
            return Err(self.error(name, "holds a key, a token or a NUL: every user of the machine could see it"));
        }
        Ok(Some(texts))
    }

    /// Where the API is.
    ///
    /// # Errors
    ///
    /// It is there and none.
    #[inline]
    pub fn base_url(&mut self, name: &'static str) -> Result<Option<BaseUrl>, ConfigurationError> {
        self.url(name, BaseUrl::parse)
    }

    #[inline]
    fn url(
        &mut self,
        name: &'static str,
        parse: fn(&str) -> Result<BaseUrl, &'static str>,
    ) -> Result<Option<BaseUrl>, ConfigurationError> {
        let text = self.optional_text(name)?;
        text.map(|text| parse(&text).map_err(|message| self.error(name, message))).transpose()
    }

    /// An object whose keys are the user's own; empty if it is not there.
    ///
    /// # Errors
    ///
    /// It is there and something else.
    #[inline]
    pub fn entries(&mut self, name: &'static str) -> Result<Map<String, Value>, ConfigurationError> {
        match self.take(name) {
            None => Ok(Map::new()),
            Some(Value::Object(entries)) => Ok(entries),
            Some(_) => Err(self.error(name, "must be an object")),
        }
    }

    /// The end: no other field may be there.
    ///
    /// # Errors
    ///
    /// One is, with the nearest known name in the message.
    #[inline]
    pub fn finish(self) -> Result<(), ConfigurationError> {
        let Some(unknown) = self.unknown().next() else { return Ok(()) };
        let nearest = self.known.iter().min_by_key(|known| strsim::osa_distance(known, unknown));
        let message = match nearest {
            Some(nearest) => format!("is not known; the nearest known key is `{nearest}`"),
            None => "is not known".to_owned(),
        };
        // A key is the document's own text, and of any length.
        let shown: String = unknown.chars().filter(|character| !wif_rules::is_unshown(*character)).take(64).collect();
        Err(self.error(&shown, &message))
    }
}

/// These texts, none of them empty, if they are some.
fn texts_of(items: Vec<Value>) -> Option<Vec<String>> {
    let texts = items.into_iter().map(|item| match item {
        Value::String(item) if !item.is_empty() => Some(item),
        _ => None,
    });
    texts.collect::<Option<Vec<_>>>().filter(|texts| !texts.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_rest_of_an_object_is_read_as_texts() {
        let mut fields = Fields::of("f", json!({"known": 1, "a": "x", "b": "y"})).unwrap();
        fields.take("known");
        let texts = [("a", "x"), ("b", "y")].map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(fields.rest_of_texts().unwrap(), texts);
        let mut fields = Fields::of("f", json!({"a": 1})).unwrap();
        assert_eq!(fields.rest_of_texts().unwrap_err().field, "f.a");
    }

    #[test]
    fn a_text_is_one_line_without_white_space_around_it() {
        for (text, why) in [
            ("", "is empty: leave it out or fill it in"),
            (" a", "has white space at its beginning or end"),
            ("a\t", "has white space at its beginning or end"),
            ("a\nb", "contains a line break or a NUL"),
            ("a\rb", "contains a line break or a NUL"),
            ("a\0b", "contains a line break or a NUL"),
        ] {
            let mut fields = Fields::of("f", json!({ "a": text })).unwrap();
            let error = fields.optional_text("a").unwrap_err();
            assert_eq!((error.field.as_str(), error.message.as_str()), ("f.a", why));
        }
        let mut fields = Fields::of("f", json!({"a": "b c"})).unwrap();
        assert_eq!(fields.optional_text("a").unwrap().as_deref(), Some("b c"));
    }

    /// Reads the field `a` of a document that has it, or does not, by this.
    fn read_by<T>(value: Value, read: impl Fn(&mut Fields) -> Result<T, ConfigurationError>) -> Result<T, String> {
        let document = if value.is_null() { json!({}) } else { json!({ "a": value }) };
        read(&mut Fields::of("", document).unwrap()).map_err(|error| {
            assert_eq!(error.field, "a");
            error.message
        })
    }

    #[test]
    fn a_number_is_whole_and_within_its_range() {
        let number = |value| read_by(value, |fields| fields.number("a", 7, 2..=9));
        assert_eq!([number(json!(null)), number(json!(2)), number(json!(9.0))], [Ok(7), Ok(2), Ok(9)]);
        for value in [json!(1), json!(10), json!(2.5), json!(-3), json!("5"), json!(1e300)] {
            assert_eq!(number(value).unwrap_err(), "must be a whole number from 2 to 9");
        }
    }

    #[test]
    fn an_origin_has_no_path() {
        let origin = |value| read_by(value, |fields| fields.origin("a"));
        assert_eq!(origin(json!(null)), Ok(None));
        assert_eq!(origin(json!("https://API.example:443/")), Ok(Some("https://api.example".to_owned())));
        assert_eq!(origin(json!("https://api.example/v2")).unwrap_err(), "must be scheme, host and port, without a path");
    }

    #[test]
    fn clusters_are_named_or_all_of_them() {
        let clusters = |value| read_by(value, |fields| fields.clusters("a"));
        assert_eq!(clusters(json!("all")), Ok(Clusters::All));
        assert_eq!(clusters(json!(["api", "b"])), Ok(Clusters::Named(vec!["api".to_owned(), "b".to_owned()])));
        for value in [json!(null), json!("api"), json!([]), json!([""]), json!(["api", ""]), json!([1]), json!({})] {
            assert!(clusters(value.clone()).unwrap_err().starts_with("must list the clusters"), "{value}");
        }
    }

    #[test]
    fn a_list_of_texts_has_some_and_no_secret() {
        let texts = |value| read_by(value, |fields| fields.optional_texts("a"));
        assert_eq!(texts(json!(null)), Ok(None));
        assert_eq!(texts(json!(["/bin/x", "-y"])), Ok(Some(vec!["/bin/x".to_owned(), "-y".to_owned()])));
        for value in [json!("x"), json!([]), json!([""]), json!(["x", 1]), json!({})] {
            assert_eq!(texts(value.clone()).unwrap_err(), "must be a list of texts that are not empty", "{value}");
        }
        for secret in ["sk-ant-api03-canary", "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl", "a\0b"] {
            assert!(texts(json!(["/bin/x", secret])).unwrap_err().starts_with("holds a key"), "{secret}");
        }
    }

    #[test]
    fn an_object_of_ones_own_keys_is_handed_over_as_it_is() {
        let entries = |value| read_by(value, |fields| fields.entries("a").map(Value::from));
        assert_eq!(entries(json!(null)), Ok(json!({})));
        assert_eq!(entries(json!({"b": 1, "c": []})), Ok(json!({"b": 1, "c": []})));
        assert_eq!(entries(json!([])).unwrap_err(), "must be an object");
    }
}
