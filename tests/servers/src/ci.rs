//! The services of CI systems.

use std::collections::HashMap;

use axum::extract::{Path, Query};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json as document};

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

/// The Machines API of Fly.io. A text is its answer, as a JSON document.
pub fn fly(api_token: &str, mint: Mint) -> Router {
    let expected = format!("Bearer {api_token}");
    let answer = move |headers: HeaderMap, Json(body): Json<Value>| async move {
        if text(&headers, "authorization") != expected {
            return json(StatusCode::UNAUTHORIZED, &document!({ "error": "token validation error" }));
        }
        let audience = body["aud"].as_str().unwrap_or("https://fly.io/acme");
        json(StatusCode::OK, &Value::from(mint(audience)))
    };
    Router::new().route("/v1/tokens/oidc", post(answer))
}

/// The agent's API of Buildkite.
pub fn buildkite(job: &str, agent_token: &str, mint: Mint) -> Router {
    let (job, expected) = (job.to_owned(), format!("Token {agent_token}"));
    let answer = move |Path(asked): Path<String>, headers: HeaderMap, Json(body): Json<Value>| async move {
        if text(&headers, "authorization") != expected {
            return json(StatusCode::UNAUTHORIZED, &document!({ "message": "Invalid access token" }));
        }
        if asked != job {
            return json(StatusCode::NOT_FOUND, &document!({ "message": "No job found" }));
        }
        let audience = body["audience"].as_str().unwrap_or("https://buildkite.com/organization");
        json(StatusCode::OK, &document!({ "token": mint(audience) }))
    };
    Router::new().route("/v3/jobs/{job}/oidc/tokens", post(answer))
}
