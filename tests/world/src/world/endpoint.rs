//! The token endpoint, as far as a client can tell it from the real one: an identity token with a `jti` is exchanged once, and
//! every refusal looks the same.

use std::collections::{HashMap, HashSet, VecDeque};

use serde_json::{Value, json};

use crate::jwt;

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Weather {
    /// The connection is refused.
    Unreachable,
    /// The request is taken and forgotten; nothing is exchanged.
    Silent,
    /// The exchange happens and the answer is lost.
    AnswerLost,
    /// The exchange happens and the answer is garbage.
    Garbage,
    /// This answer, and no exchange.
    Answer(u16, Vec<(&'static str, String)>),
}

/// An access token that was given out.
#[derive(Debug, Clone)]
pub struct Grant {
    /// When.
    pub at_ms: u64,
    /// By whom.
    pub seat: usize,
    /// The id.
    pub id: String,
    /// From when on the API refuses it.
    pub expires_ms: u64,
}

/// The endpoint.
#[derive(Debug, Default)]
pub struct Endpoint {
    /// The rule's token lifetime.
    pub lifetime_s: u64,
    /// The answer's lifetime, against the formula.
    pub exact_lifetime_s: Option<u64>,
    /// From sending to the answer.
    pub latency_ms: u64,
    /// What becomes of the next requests, one each.
    pub next: VecDeque<Weather>,
    /// What becomes of all others, until changed.
    pub weather: Option<Weather>,
    /// Gives the same access token again and again.
    pub stuck: bool,
    /// What was given out.
    pub grants: Vec<Grant>,
    /// How many identity tokens were refused.
    pub refusals: usize,
    /// Expiry by id, on the world's clock.
    pub expiries: HashMap<String, u64>,
    pub(crate) consumed: HashSet<String>,
}

impl Endpoint {
    /// Takes a request that has arrived, and gives an outcome.
    pub(crate) fn take(&mut self, now_ms: u64, wall_s: u64, seat: usize, request: &Value) -> Value {
        match self.next.pop_front().or_else(|| self.weather.clone()) {
            None => self.exchange(now_ms, wall_s, seat, request),
            Some(Weather::Unreachable) => json!({"unsent": "connection refused"}),
            Some(Weather::Silent) => json!({"maybe-sent": "timed out"}),
            Some(Weather::AnswerLost) => {
                self.exchange(now_ms, wall_s, seat, request);
                json!({"maybe-sent": "connection reset"})
            }
            Some(Weather::Garbage) => {
                self.exchange(now_ms, wall_s, seat, request);
                response(200, &[], "<html>")
            }
            Some(Weather::Answer(status, headers)) => response(status, &headers, r#"{"type":"error"}"#),
        }
    }

    fn exchange(&mut self, now_ms: u64, wall_s: u64, seat: usize, request: &Value) -> Value {
        let body: Value = serde_json::from_str(request["body"].as_str().unwrap_or_default()).unwrap_or_default();
        let claims = jwt::claims(body["assertion"].as_str().unwrap_or_default()).unwrap_or_default();
        let expires = claims["exp"].as_u64().unwrap_or_default();
        let fresh = claims["jti"].as_str().is_none_or(|jti| self.consumed.insert(jti.to_owned()));
        if expires + 30 <= wall_s || !fresh {
            self.refusals += 1;
            let message = r#"{"type":"error","error":{"type":"authentication_error","message":"Authentication failed"}}"#;
            return response(401, &[], message);
        }
        let by_formula = self.lifetime_s.min(2 * expires.saturating_sub(wall_s)).max(60);
        let lifetime_s = self.exact_lifetime_s.unwrap_or(by_formula);
        let token = if self.stuck {
            "sk-ant-oat01-canary-stuck".to_owned()
        } else {
            format!("sk-ant-oat01-canary-{}", self.grants.len())
        };
        let id = jwt::id_of(&token);
        let expires_ms = now_ms + lifetime_s * 1000;
        self.expiries.insert(id.clone(), expires_ms);
        self.grants.push(Grant { at_ms: now_ms, seat, id, expires_ms });
        let body = json!({"access_token": token, "token_type": "Bearer", "expires_in": lifetime_s});
        response(200, &[], &body.to_string())
    }
}

fn response(status: u16, headers: &[(&str, String)], body: &str) -> Value {
    let headers: Vec<Value> = headers.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    json!({"response": {"status": status, "headers": headers, "body": body}})
}
