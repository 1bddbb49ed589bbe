//! The emulator as its user holds it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde_json::{Map, Value};
use thiserror::Error;
use tokio::sync::watch;
use wif_federation::{Federation, Keys, Resources, ResourcesError, Trial};

use crate::clock::{ClockError, Clocks};
use crate::exchange::{AccessTokens, KeyFetcher, Logins};
use crate::faults::{ApiFault, Fault, Faults};
use crate::history::{Counts, Entry, History};
use crate::http::admin;
use crate::http::server::{self, Server};
use crate::identity::{Expected, IdentityProvider, SigningKey, TokenBuilder};
use crate::options::{Options, OptionsError, resources_of};
use crate::switches::{Board, Switches};
use crate::token_id::TokenId;

/// A running emulator. It stops when dropped; [`shutdown`](Self::shutdown) waits for that.
pub struct Emulator {
    base_url: String,
    address: SocketAddr,
    options: Options,
    state: Arc<Services>,
    server: Server,
    admin: Option<(String, Server)>,
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
pub(crate) struct Services {
    pub(crate) base_url: String,
    pub(crate) clocks: Arc<Clocks>,
    pub(crate) switches: Board,
    pub(crate) stream_delay: Duration,
    pub(crate) rotate_when_exchanged: bool,
    pub(crate) access_tokens: AccessTokens,
    pub(crate) logins: Logins,
    pub(crate) login_lifetime_seconds: u64,
    pub(crate) faults: Faults<Fault>,
    pub(crate) api_faults: Faults<ApiFault>,
    pub(crate) history: History,
    pub(crate) identity_provider: IdentityProvider,
    federation: RwLock<Arc<Federation>>,
    shortest_lifetime_seconds: u64,
    /// Where a redirect leads that names no place.
    elsewhere: String,
}

impl Services {
    /// What exchanges are judged by at this moment.
    pub(crate) fn federation(&self) -> Arc<Federation> {
        self.federation.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_resources(&self, resources: Resources) -> Result<(), ResourcesError> {
        resources.check(self.shortest_lifetime_seconds)?;
        let earlier = self.federation();
        let keys: Arc<dyn Keys> = Arc::new(KeyFetcher::of(&self.identity_provider));
        let next = Federation::new(resources, &keys, self.shortest_lifetime_seconds, Some(&*earlier));
        *self.federation.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(())
    }

    pub(crate) fn set_switches(&self, switches: Switches) -> Result<(), ClockError> {
        let jwks_down = switches.jwks_down;
        self.switches.set(switches, &self.clocks)?;
        self.identity_provider.withhold(jwks_down);
        Ok(())
    }

    /// The token that the rule of this id expects, as far as that can be told from it; `None` if there is no such rule.
    pub(crate) fn token_for(&self, rule_id: &str) -> Option<TokenBuilder<'_>> {
        let federation = self.federation();
        let mut owners = federation.resources().organizations.iter();
        let (owner, rule) =
            owners.find_map(|owner| owner.federation_rules.iter().find(|rule| rule.id == rule_id).map(|rule| (owner, rule)))?;
        let mut token = self.identity_provider.token().audiences(&[rule.audience()]);
        if let Some(issuer) = owner.issuer(&rule.issuer_id) {
            token = token.issuer(&issuer.issuer_url).lifetime(issuer.max_jwt_lifetime_seconds.min(3600));
        }
        if let Some(prefix) = &rule.matcher.subject_prefix {
            token = match prefix.strip_suffix('*') {
                Some(beginning) => token.subject(&format!("{beginning}emulated")),
                None => token.subject(prefix),
            };
        }
        for (name, value) in &rule.matcher.claims {
            token = token.claim(name, value.as_str());
        }
        Some(token)
    }

