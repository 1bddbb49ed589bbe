//! The form of errors, on every route.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};

use crate::http::server::CloseUnanswered;

/// The id of a request, in its `request-id` header, its error body and its history entry.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

/// An error in the API's envelope: `{"type": "error", "error": {"type", "message"}, "request_id"}`.
pub(crate) struct ApiError {
    status: StatusCode,
    kind: &'static str,
    message: String,
    request_id: Option<String>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>, request_id: &RequestId) -> Self {
        Self { status, kind: error_type(status), message: message.into(), request_id: Some(request_id.0.clone()) }
    }

    /// The body has `"request_id": null`, as the API's answer to an access token that it does not know.
    pub(crate) fn without_request_id(mut self) -> Self {
        self.request_id = None;
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({
            "type": "error",
            "error": { "type": self.kind, "message": self.message },
            "request_id": self.request_id,
        });
        (self.status, Json(body)).into_response()
    }
}

/// What ends a body that was to be cut: hyper closes the connection.
#[derive(Debug, thiserror::Error)]
#[error("the body was cut, as asked")]
pub(crate) struct Cut;

pub(crate) async fn not_found(Extension(request_id): Extension<RequestId>) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "Not found", &request_id)
}

pub(crate) async fn method_not_allowed(Extension(request_id): Extension<RequestId>) -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed", &request_id)
}

/// An answer as it was scripted. What cannot stand in HTTP becomes a 500, or is left out.
pub(crate) fn canned(status: u16, retry_after: Option<&str>, body: Option<&[u8]>, request_id: &RequestId) -> Response {
    let status = StatusCode::from_u16(status)
        .ok()
        .filter(|status| !status.is_informational())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match body {
        Some(body) => {
            let content_type = match serde_json::from_slice::<Value>(body) {
                Ok(_) => JSON,
                Err(_) => HTML,
            };
            (status, [(CONTENT_TYPE, content_type)], Body::from(body.to_vec())).into_response()
        }
        None => {
            let message = status.canonical_reason().unwrap_or("Overloaded");
            ApiError::new(status, message, request_id).into_response()
        }
    };
    if let Some(value) = retry_after {
        set(&mut response, RETRY_AFTER, value);
    }
    response
}

/// Asks the sender to send the same to another place (RFC 9110 section 15.4.8).
pub(crate) fn redirect(to: &str) -> Response {
    let mut response = StatusCode::TEMPORARY_REDIRECT.into_response();
    set(&mut response, LOCATION, to);
    response
}

pub(crate) fn closed() -> Response {
    let mut response = Response::default();
    response.extensions_mut().insert(CloseUnanswered);
    response
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// The vendor's name for each status.
fn error_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}
