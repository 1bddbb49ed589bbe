//! Who may exchange what: the rules, their issuers, and the identity tokens that were spent.
//!
//! The order is the real service's: the rule, the token, what it claims, what the rule matches, the workspace, the scope,
//! and the `jti` last, so that a refusal spends nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::keys::{Found, KeySource, Keys};
use crate::matching::{check_match, check_scope, check_workspace};
use crate::reason::{Parties, Reason};
use crate::report::{Check, Report, Stop};
use crate::request::ExchangeRequest;
use crate::resources::{Condition, Organization, Resources, Rule};
use crate::spent::Spent;
use crate::verification::{self, Expectations};

/// What exchanges are judged by.
pub struct Federation {
    resources: Resources,
    rules: HashMap<String, Known>,
    issuers: HashMap<String, Issuer>,
    shortest_lifetime_seconds: u64,
}

/// An exchange that was let through. The identity token is spent.
pub struct Admission {
    /// The token's `jti`.
    pub jti: Option<String>,
    /// The organization of the access token.
    pub organization_id: String,
    /// `None` for tokens of the organization.
    pub workspace_id: Option<String>,
    /// What the access token is good for.
    pub scope: String,
    /// How long the access token lives.
    pub lifetime_seconds: u64,
}

/// An exchange that was refused, and why. The identity token is as it was.
pub struct Denial {
    /// Why.
    pub reason: Reason,
    /// More, for people.
    pub detail: Option<String>,
    /// The token's `jti`, if its signature was good.
    pub jti: Option<String>,
}

/// What was found out about an exchange on the way.
#[derive(Default)]
struct Findings {
    jti: Option<String>,
    expires_at: Option<i64>,
    workspace_id: Option<String>,
    /// Where the `jti` counts, if it does.
    spent: Option<Arc<Spent>>,
}

struct Known {
    /// Of the organization, and of the rule in it.
    place: (usize, usize),
    condition: Option<Condition>,
}

struct Issuer {
    keys: KeySource,
    spent: Arc<Spent>,
}

impl Federation {
    /// The organization of whoever logs in.
    #[must_use]
    pub fn an_organization(&self) -> String {
        self.resources.organizations.first().map(|organization| organization.id.clone()).unwrap_or_default()
    }

    /// `resources` were checked. What `earlier` knows to be spent stays spent.
    pub fn new(resources: Resources, keys: &Arc<dyn Keys>, shortest_lifetime_seconds: u64, earlier: Option<&Self>) -> Self {
        let mut rules = HashMap::new();
        let mut issuers = HashMap::new();
        for (nth, organization) in resources.organizations.iter().enumerate() {
            for issuer in &organization.federation_issuers {
                let spent = earlier.and_then(|earlier| earlier.issuers.get(&issuer.id)).map(|issuer| issuer.spent.clone());
                let keys = KeySource::new(issuer, keys);
                issuers.insert(issuer.id.clone(), Issuer { keys, spent: spent.unwrap_or_default() });
            }
            for (index, rule) in organization.federation_rules.iter().enumerate() {
                let condition = rule.matcher.condition.as_deref().and_then(|text| Condition::compile(text).ok());
                rules.insert(rule.id.clone(), Known { place: (nth, index), condition });
            }
        }
        Self { resources, rules, issuers, shortest_lifetime_seconds }
    }

    /// The document.
    pub fn resources(&self) -> &Resources {
        &self.resources
    }

    /// The organization of this id.
    pub fn organization(&self, id: &str) -> Option<&Organization> {
        self.resources.organizations.iter().find(|organization| organization.id == id)
    }

    /// Forgets the keys that were fetched.
    pub async fn forget_keys(&self) {
        for issuer in self.issuers.values() {
            issuer.keys.forget().await;
        }
    }

