//! One configuration: a credential, and the thread that drives it.

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderName;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_stream::StreamExt as _;
use wif::{BuildError, Credential, Error, Policy, Standing, State, Token, TokenStatus};
use wif_document::Clusters;

use crate::abi::{self, Configuration};
use crate::log;
use crate::metrics::{self, Metrics};
use crate::process;
use crate::settings::{self, Settings};
use crate::waiting::Promise;

/// How long a file that does not answer may hold up the end of a configuration's thread.
const END_AT_MOST: Duration = Duration::from_millis(200);

/// How long an exchange may: longer than one can take by itself.
const SETTLE_AT_MOST: Duration = Duration::from_secs(90);

/// More tokens than are in use while one request is under way.
const REMEMBERED: usize = 4;

/// A configuration of Envoy's, for all its streams and worker threads.
pub(crate) struct Module {
    settings: Settings,
    credential: Credential,
    metrics: Arc<Metrics>,
    runtime: Handle,
    /// The id of the token that was rejected last, as a number.
    rejected: AtomicU64,
    /// The id of the token that was put on a request last, likewise.
    newest: AtomicU64,
    /// The last tokens that were put on requests.
    carried: RwLock<VecDeque<Token>>,
    /// None when Envoy only checks its configuration, and once it is closed.
    thread: Mutex<Option<Thread>>,
}

struct Thread {
    ends: oneshot::Sender<()>,
    /// Closed when nothing of Envoy's is used any longer.
    quiet: mpsc::Receiver<()>,
}

impl Module {
    /// Reads the configuration and begins: the first exchange is under way when this returns, if the credential wants that.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration, with the name of the field.
    pub(crate) fn new(document: &[u8], configuration: &Configuration<'_>) -> Result<Self, String> {
        let document = str::from_utf8(document).map_err(|_| "it is not UTF-8".to_owned())?;
        let settings = Settings::parse(document).map_err(|error| settings::words(&error))?;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| format!("no runtime: {error}"))?;
        let credential = {
            let _inside = runtime.enter();
            build(&settings)?
        };
        let metrics = Arc::new(Metrics::define(configuration));
        let handle = runtime.handle().clone();
        let thread = if abi::validates_only() {
            runtime.shutdown_background();
            None
        } else {
            Some(Thread::start(runtime, &credential, &metrics)?)
        };
        Ok(Self {
            settings,
            credential,
            metrics,
            runtime: handle,
            rejected: AtomicU64::new(0),
            newest: AtomicU64::new(0),
            carried: RwLock::default(),
            thread: Mutex::new(thread),
        })
    }

    /// The clusters to which requests carry the credential.
    pub(crate) fn clusters(&self) -> &Clusters {
        &self.settings.clusters
    }

    /// Whether a token may be put on requests to the clusters.
    pub(crate) fn is_for_the_clusters(&self, token: &Token) -> bool {
        token.origin() == self.settings.origin
    }

    /// The host and port of the origin.
    pub(crate) fn authority(&self) -> &str {
        self.settings.origin.split_once("://").map_or("", |(_, authority)| authority)
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The token, or why there is none, if that is known at once. `again`: the router sends the request once more.
    pub(crate) fn token_at_once(&self, again: bool) -> Result<Result<Token, Error>, Wait> {
        // Timers that a caller's future sets belong to the thread that drives the credential.
        let _inside = self.runtime.enter();
        match pin!(self.credential.token()).poll(&mut Context::from_waker(Waker::noop())) {
            // The API has rejected it a moment ago, which the driver does not know yet: a retry must not carry it again.
            Poll::Ready(Ok(token)) if token.standing() == Standing::Good && self.was_rejected(&token) => {
                Err(Wait::Replacing { rejected: token, again })
            }
            // The driver knows, and may be about to have another. Whoever is sent once more with this one is refused again.
            Poll::Ready(Ok(token)) if again && token.standing() == Standing::Suspect => {
                Err(Wait::Replacing { rejected: token, again })
            }
            Poll::Ready(known) => Ok(known),
            Poll::Pending => match self.credential.try_current() {
                Some(token) if again && token.standing() == Standing::Suspect || self.was_rejected(&token) => {
                    Err(Wait::Replacing { rejected: token, again })
                }
                _ => Err(Wait::ForToken),
            },
        }
    }

    /// Waits for it on the module's own thread.
    pub(crate) fn wait(&self, wait: Wait, promise: Promise) -> AbortHandle {
        let (credential, at_most) = (self.credential.clone(), self.settings.waiting_at_most);
        let task = self.runtime.spawn(async move {
            let begun = Instant::now();
            if let Wait::Replacing { rejected, again } = wait {
                let other = match again {
                    true => credential.replacement_within(rejected.id(), at_most).await,
                    false => credential.replacement(rejected.id()).await,
                };
                if let Some(token) = other {
                    return promise.keep(Ok(token));
                }
            }
            promise.keep(credential.token_within(at_most.saturating_sub(begun.elapsed())).await);
        });
        task.abort_handle()
    }

    /// The API did not accept this token.
    pub(crate) fn reject(&self, token: &Token) {
        self.rejected.store(number(token), Relaxed);
        self.credential.rejected(token.id());
    }

    /// This token was put on a request.
    pub(crate) fn carries(&self, token: &Token) {
        let id = number(token);
        if self.newest.load(Relaxed) == id {
            return;
        }
        let mut carried = self.carried.write().unwrap_or_else(PoisonError::into_inner);
        carried.retain(|earlier| earlier.id() != token.id());
        carried.push_front(token.clone());
        carried.truncate(REMEMBERED);
        self.newest.store(id, Relaxed);
    }

    /// The names of the fields whose values, as they are found, are of a token of ours.
    pub(crate) fn ours<'a>(&self, find: impl Fn(&HeaderName) -> Option<&'a [u8]>) -> Vec<HeaderName> {
        let carried = self.carried.read().unwrap_or_else(PoisonError::into_inner);
        let fields = carried.iter().flat_map(Token::headers);
        fields.filter(|(name, value)| find(name) == Some(value.as_bytes())).map(|(name, _)| name.clone()).collect()
    }

    fn was_rejected(&self, token: &Token) -> bool {
        let rejected = self.rejected.load(Relaxed);
        rejected != 0 && rejected == number(token)
    }

    /// Ends the thread, and waits until it uses nothing of Envoy's any longer. An exchange that is out goes on by itself: its identity
    /// token may be spent, and what it brings is for all configurations.
    pub(crate) fn close(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Thread { ends, quiet }) = thread {
            drop(ends);
            // An error says so, too, and so does a panic.
            let _ = quiet.recv();
        }
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        self.close();
    }
}

