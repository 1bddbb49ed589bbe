//! `wif token`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use crate::options::{Common, say};
use crate::state_file::StateFile;

/// What `wif token` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// Print a JSON object with the token, its id, origin and lifetime.
    #[arg(long)]
    json: bool,
    /// Keep the token and what is known of identity tokens in this file, readable by you alone, for the next run. Without it
    /// every run exchanges, and an identity token that can be exchanged once serves one run only.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// How long to wait, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 35, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let mut builder = options.common.builder()?;
    let state = options.state.as_deref().map(StateFile::open).transpose()?;
    if let Some(journal) = state.as_ref().map(StateFile::load).transpose()?.flatten() {
        builder = builder.resume(wif::Start::Resumed(journal.into()));
    }
    let credential = builder.build()?;
    let token = credential.token_within(Duration::from_secs(options.timeout)).await;
    if let (Some(state), Some(journal)) = (&state, credential.journal()) {
        state.save(journal.reveal())?;
    }
    let token = token?;
    let status = credential.status().await;
    credential.shutdown().await;
    let (name, value) = token.headers().first().context("the credential has no header")?;
    let value = value.to_str().context("the credential is no text")?;
    let bare = value.strip_prefix("Bearer ").unwrap_or(value);
    if options.json {
        let lifetimes = status.ok().and_then(|status| status.token);
        let milliseconds = |duration: Option<Duration>| duration.map(|duration| duration.as_millis() as u64);
        let document = json!({
            "token": bare,
            "header": name.as_str(),
            "id": token.id(),
            "origin": token.origin(),
            "refresh_in_ms": milliseconds(lifetimes.as_ref().and_then(|token| token.refresh_in)),
            "unusable_in_ms": milliseconds(lifetimes.as_ref().and_then(|token| token.unusable_in)),
        });
        say(&document.to_string());
    } else {
        say(bare);
    }
    Ok(())
}
