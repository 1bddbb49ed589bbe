//! What the real service refuses when a resource is created.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use super::condition::Condition;
use super::error::ResourcesError;
use super::urls::fetched_url;
use super::{Issuer, Jwks, LONGEST_JWT_LIFETIME_SECONDS, Organization, Resources, Rule};
use crate::ids::{RULE_PREFIX, SERVICE_ACCOUNT_PREFIX, WORKSPACE_PREFIX, is_tagged, is_uuid};

/// Of an access token, by the real service.
pub(super) const SHORTEST_TOKEN_LIFETIME_SECONDS: u64 = 60;

pub(super) fn check(resources: &Resources, shortest_token_lifetime_seconds: u64) -> Result<(), ResourcesError> {
    let mut ids = HashSet::new();
    if resources.organizations.is_empty() {
        return Err(ResourcesError::new("organizations", "must not be empty"));
    }
    for (index, organization) in resources.organizations.iter().enumerate() {
        let place = Place(format!("organizations[{index}]"));
        Check { organization, ids: &mut ids, shortest_token_lifetime_seconds }.organization(&place)?;
    }
    if resources.organizations.iter().all(|organization| organization.federation_rules.is_empty()) {
        return Err(ResourcesError::new("organizations", "at least one needs a rule in federation_rules"));
    }
    Ok(())
}

/// A path in the document.
struct Place(String);

struct Check<'a> {
    organization: &'a Organization,
    ids: &'a mut HashSet<String>,
    shortest_token_lifetime_seconds: u64,
}

impl Place {
    fn at(&self, name: &str) -> Self {
        Self(format!("{}.{name}", self.0))
    }

    fn nth(&self, name: &str, index: usize) -> Self {
        Self(format!("{}.{name}[{index}]", self.0))
    }

    fn refuse<T>(&self, message: impl Into<String>) -> Result<T, ResourcesError> {
        Err(ResourcesError::new(self.0.clone(), message))
    }

    fn range(&self, value: u64, range: RangeInclusive<u64>) -> Result<(), ResourcesError> {
        match range.contains(&value) {
            true => Ok(()),
            false => self.refuse(format!("{value} is not between {} and {}", range.start(), range.end())),
        }
    }
}

