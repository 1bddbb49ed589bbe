//! An authorization server with one client: by its secret (RFC 6749 section 2.3.1), or by its key (RFC 7523).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::Form;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::post;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json as document};

use crate::{Mint, json, text};

fn refuse(status: StatusCode, code: &str, description: &str) -> Response {
    json(status, &document!({ "error": code, "error_description": description }))
}

fn grant(form: &HashMap<String, String>, mint: &Mint) -> Response {
    if form.get("grant_type").map(String::as_str) != Some("client_credentials") {
        return refuse(StatusCode::BAD_REQUEST, "unsupported_grant_type", "The grant type is not supported.");
    }
    if form.get("scope").map(String::as_str) != Some("claude") {
        return refuse(StatusCode::BAD_REQUEST, "invalid_scope", "The client may not have this scope.");
    }
    let token = mint("https://api.anthropic.com");
    json(StatusCode::OK, &document!({ "access_token": token, "token_type": "Bearer", "expires_in": 300, "scope": "claude" }))
}

/// Takes a client's secret from the header, or with `in_body` from the body; never from both.
pub fn authorization_server(client: &str, secret: &str, in_body: bool, mint: Mint) -> Router {
    let (client, secret) = (client.to_owned(), secret.to_owned());
    let answer = move |headers: HeaderMap, Form(form): Form<HashMap<String, String>>| async move {
        let by_header = basic(text(&headers, "authorization")) == Some((client.clone(), secret.clone()))
            && !form.contains_key("client_secret");
        let by_body = form.get("client_id") == Some(&client)
            && form.get("client_secret") == Some(&secret)
            && !headers.contains_key("authorization");
        if if in_body { !by_body } else { !by_header } {
            return refuse(StatusCode::UNAUTHORIZED, "invalid_client", "Client authentication failed.");
        }
        grant(&form, &mint)
    };
    Router::new().route("/token", post(answer))
}

/// The client's id and secret: each form-encoded, then both in base64 (RFC 6749 section 2.3.1).
fn basic(value: &str) -> Option<(String, String)> {
    let pair = BASE64_STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    let pair = String::from_utf8(pair).ok()?;
    let (id, secret) = pair.split_once(':')?;
    let decoded =
        |text: &str| url::form_urlencoded::parse(format!("v={text}").as_bytes()).next().map(|(_, value)| value.into_owned());
    Some((decoded(id)?, decoded(secret)?))
}

/// Takes an assertion that the client's key signed, each once, for this very endpoint.
pub fn authorization_server_by_key(client: &str, key_id: &str, public_key_pem: &str, mint: Mint) -> Router {
    let (client, key_id) = (client.to_owned(), key_id.to_owned());
    let pem = public_key_pem.as_bytes();
    let (key, algorithm) = match DecodingKey::from_rsa_pem(pem) {
        Ok(key) => (key, Algorithm::RS256),
        Err(_) => (DecodingKey::from_ec_pem(pem).expect("a public key"), Algorithm::ES256),
    };
    let seen: Arc<Mutex<HashSet<String>>> = Arc::default();
    let answer = move |headers: HeaderMap, Form(form): Form<HashMap<String, String>>| async move {
        let assertion = form.get("client_assertion").map(String::as_str).unwrap_or_default();
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[&client]);
        validation.set_audience(&[format!("http://{}/token", text(&headers, "host"))]);
        validation.set_required_spec_claims(&["exp", "iss", "sub", "aud"]);
        let claims = jsonwebtoken::decode::<Value>(assertion, &key, &validation)
            .ok()
            .filter(|decoded| decoded.header.kid.as_deref() == Some(&key_id))
            .map(|decoded| decoded.claims)
            .filter(|claims| claims["sub"] == client.as_str());
        let jti = claims.as_ref().and_then(|claims| claims["jti"].as_str()).map(str::to_owned);
        let fresh = jti.is_some_and(|jti| seen.lock().unwrap_or_else(PoisonError::into_inner).insert(jti));
        if !fresh {
            return refuse(StatusCode::UNAUTHORIZED, "invalid_client", "The client assertion is not valid.");
        }
        grant(&form, &mint)
    };
    Router::new().route("/token", post(answer))
}
