//! From an error to its message and exit code. The codes are documented in the crate's docs, the help and the README.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use wif::{BuildError, Error, Failure, FailureCode};
use wif_emulator::{Reason, ResourcesError};

use crate::output::say_error;
use crate::waiting;
use crate::words::{moment, seconds};

/// Anything else.
const OTHER: u8 = 1;
/// The command line is wrong.
const USAGE: u8 = 2;
/// The configuration is wrong, or the policy forbids what it says.
pub(crate) const CONFIGURATION: u8 = 3;
/// There may be a token later.
pub(crate) const LATER: u8 = 4;
/// Somebody said no.
pub(crate) const REFUSED: u8 = 5;
/// There is a credential, and it hides another one.
pub(crate) const SHADOWS: u8 = 6;
/// A key is set somewhere.
pub(crate) const KEYS: u8 = 7;

/// A trial ended with a refusal.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) Reason);

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the identity token would be refused: {}", self.0)
    }
}

impl std::error::Error for Refused {}

/// The command line is wrong, in a way that its parser does not see.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Somebody said no to a login.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) String);

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// What the user configured cannot be used: the sentence says what and why.
#[derive(Debug)]
pub(crate) struct Wrong(pub(crate) String);

impl fmt::Display for Wrong {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

/// The command's time was over: the sentence says for what it waited.
#[derive(Debug)]
pub(crate) struct TooLate(pub(crate) String);

impl fmt::Display for TooLate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for TooLate {}

/// There is no token, and the command no longer waits for one.
#[derive(Debug)]
pub(crate) struct NoToken {
    /// Why.
    pub(crate) failure: Failure,
    /// Whether the source can show another identity token while the command runs: it is a file.
    pub(crate) may_change: bool,
    /// For how long the command waited, if that is why it gives up.
    pub(crate) within: Option<Duration>,
    /// What was asked for.
    pub(crate) wanted: String,
    /// Whether what this run knows is kept for the next one.
    pub(crate) keeps_state: bool,
}

impl fmt::Display for NoToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { failure, within, wanted, .. } = self;
        write!(formatter, "{wanted}")?;
        if let Some(time) = within {
            write!(formatter, " within {} s", time.as_secs())?;
        }
        write!(formatter, ": {} ({})", failure.message, failure.code)
    }
}

impl std::error::Error for NoToken {}

/// Prints the error to standard error, with what to do, and gives its exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let no_token: Option<&NoToken> = error.downcast_ref();
    let failure = match (no_token, error.downcast_ref()) {
        (Some(no_token), _) => Some(&no_token.failure),
        (None, Some(Error::Unavailable(failure))) => Some(failure),
        _ => None,
    };
    let text = match (no_token, failure) {
        // The library's own sentence ends with the advice, which has a line to itself here.
        (None, Some(failure)) => format!("no access token: {} ({})", failure.message, failure.code),
        _ => error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": "),
    };
    say_error(&format!("wif: {}", in_own_words(&text)));
    if let Some(failure) = failure {
        for line in advice(failure) {
            say_error(&format!("     {line}"));
        }
    }
    let spent = |no_token: &NoToken| matches!(no_token.failure.code, FailureCode::Refused | FailureCode::IdentityTokenSpent);
    if no_token.is_some_and(|no_token| spent(no_token) && !no_token.keeps_state) {
        say_error(
            "     If an earlier run exchanged this identity token, let it rotate, and keep the access token for later runs with \
             --state FILE.",
        );
    }
    let later = no_token.filter(|no_token| waiting::can_help(no_token.failure.code, no_token.may_change));
    if let Some(wait) = later.and_then(|no_token| no_token.failure.retry_in) {
        let at = moment(wait).map(|at| format!(", at {at}")).unwrap_or_default();
        say_error(&format!("     The next try would be in {}{at}: --timeout says how long to wait.", seconds(wait)));
    }
    ExitCode::from(code_of(error))
}

/// What the reader of a failure can do, a line each.
pub(crate) fn advice(failure: &Failure) -> Vec<String> {
    let mut lines = vec![action(failure)];
    if failure.message.contains("invalid peer certificate: UnknownIssuer") {
        // Such as that of a corporate proxy that opens what goes through it.
        lines.push("If its certificate is of a private authority, --extra-roots FILE trusts that.".to_owned());
    }
    lines.retain(|line| !line.is_empty());
    lines.extend(failure.request_id.as_ref().map(|id| format!("The endpoint's request id is {id}.")));
    lines
}

