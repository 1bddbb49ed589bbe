//! The handle that requests ask.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, broadcast, mpsc, oneshot};
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt};
use wif_rules::{Advice, Look, Waiter};

use crate::builder::Builder;
use crate::clock::millis;
use crate::driver::Command;
use crate::error::{BuildError, Error};
use crate::secret::Secret;
use crate::shared::AtomicU64;
use crate::snapshot::{Access, Published, Snapshot, Words as _};
use crate::status::{Change, Status};
use crate::token::Token;

/// A workload's credential: a handle, cheap to clone, that any number of requests ask for a token.
///
/// A task on the tokio runtime where it was built drives it: exchanges, refreshes ahead of time, retries. It ends with
/// [`shutdown`](Self::shutdown), or when the last handle is dropped.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let credential = wif::Credential::discover()?;
/// let token = credential.token().await?;
/// let mut headers = http::HeaderMap::new();
/// token.apply(&mut headers); // for a request to token.origin(), and no other
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Credential(Arc<Inner>);

struct Inner {
    published: Arc<Published>,
    commands: mpsc::UnboundedSender<Command>,
    listeners: Listeners,
    waiters: Semaphore,
    max_waiters: usize,
    /// The snapshot whose token was reported as rejected: one report is enough for each.
    rejected: AtomicU64,
}

/// Who hears of changes.
pub(crate) struct Listeners {
    pub(crate) changes: broadcast::WeakSender<Arc<Change>>,
    /// Has heard everything since the beginning, and waits for somebody who wants to know. None in a pool: what thousands of them hear
    /// would be kept for nobody.
    pub(crate) first: Mutex<Option<broadcast::Receiver<Arc<Change>>>>,
}

impl Credential {
    /// The credential of this workload, found in its environment as the vendor's SDKs find it. The same as
    /// `Credential::builder().build()`; does not wait, so what is wrong with the environment is the first token's error.
    ///
    /// # Errors
    ///
    /// There is no tokio runtime, or no random seed.
    pub fn discover() -> Result<Self, BuildError> {
        Self::builder().build()
    }

    /// To say more.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A token for a request that is about to be sent.
    ///
    /// With a good token at hand it returns at once, without a lock. Shortly before the token's end it waits for a running
    /// exchange, a second at most, and then returns the token that is still good. Without a token it waits for as long as
    /// one may come: bound it with [`token_within`](Self::token_within). Dropping the future is fine at any point: work that
    /// is under way goes on for the others.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if waiting would not help, [`Error::Overloaded`], [`Error::Closed`].
    pub async fn token(&self) -> Result<Token, Error> {
        match self.serve_at_once() {
            Some(token) => Ok(token),
            None => self.wait().await,
        }
    }

    /// [`token`](Self::token), but not for longer than this.
    ///
    /// # Errors
    ///
    /// Those of [`token`](Self::token), and [`Error::TimedOut`].
    pub async fn token_within(&self, at_most: Duration) -> Result<Token, Error> {
        if let Some(token) = self.serve_at_once() {
            return Ok(token);
        }
        tokio::select! {
            biased;
            token = self.token() => token,
            () = self.0.published.clock.sleep(at_most) => {
                let snapshot = self.0.published.snapshot.load();
                if let Some(token) = snapshot.usable(self.0.published.clock.steady_ms()) {
                    // It was held back for a better one, which this caller cannot wait for.
                    return Ok(token.clone());
                }
                let waiting_for = match &snapshot.access {
                    Access::Pending(reason) => Some(*reason),
                    _ => None,
                };
                Err(Error::TimedOut { after: at_most, waiting_for })
            }
        }
    }

    /// The current token, if there is one that may be served. Never waits; enters no lock and no WebAssembly. Says that a
    /// token is needed where that is so, which makes it come for a later call.
    #[must_use]
    pub fn try_current(&self) -> Option<Token> {
        self.with_current(Token::clone)
    }

