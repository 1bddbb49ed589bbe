//! The identity provider's documents: where its keys are, and the keys.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde_json::{Value, json};

use crate::emulator::Services;
use crate::http::envelope::{ApiError, RequestId};

pub(crate) fn routes() -> Router<Arc<Services>> {
    Router::new().route("/.well-known/openid-configuration", get(configuration)).route(JWKS_PATH, get(jwks))
}

const JWKS_PATH: &str = "/.well-known/jwks.json";

async fn configuration(State(state): State<Arc<Services>>, Extension(request_id): Extension<RequestId>) -> Response {
    let provider = &state.identity_provider;
    let document = json!({
        "issuer": provider.issuer(),
        "jwks_uri": format!("{}{JWKS_PATH}", state.base_url),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [provider.signing_algorithm().name()],
    });
    published(&state, &request_id, document)
}

async fn jwks(State(state): State<Arc<Services>>, Extension(request_id): Extension<RequestId>) -> Response {
    let document = state.identity_provider.jwks();
    published(&state, &request_id, document)
}

fn published(state: &Services, request_id: &RequestId, document: Value) -> Response {
    if state.identity_provider.is_withheld() {
        return ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "The keys are withheld, as asked", request_id).into_response();
    }
    ([(CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"))], Json(document)).into_response()
}
