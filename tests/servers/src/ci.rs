//! The services of CI systems.

use std::collections::HashMap;

use axum::Router;
use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use serde_json::json as document;

use crate::{Mint, json, text};

/// The runner's service of GitHub Actions, at `/token`. The URL that jobs are given has a query already.
pub fn github_actions(request_token: &str, mint: Mint) -> Router {
    let expected = format!("Bearer {request_token}");
    let answer = move |headers: HeaderMap, Query(query): Query<HashMap<String, String>>| async move {
        if text(&headers, "authorization") != expected {
            return json(StatusCode::UNAUTHORIZED, &document!({ "message": "The request token is not valid." }));
        }
        if !query.contains_key("api-version") {
            return json(StatusCode::BAD_REQUEST, &document!({ "message": "The query of the URL was lost." }));
        }
        let audience = query.get("audience").map_or("https://github.com/owner", String::as_str);
        json(StatusCode::OK, &document!({ "count": 1, "value": mint(audience) }))
    };
    Router::new().route("/token", get(answer))
}
