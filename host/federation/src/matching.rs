//! What a rule says of a token that is good: whether it matches, where it leads, and what it opens.

use serde_json::{Map, Value};

use crate::reason::Reason;
use crate::report::{Report, Stop};
use crate::request::ExchangeRequest;
use crate::resources::{Condition, Organization, OrganizationRole, Rule};

/// The name of the check that fails where the rule is enabled in the workspace, and the service account is not its member.
pub const MEMBERSHIP: &str = "workspace.member";

/// What the rule matches: subject, claims and condition.
pub(crate) fn check_match(
    rule: &Rule,
    condition: Option<&Condition>,
    subject: Option<&str>,
    claims: &Map<String, Value>,
    report: &mut Report,
) -> Result<(), Stop> {
    if let Some(prefix) = &rule.matcher.subject_prefix {
        let matches = subject.is_some_and(|subject| match prefix.strip_suffix('*') {
            Some(beginning) => subject.starts_with(beginning),
            None => subject == prefix,
        });
        let found = subject.map(Value::from);
        report.check("match.subject_prefix", matches, Reason::MatchSubjectPrefix, prefix.as_str(), found)?;
    }
    for (name, expected) in &rule.matcher.claims {
        let found = claims.get(name);
        let matches = found.and_then(Value::as_str) == Some(expected);
        report.check(&format!("match.claims.{name}"), matches, Reason::MatchClaims, expected.as_str(), found.cloned())?;
    }
    if let (Some(text), Some(condition)) = (&rule.matcher.condition, condition) {
        let expected = Some(Value::from(text.as_str()));
        match condition.holds(claims) {
            Ok(true) => report.pass("match.condition", expected, Some(true.into())),
            Ok(false) => report.fail("match.condition", Reason::MatchCondition, expected, Some(false.into()), None)?,
            Err(error) => {
                let detail = format!("the condition has no answer, which counts as false: {error}");
                report.fail("match.condition", Reason::MatchCondition, expected, None, Some(detail))?;
            }
        }
    }
    Ok(())
}

/// The workspace that an access token will belong to.
pub(crate) fn check_workspace(
    request: &ExchangeRequest,
    owner: &Organization,
    rule: &Rule,
    report: &mut Report,
) -> Result<Option<String>, Stop> {
    if rule.is_for_the_organization() {
        return Ok(None);
    }
    let enabled = rule.enabled_in(owner);
    let expected = || Some(Value::from(enabled.join(", ")));
    let found = request.workspace_id.as_deref().map(Value::from);
    let chosen = match &request.workspace_id {
        Some(name) => owner.workspace(name),
        None => match enabled.as_slice() {
            [only] if !rule.applies_to_all_workspaces => Some(*only),
            _ => {
                let detail = format!("the rule is enabled in {}", enabled.join(", "));
                report.fail("workspace", Reason::WorkspaceIdRequired, expected(), None, Some(detail))?;
                return Ok(None);
            }
        },
    };
    let Some(chosen) = chosen.filter(|chosen| enabled.contains(chosen)) else {
        report.fail("workspace", Reason::WorkspaceNotAccessible, expected(), found, None)?;
        return Ok(None);
    };
    let is_member = owner.default_workspace() == Some(chosen)
        || rule.has_only_the_legacy_workspace()
        || owner
            .service_account(rule.service_account_id())
            .is_some_and(|account| account.workspace_ids.iter().any(|name| owner.workspace(name) == Some(chosen)));
    if !is_member {
        let detail = format!("the service account is not a member of {chosen}");
        report.fail(MEMBERSHIP, Reason::WorkspaceNotAccessible, expected(), found, Some(detail))?;
        return Ok(None);
    }
    report.pass("workspace", expected(), Some(chosen.into()));
    Ok(Some(chosen.to_owned()))
}

/// Whether the rule's target may have the rule's scope.
pub(crate) fn check_scope(owner: &Organization, rule: &Rule, report: &mut Report) -> Result<(), Stop> {
    let needs_admin = rule.oauth_scope.split(' ').any(|scope| scope == "org:admin");
    let account = owner.service_account(rule.service_account_id());
    let is_admin = account.is_some_and(|account| account.organization_role == OrganizationRole::Admin);
    let scope = Some(Value::from(rule.oauth_scope.as_str()));
    if needs_admin && !is_admin {
        let detail = "org:admin needs a service account with organization_role admin".to_owned();
        return report.fail("scope", Reason::InsufficientScope, scope, None, Some(detail));
    }
    report.pass("scope", None, scope);
    Ok(())
}
