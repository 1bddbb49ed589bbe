//! Who is calling the API.

use std::time::SystemTime;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue};

use wif_federation::Reason;

use crate::emulator::Services;
use crate::exchange::{Holder, Standing};
use crate::options::ErrorShape;
use crate::token_id::TokenId;

/// The holder of an access token.
pub(super) struct Caller {
    pub(super) token_id: TokenId,
    pub(super) holder: Holder,
}

/// The scope that an endpoint needs.
#[derive(Clone, Copy)]
pub(super) enum Need {
    /// Messages, token counting, models.
    Inference,
    /// Everything else in a workspace.
    Developer,
    /// The Admin API.
    Admin,
}

impl Need {
    /// The scope that is missing.
    pub(super) fn unmet_by(self, scope: &str) -> Option<&'static str> {
        let has = |wanted: &str| scope.split(' ').any(|scope| scope == wanted);
        match self {
            Self::Inference if has("workspace:inference") || has("workspace:developer") => None,
            Self::Inference => Some("workspace:inference"),
            Self::Developer if has("workspace:developer") => None,
            Self::Developer => Some("workspace:developer"),
            Self::Admin if has("org:admin") => None,
            Self::Admin => Some("org:admin"),
        }
    }
}

/// A caller who was refused.
pub(super) struct Refusal {
    pub(super) reason: Reason,
    pub(super) message: &'static str,
    pub(super) token_id: Option<TokenId>,
}

/// Looks at the one credential that a request may carry (RFC 6750 section 2).
pub(super) fn authenticate(headers: &HeaderMap, state: &Services, now: SystemTime) -> Result<Caller, Refusal> {
    let mut bearers = headers.get_all(AUTHORIZATION).iter();
    let bearer = bearers.next();
    let refuse = |reason, message, token: Option<&str>| Err(Refusal { reason, message, token_id: token.map(TokenId::of) });
    if let Some(key) = headers.get("x-api-key") {
        let reason = match bearer {
            Some(_) => Reason::CredentialAmbiguous,
            None => Reason::ApiKeyInvalid,
        };
        return refuse(reason, "invalid x-api-key", key.to_str().ok());
    }
    if bearers.next().is_some() {
        return refuse(Reason::CredentialAmbiguous, UNAUTHENTICATED, None);
    }
    let Some(token) = bearer.and_then(bearer_token) else {
        let message = match state.switches.get().error_shape {
            ErrorShape::Envelope => UNAUTHENTICATED,
            ErrorShape::OAuth => "x-api-key header is required",
        };
        return refuse(Reason::CredentialMissing, message, None);
    };
    let reason = match state.access_tokens.standing(token, now) {
        Standing::Good(holder) => return Ok(Caller { token_id: TokenId::of(token), holder }),
        Standing::Unknown => Reason::TokenUnknown,
        Standing::Expired => Reason::TokenExpired,
        Standing::Revoked => Reason::TokenRevoked,
    };
    refuse(reason, INVALID_ACCESS_TOKEN, Some(token))
}

/// The id of the credential that a request shows, be it good or not.
pub(crate) fn presented(headers: &HeaderMap) -> Option<TokenId> {
    let bearer = headers.get_all(AUTHORIZATION).iter().find_map(bearer_token);
    let key = || headers.get("x-api-key").and_then(|key| key.to_str().ok()).filter(|key| !key.is_empty());
    bearer.or_else(key).map(TokenId::of)
}

/// What the API says of a bearer token that it does not know.
pub(super) const INVALID_ACCESS_TOKEN: &str = "OAuth access token is invalid.";

const UNAUTHENTICATED: &str = "Authentication failed";

/// The token of `Bearer <token>`; the scheme is compared without case (RFC 9110 section 11.1).
fn bearer_token(header: &HeaderValue) -> Option<&str> {
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
