//! Says what its configuration tells it to, when it tells it to: a session of a case in `tests/callers`, whose README has the format.

use serde_json::Value;
use wif_guest_kit::types::{
    Access, Clock, Event, Failure, FailureCode, Header, Output, PendingReason, Progress, Standing, Start, Usable,
};
use wif_guest_kit::{Behaviour, component, name, saying};
use wif_guest_script::{Line, Script};

struct Scripted(Script);

component!(Scripted);

impl Behaviour for Scripted {
    fn open(configuration: &str, _: &Start) -> Self {
        Self(Script::read(configuration))
    }

    fn step(&mut self, now: &Clock, event: &Event) -> Output {
        let line = self.0.line(now.steady_ms.unwrap_or(now.wall_ms), name(event));
        let mut output = saying(access(&line));
        output.progress = if line.is_underway() { Progress::Underway } else { Progress::Resting };
        output.wait_at_most_ms = line.wait_at_most_ms();
        output.wake_in_ms = line.next_in_ms;
        output
    }
}

/// What callers may do.
fn access(line: &Line<'_>) -> Access {
    let access = &line.says["access"];
    let time = |part: &Value, name: &str| line.time(part, name);
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
