//! The configuration document: parsed once, into values that cannot be wrong.
//!
//! Its reference for people and editors is `wit/configuration.schema.json`. Unknown keys are refused, with the nearest known
//! key in the message.

use wif_document::{BaseUrl, Fields, looks_like_jwt, looks_like_key};
use wif_recipes::Recipe;

use crate::contract::{ConfigurationError, Field};
use crate::login::Login;
use crate::shapes::is_placeholder_id;
use crate::{RECIPES, Secret, hash_of, id_of};

/// The audience that an identity token carries unless the federation rule says otherwise.
pub(crate) const DEFAULT_AUDIENCE: &str = "https://api.anthropic.com";

/// The callable by which a host runs the program that the configuration names.
pub(crate) const EXECUTABLE: &str = "executable";

/// The callable by which a host asks the SPIFFE Workload API.
pub(crate) const SPIFFE: &str = "spiffe";

/// A whole configuration.
#[derive(Debug, Clone)]
pub(crate) struct Configuration {
    /// Where the API is. Without it discovery may find one; otherwise the vendor's.
    pub(crate) base_url: Option<BaseUrl>,
    /// Whether the first exchange waits for the first caller.
    pub(crate) prefetch: bool,
    /// How long a caller waits for a running exchange in the mandatory window, in milliseconds.
    pub(crate) wait_at_most_ms: u32,
    /// How long one request to the token endpoint may take, in milliseconds.
    pub(crate) exchange_timeout_ms: u32,
    /// Where the credential comes from.
    pub(crate) credential: Credential,
}

/// Where the credential comes from.
#[derive(Debug, Clone)]
pub(crate) enum Credential {
    /// Variables and profiles, by precedence.
    Discover(Discover),
    /// An exchange of identity tokens.
    Federation(Federation),
    /// A bearer token that somebody else issues.
    Bearer(Bearer),
}

/// Limits to discovery.
#[derive(Debug, Clone, Default)]
pub(crate) struct Discover {
    /// The directory of profiles, instead of the usual ones.
    pub(crate) config_dir: Option<String>,
    /// The profile to use, whatever the variables say.
    pub(crate) profile: Option<String>,
    /// What it means that a static credential in a variable hides a federation.
    pub(crate) shadowing: Shadowing,
    /// In which header field an API key is sent.
    pub(crate) api_key_in: KeyHeader,
}

/// What it means that a static credential in a variable hides a federation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Shadowing {
    /// A warning.
    #[default]
    Warn,
    /// An error.
    Refuse,
}

/// In which header field an API key is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum KeyHeader {
    /// `authorization: Bearer …`, as the vendor's clients of today do.
    #[default]
    Authorization,
    /// `x-api-key`, as they did before, and as some gateways want it.
    XApiKey,
}

/// An exchange of identity tokens.
#[derive(Debug, Clone)]
pub(crate) struct Federation {
    /// `fdrl_…`
    pub(crate) rule: String,
    /// A UUID.
    pub(crate) organization: String,
    /// `svac_…`
    pub(crate) service_account: Option<String>,
    /// `wrkspc_…` or `default`.
    pub(crate) workspace: Option<String>,
    /// Where identity tokens come from.
    pub(crate) identity_token: IdentityTokenSource,
    /// Whether one may be exchanged again.
    pub(crate) reuse: Reuse,
}

/// Where identity tokens come from.
#[derive(Debug, Clone)]
pub(crate) enum IdentityTokenSource {
    /// A file that its owner rotates.
    File(String),
    /// An environment variable.
    Variable(String),
    /// The configuration itself.
    Literal(Secret),
    /// A callable of the embedding program, or of the host itself: [`EXECUTABLE`] or [`SPIFFE`].
    Callable {
        /// Its name.
        name: String,
        /// What it is asked for.
        audience: String,
        /// What it answers with.
        freshness: Freshness,
    },
    /// A key that stays with the host signs them.
    Signer(Box<Signer>),
    /// A platform, by its recipe.
    Recipe(Box<RecipeSource>),
}

/// A source that is a recipe.
#[derive(Debug, Clone)]
pub(crate) struct RecipeSource {
    /// Which.
    pub(crate) platform: Platform,
    /// What the configuration says for its parameters.
    pub(crate) given: Vec<(String, String)>,
}

