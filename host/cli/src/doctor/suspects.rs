//! What no check refuses and people fall over all the same: rotation, workspaces, clocks, secrets one hop up.

use serde_json::Value;
use wif_federation::LEEWAY_SECONDS;

use super::finding::{Certainty, Finding};
use super::settings::{Case, Configured, Settings};
use crate::environment::{self, is_set};
use crate::jwt::Parts;

/// Where the identity token came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whence {
    /// A file that is configured, or was named.
    File,
    /// A variable.
    Variable,
    /// Standard input: nothing is known of who replaces it.
    Input,
}

/// Everything that the doctor knows when it has a token.
pub(super) struct Known<'a> {
    pub(super) token: &'a Parts,
    pub(super) case: &'a Case,
    pub(super) settings: &'a Settings,
    pub(super) configured: &'a Configured,
    pub(super) whence: Whence,
    /// Seconds since the epoch.
    pub(super) now: i64,
}

pub(super) fn all(known: &Known<'_>) -> Vec<Finding> {
    let found = [ids(known), other_account(known), rotation(known), never_rotates(known), default_workspace(known), clock(known)];
    found.into_iter().flatten().chain(secret_of_the_client(known)).chain(secrets_around()).collect()
}

/// What is configured here names another rule than the one that was handed over.
fn ids(known: &Known<'_>) -> Option<Finding> {
    let configured = known.configured.rule.as_ref()?;
    let given = &known.case.rule.id;
    (known.settings.knows_the_rule() && given != "fdrl_unknown" && given != configured).then(|| {
        Finding::new("rule_not_found", Certainty::Refused, 1, "Another rule is configured than the one that is looked at here.")
            .expected(given)
            .found(configured)
            .change("Set ANTHROPIC_FEDERATION_RULE_ID to the id of the rule.")
    })
}

/// The member `service_account` and the rule's target are two.
fn other_account(known: &Known<'_>) -> Option<Finding> {
    let owner = known.case.resources.organizations.first()?;
    let target = known.case.rule.service_account_id();
    let only = owner.service_accounts.first().filter(|_| owner.service_accounts.len() == 1)?;
    (only.id != target).then(|| {
        Finding::new("service_account_not_found", Certainty::Refused, 35, "The rule's target is another service account.")
            .expected(target)
            .found(&only.id)
            .change("Set target.service_account_id of the rule to the account that is meant.")
    })
}

fn has_jti(known: &Known<'_>) -> bool {
    known.case.issuer.check_jti && known.token.claims.get("jti").is_some_and(Value::is_string)
}

/// An access token must live until the next identity token is there, and be refreshed after it.
fn rotation(known: &Known<'_>) -> Option<Finding> {
    let (issued, rotates) = (known.token.seconds("iat")?, known.token.rotates_at()?);
    let life = i64::try_from(known.case.rule.token_lifetime_seconds).ok()?;
    let period = rotates - issued;
    let rests = has_jti(known) && known.whence == Whence::File && known.settings.knows_the_rule();
    // A refresh is due 120 s before the end, and must find the next identity token.
    (rests && life - life.min(240) / 2 < period).then(|| {
        Finding::new(
            "rotation",
            Certainty::Later,
            0,
            "The access token is refreshed before the next identity token is there, and the present one can be exchanged once.",
        )
        .expected(format!("token_lifetime_seconds of {} or more", period + 120))
        .found(format!("token_lifetime_seconds of {life}, and an identity token that rotates after some {period} s"))
        .change("Raise the rule's token_lifetime_seconds, or let identity tokens rotate sooner.")
    })
}

fn never_rotates(known: &Known<'_>) -> Option<Finding> {
    (has_jti(known) && known.whence == Whence::Variable).then(|| {
        Finding::new(
            "never_rotates",
            Certainty::Later,
            1,
            "The identity token is in a variable: it can be exchanged once, and nobody replaces it while the program runs.",
        )
        .change("Let the platform write it into a file, and name that in ANTHROPIC_IDENTITY_TOKEN_FILE; or keep the access token with --state.")
    })
}

fn default_workspace(known: &Known<'_>) -> Option<Finding> {
    let rule = &known.case.rule;
    let only_default = known.settings.knows_the_workspaces()
        && !rule.applies_to_all_workspaces
        && rule.workspace_ids.iter().chain(&rule.workspace_id).all(|id| id == "default");
    (known.configured.workspace.is_none() && only_default && !rule.is_for_the_organization()).then(|| {
        Finding::new(
            "default_workspace",
            Certainty::Possible,
            0,
            "The rule is enabled in the default workspace alone, and no workspace is named: people have met a refusal for that.",
        )
        .expected("ANTHROPIC_WORKSPACE_ID=default")
        .found("nothing")
        .change("Set ANTHROPIC_WORKSPACE_ID to default.")
    })
}

/// Within the leeway, and so not refused; but a clock is wrong.
fn clock(known: &Known<'_>) -> Option<Finding> {
    let ahead = known.token.seconds("iat")? - known.now;
    (1..=LEEWAY_SECONDS).contains(&ahead).then(|| {
        Finding::new("clock_skew", Certainty::Possible, 1, format!("The token was issued {ahead} s in this machine's future."))
            .expected("a clock that is right")
            .change(format!("Set this machine's clock, or the provider's: more than {LEEWAY_SECONDS} s ahead is refused."))
    })
}

/// How the workload proved itself to the provider, where the token tells.
fn secret_of_the_client(known: &Known<'_>) -> Option<Finding> {
    let claims = &known.token.claims;
    let says = |name: &str, value: &str| claims.get(name).is_some_and(|claim| claim == value);
    // Microsoft: 1 is a client secret, 2 a certificate.
    let entra = says("azpacr", "1") || says("appidacr", "1");
    let auth0 = says("gty", "client-credentials");
    (entra || auth0).then(|| {
        static_secret("The token was given for a client secret, which is as static as an API key: it is the weakest link now.")
            .found(if entra { "azpacr or appidacr 1" } else { "gty client-credentials" })
            .change("Use the platform's own identity (a managed identity, a projected token) or a key that stays with a signer.")
    })
}

fn static_secret(what: impl Into<String>) -> Finding {
    Finding::new("static_secret", Certainty::Advice, 0, what)
}

/// Variables of this process that hold a static secret one hop up.
fn secrets_around() -> Vec<Finding> {
    let found = |name: &str, what: &str| {
        static_secret(format!("{name} is set, {what}: whoever has it can have identity tokens. It is the weakest link."))
            .found(format!("{name} (its value is not looked at)"))
            .change("Use the platform's own identity in its place, and remove it.")
    };
    let mut findings = Vec::new();
    if is_set("AWS_SECRET_ACCESS_KEY") && !is_set("AWS_SESSION_TOKEN") {
        findings.push(found("AWS_SECRET_ACCESS_KEY", "without AWS_SESSION_TOKEN: a key of AWS that does not end"));
    }
    for name in ["AZURE_CLIENT_SECRET", "ARM_CLIENT_SECRET", "OKTA_CLIENT_SECRET", "KEYCARD_CLIENT_SECRET", "AUTH0_CLIENT_SECRET"]
    {
        if is_set(name) {
            findings.push(found(name, "a client secret"));
        }
    }
    if let Some(path) = environment::value("GOOGLE_APPLICATION_CREDENTIALS") {
        let document: Value =
            crate::files::read(path.as_ref()).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        if document["type"] == "service_account" {
            findings.push(found("GOOGLE_APPLICATION_CREDENTIALS", "and names a service account's key"));
        }
    }
    findings
}
