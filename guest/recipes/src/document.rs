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
    /// What a configuration may say.
    pub parameters: Vec<Parameter>,
    /// Variables by which the platform is recognised: one of these sets, each wholly set.
    pub detected_by: Vec<Vec<String>>,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// What is the identity token in the end.
    pub token: Template,
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
    Set(Template),
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

    /// The names of all header fields that the request can have.
    pub fn header_names(&self) -> impl Iterator<Item = &str> {
        let own = self.headers.iter().map(|(name, _)| name.as_str());
        let aws: &[&str] = if self.aws.is_some() { &["authorization", "x-amz-date", "x-amz-security-token"] } else { &[] };
        let body: &[&str] = if matches!(self.body, Body::None) { &[] } else { &["content-type"] };
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
        let mut members = Members::of("", document)?;
        let name = members.text("name")?;
        let title = members.optional_text("title")?.unwrap_or_else(|| name.clone());
        let freshness = match members.text("freshness")?.as_str() {
            "minted" => Freshness::Minted,
            "shared" => Freshness::Shared,
            _ => return Err(members.error("freshness", "must be minted or shared")),
        };
        let parameters = parameters(&mut members)?;
        let detected_by =
            members.list("detect")?.iter().map(|set| names_of(&members, "detect", set)).collect::<Result<_, _>>()?;
        let mut known: Vec<String> = parameters.iter().map(|parameter| parameter.name.clone()).collect();
        let list = members.list("steps")?;
        if list.len() > MAX_STEPS {
            return Err(members.error("steps", "are more than 64"));
        }
        let mut steps = Vec::new();
        for (position, step) in list.iter().enumerate() {
            steps.push(Step::parse(&format!("steps[{position}]"), step, &mut known)?);
        }
        let token = members.template("token", &known)?.ok_or_else(|| members.error("token", "is missing"))?;
        members.finish()?;
        Ok(Self { name, title, freshness, parameters, detected_by, steps, token })
    }

    /// The requests that a run can send.
    pub fn requests(&self) -> impl Iterator<Item = &Request> {
        self.steps.iter().filter_map(|step| match &step.action {
            Action::Request(request) => Some(&**request),
            _ => None,
        })
    }
}

fn parameters(members: &mut Members) -> Result<Vec<Parameter>, RecipeError> {
    let Some(listed) = members.take("parameters") else { return Ok(Vec::new()) };
    let Value::Object(listed) = listed else { return Err(members.error("parameters", "must be an object")) };
    let mut parameters = Vec::new();
    for (name, about) in listed {
        let path = members.name(&format!("parameters.{name}"));
        if !is_name(name) {
            return Err(RecipeError { field: path, message: "must be named by lower-case letters, digits and `_`".to_owned() });
        }
        let mut about = Members::of(&path, about)?;
        let default = about.optional_text("default")?;
        let required = about.boolean("required")?;
        about.take("description");
        about.finish()?;
        parameters.push(Parameter { name: name.clone(), default, required });
    }
    Ok(parameters)
}

impl Step {
    fn parse(path: &str, value: &Value, known: &mut Vec<String>) -> Result<Self, RecipeError> {
        let mut members = Members::of(path, value)?;
        let name = members.optional_text("as")?;
        let optional = members.boolean("optional")?;
        let conditions = |members: &mut Members, name: &'static str, known: &[String]| -> Result<Vec<String>, RecipeError> {
            let Some(listed) = members.take(name) else { return Ok(Vec::new()) };
            let names = names_of(members, name, listed)?;
            match names.iter().find(|name| !known.contains(name)) {
                Some(unknown) => Err(members.error(name, &format!("names {unknown}, which no earlier step gives"))),
                None => Ok(names),
            }
        };
        let when = conditions(&mut members, "when", known)?;
        let unless = conditions(&mut members, "unless", known)?;
        let absent = members.optional_text("absent")?;
        let mut gives: Vec<String> = name.iter().cloned().collect();
        let action = if let Some(variable) = members.template("variable", known)? {
            Action::Variable(variable)
        } else if let Some(file) = members.template("file", known)? {
            Action::File(file)
        } else if let Some(value) = members.template("set", known)? {
            Action::Set(value)
        } else if let Some(message) = members.optional_text("fail")? {
            Action::Fail(message)
        } else if let Some(request) = members.take("request") {
            let request = Request::parse(&members.name("request"), request, known)?;
            gives.extend(request.take.iter().map(|(name, _)| name.clone()));
            Action::Request(Box::new(request))
        } else if let Some(assertion) = members.take("sign") {
            Action::Sign(Box::new(Assertion::parse(&members.name("sign"), assertion, known)?))
        } else {
            return Err(members.error("", "must have one of variable, file, set, request, sign and fail"));
        };
        let named = matches!(action, Action::Variable(_) | Action::File(_) | Action::Set(_) | Action::Sign(_));
        if named != name.is_some() {
            return Err(members.error("as", if named { "is missing" } else { "has nothing to name" }));
        }
        if let Some(wrong) = gives.iter().find(|name| !is_name(name)) {
            return Err(members.error("as", &format!("must be lower-case letters, digits and `_`, not {wrong}")));
        }
        known.append(&mut gives);
        members.finish()?;
        Ok(Self { action, name, optional, when, unless, absent })
    }
}

