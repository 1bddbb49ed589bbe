//! Takes the steps of a recipe, one by one.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::document::{Action, Assertion, Aws, Body, Recipe, Request, Step};
use crate::sigv4::{Signed, Signer, hex};
use crate::template::{Part, Template, Values, append, in_url, percent_encoded};

/// A run of a recipe: what is known so far, and which step is next. It holds secrets and shows none.
#[derive(Clone)]
pub struct Run {
    at: usize,
    values: Values,
    signing: Option<Zeroizing<String>>,
}

/// What time it is, and what no other run has.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Unix time in milliseconds.
    pub wall_ms: u64,
    /// A number by chance.
    pub nonce: u128,
}

/// How a run goes on.
pub enum Next {
    /// It needs this, and the answer is for [`Run::answer`].
    Ask(Ask),
    /// *Secret.* It has the identity token.
    Token(Zeroizing<String>),
    /// There is none.
    Failed(Fault),
}

/// What a run needs.
#[derive(Clone, PartialEq, Eq)]
pub enum Ask {
    /// A variable.
    Variable(String),
    /// A file.
    File(String),
    /// An answer to a request.
    Request(HttpRequest),
    /// A signature.
    Sign(Signing),
}

/// What a host's key is to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signing {
    /// Which key.
    pub key: String,
    /// The JWS algorithm.
    pub algorithm: String,
    /// The ASCII input of the signature. The answer is the signature in base64url.
    pub input: String,
}

/// A request, ready to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// The method.
    pub method: String,
    /// *Secret.* The absolute URL.
    pub url: String,
    /// The scheme, host and port of `url`.
    pub origin: String,
    /// The header fields.
    pub headers: Vec<Header>,
    /// *Secret.* The body; empty where there is none.
    pub body: Zeroizing<String>,
}

/// A header field.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// In lower case.
    pub name: String,
    /// *Secret.* Its value.
    pub value: Zeroizing<String>,
}

/// What came of an [`Ask`].
pub enum Answer<'a> {
    /// *Secret.* The content of the variable or file; the signature.
    Content(&'a str),
    /// There is no such variable or file.
    Absent,
    /// *Secret.* An answer to the request.
    Response {
        /// The status code.
        status: u16,
        /// The body.
        body: &'a str,
    },
}

/// Why a run ended without an identity token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Of which kind it is.
    pub code: FaultCode,
    /// A sentence; no secret.
    pub message: String,
    /// What to do; empty where the recipe does not say.
    pub action: String,
    /// What the server said for itself. May repeat a secret.
    pub detail: Option<String>,
    /// The status code of the server's answer.
    pub status: Option<u16>,
}

/// Of which kind a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultCode {
    /// Something that has to be there is not.
    Missing,
    /// A server refused, or had no time.
    Refused,
    /// An answer was not what was expected.
    Malformed,
}

impl fmt::Debug for Run {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Run").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Run {
    /// Begins, with what the configuration says for the recipe's parameters.
    #[must_use]
    pub fn new(recipe: &Recipe, given: &[(String, String)]) -> Self {
        let mut values = Values::default();
        for parameter in &recipe.parameters {
            let said = given.iter().find(|(name, _)| *name == parameter.name).map(|(_, value)| value);
            if let Some(value) = said.or(parameter.default.as_ref()) {
                values.set(&parameter.name, value, true);
            }
        }
        Self { at: 0, values, signing: None }
    }

    /// Goes on as far as it can without an answer.
    pub fn next(&mut self, recipe: &Recipe, moment: Moment) -> Next {
        while let Some(step) = recipe.steps.get(self.at) {
            if !self.applies(step) {
                self.at += 1;
                continue;
            }
            let asked = match &step.action {
                Action::Set { value, encoded } => {
                    let given = value.holes().all(|name| self.values.given(name));
                    if let (Some(name), Some(mut value)) = (&step.name, value.fill(&self.values)) {
                        if *encoded {
                            value = Zeroizing::new(percent_encoded(&value));
                        }
                        self.values.set(name, &value, given);
                    }
                    self.at += 1;
                    continue;
                }
                Action::Fail(message) => {
                    return Next::Failed(Fault::new(FaultCode::Missing, message.clone(), step.absent.as_deref()));
                }
                Action::Variable(name) => name.fill(&self.values).map(|name| Ask::Variable(name.to_string())),
                Action::File(path) => path.fill(&self.values).map(|path| Ask::File(path.to_string())),
                Action::Request(request) => self.request(request, moment.wall_ms).map(Ask::Request),
                Action::Sign(assertion) => self.assertion(assertion, moment).map(Ask::Sign),
            };
            match asked {
                Some(asked) => return Next::Ask(asked),
                None if step.optional => self.at += 1,
                None => {
                    let unknown = unknown(step, &self.values);
                    let at = (self.at + 1).to_string();
                    let message = [&unknown, " is not known, which step ", &at, " of ", &recipe.title, " needs."].concat();
                    return Next::Failed(Fault::new(FaultCode::Missing, message, step.absent.as_deref()));
                }
            }
        }
        match recipe.token.fill(&self.values) {
            Some(token) => Next::Token(token),
            None => Next::Failed(Fault::new(FaultCode::Missing, [&recipe.title, " gave no identity token."].concat(), None)),
        }
    }