impl Check<'_> {
    fn organization(&mut self, place: &Place) -> Result<(), ResourcesError> {
        let organization = self.organization;
        if !is_uuid(&organization.id) {
            return place.at("id").refuse("must be a hyphenated UUID");
        }
        self.unique(&place.at("id"), &organization.id.to_ascii_lowercase())?;
        for (index, workspace) in organization.workspaces.iter().enumerate() {
            self.id(&place.nth("workspaces", index), WORKSPACE_PREFIX, &workspace.id)?;
        }
        if organization.workspaces.iter().filter(|workspace| workspace.is_default).count() != 1 {
            return place.at("workspaces").refuse("exactly one must have \"default\": true");
        }
        for (index, account) in organization.service_accounts.iter().enumerate() {
            let place = place.nth("service_accounts", index);
            self.id(&place, SERVICE_ACCOUNT_PREFIX, &account.id)?;
            for (index, id) in account.workspace_ids.iter().enumerate() {
                self.workspace(&place.nth("workspace_ids", index), id)?;
            }
        }
        let mut names = HashSet::new();
        for (index, issuer) in organization.federation_issuers.iter().enumerate() {
            let place = place.nth("federation_issuers", index);
            self.issuer(&place, issuer)?;
            if !names.insert(&issuer.name) {
                return place.at("name").refuse("another issuer of the organization has this name");
            }
        }
        for (index, rule) in organization.federation_rules.iter().enumerate() {
            self.rule(&place.nth("federation_rules", index), rule)?;
        }
        Ok(())
    }

    fn issuer(&mut self, place: &Place, issuer: &Issuer) -> Result<(), ResourcesError> {
        self.id(place, ISSUER_PREFIX, &issuer.id)?;
        let well_formed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if !(1..=255).contains(&issuer.name.len()) || !issuer.name.bytes().all(well_formed) {
            return place.at("name").refuse("must be 1 to 255 of a-z, 0-9 and -");
        }
        if issuer.issuer_url.is_empty() {
            return place.at("issuer_url").refuse("must not be empty");
        }
        place.at("max_jwt_lifetime_seconds").range(issuer.max_jwt_lifetime_seconds, 1..=LONGEST_JWT_LIFETIME_SECONDS)?;
        let fetched = |place: Place, url: &str| match fetched_url(url) {
            Ok(_) => Ok(()),
            Err(message) => place.refuse(message),
        };
        let jwks = place.at("jwks");
        match &issuer.jwks {
            Jwks::Discovery { discovery_base: None, .. } => fetched(place.at("issuer_url"), &issuer.issuer_url),
            Jwks::Discovery { discovery_base: Some(base), .. } => fetched(jwks.at("discovery_base"), base),
            Jwks::ExplicitUrl { url, .. } => fetched(jwks.at("url"), url),
            Jwks::Inline { keys } if keys.is_empty() => jwks.at("keys").refuse("must not be empty"),
            Jwks::Inline { keys } => match keys.iter().position(|key| key["kid"].as_str().is_none_or(str::is_empty)) {
                Some(index) => jwks.nth("keys", index).refuse("kid: every key needs one"),
                None => Ok(()),
            },
            Jwks::Emulator {} => Ok(()),
        }
    }

    fn rule(&mut self, place: &Place, rule: &Rule) -> Result<(), ResourcesError> {
        self.id(place, RULE_PREFIX, &rule.id)?;
        let Some(issuer) = self.organization.issuer(&rule.issuer_id) else {
            return place.at("issuer_id").refuse("the organization has no such issuer in federation_issuers");
        };
        if self.organization.service_account(rule.service_account_id()).is_none() {
            let place = place.at("target").at("service_account_id");
            return place.refuse("the organization has no such account in service_accounts");
        }
        if !rule.attributes.is_empty() {
            return place.at("attributes").refuse("must be empty");
        }
        place.at("token_lifetime_seconds").range(rule.token_lifetime_seconds, self.shortest_token_lifetime_seconds..=86_400)?;
        if rule.oauth_scope.is_empty() || rule.oauth_scope.split(' ').any(|scope| !SCOPES.contains(&scope)) {
            return place.at("oauth_scope").refuse(format!("must be one or more of {}, separated by a space", SCOPES.join(", ")));
        }
        if rule.workspace_id.is_none() && rule.workspace_ids.is_empty() && !rule.applies_to_all_workspaces {
            return place.refuse("needs workspace_id, workspace_ids, or applies_to_all_workspaces: true");
        }
        if let Some(id) = &rule.workspace_id {
            self.workspace(&place.at("workspace_id"), id)?;
        }
        for (index, id) in rule.workspace_ids.iter().enumerate() {
            self.workspace(&place.nth("workspace_ids", index), id)?;
        }
        matcher(&place.at("match"), rule, issuer)
    }

    fn id(&mut self, place: &Place, prefix: &str, id: &str) -> Result<(), ResourcesError> {
        let place = place.at("id");
        if !is_tagged(prefix, id) {
            return place.refuse(format!("must be {prefix} and letters or digits"));
        }
        self.unique(&place, id)
    }

    fn unique(&mut self, place: &Place, id: &str) -> Result<(), ResourcesError> {
        match self.ids.insert(id.to_owned()) {
            true => Ok(()),
            false => place.refuse("the document has this id already"),
        }
    }

    fn workspace(&self, place: &Place, id: &str) -> Result<(), ResourcesError> {
        let known = id == "default" || self.organization.workspaces.iter().any(|workspace| workspace.id == id);
        match known {
            true => Ok(()),
            false => place.refuse("the organization has no such workspace in workspaces"),
        }
    }
}