/// What to do about a failure, in the words of the command.
pub(crate) fn action(failure: &Failure) -> String {
    if !failure.message.contains("Policy::allow_origin") {
        return in_own_words(&failure.action);
    }
    // The message names the option already.
    let mut action = "If it is not meant to go there, mend ANTHROPIC_BASE_URL or base_url.".to_owned();
    if failure.message.contains("not http://") {
        action.insert_str(
            0,
            "On a development machine --allow-loopback, or WIF_ALLOW_LOOPBACK=1, allows every port of this machine. ",
        );
    }
    action
}

/// The library names what a Rust program would call; whoever uses the command has options.
pub(crate) fn in_own_words(text: &str) -> String {
    // Of the option that keeps one the command has a line of its own.
    let mut text = text.replace(" If it was, wait until it is rotated, and share a store or keep a journal.", "");
    for (call, option) in [
        ("Policy::allow_origin(\"", "--allow-origin"),
        ("Policy::allow_private_origin(\"", "--allow-private-origin"),
        ("Policy::allow_executable(\"", "--allow-executable"),
    ] {
        while let Some(start) = text.find(call) {
            let argument = start + call.len();
            let Some(length) = text[argument..].find("\")") else { break };
            let option = format!("{option} {}", &text[argument..argument + length]);
            text.replace_range(start..argument + length + 2, &option);
        }
    }
    text
}

fn code_of(error: &anyhow::Error) -> u8 {
    if let Some(BuildError::Configuration { .. } | BuildError::RootCertificate(_)) = error.downcast_ref() {
        return CONFIGURATION;
    }
    if error.is::<wif::PolicyError>() || error.is::<ResourcesError>() || error.is::<Wrong>() {
        return CONFIGURATION;
    }
    if error.is::<Usage>() {
        return USAGE;
    }
    if error.is::<Refused>() || error.is::<Refusal>() {
        return REFUSED;
    }
    if error.is::<TooLate>() {
        return LATER;
    }
    if let Some(no_token) = error.downcast_ref::<NoToken>() {
        return code_of_failure(no_token.failure.code, no_token.may_change);
    }
    match error.downcast_ref() {
        Some(Error::Unavailable(failure)) => code_of_failure(failure.code, false),
        Some(Error::TimedOut { .. } | Error::Overloaded { .. }) => LATER,
        _ => OTHER,
    }
}

/// `may_change`: whether the source can show another identity token to the next run as it is called now.
pub(crate) fn code_of_failure(code: FailureCode, may_change: bool) -> u8 {
    match code {
        FailureCode::Configuration | FailureCode::DeniedByHost | FailureCode::UnsupportedByHost => CONFIGURATION,
        FailureCode::RateLimited
        | FailureCode::EndpointFailed
        | FailureCode::EndpointUnreachable
        | FailureCode::AnswerUnusable
        | FailureCode::StoreFailed
        | FailureCode::IdentityTokenSpent
        | FailureCode::TokenSourceFailed => LATER,
        FailureCode::IdentityTokenMissing
        | FailureCode::IdentityTokenMalformed
        | FailureCode::IdentityTokenExpired
        | FailureCode::IdentityTokenNotYetValid
            if may_change =>
        {
            LATER
        }
        FailureCode::ComponentStopped => OTHER,
        _ => REFUSED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_calls_a_function_is_an_option_here() {
        let text = "allow it with Policy::allow_origin(\"http://localhost:1\"), or Policy::allow_origin(\"https://b\").";
        assert_eq!(in_own_words(text), "allow it with --allow-origin http://localhost:1, or --allow-origin https://b.");
        assert_eq!(in_own_words("Policy::allow_origin(\""), "Policy::allow_origin(\"");
        assert_eq!(in_own_words("with Policy::allow_executable(\"/bin/x\")"), "with --allow-executable /bin/x");
        let private = in_own_words("resolves to 10.0.0.1; Policy::allow_private_origin(\"https://a\") allows it");
        assert_eq!(private, "resolves to 10.0.0.1; --allow-private-origin https://a allows it");
    }
}
