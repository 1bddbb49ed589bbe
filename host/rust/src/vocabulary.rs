//! The contract's vocabulary: what programs, logs and metrics call things. The names are those of `wit/types.wit`.

use std::fmt;

use crate::bindings::types;

/// The name of each case, and the way here from the contract.
macro_rules! vocabulary {
    ($name:ident { $($case:ident = $text:literal),+ $(,)? } $(and { $($own:ident = $own_text:literal),+ })?) => {
        impl $name {
            /// Every case of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$case),+];

            /// The name in logs and metrics, in kebab-case.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$case => $text,)+
                    $($(Self::$own => $own_text,)+)?
                }
            }
        }

        impl From<types::$name> for $name {
            fn from(value: types::$name) -> Self {
                match value {
                    $(types::$name::$case => Self::$case,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(self.as_str())
            }
        }
    };
}

/// The situations without a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureCode {
    /// No credential is configured, or what is configured is incomplete or contradictory. Mend the configuration.
    Configuration,
    /// The source of the identity token has none: a missing file, an unset variable. Check the mount or the job.
    IdentityTokenMissing,
    /// The source cannot be read: permissions, a directory, a failing callable.
    IdentityTokenUnreadable,
    /// What the source gave is no JWT that could be exchanged. Check what the path or variable points at.
    IdentityTokenMalformed,
    /// It has expired by this machine's clock. Check the source's rotation and the clock.
    IdentityTokenExpired,
    /// It is not valid yet by this machine's clock. Check the clock.
    IdentityTokenNotYetValid,
    /// It can be exchanged once and has been. Waiting for the source to rotate it.
    IdentityTokenSpent,
    /// The endpoint answered 401 and does not say why. Look at its authentication history, by request id.
    Refused,
    /// The endpoint answered 400 or another 4xx: it does not accept what the configuration says.
    RequestInvalid,
    /// The endpoint answered 403.
    Forbidden,
    /// The endpoint answered 429.
    RateLimited,
    /// The endpoint answered 408, 425 or 5xx.
    EndpointFailed,
    /// The endpoint could not be reached, or its answer did not arrive.
    EndpointUnreachable,
    /// The endpoint answered 200 with something that is no token, or redirected.
    AnswerUnusable,
    /// The embedding program's callable for the access token failed or gave something unusable.
    TokenSourceFailed,
    /// The store failed, or it is a cache and the identity token needs a real one.
    StoreFailed,
    /// The host's policy refuses what the configuration asks for. Change one of them.
    DeniedByHost,
    /// The host cannot do what the configuration asks for.
    UnsupportedByHost,
    /// The component broke its contract or was stopped, and is started again later. Report it with the log of target `wif`.
    ComponentStopped,
}

vocabulary!(FailureCode {
    Configuration = "configuration",
    IdentityTokenMissing = "identity-token-missing",
    IdentityTokenUnreadable = "identity-token-unreadable",
    IdentityTokenMalformed = "identity-token-malformed",
    IdentityTokenExpired = "identity-token-expired",
    IdentityTokenNotYetValid = "identity-token-not-yet-valid",
    IdentityTokenSpent = "identity-token-spent",
    Refused = "refused",
    RequestInvalid = "request-invalid",
    Forbidden = "forbidden",
    RateLimited = "rate-limited",
    EndpointFailed = "endpoint-failed",
    EndpointUnreachable = "endpoint-unreachable",
    AnswerUnusable = "answer-unusable",
    TokenSourceFailed = "token-source-failed",
    StoreFailed = "store-failed",
    DeniedByHost = "denied-by-host",
    UnsupportedByHost = "unsupported-by-host",
} and { ComponentStopped = "component-stopped" });

/// Where a credential stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Looking for the configuration.
    Discovering,
    /// No token, nothing under way.
    Idle,
    /// No token, work under way.
    Starting,
    /// A token, nothing to do.
    Serving,
    /// A token, and a refresh under way.
    Refreshing,
    /// A token, and the refresh waits after a failure.
    Retrying,
    /// Waiting for the source to rotate the identity token, with or without an access token.
    WaitingForRotation,
    /// No token after a failure.
    Failed,
    /// Closing.
    Closed,
}

vocabulary!(State {
    Discovering = "discovering",
    Idle = "idle",
    Starting = "starting",
    Serving = "serving",
    Refreshing = "refreshing",
    Retrying = "retrying",
    WaitingForRotation = "waiting-for-rotation",
    Failed = "failed",
    Closed = "closed",
});

