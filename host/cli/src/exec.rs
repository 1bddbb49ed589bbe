//! `wif exec`: a program with a fresh token, and with nothing of what the token was made from.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::child::Running;
use crate::credential::{named, place_of, variable_of};
use crate::environment::{self, BASE_URL, BESIDE, FEDERATION, PROFILES, STATIC};
use crate::help;
use crate::output::say_error;
use crate::state_server::PASSWORD;
use crate::token::{Wanted, bare, variables_for};
use crate::words::seconds;

/// What `wif exec` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = help::EXEC)]
pub(crate) struct Options {
    #[command(flatten)]
    wanted: Wanted,
    /// Do not say when the command's token ends.
    #[arg(long)]
    quiet: bool,
    /// Leave the command a variable that the platform's source of identity tokens reads, such as AWS_REGION. May be repeated.
    #[arg(long, value_name = "NAME")]
    keep: Vec<String>,
    /// The command to run, with its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What the command never sees: it has a token, and must not exchange, or take another credential.
fn stripped<'a>() -> impl Iterator<Item = &'a str> {
    STATIC.into_iter().chain(PROFILES).chain(FEDERATION).chain(BESIDE).chain([PASSWORD])
}

pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let Some((program, arguments)) = options.command.split_first() else { return Ok(ExitCode::SUCCESS) };
    let mut held = options.wanted.hold().await?;
    let mut waiting = held.waiting();
    let token = waiting.token_with_warnings().await?;
    let token = waiting.settled(token).await;
    let status = held.credential.status().await?;
    let (_, value) = bare(&token)?;
    let mut variables = vec![(variables_for(&status).0, value)];
    // A profile may have named the place, which the command does not see.
    variables.extend(place_of(&status).map(|url| (BASE_URL, url.to_owned())));
    let others: Vec<&str> = token.headers().iter().skip(1).map(|(name, _)| name.as_str()).collect();
    if !others.is_empty() {
        say_error(&format!(
            "wif: requests need these header fields as well, and no variable sets them for the command: {}",
            others.join(", ")
        ));
    }
    // What the platform's recipe reads leads to identity tokens, if only one knows how.
    let read: Vec<String> = options.wanted.variables_read(&status)?;
    let read: Vec<&str> = read.iter().map(String::as_str).filter(|name| !options.keep.iter().any(|kept| kept == name)).collect();
    let unset: Vec<&str> =
        stripped().chain(named(&status, "identity_token").and_then(variable_of)).chain(read.iter().copied()).collect();
    held.end().await;
    let trouble = held.trouble();
    // The lock of the state file goes with it: other runs need not wait for the command.
    drop(held);
    trouble?;
    if let (false, Some(ends)) = (options.quiet, status.token.as_ref().and_then(|token| token.unusable_in)) {
        say_error(&format!(
            "wif: {} has an access token for {}. It is not refreshed while the command runs.",
            program.display(),
            seconds(ends)
        ));
    }
    let without: Vec<&str> = read.iter().copied().filter(|name| environment::is_there(name)).collect();
    if !options.quiet && !without.is_empty() {
        let without = without.join(", ");
        say_error(&format!("wif: the command does not have {without}, which the source reads: --keep NAME leaves one to it"));
    }
    match Running::start(program, arguments, &variables, &unset)? {
        Ok(mut running) => running.ended().await,
        Err(code) => Ok(code),
    }
}
