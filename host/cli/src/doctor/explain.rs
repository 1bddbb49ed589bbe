//! From a check that failed to a finding: what people usually did, and what to change.

use serde_json::Value;
use wif_federation::{
    Algorithm, Check, DEFAULT_JWT_LIFETIME_SECONDS, LEEWAY_SECONDS, LONGEST_JWT_LIFETIME_SECONDS, MEMBERSHIP,
    MOST_ASSERTION_BYTES, Reason,
};

use super::finding::{Certainty, Finding};
use super::settings::{Case, Settings};
use crate::jwt::Parts;
use crate::words::printable;

/// The finding for a check that failed.
pub(super) fn of(check: &Check, reason: Reason, token: &Parts, case: &Case, settings: &Settings) -> Finding {
    let shown = |value: &Value| printable(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    let expected = check.expected.as_ref().map(shown);
    let found = check.found.as_ref().map(shown);
    let detail = check.detail.as_deref().map(printable).unwrap_or_default();
    let assumed = match check.name.as_str() {
        "iss" | "lifetime" | "kid" | "signature" => !settings.knows_the_issuer(),
        "aud" => !settings.knows_the_rule(),
        _ => false,
    };
    let certainty = if assumed { Certainty::Likely } else { Certainty::Refused };
    let new = |rank, what: String, change: String| Finding {
        expected: expected.clone(),
        found: found.clone(),
        ..Finding::new(reason.code(), certainty, rank, what).change(change)
    };
    let (e, f) = (expected.as_deref().unwrap_or_default(), found.as_deref().unwrap_or_default());
    match check.name.as_str() {
        "form" | "payload" => new(
            0,
            format!("This is no identity token that could be exchanged: {detail}."),
            format!(
                "Hand over the JWT as the provider gives it: three parts, at most {MOST_ASSERTION_BYTES} bytes, nothing around it."
            ),
        ),
        "alg" => algorithm(new, token),
        "kid" => key_id(new, reason, token, case, &detail, e),
        "signature" => new(
            33,
            format!("The signature is not by the issuer's key of that kid. {detail}").trim_end().to_owned(),
            "Look whether two clusters or tenants share this issuer URL; with inline keys, paste the issuer's present keys."
                .to_owned(),
        ),
        "iss" => issuer(new, e, f, reason),
        "aud" => audience(new, e, token),
        "sub" => new(
            14,
            "The token has no subject that is text.".to_owned(),
            "Let the provider set the claim sub: the service refuses a token without it.".to_owned(),
        ),
        "iat" if reason == Reason::JwtIssuedInFuture => new(
            26,
            "The token was issued in the future.".to_owned(),
            format!(
                "Set the clock of the provider, or of this machine: more than {LEEWAY_SECONDS} s ahead is refused. Times are in seconds."
            ),
        ),
        "exp" if reason == Reason::JwtExpired => expired(new, token),
        "iat" | "exp" | "nbf" if reason != Reason::JwtNotYetValid => times(new, &check.name, token),
        "nbf" => new(
            27,
            "The token is not valid yet.".to_owned(),
            format!("Set the clocks, or wait: nbf may be at most {LEEWAY_SECONDS} s ahead."),
        ),
        "lifetime" => lifetime(new, token, case, assumed),
        "jti" => {
            new(50, "The claim jti is no text.".to_owned(), "Let the provider write jti as a string, or leave it out.".to_owned())
        }
        "match.subject_prefix" => subject(new, e, f),
        "match.condition" => condition(new, &detail, token, case),
        "workspace" => workspace(new, reason, case, e, f),
        MEMBERSHIP => new(
            40,
            "The service account is not a member of the workspace.".to_owned(),
            "Add it to the workspace: it is a member of the default one only, by itself.".to_owned(),
        ),
        "service_account" => new(
            35,
            match reason {
                Reason::ServiceAccountArchived => "The service account is archived.".to_owned(),
                _ => "The rule leads to another service account than is configured.".to_owned(),
            },
            "Set ANTHROPIC_SERVICE_ACCOUNT_ID to the rule's target, or leave it out.".to_owned(),
        ),
        "scope" => new(45, detail, "Give the service account the role, or the rule a smaller scope.".to_owned()),
        "organization" => new(
            2,
            "The rule belongs to another organization than is configured.".to_owned(),
            "Set ANTHROPIC_ORGANIZATION_ID to the organization of the rule.".to_owned(),
        ),
        "rule" => new(2, "The rule is archived, or there is none.".to_owned(), "Name a rule that is in use.".to_owned()),
        "issuer" => new(2, "The rule's issuer is archived.".to_owned(), "Take it back into use, or make another.".to_owned()),
        name => match name.strip_prefix("match.claims.") {
            Some(claim) => claims(new, claim, token, e),
            None => new(60, format!("The check {name} fails. {detail}"), "See expected and found.".to_owned()),
        },
    }
}

fn algorithm(new: impl Fn(u8, String, String) -> Finding, token: &Parts) -> Finding {
    let name = token.named("alg").unwrap_or_else(|| "nothing".to_owned());
    let what = match name.as_str() {
        "HS256" | "HS384" | "HS512" => "The token is signed with a shared secret, which the service cannot know.",
        "none" => "The token is not signed.",
        _ => "The token is signed with an algorithm that the service does not take.",
    };
    let mut finding = new(11, what.to_owned(), "Let the provider sign with RS256 or ES256.".to_owned());
    finding.expected = Some(Algorithm::all().map(Algorithm::name).collect::<Vec<_>>().join(", "));
    finding.found = Some(name);
    finding
}

fn key_id(
    new: impl Fn(u8, String, String) -> Finding,
    reason: Reason,
    token: &Parts,
    case: &Case,
    detail: &str,
    known: &str,
) -> Finding {
    match reason {
        Reason::KeyIdMissing => {
            let mut finding = new(
                12,
                "The token's header has no kid.".to_owned(),
                "Let the provider name the key that it signs with: the service finds it by nothing else.".to_owned(),
            );
            finding.expected = Some("a kid of the issuer's keys".to_owned());
            finding
        }
        Reason::JwksUnavailable => new(
            30,
            format!("The issuer's keys cannot be fetched: {detail}."),
            "Publish them by https on port 443 at a public name, or give them inline: jwks {\"type\": \"inline\"}.".to_owned(),
        ),
        _ => {
            let mut finding = new(
                31,
                format!("The issuer has no key with the token's kid. {detail}").trim_end().to_owned(),
                match case.has_keys() {
                    true => "Paste the keys that the issuer has now into jwks.keys: perhaps it has rotated them.".to_owned(),
                    false => {
                        "Wait a minute if the issuer has just rotated its keys. Otherwise find out which issuer made the token."
                            .to_owned()
                    }
                },
            );
            finding.expected = Some(if known.is_empty() { "a key".to_owned() } else { format!("one of {known}") });
            finding.found = token.named("kid");
            finding
        }
    }
}

fn issuer(new: impl Fn(u8, String, String) -> Finding, expected: &str, found: &str, reason: Reason) -> Finding {
    if reason != Reason::IssuerMismatch {
        let what = "The token has no claim iss that is text.".to_owned();
        return new(9, what, "Set the provider's issuer (SPIRE: jwt_issuer): the service refuses a token without it.".to_owned());
    }
    let scheme = |url: &str| url.split_once("://").map(|(_, rest)| rest.to_owned()).unwrap_or_else(|| url.to_owned());
    let entra = |url: &str| url.contains("sts.windows.net") || url.contains("login.microsoftonline.com");
    let what = if expected.trim_end_matches('/') == found.trim_end_matches('/') {
        "The issuer differs by the slash at its end: it is compared byte for byte."
    } else if expected.eq_ignore_ascii_case(found) {
        "The issuer differs by upper and lower case: it is compared byte for byte."
    } else if scheme(expected) == scheme(found) {
        "The issuer differs by its scheme: it is compared byte for byte."
    } else if expected.trim() == found {
        "The registered issuer has white space around it."
    } else if entra(expected) && entra(found) {
        "One is an Entra token of version 1, the other issuer is of version 2 (or of another tenant)."
    } else if found.starts_with(expected) || expected.starts_with(found) {
        "One issuer is the beginning of the other: a realm, tenant or port is missing in one of them."
    } else {
        "The token is from another issuer than the rule's."
    };
    let change = match entra(expected) && entra(found) {
        true => "Set the issuer_url to what the token says, or requestedAccessTokenVersion of the app registration to 2.",
        false => {
            "Set the issuer's issuer_url to exactly what the token says, or take the token from the issuer that is registered."
        }
    };
    new(10, what.to_owned(), change.to_owned())
}

/// Audiences that tokens have by default, and what they are for.
const AUDIENCES: [(&str, &str); 8] = [
    ("sts.amazonaws.com", "It is the token that EKS makes for AWS (IRSA)."),
    ("pods.eks.amazonaws.com", "It is the token of EKS Pod Identity."),
    ("api://AzureADTokenExchange", "It is the token that AKS makes for Entra."),
    ("https://kubernetes.default.svc", "It is the token that a pod has for the cluster's own API."),
    ("https://github.com/", "It is the audience that GitHub takes where none is asked for."),
    ("https://vercel.com/", "It is the audience that Vercel takes where none is asked for."),
    ("https://gitlab.com", "It is the audience that GitLab takes where none is given."),
    ("//iam.googleapis.com/", "It is a token for Google's workload identity pools."),
];

fn audience(new: impl Fn(u8, String, String) -> Finding, expected: &str, token: &Parts) -> Finding {
    let of = |value: &Value| -> Vec<String> {
        match value {
            Value::String(one) => vec![one.clone()],
            Value::Array(several) => several.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    };
    let found = token.claims.get("aud").map(of).unwrap_or_default();
    let usual = AUDIENCES.iter().find(|(begin, _)| found.iter().any(|one| one.starts_with(begin))).map(|(_, what)| *what);
    let near = |other: &str| {
        let plain = |text: &str| text.trim().trim_end_matches('/').to_ascii_lowercase();
        plain(other) == plain(expected) || format!("https://{}", plain(other)) == plain(expected)
    };
    let what = if found.is_empty() {
        "The token has no audience."
    } else if found.iter().any(|one| near(one)) {
        "The audience differs by a slash, a scheme, white space or case: it is compared byte for byte."
    } else {
        usual.unwrap_or("The token is for another audience than the rule's.")
    };
    let change = format!(
        "Ask the provider for a token with the audience {expected}, or set match.audience of the rule to what the token has. Do not \
         send tokens of another service's audience."
    );
    let mut finding = new(15, what.to_owned(), change);
    finding.found = Some(if found.is_empty() { "nothing".to_owned() } else { printable(&found.join(", ")) });
    finding
}

fn expired(new: impl Fn(u8, String, String) -> Finding, token: &Parts) -> Finding {
    let in_milliseconds = token.seconds("iat").is_some_and(|at| at > 100_000_000_000);
    let change = match in_milliseconds {
        true => "Let the provider write times in seconds.",
        false => "Hand over a fresh token: look at what should rotate it, and at this machine's clock.",
    };
    new(6, "The token has expired.".to_owned(), change.to_owned())
}

fn times(new: impl Fn(u8, String, String) -> Finding, name: &str, token: &Parts) -> Finding {
    let is_legacy = name == "exp" && token.claims.get("iss").is_some_and(|iss| iss == "kubernetes/serviceaccount");
    let mut finding = match (is_legacy, token.claims.get(name)) {
        (true, _) => new(
            5,
            "This is a Kubernetes token of the old kind, out of a Secret: it never expires.".to_owned(),
            "Project a service account token (serviceAccountToken with an audience and expirationSeconds).".to_owned(),
        ),
        (false, None) => new(
            14,
            format!("The token has no claim {name}, which the service requires."),
            "Let the provider set it; a token without expiry is a static secret, too.".to_owned(),
        ),
        (false, Some(_)) => new(
            14,
            format!("The claim {name} is no number of seconds."),
            "Let the provider write a number (RFC 7519 section 2), not text and not a date.".to_owned(),
        ),
    };
    finding.expected = Some("a number of seconds since 1970".to_owned());
    finding
}

fn lifetime(new: impl Fn(u8, String, String) -> Finding, token: &Parts, case: &Case, assumed: bool) -> Finding {
    let life = token.seconds("exp").zip(token.seconds("iat")).map_or(0, |(exp, iat)| exp - iat);
    let longest = case.issuer.max_jwt_lifetime_seconds;
    let whose = match assumed {
        true => format!("issuers take {DEFAULT_JWT_LIFETIME_SECONDS} s where nothing else is set"),
        false => "the issuer's limit is shorter".to_owned(),
    };
    let change = match u64::try_from(life).is_ok_and(|life| life <= LONGEST_JWT_LIFETIME_SECONDS) {
        true => {
            format!("Raise the issuer's max_jwt_lifetime_seconds to {life}, or ask for tokens that live {longest} s at most.")
        }
        false => format!(
            "Ask for tokens that live {longest} s at most: no issuer may allow more than {LONGEST_JWT_LIFETIME_SECONDS} s."
        ),
    };
    let mut finding = new(25, format!("The token lives {life} s, and {whose}."), change);
    finding.found = Some(format!("{life} s"));
    finding
}

fn subject(new: impl Fn(u8, String, String) -> Finding, expected: &str, found: &str) -> Finding {
    let (what, change) = subject_hint(expected, found);
    new(20, what, change)
}

fn subject_hint(expected: &str, found: &str) -> (String, String) {
    let exact = "Set match.subject_prefix to the token's subject, or to its beginning and *.".to_owned();
    let is_of_github = |text: &str| text.starts_with("repo:");
    if is_of_github(expected) && is_of_github(found) {
        let repository = |text: &str| text[5..].split(':').next().unwrap_or_default().trim_end_matches('*').to_owned();
        let (rule, token) = (repository(expected), repository(found));
        let without_ids =
            |text: &str| text.split('/').map(|part| part.split('@').next().unwrap_or_default()).collect::<Vec<_>>().join("/");
        if rule.contains('@') != token.contains('@') && without_ids(&rule).trim_end_matches('/') == without_ids(&token) {
            return (
                "GitHub writes subjects in two forms: repo:OWNER/NAME:… and, for repositories that are new, renamed or opted in, \
                 repo:OWNER@ID/NAME@ID:…. The rule has the other form."
                    .to_owned(),
                format!("Set match.subject_prefix to repo:{token}:*, or match the claims repository and repository_owner_id."),
            );
        }
        if rule.eq_ignore_ascii_case(&token) && rule != token {
            return ("The repository differs by upper and lower case.".to_owned(), exact);
        }
        if rule == token {
            let kind = |text: &str| text[5..].split_once(':').map(|(_, kind)| kind.to_owned()).unwrap_or_default();
            return (
                format!(
                    "The repository is right, and what runs is not: the rule wants {}, and the job is {}.",
                    kind(expected),
                    kind(found)
                ),
                "A job with an environment has environment:NAME in place of ref:…, and a pull request has pull_request. Match what \
                 the job is."
                    .to_owned(),
            );
        }
    }
    if expected.trim() != expected {
        return ("The rule's subject_prefix has white space around it.".to_owned(), exact);
    }
    if expected.eq_ignore_ascii_case(found) {
        return ("The subject differs by upper and lower case.".to_owned(), exact);
    }
    if found.starts_with(expected) && !expected.is_empty() {
        let change = format!("Write {expected}* to match every subject that begins so.");
        return (
            "The rule has the beginning of the subject without a * at its end, and so wants exactly that.".to_owned(),
            change,
        );
    }
    if expected.strip_suffix('*').unwrap_or(expected).contains('*') {
        return ("A * counts at the end of subject_prefix only: elsewhere it stands for itself.".to_owned(), exact);
    }
    let account = |text: &str| text.strip_prefix("system:serviceaccount:").map(str::to_owned);
    if let (Some(rule), Some(token)) = (account(expected), account(found)) {
        let differs = if rule.split(':').next() == token.split(':').next() { "service account" } else { "namespace" };
        return (format!("The {differs} is another one."), exact);
    }
    ("The subject is not the rule's.".to_owned(), exact)
}

fn claims(new: impl Fn(u8, String, String) -> Finding, claim: &str, token: &Parts, expected: &str) -> Finding {
    let value = token.claims.get(claim);
    let nested = claim.split_once('.').is_some_and(|(outer, _)| token.claims.get(outer).is_some_and(Value::is_object));
    let nearest = token.claims.keys().find(|known| known.eq_ignore_ascii_case(claim));
    let (what, change) = match value {
        None if nested => (
            format!("{claim} is within another claim, and match.claims looks at the top level only."),
            format!("Use match.condition, such as claims.{claim} == \"{expected}\"."),
        ),
        None => match nearest {
            Some(known) => (format!("There is no claim {claim}; there is {known}."), format!("Write {known} in match.claims.")),
            None => (
                format!("The token has no claim {claim}."),
                "Look at the claims that the provider sets: some have to be asked for (format=full at Google, a mapper at Keycloak)."
                    .to_owned(),
            ),
        },
        Some(Value::String(text)) if text.eq_ignore_ascii_case(expected) => (
            format!("The claim {claim} differs by upper and lower case."),
            format!("Write {text} in match.claims, exactly."),
        ),
        Some(Value::String(text)) => (
            format!("The claim {claim} has another value."),
            format!("Write {} in match.claims if this workload is meant.", printable(text)),
        ),
        Some(other) => {
            let kind = match other {
                Value::Number(_) => "a number",
                Value::Bool(_) => "true or false",
                Value::Array(_) => "a list",
                _ => "an object",
            };
            let condition = match other {
                Value::Array(_) => format!("\"{expected}\" in claims.{claim}"),
                _ => format!("claims.{claim} == {other}"),
            };
            (
                format!("The claim {claim} is {kind}, and match.claims matches text only."),
                format!("Use match.condition: {condition}"),
            )
        }
    };
    let mut finding = new(21, what, change);
    finding.found.get_or_insert_with(|| "nothing".to_owned());
    finding
}

/// `without_answer` says why the condition has none, if it has none.
fn condition(new: impl Fn(u8, String, String) -> Finding, without_answer: &str, token: &Parts, case: &Case) -> Finding {
    let text = case.rule.matcher.condition.as_deref().unwrap_or_default();
    if without_answer.is_empty() {
        let named = named_claims(text);
        let values: Vec<String> = named
            .iter()
            .map(|name| {
                format!("{name} = {}", token.claims.get(name).map_or("nothing".to_owned(), |value| printable(&value.to_string())))
            })
            .collect();
        let mut finding = new(
            22,
            "The rule's condition is false for this token.".to_owned(),
            "Compare the claims that it names with what the token says.".to_owned(),
        );
        if !values.is_empty() {
            finding.found = Some(values.join(", "));
        }
        return finding;
    }
    let missing: Vec<String> = named_claims(text).into_iter().filter(|name| !token.claims.contains_key(name)).collect();
    match missing.is_empty() {
        false => new(
            22,
            format!("The condition names {}, which the token does not have: that counts as false.", missing.join(", ")),
            "Ask with has(claims.NAME) first, or mend the name.".to_owned(),
        ),
        true => new(
            22,
            format!("In the rule, {without_answer}."),
            "Mind the types: a number is not text. Numbers are compared without quotes.".to_owned(),
        ),
    }
}

/// The claims that a condition names, as far as they can be seen in its text.
fn named_claims(condition: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (at, _) in condition.match_indices("claims") {
        let rest = &condition[at + 6..];
        let name: String = if let Some(rest) = rest.strip_prefix('.') {
            rest.chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect()
        } else if let Some(rest) = rest.strip_prefix("[\"").or_else(|| rest.strip_prefix("['")) {
            rest.chars().take_while(|character| !matches!(character, '"' | '\'')).collect()
        } else {
            continue;
        };
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn workspace(new: impl Fn(u8, String, String) -> Finding, reason: Reason, case: &Case, enabled: &str, found: &str) -> Finding {
    if reason == Reason::WorkspaceIdRequired {
        let what = match case.rule.applies_to_all_workspaces {
            true => "The rule is enabled in all workspaces, and none is named.",
            false => "The rule is enabled in several workspaces, and none is named.",
        };
        return new(40, what.to_owned(), "Set ANTHROPIC_WORKSPACE_ID to one of them, or to default.".to_owned());
    }
    let what = match found {
        "default" => "The rule is not enabled in the default workspace.",
        _ => "The rule is not enabled in the workspace that is named.",
    };
    new(40, what.to_owned(), format!("Name one of {enabled}, or enable the rule in that workspace."))
}
