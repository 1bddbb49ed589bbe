//! The metadata server of Google Cloud, and its IAM Credentials API.

use std::collections::HashMap;

use axum::extract::{Path, Query};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json as document};

use crate::{Mint, json, text};

/// Answers only with `Metadata-Flavor: Google`, and never to a request that was forwarded.
pub fn metadata(account: &str, mint: Mint) -> Router {
    let account = account.to_owned();
    let answer = {
        let account = account.clone();
        move |Path(asked): Path<String>, headers: HeaderMap, Query(query): Query<HashMap<String, String>>| async move {
            if let Some(refused) = refused(&headers) {
                return refused;
            }
            if asked != "default" && asked != account {
                return (StatusCode::NOT_FOUND, "service account not defined").into_response();
            }
            match query.get("audience").filter(|audience| !audience.is_empty()) {
                Some(audience) => ([("metadata-flavor", "Google")], mint(audience)).into_response(),
                None => (StatusCode::BAD_REQUEST, "non-empty audience parameter required").into_response(),
            }
        }
    };
    let token = |headers: HeaderMap| async move {
        refused(&headers).unwrap_or_else(|| {
            json(StatusCode::OK, &document!({ "access_token": "ya29.local", "expires_in": 3599, "token_type": "Bearer" }))
        })
    };
    let about = move |headers: HeaderMap| {
        let about =
            document!({ "aliases": ["default"], "email": account, "scopes": ["https://www.googleapis.com/auth/cloud-platform"] });
        async move {
            refused(&headers).unwrap_or_else(|| ([("metadata-flavor", "Google")], json(StatusCode::OK, &about)).into_response())
        }
    };
    let ping = || async { [("metadata-flavor", "Google")].into_response() };
    Router::new()
        .route("/", get(ping))
        .route("/computeMetadata/v1/instance/service-accounts/{account}/identity", get(answer))
        .route("/computeMetadata/v1/instance/service-accounts/default/", get(about))
        .route("/computeMetadata/v1/instance/service-accounts/default/token", get(token))
}

/// The IAM Credentials API: identity tokens of another account, for who has this access token.
pub fn iam_credentials(access_token: &str, account: &str, mint: Mint) -> Router {
    let (expected, account) = (format!("Bearer {access_token}"), format!("{account}:generateIdToken"));
    let error = |code: StatusCode, status: &str, message: &str| {
        json(code, &document!({ "error": { "code": code.as_u16(), "message": message, "status": status } }))
    };
    let answer = move |Path(asked): Path<String>, headers: HeaderMap, Json(body): Json<Value>| async move {
        if text(&headers, "authorization") != expected {
            return error(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", "Request had invalid authentication credentials.");
        }
        if asked != account {
            let message = "Permission 'iam.serviceAccounts.getOpenIdToken' denied on resource (or it may not exist).";
            return error(StatusCode::FORBIDDEN, "PERMISSION_DENIED", message);
        }
        match body["audience"].as_str().filter(|audience| !audience.is_empty()) {
            Some(audience) => json(StatusCode::OK, &document!({ "token": mint(audience) })),
            None => error(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", "The audience is required."),
        }
    };
    Router::new().route("/v1/projects/-/serviceAccounts/{account}", post(answer))
}

fn refused(headers: &HeaderMap) -> Option<Response> {
    let flavour = text(headers, "metadata-flavor") == "Google";
    (!flavour || headers.contains_key("x-forwarded-for"))
        .then(|| (StatusCode::FORBIDDEN, "Missing Metadata-Flavor:Google header.").into_response())
}
