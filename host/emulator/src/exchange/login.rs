//! The login of a person: the page that asks (RFC 6749 section 4.1, with PKCE, RFC 7636), and the grants `authorization_code` and
//! `refresh_token` of the token endpoint. A refresh token can be used once.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::extract::{Query, State as FromState};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::federation::Admission;
use crate::emulator::State;
use crate::envelope::RequestId;
use crate::history::{Kind, Outcome, Reason, Record};
use crate::random;
use crate::token_id::{TokenId, digest};

/// A code is good for so long.
const CODE_LIFETIME: Duration = Duration::from_secs(600);

/// Where a code is shown, for browsers on another machine than the program's.
const SHOWN_AT: &str = "/oauth/code/callback";

/// What a person may do.
const SCOPE: &str = "workspace:developer";

/// The codes and refresh tokens that are good.
#[derive(Default)]
pub(crate) struct Logins(Mutex<Known>);

#[derive(Default)]
struct Known {
    codes: HashMap<[u8; 32], Code>,
    /// By digest, the application that each was issued to.
    refresh_tokens: HashMap<[u8; 32], String>,
}

struct Code {
    client_id: String,
    redirect_uri: String,
    challenge: String,
    until: SystemTime,
}

pub(crate) fn routes() -> Router<Arc<State>> {
    Router::new().route("/oauth/authorize", get(page).post(decide)).route(SHOWN_AT, get(shown))
}

type Parameters = Query<HashMap<String, String>>;

/// The page that asks.
async fn page(FromState(state): FromState<Arc<State>>, Query(query): Parameters) -> Response {
    let asked = match Asked::read(&query, &state) {
        Ok(asked) => asked,
        Err(what) => return refused(what),
    };
    let action = |decision: &str| {
        let members = ["response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method"];
        let mut target = format!("/oauth/authorize?decision={decision}");
        for name in members {
            if let Some(value) = query.get(name) {
                let _ = write!(target, "&{name}={}", encoded(value));
            }
        }
        escaped(&target)
    };
    html(&format!(
        "<h1>Log in?</h1><p>The application <b>{}</b> asks for access.</p>\
         <form method=\"post\" action=\"{}\"><button id=\"allow\">Allow</button></form>\
         <form method=\"post\" action=\"{}\"><button id=\"deny\">Deny</button></form>",
        escaped(asked.client_id),
        action("allow"),
        action("deny"),
    ))
}

/// What the person decided.
async fn decide(FromState(state): FromState<Arc<State>>, Query(query): Parameters) -> Response {
    let asked = match Asked::read(&query, &state) {
        Ok(asked) => asked,
        Err(what) => return refused(what),
    };
    let given = match query.get("decision").map(String::as_str) {
        Some("allow") => {
            let code = random::url_safe(24).to_string();
            let kept = Code {
                client_id: asked.client_id.to_owned(),
                redirect_uri: asked.redirect_uri.to_owned(),
                challenge: asked.challenge.to_owned(),
                until: state.clocks.service() + CODE_LIFETIME,
            };
            state.logins.lock().codes.insert(digest(&code), kept);
            format!("code={code}")
        }
        _ => "error=access_denied".to_owned(),
    };
    let location = format!("{}?{given}&state={}", asked.redirect_uri, encoded(asked.state));
    match HeaderValue::from_str(&location) {
        Ok(location) => (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response(),
        Err(_) => refused("redirect_uri cannot stand in a header"),
    }
}

/// The code, to be pasted.
async fn shown(Query(query): Parameters) -> Response {
    let member = |name: &str| query.get(name).map(|value| escaped(value)).unwrap_or_default();
    if query.contains_key("code") {
        let (code, state) = (member("code"), member("state"));
        return html(&format!("<h1>Paste this code</h1><p id=\"code\">{code}#{state}</p>"));
    }
    html(&format!("<h1>No login</h1><p>{}</p>", member("error")))
}

/// What the page was asked for.
struct Asked<'a> {
    client_id: &'a str,
    redirect_uri: &'a str,
    state: &'a str,
    challenge: &'a str,
}

