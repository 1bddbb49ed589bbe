//! The API, as much of it as shows what an access token is good for.

mod authentication;
mod messages;
mod models;
mod others;
mod reply;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

pub(crate) use self::authentication::presented;
use self::authentication::{Caller, Need};
use wif_federation::{Parties, Reason};

use crate::emulator::Services;
use crate::faults::ApiFault;
use crate::history::{Kind, Outcome, Record};
use crate::http::betas;
use crate::http::envelope::{ApiError, RequestId, canned, closed, redirect};

pub(crate) fn routes() -> Router<Arc<Services>> {
    let limit = DefaultBodyLimit::max(MOST_BODY_BYTES);
    Router::new()
        .route("/v1/messages", post(messages::create).layer(limit))
        .route("/v1/messages/count_tokens", post(messages::count_tokens).layer(limit))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{id}", get(models::retrieve))
        .route("/v1/files", get(others::files))
        .route("/v1/organizations/me", get(others::organization))
}

/// The largest body accepted, in bytes.
const MOST_BODY_BYTES: usize = 32 * 1024 * 1024;

/// A request to the API on its way through the gate, which it passes once its body is known to be good.
struct Request<'a> {
    state: &'a Services,
    request_id: &'a RequestId,
    kind: Kind,
    /// What is left of a fault: it strikes the answer. A stream takes it for its own; another answer is not sent.
    cut_after: Option<usize>,
    fault: Option<&'static str>,
}

impl<'a> Request<'a> {
    fn new(state: &'a Services, request_id: &'a RequestId, kind: Kind) -> Self {
        Self { state, request_id, kind, cut_after: None, fault: None }
    }

    /// Who is calling, if they may: credential, fault, scope and headers, in this order.
    async fn admit(&mut self, headers: &HeaderMap, need: Need) -> Result<Caller, Response> {
        let now = self.state.clocks.service();
        let caller = authentication::authenticate(headers, self.state, now).map_err(|refusal| {
            self.state.history.record(Record {
                reason: Some(refusal.reason),
                access_token_id: refusal.token_id,
                ..self.record(Outcome::Denied)
            });
            let error = ApiError::new(StatusCode::UNAUTHORIZED, refusal.message, self.request_id);
            match refusal.reason {
                // The real service answers these from a place that knows no request id.
                Reason::TokenUnknown | Reason::TokenExpired | Reason::TokenRevoked => error.without_request_id(),
                _ => error,
            }
            .into_response()
        })?;
        if let Some(fault) = self.state.api_faults.take() {
            self.strike(fault, &caller).await?;
        }
        if let Some(missing) = need.unmet_by(&caller.holder.scope) {
            let message = format!("OAuth token does not meet scope requirement {missing}");
            let detail = format!("the access token has {}", caller.holder.scope);
            return Err(self.refuse(
                StatusCode::FORBIDDEN,
                Outcome::Denied,
                Reason::InsufficientScope,
                &message,
                Some(detail),
                &caller,
            ));
        }
        if headers.get("anthropic-version").is_none_or(HeaderValue::is_empty) {
            return Err(self.malformed("anthropic-version: header is required", &caller));
        }
        if let Some(objection) = self.state.switches.get().api_betas.objection(&betas(headers)) {
            let reason = Reason::BetaRefused;
            return Err(self.refuse(
                StatusCode::BAD_REQUEST,
                Outcome::Malformed,
                reason,
                &objection,
                Some(objection.clone()),
                &caller,
            ));
        }
        Ok(caller)
    }

    async fn strike(&mut self, fault: ApiFault, caller: &Caller) -> Result<(), Response> {
        let code = fault.code();
        let answer = match fault {
            ApiFault::Delay(delay) => {
                self.fault = Some(code);
                tokio::time::sleep(delay).await;
                return Ok(());
            }
            ApiFault::DropMidStream { events } => {
                self.fault = Some(code);
                self.cut_after = Some(events);
                return Ok(());
            }
            ApiFault::Unauthorized => {
                let error = ApiError::new(StatusCode::UNAUTHORIZED, authentication::INVALID_ACCESS_TOKEN, self.request_id);
                error.without_request_id().into_response()
            }
            ApiFault::Status { status, retry_after, body } => {
                canned(status, retry_after.as_deref(), body.as_deref(), self.request_id)
            }
            ApiFault::Redirect { to } => redirect(self.state.elsewhere(&to)),
            ApiFault::Drop => closed(),
        };
        self.state.history.record(Record {
            fault: Some(code),
            access_token_id: Some(caller.token_id.clone()),
            parties: caller.parties(),
            ..self.record(Outcome::NotProcessed)
        });
        Err(answer)
    }

    fn malformed(&self, message: &str, caller: &Caller) -> Response {
        let reason = Reason::RequestMalformed;
        self.refuse(StatusCode::BAD_REQUEST, Outcome::Malformed, reason, message, Some(message.to_owned()), caller)
    }

    fn refuse(
        &self,
        status: StatusCode,
        outcome: Outcome,
        reason: Reason,
        message: &str,
        detail: Option<String>,
        caller: &Caller,
    ) -> Response {
        self.state.history.record(Record {
            reason: Some(reason),
            detail,
            access_token_id: Some(caller.token_id.clone()),
            parties: caller.parties(),
            fault: self.fault,
            ..self.record(outcome)
        });
        self.answer(ApiError::new(status, message, self.request_id), caller)
    }

    fn grant(&self, answer: impl IntoResponse, caller: &Caller) -> Response {
        self.state.history.record(Record {
            access_token_id: Some(caller.token_id.clone()),
            parties: caller.parties(),
            fault: self.fault,
            ..self.record(Outcome::Granted)
        });
        self.answer(answer, caller)
    }

    fn answer(&self, answer: impl IntoResponse, caller: &Caller) -> Response {
        match self.cut_after {
            Some(_) => closed(),
            None => name_tenant(answer.into_response(), caller),
        }
    }

    fn record(&self, outcome: Outcome) -> Record {
        Record::new(self.state.clocks.service(), &self.request_id.0, self.kind, outcome)
    }
}

impl Caller {
    fn parties(&self) -> Parties {
        Parties {
            organization_id: Some(self.holder.organization_id.clone()),
            workspace_id: self.holder.workspace_id.clone(),
            ..Parties::default()
        }
    }
}

/// The headers by which a caller sees whose credential was used.
fn name_tenant(mut response: Response, caller: &Caller) -> Response {
    let holder = &caller.holder;
    let named =
        [("anthropic-organization-id", Some(&holder.organization_id)), ("anthropic-workspace-id", holder.workspace_id.as_ref())];
    for (name, value) in named {
        if let Some(Ok(value)) = value.map(|value| HeaderValue::from_str(value)) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}
