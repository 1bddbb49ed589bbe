//! The types that every world shows: a token, a status, a failure. They differ from the engine's only in that its secrets
//! are a type. Whoever includes this file has its bindings in `crate::bindings`.

use wif_engine::contract as engine;

use crate::bindings::exports::wif::credential::types as wit;

/// An enum whose cases have the same names on both sides and carry nothing.
macro_rules! enumeration {
    ($from:ident::$name:ident => $to:ident { $($case:ident),+ $(,)? }) => {
        impl From<$from::$name> for $to::$name {
            fn from(value: $from::$name) -> Self {
                match value {
                    $($from::$name::$case => Self::$case,)+
                }
            }
        }
    };
}

enumeration!(engine::Standing => wit { Good, Suspect });
enumeration!(engine::Disposition => wit { Unspent, Uncertain, Spent, Reusable });
enumeration!(engine::State => wit {
    Discovering, Idle, Starting, Serving, Refreshing, Retrying, WaitingForRotation, Failed, Closed,
});
enumeration!(engine::FailureCode => wit {
    Configuration, IdentityTokenMissing, IdentityTokenUnreadable, IdentityTokenMalformed, IdentityTokenExpired,
    IdentityTokenNotYetValid, IdentityTokenSpent, Refused, RequestInvalid, Forbidden, RateLimited, EndpointFailed,
    EndpointUnreachable, AnswerUnusable, TokenSourceFailed, StoreFailed, DeniedByHost, UnsupportedByHost,
});

pub(crate) fn all<A, B: From<A>>(list: Vec<A>) -> Vec<B> {
    list.into_iter().map(Into::into).collect()
}

impl From<engine::Header> for wit::Header {
    fn from(header: engine::Header) -> Self {
        Self { name: header.name, value: header.value.into_revealed() }
    }
}

impl From<engine::Usable> for wit::Usable {
    fn from(usable: engine::Usable) -> Self {
        Self {
            id: usable.id,
            origin: usable.origin,
            set: all(usable.set),
            merge: all(usable.merge),
            refresh_in_ms: usable.refresh_in_ms,
            hold_in_ms: usable.hold_in_ms,
            unusable_in_ms: usable.unusable_in_ms,
            standing: usable.standing.into(),
        }
    }
}

impl From<engine::Failure> for wit::Failure {
    fn from(failure: engine::Failure) -> Self {
        Self {
            code: failure.code.into(),
            message: failure.message,
            action: failure.action,
            retry_in_ms: failure.retry_in_ms,
            rotation_in_ms: failure.rotation_in_ms,
            status: failure.status,
            request_id: failure.request_id,
        }
    }
}

impl From<engine::Field> for wit::Field {
    fn from(field: engine::Field) -> Self {
        Self { name: field.name, value: field.value }
    }
}

impl From<engine::Status> for wit::Status {
    fn from(status: engine::Status) -> Self {
        Self {
            state: status.state.into(),
            summary: status.summary,
            configuration: all(status.configuration),
            token: status.token.map(Into::into),
            identity_token: status.identity_token.map(Into::into),
            next: status.next,
            next_in_ms: status.next_in_ms,
            failure: status.failure.map(Into::into),
            warnings: status.warnings,
            exchanges_started: status.exchanges_started,
            exchanges_succeeded: status.exchanges_succeeded,
            clock_skew_ms: status.clock_skew_ms,
        }
    }
}

impl From<engine::TokenStatus> for wit::TokenStatus {
    fn from(token: engine::TokenStatus) -> Self {
        Self {
            id: token.id,
            origin: token.origin,
            standing: token.standing.into(),
            lifetime_ms: token.lifetime_ms,
            refresh_in_ms: token.refresh_in_ms,
            unusable_in_ms: token.unusable_in_ms,
        }
    }
}

impl From<engine::IdentityTokenStatus> for wit::IdentityTokenStatus {
    fn from(token: engine::IdentityTokenStatus) -> Self {
        Self {
            id: token.id,
            issuer: token.issuer,
            subject: token.subject,
            audience: token.audience,
            expires_in_ms: token.expires_in_ms,
            disposition: token.disposition.into(),
        }
    }
}
