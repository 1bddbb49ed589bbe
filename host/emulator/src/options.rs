//! What an emulator is started with.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Map;
use thiserror::Error;
use wif_federation::{
    Algorithm, DEFAULT_AUDIENCE, Issuer, Jwks, Match, Organization, OrganizationRole, RULE_PREFIX, Resources, ResourcesError,
    Rule, SERVICE_ACCOUNT_PREFIX, ServiceAccount, Target, WORKSPACE_PREFIX, Workspace, is_tagged, is_uuid, is_workspace,
};

use crate::clock::{Clock, SystemClock};
use crate::random;

/// The settings of an [`Emulator`](crate::Emulator), with the defaults of the real service where it has one.
///
/// ```
/// use wif_emulator::{Algorithm, Options};
///
/// let options = Options {
///     token_lifetime_seconds: 600,
///     algorithm: Algorithm::Rs256,
///     ..Options::default()
/// };
/// ```
#[derive(Clone)]
pub struct Options {
    /// Where to listen. Only loopback addresses are accepted. Default: 127.0.0.1, on a port of the system's choice.
    pub listen: SocketAddr,
    /// Where the administration API listens, loopback too; `None`: nowhere. Default: nowhere.
    pub admin: Option<SocketAddr>,
    /// The algorithm of the identity provider's key. Default: ES256.
    pub algorithm: Algorithm,
    /// The issuer of identity tokens, compared byte for byte. Default (`None`): the emulator's base URL.
    pub issuer: Option<String>,
    /// The subject of identity tokens, and what the rule matches. Default: `system:serviceaccount:default:demo`.
    pub subject: String,
    /// The audience of identity tokens, and the one that the rule demands. Default: `https://api.anthropic.com`.
    pub audience: String,
    /// How long identity tokens live. Default: 3600 seconds. Those that live longer than
    /// [`max_jwt_lifetime_seconds`](Self::max_jwt_lifetime_seconds) are made and always refused.
    pub identity_token_lifetime_seconds: u64,
    /// The longest `exp - iat` that the issuer's tokens may have, 1 to 176,400 seconds. Default: 3600.
    pub max_jwt_lifetime_seconds: u64,
    /// Whether an identity token with a `jti` can be exchanged only once (RFC 7523 section 3, rule 7). Default: yes.
    pub check_jti: bool,
    /// Whether a published identity token is replaced as soon as it is exchanged, before its sender has the answer. Owners of
    /// identity tokens do not do that, so no client waits for a rotation then. Default: no.
    pub rotate_when_exchanged: bool,
    /// The federation rule, `fdrl_…`. Default: a random one.
    pub federation_rule_id: String,
    /// The organization that owns the rule, a UUID. Default: a random one.
    pub organization_id: String,
    /// The service account that the rule targets, `svac_…`. Default: a random one.
    pub service_account_id: String,
    /// The workspaces that the rule is enabled in, `wrkspc_…` or `default`; at least one. With several, an exchange has
    /// to name one. Default: one random workspace.
    pub workspace_ids: Vec<String>,
    /// How long the rule lets access tokens live, from [`shortest_lifetime_seconds`](Self::shortest_lifetime_seconds)
    /// to 86,400 seconds. An identity token near its end shortens this: an access token lives for
    /// `max(shortest, min(this, 2 × what remains of the identity token))`. Default: 3600.
    pub token_lifetime_seconds: u64,
    /// The lower bound of the lifetime of access tokens. The real service has 60, the default; less, down to 1, makes
    /// refreshes quick to watch.
    pub shortest_lifetime_seconds: u64,
    /// The form of refusals. Default: the present one.
    pub error_shape: ErrorShape,
    /// The pause before each event of a streamed message, so that streaming can be seen. Default: 30 ms.
    pub stream_delay: Duration,
    /// The time. Default: the system's.
    pub clock: Arc<dyn Clock>,
    /// Organizations, issuers and rules. Default (`None`): one of each, as the options above say.
    ///
    /// With a document, the options from [`issuer`](Self::issuer) to [`token_lifetime_seconds`](Self::token_lifetime_seconds)
    /// follow the rule that [`federation_rule_id`](Self::federation_rule_id) names, or the document's first one:
    /// [`Emulator::options`](crate::Emulator::options) has what a client needs. The identity provider then mints tokens as
    /// that rule expects them, as far as its claims can be told from it.
    pub resources: Option<Resources>,
}