    /// Takes what came of the last [`Ask`].
    ///
    /// # Errors
    ///
    /// The run cannot go on with it.
    pub fn answer(&mut self, recipe: &Recipe, answer: &Answer<'_>) -> Result<(), Fault> {
        let Some(step) = recipe.steps.get(self.at) else { return Ok(()) };
        let taken = match answer {
            Answer::Content(content) => {
                let content = content.trim();
                match (&step.name, self.signing.take()) {
                    (Some(name), Some(input)) => {
                        self.values.set(name, &Zeroizing::new([&input, ".", content].concat()), false);
                        Ok(())
                    }
                    _ if content.is_empty() => Err(self.absent(recipe, step, "is empty")),
                    (Some(name), None) => {
                        self.values.set(name, content, false);
                        Ok(())
                    }
                    (None, _) => Ok(()),
                }
            }
            Answer::Absent => Err(self.absent(recipe, step, "is not there")),
            Answer::Response { status, body } => match &step.action {
                Action::Request(request) => self.take(recipe, request, *status, body),
                _ => Ok(()),
            },
        };
        match taken {
            Err(fault) if !(step.optional && fault.code == FaultCode::Missing) => Err(fault),
            _ => {
                self.at += 1;
                Ok(())
            }
        }
    }

    /// What the current step asks for, for people; no secret.
    #[must_use]
    pub fn describe(&self, recipe: &Recipe) -> String {
        let Some(step) = recipe.steps.get(self.at) else { return recipe.title.clone() };
        match &step.action {
            Action::Variable(name) => self.named(recipe, "the variable ", name),
            Action::File(path) => self.named(recipe, "the file ", path),
            Action::Request(request) => self.describe_request(recipe, request),
            Action::Sign(_) => "the signature".to_owned(),
            Action::Set { .. } | Action::Fail(_) => recipe.title.clone(),
        }
    }

    /// *Secret.* All that is known and not from the configuration: none of it may be repeated.
    pub fn secrets<'a>(&'a self, recipe: &'a Recipe) -> impl Iterator<Item = &'a str> {
        // What a platform reads under a parameter's name, such as a region, is none either. Of one's own recipe nobody knows.
        let harmless = |name: &str| !recipe.own && recipe.parameters.iter().any(|parameter| parameter.name == name);
        self.values.learned().filter(move |(name, _)| !harmless(name)).map(|(_, value)| value)
    }

    /// Whether the current step goes on where there is nothing.
    #[must_use]
    pub fn can_do_without(&self, recipe: &Recipe) -> bool {
        recipe.steps.get(self.at).is_some_and(|step| step.optional)
    }

    fn applies(&self, step: &Step) -> bool {
        let known = |name: &String| self.values.get(name).is_some();
        step.when.iter().all(known) && !step.unless.iter().any(known)
    }

    fn absent(&self, recipe: &Recipe, step: &Step, what: &str) -> Fault {
        let subject = match &step.action {
            Action::Variable(name) => self.named(recipe, "The variable ", name),
            Action::File(path) => self.named(recipe, "The file ", path),
            _ => "The answer".to_owned(),
        };
        Fault::new(FaultCode::Missing, [&subject, " ", what, "."].concat(), step.absent.as_deref())
    }

    fn named(&self, recipe: &Recipe, what: &str, name: &Template) -> String {
        [what, self.shown(recipe, name, false).as_str()].concat()
    }

    /// Method, origin and path. A query may hold a secret.
    fn describe_request(&self, recipe: &Recipe, request: &Request) -> String {
        let url = self.shown(recipe, &request.url, true);
        let url = url.split(['?', '#']).next().unwrap_or_default();
        let Some((scheme, rest)) = url.split_once("://") else { return [&request.method, " ", url].concat() };
        let authority = rest.split('/').next().unwrap_or_default();
        // A name and a password may stand before the host.
        let user = authority.rfind('@').map_or(0, |at| at + 1);
        [&request.method, " ", scheme, "://", &rest[user..]].concat()
    }

