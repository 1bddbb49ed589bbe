//! What the application gets instead of the API's answer.

use crate::bindings::wasi::http::types::{Fields, Response};
use crate::bindings::wif::credential::types::{Failure, FailureCode};
use crate::bindings::{wit_future, wit_stream};

/// Seconds, where nothing better is known.
const LATER_S: u64 = 60;

/// There is no token: 503 with `Retry-After`, in the form of the API's own errors. A stable code is in `x-wif-code` and in the
/// message, in brackets; nothing about the workload.
pub(crate) fn without_token(failure: &Failure) -> Response {
    let seconds = failure.retry_in_ms.map_or(LATER_S, |wait| wait.div_ceil(1_000)).max(1);
    let code = name_of(failure.code);
    let message = format!("The interposer has no credential for this request ({code}).");
    let body = format!(r#"{{"type":"error","error":{{"type":"api_error","message":"{message}"}},"request_id":null}}"#);
    let fields = Fields::new();
    for (name, value) in [
        ("content-type", "application/json"),
        ("retry-after", &seconds.to_string()),
        ("x-wif-code", code),
        ("content-length", &body.len().to_string()),
    ] {
        // A host that forbids one of them gets the answer without it.
        let _ = fields.set(name, &[value.as_bytes().to_vec()]);
    }
    let (mut writer, reader) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(fields, Some(reader), trailers);
    let _ = response.set_status_code(503);
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
