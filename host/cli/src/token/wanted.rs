//! A credential of which a token is wanted: its options, its state file, its warnings.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use wif::{Credential, DirectoryStore, Status, Token};

use crate::credential::{Kind, kind_of, named};
use crate::exit::Wrong;
use crate::options::Common;
use crate::state_file::{StateFile, is_directory};
use crate::state_server::{self, StateServer};
use crate::waiting::Waiting;
use crate::{sources, warnings};

/// What `wif token` and `wif exec` have in common.
#[derive(Debug, clap::Args)]
pub(crate) struct Wanted {
    #[command(flatten)]
    common: Common,
    /// Keep the token and what is known of identity tokens in this file, readable by you alone, for the next run. Without it
    /// every run exchanges, and an identity token that can be exchanged once serves one run only. A directory (one that is there,
    /// or a name that ends with `/`) keeps a file for each identity, and many runs use it at once. So does a Redis server for runs on
    /// many machines: `rediss://[USER@]HOST[:PORT][/DATABASE]`, or `redis://…` without TLS.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    #[command(flatten)]
    server: StateServer,
    /// How long to wait, in seconds, for everything together: for another run that uses the state file, for an identity token that
    /// is missing, empty or spent, and for the retries that are due within it.
    #[arg(long, value_name = "SECONDS", default_value_t = 35, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
}

/// A request takes no longer, with the file that it fills.
const A_REFRESH: Duration = Duration::from_secs(22);

/// The first error of keeping the state file.
type Trouble = Arc<Mutex<Option<anyhow::Error>>>;

/// A credential under way.
pub(crate) struct Held {
    pub(crate) credential: Credential,
    timeout: Duration,
    deadline: Instant,
    keeps_state: bool,
    /// The state file, while this run has it.
    kept: Option<Arc<StateFile>>,
    trouble: Trouble,
}

/// [`Waiting`], which also prints what the credential ignores.
pub(crate) struct Asking<'a> {
    held: &'a Held,
    waiting: Waiting<'a>,
}

impl Wanted {
    /// The variables that a platform's source reads, if the configuration names one or discovery found one.
    pub(crate) fn variables_read(&self, status: &Status) -> anyhow::Result<Vec<String>> {
        let document: Value = serde_json::from_str(&self.common.document()?).unwrap_or_default();
        Ok(sources::variables_read(&document, named(status, "identity_token")))
    }

    pub(crate) async fn hold(&self) -> anyhow::Result<Held> {
        self.common.announce();
        let timeout = Duration::from_secs(self.timeout);
        let deadline = Instant::now() + timeout;
        let document = self.common.document()?;
        let mut builder = self.common.builder(&document)?;
        let trouble = Trouble::default();
        let mut kept = None;
        let server = self.state.as_deref().and_then(state_server::url);
        if server.is_none() {
            self.server.check_unused()?;
        }
        if let Some(url) = server {
            builder = builder.store(self.server.store(url, self.common.extra_roots()?)?);
        } else if let Some(path) = self.state.as_ref().filter(|path| is_directory(path)) {
            let store = DirectoryStore::new(path).map_err(|error| Wrong(format!("--state {}: {error}", path.display())))?;
            builder = builder.store(store);
        } else if let Some(path) = &self.state {
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
        Ok(Held { credential: self.common.build(builder)?, timeout, deadline, keeps_state: self.state.is_some(), kept, trouble })
    }
}

impl Held {
    pub(crate) fn waiting(&mut self) -> Asking<'_> {
        let waiting = Waiting::new(&self.credential, self.timeout, self.deadline, self.keeps_state);
        Asking { held: self, waiting }
    }

    /// Nothing is asked of the credential any more. What is out is waited for: a login's refresh token is lost with the answer.
    pub(crate) async fn end(&self) {
        let _late = tokio::time::timeout(A_REFRESH, self.credential.settle()).await;
        self.credential.shutdown().await;
        self.kept.iter().for_each(|state| state.finish());
    }

    /// There is no token. What comes of what is under way is to be found by the next run.
    async fn give_up(&self) {
        let status = self.credential.status().await.ok();
        let is_login = status.is_some_and(|status| kind_of(&status) == Kind::Login);
        let patience = if is_login { A_REFRESH } else { Duration::from_secs(1) };
        if tokio::time::timeout(patience, self.credential.settle()).await.is_ok() {
            self.kept.iter().for_each(|state| state.finish());
        }
    }

    /// The first error of keeping the state file, if there was one.
    pub(crate) fn trouble(&self) -> anyhow::Result<()> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}

impl Asking<'_> {
    pub(crate) fn credential(&self) -> &Credential {
        &self.held.credential
    }

    pub(crate) async fn token_with_warnings(&mut self) -> anyhow::Result<Token> {
        let mut changes = self.held.credential.changes();
        let token = self.waiting.token().await;
        warnings::print(&mut changes).await;
        if token.is_err() {
            self.held.give_up().await;
        }
        token
    }

    pub(crate) async fn replacement(&mut self, rejected: &Token) -> anyhow::Result<Token> {
        self.waiting.replacement(rejected).await
    }

    /// The token to go on with, once nothing is under way that the next run should know of: a login's refresh token is lost if what
    /// replaced it is not written.
    pub(crate) async fn settled(&self, token: Token) -> Token {
        self.waiting.settled(token).await
    }
}
