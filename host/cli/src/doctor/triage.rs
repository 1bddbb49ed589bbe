//! After a refusal that nothing here explains: what it can still be, the likeliest first, and how to tell.

use serde_json::Value;

use super::finding::{Certainty, Finding};
use super::suspects::{Known, Whence};

/// What the endpoint may have refused for that cannot be seen from here, without what was excluded.
pub(super) fn after_a_refusal(known: Option<&Known<'_>>, online: bool) -> Vec<Finding> {
    let mut rank = 0;
    let mut causes = Vec::new();
    let mut cause = |applies: bool, code: &str, what: &str, change: &str| {
        if applies {
            causes.push(Finding::new(code, Certainty::Possible, 100 + rank, what).change(change));
            rank += 1;
        }
    };
    let rule = known.is_some_and(|known| known.settings.knows_the_rule());
    let issuer = known.is_some_and(|known| known.settings.knows_the_issuer());
    let workspaces = known.is_some_and(|known| known.settings.knows_the_workspaces());
    let single_use = known.is_none_or(|known| known.case.issuer.check_jti && known.token.claims.contains_key("jti"));
    let shown_again = known.is_none_or(|known| known.whence != Whence::Input);
    let short = known.is_some_and(|known| {
        let life = known.token.seconds("exp").zip(known.token.seconds("iat"));
        life.is_some_and(|(exp, iat)| exp - iat <= 3600)
    });
    let has_workspace = known.is_some_and(|known| known.configured.workspace.is_some());
    let names_account = known.is_some_and(|known| known.configured.service_account.is_some());
    let keyed = known.is_some_and(|known| known.case.has_keys() && known.settings.knows_the_issuer());
    let is_kubernetes = known.is_some_and(|known| known.token.claims.get("kubernetes.io").is_some_and(Value::is_object));
    cause(
        single_use && shown_again,
        "jti_reused",
        "An earlier run, or another process that reads the same file, has exchanged this identity token. It can be exchanged once.",
        "Wait until the token rotates. Let processes share an access token (--state FILE), or give each one an identity token of its own.",
    );
    cause(
        !rule,
        "match_subject_prefix",
        "The rule matches another subject, other claims or another audience.",
        "Hand the rule to this command: --rule FILE, as the Admin API or the Console shows it.",
    );
    cause(
        !issuer,
        "issuer_mismatch",
        "The registered issuer differs in a byte from the token's iss, a slash at its end perhaps.",
        "Hand the issuer to this command: --issuer FILE.",
    );
    cause(
        !has_workspace && !workspaces,
        "workspace_id_required",
        "The rule is enabled in several workspaces, or in the default one alone, and no workspace is named.",
        "Set ANTHROPIC_WORKSPACE_ID.",
    );
    cause(
        has_workspace && !workspaces,
        "workspace_not_accessible",
        "The rule is not enabled in the workspace, or the service account is not its member.",
        "Look at the rule's workspaces, and at the members of that workspace.",
    );
    cause(
        !keyed && is_kubernetes,
        "jwks_unavailable",
        "The cluster's keys cannot be fetched from outside, or were rotated since they were pasted.",
        "Give them inline: `kubectl get --raw /openid/v1/jwks`, again after each rotation.",
    );
    cause(
        !keyed && !is_kubernetes && !online,
        "key_unknown",
        "The issuer has just rotated its keys (up to a minute), or they cannot be fetched and polling is paused.",
        "Try again in a minute; look with --online, and at the issuer's poll status in the Console.",
    );
    cause(
        !issuer && !short,
        "jwt_lifetime_too_long",
        "The token lives longer than the issuer's max_jwt_lifetime_seconds.",
        "Raise it, or ask for shorter tokens.",
    );
    cause(
        names_account,
        "service_account_not_found",
        "The rule leads to another service account than is configured, or it is archived.",
        "Leave out ANTHROPIC_SERVICE_ACCOUNT_ID, or compare it with the rule's target.",
    );
    cause(
        true,
        "rule_not_found",
        "The rule or its issuer is archived, or belongs to another organization.",
        "Compare the ids with the Console's, and look at the history of workload identity authentication by the request id.",
    );
    causes
}