/// Which recipe it is.
#[derive(Debug, Clone)]
pub(crate) enum Platform {
    /// This one.
    Is(Box<Recipe>),
    /// The variables tell.
    Auto,
}

/// Whether each read gives another identity token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Each read mints one.
    Minted,
    /// Reads show the same one until it is rotated.
    Shared,
}

/// How self-issued identity tokens look.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    /// Which key of the host.
    pub(crate) key: String,
    /// The JWS algorithm.
    pub(crate) algorithm: String,
    /// Header `kid`.
    pub(crate) key_id: String,
    /// Claim `iss`.
    pub(crate) issuer: String,
    /// Claim `sub`.
    pub(crate) subject: String,
    /// Claim `aud`.
    pub(crate) audience: String,
    /// `exp` minus `iat`, in seconds.
    pub(crate) lifetime_s: u32,
}

/// Whether an identity token may be exchanged again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// If it has no `jti`.
    Auto,
    /// Always: the issuer does not check.
    Allow,
    /// Never.
    Deny,
}

/// A bearer token that somebody else issues.
#[derive(Debug, Clone)]
pub(crate) enum Bearer {
    /// The token itself.
    Literal(Secret),
    /// An API key. Only discovery finds these.
    ApiKey { key: Secret, in_header: KeyHeader },
    /// A token that was made once, to live for a year. Only discovery finds these.
    LongLived(Secret),
    /// Of a person's login. Only discovery finds these.
    Login(Box<Login>),
    /// A callable of the embedding program.
    Callable(String),
}

impl Configuration {
    /// Reads the document.
    pub(crate) fn parse(document: &str) -> Result<Self, ConfigurationError> {
        let mut fields = Fields::read(document)?;
        let base_url = fields.base_url("base_url")?;
        let prefetch = fields.boolean("prefetch", true)?;
        let wait_at_most_ms = fields.number("wait_at_most_ms", 1_000, 0..=30_000)?;
        let exchange_timeout_ms = fields.number("exchange_timeout_ms", 30_000, 1_000..=120_000)?;
        let discover = fields.object("discover")?;
        let federation = fields.object("federation")?;
        let bearer = fields.object("bearer")?;
        fields.finish()?;
        let credential = match (discover, federation, bearer) {
            (None, None, None) => Credential::Discover(Discover::default()),
            (Some(fields), None, None) => Credential::Discover(Discover::parse(fields)?),
            (None, Some(fields), None) => Credential::Federation(Federation::parse(fields)?),
            (None, None, Some(fields)) => Credential::Bearer(Bearer::parse(fields)?),
            _ => {
                return Err(ConfigurationError {
                    field: String::new(),
                    message: "must have at most one of `discover`, `federation` and `bearer`".to_owned(),
                });
            }
        };
        Ok(Self { base_url, prefetch, wait_at_most_ms, exchange_timeout_ms, credential })
    }
}

impl Discover {
    fn parse(mut fields: Fields) -> Result<Self, ConfigurationError> {
        let config_dir = fields.optional_text("config_dir")?;
        let profile = fields.optional_text("profile")?;
        if let Some(name) = &profile {
            check_profile_name(name).map_err(|message| fields.error("profile", message))?;
        }
        let shadowing = match fields.choice("shadowing", &["warn", "refuse"])? {
            Some(1) => Shadowing::Refuse,
            _ => Shadowing::Warn,
        };
        let api_key_in = match fields.choice("api_key_in", &["authorization", "x-api-key"])? {
            Some(1) => KeyHeader::XApiKey,
            _ => KeyHeader::Authorization,
        };
        fields.finish()?;
        Ok(Self { config_dir, profile, shadowing, api_key_in })
    }
}

