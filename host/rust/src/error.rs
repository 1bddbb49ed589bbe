//! What can go wrong, by what the program can do about it.

use std::time::Duration;

use wif_rules::Reply;

use crate::clock::millis;
#[cfg(feature = "sandbox")]
use crate::component::ComponentError;
use crate::status::Failure;
use crate::vocabulary::PendingReason;

/// Why a caller has no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is none, and waiting would not help. Answer at once: a proxy with 503 and `Retry-After` from
    /// [`Failure::retry_in`]. The failure says what to do.
    #[error("no access token: {0}")]
    Unavailable(Failure),
    /// The caller's own time was over. Work goes on; ask again.
    #[error("no access token within {} ms{}", .after.as_millis(), waiting(*.waiting_for))]
    TimedOut {
        /// The time that the caller gave.
        after: Duration,
        /// What it was waiting for, if that is known.
        waiting_for: Option<PendingReason>,
    },
    /// As many callers are waiting as may. Shed this one.
    #[error("no access token, and {limit} callers are waiting for one already")]
    Overloaded {
        /// How many may wait.
        limit: usize,
    },
    /// The credential was shut down, or the runtime that drove it has ended. Build another in the runtime that is there, or take one
    /// of [`blocking`](crate::blocking), which lives on.
    #[error(
        "the credential is closed: it was shut down, or the tokio runtime in which it was built has ended. Build another in this one, or \
         use wif::blocking, which has a runtime of its own"
    )]
    Closed,
}

/// What a proxy answers.
impl From<&Error> for Reply {
    fn from(error: &Error) -> Self {
        match error {
            Error::Unavailable(failure) => Self::failed(failure.code.as_str(), failure.retry_in.map(millis)),
            Error::TimedOut { .. } => Self::timed_out(),
            Error::Overloaded { .. } => Self::overloaded(),
            Error::Closed => Self::closed(),
        }
    }
}

fn waiting(reason: Option<PendingReason>) -> String {
    reason.map(|reason| format!(", while {}", reason.as_str().replace('-', " "))).unwrap_or_default()
}

/// Why a credential cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The configuration can never work. Mend the field.
    #[error("{} {message}", if .field.is_empty() { "the configuration".to_owned() } else { format!("{field}:") })]
    Configuration {
        /// The field, as a path such as `federation.organization_id`; empty for the document as a whole.
        field: String,
        /// What is wrong with it, and what would be right.
        message: String,
    },
    /// There is no tokio runtime here. Build it inside one, or use [`blocking`](crate::blocking).
    #[error("a credential is driven by a tokio runtime, and there is none here")]
    NoRuntime,
    /// An extra root certificate is no PEM certificate.
    #[error("the extra root certificate cannot be read: {0}")]
    RootCertificate(String),
    /// The program sends requests itself, so this is for its own client: give it there.
    #[error("{0} has no effect where the program sends requests itself: set it in the program's own client")]
    OfTheClient(&'static str),
    /// The operating system has no random numbers, and [`seed`](crate::Builder::seed) was not given.
    #[error("no seed: {0}")]
    Seed(String),
    /// The component cannot be used, or was stopped while it opened the session.
    #[error("the component cannot be started: {0}")]
    Component(String),
    /// The thread of a blocking credential could not be started.
    #[error("no thread: {0}")]
    Thread(#[from] std::io::Error),
}

#[cfg(feature = "sandbox")]
impl From<ComponentError> for BuildError {
    fn from(error: ComponentError) -> Self {
        Self::Component(error.to_string())
    }
}

/// Why a [`Policy`](crate::Policy) cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// This is no origin: a scheme, a host and perhaps a port, and nothing else.
    #[error("{0} is no origin: write a scheme, a host and perhaps a port, such as https://api.anthropic.com")]
    NotAnOrigin(String),
    /// Plain HTTP carries secrets in the clear, and is allowed to this very machine only.
    #[error("{0} is plain HTTP to another machine; use https, or a loopback host")]
    PlainHttp(String),
    /// This is no proxy's URL.
    #[error("the proxy's URL cannot be used: {0}")]
    Proxy(String),
}