    /// A template filled for people. In a recipe of one's own any value may be a secret: what the configuration does not say is shown
    /// by its name, but for the server that a URL begins with.
    fn shown(&self, recipe: &Recipe, template: &Template, url: bool) -> Zeroizing<String> {
        let mut shown = Zeroizing::new(String::new());
        for part in template.parts() {
            match part {
                Part::Hole(name) if recipe.own && !self.values.given(name) => {
                    let value = Some(self.values.get(name).unwrap_or_default()).filter(|_| url && shown.is_empty());
                    match value.and_then(origin) {
                        Some((origin, "" | "/")) => shown.push_str(origin),
                        Some((origin, _)) => shown.push_str(&[origin, "/{", name, "}"].concat()),
                        None => shown.push_str(&["{", name, "}"].concat()),
                    }
                }
                Part::Hole(name) => {
                    let value = self.values.get(name).unwrap_or_default();
                    let value = if url { in_url(&shown, value) } else { value.to_owned() };
                    shown.push_str(&value);
                }
                Part::Text(text) => append(&mut shown, text, url),
            }
        }
        shown
    }

    fn take(&mut self, recipe: &Recipe, request: &Request, status: u16, body: &str) -> Result<(), Fault> {
        let what = self.describe_request(recipe, request);
        let mut fault = None;
        if !(200..=299).contains(&status) {
            let code = status.to_string();
            let advice = request.refusals.iter().find(|(known, _)| *known == code);
            let advice = advice.or_else(|| request.refusals.iter().find(|(known, _)| known == "*"));
            let message = [&recipe.title, " answered ", &code, " to ", &what, "."].concat();
            let mut refused = Fault::new(FaultCode::Refused, message, advice.map(|(_, advice)| advice.as_str()));
            refused.detail = detail(body);
            fault = Some(refused);
        } else {
            for (name, place) in &request.take {
                let Some(value) = place.take(body) else {
                    let message = ["The answer of ", &recipe.title, " to ", &what, " has no ", &place.describe(), "."].concat();
                    fault = Some(Fault::new(FaultCode::Malformed, message, None));
                    break;
                };
                self.values.set(name, &Zeroizing::new(value), false);
            }
        }
        fault.map_or(Ok(()), |fault| Err(Fault { status: Some(status), ..fault }))
    }

    fn request(&self, request: &Request, wall_ms: u64) -> Option<HttpRequest> {
        let mut url = request.url.fill_url(&self.values)?;
        let query = known(&request.query, &self.values);
        if !query.is_empty() {
            let joint = if url.contains('?') { '&' } else { '?' };
            url.push(joint);
            url.push_str(&encoded(&query));
        }
        let mut headers = known(&request.headers, &self.values);
        let (kind, body) = match &request.body {
            Body::None => ("", Zeroizing::new(String::new())),
            Body::Form(fields) => ("application/x-www-form-urlencoded", encoded(&known(fields, &self.values))),
            Body::Json(document) => {
                let filled = filled(document, &self.values).unwrap_or_else(|| Value::Object(Map::new()));
                ("application/json", Zeroizing::new(filled.to_string()))
            }
        };
        if !kind.is_empty() {
            headers.push(("content-type".to_owned(), Zeroizing::new(kind.to_owned())));
        }
        let (origin, path) = origin(&url)?;
        if let Some(aws) = &request.aws {
            let path = path.split('#').next().unwrap_or_default();
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            let authority = origin.split_once("://").unwrap_or_default().1;
            let signed = Signed { method: &request.method, host: authority, path, query, headers: &headers, body: &body };
            let added = self.aws(aws, &signed, wall_ms)?;
            headers.extend(added);
        }
        let headers = headers.into_iter().map(|(name, value)| Header { name, value }).collect();
        Some(HttpRequest { method: request.method.clone(), origin: origin.to_owned(), url: url.to_string(), headers, body })
    }

    fn aws(&self, aws: &Aws, signed: &Signed<'_>, wall_ms: u64) -> Option<Vec<(String, Zeroizing<String>)>> {
        let fill = |template: &Template| template.fill(&self.values);
        let (key_id, secret, region, service) = (fill(&aws.key_id)?, fill(&aws.secret)?, fill(&aws.region)?, fill(&aws.service)?);
        let session = fill(&aws.session);
        let signer = Signer {
            key_id: &key_id,
            secret: &secret,
            session: session.as_ref().map(|session| session.as_str()),
            region: &region,
            service: &service,
        };
        Some(signer.sign(signed, wall_ms))
    }

