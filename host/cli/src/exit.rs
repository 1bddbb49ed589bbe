//! From an error to its message and exit code. The codes are documented in the crate's docs and the README.

use std::fmt;
use std::process::ExitCode;

use wif::{BuildError, Error, FailureCode};
use wif_emulator::{Reason, ResourcesError};

/// The configuration is wrong, or the policy forbids what it says.
const CONFIGURATION: u8 = 3;
/// There may be a token later.
const LATER: u8 = 4;
/// Somebody said no.
const REFUSED: u8 = 5;
/// Anything else.
const OTHER: u8 = 1;

/// A trial ended with a refusal.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) Reason);

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the identity token would be refused: {}", self.0)
    }
}

impl std::error::Error for Refused {}

/// Prints the error to standard error, with what to do, and gives its exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let text = error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ");
    crate::options::say_error(&format!("wif: {text}"));
    if let Some(Error::Unavailable(failure)) = error.downcast_ref() {
        if !failure.action.is_empty() {
            crate::options::say_error(&format!("     {}", failure.action));
        }
        if let Some(id) = &failure.request_id {
            crate::options::say_error(&format!("     The endpoint's request id is {id}."));
        }
    }
    ExitCode::from(code_of(error))
}

fn code_of(error: &anyhow::Error) -> u8 {
    if let Some(BuildError::Configuration { .. } | BuildError::RootCertificate(_)) = error.downcast_ref() {
        return CONFIGURATION;
    }
    if error.is::<wif::PolicyError>() || error.is::<ResourcesError>() {
        return CONFIGURATION;
    }
    if error.is::<Refused>() {
        return REFUSED;
    }
    match error.downcast_ref() {
        Some(Error::Unavailable(failure)) => match failure.code {
            FailureCode::Configuration | FailureCode::DeniedByHost | FailureCode::UnsupportedByHost => CONFIGURATION,
            FailureCode::RateLimited
            | FailureCode::EndpointFailed
            | FailureCode::EndpointUnreachable
            | FailureCode::AnswerUnusable
            | FailureCode::StoreFailed
            | FailureCode::IdentityTokenSpent
            | FailureCode::TokenSourceFailed => LATER,
            FailureCode::ComponentStopped => OTHER,
            _ => REFUSED,
        },
        Some(Error::TimedOut { .. } | Error::Overloaded { .. }) => LATER,
        _ => OTHER,
    }
}
