//! Takes the steps of a recipe, one by one.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::document::{Action, Assertion, Aws, Body, Recipe, Request, Step};
use crate::sigv4::{Signed, Signer};
use crate::template::{Template, Values, percent_encoded};

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
                values.set(&parameter.name, value);
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
                Action::Set(value) => {
                    if let (Some(name), Some(value)) = (&step.name, value.fill(&self.values)) {
                        self.values.set(name, &value);
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
                    let message = format!("{unknown} is not known, which step {} of {} needs.", self.at + 1, recipe.title);
                    return Next::Failed(Fault::new(FaultCode::Missing, message, step.absent.as_deref()));
                }
            }
        }
        match recipe.token.fill(&self.values) {
            Some(token) => Next::Token(token),
            None => Next::Failed(Fault::new(FaultCode::Missing, format!("{} gave no identity token.", recipe.title), None)),
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
                        self.values.set(name, &Zeroizing::new(format!("{}.{content}", *input)));
                        Ok(())
                    }
                    _ if content.is_empty() => Err(self.absent(step, "is empty")),
                    (Some(name), None) => {
                        self.values.set(name, content);
                        Ok(())
                    }
                    (None, _) => Ok(()),
                }
            }
            Answer::Absent => Err(self.absent(step, "is not there")),
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
            Action::Variable(name) => {
                name.fill(&self.values).map_or_else(|| "a variable".to_owned(), |name| format!("the variable {}", *name))
            }
            Action::File(path) => {
                path.fill(&self.values).map_or_else(|| "a file".to_owned(), |path| format!("the file {}", *path))
            }
            Action::Request(request) => self.describe_request(request),
            Action::Sign(_) => "the signature".to_owned(),
            Action::Set(_) | Action::Fail(_) => recipe.title.clone(),
        }
    }

    /// *Secret.* All that is known and not from the configuration: none of it may be repeated.
    pub fn secrets<'a>(&'a self, recipe: &'a Recipe) -> impl Iterator<Item = &'a str> {
        let given = |name: &str| recipe.parameters.iter().any(|parameter| parameter.name == name);
        self.values.iter().filter(move |(name, _)| !given(name)).map(|(_, value)| value)
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

    fn absent(&self, step: &Step, what: &str) -> Fault {
        let subject = match &step.action {
            Action::Variable(name) => format!("The variable {}", name.fill(&self.values).unwrap_or_default().as_str()),
            Action::File(path) => format!("The file {}", path.fill(&self.values).unwrap_or_default().as_str()),
            _ => "The answer".to_owned(),
        };
        Fault::new(FaultCode::Missing, format!("{subject} {what}."), step.absent.as_deref())
    }

    /// Method, origin and path. A query may hold a secret.
    fn describe_request(&self, request: &Request) -> String {
        let url = request.url.fill_url(&self.values).unwrap_or_default();
        let plain = url.split(['?', '#']).next().unwrap_or_default();
        format!("{} {plain}", request.method)
    }

    fn take(&mut self, recipe: &Recipe, request: &Request, status: u16, body: &str) -> Result<(), Fault> {
        let what = self.describe_request(request);
        if !(200..=299).contains(&status) {
            let advice = request.refusals.iter().find(|(known, _)| *known == status.to_string());
            let advice = advice.or_else(|| request.refusals.iter().find(|(known, _)| known == "*"));
            let mut fault = Fault::new(
                FaultCode::Refused,
                format!("{} answered {status} to {what}.", recipe.title),
                advice.map(|(_, advice)| advice.as_str()),
            );
            fault.detail = detail(body);
            fault.status = Some(status);
            return Err(fault);
        }
        for (name, place) in &request.take {
            let Some(value) = place.take(body) else {
                let message = format!("The answer of {} to {what} has no {}.", recipe.title, place.describe());
                let mut fault = Fault::new(FaultCode::Malformed, message, None);
                fault.status = Some(status);
                return Err(fault);
            };
            self.values.set(name, &Zeroizing::new(value));
        }
        Ok(())
    }

    fn request(&self, request: &Request, wall_ms: u64) -> Option<HttpRequest> {
        let mut url = request.url.fill_url(&self.values)?;
        let query = known(&request.query, &self.values);
        for (name, value) in &query {
            let joint = if url.contains('?') { '&' } else { '?' };
            url.push(joint);
            url.push_str(&format!("{}={}", percent_encoded(name), percent_encoded(value)));
        }
        let mut headers: Vec<(String, Zeroizing<String>)> = known(&request.headers, &self.values);
        let body = match &request.body {
            Body::None => Zeroizing::new(String::new()),
            Body::Form(fields) => {
                headers.push(("content-type".to_owned(), Zeroizing::new("application/x-www-form-urlencoded".to_owned())));
                let fields: Vec<String> = known(fields, &self.values)
                    .into_iter()
                    .map(|(name, value)| format!("{}={}", percent_encoded(&name), percent_encoded(&value)))
                    .collect();
                Zeroizing::new(fields.join("&"))
            }
            Body::Json(document) => {
                headers.push(("content-type".to_owned(), Zeroizing::new("application/json".to_owned())));
                Zeroizing::new(filled(document, &self.values).unwrap_or_else(|| json!({})).to_string())
            }
        };
        let (scheme, rest) = url.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let origin = format!("{scheme}://{authority}");
        if let Some(aws) = &request.aws {
            let path = path.split(['?', '#']).next().unwrap_or_default();
            headers.extend(self.aws(
                aws,
                &Asked { request, authority, path, query: &query, headers: &headers, body: &body },
                wall_ms,
            )?);
        }
        let url = url.to_string();
        let headers = headers.into_iter().map(|(name, value)| Header { name, value }).collect();
        Some(HttpRequest { method: request.method.clone(), url, origin, headers, body })
    }

    fn aws(&self, aws: &Aws, asked: &Asked<'_>, wall_ms: u64) -> Option<Vec<(String, Zeroizing<String>)>> {
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
        let signed = Signed {
            method: &asked.request.method,
            host: asked.authority,
            path: asked.path,
            query: asked.query,
            headers: asked.headers,
            body: asked.body,
        };
        Some(signer.sign(&signed, wall_ms))
    }

    fn assertion(&mut self, assertion: &Assertion, moment: Moment) -> Option<Signing> {
        let fill = |template: &Template| template.fill(&self.values);
        let algorithm = fill(&assertion.algorithm)?.to_string();
        let issued_at = moment.wall_ms / 1000;
        let header = json!({ "alg": algorithm, "kid": *fill(&assertion.key_id)?, "typ": "JWT" });
        let claims = json!({
            "iss": *fill(&assertion.issuer)?,
            "sub": *fill(&assertion.subject)?,
            "aud": *fill(&assertion.audience)?,
            "iat": issued_at,
            "exp": issued_at + assertion.lifetime_s,
            "jti": format!("{:032x}", moment.nonce),
        });
        let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", encode(header), encode(claims));
        let key = fill(&assertion.key)?.to_string();
        self.signing = Some(Zeroizing::new(input.clone()));
        Some(Signing { key, algorithm, input })
    }
}

