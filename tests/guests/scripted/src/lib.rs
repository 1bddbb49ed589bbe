//! Says what its configuration tells it to, when it tells it to: a session of a case in `tests/callers`, whose README has the format.

use serde_json::Value;
use wif_guest_kit::types::{
    Access, Clock, Event, Failure, FailureCode, Header, Output, PendingReason, Progress, Standing, Start, Usable,
};
use wif_guest_kit::{Behaviour, component, name, saying};

struct Scripted {
    lines: Vec<Value>,
    /// Which line holds, and since when.
    at: usize,
    since_ms: u64,
    begun_ms: Option<u64>,
}

component!(Scripted);

impl Behaviour for Scripted {
    fn open(configuration: &str, _: &Start) -> Self {
        let script: Value = serde_json::from_str(configuration).expect("a script");
        let lines = script["session"].as_array().expect("a list of lines").clone();
        Self { lines, at: 0, since_ms: 0, begun_ms: None }
    }

    fn step(&mut self, now: &Clock, event: &Event) -> Output {
        let now_ms = now.steady_ms.unwrap_or(now.wall_ms);
        let now_ms = now_ms - *self.begun_ms.get_or_insert(now_ms);
        while let Some(next) = self.lines.get(self.at + 1) {
            match next["from-ms"].as_u64() {
                Some(from_ms) if from_ms <= now_ms => self.since_ms = from_ms,
                None if next["on"] == name(event) && self.since_ms <= now_ms => self.since_ms = now_ms,
                _ => break,
            }
            self.at += 1;
            // An event has one effect.
            if next["on"].is_string() {
                break;
            }
        }
        let (line, age_ms) = (&self.lines[self.at], now_ms - self.since_ms);
        let mut output = saying(access(&line["access"], age_ms));
        output.progress = if line["progress"] == "underway" { Progress::Underway } else { Progress::Resting };
        output.wait_at_most_ms = line["wait-at-most-ms"].as_u64().and_then(|wait| wait.try_into().ok()).unwrap_or(1_000);
        let next = self.lines.get(self.at + 1).and_then(|next| next["from-ms"].as_u64());
        output.wake_in_ms = next.and_then(|next| next.saturating_sub(now_ms).try_into().ok());
        output
    }
}

/// What callers may do, so long after it was first said.
fn access(access: &Value, age_ms: u64) -> Access {
    let time = |of: &Value, name: &str| of[name].as_u64().map(|time| time.saturating_sub(age_ms));
    if let Some(usable) = access.get("usable") {
        let token = usable["token"].as_str().expect("a token");
        let authorization = Header { name: "authorization".to_owned(), value: format!("Bearer sk-ant-oat01-{token}") };
        return Access::Usable(Usable {
            id: token.repeat(16),
            origin: usable["origin"].as_str().unwrap_or("https://api.anthropic.com").to_owned(),
            set: vec![authorization],
            merge: Vec::new(),
            refresh_in_ms: time(usable, "refresh-in-ms"),
            hold_in_ms: time(usable, "hold-in-ms"),
            unusable_in_ms: time(usable, "unusable-in-ms"),
            standing: if usable["standing"] == "suspect" { Standing::Suspect } else { Standing::Good },
        });
    }
    if let Some(failure) = access.get("failed") {
        return Access::Failed(Failure {
            code: code(failure["code"].as_str().expect("a code")),
            message: "A script says so.".to_owned(),
            action: "Read it.".to_owned(),
            retry_in_ms: time(failure, "retry-in-ms"),
            rotation_in_ms: None,
            status: None,
            request_id: None,
        });
    }
    match access.as_str() {
        Some("pending") => Access::Pending(PendingReason::Exchanging),
        Some("idle") => Access::Idle,
        Some("closed") => Access::Closed,
        _ => panic!("no access: {access}"),
    }
}

fn code(name: &str) -> FailureCode {
    match name {
        "configuration" => FailureCode::Configuration,
        "identity-token-missing" => FailureCode::IdentityTokenMissing,
        "identity-token-spent" => FailureCode::IdentityTokenSpent,
        "refused" => FailureCode::Refused,
        "rate-limited" => FailureCode::RateLimited,
        "endpoint-failed" => FailureCode::EndpointFailed,
        _ => panic!("a code that no case has yet: {name}"),
    }
}