impl Federation {
    fn parse(mut fields: Fields) -> Result<Self, ConfigurationError> {
        let rule = fields.text("federation_rule_id")?;
        let organization = fields.text("organization_id")?;
        let service_account = fields.optional_text("service_account_id")?;
        let workspace = fields.optional_text("workspace_id")?;
        let source = fields
            .object("identity_token")?
            .ok_or_else(|| fields.missing("identity_token", "is missing: say where identity tokens come from"))?;
        let identity_token = IdentityTokenSource::parse(source)?;
        let reuse = match fields.choice("assertion_reuse", &["auto", "allow", "deny"])? {
            Some(1) => Reuse::Allow,
            Some(2) => Reuse::Deny,
            _ => Reuse::Auto,
        };
        let federation = Self { rule, organization, service_account, workspace, identity_token, reuse };
        federation.check().map_err(|(field, message)| fields.error(field, message))?;
        fields.finish()?;
        Ok(federation)
    }

    /// Checks the shapes of the identifiers: the field's name and what is wrong with it.
    pub(crate) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let ids = [
            ("federation_rule_id", Some(&self.rule)),
            ("organization_id", Some(&self.organization)),
            ("service_account_id", self.service_account.as_ref()),
            ("workspace_id", self.workspace.as_ref()),
        ];
        // First: few placeholders have the shape of an id, and their shape is not what is wrong with them.
        if let Some((field, _)) = ids.into_iter().find(|(_, id)| id.is_some_and(|id| is_placeholder_id(id))) {
            return Err((field, "is a placeholder, as in a guide: copy the id from the console"));
        }
        if !tagged(&self.rule, "fdrl_") {
            return Err(("federation_rule_id", "must be a tagged id such as fdrl_01AbCd: copy it from the federation rule"));
        }
        if !is_uuid(&self.organization) {
            return Err((
                "organization_id",
                "must be a bare UUID such as 3f2b8c1e-0000-4000-8000-1234567890ab, without a prefix",
            ));
        }
        if self.service_account.as_deref().is_some_and(|id| !tagged(id, "svac_")) {
            return Err(("service_account_id", "must be a tagged id such as svac_01AbCd"));
        }
        if self.workspace.as_deref().is_some_and(|id| id != "default" && !tagged(id, "wrkspc_")) {
            return Err(("workspace_id", "must be a tagged id such as wrkspc_01AbCd, or the word default"));
        }
        Ok(())
    }

    /// A hash over every input here that changes the token.
    pub(crate) fn hash(&self, base_url: &BaseUrl) -> String {
        let workspace = self.workspace.as_deref();
        hash_of(&[
            Some("federation"),
            Some(&base_url.join("")),
            Some(&self.rule),
            Some(&self.organization),
            self.service_account.as_deref(),
            workspace,
            Some(&self.identity_token.identity()),
        ])
    }

    pub(crate) fn describe(&self) -> Vec<Field> {
        let mut fields = vec![
            field("credential", "federation"),
            field("federation_rule_id", &self.rule),
            field("organization_id", &self.organization),
        ];
        fields.extend(self.service_account.iter().map(|id| field("service_account_id", id)));
        fields.extend(self.workspace.iter().map(|id| field("workspace_id", id)));
        fields.push(field("identity_token", &self.identity_token.describe()));
        fields.push(field(
            "assertion_reuse",
            match self.reuse {
                Reuse::Auto => "auto",
                Reuse::Allow => "allow",
                Reuse::Deny => "deny",
            },
        ));
        fields
    }
}

impl IdentityTokenSource {
    /// Whether reads show the same identity token until it is rotated.
    #[must_use]
    pub(crate) fn shared(&self) -> bool {
        match self {
            Self::Signer(_) | Self::Callable { freshness: Freshness::Minted, .. } => false,
            Self::Recipe(_) => self.recipe().is_none_or(|recipe| recipe.freshness == wif_recipes::Freshness::Shared),
            _ => true,
        }
    }

    /// Its recipe, if it is one that is known.
    pub(crate) fn recipe(&self) -> Option<&Recipe> {
        match self {
            Self::Recipe(source) => match &source.platform {
                Platform::Is(recipe) => Some(recipe),
                Platform::Auto => None,
            },
            _ => None,
        }
    }

    /// Whether the configuration alone says whose identity tokens these are. Otherwise the source shows it.
    #[must_use]
    pub(crate) fn names_its_subject(&self) -> bool {
        matches!(self, Self::Literal(_) | Self::Signer(_))
    }

