//! What the application gets instead of the API's answer.

use wif_rules::Reply;

use crate::bindings::wasi::http::types::{Fields, Response};
use crate::bindings::wif::credential::types::{Failure, FailureCode};
use crate::bindings::{wit_future, wit_stream};

/// There is no token.
pub(crate) fn without_token(failure: &Failure) -> Response {
    with(&Reply::failed(name_of(failure.code), failure.retry_in_ms))
}

/// A reply as it is made for all hosts.
pub(crate) fn with(reply: &Reply) -> Response {
    let body = reply.body("interposer");
    let fields = Fields::new();
    for (name, value) in reply.headers().into_iter().chain([("content-length", body.len().to_string().into())]) {
        // A host that forbids one of them gets the answer without it.
        let _ = fields.set(name, &[value.as_bytes().to_vec()]);
    }
    let (mut writer, reader) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(fields, Some(reader), trailers);
    let _ = response.set_status_code(wif_rules::STATUS);
    wit_bindgen::spawn_local(async move {
        let _ = writer.write_all(body.into_bytes()).await;
    });
    response
}

/// The code as it stands in `types.wit`.
fn name_of(code: FailureCode) -> &'static str {
    match code {
        FailureCode::Configuration => "configuration",
        FailureCode::IdentityTokenMissing => "identity-token-missing",
        FailureCode::IdentityTokenUnreadable => "identity-token-unreadable",
        FailureCode::IdentityTokenMalformed => "identity-token-malformed",
        FailureCode::IdentityTokenExpired => "identity-token-expired",
        FailureCode::IdentityTokenNotYetValid => "identity-token-not-yet-valid",
        FailureCode::IdentityTokenSpent => "identity-token-spent",
        FailureCode::Refused => "refused",
        FailureCode::RequestInvalid => "request-invalid",
        FailureCode::Forbidden => "forbidden",
        FailureCode::RateLimited => "rate-limited",
        FailureCode::EndpointFailed => "endpoint-failed",
        FailureCode::EndpointUnreachable => "endpoint-unreachable",
        FailureCode::AnswerUnusable => "answer-unusable",
        FailureCode::TokenSourceFailed => "token-source-failed",
        FailureCode::StoreFailed => "store-failed",
        FailureCode::DeniedByHost => "denied-by-host",
        FailureCode::UnsupportedByHost => "unsupported-by-host",
    }
}
