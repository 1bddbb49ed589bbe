//! The token endpoint: `POST /v1/oauth/token`.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use wif_federation::{ExchangeRequest, Reason};

use super::envelope::RequestId;
use super::{answer, betas, login};
use crate::emulator::Services;
use crate::exchange::{Malformed, decide};
use crate::faults::Fault;
use crate::history::{Kind, Outcome, Record};
use crate::token_id::TokenId;

/// The largest body accepted, in bytes: an identity token of the largest size with room around it.
pub(crate) const MOST_BODY_BYTES: usize = 64 * 1024;

pub(crate) async fn handle(
    State(state): State<Arc<Services>>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let mut response = respond(&state, &request_id, &headers, body).await;
    // RFC 6749 section 5.1.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn respond(state: &Services, request_id: &RequestId, headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Response {
    if let Some(answer) = body.as_ref().ok().and_then(|body| login::granted(state, request_id, body)) {
        return answer;
    }
    let now = state.clocks.service();
    let switches = state.switches.get();
    let request = match switches.exchange_betas.objection(&betas(headers)) {
        Some(objection) => Err(Malformed { reason: Reason::BetaRefused, ..Malformed::new(objection) }),
        None => body
            .map_err(|rejection| unreadable(&rejection))
            .and_then(|body| ExchangeRequest::parse(&body).map_err(|malformed| Malformed::new(malformed.0))),
    };
    let fault = state.faults.take();
    let assertion_id = request.as_ref().ok().map(|request| TokenId::of(&request.assertion));

    if let Some(response) = fault.as_ref().and_then(|fault| answer::before_exchange(fault, state, request_id)) {
        state.history.record(Record {
            fault: fault.as_ref().map(Fault::code),
            assertion_id,
            ..Record::new(now, &request_id.0, Kind::Exchange, Outcome::NotProcessed)
        });
        return response;
    }

    let (decision, record) = decide(state, &request_id.0, request, now).await;
    state.history.record(Record { fault: fault.as_ref().map(Fault::code), assertion_id, ..record });
    match fault {
        Some(fault) => answer::after_exchange(fault, decision, switches.error_shape, request_id).await,
        None => answer::of(decision, switches.error_shape, request_id),
    }
}

fn unreadable(rejection: &BytesRejection) -> Malformed {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Malformed { reason: Reason::RequestTooLarge, message: "Request exceeds the maximum size".to_owned() }
        }
        _ => Malformed::new("The request body could not be read"),
    }
}