/// What a request has to wait for.
pub(crate) enum Wait {
    /// Any token.
    ForToken,
    /// Another token than this one, if there is one to be had; for longer where the request is sent again.
    Replacing { rejected: Token, again: bool },
}

impl Thread {
    fn start(runtime: Runtime, credential: &Credential, metrics: &Arc<Metrics>) -> Result<Self, String> {
        let (ends, ended) = oneshot::channel::<()>();
        let (busy, quiet) = mpsc::channel::<()>();
        let (credential, metrics) = (credential.clone(), Arc::clone(metrics));
        let begun = thread::Builder::new().name("wif-credential".to_owned()).spawn(move || {
            runtime.block_on(async {
                let counting = tokio::spawn(count(credential.clone(), metrics));
                // An error says that the configuration was dropped, which is what is waited for.
                let _ = ended.await;
                counting.abort();
                let _ = counting.await;
                log::silence();
                drop(busy);
                // Past its time it is stopped: its identity token then counts as perhaps spent.
                let _ = tokio::time::timeout(SETTLE_AT_MOST, credential.settle()).await;
                credential.shutdown().await;
            });
            runtime.shutdown_timeout(END_AT_MOST);
        });
        begun.map_err(|error| format!("no thread: {error}"))?;
        Ok(Self { ends, quiet })
    }
}

/// Counts what changes.
async fn count(credential: Credential, metrics: Arc<Metrics>) {
    let mut changes = credential.changes();
    while let Some(change) = changes.next().await {
        for note in &change.notes {
            metrics.note(note.code.as_str());
        }
        let status = credential.status().await;
        let unusable_at = |token: TokenStatus| token.unusable_in.map_or(metrics::NEVER, |left| (now() + left).as_secs());
        // Who has none because nobody asked does not lack it.
        let (idle, token) = status.map_or((false, None), |status| (status.state == State::Idle, status.token));
        metrics.token_unusable_at((!idle).then(|| token.map_or(0, unusable_at)));
    }
}

#[allow(clippy::disallowed_methods, reason = "a moment for people, which nothing is decided by")]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn build(settings: &Settings) -> Result<Credential, String> {
    let allowed = match settings.origin_is_given {
        true => Policy::default().allow_private_origin(&settings.origin),
        false => Policy::default().allow_origin(&settings.origin),
    };
    let mut policy = allowed.map_err(|error| format!("origin: {error}"))?;
    if let Some(variable) = &settings.variable {
        policy = policy.allow_variable(variable);
    }
    let (place, start) = process::open(&settings.source);
    let builder = Credential::builder()
        .configuration(settings.credential.reveal())
        .policy(policy)
        .store(process::store())
        .resume(start)
        .max_waiters(settings.waiting_requests)
        .keep_journals(move |journal| {
            process::keep(&place, journal);
            Ok(())
        });
    builder.build().map_err(|error| match error {
        BuildError::Configuration { field, message } if field.is_empty() => format!("credential: {message}"),
        BuildError::Configuration { field, message } => format!("credential.{field}: {message}"),
        other => other.to_string(),
    })
}

/// The token's id as the number that its digits write.
fn number(token: &Token) -> u64 {
    u64::from_str_radix(token.id(), 16).unwrap_or(0)
}
