//! The document of a recipe: parsed once, into steps that cannot be wrong. Its reference is `wit/recipe.schema.json`.

use serde_json::{Map, Value};

use crate::extract::Place;
use crate::template::{Template, is_name};

/// How an identity token is got.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// What it is called in a configuration.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// Whether each run gives another identity token.
    pub freshness: Freshness,
    /// Who keeps an identity token that comes again though it was exchanged, and how to get past that.
    pub repeats: Option<String>,
    /// What a configuration may say.
    pub parameters: Vec<Parameter>,
    /// Variables by which the platform is recognised: one of these sets, each wholly set.
    pub detected_by: Vec<Vec<String>>,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// What is the identity token in the end.
    pub token: Template,
    /// Whether it comes from a configuration, so that nothing is known of what its values are.
    pub own: bool,
}

/// Whether each run gives another identity token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Each run mints one.
    Minted,
    /// Runs show the same one until it is rotated.
    Shared,
}

/// A value that the configuration gives.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// The key in the configuration, and the name of the value.
    pub name: String,
    /// What it is where the configuration does not say; none: it is then not known, or has to be said.
    pub default: Option<String>,
    /// Whether it has to be said.
    pub required: bool,
}

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// The name of what it gives.
    pub name: Option<String>,
    /// Whether to go on without what it would give.
    pub optional: bool,
    /// It is left out unless all of these are known.
    pub when: Vec<String>,
    /// It is left out if one of these is known.
    pub unless: Vec<String>,
    /// What to do where there is nothing.
    pub absent: Option<String>,
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Reads a variable.
    Variable(Template),
    /// Reads a file.
    File(Template),
    /// Gives a value a name.
    Set {
        /// The value.
        value: Template,
        /// Whether it is written as in a form: percent-encoded.
        encoded: bool,
    },
    /// Sends a request and takes values out of its answer.
    Request(Box<Request>),
    /// Has a JWT signed by a key that stays with the host (RFC 7523).
    Sign(Box<Assertion>),
    /// Ends the run: there is no way on.
    Fail(String),
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method, in upper case.
    pub method: String,
    /// The URL. What fills a hole adds nothing to its structure, unless the hole is its beginning.
    pub url: Template,
    /// What is added to the URL's query, by name.
    pub query: Vec<(String, Template)>,
    /// The header fields, by name in lower case.
    pub headers: Vec<(String, Template)>,
    /// A file of the certificates that the server's must lead to, in place of the platform's.
    pub ca_file: Option<Template>,
    pub(crate) body: Body,
    pub(crate) take: Vec<(String, Place)>,
    pub(crate) refusals: Vec<(String, String)>,
    pub(crate) aws: Option<Aws>,
}

impl Request {
    /// The names of what is taken out of the answer.
    pub fn taken(&self) -> impl Iterator<Item = &str> {
        self.take.iter().map(|(name, _)| name.as_str())
    }

    /// Whether the request has a body.
    #[must_use]
    pub const fn has_body(&self) -> bool {
        !matches!(self.body, Body::None)
    }

    /// The names of all header fields that the request can have.
    pub fn header_names(&self) -> impl Iterator<Item = &str> {
        let own = self.headers.iter().map(|(name, _)| name.as_str());
        let aws: &[&str] = if self.aws.is_some() { &["authorization", "x-amz-date", "x-amz-security-token"] } else { &[] };
        let body: &[&str] = if self.has_body() { &["content-type"] } else { &[] };
        own.chain(aws.iter().copied()).chain(body.iter().copied())
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Body {
    None,
    /// `application/x-www-form-urlencoded`. A field of which a value is not known is left out.
    Form(Vec<(String, Template)>),
    /// `application/json`; every text in it is a template.
    Json(Value),
}

/// Signs the request by AWS Signature Version 4.
#[derive(Debug, Clone)]
pub(crate) struct Aws {
    pub(crate) service: Template,
    pub(crate) region: Template,
    pub(crate) key_id: Template,
    pub(crate) secret: Template,
    pub(crate) session: Template,
}

/// A JWT that the host signs.
#[derive(Debug, Clone)]
pub struct Assertion {
    pub(crate) key: Template,
    pub(crate) algorithm: Template,
    pub(crate) key_id: Template,
    pub(crate) issuer: Template,
    pub(crate) subject: Template,
    pub(crate) audience: Template,
    pub(crate) lifetime_s: u64,
}

/// What is wrong with a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipeError {
    /// Where, from the recipe's own beginning: `steps[2].request.url`.
    pub field: String,
    /// The end of a sentence that begins with the field.
    pub message: String,
}

const METHODS: [&str; 3] = ["GET", "POST", "PUT"];

/// More steps than any way to a token takes.
const MAX_STEPS: usize = 64;

impl Recipe {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// It is no recipe: the first fault, by its field.
    pub fn parse(document: &Value) -> Result<Self, RecipeError> {
        let mut reading = Reading { known: Vec::new(), fault: None };
        let recipe = Self::read(Members::of(&mut reading, String::new(), document));
        match reading.fault {
            Some(fault) => Err(fault),
            None => Ok(recipe),
        }
    }