impl Request {
    fn parse(path: &str, value: &Value, known: &[String]) -> Result<Self, RecipeError> {
        let mut members = Members::of(path, value)?;
        let method = members.text("method")?;
        if !METHODS.contains(&method.as_str()) {
            return Err(members.error("method", "must be GET, POST or PUT"));
        }
        let url = members.template("url", known)?.ok_or_else(|| members.error("url", "is missing"))?;
        let query = members.templates("query", known)?;
        let headers = members.templates("headers", known)?;
        if let Some((name, _)) = headers.iter().find(|(name, _)| !is_field_name(name)) {
            return Err(members.error("headers", &format!("has the name {name}, which a recipe cannot set")));
        }
        let ca_file = members.template("ca_file", known)?;
        let form = members.take("form").is_some();
        let form = if form { Some(members.templates("form", known)?) } else { None };
        let json = members.take("json").cloned();
        let body = match (form, json) {
            (None, None) => Body::None,
            (Some(form), None) => Body::Form(form),
            (None, Some(json)) => {
                check_json(&members, &json, known)?;
                Body::Json(json)
            }
            (Some(_), Some(_)) => return Err(members.error("json", "cannot be there beside form")),
        };
        let mut take = Vec::new();
        for (name, place) in members.texts("take")? {
            let place = Place::parse(&place).ok_or_else(|| {
                members.error("take", &format!("must say `body`, a JSON pointer or `xml:NAME` for {name}, not {place}"))
            })?;
            take.push((name, place));
        }
        let refusals = members.texts("refusals")?;
        let aws = members.take("aws").map(|aws| Aws::parse(&members.name("aws"), aws, known)).transpose()?;
        members.finish()?;
        Ok(Self { method, url, query, headers, ca_file, body, take, refusals, aws })
    }
}

impl Aws {
    fn parse(path: &str, value: &Value, known: &[String]) -> Result<Self, RecipeError> {
        let mut members = Members::of(path, value)?;
        let mut part = |name: &'static str| members.template(name, known)?.ok_or_else(|| members.error(name, "is missing"));
        let aws = Self {
            service: part("service")?,
            region: part("region")?,
            key_id: part("key_id")?,
            secret: part("secret")?,
            session: part("session")?,
        };
        members.finish()?;
        Ok(aws)
    }
}

impl Assertion {
    fn parse(path: &str, value: &Value, known: &[String]) -> Result<Self, RecipeError> {
        let mut members = Members::of(path, value)?;
        let mut part = |name: &'static str| members.template(name, known)?.ok_or_else(|| members.error(name, "is missing"));
        let assertion = Self {
            key: part("key")?,
            algorithm: part("algorithm")?,
            key_id: part("key_id")?,
            issuer: part("issuer")?,
            subject: part("subject")?,
            audience: part("audience")?,
            lifetime_s: 300,
        };
        members.finish()?;
        Ok(assertion)
    }
}

/// What the transport sets itself is no recipe's business.
fn is_field_name(name: &str) -> bool {
    const TRANSPORT: [&str; 7] = ["host", "content-length", "connection", "transfer-encoding", "expect", "upgrade", "te"];
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.bytes().all(allowed) && !TRANSPORT.contains(&name)
}