/// A request on its way to its signature.
struct Asked<'a> {
    request: &'a Request,
    authority: &'a str,
    path: &'a str,
    query: &'a [(String, Zeroizing<String>)],
    headers: &'a [(String, Zeroizing<String>)],
    body: &'a str,
}

impl Fault {
    fn new(code: FaultCode, message: String, action: Option<&str>) -> Self {
        Self { code, message, action: action.unwrap_or_default().to_owned(), detail: None, status: None }
    }
}

/// Those of which all is known, filled. `{user}:{password}` after `Basic ` goes out in base64, as RFC 7617 wants it.
fn known(templates: &[(String, Template)], values: &Values) -> Vec<(String, Zeroizing<String>)> {
    let fill = |(name, template): &(String, Template)| {
        let value = template.fill(values)?;
        let value = match value.strip_prefix("Basic ").filter(|_| name == "authorization") {
            Some(pair) => Zeroizing::new(format!("Basic {}", STANDARD.encode(pair))),
            None => value,
        };
        Some((name.clone(), value))
    };
    templates.iter().filter_map(fill).collect()
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
            let members: Map<String, Value> =
                members.iter().filter_map(|(name, value)| Some((name.clone(), filled(value, values)?))).collect();
            Some(Value::Object(members))
        }
        other => Some(other.clone()),
    }
}

/// The first hole of a step that cannot be filled.
fn unknown(step: &Step, values: &Values) -> String {
    let hole = |template: &Template| template.holes().find(|name| values.get(name).is_none()).map(str::to_owned);
    let found = match &step.action {
        Action::Variable(template) | Action::File(template) | Action::Set(template) => hole(template),
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
