//! What an organization has registered: workspaces, service accounts, issuers and rules, in one document.
//!
//! The names are those of the vendor's Admin API, so that what is tried here can be created there. The schema of the
//! document is `resources.schema.json` in this crate; [`Resources::parse`] refuses what the real service would refuse when
//! a resource is created, and says where. One thing is relaxed, because this is a local emulator: keys may be fetched by
//! plain HTTP, and from any port, when the URL's host is loopback. And one thing is added: keys of
//! [`Jwks::Emulator`], which are those of the emulator's own identity provider whatever the issuer is called.

mod check;
mod condition;
mod error;
mod urls;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(crate) use self::condition::Condition;
pub use self::error::{ResourcesError, without_values};
pub use self::urls::{fetched_url, is_loopback, named_url};

/// Everything that exchanges are judged by. An empty document is refused: an emulator without a rule grants nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// The organizations, at least one. Ids are unique in the whole document.
    pub organizations: Vec<Organization>,
}

/// An organization and what belongs to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Organization {
    /// A UUID in its hyphenated form.
    pub id: String,
    /// A name for people.
    #[serde(default)]
    pub name: String,
    /// The workspaces; exactly one is the default one.
    pub workspaces: Vec<Workspace>,
    /// The service accounts.
    #[serde(default)]
    pub service_accounts: Vec<ServiceAccount>,
    /// Who may vouch for workloads.
    #[serde(default)]
    pub federation_issuers: Vec<Issuer>,
    /// Which workload becomes which service account.
    #[serde(default)]
    pub federation_rules: Vec<Rule>,
}

/// A workspace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workspace {
    /// `wrkspc_…`.
    pub id: String,
    /// A name for people.
    #[serde(default)]
    pub name: String,
    /// Whether it is the organization's default one, which requests may call `default`.
    #[serde(default, rename = "default")]
    pub is_default: bool,
}

/// Whom a workload acts as.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceAccount {
    /// `svac_…`.
    pub id: String,
    /// A name for people.
    #[serde(default)]
    pub name: String,
    /// The workspaces that it is a member of, beside the default one, of which each is a member.
    #[serde(default)]
    pub workspace_ids: Vec<String>,
    /// What it may do in the organization.
    #[serde(default)]
    pub organization_role: OrganizationRole,
    /// Whether it is out of use.
    #[serde(default)]
    pub archived: bool,
}

/// What a service account may do in its organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrganizationRole {
    /// Use the API.
    #[default]
    User,
    /// The Admin API as well: the scope `org:admin` needs it.
    Admin,
}

/// Who vouches for workloads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// `fdis_…`.
    pub id: String,
    /// 1 to 255 of `a-z`, `0-9` and `-`, unique in the organization.
    pub name: String,
    /// The `iss` of its tokens, compared byte for byte.
    pub issuer_url: String,
    /// Where its keys are. Default: discovery from `issuer_url`.
    #[serde(default)]
    pub jwks: Jwks,
    /// Whether a token with a `jti` can be exchanged only once. Default: yes.
    #[serde(default = "yes")]
    pub check_jti: bool,
    /// The longest `exp - iat` of its tokens, 1 to 176,400 seconds. Default: 3600.
    #[serde(default = "longest_jwt")]
    pub max_jwt_lifetime_seconds: u64,
    /// Whether it is out of use.
    #[serde(default)]
    pub archived: bool,
}

/// Where an issuer's public keys are. URLs are https, on port 443, with a public DNS name - or loopback, see the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Jwks {
    /// In the document that `/.well-known/openid-configuration` names (OpenID Connect Discovery 1.0 section 4).
    Discovery {
        /// Where to look instead of under `issuer_url`.
        #[serde(default)]
        discovery_base: Option<String>,
        /// A root certificate to trust beside the platform's, in PEM.
        #[serde(default)]
        ca_cert_pem: Option<String>,
    },
    /// At this URL.
    ExplicitUrl {
        /// Of a JWK set (RFC 7517 section 5).
        url: String,
        /// A root certificate to trust beside the platform's, in PEM.
        #[serde(default)]
        ca_cert_pem: Option<String>,
    },
    /// Here.
    Inline {
        /// The `keys` of a JWK set.
        keys: Vec<Value>,
    },
    /// The emulator's own: what its identity provider publishes, with the cache and the lag of a fetched set.
    Emulator {},
}

/// Which workload becomes which service account, where, and for how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// `fdrl_…`.
    pub id: String,
    /// A name for people.
    #[serde(default)]
    pub name: String,
    /// The issuer, of the same organization.
    pub issuer_id: String,
    /// What an identity token has to say.
    #[serde(rename = "match")]
    pub matcher: Match,
    /// Whom the workload becomes.
    pub target: Target,
    /// The scopes of access tokens, separated by spaces. Default: `workspace:developer`.
    #[serde(default = "developer")]
    pub oauth_scope: String,
    /// How long access tokens live at most, 60 to 86,400 seconds. Default: 3600.
    #[serde(default = "an_hour")]
    pub token_lifetime_seconds: u64,
    /// The one workspace of rules from before there could be several; the service account need not be its member.
    #[serde(default)]
    pub workspace_id: Option<String>,
    /// The workspaces that the rule is enabled in: ids, or `default`.
    #[serde(default)]
    pub workspace_ids: Vec<String>,
    /// Whether it is enabled in all of them.
    #[serde(default)]
    pub applies_to_all_workspaces: bool,
    /// Reserved: has to be empty.
    #[serde(default)]
    pub attributes: Map<String, Value>,
    /// Whether it is out of use.
    #[serde(default)]
    pub archived: bool,
}

