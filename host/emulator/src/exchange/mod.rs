//! The token endpoint: `POST /v1/oauth/token`.

mod access_tokens;
mod answer;
mod key_fetcher;
mod login;

use std::sync::Arc;
use std::time::SystemTime;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State as FromState;
use axum::extract::rejection::BytesRejection;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use wif_federation::{ExchangeRequest, Parties, Reason};

pub(crate) use self::access_tokens::{AccessTokens, Holder, Standing};
use self::answer::Answer;
pub(crate) use self::key_fetcher::KeyFetcher;
pub use self::key_fetcher::key_fetcher;
pub(crate) use self::login::{Logins, routes as login_routes};
use crate::emulator::State;
use crate::envelope::RequestId;
use crate::faults::Fault;
use crate::history::{Kind, Outcome, Record};
use crate::token_id::TokenId;

/// The largest body accepted, in bytes: an identity token of the largest size with room around it.
pub(crate) const MOST_BODY_BYTES: usize = 64 * 1024;

pub(crate) async fn handle(
    FromState(state): FromState<Arc<State>>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let mut response = respond(&state, &request_id, &headers, body).await;
    // RFC 6749 section 5.1.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn respond(state: &State, request_id: &RequestId, headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Response {
    if let Some(answer) = body.as_ref().ok().and_then(|body| login::grant(state, request_id, body)) {
        return answer;
    }
    let now = state.clocks.service();
    let switches = state.switches.get();
    let request = match switches.exchange_betas.objection(headers) {
        Some(objection) => Err(Malformed { reason: Reason::BetaRefused, ..Malformed::new(objection) }),
        None => body
            .map_err(Malformed::of_body)
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

    let (answer, record) = decide(state, request_id, request, now).await;
    state.history.record(Record { fault: fault.as_ref().map(Fault::code), assertion_id, ..record });
    match fault {
        Some(fault) => answer::after_exchange(fault, answer, switches.error_shape, request_id).await,
        None => answer.into_response(switches.error_shape, request_id),
    }
}

/// The exchange itself, in the order of the real service: form, then rule, token, workspace, and `jti` last, so that a
/// refusal spends nothing.
async fn decide(
    state: &State,
    request_id: &RequestId,
    request: Result<ExchangeRequest, Malformed>,
    now: SystemTime,
) -> (Answer, Record) {
    let record = |outcome| Record::new(now, &request_id.0, Kind::Exchange, outcome);
    let request = match request {
        Ok(request) => request,
        Err(malformed) => {
            let record =
                Record { reason: Some(malformed.reason), detail: Some(malformed.message.clone()), ..record(Outcome::Malformed) };
            return (Answer::Malformed(malformed), record);
        }
    };
    let mut parties = Parties::default();
    match state.federation().admit(&request, now, &mut parties).await {
        Ok(admission) => {
            let access_token = state.access_tokens.mint(&admission, now);
            #[cfg(unix)]
            if state.rotate_when_exchanged {
                state.identity_provider.rotate_file_of(&request.assertion);
            }
            let record = Record {
                jti: admission.jti,
                access_token_id: Some(TokenId::of(&access_token)),
                lifetime_seconds: Some(admission.lifetime_seconds),
                parties,
                ..record(Outcome::Granted)
            };
            let answer = Answer::Granted {
                access_token,
                lifetime_seconds: admission.lifetime_seconds,
                workspace_id: admission.workspace_id,
                scope: admission.scope,
            };
            (answer, record)
        }
        Err(denial) => {
            let record = Record {
                reason: Some(denial.reason),
                detail: denial.detail,
                jti: denial.jti,
                parties,
                ..record(Outcome::Denied)
            };
            (Answer::Denied, record)
        }
    }
}

/// A request that does not have its form. Its sender is told the message, which never repeats what was sent.
struct Malformed {
    status: StatusCode,
    reason: Reason,
    message: String,
}

impl Malformed {
    fn new(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, reason: Reason::RequestMalformed, message: message.into() }
    }

    fn of_body(rejection: BytesRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self {
                status: StatusCode::PAYLOAD_TOO_LARGE,
                reason: Reason::RequestTooLarge,
                message: "Request exceeds the maximum size".to_owned(),
            },
            _ => Self::new("The request body could not be read"),
        }
    }
}