    fn read(mut members: Members<'_, '_>) -> Self {
        let name = members.text("name");
        let title = members.optional_text("title").unwrap_or_else(|| name.clone());
        let freshness = match members.text("freshness").as_str() {
            "shared" => Freshness::Shared,
            other => {
                if other != "minted" {
                    members.error("freshness", "must be minted or shared");
                }
                Freshness::Minted
            }
        };
        let repeats = members.optional_text("repeats");
        let parameters = parameters(&mut members);
        let mut detected_by = Vec::new();
        for set in members.list("detect") {
            detected_by.push(members.names_of("detect", set));
        }
        for parameter in &parameters {
            members.reading.known.push(parameter.name.clone());
        }
        let list = members.list("steps");
        if list.len() > MAX_STEPS {
            members.error("steps", "are more than 64");
        }
        let mut steps = Vec::new();
        for (position, step) in list.iter().enumerate() {
            steps.push(Step::read(Members::of(members.reading, format!("steps[{position}]"), step)));
        }
        let token = members.template("token");
        members.finish();
        Self { name, title, freshness, repeats, parameters, detected_by, steps, token, own: true }
    }

    /// The requests that a run can send.
    pub fn requests(&self) -> impl Iterator<Item = &Request> {
        self.steps.iter().filter_map(|step| match &step.action {
            Action::Request(request) => Some(&**request),
            _ => None,
        })
    }
}

fn parameters(members: &mut Members<'_, '_>) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    for (name, about) in members.object("parameters") {
        let path = format!("parameters.{name}");
        if !is_name(name) {
            members.error(&path, "must be named by lower-case letters, digits and `_`");
        }
        let mut about = Members::of(members.reading, path, about);
        let default = about.optional_text("default");
        let required = about.boolean("required");
        about.take("description");
        about.finish();
        parameters.push(Parameter { name: name.clone(), default, required });
    }
    parameters
}

impl Step {
    fn read(mut members: Members<'_, '_>) -> Self {
        let name = members.optional_text("as");
        let optional = members.boolean("optional");
        let when = members.known_names("when");
        let unless = members.known_names("unless");
        let absent = members.optional_text("absent");
        let mut gives: Vec<String> = name.iter().cloned().collect();
        let mut named = true;
        let action = if let Some(variable) = members.optional_template("variable") {
            Action::Variable(variable)
        } else if let Some(file) = members.optional_template("file") {
            Action::File(file)
        } else if let Some(value) = members.optional_template("set") {
            Action::Set { value, encoded: members.boolean("encoded") }
        } else if let Some(request) = members.inside("request") {
            named = false;
            let request = Request::read(request);
            gives.extend(request.take.iter().map(|(name, _)| name.clone()));
            Action::Request(Box::new(request))
        } else if let Some(assertion) = members.inside("sign") {
            Action::Sign(Box::new(Assertion::read(assertion)))
        } else {
            named = false;
            let message = members.optional_text("fail");
            if message.is_none() {
                members.error("", "must have one of variable, file, set, request, sign and fail");
            }
            Action::Fail(message.unwrap_or_default())
        };
        if named != name.is_some() {
            members.error("as", if named { "is missing" } else { "has nothing to name" });
        }
        if let Some(wrong) = gives.iter().find(|name| !is_name(name)) {
            members.error("as", &format!("must be lower-case letters, digits and `_`, not {wrong}"));
        }
        members.reading.known.append(&mut gives);
        members.finish();
        Self { action, name, optional, when, unless, absent }
    }
}