    /// Where it comes from, for people; no secret.
    #[must_use]
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::File(path) if path.starts_with('/') || path.contains(":\\") => format!("file {path}"),
            Self::File(path) => format!("file {path} (relative to the directory in which this program was started)"),
            Self::Variable(name) => format!("variable {name}"),
            Self::Literal(_) => "literal".to_owned(),
            Self::Callable { name, freshness, .. } => {
                let whose = if [EXECUTABLE, SPIFFE].contains(&name.as_str()) { "" } else { "callable " };
                let gives = if *freshness == Freshness::Minted { "mints" } else { "shared" };
                format!("{whose}{name} ({gives})")
            }
            Self::Signer(signer) => format!("key {} of issuer {}", signer.key, signer.issuer),
            Self::Recipe(source) => match &source.platform {
                Platform::Is(recipe) if self.shared() => format!("{} (shared)", recipe.name),
                Platform::Is(recipe) => format!("{} (mints)", recipe.name),
                Platform::Auto => "auto".to_owned(),
            },
        }
    }

    fn identity(&self) -> String {
        match self {
            Self::Literal(value) => hash_of(&[Some("literal"), Some(value.reveal())]),
            Self::Callable { name, audience, .. } => hash_of(&[Some("callable"), Some(name), Some(audience)]),
            Self::Signer(signer) => hash_of(&[
                Some("signer"),
                Some(&signer.key),
                Some(&signer.key_id),
                Some(&signer.issuer),
                Some(&signer.subject),
                Some(&signer.audience),
            ]),
            Self::Recipe(source) => {
                let given = source.given.iter().flat_map(|(name, value)| [Some(name.as_str()), Some(value.as_str())]);
                let name = self.recipe().map_or("auto", |recipe| recipe.name.as_str());
                let parts: Vec<Option<&str>> = [Some("recipe"), Some(name)].into_iter().chain(given).collect();
                hash_of(&parts)
            }
            Self::File(path) => format!("file {path}"),
            Self::Variable(_) => self.describe(),
        }
    }

    fn parse(mut fields: Fields) -> Result<Self, ConfigurationError> {
        let own = ["file", "variable", "literal", "callable", "signer", EXECUTABLE];
        let mut sources = own.to_vec();
        if RECIPES {
            sources.extend(["auto", "http"].into_iter().chain(wif_recipes::names()));
        }
        let audience = |fields: &mut Fields| {
            fields.optional_text("audience").map(|audience| audience.unwrap_or_else(|| DEFAULT_AUDIENCE.to_owned()))
        };
        let source = match fields.choice("source", &sources)? {
            Some(0) => Self::File(fields.pointer("path")?),
            Some(1) => Self::Variable(fields.pointer("name")?),
            Some(2) => Self::Literal(Secret::from(fields.text("value")?)),
            Some(position @ (3 | 5)) => Self::Callable {
                name: if position == 3 {
                    fields.optional_text("name")?.unwrap_or_else(|| "default".to_owned())
                } else {
                    check_command(&mut fields)?;
                    EXECUTABLE.to_owned()
                },
                audience: audience(&mut fields)?,
                freshness: match fields.choice("freshness", &["minted", "shared"])? {
                    Some(1) => Freshness::Shared,
                    Some(_) => Freshness::Minted,
                    None if position == 5 => Freshness::Minted,
                    None => {
                        return Err(fields.error(
                            "freshness",
                            "is missing: say whether each call has a new token `minted`, or shows a `shared` one",
                        ));
                    }
                },
            },
            Some(4) => Self::Signer(Box::new(Signer {
                key: fields.optional_text("key")?.unwrap_or_else(|| "default".to_owned()),
                algorithm: {
                    const ALGORITHMS: [&str; 8] = ["ES256", "ES384", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
                    let chosen = fields.choice("algorithm", &ALGORITHMS)?.unwrap_or(0);
                    ALGORITHMS[chosen].to_owned()
                },
                key_id: fields.text("key_id")?,
                issuer: fields.text("issuer")?,
                subject: fields.text("subject")?,
                audience: audience(&mut fields)?,
                lifetime_s: fields.number("lifetime_s", 600, 60..=86_400)?,
            })),
            Some(6) if RECIPES => {
                Self::Recipe(Box::new(RecipeSource { platform: Platform::Auto, given: fields.rest_of_texts()? }))
            }
            Some(position) if RECIPES => {
                let recipe = RecipeSource::parse(&mut fields, sources[position])?;
                let given = |name: &str| recipe.given.iter().find(|(given, _)| given == name).map(|(_, value)| value);
                // The recipe reads a file. Without one it is the host that asks.
                if sources[position] == SPIFFE && given("file").is_none() {
                    let audience = given("audience").map_or(DEFAULT_AUDIENCE, String::as_str).to_owned();
                    Self::Callable { name: SPIFFE.to_owned(), audience, freshness: Freshness::Shared }
                } else {
                    Self::Recipe(Box::new(recipe))
                }
            }
            _ => return Err(fields.error("source", &format!("is missing: one of {}", sources.join(", ")))),
        };
        fields.finish()?;
        Ok(source)
    }
}