impl<'a> Asked<'a> {
    fn read(query: &'a HashMap<String, String>, state: &State) -> Result<Self, &'static str> {
        let member = |name: &str| query.get(name).map(String::as_str).filter(|value| !value.is_empty());
        if member("response_type") != Some("code") {
            return Err("response_type: must be `code`");
        }
        if member("code_challenge_method") != Some("S256") {
            return Err("code_challenge_method: must be `S256`");
        }
        let redirect_uri = member("redirect_uri").ok_or("redirect_uri: Field required")?;
        // RFC 8252 section 7.3.
        let to_loopback = ["http://localhost:", "http://127.0.0.1:", "http://[::1]:"].iter().any(|origin| {
            let port = redirect_uri.strip_prefix(origin).and_then(|rest| rest.split('/').next());
            port.is_some_and(|port| port.parse::<u16>().is_ok())
        });
        if !to_loopback && redirect_uri != format!("{}{SHOWN_AT}", state.base_url) {
            return Err("redirect_uri: must be on the loopback interface, or the page that shows codes");
        }
        Ok(Self {
            client_id: member("client_id").ok_or("client_id: Field required")?,
            redirect_uri,
            state: member("state").ok_or("state: Field required")?,
            challenge: member("code_challenge").filter(|text| text.len() == 43).ok_or("code_challenge: must be a SHA-256")?,
        })
    }
}

/// Answers a grant of a login; none, if the body is something else.
pub(super) fn grant(state: &State, request_id: &RequestId, body: &[u8]) -> Option<Response> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let member = |name: &str| body[name].as_str().unwrap_or_default();
    let now = state.clocks.service();
    let granted = match member("grant_type") {
        "authorization_code" => {
            state.logins.redeem(member("code"), member("client_id"), member("redirect_uri"), member("code_verifier"), now)
        }
        "refresh_token" => state.logins.refresh(member("refresh_token"), member("client_id")),
        _ => return None,
    };
    let record = |outcome| Record::new(now, &request_id.0, Kind::Exchange, outcome);
    Some(match granted {
        Ok(refresh_token) => {
            let federation = state.federation();
            let admission = Admission {
                jti: None,
                organization_id: federation.an_organization(),
                workspace_id: None,
                scope: SCOPE.to_owned(),
                lifetime_seconds: state.login_lifetime_seconds,
            };
            let token = state.access_tokens.mint(&admission, now);
            state.history.record(Record {
                access_token_id: Some(TokenId::of(&token)),
                lifetime_seconds: Some(admission.lifetime_seconds),
                ..record(Outcome::Granted)
            });
            let answer = json!({
                "token_type": "Bearer",
                "access_token": &*token,
                "expires_in": admission.lifetime_seconds,
                "refresh_token": refresh_token,
                "scope": SCOPE,
                "organization": { "uuid": admission.organization_id, "name": "Emulated" },
                "account": { "uuid": random::uuid(), "email_address": "person@example.com" },
            });
            Json(answer).into_response()
        }
        Err(what) => {
            state.history.record(Record {
                reason: Some(Reason::RequestMalformed),
                detail: Some(what.to_owned()),
                ..record(Outcome::Denied)
            });
            let answer = json!({ "error": "invalid_grant", "error_description": what });
            (StatusCode::BAD_REQUEST, [(CACHE_CONTROL, "no-store")], Json(answer)).into_response()
        }
    })
}

impl Logins {
    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn redeem(
        &self,
        code: &str,
        client_id: &str,
        redirect_uri: &str,
        verifier: &str,
        now: SystemTime,
    ) -> Result<String, &'static str> {
        let mut known = self.lock();
        let kept = known.codes.remove(&digest(code)).filter(|kept| now < kept.until).ok_or("the code is not good")?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
        if kept.client_id != client_id || kept.redirect_uri != redirect_uri || kept.challenge != challenge {
            return Err("the code was issued for something else");
        }
        Ok(known.issue(client_id))
    }

    fn refresh(&self, refresh_token: &str, client_id: &str) -> Result<String, &'static str> {
        let mut known = self.lock();
        let of = known.refresh_tokens.remove(&digest(refresh_token)).ok_or("the refresh token is not good")?;
        if of != client_id {
            return Err("the refresh token was issued to another application");
        }
        Ok(known.issue(client_id))
    }
}

impl Known {
    fn issue(&mut self, client_id: &str) -> String {
        let token = format!("sk-ant-ort01-{}", *random::url_safe(48));
        self.refresh_tokens.insert(digest(&token), client_id.to_owned());
        token
    }
}

fn refused(what: &str) -> Response {
    (StatusCode::BAD_REQUEST, html(&format!("<h1>This cannot be asked</h1><p>{}</p>", escaped(what)))).into_response()
}

fn html(body: &str) -> Response {
    let page = format!("<!doctype html><meta charset=\"utf-8\"><title>Emulated login</title>{body}");
    let headers = [(CACHE_CONTROL, "no-store"), (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'")];
    (headers, Html(page)).into_response()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}