impl Request {
    fn read(mut members: Members<'_, '_>) -> Self {
        let method = members.text("method");
        if !METHODS.contains(&method.as_str()) {
            members.error("method", "must be GET, POST or PUT");
        }
        let url = members.template("url");
        let query = members.templates("query");
        let headers = members.templates("headers");
        if let Some((name, _)) = headers.iter().find(|(name, _)| !is_field_name(name)) {
            members.error("headers", &format!("has the name {name}, which a recipe cannot set"));
        }
        let ca_file = members.optional_template("ca_file");
        let body = match (members.has("form"), members.take("json")) {
            (false, None) => Body::None,
            (true, None) => Body::Form(members.templates("form")),
            (false, Some(json)) => {
                members.check_json(json);
                Body::Json(json.clone())
            }
            (true, Some(_)) => {
                members.error("json", "cannot be there beside form");
                Body::None
            }
        };
        let mut take = Vec::new();
        for (name, place) in members.texts("take") {
            match Place::parse(&place) {
                Some(place) => take.push((name, place)),
                None => {
                    let message = format!("must say `body`, a JSON pointer or `xml:NAME` for {name}, not {place}");
                    members.error("take", &message);
                }
            }
        }
        let refusals = members.texts("refusals");
        let aws = members.inside("aws").map(Aws::read);
        members.finish();
        Self { method, url, query, headers, ca_file, body, take, refusals, aws }
    }
}

impl Aws {
    fn read(mut members: Members<'_, '_>) -> Self {
        let aws = Self {
            service: members.template("service"),
            region: members.template("region"),
            key_id: members.template("key_id"),
            secret: members.template("secret"),
            session: members.template("session"),
        };
        members.finish();
        aws
    }
}

impl Assertion {
    fn read(mut members: Members<'_, '_>) -> Self {
        let assertion = Self {
            key: members.template("key"),
            algorithm: members.template("algorithm"),
            key_id: members.template("key_id"),
            issuer: members.template("issuer"),
            subject: members.template("subject"),
            audience: members.template("audience"),
            lifetime_s: 300,
        };
        members.finish();
        assertion
    }
}

/// What the transport sets itself is no recipe's business.
fn is_field_name(name: &str) -> bool {
    const TRANSPORT: [&str; 7] = ["host", "content-length", "connection", "transfer-encoding", "expect", "upgrade", "te"];
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.bytes().all(allowed) && !TRANSPORT.contains(&name)
}

/// What is shared by all that is read of one document.
struct Reading {
    /// The names of values that what is read next may need.
    known: Vec<String>,
    /// The first fault. Reading goes on behind it: one look at the end is less code than one behind each member.
    fault: Option<RecipeError>,
}

/// An object being read: every key that nobody asked for is an error in the end.
struct Members<'a, 'r> {
    reading: &'r mut Reading,
    path: String,
    values: Option<&'a Map<String, Value>>,
    asked: Vec<&'static str>,
}

impl<'a, 'r> Members<'a, 'r> {
    fn of(reading: &'r mut Reading, path: String, value: &'a Value) -> Self {
        let mut members = Self { reading, path, values: value.as_object(), asked: Vec::new() };
        if members.values.is_none() {
            members.error("", "must be an object");
        }
        members
    }

    fn error(&mut self, name: &str, message: &str) {
        if self.reading.fault.is_none() {
            let joint = if self.path.is_empty() || name.is_empty() { "" } else { "." };
            self.reading.fault = Some(RecipeError { field: [&self.path, joint, name].concat(), message: message.to_owned() });
        }
    }

    fn has(&self, name: &str) -> bool {
        self.values.is_some_and(|values| values.contains_key(name))
    }