/// Which program is run is for the host to read. Here it is checked, so that every host refuses the same.
fn check_command(fields: &mut Fields) -> Result<(), ConfigurationError> {
    let command = fields.optional_texts("command")?.ok_or_else(|| fields.error("command", "is missing"))?;
    fields.optional_texts("environment")?;
    if !command[0].starts_with('/') && !command[0].contains(":\\") {
        return Err(fields.error("command", "must begin with the absolute path of a program"));
    }
    Ok(())
}

impl RecipeSource {
    fn parse(fields: &mut Fields, name: &str) -> Result<Self, ConfigurationError> {
        let recipe = if name == "http" {
            let document = fields.take("recipe").ok_or_else(|| fields.error("recipe", "is missing"))?;
            let mut recipe = Recipe::parse(&document).map_err(|error| {
                let path = if error.field.is_empty() { String::new() } else { format!(".{}", error.field) };
                ConfigurationError { field: format!("{}{path}", fields.name("recipe")), message: error.message }
            })?;
            // Whatever it calls itself: a host grants a platform by its name.
            name.clone_into(&mut recipe.name);
            recipe
        } else {
            wif_recipes::platform(name).ok_or_else(|| fields.error("source", "is not known"))?
        };
        let mut given = Vec::new();
        for parameter in &recipe.parameters {
            match fields.optional_text_named(&parameter.name)? {
                Some(value) => given.push((parameter.name.clone(), value)),
                None if parameter.required => return Err(fields.error(&parameter.name, "is missing")),
                None => {}
            }
        }
        Ok(Self { platform: Platform::Is(Box::new(recipe)), given })
    }
}

impl Bearer {
    fn parse(mut fields: Fields) -> Result<Self, ConfigurationError> {
        let bearer = match fields.choice("source", &["literal", "callable"])? {
            Some(0) => Self::Literal(Secret::from(fields.text("value")?)),
            Some(_) => Self::Callable(fields.optional_text("name")?.unwrap_or_else(|| "default".to_owned())),
            None => return Err(fields.error("source", "is missing: literal or callable")),
        };
        fields.finish()?;
        Ok(bearer)
    }

    pub(crate) fn hash(&self, base_url: &BaseUrl) -> String {
        let (kind, value) = match self {
            Self::Literal(value) => ("bearer-literal", id_of(value.reveal())),
            Self::LongLived(value) => ("bearer-long-lived", id_of(value.reveal())),
            Self::ApiKey { key, .. } => ("api-key", id_of(key.reveal())),
            Self::Login(login) => ("login", login.identity()),
            Self::Callable(name) => ("bearer-callable", name.clone()),
        };
        hash_of(&[Some(kind), Some(&base_url.join("")), Some(&value)])
    }

    pub(crate) fn describe(&self) -> Vec<Field> {
        match self {
            Self::Literal(_) => vec![field("credential", "bearer token, literal")],
            Self::LongLived(_) => vec![field("credential", "bearer token, static and long-lived")],
            Self::ApiKey { in_header, .. } => {
                let header = match in_header {
                    KeyHeader::Authorization => "authorization",
                    KeyHeader::XApiKey => "x-api-key",
                };
                vec![field("credential", "API key"), field("sent_in", header)]
            }
            Self::Login(login) => login.describe(),
            Self::Callable(name) => vec![field("credential", &format!("bearer token, callable {name}"))],
        }
    }
}

