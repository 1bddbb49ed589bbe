//! `wif exec`: a program with a fresh token, and with nothing of what the token was made from.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::child::Running;
use crate::help;
use crate::options::{say_error, seconds};
use crate::status::variable_of;
use crate::token::{Wanted, bare, place_of, variables_for};

/// What `wif exec` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = help::EXEC)]
pub(crate) struct Options {
    #[command(flatten)]
    wanted: Wanted,
    /// Do not say when the command's token ends.
    #[arg(long)]
    quiet: bool,
    /// The command to run, with its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What the command does not see: it has a token, and must not exchange, or take another credential.
const STRIPPED: [&str; 15] = [
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_PROFILE",
    "ANTHROPIC_CONFIG_DIR",
    "ANTHROPIC_FEDERATION_RULE_ID",
    "ANTHROPIC_ORGANIZATION_ID",
    "ANTHROPIC_SERVICE_ACCOUNT_ID",
    "ANTHROPIC_WORKSPACE_ID",
    "ANTHROPIC_IDENTITY_TOKEN_FILE",
    "ANTHROPIC_IDENTITY_TOKEN",
    "ANTHROPIC_SCOPE",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_OAUTH_REFRESH_TOKEN",
    "CLAUDE_CODE_OAUTH_SCOPES",
    // Header fields of every request, and so perhaps another credential.
    "ANTHROPIC_CUSTOM_HEADERS",
];

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
    variables.extend(place_of(&status).map(|url| ("ANTHROPIC_BASE_URL", url.to_owned())));
    let others: Vec<&str> = token.headers().iter().skip(1).map(|(name, _)| name.as_str()).collect();
    if !others.is_empty() {
        say_error(&format!("wif: no variable passes on what requests carry beside the token: {}", others.join(", ")));
    }
    let source = status.configuration.iter().find(|(name, _)| name == "identity_token").map(|(_, source)| source.clone());
    let unset: Vec<&str> = STRIPPED.into_iter().chain(source.as_deref().and_then(variable_of)).collect();
    held.end().await;
    let trouble = held.trouble();
    // The lock of the state file goes with it: other runs need not wait for the command.
    drop(held);
    trouble?;
    if let (false, Some(ends)) = (options.quiet, status.token.and_then(|token| token.unusable_in)) {
        say_error(&format!(
            "wif: {} has an access token for {}. It is not refreshed while the command runs.",
            program.display(),
            seconds(ends)
        ));
    }
    match Running::start(program, arguments, &variables, &unset)? {
        Ok(mut running) => running.ended().await,
        Err(code) => Ok(code),
    }
}
