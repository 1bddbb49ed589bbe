//! What goes out for a request, and what an answer means. See `tests/requests/README.md`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What a host must be able to do for some of the cases.
pub const NEEDS: [&str; 9] =
    ["any-method", "trailers", "bytes", "connection", "upgrade", "host", "proxy-authorization", "user", "url"];

/// A name and a value. Each character of the value is one byte.
pub type Field = (String, String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    says: String,
    cases: Vec<Case>,
}

/// A case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// A sentence.
    pub name: String,
    /// What a host must be able to do for it.
    #[serde(default)]
    pub needs: Vec<String>,
    /// What is asked for.
    pub request: Request,
    /// What must leave the host.
    pub sent: Option<Expected>,
    /// What comes back.
    #[serde(default)]
    pub answer: ApiAnswer,
    /// Whether that rejects the token.
    pub rejected: Option<bool>,
}

/// What is asked for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// As it is written.
    #[serde(default = "post")]
    pub method: String,
    #[serde(default = "messages")]
    url: String,
    /// In order.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// In order.
    #[serde(default)]
    pub trailers: Vec<Field>,
}

/// What must leave the host.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Whose credential it carries.
    pub credential: Credential,
    #[serde(default)]
    fields: BTreeMap<String, Option<String>>,
    #[serde(default)]
    trailers: BTreeMap<String, Option<String>>,
}

/// Whose credential a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Credential {
    /// Ours, and no other.
    Ours,
    /// None at all.
    None,
    /// Whatever it came with.
    Callers,
}

/// What comes back.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiAnswer {
    /// 200 unless told.
    #[serde(default = "ok")]
    pub status: u16,
    /// In order.
    #[serde(default)]
    pub fields: Vec<Field>,
}

/// A request as it left the host. Names in any case; each character of a value is one byte.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    /// Where it went, as far as the host says so.
    pub url: String,
    /// In order.
    pub fields: Vec<Field>,
    /// In order.
    pub trailers: Vec<Field>,
}

