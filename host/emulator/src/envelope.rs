//! The form of errors, on every route.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::json;

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

pub(crate) async fn not_found(Extension(request_id): Extension<RequestId>) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "Not found", &request_id)
}

pub(crate) async fn method_not_allowed(Extension(request_id): Extension<RequestId>) -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed", &request_id)
}

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
