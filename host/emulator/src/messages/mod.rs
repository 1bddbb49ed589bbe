//! The Messages API, as much of it as shows that an access token works: `POST /v1/messages`.

mod authentication;
mod reply;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State as FromState;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

use self::authentication::Caller;
use self::reply::MessageRequest;
use crate::emulator::State;
use crate::envelope::{ApiError, RequestId};
use crate::history::{Kind, Outcome, Reason, Record};

/// The largest body accepted, in bytes.
pub(crate) const MOST_BODY_BYTES: usize = 32 * 1024 * 1024;

pub(crate) async fn handle(
    FromState(state): FromState<Arc<State>>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let now = state.clock.now();
    let record = |outcome| Record::new(now, &request_id.0, Kind::Message, outcome);

    let caller = match authentication::authenticate(&headers, &state, now) {
        Ok(caller) => caller,
        Err(refusal) => {
            state.history.record(Record {
                reason: Some(refusal.reason),
                access_token_id: refusal.token_id,
                ..record(Outcome::Denied)
            });
            let error = ApiError::new(StatusCode::UNAUTHORIZED, refusal.message, &request_id);
            return match refusal.reason {
                // The real service answers these from a place that knows no request id.
                Reason::TokenUnknown | Reason::TokenExpired | Reason::TokenRevoked => error.without_request_id(),
                _ => error,
            }
            .into_response();
        }
    };
    let request = match check(&headers, body) {
        Ok(request) => request,
        Err((status, message)) => {
            let reason = match status {
                StatusCode::PAYLOAD_TOO_LARGE => Reason::RequestTooLarge,
                _ => Reason::RequestMalformed,
            };
            state.history.record(Record {
                reason: Some(reason),
                detail: Some(message.clone()),
                access_token_id: Some(caller.token_id),
                ..record(Outcome::Malformed)
            });
            return ApiError::new(status, message, &request_id).into_response();
        }
    };

    state.history.record(Record { access_token_id: Some(caller.token_id.clone()), ..record(Outcome::Granted) });
    let mut response = match request.stream {
        true => reply::events(&request, state.stream_delay).into_response(),
        false => Json(reply::message(&request)).into_response(),
    };
    name_tenant(&mut response, &state, &caller);
    response
}

fn check(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<MessageRequest, (StatusCode, String)> {
    let bad = |message: &str| (StatusCode::BAD_REQUEST, message.to_owned());
    if headers.get("anthropic-version").is_none_or(HeaderValue::is_empty) {
        return Err(bad("anthropic-version: header is required"));
    }
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => (StatusCode::PAYLOAD_TOO_LARGE, "Request exceeds the maximum size".to_owned()),
        _ => bad("The request body could not be read"),
    })?;
    MessageRequest::parse(&body).map_err(|message| (StatusCode::BAD_REQUEST, message))
}

/// The headers by which a caller sees whose credential was used.
fn name_tenant(response: &mut Response, state: &State, caller: &Caller) {
    let named = [("anthropic-organization-id", &state.organization_id), ("anthropic-workspace-id", &caller.workspace_id)];
    for (name, value) in named {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
}
