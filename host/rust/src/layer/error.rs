//! What the layer answers instead of the API.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use wif_rules::Reply;

use crate::error::Error;
use crate::store::BoxError;

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
    /// The request has so many header fields that ours find no place beside them. Send fewer.
    #[error("the request has {fields} header fields, and those of the credential find no place beside them: send fewer")]
    TooManyFields {
        /// How many it has.
        fields: usize,
    },
    /// The inner service's own error.
    #[error(transparent)]
    Inner(BoxError),
}

impl LayerError {
    /// What a proxy answers, in the form of the API's own errors: 503 with `Retry-After` where there is no token that may be used,
    /// 400 to a request without an origin, and 431 to one with too many header fields. The header `x-wif-code` has a stable code, and so has the message in brackets; they say
    /// nothing about the workload: that is in the error itself. None for [`Inner`](Self::Inner).
    #[must_use]
    pub fn answer(&self) -> Option<Response<String>> {
        let reply = match self {
            Self::NoToken(error) => error.into(),
            Self::OtherOrigin { .. } => Reply::other_origin(),
            Self::NoOrigin => return Some(clients_fault(StatusCode::BAD_REQUEST, "no-origin")),
            Self::TooManyFields { .. } => {
                return Some(clients_fault(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "too-many-fields"));
            }
            Self::Inner(_) => return None,
        };
        let mut response = Response::new(reply.body("proxy"));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        for (name, value) in reply.headers() {
            // Codes and numbers are field values.
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        Some(response)
    }
}

/// What another try does not mend.
fn clients_fault(status: StatusCode, code: &'static str) -> Response<String> {
    let message = format!("The proxy has no credential for this request ({code}).");
    let body =
        format!(r#"{{"type":"error","error":{{"type":"invalid_request_error","message":"{message}"}},"request_id":null}}"#);
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert("x-wif-code", HeaderValue::from_static(code));
    response
}
