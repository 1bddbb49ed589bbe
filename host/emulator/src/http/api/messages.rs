//! `POST /v1/messages` and `POST /v1/messages/count_tokens`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

use super::Request;
use super::authentication::{Caller, Need};
use super::reply::{self, CountRequest, MessageRequest};
use wif_federation::Reason;

use crate::emulator::Services;
use crate::history::{Kind, Outcome};
use crate::http::envelope::RequestId;

pub(super) async fn create(
    State(state): State<Arc<Services>>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let mut request = Request::new(&state, &request_id, Kind::Message);
    let (caller, message) = match parse(&mut request, &headers, body, MessageRequest::parse).await {
        Ok(parsed) => parsed,
        Err(refusal) => return refusal,
    };
    let answer = match message.stream {
        true => reply::events(&message, state.stream_delay, request.cut_after.take()).into_response(),
        false => Json(reply::message(&message)).into_response(),
    };
    request.grant(answer, &caller)
}

pub(super) async fn count_tokens(
    State(state): State<Arc<Services>>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let mut request = Request::new(&state, &request_id, Kind::CountTokens);
    match parse(&mut request, &headers, body, CountRequest::parse).await {
        Ok((caller, count)) => request.grant(Json(reply::count(&count)), &caller),
        Err(refusal) => refusal,
    }
}

async fn parse<T>(
    request: &mut Request<'_>,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
    parse: impl FnOnce(&[u8]) -> Result<T, String>,
) -> Result<(Caller, T), Response> {
    let caller = request.admit(headers, Need::Inference).await?;
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let message = "Request exceeds the maximum size";
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            request.refuse(status, Outcome::Malformed, Reason::RequestTooLarge, message, Some(message.to_owned()), &caller)
        }
        _ => request.malformed("The request body could not be read", &caller),
    })?;
    match parse(&body) {
        Ok(parsed) => Ok((caller, parsed)),
        Err(message) => Err(request.malformed(&message, &caller)),
    }
}
