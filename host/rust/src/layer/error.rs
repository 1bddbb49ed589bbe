//! What the layer answers instead of the API.

use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};

use crate::error::Error;
use crate::store::BoxError;

/// Retry-After, in seconds, where nothing better is known: soon for what passes by itself, later for what a person must mend.
const SOON_S: u64 = 1;
const LATER_S: u64 = 60;

/// Why a request was not answered. Nothing was sent, except for [`Inner`](Self::Inner).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// There is no token. The request was not sent: never with the caller's own credential, and never without one.
    #[error(transparent)]
    NoToken(#[from] Error),
    /// The request's URI names no scheme or no authority, so where it goes is not known. Give it both, or tell the layer with
    /// [`CredentialLayer::origin`](super::CredentialLayer::origin).
    #[error(
        "the request's URI names no origin: give it a scheme and an authority, or tell the layer with CredentialLayer::origin"
    )]
    NoOrigin,
    /// The token is for another origin than the layer was told. Mend one of them.
    #[error("the token is for {token}, and the layer was told {layer}; mend base_url or CredentialLayer::origin")]
    OtherOrigin {
        /// The token's origin.
        token: String,
        /// What [`CredentialLayer::origin`](super::CredentialLayer::origin) was given.
        layer: String,
    },
    /// The inner service's own error.
    #[error(transparent)]
    Inner(BoxError),
}

impl LayerError {
    /// What a proxy answers, in the form of the API's own errors: 503 with `Retry-After` where there is no token, 400 to a
    /// request without an origin, 500 to a layer that was told the wrong one. The header `x-wif-code` has a stable code, and so
    /// has the message in brackets; they say nothing about the workload: that is in the error itself. None for [`Inner`](Self::Inner).
    #[must_use]
    pub fn answer(&self) -> Option<Response<String>> {
        let (status, kind, code, retry_after) = match self {
            Self::NoToken(error) => {
                let (code, seconds) = reason(error);
                (StatusCode::SERVICE_UNAVAILABLE, "api_error", code, Some(seconds))
            }
            Self::NoOrigin => (StatusCode::BAD_REQUEST, "invalid_request_error", "no-origin", None),
            Self::OtherOrigin { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "api_error", "other-origin", None),
            Self::Inner(_) => return None,
        };
        let message = format!("The proxy has no credential for this request ({code}).");
        let body = format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}},"request_id":null}}"#);
        let mut response = Response::new(body);
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().insert("x-wif-code", HeaderValue::from_static(code));
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        Some(response)
    }
}

/// The code, and the seconds until another try makes sense.
fn reason(error: &Error) -> (&'static str, u64) {
    match error {
        Error::Unavailable(failure) => {
            let seconds = failure.retry_in.map_or(LATER_S, |wait| wait.as_secs_f64().ceil() as u64);
            (failure.code.as_str(), seconds.max(SOON_S))
        }
        Error::TimedOut { .. } => ("timed-out", SOON_S),
        Error::Overloaded { .. } => ("overloaded", SOON_S),
        Error::Closed => ("closed", LATER_S),
    }
}