/// The form of the refusals of the token endpoint, and of the API towards requests without a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ErrorShape {
    /// The API's envelope, with 401 for every denial.
    #[default]
    #[serde(rename = "envelope")]
    Envelope,
    /// The form before August 2026: `error` and `error_description` with 400 for every denial (RFC 6749 section 5.2).
    #[serde(rename = "oauth")]
    OAuth,
}

/// Why [`Options`] were refused. Correct the option that the message names.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OptionsError {
    /// The address to listen on can be reached from other machines, and the emulator is not safe for that.
    #[error("{0} is not a loopback address, and the emulator listens on no other")]
    NotLoopback(SocketAddr),
    /// A number is outside its limits.
    #[error("{option}: {value} is not between {least} and {most}")]
    OutOfRange {
        /// The name of the option.
        option: &'static str,
        /// What it was set to, in seconds.
        value: u64,
        /// The least value accepted, in seconds.
        least: u64,
        /// The greatest value accepted, in seconds.
        most: u64,
    },
    /// An id does not have its form.
    #[error("{option}: {value:?} is not {form}")]
    Malformed {
        /// The name of the option.
        option: &'static str,
        /// What it was set to.
        value: String,
        /// What is accepted.
        form: &'static str,
    },
    /// A text is empty, or there is no workspace.
    #[error("{0}: must not be empty")]
    Empty(&'static str),
    /// The resources are not as the real service would let them be created.
    #[error("resources: {0}")]
    Resources(#[from] ResourcesError),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            admin: None,
            algorithm: Algorithm::default(),
            issuer: None,
            subject: "system:serviceaccount:default:demo".to_owned(),
            audience: DEFAULT_AUDIENCE.to_owned(),
            identity_token_lifetime_seconds: 3600,
            max_jwt_lifetime_seconds: 3600,
            check_jti: true,
            rotate_when_exchanged: false,
            federation_rule_id: random::tagged(RULE_PREFIX),
            organization_id: random::uuid(),
            service_account_id: random::tagged(SERVICE_ACCOUNT_PREFIX),
            workspace_ids: vec![random::tagged(WORKSPACE_PREFIX)],
            token_lifetime_seconds: 3600,
            shortest_lifetime_seconds: 60,
            error_shape: ErrorShape::default(),
            stream_delay: Duration::from_millis(30),
            clock: Arc::new(SystemClock),
            resources: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("listen", &self.listen)
            .field("algorithm", &self.algorithm)
            .field("issuer", &self.issuer)
            .field("subject", &self.subject)
            .field("audience", &self.audience)
            .field("federation_rule_id", &self.federation_rule_id)
            .field("token_lifetime_seconds", &self.token_lifetime_seconds)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// Takes over what the chosen rule of the resources says, so that clients find it here.
    pub(crate) fn follow_resources(&mut self) {
        let Some(resources) = self.resources.clone() else {
            return;
        };
        let Some((owner, rule)) = resources.chosen_rule(&self.federation_rule_id) else {
            return;
        };
        if let Some(prefix) = &rule.matcher.subject_prefix {
            self.subject = match prefix.strip_suffix('*') {
                Some(beginning) => format!("{beginning}emulated"),
                None => prefix.clone(),
            };
        }
        if let Some(issuer) = owner.issuer(&rule.issuer_id) {
            self.issuer = Some(issuer.issuer_url.clone());
            self.check_jti = issuer.check_jti;
            self.max_jwt_lifetime_seconds = issuer.max_jwt_lifetime_seconds;
            self.identity_token_lifetime_seconds = self.identity_token_lifetime_seconds.min(issuer.max_jwt_lifetime_seconds);
        }
        self.audience = rule.audience().to_owned();
        self.federation_rule_id = rule.id.clone();
        self.organization_id = owner.id.clone();
        self.service_account_id = rule.service_account_id().to_owned();
        self.workspace_ids = match rule.is_for_the_organization() {
            true => Vec::new(),
            false => rule.enabled_in(owner).into_iter().map(str::to_owned).collect(),
        };
        self.token_lifetime_seconds = rule.token_lifetime_seconds;
    }

    pub(crate) fn check(&self) -> Result<(), OptionsError> {
        if let Some(address) = [Some(self.listen), self.admin].into_iter().flatten().find(|address| !address.ip().is_loopback()) {
            return Err(OptionsError::NotLoopback(address));
        }
        check_range("max_jwt_lifetime_seconds", self.max_jwt_lifetime_seconds, 1..=176_400)?;
        check_range("identity_token_lifetime_seconds", self.identity_token_lifetime_seconds, 1..=u64::from(u32::MAX))?;
        check_range("shortest_lifetime_seconds", self.shortest_lifetime_seconds, 1..=60)?;
        check_range("token_lifetime_seconds", self.token_lifetime_seconds, self.shortest_lifetime_seconds..=86_400)?;
        for (option, value) in [("subject", &self.subject), ("audience", &self.audience)] {
            if value.is_empty() {
                return Err(OptionsError::Empty(option));
            }
        }
        if let Some(resources) = &self.resources {
            return Ok(resources.check(self.shortest_lifetime_seconds)?);
        }
        if self.workspace_ids.is_empty() {
            return Err(OptionsError::Empty("workspace_ids"));
        }
        check_form(
            "federation_rule_id",
            &self.federation_rule_id,
            is_tagged(RULE_PREFIX, &self.federation_rule_id),
            "fdrl_ and letters or digits",
        )?;
        check_form(
            "service_account_id",
            &self.service_account_id,
            is_tagged(SERVICE_ACCOUNT_PREFIX, &self.service_account_id),
            "svac_ and letters or digits",
        )?;
        check_form("organization_id", &self.organization_id, is_uuid(&self.organization_id), "a hyphenated UUID")?;
        for workspace in &self.workspace_ids {
            check_form("workspace_ids", workspace, is_workspace(workspace), "wrkspc_ and letters or digits, or default")?;
        }
        Ok(())
    }
}

fn check_range(option: &'static str, value: u64, range: RangeInclusive<u64>) -> Result<(), OptionsError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(OptionsError::OutOfRange { option, value, least: *range.start(), most: *range.end() })
}

fn check_form(option: &'static str, value: &str, well_formed: bool, form: &'static str) -> Result<(), OptionsError> {
    if well_formed {
        return Ok(());
    }
    Err(OptionsError::Malformed { option, value: value.to_owned(), form })
}

/// One organization with one issuer and one rule: what [`Options`] say without a document.
pub(crate) fn resources_of(options: &Options, issuer_url: &str) -> Resources {
    let default = Workspace { id: random::tagged("wrkspc_"), name: "Default".to_owned(), is_default: true };
    let named: Vec<String> = options.workspace_ids.iter().filter(|id| *id != "default").cloned().collect();
    let workspaces = named.iter().map(|id| Workspace { id: id.clone(), name: id.clone(), is_default: false });
    let issuer_id = random::tagged("fdis_");
    Resources {
        organizations: vec![Organization {
            id: options.organization_id.clone(),
            name: "Emulated".to_owned(),
            workspaces: std::iter::once(default).chain(workspaces).collect(),
            service_accounts: vec![ServiceAccount {
                id: options.service_account_id.clone(),
                name: "workload".to_owned(),
                workspace_ids: named,
                organization_role: OrganizationRole::default(),
                archived: false,
            }],
            federation_issuers: vec![Issuer {
                id: issuer_id.clone(),
                name: "emulator".to_owned(),
                issuer_url: issuer_url.to_owned(),
                jwks: Jwks::Emulator {},
                check_jti: options.check_jti,
                max_jwt_lifetime_seconds: options.max_jwt_lifetime_seconds,
                archived: false,
            }],
            federation_rules: vec![Rule {
                id: options.federation_rule_id.clone(),
                name: "workload".to_owned(),
                issuer_id,
                matcher: Match {
                    subject_prefix: Some(options.subject.clone()),
                    audience: Some(options.audience.clone()),
                    ..Match::default()
                },
                target: Target::ServiceAccount { service_account_id: options.service_account_id.clone() },
                oauth_scope: "workspace:developer".to_owned(),
                token_lifetime_seconds: options.token_lifetime_seconds,
                workspace_id: None,
                workspace_ids: options.workspace_ids.clone(),
                applies_to_all_workspaces: false,
                attributes: Map::new(),
                archived: false,
            }],
        }],
    }
}
