//! What an exchange comes to, and what is remembered of it: access tokens, logins. How it is asked for and answered is in `http`.

mod access_tokens;
mod key_fetcher;
mod logins;

use std::time::SystemTime;

use wif_federation::{ExchangeRequest, Parties, Reason};
use zeroize::Zeroizing;

pub(crate) use self::access_tokens::{AccessTokens, Holder, Standing};
pub(crate) use self::key_fetcher::KeyFetcher;
pub use self::key_fetcher::key_fetcher;
pub(crate) use self::logins::{Code, Logins, SCOPE, grant};
use crate::emulator::Services;
use crate::history::{Kind, Outcome, Record};
use crate::token_id::TokenId;

/// What an exchange came to.
pub(crate) enum Decision {
    Granted {
        access_token: Zeroizing<String>,
        lifetime_seconds: u64,
        workspace_id: Option<String>,
        scope: String,
    },
    Malformed(Malformed),
    /// Every denial looks the same from outside.
    Denied,
}

/// A request that does not have its form. Its sender is told the message, which never repeats what was sent.
pub(crate) struct Malformed {
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

impl Malformed {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { reason: Reason::RequestMalformed, message: message.into() }
    }
}

/// The exchange itself, in the order of the real service: form, then rule, token, workspace, and `jti` last, so that a
/// refusal spends nothing.
pub(crate) async fn decide(
    state: &Services,
    request_id: &str,
    request: Result<ExchangeRequest, Malformed>,
    now: SystemTime,
) -> (Decision, Record) {
    let record = |outcome| Record::new(now, request_id, Kind::Exchange, outcome);
    let request = match request {
        Ok(request) => request,
        Err(malformed) => {
            let record =
                Record { reason: Some(malformed.reason), detail: Some(malformed.message.clone()), ..record(Outcome::Malformed) };
            return (Decision::Malformed(malformed), record);
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
            let decision = Decision::Granted {
                access_token,
                lifetime_seconds: admission.lifetime_seconds,
                workspace_id: admission.workspace_id,
                scope: admission.scope,
            };
            (decision, record)
        }
        Err(denial) => {
            let record = Record {
                reason: Some(denial.reason),
                detail: denial.detail,
                jti: denial.jti,
                parties,
                ..record(Outcome::Denied)
            };
            (Decision::Denied, record)
        }
    }
}
