//! The contract's types as the engine has them and as a world's bindings do, in a component or in a host. They differ only in that the
//! engine's secrets are a type. Each world has bindings of its own, in its own crate, and so the conversions are macros.

mod steps;

/// Converts a list.
pub fn all<A, B: From<A>>(list: Vec<A>) -> Vec<B> {
    list.into_iter().map(Into::into).collect()
}

/// An enum whose cases have the same names on both sides and carry nothing.
#[macro_export]
macro_rules! same_cases {
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

/// The types that every world shows: a token, a status, a failure. The argument is the module of the world's bindings that has them.
#[macro_export]
macro_rules! shown_types {
    ($types:path) => {
        const _: () = {
            use $crate::boundary::all;
            use $crate::contract as engine;
            use $types as wit;

    $crate::same_cases!(engine::Standing => wit { Good, Suspect });
    $crate::same_cases!(engine::Disposition => wit { Unspent, Uncertain, Spent, Reusable });
            $crate::same_cases!(engine::State => wit {
                Discovering, Idle, Starting, Serving, Refreshing, Retrying, WaitingForRotation, Failed, Closed,
            });
            $crate::same_cases!(engine::FailureCode => wit {
                Configuration, IdentityTokenMissing, IdentityTokenUnreadable, IdentityTokenMalformed, IdentityTokenExpired,
                IdentityTokenNotYetValid, IdentityTokenSpent, Refused, RequestInvalid, Forbidden, RateLimited, EndpointFailed,
                EndpointUnreachable, AnswerUnusable, TokenSourceFailed, StoreFailed, DeniedByHost, UnsupportedByHost,
            });

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
        };
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_list_crosses_whole_and_in_its_order() {
        assert_eq!(super::all::<u16, u32>(vec![2, 1]), [2, 1]);
    }
}
