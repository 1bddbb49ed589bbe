//! The metadata server of Google Cloud.

use std::collections::HashMap;

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json as document;

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
    let ping = || async { [("metadata-flavor", "Google")].into_response() };
    Router::new()
        .route("/", get(ping))
        .route("/computeMetadata/v1/instance/service-accounts/{account}/identity", get(answer))
        .route("/computeMetadata/v1/instance/service-accounts/default/token", get(token))
}

fn refused(headers: &HeaderMap) -> Option<Response> {
    let flavour = text(headers, "metadata-flavor") == "Google";
    (!flavour || headers.contains_key("x-forwarded-for"))
        .then(|| (StatusCode::FORBIDDEN, "Missing Metadata-Flavor:Google header.").into_response())
}
