//! `wif token`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio::time::Instant;
use wif::DirectoryStore;

use crate::exit::{Usage, Wrong};
use crate::options::{Common, hand_over, moment};
use crate::state_file::{StateFile, is_directory};
use crate::waiting::Waiting;
use crate::{help, output, warnings};

/// What `wif token` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = help::TOKEN)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// Print a JSON object: `token`, the name of its `header`, what requests carry beside it (`other_headers`), its `id` and `origin`, and when it is to be refreshed and may no
    /// longer be used, as moments (`refresh_at`, `unusable_at`, RFC 3339 in UTC) and from now on (`refresh_in_ms`,
    /// `unusable_in_ms`).
    #[arg(long)]
    json: bool,
    /// Keep the token and what is known of identity tokens in this file, readable by you alone, for the next run. Without it
    /// every run exchanges, and an identity token that can be exchanged once serves one run only. A directory (one that is there,
    /// or a name that ends with `/`) keeps a file for each identity, and many runs use it at once.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// The API answered 401 to the token with this id (`id` of --json): print another one. `last` stands for the token that the
    /// state file holds; where several programs share the file give the id, or one rejects what another has just fetched. If the
    /// state file has gone on to another token, that one is printed and nothing is exchanged.
    #[arg(long, value_name = "ID", requires = "state")]
    rejected: Option<String>,
    /// How long to wait, in seconds, for everything together: for another run that uses the state file, for an identity token that
    /// is missing, empty or spent, and for the retries that are due within it.
    #[arg(long, value_name = "SECONDS", default_value_t = 35, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
}

/// Which token the API rejected.
#[derive(Debug)]
enum Rejected {
    Last,
    Id(String),
}

impl Rejected {
    /// The parser of the command line would repeat what it does not take, and that may be the token.
    fn parse(text: &str) -> Result<Self, Usage> {
        match text {
            "last" => Ok(Self::Last),
            id if id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) => Ok(Self::Id(id.to_ascii_lowercase())),
            _ => Err(Usage(
                "--rejected takes `last`, or the id of a token (16 hexadecimal digits, `id` of --json), and never a token",
            )),
        }
    }
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let rejected = options.rejected.as_deref().map(Rejected::parse).transpose()?;
    // Before anything is spent on an answer that nobody will get.
    output::check()?;
    options.common.announce();
    let timeout = Duration::from_secs(options.timeout);
    let deadline = Instant::now() + timeout;
    let document = options.common.document()?;
    let mut builder = options.common.builder(&document)?;
    let trouble = Arc::new(Mutex::new(None));
    let mut kept = None;
    if let Some(path) = options.state.as_ref().filter(|path| is_directory(path)) {
        let store = DirectoryStore::new(path).map_err(|error| Wrong(format!("--state {}: {error}", path.display())))?;
        builder = builder.store(store);
    } else if let Some(path) = &options.state {
        let state = kept.insert(Arc::new(StateFile::open(path, &document, deadline).await?)).clone();
        builder = builder.store(Arc::clone(&state));
        if let Some(journal) = state.load()? {
            builder = builder.resume(wif::Start::Resumed(journal.into()));
        }
        // At once, for a run that is killed in the middle of an exchange has perhaps spent its identity token.
        let trouble = Arc::clone(&trouble);
        builder = builder.keep_journals(move |journal| {
            state.save(journal.reveal()).map_err(|error| {
                let why = format!("{error:#}");
                if state.is_read_only() {
                    // What is there may serve; and without a place to note it in, nothing is exchanged.
                    return why.into();
                }
                trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                why.into()
            })
        });
    }
    let credential = builder.build()?;
    let mut changes = credential.changes();
    let mut waiting = Waiting::new(&credential, timeout, deadline, options.state.is_some());
    let token = waiting.token().await;
    warnings::print(&mut changes).await;
    if token.is_err() {
        // What came of it is to be found by the next run.
        if tokio::time::timeout(Duration::from_secs(1), credential.settle()).await.is_ok() {
            kept.iter().for_each(|state| state.finish());
        }
    }
    let mut token = token?;
    let is_rejected = match &rejected {
        None => false,
        Some(Rejected::Id(id)) => token.id() == id,
        // The one that the state file held, unless this run has exchanged another.
        Some(Rejected::Last) => token.standing() == wif::Standing::Suspect || credential.status().await?.exchanges_started == 0,
    };
    if is_rejected {
        token = waiting.replacement(&token).await?;
    }
    // A login's refresh token is lost if what replaced it is not written.
    token = waiting.settled(token).await;
    let status = credential.status().await;
    credential.shutdown().await;
    kept.iter().for_each(|state| state.finish());
    let mut headers = token.headers().iter();
    let (name, value) = headers.next().context("the credential has no header")?;
    // Such as the workspace of a login.
    let others: serde_json::Map<String, serde_json::Value> =
        headers.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.into()))).collect();
    let value = value.to_str().context("the credential is no text")?;
    let bare = value.strip_prefix("Bearer ").unwrap_or(value);
    if options.json {
        let lifetimes = status.ok().and_then(|status| status.token).filter(|status| status.id == token.id());
        let refresh_in = lifetimes.as_ref().and_then(|token| token.refresh_in);
        let unusable_in = lifetimes.as_ref().and_then(|token| token.unusable_in);
        let milliseconds = |duration: Option<Duration>| duration.map(|duration| duration.as_millis() as u64);
        let document = json!({
            "token": bare,
            "header": name.as_str(),
            "other_headers": others,
            "id": token.id(),
            "origin": token.origin(),
            "refresh_at": refresh_in.and_then(moment),
            "unusable_at": unusable_in.and_then(moment),
            "refresh_in_ms": milliseconds(refresh_in),
            "unusable_in_ms": milliseconds(unusable_in),
        });
        hand_over(&document.to_string())?;
    } else {
        hand_over(bare)?;
    }
    // The token is good all the same; but the next run will not find it.
    trouble.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
}