fn check_json(members: &Members, value: &Value, known: &[String]) -> Result<(), RecipeError> {
    match value {
        Value::String(text) => members.check("json", text, known).map(drop),
        Value::Array(items) => items.iter().try_for_each(|item| check_json(members, item, known)),
        Value::Object(object) => object.values().try_for_each(|value| check_json(members, value, known)),
        _ => Ok(()),
    }
}

fn names_of(members: &Members, field: &str, value: &Value) -> Result<Vec<String>, RecipeError> {
    let names = value.as_array().map(|names| names.iter().map(|name| name.as_str().map(str::to_owned)).collect());
    names.flatten().ok_or_else(|| members.error(field, "must be a list of names"))
}

/// An object being read: every key that nobody asked for is an error in the end.
struct Members<'a> {
    path: String,
    values: &'a Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'a> Members<'a> {
    fn of(path: &str, value: &'a Value) -> Result<Self, RecipeError> {
        match value {
            Value::Object(values) => Ok(Self { path: path.to_owned(), values, known: Vec::new() }),
            _ => Err(RecipeError { field: path.to_owned(), message: "must be an object".to_owned() }),
        }
    }

    fn name(&self, name: &str) -> String {
        match (self.path.as_str(), name) {
            ("", name) => name.to_owned(),
            (path, "") => path.to_owned(),
            (path, name) => format!("{path}.{name}"),
        }
    }

    fn error(&self, name: &str, message: &str) -> RecipeError {
        RecipeError { field: self.name(name), message: message.to_owned() }
    }

    fn take(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        self.values.get(name)
    }

    fn optional_text(&mut self, name: &'static str) -> Result<Option<String>, RecipeError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
            Some(_) => Err(self.error(name, "must be a text that is not empty")),
        }
    }

    fn text(&mut self, name: &'static str) -> Result<String, RecipeError> {
        self.optional_text(name)?.ok_or_else(|| self.error(name, "is missing"))
    }

    fn boolean(&mut self, name: &'static str) -> Result<bool, RecipeError> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(self.error(name, "must be true or false")),
        }
    }

    fn list(&mut self, name: &'static str) -> Result<&'a [Value], RecipeError> {
        match self.take(name) {
            None => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(_) => Err(self.error(name, "must be a list")),
        }
    }

    fn texts(&mut self, name: &'static str) -> Result<Vec<(String, String)>, RecipeError> {
        let members = match self.take(name) {
            None => return Ok(Vec::new()),
            Some(Value::Object(members)) => members,
            Some(_) => return Err(self.error(name, "must be an object of texts")),
        };
        let text = |(key, value): (&String, &Value)| value.as_str().map(|value| (key.clone(), value.to_owned()));
        let texts = members.iter().map(text).collect::<Option<_>>();
        texts.ok_or_else(|| self.error(name, "must be an object of texts"))
    }

    fn check(&self, name: &str, text: &str, known: &[String]) -> Result<Template, RecipeError> {
        let template = Template::parse(text).map_err(|message| self.error(name, message))?;
        let unknown = template.holes().find(|hole| !known.iter().any(|known| known == hole)).map(str::to_owned);
        match unknown {
            Some(hole) => Err(self.error(name, &format!("needs {hole}, which neither a parameter nor an earlier step gives"))),
            None => Ok(template),
        }
    }

    fn template(&mut self, name: &'static str, known: &[String]) -> Result<Option<Template>, RecipeError> {
        self.optional_text(name)?.map(|text| self.check(name, &text, known)).transpose()
    }

    fn templates(&mut self, name: &'static str, known: &[String]) -> Result<Vec<(String, Template)>, RecipeError> {
        let texts = self.texts(name)?;
        texts.into_iter().map(|(key, text)| Ok((key, self.check(name, &text, known)?))).collect()
    }

    fn finish(self) -> Result<(), RecipeError> {
        match self.values.keys().find(|key| !self.known.iter().any(|known| known == key)) {
            Some(unknown) => Err(self.error(unknown, "is not known here")),
            None => Ok(()),
        }
    }
}
