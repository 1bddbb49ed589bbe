//! Who may exchange what: the rule, its issuer, and the identity tokens that were spent.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::request::ExchangeRequest;
use super::verification::{self, LEEWAY_SECONDS};
use crate::clock::unix_seconds;
use crate::history::Reason;
use crate::identity::IdentityProvider;
use crate::options::Options;

/// One organization with one issuer and one rule.
pub(crate) struct Federation {
    rule: Rule,
    issuer: Issuer,
    shortest_lifetime_seconds: u64,
}

/// An exchange that was let through. The identity token is spent.
pub(super) struct Admission {
    pub(super) jti: Option<String>,
    pub(super) workspace_id: String,
    pub(super) lifetime_seconds: u64,
}

/// An exchange that was refused, and why. The identity token is as it was.
pub(super) struct Denial {
    pub(super) reason: Reason,
    pub(super) detail: Option<String>,
    pub(super) jti: Option<String>,
}

struct Rule {
    id: String,
    organization_id: String,
    service_account_id: String,
    audience: String,
    subject: String,
    workspace_ids: Vec<String>,
    token_lifetime_seconds: u64,
}

struct Issuer {
    provider: IdentityProvider,
    max_jwt_lifetime_seconds: u64,
    check_jti: bool,
    spent: Mutex<Spent>,
}

/// Every `jti` that was exchanged, with the `exp` until which a copy of its token could still pass.
#[derive(Default)]
struct Spent {
    expiries: HashMap<String, i64>,
    sweep_at: usize,
}

impl Federation {
    pub(crate) fn new(options: &Options, provider: &IdentityProvider) -> Self {
        Self {
            rule: Rule {
                id: options.federation_rule_id.clone(),
                organization_id: options.organization_id.clone(),
                service_account_id: options.service_account_id.clone(),
                audience: options.audience.clone(),
                subject: options.subject.clone(),
                workspace_ids: options.workspace_ids.clone(),
                token_lifetime_seconds: options.token_lifetime_seconds,
            },
            issuer: Issuer {
                provider: provider.clone(),
                max_jwt_lifetime_seconds: options.max_jwt_lifetime_seconds,
                check_jti: options.check_jti,
                spent: Mutex::default(),
            },
            shortest_lifetime_seconds: options.shortest_lifetime_seconds,
        }
    }

    /// Lets a request through or refuses it. The `jti` is spent last, and by one of several requests at once.
    pub(super) fn admit(&self, request: &ExchangeRequest, now: SystemTime) -> Result<Admission, Denial> {
        let now = unix_seconds(now);
        self.rule.find(request)?;

        let claims = verification::signed_claims(&request.assertion, &self.issuer.provider.keys())?;
        let jti = claims.jti();
        let with_jti = |denial: Denial| Denial { jti: jti.clone(), ..denial };

        let identity = claims
            .check(&verification::Expectations {
                issuer: self.issuer.provider.issuer(),
                audience: &self.rule.audience,
                max_jwt_lifetime_seconds: self.issuer.max_jwt_lifetime_seconds,
                now,
            })
            .map_err(with_jti)?;
        if identity.subject != self.rule.subject {
            return Err(with_jti(Denial::new(Reason::MatchSubjectPrefix)));
        }
        let workspace_id = self.rule.workspace(request).map_err(with_jti)?;
        if let (true, Some(jti)) = (self.issuer.check_jti, &jti)
            && !self.issuer.spend(jti, identity.expires_at, now)
        {
            return Err(with_jti(Denial::new(Reason::JtiReused)));
        }

        let remaining = u64::try_from(identity.expires_at - now).unwrap_or(0);
        Ok(Admission {
            jti,
            workspace_id,
            lifetime_seconds: self
                .rule
                .token_lifetime_seconds
                .min(remaining.saturating_mul(2))
                .max(self.shortest_lifetime_seconds),
        })
    }
}

impl Denial {
    pub(super) fn new(reason: Reason) -> Self {
        Self { reason, detail: None, jti: None }
    }

    pub(super) fn with_detail(reason: Reason, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::new(reason) }
    }
}

impl Rule {
    fn find(&self, request: &ExchangeRequest) -> Result<(), Denial> {
        if request.federation_rule_id != self.id {
            return Err(Denial::with_detail(Reason::RuleNotFound, "federation_rule_id"));
        }
        if !request.organization_id.eq_ignore_ascii_case(&self.organization_id) {
            return Err(Denial::with_detail(Reason::RuleNotFound, "organization_id"));
        }
        match &request.service_account_id {
            Some(id) if *id != self.service_account_id => Err(Denial::new(Reason::ServiceAccountNotFound)),
            _ => Ok(()),
        }
    }

    fn workspace(&self, request: &ExchangeRequest) -> Result<String, Denial> {
        match (&request.workspace_id, self.workspace_ids.as_slice()) {
            (None, [only]) => Ok(only.clone()),
            (None, _) => Err(Denial::new(Reason::WorkspaceIdRequired)),
            (Some(id), enabled) if enabled.contains(id) => Ok(id.clone()),
            (Some(_), _) => Err(Denial::new(Reason::WorkspaceNotAccessible)),
        }
    }
}

impl Issuer {
    /// Whether this is the first time.
    fn spend(&self, jti: &str, expires_at: i64, now: i64) -> bool {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if spent.expiries.contains_key(jti) {
            return false;
        }
        if spent.expiries.len() >= spent.sweep_at {
            // A copy past this moment is refused for its `exp`, so its `jti` need not be remembered. Sweeping at each
            // doubling keeps the cost of a request constant.
            spent.expiries.retain(|_, exp| exp.saturating_add(LEEWAY_SECONDS) > now);
            spent.sweep_at = (spent.expiries.len() * 2).max(1024);
        }
        spent.expiries.insert(jti.to_owned(), expires_at);
        true
    }
}
