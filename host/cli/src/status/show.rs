//! The report of `wif status`, on a screen and as a document.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Report;
use super::chain::{Chain, Place, Standing};
use super::identity::Look;
use crate::words::{moment, seconds};

pub(super) fn as_text(report: &Report) -> Vec<String> {
    let status = &report.status;
    let (state, summary) = report.state();
    let mut lines = vec![row("state", format!("{state} - {summary}"))];
    lines.push("sources, the first that counts first".to_owned());
    lines.extend(report.chain.places.iter().map(|place| of_place(place, &report.chain)));
    if let Some(profile) = &report.chain.profile {
        lines.push(row("profile", format!("{} in {}", profile.name, profile.path.display())));
    }
    for (name, value) in &status.configuration {
        let allowed = match (name.as_str(), report.origin_allowed) {
            ("base_url", Some(false)) => " (the policy does not allow it)",
            ("base_url", Some(true)) => " (allowed)",
            _ => "",
        };
        // It has a paragraph of its own.
        if name != "identity_token" || report.look.is_none() {
            lines.push(row(name, format!("{value}{allowed}")));
        }
    }
    if let Some(look) = &report.look {
        lines.extend(of_identity_token(report, look));
    }
    match &status.token {
        Some(token) => {
            lines.push(row("access token", format!("{} ({}) for {}", token.id, token.standing, token.origin)));
            lines.extend(token.lifetime.map(|time| row("  issued for", seconds(time))));
            lines.extend(token.refresh_in.map(|time| row("  refresh in", seconds(time))));
            lines.extend(token.unusable_in.map(|time| row("  unusable in", seconds(time))));
        }
        None if report.keeps_state => lines.push(row("access token", "none in the state file".to_owned())),
        None => {}
    }
    let (next, next_in) = report.next();
    let when = next_in.map(|time| format!(" in {}", seconds(time))).unwrap_or_default();
    lines.push(row("next", format!("{next}{when}")));
    if let Some(trouble) = &report.trouble {
        lines.push(row("failure", format!("{}: {}", trouble.code, trouble.message)));
        lines.push(row("  what to do", trouble.action.clone()));
    }
    lines.extend(report.warnings.iter().map(|warning| row("warning", warning.clone())));
    lines
}

fn row(name: &str, value: String) -> String {
    format!("{name:<21} {value}")
}

fn of_place(place: &Place, chain: &Chain) -> String {
    let mark = if matches!(place.standing, Standing::Used) { '*' } else { ' ' };
    let by = chain.used().map_or("what goes before it", |place| place.name);
    let standing = match place.standing {
        Standing::Used => "used".to_owned(),
        Standing::Hidden => format!("hidden by {by}"),
        Standing::Broken => "cannot be used: see the failure".to_owned(),
        Standing::Incomplete => "not enough".to_owned(),
        Standing::Absent => "-".to_owned(),
        Standing::NotAsked => "the configuration goes before it".to_owned(),
    };
    format!("  {mark} {:<width$} {standing} ({})", place.name, place.found, width = chain.width())
}

fn of_identity_token(report: &Report, look: &Look) -> Vec<String> {
    let found = match look.is_there() {
        Some(true) => "found",
        Some(false) => "not found",
        None => "not asked for: an exchange does",
    };
    let mut lines = vec![row("identity token", format!("{found} ({})", look.source))];
    if let Some(token) = &report.identity_token {
        let known = match report.keeps_state {
            true => "",
            false => ", as far as is known without --state FILE",
        };
        lines.push(row("  id", format!("{} ({}{known})", token.id, token.disposition)));
        lines.push(row("  issuer", token.issuer.clone()));
        lines.push(row("  subject", token.subject.clone()));
        lines.push(row("  audience", token.audience.clone()));
        let expiry =
            |time: Duration| format!("in {}{}", seconds(time), moment(time).map(|at| format!(" ({at})")).unwrap_or_default());
        lines.push(row("  expires", token.expires_in.map_or_else(|| "it has expired".to_owned(), expiry)));
    }
    if !report.reads.is_empty() {
        let set = |(name, is_set): &(String, bool)| format!("{name} ({})", if *is_set { "set" } else { "not set" });
        lines.push(row("  reads", report.reads.iter().map(set).collect::<Vec<_>>().join(", ")));
    }
    lines.extend(look.parts().and_then(|parts| parts.named("kid")).map(|kid| row("  kid", kid)));
    if look.is_there() == Some(true) {
        let rotation = match (look.rotates, look.rotates_in()) {
            (true, Some(time)) => format!("expected in {}", seconds(time)),
            (true, None) => "unknown".to_owned(),
            (false, _) => "never: nobody replaces what a variable holds while a program runs".to_owned(),
        };
        lines.push(row("  rotation", rotation));
    }
    lines
}

pub(super) fn as_json(report: &Report) -> Value {
    let status = &report.status;
    let milliseconds = |time: Option<Duration>| time.map(|time| time.as_millis() as u64);
    let configuration: Map<String, Value> =
        status.configuration.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let (state, summary) = report.state();
    let (next, next_in) = report.next();
    json!({
        "state": state,
        "summary": summary,
        "sources": report.chain.places.iter().map(Place::to_json).collect::<Vec<_>>(),
        "profile": report.chain.profile.as_ref().map(|profile| json!({
            "name": profile.name,
            "path": profile.path.display().to_string(),
        })),
        "configuration": configuration,
        "origin_allowed": report.origin_allowed,
        "token": status.token.as_ref().map(|token| json!({
            "id": token.id,
            "origin": token.origin,
            "standing": token.standing.as_str(),
            "lifetime_ms": milliseconds(token.lifetime),
            "refresh_in_ms": milliseconds(token.refresh_in),
            "unusable_in_ms": milliseconds(token.unusable_in),
        })),
        "identity_token": report.look.as_ref().map(|look| of_look(report, look)),
        "next": next,
        "next_in_ms": milliseconds(next_in),
        "failure": report.trouble.as_ref().map(|trouble| json!({
            "code": trouble.code,
            "message": trouble.message,
            "action": trouble.action,
            "retry_in_ms": milliseconds(trouble.retry_in),
            "rotation_in_ms": milliseconds(trouble.rotation_in),
        })),
        "warnings": report.warnings,
        "shadows": report.shadows,
        "exchanges_started": status.exchanges_started,
        "exchanges_succeeded": status.exchanges_succeeded,
        "clock_skew_ms": status.clock_skew_ms,
    })
}

fn of_look(report: &Report, look: &Look) -> Value {
    let token = report.identity_token.as_ref();
    json!({
        "source": look.source,
        "found": look.is_there(),
        "reads": report.reads.iter().map(|(name, is_set)| json!({ "variable": name, "set": is_set })).collect::<Vec<_>>(),
        "id": token.map(|token| &token.id),
        "issuer": token.map(|token| &token.issuer),
        "subject": token.map(|token| &token.subject),
        "audience": token.map(|token| &token.audience),
        "kid": look.parts().and_then(|parts| parts.named("kid")),
        "expires_in_ms": token.and_then(|token| token.expires_in).map(|time| time.as_millis() as u64),
        "rotation_in_ms": look.rotates_in().map(|time| time.as_millis() as u64),
        "disposition": token.map(|token| token.disposition.as_str()),
    })
}