/// Whether `name` can be the name of a profile; otherwise what is wrong with it.
pub(crate) fn check_profile_name(name: &str) -> Result<(), &'static str> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    // It will be shown.
    if looks_like_jwt(name) || looks_like_key(name) {
        return Err("holds a key or a token, where only the name of a profile belongs");
    }
    if name.is_empty() || name.len() > 128 || name.starts_with('.') || !name.bytes().all(fine) {
        return Err("must be 1 to 128 letters, digits, `_`, `-` or `.`, not beginning with a dot");
    }
    Ok(())
}

pub(crate) fn field(name: &str, value: &str) -> Field {
    Field { name: name.to_owned(), value: value.to_owned() }
}

fn tagged(id: &str, prefix: &str) -> bool {
    id.strip_prefix(prefix).is_some_and(|rest| {
        (1..=128).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    })
}

fn is_uuid(id: &str) -> bool {
    let groups: Vec<&str> = id.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEDERATION: &str = r#"{
        "federation": {
            "federation_rule_id": "fdrl_1", "organization_id": "00000000-0000-4000-8000-000000000000",
            "identity_token": { "source": "file", "path": "/token" }
        }
    }"#;

    fn error_of(document: &str) -> (String, String) {
        let error = Configuration::parse(document).unwrap_err();
        (error.field, error.message)
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        let (field, message) = error_of(&FEDERATION.replace("organization_id", "organisation_id"));
        assert_eq!(field, "federation.organization_id");
        assert_eq!(message, "is missing; is `organisation_id` meant to be it?");
        let (field, message) = error_of(&FEDERATION.replace("identity_token", "identity_tokn"));
        assert_eq!(field, "federation.identity_token");
        assert_eq!(message, "is missing; is `identity_tokn` meant to be it?");
        let (_, message) = error_of(&FEDERATION.replace("organization_id", "org"));
        assert_eq!(message, "is missing", "a key that looks like no other is not proposed");
        let (field, message) = error_of(r#"{ "base_ulr": "https://x.example" }"#);
        assert_eq!(field, "base_ulr");
        assert!(message.contains("`base_url`"), "{message}");
    }

    /// A13: a malformed id is refused when the configuration is read, by the field's name.
    #[test]
    fn malformed_ids_are_refused_by_name() {
        for (from, to, field) in [
            ("fdrl_1", "rule_1", "federation.federation_rule_id"),
            ("fdrl_1", "fdrl_", "federation.federation_rule_id"),
            ("fdrl_1", "fdrl_a b", "federation.federation_rule_id"),
            ("00000000-", "org_0000-", "federation.organization_id"),
            ("\"identity_token\"", "\"workspace_id\": \"Default\", \"identity_token\"", "federation.workspace_id"),
            ("\"identity_token\"", "\"service_account_id\": \"x\", \"identity_token\"", "federation.service_account_id"),
            ("/token", "", "federation.identity_token.path"),
            ("\"file\"", "\"url\"", "federation.identity_token.source"),
        ] {
            assert_eq!(error_of(&FEDERATION.replace(from, to)).0, field);
        }
    }

    #[test]
    fn a_document_that_is_not_json_is_not_quoted() {
        let (_, message) = error_of("{ \"bearer\": canary");
        assert!(!message.contains("canary"), "{message}");
    }

    /// C12: configurations that differ in any input have different hashes, however their parts are split.
    #[test]
    fn hashes_tell_every_input_apart() {
        let key = |document: &str| match Configuration::parse(document).unwrap().credential {
            Credential::Federation(federation) => federation.hash(&BaseUrl::default()),
            _ => unreachable!("the documents of this test are federations"),
        };
        let mut keys: Vec<String> = [
            FEDERATION.to_owned(),
            FEDERATION.replace("fdrl_1", "fdrl_2"),
            FEDERATION.replace("00000000-", "00000001-"),
            FEDERATION.replace("/token", "/token2"),
            FEDERATION.replace("\"identity_token\"", "\"workspace_id\": \"default\", \"identity_token\""),
            FEDERATION.replace("\"identity_token\"", "\"service_account_id\": \"svac_1\", \"identity_token\""),
        ]
        .iter()
        .map(|document| key(document))
        .collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 6);
    }

    #[test]
    fn a_source_says_where_it_is_and_whether_it_mints() {
        let described = |source: &str| {
            let source = format!(r#"{{ "source": {source} }}"#);
            let document = FEDERATION.replace(r#"{ "source": "file", "path": "/token" }"#, &source);
            match Configuration::parse(&document).unwrap().credential {
                Credential::Federation(federation) => federation.identity_token.describe(),
                other => panic!("{other:?}"),
            }
        };
        let relative = "(relative to the directory in which this program was started)";
        for (source, says) in [
            (r#""file", "path": "/run/token""#, "file /run/token".to_owned()),
            (r#""file", "path": "C:\\run\\token""#, "file C:\\run\\token".to_owned()),
            (r#""file", "path": "run/token""#, format!("file run/token {relative}")),
            (r#""callable", "name": "a", "freshness": "minted""#, "callable a (mints)".to_owned()),
            (r#""callable", "name": "a", "freshness": "shared""#, "callable a (shared)".to_owned()),
            (r#""executable", "command": ["/bin/x"]"#, "executable (mints)".to_owned()),
            (r#""executable", "command": ["/bin/x"], "freshness": "shared""#, "executable (shared)".to_owned()),
            (r#""spiffe""#, "spiffe (shared)".to_owned()),
            (r#""spiffe", "file": "/run/token""#, "spiffe (shared)".to_owned()),
            (r#""github-actions""#, "github-actions (mints)".to_owned()),
            (r#""gitlab""#, "gitlab (shared)".to_owned()),
            (r#""auto""#, "auto".to_owned()),
        ] {
            assert_eq!(described(source), says);
        }
    }

    /// Only a program that is run is known to give a new one each time.
    #[test]
    fn a_callable_says_whether_it_mints() {
        let (field, message) = error_of(&FEDERATION.replace(r#""file", "path": "/token""#, r#""callable", "name": "a""#));
        assert_eq!(field, "federation.identity_token.freshness");
        assert!(message.starts_with("is missing: say whether"), "{message}");
    }

    #[test]
    fn a_program_is_named_by_its_absolute_path() {
        let executable = |command: &str| {
            let source = format!(r#""source": "executable", "command": {command}"#);
            error_of(&FEDERATION.replace(r#""source": "file", "path": "/token""#, &source))
        };
        for command in [r#"["x"]"#, r#"["./x"]"#, r#"["x", "/bin/x"]"#] {
            let (field, message) = executable(command);
            assert_eq!(field, "federation.identity_token.command");
            assert_eq!(message, "must begin with the absolute path of a program", "{command}");
        }
        assert_eq!(executable(r#"["/x"], "environment": []"#).0, "federation.identity_token.environment");
        assert_eq!(executable(r#"["/x"], "name": "y""#).0, "federation.identity_token.name");
        let (field, message) = error_of(&FEDERATION.replace(r#""file", "path": "/token""#, "\"executable\""));
        assert_eq!((field.as_str(), message.as_str()), ("federation.identity_token.command", "is missing"));
    }

    #[test]
    fn what_a_platform_requires_is_missed_by_name() {
        let vault = FEDERATION.replace(r#""source": "file", "path": "/token""#, r#""source": "vault""#);
        assert_eq!(error_of(&vault), ("federation.identity_token.role".to_owned(), "is missing".to_owned()));
    }

    /// A12, A13: up to the bounds themselves.
    #[test]
    fn ids_and_names_have_bounds_and_a_grammar() {
        let longest = "a".repeat(128);
        assert!(tagged(&format!("fdrl_{longest}"), "fdrl_") && tagged("fdrl_A-b_9", "fdrl_"));
        for id in ["fdrl_", "fdrl_a.b", "fdrl_a b", "svac_1", &format!("fdrl_{longest}a")] {
            assert!(!tagged(id, "fdrl_"), "{id}");
        }
        for name in ["a", "a.b_c-9", &longest] {
            assert_eq!(check_profile_name(name), Ok(()), "{name}");
        }
        for name in ["", ".a", "..", "a/b", "a b", &format!("{longest}a")] {
            assert!(check_profile_name(name).is_err(), "{name}");
        }
    }
}