/// What an identity token has to say: all of what is given here, and at least one of subject, claims and condition.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// The whole `sub`, or with `*` at its end the beginning of it.
    #[serde(default)]
    pub subject_prefix: Option<String>,
    /// A member of `aud`. Default: `https://api.anthropic.com`.
    #[serde(default)]
    pub audience: Option<String>,
    /// Claims of the top level with exactly these strings; other values never match.
    #[serde(default)]
    pub claims: BTreeMap<String, String>,
    /// A CEL expression over the variable `claims` that must yield true; an error counts as false.
    #[serde(default)]
    pub condition: Option<String>,
}

/// Whom a workload becomes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Target {
    /// A service account of the same organization.
    ServiceAccount {
        /// `svac_…`.
        service_account_id: String,
    },
}

impl Resources {
    /// The JSON Schema of the document. It knows the form; references between resources only [`parse`](Self::parse) checks.
    pub const SCHEMA: &'static str = include_str!("../../resources.schema.json");

    /// Reads a document, and checks it as the real service checks what is created.
    ///
    /// # Errors
    ///
    /// With the place in the document, and what to do.
    pub fn parse(document: &str) -> Result<Self, ResourcesError> {
        let resources = Self::read(document)?;
        resources.check(check::SHORTEST_TOKEN_LIFETIME_SECONDS)?;
        Ok(resources)
    }

    /// The form alone.
    ///
    /// # Errors
    ///
    /// With the place in the document.
    pub fn read(document: &str) -> Result<Self, ResourcesError> {
        let mut reader = serde_json::Deserializer::from_str(document);
        let resources = serde_path_to_error::deserialize(&mut reader).map_err(ResourcesError::of_form)?;
        reader.end().map_err(|error| ResourcesError::new("", without_values(&error.to_string())))?;
        Ok(resources)
    }

    /// What the real service would refuse when these resources are created. The shortest lifetime of an access token is 60 s there.
    ///
    /// # Errors
    ///
    /// With the place in the document, and what to do.
    pub fn check(&self, shortest_token_lifetime_seconds: u64) -> Result<(), ResourcesError> {
        check::check(self, shortest_token_lifetime_seconds)
    }

    /// The rule of this id, or the first that is in use, with its organization.
    pub fn chosen_rule(&self, id: &str) -> Option<(&Organization, &Rule)> {
        let rules = || self.organizations.iter().flat_map(|owner| owner.federation_rules.iter().map(move |rule| (owner, rule)));
        rules().find(|(_, rule)| rule.id == id).or_else(|| rules().find(|(_, rule)| !rule.archived)).or_else(|| rules().next())
    }
}

impl Organization {
    /// The id of the workspace that requests may call `default`.
    pub fn default_workspace(&self) -> Option<&str> {
        self.workspaces.iter().find(|workspace| workspace.is_default).map(|workspace| workspace.id.as_str())
    }

    /// The id that a document or a request means by `name`.
    pub fn workspace<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        match name {
            "default" => self.default_workspace(),
            id => Some(id),
        }
    }

    /// The service account of this id.
    pub fn service_account(&self, id: &str) -> Option<&ServiceAccount> {
        self.service_accounts.iter().find(|account| account.id == id)
    }

    /// The issuer of this id.
    pub fn issuer(&self, id: &str) -> Option<&Issuer> {
        self.federation_issuers.iter().find(|issuer| issuer.id == id)
    }
}

impl Rule {
    /// Whom the workload becomes.
    pub fn service_account_id(&self) -> &str {
        match &self.target {
            Target::ServiceAccount { service_account_id } => service_account_id,
        }
    }

    /// The audience that a token has to have.
    pub fn audience(&self) -> &str {
        self.matcher.audience.as_deref().unwrap_or(DEFAULT_AUDIENCE)
    }

    /// Whether its access tokens belong to no workspace.
    pub fn is_for_the_organization(&self) -> bool {
        self.oauth_scope.split(' ').all(|scope| scope.starts_with("org:"))
    }

    /// The ids of the workspaces that it is enabled in.
    pub fn enabled_in<'a>(&'a self, owner: &'a Organization) -> Vec<&'a str> {
        if self.applies_to_all_workspaces {
            return owner.workspaces.iter().map(|workspace| workspace.id.as_str()).collect();
        }
        let named = self.workspace_ids.iter().chain(&self.workspace_id);
        let mut ids: Vec<&str> = named.filter_map(|name| owner.workspace(name)).collect();
        ids.dedup();
        ids
    }

    /// Whether it has but the one workspace of old rules.
    pub fn has_only_the_legacy_workspace(&self) -> bool {
        self.workspace_id.is_some() && self.workspace_ids.is_empty() && !self.applies_to_all_workspaces
    }
}

impl Default for Jwks {
    fn default() -> Self {
        Self::Discovery { discovery_base: None, ca_cert_pem: None }
    }
}

/// The audience that the service expects of a token unless a rule says otherwise.
pub const DEFAULT_AUDIENCE: &str = "https://api.anthropic.com";

fn yes() -> bool {
    true
}

/// The longest `exp - iat` of an issuer's tokens unless it says otherwise, in seconds.
pub const DEFAULT_JWT_LIFETIME_SECONDS: u64 = 3600;

/// The longest that an issuer may say, in seconds.
pub const LONGEST_JWT_LIFETIME_SECONDS: u64 = 176_400;

fn longest_jwt() -> u64 {
    DEFAULT_JWT_LIFETIME_SECONDS
}

fn an_hour() -> u64 {
    3600
}

fn developer() -> String {
    "workspace:developer".to_owned()
}
