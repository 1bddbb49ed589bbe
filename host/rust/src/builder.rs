//! What a credential is built from.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};

use tokio::sync::{Semaphore, broadcast, mpsc};
#[cfg(feature = "http")]
use wif_tls::CertificateDer;

use crate::callables::{AssertionRequest, Callables, SignRequest, SuppliedToken, TokenRequest, callable};
use crate::clock::{Clock, SystemClock};
#[cfg(feature = "sandbox")]
use crate::component::Component;
use crate::credential::{Credential, Listeners};
use crate::driver::{Driver, Opening, Start};
use crate::error::BuildError;
use crate::policy::{Grants, Policy};
use crate::pool::Pool;
use crate::secret::Secret;
use crate::sender::{SendError, SendRequest, Sender};
use crate::session::Engine;
use crate::snapshot::Published;
use crate::store::{BoxError, Store};
use crate::tasks::{Host, Keep, READERS};
#[cfg(feature = "http")]
use crate::transport::Client;
use crate::transport::{By, Transport};

/// So many callers may wait for a token at once, unless [`Builder::max_waiters`] says otherwise.
pub const DEFAULT_MAX_WAITERS: usize = 16_384;

/// Changes that a slow listener may lag behind.
const CHANGES_KEPT: usize = 64;

/// In a pool, where there are thousands: the places are there whether somebody listens or not.
const CHANGES_KEPT_IN_A_POOL: usize = 8;

/// Builds a [`Credential`]. Nothing must be given: the configuration is then found in the environment.
///
/// ```no_run
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let credential = wif::Credential::builder()
///     .configuration(r#"{ "federation": {
///         "federation_rule_id": "fdrl_01ABC",
///         "organization_id": "3f2b8c1e-0000-4000-8000-1234567890ab",
///         "service_account_id": "svac_01ABC",
///         "identity_token": { "source": "callable", "name": "metadata-server", "freshness": "minted" }
///     } }"#)
///     .identity_token("metadata-server", |request| async move {
///         Ok(wif::Secret::from(ask_for_token(&request.audience).await?))
///     })
///     .build()?;
/// # Ok(()) }
/// # async fn ask_for_token(_: &str) -> std::io::Result<String> { todo!() }
/// ```
pub struct Builder {
    configuration: Secret,
    policy: Policy,
    clock: Arc<dyn Clock>,
    store: Option<Arc<dyn Store>>,
    callables: Callables,
    extra_roots: Vec<String>,
    sender: Option<Sender>,
    seed: Option<u64>,
    start: Start,
    journals: Option<Keep>,
    max_waiters: usize,
    engine: Option<Engine>,
    pool: Option<Pool>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            configuration: Secret::from("{}"),
            policy: Policy::default(),
            clock: Arc::new(SystemClock::default()),
            store: None,
            callables: Callables::default(),
            extra_roots: Vec::new(),
            sender: None,
            seed: None,
            start: Start::Fresh,
            journals: None,
            max_waiters: DEFAULT_MAX_WAITERS,
            engine: None,
            pool: None,
        }
    }
}

impl Builder {
    /// The configuration, a JSON document. `{}` by default: everything is discovered.
    #[must_use]
    pub fn configuration(mut self, json: impl Into<String>) -> Self {
        self.configuration = Secret::from(json.into());
        self
    }

