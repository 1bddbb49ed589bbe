//! The login of a person: the page that asks (RFC 6749 section 4.1, with PKCE, RFC 7636), and the answers to the grants
//! `authorization_code` and `refresh_token` of the token endpoint.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::envelope::RequestId;
use crate::emulator::Services;
use crate::exchange::{Code, SCOPE, grant};
use crate::random;

/// Where a code is shown, for browsers on another machine than the program's.
const SHOWN_AT: &str = "/oauth/code/callback";

pub(crate) fn routes() -> Router<Arc<Services>> {
    Router::new().route("/oauth/authorize", get(page).post(decide)).route(SHOWN_AT, get(shown))
}

type Parameters = Query<HashMap<String, String>>;

/// The page that asks.
async fn page(State(state): State<Arc<Services>>, Query(query): Parameters) -> Response {
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
async fn decide(State(state): State<Arc<Services>>, Query(query): Parameters) -> Response {
    let asked = match Asked::read(&query, &state) {
        Ok(asked) => asked,
        Err(what) => return refused(what),
    };
    let given = match query.get("decision").map(String::as_str) {
        Some("allow") => {
            let to = Code {
                client_id: asked.client_id.to_owned(),
                redirect_uri: asked.redirect_uri.to_owned(),
                challenge: asked.challenge.to_owned(),
            };
            format!("code={}", state.logins.allow(to, state.clocks.service()))
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
    fn read(query: &'a HashMap<String, String>, state: &Services) -> Result<Self, &'static str> {
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
pub(super) fn granted(state: &Services, request_id: &RequestId, body: &[u8]) -> Option<Response> {
    Some(match grant(state, &request_id.0, body)? {
        Ok(granted) => {
            let answer = json!({
                "token_type": "Bearer",
                "access_token": &*granted.access_token,
                "expires_in": granted.lifetime_seconds,
                "refresh_token": granted.refresh_token,
                "scope": SCOPE,
                "organization": { "uuid": granted.organization_id, "name": "Emulated" },
                "account": { "uuid": random::uuid(), "email_address": "person@example.com" },
            });
            Json(answer).into_response()
        }
        Err(what) => {
            let answer = json!({ "error": "invalid_grant", "error_description": what });
            (StatusCode::BAD_REQUEST, [(CACHE_CONTROL, "no-store")], Json(answer)).into_response()
        }
    })
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
