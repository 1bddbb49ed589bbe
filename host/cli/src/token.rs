//! `wif token`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio_stream::StreamExt as _;

use crate::options::{Common, answer};
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
    let trouble = Arc::new(Mutex::new(None));
    if let Some(path) = &options.state {
        let state = StateFile::open(path, &options.common.document()?)?;
        if let Some(journal) = state.load()? {
            builder = builder.resume(wif::Start::Resumed(journal.into()));
        }
        // At once, for a run that is killed in the middle of an exchange has perhaps spent its identity token.
        let trouble = Arc::clone(&trouble);
        builder = builder.keep_journals(move |journal| {
            state.save(journal.reveal()).map_err(|error| {
                let why = format!("{error:#}");
                trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                why.into()
            })
        });
    }
    let credential = builder.build()?;
    let timeout = Duration::from_secs(options.timeout);
    let token = credential.token_within(timeout).await;
    let token = match token {
        // A request that is out may have spent the identity token: what it brings must not be lost.
        Ok(token) if options.state.is_some() => settled(&credential, token, timeout).await,
        token => token?,
    };
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
        answer(&document.to_string())?;
    } else {
        answer(bare)?;
    }
    // The token is good all the same; but the next run will not find it.
    trouble.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
}

/// The token to go on with, once no exchange is under way.
async fn settled(credential: &wif::Credential, token: wif::Token, timeout: Duration) -> wif::Token {
    let mut changes = credential.changes();
    let resting = async {
        while let Ok(status) = credential.status().await {
            if !matches!(status.state, wif::State::Starting | wif::State::Refreshing) || changes.next().await.is_none() {
                break;
            }
        }
    };
    // Whoever waits for too long goes with the token at hand.
    let _ = tokio::time::timeout(timeout, resting).await;
    credential.try_current().unwrap_or(token)
}
