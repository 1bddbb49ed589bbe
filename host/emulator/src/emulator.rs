//! The emulator as its user holds it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::exchange::{AccessTokens, Federation};
use crate::faults::{Fault, Faults};
use crate::history::{Counts, Entry, History};
use crate::identity::{IdentityProvider, SigningKey};
use crate::options::{ErrorShape, Options, OptionsError};
use crate::server::Server;
use crate::token_id::TokenId;

/// A running emulator. It stops when dropped; [`shutdown`](Self::shutdown) waits for that.
pub struct Emulator {
    base_url: String,
    address: SocketAddr,
    options: Options,
    state: Arc<State>,
    server: Server,
}

/// An emulator could not be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// An option is not acceptable. Correct it.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The address cannot be listened on. Choose another port, or 0.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The identity provider's key could not be made. Try again.
    #[error("no signing key: {0}")]
    Key(String),
}

/// What the routes share.
pub(crate) struct State {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) error_shape: ErrorShape,
    pub(crate) stream_delay: Duration,
    pub(crate) federation: Federation,
    pub(crate) access_tokens: AccessTokens,
    pub(crate) faults: Faults,
    pub(crate) history: History,
    pub(crate) organization_id: String,
    identity_provider: IdentityProvider,
}

impl Emulator {
    /// Makes a key, listens, and serves on the present tokio runtime.
    ///
    /// # Errors
    ///
    /// When an option is not acceptable, no key can be made, or the address cannot be listened on.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O and time enabled.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        options.check()?;
        let algorithm = options.algorithm;
        let key = tokio::task::spawn_blocking(move || SigningKey::generate(algorithm))
            .await
            .map_err(StartError::key)?
            .map_err(StartError::key)?;
        let (listener, address) =
            Server::bind(options.listen).await.map_err(|source| StartError::Listen { address: options.listen, source })?;
        let base_url = format!("http://{address}");
        let issuer = options.issuer.clone().unwrap_or_else(|| base_url.clone());
        let identity_provider = IdentityProvider::new(key, issuer, &options);
        let state = Arc::new(State {
            clock: options.clock.clone(),
            error_shape: options.error_shape,
            stream_delay: options.stream_delay,
            federation: Federation::new(&options, &identity_provider),
            access_tokens: AccessTokens::default(),
            faults: Faults::default(),
            history: History::new(),
            organization_id: options.organization_id.clone(),
            identity_provider,
        });
        let server = Server::serve(listener, state.clone());
        Ok(Self { base_url, address, options, state, server })
    }

    /// `http://` and the address, without a slash at the end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was started with; the ids that an exchange has to name stand here.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Who mints identity tokens.
    pub fn identity_provider(&self) -> &IdentityProvider {
        &self.state.identity_provider
    }

    /// Ends this access token early: from now on the API answers it with 401. Says whether it was minted here.
    pub fn revoke(&self, access_token: &str) -> bool {
        self.state.access_tokens.revoke(access_token)
    }

    /// Ends the access tokens of this id early, and says how many there were. The history has the ids.
    pub fn revoke_id(&self, id: &TokenId) -> usize {
        self.state.access_tokens.revoke_id(id)
    }

    /// Ends every access token early that was minted until now, and says how many could still be used.
    pub fn revoke_all(&self) -> usize {
        self.state.access_tokens.revoke_all(self.state.clock.now())
    }

    /// Scripts a fault for one exchange. Faults strike in the order in which they were injected, one each.
    pub fn inject(&self, fault: Fault) {
        self.state.faults.inject(fault);
    }

    /// Puts a fault up that strikes every exchange which no injected one does, or takes it down.
    pub fn set_outage(&self, fault: Option<Fault>) {
        self.state.faults.set_outage(fault);
    }

    /// The requests to the token endpoint and the Messages API, oldest first; the last 10,000 of them. An entry is
    /// there before its sender has the answer.
    pub fn history(&self) -> Vec<Entry> {
        self.history_since(0)
    }

    /// The entries from this sequence number on.
    pub fn history_since(&self, sequence: u64) -> Vec<Entry> {
        self.state.history.since(sequence)
    }

    /// Tells whenever the history has grown: the value is the sequence number that the next entry will have.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.state.history.subscribe()
    }

    /// How many requests were decided since the start, and how.
    pub fn counts(&self) -> Counts {
        self.state.history.counts()
    }

    /// How many access tokens were minted.
    pub fn exchanges_granted(&self) -> u64 {
        self.counts().exchanges_granted
    }

    /// How many exchanges were denied or malformed.
    pub fn exchanges_refused(&self) -> u64 {
        self.counts().exchanges_refused
    }

    /// Stops listening, gives requests that are being answered a second to end, and closes every connection.
    pub async fn shutdown(self) {
        self.server.stop().await;
    }
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulator").field("base_url", &self.base_url).field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl StartError {
    fn key(error: impl fmt::Display) -> Self {
        Self::Key(error.to_string())
    }
}
