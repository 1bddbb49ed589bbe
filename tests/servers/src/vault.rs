//! Vault: the Kubernetes login and the identity tokens of one role.

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json as document};

use crate::{Mint, json, text};

const CLIENT_TOKEN: &str = "hvs.CAESIlocal";

/// One login role for one pod's token, and one role of identity tokens.
pub fn vault(login_role: &str, pod_token: &str, role: &str, audience: &str, mint: Mint) -> Router {
    let errors = |status: StatusCode, message: &str| json(status, &document!({ "errors": [message] }));
    let (login_role, pod_token) = (login_role.to_owned(), pod_token.to_owned());
    let login = move |headers: HeaderMap, Json(body): Json<Value>| async move {
        if text(&headers, "x-vault-request") != "true" {
            return errors(StatusCode::PRECONDITION_FAILED, "missing required header");
        }
        if body["role"] != login_role.as_str() {
            return errors(StatusCode::BAD_REQUEST, "invalid role name");
        }
        if body["jwt"] != pod_token.as_str() {
            return errors(StatusCode::FORBIDDEN, "permission denied");
        }
        json(StatusCode::OK, &document!({ "auth": { "client_token": CLIENT_TOKEN, "lease_duration": 3600, "renewable": true } }))
    };
    let (role, audience) = (role.to_owned(), audience.to_owned());
    let token = move |Path(asked): Path<String>, headers: HeaderMap| async move {
        if text(&headers, "x-vault-token") != CLIENT_TOKEN {
            return errors(StatusCode::FORBIDDEN, "permission denied");
        }
        if asked != role {
            return errors(StatusCode::BAD_REQUEST, "role not found");
        }
        json(StatusCode::OK, &document!({ "data": { "client_id": audience, "token": mint(&audience), "ttl": 600 } }))
    };
    Router::new().route("/v1/auth/kubernetes/login", post(login)).route("/v1/identity/oidc/token/{role}", get(token))
}