    /// The same without a clone of the token, whose counter all threads would write to: for the hottest paths.
    pub fn with_current<R>(&self, use_it: impl FnOnce(&Token) -> R) -> Option<R> {
        let snapshot = self.0.published.snapshot.load();
        let now = self.0.published.clock.steady_ms();
        self.nudge(&snapshot, now);
        match snapshot.advice(now) {
            Advice::Serve(token) | Advice::Hold(token) => Some(use_it(token)),
            Advice::Ask => {
                self.0.published.need();
                None
            }
            Advice::Wait | Advice::Refuse(_) | Advice::Closed => None,
        }
    }

    /// Reports that the API answered 401 to a request that carried the token with this id. Any other than the current one does
    /// nothing, so it does not matter how many requests report how late.
    pub fn rejected(&self, id: &str) {
        let snapshot = self.0.published.snapshot.load();
        let Access::Usable { token, .. } = &snapshot.access else { return };
        if token.id() == id && self.0.rejected.swap(snapshot.generation, Relaxed) != snapshot.generation {
            // A driver that has ended forces no exchange.
            let _ = self.0.commands.send(Command::Rejected(id.to_owned()));
        }
    }

    /// [`rejected`](Self::rejected), and then another token to send the request with once more. Waits for it as callers do in
    /// the last moments of a token: for `wait_at_most_ms`, a second by default, and only while an exchange is under way. None
    /// if there is no other by then: pass the API's answer on. A token for another origin may come; see [`Token::is_for`].
    pub async fn replacement(&self, id: &str) -> Option<Token> {
        self.replace(id, None).await
    }

    /// [`replacement`](Self::replacement) for those to whom the rejected token is of no use in any case: waits for as long as an
    /// exchange is under way, and `at_most`.
    pub async fn replacement_within(&self, id: &str, at_most: Duration) -> Option<Token> {
        self.replace(id, Some(at_most)).await
    }

    async fn replace(&self, id: &str, at_most: Option<Duration>) -> Option<Token> {
        self.rejected(id);
        let _place = self.0.waiters.try_acquire().ok()?;
        let at_most_ms = at_most.map(millis);
        // Who closes it meanwhile leaves no other.
        self.wait_as(|seen| Waiter::for_other_than(id.to_owned(), at_most_ms, seen)).await.ok()?
    }

    /// Says that a file, the store or the network may have changed: sources are read again at once.
    pub fn changed(&self) {
        self.0.published.change();
    }

