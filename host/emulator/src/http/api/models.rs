//! `GET /v1/models` and `GET /v1/models/{id}`.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Request;
use super::authentication::Need;
use wif_federation::Reason;

use crate::emulator::Services;
use crate::history::{Kind, Outcome};
use crate::http::envelope::RequestId;

/// Where in the list to begin, and how much of it to show.
#[derive(Deserialize)]
pub(super) struct Page {
    limit: Option<usize>,
    after_id: Option<String>,
    before_id: Option<String>,
}

pub(super) async fn list(
    State(state): State<Arc<Services>>,
    Extension(request_id): Extension<RequestId>,
    Query(page): Query<Page>,
    headers: HeaderMap,
) -> Response {
    let mut request = Request::new(&state, &request_id, Kind::Models);
    let caller = match request.admit(&headers, Need::Inference).await {
        Ok(caller) => caller,
        Err(refusal) => return refusal,
    };
    let limit = page.limit.unwrap_or(20);
    if !(1..=1000).contains(&limit) {
        return request.malformed("limit: Input should be between 1 and 1000", &caller);
    }
    let place = |id: &Option<String>| id.as_ref().map(|id| MODELS.iter().position(|model| model.id == id));
    let (shown, has_more) = match (place(&page.after_id), place(&page.before_id)) {
        (Some(None), _) | (_, Some(None)) => return request.malformed("after_id, before_id: no such model", &caller),
        (Some(Some(after)), _) => first(&MODELS[after + 1..], limit),
        (None, Some(Some(before))) => {
            let earlier = &MODELS[..before];
            (&earlier[before.saturating_sub(limit)..], before > limit)
        }
        (None, None) => first(&MODELS, limit),
    };
    let answer = json!({
        "data": shown.iter().map(Model::to_json).collect::<Vec<_>>(),
        "first_id": shown.first().map(|model| model.id),
        "last_id": shown.last().map(|model| model.id),
        "has_more": has_more,
    });
    request.grant(Json(answer), &caller)
}

pub(super) async fn retrieve(
    State(state): State<Arc<Services>>,
    Extension(request_id): Extension<RequestId>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let mut request = Request::new(&state, &request_id, Kind::Models);
    let caller = match request.admit(&headers, Need::Inference).await {
        Ok(caller) => caller,
        Err(refusal) => return refusal,
    };
    match MODELS.iter().find(|model| model.id == id) {
        Some(model) => request.grant(Json(model.to_json()), &caller),
        None => {
            let reason = Reason::RequestMalformed;
            request.refuse(StatusCode::NOT_FOUND, Outcome::Malformed, reason, &format!("model: {id}"), None, &caller)
        }
    }
}

struct Model {
    id: &'static str,
    display_name: &'static str,
    created_at: &'static str,
}

/// Newest first. Messages may name any model: who writes the words does not depend on it.
const MODELS: [Model; 3] = [
    Model { id: "claude-opus-4-5-20251101", display_name: "Claude Opus 4.5", created_at: "2025-11-24T00:00:00Z" },
    Model { id: "claude-haiku-4-5-20251001", display_name: "Claude Haiku 4.5", created_at: "2025-10-15T00:00:00Z" },
    Model { id: "claude-sonnet-4-5-20250929", display_name: "Claude Sonnet 4.5", created_at: "2025-09-29T00:00:00Z" },
];

impl Model {
    fn to_json(&self) -> Value {
        json!({
            "type": "model",
            "id": self.id,
            "display_name": self.display_name,
            "created_at": self.created_at,
            "lifecycle": "active",
            "line": null,
            "capabilities": null,
            "max_input_tokens": 200_000,
            "max_tokens": 64_000,
            "deprecated_at": null,
            "retires_at": null,
        })
    }
}

fn first(models: &'static [Model], limit: usize) -> (&'static [Model], bool) {
    (&models[..limit.min(models.len())], models.len() > limit)
}