    /// What the component may have done for it. See [`Policy`] for the default.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Another clock than the machine's own.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// A store that other credentials share: they then make one exchange between them.
    #[must_use]
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// A callable for identity tokens, under the name that the configuration uses. Its error's text reaches logs, and must
    /// hold no secret. It is ended after [`Policy::callable_timeout`].
    #[must_use]
    pub fn identity_token<F, Fut>(mut self, name: impl Into<String>, source: F) -> Self
    where
        F: Fn(AssertionRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Secret, BoxError>> + Send + 'static,
    {
        self.callables.identity_tokens.insert(name.into(), callable(source));
        self
    }

    /// A callable for access tokens; otherwise like [`identity_token`](Self::identity_token).
    #[must_use]
    pub fn access_token<F, Fut>(mut self, name: impl Into<String>, source: F) -> Self
    where
        F: Fn(TokenRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<SuppliedToken, BoxError>> + Send + 'static,
    {
        self.callables.access_tokens.insert(name.into(), callable(source));
        self
    }

    /// A callable that signs the JWS signing input with a key that stays where it is, and gives the signature's raw bytes
    /// (RFC 7518 section 3); otherwise like [`identity_token`](Self::identity_token).
    #[must_use]
    pub fn signer<F, Fut>(mut self, key: impl Into<String>, sign: F) -> Self
    where
        F: Fn(SignRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<u8>, BoxError>> + Send + 'static,
    {
        self.callables.signers.insert(key.into(), callable(sign));
        self
    }

    /// Sends the credential's requests by a client of the program's own: the exchange, and what sources ask their platforms. The policy
    /// has allowed each by its method, URL and header fields. What it cannot see is then the client's to do: to verify the server's
    /// certificate, to follow no redirect, to add no credential, and to go to no address that only this machine can reach.
    /// [`SendRequest`] and [`SendError`] say the rest.
    ///
    /// A [proxy](Policy::proxy) and extra root certificates are the client's, too; beside this they are errors. Without the
    /// feature `http` this is the only way to send a request.
    #[must_use]
    pub fn send_requests<F, Fut>(mut self, send: F) -> Self
    where
        F: Fn(SendRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<http::Response<Vec<u8>>, SendError>> + Send + 'static,
    {
        self.sender = Some(Arc::new(move |request| Box::pin(send(request))));
        self
    }

    /// Certificates, as PEM, to trust beside the platform's own: for a proxy or a test that answers under a private one.
    #[must_use]
    pub fn extra_root_certificate(mut self, pem: impl Into<String>) -> Self {
        self.extra_roots.push(pem.into());
        self
    }

    /// The seed of all jitter, for repeatable tests. Random by default; replicas must differ in it.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Begins where an earlier credential [left off](Credential::journal).
    #[must_use]
    pub fn resume(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Keeps each journal before anything that it tells of is begun, so that whatever ends the process, another can be
    /// [resumed](Self::resume) from the newest. Called on the task that drives the credential: it may write a file, and must
    /// not wait for longer. After an error the exchange that the journal tells of is not begun, but tried again later. A journal
    /// holds the access token; the error's text reaches logs, and must hold no secret.
    #[must_use]
    pub fn keep_journals(mut self, keep: impl Fn(&Secret) -> Result<(), BoxError> + Send + Sync + 'static) -> Self {
        self.journals = Some(Arc::new(keep));
        self
    }

    /// So many callers may wait for a token at once; more are answered with [`Error::Overloaded`](crate::Error::Overloaded).
    /// [`DEFAULT_MAX_WAITERS`] by default.
    #[must_use]
    pub fn max_waiters(mut self, at_most: usize) -> Self {
        self.max_waiters = at_most;
        self
    }

    /// Another component than the built-in one: see [`Component::new`].
    #[cfg(feature = "sandbox")]
    #[must_use]
    pub fn component(mut self, component: Component) -> Self {
        self.engine = Some(Engine::Sandboxed(component));
        self
    }

    /// Runs the engine in the program itself, in place of the component and also in a [`Pool`] that has one: the same code, compiled for
    /// this machine. The credential then needs no executable memory, and some 30 KiB less. The policy holds for it as for the component.
    ///
    /// There is no sandbox around it. A panic ends this credential's session alone, and another goes on from its journal; but the program's
    /// panic hook sees its text, which may hold a secret, and with `panic = "abort"` the program ends. A step that took memory without end
    /// would end the program, too, and one that never ended would hold its thread. Without the feature `sandbox` there is nothing else;
    /// a program that relies on either form says so, for another crate can turn the feature on.
    #[cfg(feature = "native")]
    #[must_use]
    pub fn native(mut self) -> Self {
        self.engine = Some(Engine::Native);
        self
    }

    /// Shares with other credentials what need not be there for each: see [`Pool`]. A component of the pool goes before one that is
    /// given here.
    #[must_use]
    pub fn pool(mut self, pool: &Pool) -> Self {
        self.pool = Some(pool.clone());
        self
    }

    /// Opens the credential, and leaves it to a task on the current tokio runtime. Does not wait.
    ///
    /// # Errors
    ///
    /// The configuration can never work, or the host lacks what is needed: see [`BuildError`]. What depends on variables,
    /// files or the network is not known yet, and is the first token's error.
    pub fn build(self) -> Result<Credential, BuildError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
        let seed = match self.seed {
            Some(seed) => seed,
            None => getrandom::u64().map_err(|error| BuildError::Seed(error.to_string()))?,
        };
        let native = self.engine.as_ref().is_some_and(Engine::is_native);
        let of_the_pool = self.pool.as_ref().filter(|_| !native).and_then(Pool::own_engine);
        let engine = match of_the_pool.or(self.engine) {
            Some(engine) => engine,
            None => Engine::built_in()?,
        };
        let exchanges = self.pool.as_ref().map(Pool::exchanges);
        let grants = Grants::new(&self.configuration);
        let policy = Arc::new(self.policy.in_development());
        let by = who_sends(self.sender, &policy, &self.extra_roots)?;
        let host = Host {
            transport: Transport::new(Arc::clone(&policy), by, exchanges),
            policy,
            grants,
            callables: self.callables,
            store: self.store,
            clock: Arc::clone(&self.clock),
            journals: self.journals,
            readers: Arc::new(Semaphore::new(READERS)),
        };
        // What thousands of them hear would be kept for nobody.
        let hears = self.pool.is_none();
        let (pool, configuration, start, can) = (self.pool, self.configuration, self.start, host.capabilities());
        let opening = Opening { engine, pool, configuration, seed, start, can };
        let (published, generation) = Published::new(self.clock);
        let (commands, receiver) = mpsc::unbounded_channel();
        // It hears everything, for the driver may be at work before anybody can ask for the changes.
        let (changes, first) = broadcast::channel(if hears { CHANGES_KEPT } else { CHANGES_KEPT_IN_A_POOL });
        let listeners = Listeners { changes: changes.downgrade(), first: Mutex::new(hears.then_some(first)) };
        let driver = Driver::new(opening, Arc::new(host), Arc::clone(&published), generation, changes, receiver)?;
        runtime.spawn(driver.run());
        Ok(Credential::new(published, commands, listeners, self.max_waiters))
    }
}

/// The program's client or ours, if there is one.
fn who_sends(sender: Option<Sender>, policy: &Arc<Policy>, extra_roots: &[String]) -> Result<By, BuildError> {
    if sender.is_none() && cfg!(feature = "http") {
        return our_client(policy, extra_roots);
    }
    if policy.proxy_url().is_some() {
        return Err(BuildError::OfTheClient("a proxy"));
    }
    if !extra_roots.is_empty() {
        return Err(BuildError::OfTheClient("an extra root certificate"));
    }
    Ok(sender.map_or(By::Nobody, By::Program))
}

#[cfg(feature = "http")]
fn our_client(policy: &Arc<Policy>, extra_roots: &[String]) -> Result<By, BuildError> {
    Ok(By::Client(Box::new(Client::new(Arc::clone(policy), certificates(extra_roots)?))))
}

#[cfg(not(feature = "http"))]
fn our_client(_: &Arc<Policy>, _: &[String]) -> Result<By, BuildError> {
    Ok(By::Nobody)
}

#[cfg(feature = "http")]
fn certificates(pems: &[String]) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let of_one =
        |pem: &String| wif_tls::certificates(pem.as_bytes()).map_err(|error| BuildError::RootCertificate(error.to_string()));
    pems.iter().map(of_one).collect::<Result<Vec<_>, _>>().map(|certificates| certificates.concat())
}

impl fmt::Debug for Builder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Builder").field("policy", &self.policy).finish_non_exhaustive()
    }
}