fn matcher(place: &Place, rule: &Rule, issuer: &Issuer) -> Result<(), ResourcesError> {
    let matcher = &rule.matcher;
    let subject = matcher.subject_prefix.as_deref().filter(|prefix| !prefix.trim_end_matches('*').is_empty());
    if subject.is_none() && matcher.claims.is_empty() && matcher.condition.is_none() {
        return place.refuse("needs at least one of subject_prefix (more than *), claims and condition");
    }
    if matcher.audience.as_deref() == Some("") {
        return place.at("audience").refuse("must not be empty");
    }
    if let Some(condition) = &matcher.condition
        && let Err(message) = Condition::compile(condition)
    {
        return place.at("condition").refuse(message);
    }
    match SHARED_ISSUERS.iter().find(|shared| shared.issuer_url == issuer.issuer_url.trim_end_matches('/')) {
        Some(shared) if !shared.is_pinned(rule) => place.refuse(format!(
            "{} serves everybody: pin a tenant, by subject_prefix {:?}, or by one of the claims {}",
            shared.issuer_url,
            format!("{}NAME…", shared.subject),
            shared.claims.join(", "),
        )),
        _ => Ok(()),
    }
}

const ISSUER_PREFIX: &str = "fdis_";

/// What an access token can be good for.
const SCOPES: [&str; 5] =
    ["workspace:developer", "workspace:inference", "workspace:manage_tunnels", "org:manage_tunnels", "org:admin"];

/// An issuer whose tokens anybody can have.
struct SharedIssuer {
    issuer_url: &'static str,
    /// What a subject begins with, up to the tenant's name.
    subject: &'static str,
    /// The claims that name the tenant.
    claims: &'static [&'static str],
}

const SHARED_ISSUERS: [SharedIssuer; 5] = [
    SharedIssuer {
        issuer_url: "https://token.actions.githubusercontent.com",
        subject: "repo:",
        claims: &["repository", "repository_id", "repository_owner", "repository_owner_id", "enterprise", "enterprise_id"],
    },
    SharedIssuer {
        issuer_url: "https://gitlab.com",
        subject: "project_path:",
        claims: &["project_path", "project_id", "namespace_path", "namespace_id"],
    },
    SharedIssuer {
        issuer_url: "https://agent.buildkite.com",
        subject: "organization:",
        claims: &["organization_slug", "organization_id", "pipeline_id"],
    },
    SharedIssuer {
        issuer_url: "https://app.terraform.io",
        subject: "organization:",
        claims: &["terraform_organization_name", "terraform_organization_id", "terraform_project_id", "terraform_workspace_id"],
    },
    SharedIssuer { issuer_url: "https://accounts.google.com", subject: "", claims: &["sub", "email", "azp"] },
];

impl SharedIssuer {
    fn is_pinned(&self, rule: &Rule) -> bool {
        let by_subject = rule.matcher.subject_prefix.as_deref().is_some_and(|prefix| self.is_pinning_subject(prefix));
        let by_claim = self.claims.iter().any(|claim| rule.matcher.claims.contains_key(*claim));
        let by_condition = rule.matcher.condition.as_deref().is_some_and(|condition| {
            self.claims.iter().chain(&["sub"]).any(|claim| {
                [format!("claims.{claim}"), format!("claims[\"{claim}\"]"), format!("claims['{claim}']")]
                    .iter()
                    .any(|named| names(condition, named))
            })
        });
        by_subject || by_claim || by_condition
    }

    /// Whether the tenant's name stands whole in it: a `*` within it would take in others.
    fn is_pinning_subject(&self, prefix: &str) -> bool {
        let Some(rest) = prefix.strip_prefix(self.subject) else {
            return false;
        };
        match prefix.ends_with('*') {
            false => !rest.is_empty(),
            // A numeric or opaque subject says nothing until it is whole.
            true if self.subject.is_empty() => false,
            true => rest.find(['/', ':']).is_some_and(|end| end > 0),
        }
    }
}

/// Whether `text` holds `name`, and not as the beginning of a longer one.
fn names(text: &str, name: &str) -> bool {
    let continues =
        |byte: u8| name.as_bytes().last().is_some_and(u8::is_ascii_lowercase) && (byte.is_ascii_alphanumeric() || byte == b'_');
    text.match_indices(name).any(|(at, _)| !text.as_bytes().get(at + name.len()).copied().is_some_and(continues))
}
