//! Texts with holes: `Bearer {token}`.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

/// What is known in a run, by name. Any of it may be a secret.
pub(crate) type Values = BTreeMap<String, Zeroizing<String>>;

/// A text with holes, each the name of a value in braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Stands as it is.
    Text(String),
    /// Is filled with the value of this name.
    Hole(String),
}

impl Template {
    /// Reads a template. The message says what is wrong with it.
    ///
    /// # Errors
    ///
    /// A brace stands alone, or a hole has no name.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("has a `{` without its `}`")?;
            if !is_name(name) {
                return Err("has a hole that is no name: lower-case letters, digits and `_`");
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Hole(name.to_owned()));
            rest = after;
        }
        if rest.contains('}') || parts.iter().any(|part| matches!(part, Part::Text(text) if text.contains('}'))) {
            return Err("has a `}` without its `{`");
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// Its parts, in order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    /// The names of its holes.
    pub fn holes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Hole(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The text with each hole filled; none where a value is not there.
    pub(crate) fn fill(&self, values: &Values) -> Option<Zeroizing<String>> {
        self.fill_by(values, |value, _| Zeroizing::new(value.to_owned()))
    }

    /// The same for a URL: what fills a hole can add nothing to its structure, unless the hole is its beginning.
    pub(crate) fn fill_url(&self, values: &Values) -> Option<Zeroizing<String>> {
        self.fill_by(values, |value, first| Zeroizing::new(if first { value.to_owned() } else { percent_encoded(value) }))
    }

    fn fill_by(&self, values: &Values, form: impl Fn(&str, bool) -> Zeroizing<String>) -> Option<Zeroizing<String>> {
        let mut text = Zeroizing::new(String::new());
        for (position, part) in self.0.iter().enumerate() {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Hole(name) => text.push_str(&form(values.get(name)?, position == 0)),
            }
        }
        Some(text)
    }
}

/// Whether a value can have this name.
pub(crate) fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

/// All but the unreserved characters of RFC 3986 section 2.3 as `%XX`.
#[must_use]
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            for half in [byte >> 4, byte & 15] {
                encoded.push(char::from(b"0123456789ABCDEF"[usize::from(half)]));
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        [("url", "https://ci.example/t?id=1"), ("audience", "https://api.anthropic.com"), ("empty", "")]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), Zeroizing::new(value.to_owned())))
            .collect()
    }

    #[test]
    fn holes_are_filled() {
        let fill = |text: &str| Template::parse(text).unwrap().fill(&values()).map(|text| text.to_string());
        assert_eq!(fill("for {audience}!").as_deref(), Some("for https://api.anthropic.com!"));
        assert_eq!(fill("{empty}").as_deref(), Some(""));
        assert_eq!(fill("no hole").as_deref(), Some("no hole"));
        assert_eq!(fill("{url}{missing}"), None);
    }

    #[test]
    fn what_fills_a_url_adds_nothing_to_its_structure() {
        let fill = |text: &str| Template::parse(text).unwrap().fill_url(&values()).map(|text| text.to_string());
        assert_eq!(
            fill("{url}&audience={audience}").as_deref(),
            Some("https://ci.example/t?id=1&audience=https%3A%2F%2Fapi.anthropic.com")
        );
        assert_eq!(fill("https://{url}/").as_deref(), Some("https://https%3A%2F%2Fci.example%2Ft%3Fid%3D1/"));
    }

    #[test]
    fn a_template_that_cannot_be_read_is_refused() {
        for text in ["{", "}", "a{b", "a}b", "{}", "{A}", "{a b}", "}{a}"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