    fn take(&mut self, name: &'static str) -> Option<&'a Value> {
        self.asked.push(name);
        self.values?.get(name)
    }

    fn inside<'b>(&'b mut self, name: &'static str) -> Option<Members<'a, 'b>> {
        let value = self.take(name)?;
        let path = [self.path.as_str(), ".", name].concat();
        Some(Members::of(self.reading, path, value))
    }

    fn optional_text(&mut self, name: &'static str) -> Option<String> {
        let value = self.take(name)?;
        let text = value.as_str().filter(|text| !text.is_empty());
        if text.is_none() {
            self.error(name, "must be a text that is not empty");
        }
        text.map(str::to_owned)
    }

    fn text(&mut self, name: &'static str) -> String {
        let text = self.optional_text(name);
        if text.is_none() {
            self.error(name, "is missing");
        }
        text.unwrap_or_default()
    }

    fn boolean(&mut self, name: &'static str) -> bool {
        let value = self.take(name);
        let said = value.and_then(Value::as_bool);
        if value.is_some() && said.is_none() {
            self.error(name, "must be true or false");
        }
        said.unwrap_or_default()
    }

    fn list(&mut self, name: &'static str) -> &'a [Value] {
        let value = self.take(name);
        let list = value.and_then(Value::as_array);
        if value.is_some() && list.is_none() {
            self.error(name, "must be a list");
        }
        list.map_or(&[], Vec::as_slice)
    }

    fn object(&mut self, name: &'static str) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
        let value = self.take(name);
        let object = value.and_then(Value::as_object);
        if value.is_some() && object.is_none() {
            self.error(name, "must be an object");
        }
        object.into_iter().flatten()
    }

    fn texts(&mut self, name: &'static str) -> Vec<(String, String)> {
        let mut texts = Vec::new();
        for (key, value) in self.object(name) {
            match value.as_str() {
                Some(text) => texts.push((key.clone(), text.to_owned())),
                None => self.error(name, "must be an object of texts"),
            }
        }
        texts
    }

    fn names_of(&mut self, field: &str, value: &Value) -> Vec<String> {
        let names = value.as_array().map(|names| names.iter().map(|name| name.as_str().map(str::to_owned)).collect());
        let names = names.flatten();
        if names.is_none() {
            self.error(field, "must be a list of names");
        }
        names.unwrap_or_default()
    }

    fn known_names(&mut self, name: &'static str) -> Vec<String> {
        let Some(listed) = self.take(name) else { return Vec::new() };
        let names = self.names_of(name, listed);
        if let Some(unknown) = names.iter().find(|name| !self.reading.known.contains(name)) {
            self.error(name, &format!("names {unknown}, which no earlier step gives"));
        }
        names
    }

    fn check(&mut self, name: &str, text: &str) -> Template {
        match Template::parse(text) {
            Ok(template) => {
                let unknown = template.holes().find(|hole| !self.reading.known.iter().any(|known| known == hole));
                if let Some(hole) = unknown {
                    self.error(name, &format!("needs {hole}, which neither a parameter nor an earlier step gives"));
                }
                template
            }
            Err(message) => {
                self.error(name, message);
                Template::default()
            }
        }
    }

    fn check_json(&mut self, value: &Value) {
        match value {
            Value::String(text) => drop(self.check("json", text)),
            Value::Array(items) => items.iter().for_each(|item| self.check_json(item)),
            Value::Object(object) => object.values().for_each(|value| self.check_json(value)),
            _ => {}
        }
    }

    fn optional_template(&mut self, name: &'static str) -> Option<Template> {
        let text = self.optional_text(name)?;
        Some(self.check(name, &text))
    }

    fn template(&mut self, name: &'static str) -> Template {
        let text = self.text(name);
        self.check(name, &text)
    }

    fn templates(&mut self, name: &'static str) -> Vec<(String, Template)> {
        let texts = self.texts(name);
        texts.into_iter().map(|(key, text)| (key, self.check(name, &text))).collect()
    }

    fn finish(mut self) {
        let unknown = self.values.and_then(|values| values.keys().find(|key| !self.asked.iter().any(|asked| asked == key)));
        if let Some(unknown) = unknown {
            self.error(unknown, "is not known here");
        }
    }
}
