//! What the token endpoint says, and what faults make of it.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tokio_stream::StreamExt as _;
use wif_federation::Reason;

use super::envelope::{ApiError, Cut, RequestId, canned, closed, redirect};
use crate::emulator::Services;
use crate::exchange::Decision;
use crate::faults::Fault;
use crate::options::ErrorShape;

/// The emulator's own answer to an exchange.
pub(super) fn of(decision: Decision, shape: ErrorShape, request_id: &RequestId) -> Response {
    match (members(decision), shape) {
        (Ok(members), _) => Json(members).into_response(),
        (Err(refusal), ErrorShape::Envelope) => ApiError::new(refusal.status, refusal.message, request_id).into_response(),
        (Err(refusal), ErrorShape::OAuth) => {
            let status = match refusal.status {
                StatusCode::UNAUTHORIZED => StatusCode::BAD_REQUEST,
                other => other,
            };
            let body = json!({ "error": refusal.oauth_code, "error_description": refusal.message });
            (status, Json(body)).into_response()
        }
    }
}

/// The members of the successful response (RFC 6749 section 5.1), or the refusal.
fn members(decision: Decision) -> Result<Map<String, Value>, Refusal> {
    match decision {
        Decision::Granted { access_token, lifetime_seconds, workspace_id, scope } => {
            let mut members = Map::new();
            let mut member = |name: &str, value: Value| members.insert(name.to_owned(), value);
            member("access_token", access_token.as_str().into());
            member("token_type", "Bearer".into());
            member("expires_in", lifetime_seconds.into());
            member("scope", scope.into());
            // Not documented, but seen: whoever decodes strictly would fail against the real service.
            if let Some(id) = workspace_id {
                member("workspace_id", id.into());
            }
            member("next_challenge", "".into());
            member("next_challenge_expires_in", 0.into());
            Ok(members)
        }
        Decision::Malformed(malformed) => {
            let status = match malformed.reason {
                Reason::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                _ => StatusCode::BAD_REQUEST,
            };
            Err(Refusal { status, oauth_code: "invalid_request", message: malformed.message })
        }
        Decision::Denied => Err(Refusal {
            status: StatusCode::UNAUTHORIZED,
            oauth_code: "invalid_grant",
            message: "Authentication failed".to_owned(),
        }),
    }
}

/// The answer of a fault that strikes before the exchange is looked at; `None` if this one strikes after.
pub(super) fn before_exchange(fault: &Fault, state: &Services, request_id: &RequestId) -> Option<Response> {
    match fault {
        Fault::Status { status, retry_after, body } => Some(canned(*status, retry_after.as_deref(), body.as_deref(), request_id)),
        Fault::Redirect { to } => Some(redirect(state.elsewhere(to))),
        Fault::DropBeforeExchange => Some(closed()),
        Fault::DropBeforeAnswer
        | Fault::CutAnswer
        | Fault::Delay(_)
        | Fault::StatusAfterExchange { .. }
        | Fault::Raw200(_)
        | Fault::Oversized { .. }
        | Fault::ExpiresIn(_)
        | Fault::Member { .. } => None,
    }
}

/// What the sender gets of a decision when a fault strikes after the exchange.
pub(super) async fn after_exchange(fault: Fault, decision: Decision, shape: ErrorShape, request_id: &RequestId) -> Response {
    let granted = matches!(decision, Decision::Granted { .. });
    match fault {
        Fault::DropBeforeAnswer => closed(),
        Fault::Delay(delay) => {
            tokio::time::sleep(delay).await;
            of(decision, shape, request_id)
        }
        Fault::CutAnswer if granted => cut(decision),
        Fault::StatusAfterExchange { status, retry_after, body } if granted => {
            canned(status, retry_after.as_deref(), body.as_deref(), request_id)
        }
        Fault::Raw200(body) if granted => ([(CONTENT_TYPE, JSON)], body).into_response(),
        Fault::Oversized { bytes } if granted => {
            altered(decision, shape, request_id, "padding", Some(Value::String(" ".repeat(bytes))))
        }
        Fault::ExpiresIn(value) if granted => altered(decision, shape, request_id, "expires_in", Some(value)),
        Fault::Member { name, value } if granted => altered(decision, shape, request_id, &name, value),
        _ => of(decision, shape, request_id),
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

struct Refusal {
    status: StatusCode,
    oauth_code: &'static str,
    message: String,
}

/// The first half of the success. The length that was promised tells the sender that there was more.
fn cut(decision: Decision) -> Response {
    let text = Value::Object(members(decision).unwrap_or_default()).to_string();
    let half = Bytes::copy_from_slice(&text.as_bytes()[..text.len() / 2]);
    // Without a pause the connection would be closed before anything is sent.
    let parts = tokio_stream::iter([Ok(half), Err(Cut)]).throttle(Duration::from_millis(20));
    ([(CONTENT_TYPE, JSON), (CONTENT_LENGTH, text.len().into())], Body::from_stream(parts)).into_response()
}

fn altered(decision: Decision, shape: ErrorShape, request_id: &RequestId, name: &str, value: Option<Value>) -> Response {
    match decision {
        Decision::Granted { .. } => {
            let mut members = members(decision).unwrap_or_default();
            match value {
                Some(value) => members.insert(name.to_owned(), value),
                None => members.remove(name),
            };
            Json(members).into_response()
        }
        refused => of(refused, shape, request_id),
    }
}
