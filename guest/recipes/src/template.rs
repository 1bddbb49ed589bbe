//! Texts with holes: `Bearer {token}`.

use zeroize::Zeroizing;

/// What is known in a run, by name. Any of it may be a secret. There are few, and a list of them is small code.
#[derive(Clone, Default)]
pub(crate) struct Values(Vec<Known>);

#[derive(Clone)]
struct Known {
    name: String,
    value: Zeroizing<String>,
    /// Whether the configuration says it: then it is no secret.
    given: bool,
}

impl Values {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.find(name).map(|known| known.value.as_str())
    }

    pub(crate) fn given(&self, name: &str) -> bool {
        self.find(name).is_some_and(|known| known.given)
    }

    pub(crate) fn set(&mut self, name: &str, value: &str, given: bool) {
        self.0.retain(|known| known.name != name);
        self.0.push(Known { name: name.to_owned(), value: Zeroizing::new(value.to_owned()), given });
    }

    /// The names and values that the configuration does not say.
    pub(crate) fn learned(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter(|known| !known.given).map(|known| (known.name.as_str(), known.value.as_str()))
    }

    fn find(&self, name: &str) -> Option<&Known> {
        self.0.iter().find(|known| known.name == name)
    }
}

/// A text with holes, each the name of a value in braces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template(String);

/// A part of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// Stands as it is.
    Text(&'a str),
    /// Is filled with the value of this name.
    Hole(&'a str),
}

impl Template {
    /// Reads a template. The message says what is wrong with it.
    ///
    /// # Errors
    ///
    /// A brace stands alone, or a hole has no name.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("has a `{` without its `}`")?;
            if before.contains('}') {
                return Err("has a `}` without its `{`");
            }
            if !is_name(name) {
                return Err("has a hole that is no name: lower-case letters, digits and `_`");
            }
            rest = after;
        }
        if rest.contains('}') {
            return Err("has a `}` without its `{`");
        }
        Ok(Self(text.to_owned()))
    }

    /// Its parts, in order.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let mut rest = self.0.as_str();
        core::iter::from_fn(move || {
            if let Some(hole) = rest.strip_prefix('{') {
                let (name, after) = hole.split_once('}')?;
                rest = after;
                return Some(Part::Hole(name));
            }
            if rest.is_empty() {
                return None;
            }
            let (text, after) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
            rest = after;
            Some(Part::Text(text))
        })
    }

    /// The names of its holes.
    pub fn holes(&self) -> impl Iterator<Item = &str> {
        self.parts().filter_map(|part| match part {
            Part::Hole(name) => Some(name),
            Part::Text(_) => None,
        })
    }

    /// The text with each hole filled; none where a value is not there.
    pub(crate) fn fill(&self, values: &Values) -> Option<Zeroizing<String>> {
        self.fill_in(values, false)
    }

    /// The same for a URL: what fills a hole can add nothing to its structure, unless the hole is its beginning.
    pub(crate) fn fill_url(&self, values: &Values) -> Option<Zeroizing<String>> {
        self.fill_in(values, true)
    }

    fn fill_in(&self, values: &Values, url: bool) -> Option<Zeroizing<String>> {
        let mut filled = Zeroizing::new(String::new());
        for part in self.parts() {
            match part {
                Part::Text(text) => append(&mut filled, text, url),
                Part::Hole(name) => {
                    let value = values.get(name)?;
                    let value = if url { in_url(&filled, value) } else { value.to_owned() };
                    filled.push_str(&Zeroizing::new(value));
                }
            }
        }
        Some(filled)
    }
}

/// What a value becomes in a URL of which so much is there.
#[must_use]
pub fn in_url(before: &str, value: &str) -> String {
    if before.is_empty() {
        return value.to_owned();
    }
    let address = value.contains(':') && value.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
    // An IPv6 address as a host (RFC 3986 section 3.2.2).
    if before.ends_with("://") && address { format!("[{value}]") } else { percent_encoded(value) }
}

/// Adds what stands between holes. A base URL may end with a slash, and a path begins with one.
pub fn append(filled: &mut String, text: &str, url: bool) {
    if url && text.starts_with('/') && filled.ends_with('/') && !filled.ends_with("://") {
        filled.pop();
    }
    filled.push_str(text);
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

    #[test]
    fn an_audience_does_not_leave_its_place_in_a_query() {
        assert_eq!(percent_encoded("https://api.anthropic.com?a=b&c#ü"), "https%3A%2F%2Fapi.anthropic.com%3Fa%3Db%26c%23%C3%BC");
    }

    fn values() -> Values {
        let mut values = Values::default();
        for (name, value) in [
            ("url", "https://ci.example/t?id=1"),
            ("audience", "https://api.anthropic.com"),
            ("empty", ""),
            ("base", "https://login.example/"),
            ("address", "fd00::1"),
        ] {
            values.set(name, value, false);
        }
        values
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
        assert_eq!(fill("{base}/tenant").as_deref(), Some("https://login.example/tenant"));
        assert_eq!(fill("https://{address}:443/{address}").as_deref(), Some("https://[fd00::1]:443/fd00%3A%3A1"));
        assert_eq!(fill("https://{url}/").as_deref(), Some("https://https%3A%2F%2Fci.example%2Ft%3Fid%3D1/"));
    }

    #[test]
    fn a_template_that_cannot_be_read_is_refused() {
        for text in ["{", "}", "a{b", "a}b", "{}", "{A}", "{a b}", "}{a}"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