/// The value of a field of these bytes.
#[must_use]
pub fn value(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// The bytes of a value.
///
/// # Panics
///
/// One of its characters is no byte.
#[must_use]
pub fn bytes(value: &str) -> Vec<u8> {
    value.chars().map(|character| u8::try_from(character).expect("each character is one byte")).collect()
}

/// All cases.
///
/// # Panics
///
/// A file is not in the format.
#[must_use]
pub fn all() -> Vec<Case> {
    let files = super::documents::<File>("requests");
    let mut cases = Vec::new();
    for (name, file) in files {
        assert!(!file.says.is_empty() && !file.cases.is_empty(), "{name}");
        cases.extend(file.cases);
    }
    cases
}

/// The names of fields in which a caller's credential may stand, in the spellings that the cases have.
#[must_use]
pub fn credential_names() -> Vec<String> {
    names(|value| value.contains("caller-secret"))
}

/// Names that only look like such.
#[must_use]
pub fn look_alikes() -> Vec<String> {
    let mut names = names(|value| value == "stays");
    names.retain(|name| !name.eq_ignore_ascii_case("x-other"));
    names
}

fn names(of: impl Fn(&str) -> bool) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (name, value) in that_send(&["bytes"]).into_iter().flat_map(|case| case.request.fields) {
        if of(&value) && is_credential(&name) == value.contains("caller-secret") && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The cases for a host that lacks these, those that say what leaves it.
#[must_use]
pub fn that_send(lacks: &[&str]) -> Vec<Case> {
    all().into_iter().filter(|case| case.sent.is_some() && !case.needs.iter().any(|need| lacks.contains(&&**need))).collect()
}

/// The cases for a host that lacks these, those that say what an answer means.
#[must_use]
pub fn that_answer(lacks: &[&str]) -> Vec<Case> {
    all().into_iter().filter(|case| case.rejected.is_some() && !case.needs.iter().any(|need| lacks.contains(&&**need))).collect()
}

impl Request {
    /// Where it is sent, where this is the token's origin and that another one.
    #[must_use]
    pub fn url(&self, api: &str, elsewhere: &str) -> String {
        let (scheme, authority) = api.split_once("://").unwrap_or_default();
        let parts = [("{api}", api), ("{scheme}", scheme), ("{authority}", authority), ("{elsewhere}", elsewhere)];
        parts.iter().fold(self.url.clone(), |url, (name, part)| url.replace(name, part))
    }

    /// Whether it goes to the token's origin, as far as its URL is a plain one.
    #[must_use]
    pub fn is_for_the_api(&self) -> bool {
        self.url.starts_with("{api}")
    }
}

impl Case {
    /// Holds what left the host against what must.
    ///
    /// # Errors
    ///
    /// The first thing that is not so.
    pub fn check(&self, sent: &Sent) -> Result<(), String> {
        let Some(expected) = &self.sent else { return Ok(()) };
        match expected.credential {
            Credential::Callers => self.is_as_it_came(sent)?,
            credential => carries(sent, credential == Credential::Ours)?,
        }
        for (what, expected, found) in
            [("field", &expected.fields, &sent.fields), ("trailer", &expected.trailers, &sent.trailers)]
        {
            for (name, value) in expected {
                let found = joined(found, name);
                if found != *value {
                    return Err(format!("the {what} {name} is {found:?}, and not {value:?}"));
                }
            }
        }
        Ok(())
    }

    fn is_as_it_came(&self, sent: &Sent) -> Result<(), String> {
        for (name, _) in &self.request.fields {
            let (came, went) = (joined(&self.request.fields, name), joined(&sent.fields, name));
            if came != went {
                return Err(format!("the field {name} came as {came:?} and went as {went:?}"));
            }
        }
        let ours = |(_, value): &&Field| value.contains("sk-ant-oat01-") && !value.contains("caller-secret");
        match sent.fields.iter().chain(&sent.trailers).find(ours) {
            Some((name, _)) => Err(format!("our token is in the field {name}")),
            None => Ok(()),
        }
    }
}

/// Whether nothing of the caller's is there, and ours is, or is not.
fn carries(sent: &Sent, ours: bool) -> Result<(), String> {
    if sent.url.contains("caller-secret") {
        return Err("the caller's credential is in the URL".to_owned());
    }
    if let Some((name, _)) = sent.fields.iter().chain(&sent.trailers).find(|(_, value)| value.contains("caller-secret")) {
        return Err(format!("the caller's credential is in {name}"));
    }
    if let Some((name, _)) = sent.trailers.iter().find(|(name, _)| is_credential(name)) {
        return Err(format!("the trailer {name} is a credential"));
    }
    let found: Vec<&Field> = sent.fields.iter().filter(|(name, _)| is_credential(name)).collect();
    let as_it_should = match &found[..] {
        [] => !ours,
        [(name, value)] => ours && name.eq_ignore_ascii_case("authorization") && value.starts_with("Bearer sk-ant-oat01-"),
        _ => false,
    };
    if !as_it_should {
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        return Err(format!("it carries {names:?}, and {} was expected", if ours { "ours alone" } else { "nothing" }));
    }
    let hop = joined(&sent.fields, "connection").unwrap_or_default();
    let drops = |name: &str| is_credential(name) || name.eq_ignore_ascii_case("anthropic-beta");
    match hop.split(',').find(|name| ours && drops(name)) {
        Some(name) => Err(format!("connection names {name}, which the next hop would drop")),
        None => Ok(()),
    }
}

/// By `wit/rules.json`: a test of a host must not go by that host's own list.
fn is_credential(name: &str) -> bool {
    let rules: serde_json::Value = serde_json::from_str(include_str!("../../../wit/rules.json")).expect("it is JSON");
    let plain = name.to_ascii_lowercase().replace('_', "-");
    let among = |list: &str, is: &dyn Fn(&str) -> bool| {
        rules["credentials"][list].as_array().expect("a list").iter().any(|known| is(known.as_str().expect("text")))
    };
    among("names", &|known| known == plain) || among("prefixes", &|known| plain.starts_with(known))
}

/// All values of a name, with commas between them and no spaces around those.
fn joined(fields: &[Field], name: &str) -> Option<String> {
    let mut values =
        fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).peekable();
    values.peek()?;
    let elements: Vec<&str> =
        values.flat_map(|value| value.split(',')).map(|element| element.trim_matches([' ', '\t'])).collect();
    Some(elements.join(","))
}

fn post() -> String {
    "POST".to_owned()
}

fn messages() -> String {
    "{api}/v1/messages".to_owned()
}

const fn ok() -> u16 {
    200
}

impl Default for ApiAnswer {
    fn default() -> Self {
        Self { status: ok(), fields: Vec::new() }
    }
}