/// What is known about a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Standing {
    /// Nothing against it.
    Good,
    /// The API answered 401 to it. Served on where no exchange can run, so that the API's own answer reaches the caller.
    Suspect,
}

vocabulary!(Standing {
    Good = "good",
    Suspect = "suspect",
});

/// What callers are waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PendingReason {
    /// Variables and profiles are being read.
    Discovering,
    /// The source of the identity token has been asked.
    ReadingIdentityToken,
    /// The store has been asked.
    ReadingStore,
    /// Another session has the lease and is exchanging.
    WaitingForLease,
    /// The token endpoint has been asked.
    Exchanging,
    /// The embedding program has been asked for the access token.
    AskingForToken,
}

vocabulary!(PendingReason {
    Discovering = "discovering",
    ReadingIdentityToken = "reading-identity-token",
    ReadingStore = "reading-store",
    WaitingForLease = "waiting-for-lease",
    Exchanging = "exchanging",
    AskingForToken = "asking-for-token",
});

/// Whether an identity token can be exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Disposition {
    /// It was not sent, or refused without being consumed.
    Unspent,
    /// It was sent and the outcome is unknown.
    Uncertain,
    /// It was exchanged, and cannot be again.
    Spent,
    /// It can be exchanged any number of times.
    Reusable,
}

vocabulary!(Disposition {
    Unspent = "unspent",
    Uncertain = "uncertain",
    Spent = "spent",
    Reusable = "reusable",
});

/// How loud a note is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NoteLevel {
    /// The course of things.
    Info,
    /// Somebody should look at it, though it works.
    Warning,
    /// It does not work.
    Error,
}

vocabulary!(NoteLevel {
    Info = "info",
    Warning = "warning",
    Error = "error",
});

/// The kinds of change. The same names in logs and metrics of every host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NoteCode {
    /// The configuration is complete: which credential, from where.
    Configured,
    /// The configuration cannot be completed.
    ConfigurationFailed,
    /// A variable or another credential is set and not used.
    SourceIgnored,
    /// The state of an earlier session was taken over.
    Resumed,
    /// A journal or an entry could not be read and was ignored.
    StateIgnored,
    /// The source shows another identity token than before.
    IdentityTokenRotated,
    /// What the source gave cannot be used.
    IdentityTokenUnusable,
    /// The identity token is spent: waiting for another.
    WaitingForRotation,
    /// A request to the token endpoint was started.
    ExchangeStarted,
    /// It brought a token.
    ExchangeSucceeded,
    /// It did not.
    ExchangeFailed,
    /// A token was taken over from the store.
    TokenAdopted,
    /// The embedding program supplied a token.
    TokenSupplied,
    /// The API rejected the current token.
    TokenRejected,
    /// Two tokens in a row were rejected: no exchange is forced for a while.
    ForcedExchangesStopped,
    /// The token may no longer be served.
    TokenUnusable,
    /// The lease on the exchange was taken.
    LeaseTaken,
    /// A lease was taken over from a session of which nothing was heard.
    LeaseTakenOver,
    /// A task ended without a result.
    TaskLost,
    /// Lifetimes that cannot work together.
    LifetimesConflict,
    /// The endpoint's clock and this machine's differ.
    ClockSkewed,
    /// The endpoint's answer was accepted and is unusual.
    AnswerUnusual,
    /// The session is closing.
    Closing,
}

vocabulary!(NoteCode {
    Configured = "configured",
    ConfigurationFailed = "configuration-failed",
    SourceIgnored = "source-ignored",
    Resumed = "resumed",
    StateIgnored = "state-ignored",
    IdentityTokenRotated = "identity-token-rotated",
    IdentityTokenUnusable = "identity-token-unusable",
    WaitingForRotation = "waiting-for-rotation",
    ExchangeStarted = "exchange-started",
    ExchangeSucceeded = "exchange-succeeded",
    ExchangeFailed = "exchange-failed",
    TokenAdopted = "token-adopted",
    TokenSupplied = "token-supplied",
    TokenRejected = "token-rejected",
    ForcedExchangesStopped = "forced-exchanges-stopped",
    TokenUnusable = "token-unusable",
    LeaseTaken = "lease-taken",
    LeaseTakenOver = "lease-taken-over",
    TaskLost = "task-lost",
    LifetimesConflict = "lifetimes-conflict",
    ClockSkewed = "clock-skewed",
    AnswerUnusual = "answer-unusual",
    Closing = "closing",
});
