//! What the endpoint answers, exhaustively: every status has its class, and no form of an echo shows.

use serde_json::{Value, json};
use wif_world::world::federation;
use wif_world::{Kind, Machine, Opening, both, jwt};

const WALL_MS: u64 = 1_790_000_000_000;

struct Sent {
    machine: Box<dyn Machine>,
    number: Value,
    assertion: String,
}

/// A session whose first request is out.
fn sent(kind: Kind) -> Sent {
    let opening = Opening {
        configuration: federation(json!({"source": "file", "path": "/token"})).to_string(),
        seed: 1,
        can: vec!["read-file".into()],
        from: json!("fresh"),
    };
    let mut machine = kind.open(&opening).expect("valid");
    let claims = json!({"iss": "https://issuer.example", "sub": "system:serviceaccount:app:web", "aud": "https://api.anthropic.com",
        "iat": WALL_MS / 1000, "exp": WALL_MS / 1000 + 3_600, "jti": "b4a1c2d3-0000-4000-8000-1234567890ab"});
    let assertion = jwt::jwt(&claims);
    machine.step(&clock(0), &json!("woken"));
    let output = machine.step(&clock(0), &json!({"finished": {"number": 1, "outcome": {"content": assertion}}}));
    let number = output["tasks"][0]["number"].clone();
    Sent { machine, number, assertion }
}

fn clock(at_ms: u64) -> Value {
    json!({"wall-ms": WALL_MS + at_ms, "steady-ms": at_ms})
}

impl Sent {
    fn answer(&mut self, status: u16, body: &str) -> Value {
        let headers = json!([{"name": "request-id", "value": "req_1"}]);
        let outcome = json!({"response": {"status": status, "headers": headers, "body": body}});
        self.machine.step(&clock(300), &json!({"finished": {"number": self.number, "outcome": outcome}}))
    }
}

/// B2, B11, B12: no status is without a class, a pause and a trace to the endpoint's own records.
#[test]
fn every_status_has_its_class() {
    both(|kind| {
        for status in 100..=599 {
            let mut sent = sent(kind);
            let output = sent.answer(status, "{}");
            let failure = &output["access"]["failed"];
            let (code, pause_s, disposition) = match status {
                401 => ("refused", 14..=15, "unspent"),
                403 => ("forbidden", 300..=600, "unspent"),
                408 | 500..=599 => ("endpoint-failed", 4..=5, "uncertain"),
                425 => ("endpoint-failed", 4..=5, "unspent"),
                429 => ("rate-limited", 4..=5, "unspent"),
                400..=499 => ("request-invalid", 300..=600, "unspent"),
                _ => ("answer-unusable", 4..=5, "uncertain"),
            };
            assert_eq!(failure["code"], code, "{status}");
            assert_eq!((&failure["status"], &failure["request-id"]), (&json!(status), &json!("req_1")), "{status}");
            let retry_s = failure["retry-in-ms"].as_u64().map(|retry| retry / 1000).expect("a time");
            assert!(pause_s.contains(&retry_s), "{status}: again in {retry_s} s");
            let status_now = sent.machine.status(&clock(300));
            assert_eq!(status_now["identity-token"]["disposition"], disposition, "{status}");
            assert!(output["tasks"].as_array().is_some_and(Vec::is_empty), "{status}");
        }
    });
}

/// B13, G1: an endpoint that echoes the identity token - whole, in part, escaped, encoded, wherever in the body - does not get
/// it into messages, notes or status.
#[test]
fn no_form_of_an_echo_shows() {
    both(|kind| {
        let assertion = sent(kind).assertion;
        let each = |write: fn(u8) -> String| assertion.bytes().map(write).collect::<String>();
        let (percent, escaped) = (each(|byte| format!("%{byte:02X}")), each(|byte| format!("\\u{byte:04x}")));
        let spaced: String = assertion.chars().flat_map(|character| [character, ' ']).collect();
        let forms = [
            assertion.clone(),
            assertion[..assertion.len() / 2].to_owned(),
            assertion[40..120].to_owned(),
            assertion[assertion.len() - 60..].to_owned(),
            assertion.split('.').nth(1).unwrap_or_default().to_owned(),
            assertion.replace('.', "%2E"),
            percent,
            escaped,
            base64(&assertion),
            spaced,
            each(|byte| format!("{byte:02x}")),
            each(|byte| format!("&#x{byte:x};")),
            each(|byte| format!("{},", char::from(byte))),
            each(|byte| format!("%25{byte:02X}")),
            assertion.chars().rev().collect(),
            base64_for_urls(&assertion),
            format!("\"{assertion}\""),
            format!("Bearer {assertion}\n{assertion}"),
        ];
        for form in &forms {
            let quoted = if form.contains("\\u") { format!("\"no: {form}\"") } else { json!(format!("no: {form}")).to_string() };
            for body in [
                format!(
                    r#"{{"type":"error","error":{{"type":"invalid_request_error","message":{quoted}}},"request_id":"req_1"}}"#
                ),
                format!(r#"{{"error":"invalid_grant","error_description":{quoted}}}"#),
                format!(r#"{{"error":{quoted}}}"#),
                format!(r#"{{"error":{{"type":{quoted},"message":"x"}}}}"#),
                form.clone(),
            ] {
                for status in [400, 401, 403, 429, 500] {
                    let mut sent = sent(kind);
                    let output = sent.answer(status, &body);
                    let shown = format!("{}{}{}", output["notes"], output["access"], sent.machine.status(&clock(300)));
                    for start in 0..assertion.len() - 24 {
                        assert!(!shown.contains(&assertion[start..start + 24]), "{status} {body}\n{shown}");
                    }
                    // Nor does anything of the form itself.
                    for start in (0..form.len().saturating_sub(48)).step_by(8) {
                        let part = form.get(start..start + 48).unwrap_or("\0");
                        assert!(!shown.contains(part), "{status} {body}\n{shown}");
                    }
                }
            }
        }
    });
}

fn base64_for_urls(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