    /// Lets a request through or refuses it. The `jti` is spent last, and by one of several requests at once.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    pub async fn admit(&self, request: &ExchangeRequest, now: SystemTime, parties: &mut Parties) -> Result<Admission, Denial> {
        let mut report = Report::of_exchange();
        let mut findings = Findings::default();
        // Whether it was stopped or not, the first failure is the reason.
        let _ = self.examine(request, now, &mut report, &mut findings, parties).await;
        let denied = |reason, detail, jti| Err(Denial { reason, detail, jti });
        if let Some((reason, check)) = report.first_failure() {
            return denied(reason, check.explanation(), findings.jti);
        }
        let Some((owner, rule, _)) = self.rule(&request.federation_rule_id) else {
            return denied(Reason::RuleNotFound, None, findings.jti);
        };
        let seconds = unix_seconds(now);
        let expires_at = findings.expires_at.unwrap_or(seconds);
        if let (Some(spent), Some(jti)) = (&findings.spent, &findings.jti)
            && !spent.spend(jti, expires_at, seconds)
        {
            return denied(Reason::JtiReused, None, findings.jti);
        }
        Ok(Admission {
            jti: findings.jti,
            organization_id: owner.id.clone(),
            workspace_id: findings.workspace_id,
            scope: rule.oauth_scope.clone(),
            lifetime_seconds: self.lifetime_seconds(rule, expires_at, seconds),
        })
    }

    /// Makes every check that can be made, and spends nothing. With the checks comes what an exchange would grant.
    pub async fn try_out(&self, request: &ExchangeRequest, now: SystemTime) -> (Vec<Check>, Option<Admission>) {
        let mut report = Report::of_trial();
        let mut findings = Findings::default();
        // A trial is not stopped.
        let _ = self.examine(request, now, &mut report, &mut findings, &mut Parties::default()).await;
        let admission = match (report.first_failure(), self.rule(&request.federation_rule_id)) {
            (None, Some((owner, rule, _))) => Some(Admission {
                jti: findings.jti,
                organization_id: owner.id.clone(),
                workspace_id: findings.workspace_id,
                scope: rule.oauth_scope.clone(),
                lifetime_seconds: self.lifetime_seconds(rule, findings.expires_at.unwrap_or(0), unix_seconds(now)),
            }),
            _ => None,
        };
        (report.checks, admission)
    }

    fn rule(&self, id: &str) -> Option<(&Organization, &Rule, Option<&Condition>)> {
        let known = self.rules.get(id)?;
        let organization = &self.resources.organizations[known.place.0];
        Some((organization, &organization.federation_rules[known.place.1], known.condition.as_ref()))
    }

    fn lifetime_seconds(&self, rule: &Rule, expires_at: i64, now: i64) -> u64 {
        let remaining = u64::try_from(expires_at - now).unwrap_or(0);
        rule.token_lifetime_seconds.min(remaining.saturating_mul(2)).max(self.shortest_lifetime_seconds)
    }

    async fn examine(
        &self,
        request: &ExchangeRequest,
        now: SystemTime,
        report: &mut Report,
        findings: &mut Findings,
        parties: &mut Parties,
    ) -> Result<(), Stop> {
        parties.federation_rule_id = Some(bounded(&request.federation_rule_id));
        parties.organization_id = Some(request.organization_id.clone());
        let Some((owner, rule, condition)) = self.rule(&request.federation_rule_id) else {
            let detail = "federation_rule_id: there is no such rule".to_owned();
            return report.fail("rule", Reason::RuleNotFound, None, None, Some(detail));
        };
        self.check_rule(request, owner, rule, report)?;
        parties.service_account_id = Some(rule.service_account_id().to_owned());
        let (Some(document), Some(issuer)) = (owner.issuer(&rule.issuer_id), self.issuers.get(&rule.issuer_id)) else {
            return report.fail(
                "issuer",
                Reason::RuleNotFound,
                None,
                None,
                Some("issuer_id: there is no such issuer".to_owned()),
            );
        };
        if document.archived {
            report.fail("issuer", Reason::IssuerArchived, None, Some(document.id.as_str().into()), None)?;
        }
        let account = owner.service_account(rule.service_account_id());
        if account.is_none_or(|account| account.archived) {
            let found = Some(rule.service_account_id().into());
            report.fail("service_account", Reason::ServiceAccountArchived, None, found, None)?;
        }
        if let Some(id) = &request.service_account_id {
            let target = rule.service_account_id();
            let found = Some(id.as_str().into());
            report.check("service_account", id == target, Reason::ServiceAccountNotFound, target, found)?;
        }

        let mut claims = None;
        if let Some(token) = verification::read(&request.assertion, report)? {
            let verified = self.check_signature(&token, issuer, now, report).await?;
            match token.claims() {
                Ok(read) => claims = Some((read, verified)),
                Err((reason, detail)) => report.fail("payload", reason, None, None, detail)?,
            }
        }
        if let Some((claims, verified)) = &claims {
            let jti = claims.get("jti").and_then(Value::as_str);
            if *verified {
                findings.jti = jti.map(str::to_owned);
                let text = |name: &str| claims.get(name).and_then(Value::as_str).map(bounded);
                (parties.issuer, parties.subject) = (text("iss"), text("sub"));
            }
            let identity = verification::check_claims(
                claims,
                &Expectations {
                    issuer: &document.issuer_url,
                    audience: rule.audience(),
                    max_jwt_lifetime_seconds: document.max_jwt_lifetime_seconds,
                    now: unix_seconds(now),
                },
                report,
            )?;
            findings.expires_at = identity.expires_at;
            check_match(rule, condition, identity.subject.as_deref(), claims, report)?;
        }
        findings.workspace_id = check_workspace(request, owner, rule, report)?;
        parties.workspace_id.clone_from(&findings.workspace_id);
        check_scope(owner, rule, report)?;
        if let (true, Some((claims, _))) = (document.check_jti, &claims)
            && let Some(jti) = claims.get("jti").and_then(Value::as_str)
        {
            findings.spent = Some(issuer.spent.clone());
            report.check("jti", !issuer.spent.has(jti), Reason::JtiReused, "not exchanged before", Some(jti.into()))?;
        }
        Ok(())
    }

    fn check_rule(&self, request: &ExchangeRequest, owner: &Organization, rule: &Rule, report: &mut Report) -> Result<(), Stop> {
        report.pass("rule", None, Some(rule.id.as_str().into()));
        match request.organization_id.eq_ignore_ascii_case(&owner.id) {
            true => report.pass("organization", Some(owner.id.as_str().into()), Some(request.organization_id.as_str().into())),
            false => {
                let detail = match self.resources.organizations.iter().any(|other| other.id == request.organization_id) {
                    true => "organization_id: the rule belongs to another organization",
                    false => "organization_id: there is no such organization",
                };
                let (expected, found) = (owner.id.as_str().into(), request.organization_id.as_str().into());
                report.fail("organization", Reason::RuleNotFound, Some(expected), Some(found), Some(detail.to_owned()))?;
            }
        }
        match rule.archived {
            true => report.fail("rule", Reason::RuleArchived, None, Some(rule.id.as_str().into()), None),
            false => Ok(()),
        }
    }

    /// Whether the issuer signed the token.
    async fn check_signature(
        &self,
        token: &verification::Unverified<'_>,
        issuer: &Issuer,
        now: SystemTime,
        report: &mut Report,
    ) -> Result<bool, Stop> {
        let Some(algorithm) = token.algorithm else {
            report.fail(
                "alg",
                Reason::AlgorithmRefused,
                None,
                None,
                Some("alg: only RS, PS and ES with 256, 384, 512".to_owned()),
            )?;
            return Ok(false);
        };
        report.pass("alg", None, Some(algorithm.name().into()));
        let Some(key_id) = &token.key_id else {
            report.fail("kid", Reason::KeyIdMissing, None, None, None)?;
            return Ok(false);
        };
        let found = Some(Value::from(key_id.as_str()));
        let key = match issuer.keys.find(key_id, now).await {
            Found::Key(key) => key,
            Found::Unknown(known) => {
                report.fail("kid", Reason::KeyUnknown, Some(known.join(", ").into()), found, None)?;
                return Ok(false);
            }
            Found::Unavailable(why) => {
                report.fail("kid", Reason::JwksUnavailable, None, found, Some(why))?;
                return Ok(false);
            }
        };
        report.pass("kid", None, found);
        match token.verify(&key, algorithm) {
            Ok(()) => {
                report.pass("signature", None, None);
                Ok(true)
            }
            Err((reason, detail)) => {
                report.fail("signature", reason, None, None, detail)?;
                Ok(false)
            }
        }
    }
}

/// What strangers send is kept no longer than this.
fn bounded(text: &str) -> String {
    text.chars().take(256).collect()
}

/// Whole seconds since the epoch, the unit of a JWT's `NumericDate` (RFC 7519 section 2); 0 before the epoch.
pub fn unix_seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