    fn assertion(&mut self, assertion: &Assertion, moment: Moment) -> Option<Signing> {
        let fill = |template: &Template| template.fill(&self.values);
        let algorithm = fill(&assertion.algorithm)?.to_string();
        let issued_at = moment.wall_ms / 1000;
        let text = |text: &str| Value::from(text);
        let header = [("alg", text(&algorithm)), ("kid", text(&fill(&assertion.key_id)?)), ("typ", text("JWT"))];
        let claims = [
            ("iss", text(&fill(&assertion.issuer)?)),
            ("sub", text(&fill(&assertion.subject)?)),
            ("aud", text(&fill(&assertion.audience)?)),
            ("iat", issued_at.into()),
            ("exp", (issued_at + assertion.lifetime_s).into()),
            ("jti", text(&hex(&moment.nonce.to_be_bytes()))),
        ];
        let input = [segment(&header), segment(&claims)].join(".");
        let key = fill(&assertion.key)?.to_string();
        self.signing = Some(Zeroizing::new(input.clone()));
        Some(Signing { key, algorithm, input })
    }
}

impl Fault {
    fn new(code: FaultCode, message: String, action: Option<&str>) -> Self {
        Self { code, message, action: action.unwrap_or_default().to_owned(), detail: None, status: None }
    }
}

/// An object as a part of a JWT.
fn segment(members: &[(&str, Value)]) -> String {
    let mut object = Map::new();
    for (name, value) in members {
        object.insert((*name).to_owned(), value.clone());
    }
    URL_SAFE_NO_PAD.encode(Value::Object(object).to_string())
}

/// The scheme, host and port of a URL, and the rest of it.
fn origin(url: &str) -> Option<(&str, &str)> {
    let authority = url.find("://")? + 3;
    let end = url[authority..].find(['/', '?', '#']).map_or(url.len(), |end| authority + end);
    Some(url.split_at(end))
}

/// Names and values as a query and a form have them.
fn encoded(pairs: &[(String, Zeroizing<String>)]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::new());
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(&percent_encoded(name));
        text.push('=');
        text.push_str(&Zeroizing::new(percent_encoded(value)));
    }
    text
}

/// Those of which all is known, filled. `{user}:{password}` after `Basic ` goes out in base64, as RFC 7617 wants it.
fn known(templates: &[(String, Template)], values: &Values) -> Vec<(String, Zeroizing<String>)> {
    let mut pairs = Vec::new();
    for (name, template) in templates {
        let Some(mut value) = template.fill(values) else { continue };
        if let Some(pair) = value.strip_prefix("Basic ").filter(|_| name == "authorization") {
            value = Zeroizing::new(["Basic ", &STANDARD.encode(pair)].concat());
        }
        pairs.push((name.clone(), value));
    }
    pairs
}

/// A JSON document with its templates filled; members with a value that is not known are left out.
fn filled(document: &Value, values: &Values) -> Option<Value> {
    match document {
        Value::String(text) => {
            let filled = Template::parse(text).ok()?.fill(values)?;
            Some(Value::String(filled.to_string()))
        }
        Value::Array(items) => Some(items.iter().filter_map(|item| filled(item, values)).collect()),
        Value::Object(members) => {
            let mut known = Map::new();
            for (name, value) in members {
                if let Some(value) = filled(value, values) {
                    known.insert(name.clone(), value);
                }
            }
            Some(Value::Object(known))
        }
        other => Some(other.clone()),
    }
}

/// The first hole of a step that cannot be filled.
fn unknown(step: &Step, values: &Values) -> String {
    let hole = |template: &Template| template.holes().find(|name| values.get(name).is_none()).map(str::to_owned);
    let found = match &step.action {
        Action::Variable(template) | Action::File(template) | Action::Set { value: template, .. } => hole(template),
        Action::Request(request) => {
            let aws = request.aws.iter().flat_map(|aws| [&aws.key_id, &aws.secret, &aws.region]);
            std::iter::once(&request.url).chain(aws).find_map(hole)
        }
        Action::Sign(assertion) => {
            [&assertion.key, &assertion.key_id, &assertion.issuer, &assertion.subject, &assertion.audience]
                .into_iter()
                .find_map(hole)
        }
        Action::Fail(_) => None,
    };
    found.unwrap_or_else(|| "a value".to_owned())
}

/// What servers say for themselves, by the names that they use for it.
fn detail(body: &str) -> Option<String> {
    let document: Option<Value> = serde_json::from_str(body).ok();
    let members = ["/error_description", "/error/message", "/message", "/Message", "/errors/0", "/error", "/code", "/Code"];
    let in_json = |document: &Value| {
        members.iter().find_map(|member| document.pointer(member)?.as_str().map(str::to_owned)).filter(|text| !text.is_empty())
    };
    match &document {
        Some(document) => in_json(document),
        None => crate::extract::Place::parse("xml:Message").and_then(|place| place.take(body)),
    }
}