    /// The place that a redirect leads to.
    pub(crate) fn elsewhere<'a>(&'a self, to: &'a str) -> &'a str {
        if to.is_empty() { &self.elsewhere } else { to }
    }
}

impl Emulator {
    /// Makes a key, listens, and serves on the present tokio runtime.
    ///
    /// # Errors
    ///
    /// When an option is not acceptable, no key can be made, or an address cannot be listened on.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O and time enabled.
    pub async fn start(mut options: Options) -> Result<Self, StartError> {
        options.check()?;
        options.follow_resources();
        let algorithm = options.algorithm;
        let key = tokio::task::spawn_blocking(move || SigningKey::generate(algorithm))
            .await
            .map_err(StartError::key)?
            .map_err(StartError::key)?;
        let bind = async |address| Server::bind(address).await.map_err(|source| StartError::Listen { address, source });
        let (listener, address) = bind(options.listen).await?;
        let admin = match options.admin {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let base_url = format!("http://{address}");
        let admin_url = admin.as_ref().map(|(_, address)| format!("http://{address}"));
        let issuer = options.issuer.clone().unwrap_or_else(|| base_url.clone());
        let clocks = Arc::new(Clocks::new(options.clock.clone()));
        let expected = Expected {
            issuer: issuer.clone(),
            subject: options.subject.clone(),
            audience: options.audience.clone(),
            claims: claims_of_rule(&options),
            lifetime_seconds: options.identity_token_lifetime_seconds,
        };
        let identity_provider = IdentityProvider::new(key, expected, clocks.clone());
        let resources = options.resources.clone().unwrap_or_else(|| resources_of(&options, &issuer));
        let keys: Arc<dyn Keys> = Arc::new(KeyFetcher::of(&identity_provider));
        let federation = Federation::new(resources, &keys, options.shortest_lifetime_seconds, None);
        let state = Arc::new(Services {
            base_url: base_url.clone(),
            clocks,
            switches: Board::default(),
            stream_delay: options.stream_delay,
            rotate_when_exchanged: options.rotate_when_exchanged,
            access_tokens: AccessTokens::default(),
            logins: Logins::default(),
            login_lifetime_seconds: options.token_lifetime_seconds,
            faults: Faults::default(),
            api_faults: Faults::default(),
            history: History::new(),
            identity_provider,
            federation: RwLock::new(Arc::new(federation)),
            shortest_lifetime_seconds: options.shortest_lifetime_seconds,
            elsewhere: match &admin_url {
                Some(url) => format!("{url}{}", admin::FOLLOWED_PATH),
                None => "http://elsewhere.invalid/".to_owned(),
            },
        });
        let switches = Switches { error_shape: options.error_shape, ..Switches::default() };
        state.set_switches(switches).expect("no skew is within the limits");
        let server = Server::serve(listener, server::router(state.clone()));
        let admin = admin.zip(admin_url).map(|((listener, _), url)| (url, Server::serve(listener, admin::router(state.clone()))));
        Ok(Self { base_url, address, options, state, server, admin })
    }

    /// `http://` and the address, without a slash at the end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Where the administration API is, without a slash at the end; `None` if it was not asked for.
    pub fn admin_url(&self) -> Option<&str> {
        self.admin.as_ref().map(|(url, _)| url.as_str())
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
        self.state.access_tokens.revoke_all(self.state.clocks.service())
    }

    /// Scripts a fault for one exchange. Faults strike in the order in which they were injected, one each.
    pub fn inject(&self, fault: Fault) {
        self.state.faults.inject(fault);
    }

    /// Puts a fault up that strikes every exchange which no injected one does, or takes it down.
    pub fn set_outage(&self, fault: Option<Fault>) {
        self.state.faults.set_outage(fault);
    }

    /// Scripts a fault for one request to the API with a good access token. Faults strike in the order in which they were
    /// injected, one each.
    pub fn inject_api(&self, fault: ApiFault) {
        self.state.api_faults.inject(fault);
    }

    /// Puts a fault up that strikes every request to the API which no injected one does, or takes it down.
    pub fn set_api_outage(&self, fault: Option<ApiFault>) {
        self.state.api_faults.set_outage(fault);
    }

    /// The settings in force.
    pub fn switches(&self) -> Switches {
        self.state.switches.get()
    }

    /// Changes the settings.
    ///
    /// # Errors
    ///
    /// When the clock is to be skewed by more than ten years; nothing is changed then.
    pub fn set_switches(&self, switches: Switches) -> Result<(), ClockError> {
        self.state.set_switches(switches)
    }

    /// Puts the clocks of the service and of the identity provider forward, whatever [`Options::clock`] says.
    ///
    /// # Errors
    ///
    /// When that would be more than a hundred years of 365 days since the start; the clocks then stay as they are.
    pub fn advance(&self, by: Duration) -> Result<(), ClockError> {
        self.state.clocks.advance(by)
    }

    /// The organizations, issuers and rules in force.
    pub fn resources(&self) -> Resources {
        self.state.federation().resources().clone()
    }

    /// Replaces the organizations, issuers and rules. Identity tokens that were spent stay spent, access tokens stay good,
    /// and keys are fetched anew. [`options`](Self::options) and what the identity provider mints stay as they are.
    ///
    /// # Errors
    ///
    /// When the real service would not let one of them be created; the old ones then stay in force.
    pub fn set_resources(&self, resources: Resources) -> Result<(), ResourcesError> {
        self.state.set_resources(resources)
    }

    /// Forgets the issuers' keys that were fetched, so that the next exchange fetches them.
    pub async fn forget_keys(&self) {
        self.state.federation().forget_keys().await;
    }

    /// The token that the rule of this id expects, as far as that can be told from the rule: a condition cannot be met by
    /// looking at it. `None` if there is no such rule.
    pub fn token_for(&self, rule_id: &str) -> Option<TokenBuilder<'_>> {
        self.state.token_for(rule_id)
    }

    /// Tries an exchange out: makes every check, spends nothing, and tells which pass and which fail. The members are those of
    /// an exchange: `assertion`, `federation_rule_id`, `organization_id`, `service_account_id`, `workspace_id`.
    ///
    /// # Errors
    ///
    /// The message for which the token endpoint would answer 400.
    pub async fn try_out(&self, exchange: &Map<String, Value>) -> Result<Trial, String> {
        Trial::of(&self.state.federation(), exchange, self.state.clocks.service()).await
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
        if let Some((_, admin)) = self.admin {
            admin.stop().await;
        }
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

/// What the chosen rule of the resources wants of a token beside subject and audience.
fn claims_of_rule(options: &Options) -> Map<String, Value> {
    let rule = options.resources.as_ref().and_then(|resources| resources.chosen_rule(&options.federation_rule_id));
    let claims = rule.map(|(_, rule)| &rule.matcher.claims);
    claims.into_iter().flatten().map(|(name, value)| (name.clone(), value.as_str().into())).collect()
}