    /// Where the credential stands. Asks the component: for people and monitoring, not for requests.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`]; [`Error::Unavailable`] while the component is stopped.
    pub async fn status(&self) -> Result<Status, Error> {
        let (asker, answer) = oneshot::channel();
        self.0.commands.send(Command::Status(asker)).map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// What changes until the credential closes: for the first who asks from its beginning on, for others and in a
    /// [`Pool`](crate::Pool) from here on. A listener that lags behind by more than 64 changes, in a pool by
    /// more than 8, misses the oldest; it does not keep the credential alive.
    pub fn changes(&self) -> impl Stream<Item = Change> + Send + Unpin + use<> {
        let Listeners { changes, first } = &self.0.listeners;
        let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let now = || changes.upgrade().map_or_else(|| broadcast::channel(1).1, |sender| sender.subscribe());
        let receiver = first.unwrap_or_else(now);
        BroadcastStream::new(receiver).filter_map(|change| change.ok().map(Arc::unwrap_or_clone))
    }

    /// The newest journal: the state from which another credential can be [resumed](Builder::resume), in this process or the
    /// next, so that no identity token is exchanged twice. None before the first step of one that was not resumed. It holds the access token. [`Builder::keep_journals`] has each as it comes.
    #[must_use]
    pub fn journal(&self) -> Option<Secret> {
        self.0.published.journal.load().as_deref().cloned()
    }

    /// Waits until no exchange is under way, and what the last one brought is in the journal and in the store. An exchange that is
    /// stopped has perhaps spent its identity token for nothing, so call this before [`shutdown`](Self::shutdown) where there is time:
    /// an exchange ends by itself within about a minute, and mostly at once. Nothing is started or stopped by it.
    pub async fn settle(&self) {
        let (asker, settled) = oneshot::channel();
        if self.0.commands.send(Command::Settle(asker)).is_ok() {
            // Closed meanwhile: nothing is under way any longer.
            let _ = settled.await;
        }
    }

    /// Closes the credential: nothing new is started, tasks are stopped. The token is served until it expires, to this handle
    /// and all others.
    pub async fn shutdown(&self) {
        let (asker, done) = oneshot::channel();
        if self.0.commands.send(Command::Close(asker)).is_ok() {
            // Closed by somebody else meanwhile, which is as good.
            let _ = done.await;
        }
    }

    pub(crate) fn new(
        published: Arc<Published>,
        commands: mpsc::UnboundedSender<Command>,
        listeners: Listeners,
        max_waiters: usize,
    ) -> Self {
        Self(Arc::new(Inner {
            published,
            commands,
            listeners,
            waiters: Semaphore::new(max_waiters.min(Semaphore::MAX_PERMITS)),
            max_waiters,
            rejected: AtomicU64::new(0),
        }))
    }

    fn serve_at_once(&self) -> Option<Token> {
        let snapshot = self.0.published.snapshot.load();
        let now = self.0.published.clock.steady_ms();
        match snapshot.advice(now) {
            Advice::Serve(token) => {
                self.nudge(&snapshot, now);
                Some(token.clone())
            }
            _ => None,
        }
    }

    #[inline]
    fn nudge(&self, snapshot: &Snapshot, now: u64) {
        if now >= snapshot.nudge_from {
            self.0.published.need();
        }
    }

    async fn wait(&self) -> Result<Token, Error> {
        let Inner { published, waiters, max_waiters, .. } = &*self.0;
        let Ok(_place) = waiters.try_acquire() else {
            // Who cannot wait for a better token goes with the one at hand.
            let usable = published.snapshot.load().usable(published.clock.steady_ms()).cloned();
            return usable.ok_or(Error::Overloaded { limit: *max_waiters });
        };
        self.wait_as(Waiter::new).await?.ok_or(Error::Closed)
    }

    /// Waits as this one does: it is made with the generation that is seen first. None if there is no other token for it.
    async fn wait_as(&self, waiter: impl FnOnce(u64) -> Waiter) -> Result<Option<Token>, Error> {
        let published = &*self.0.published;
        // Seen before the snapshot is read: what is published in between wakes us for nothing, and nothing is missed.
        let mut generation = published.generation.clone();
        generation.borrow_and_update();
        let mut waiter = waiter(published.snapshot.load().generation);
        loop {
            let nap = {
                let snapshot = published.snapshot.load();
                let now = published.clock.steady_ms();
                match waiter.look(&snapshot, now) {
                    Look::Take(token) => return Ok(Some(token.clone())),
                    Look::NoOther => return Ok(None),
                    Look::Refuse(failure) => return Err(Error::Unavailable(snapshot.told(failure, now))),
                    Look::Closed => return Err(Error::Closed),
                    Look::Wait { at_most_ms, asks } => {
                        if asks {
                            published.need();
                        }
                        at_most_ms
                    }
                }
            };
            tokio::select! {
                changed = generation.changed() => changed.map_err(|_| Error::Closed)?,
                () = sleep(published, nap) => {}
            }
        }
    }
}

async fn sleep(published: &Published, nap_ms: Option<u64>) {
    match nap_ms {
        Some(nap_ms) => published.clock.sleep(Duration::from_millis(nap_ms)).await,
        None => std::future::pending().await,
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let availability = self.0.published.snapshot.load().availability();
        formatter.debug_struct("Credential").field("availability", &availability).finish_non_exhaustive()
    }
}
