//! What callers read: the session's last word, immutable, behind one pointer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Notify, watch};

use crate::clock::Clock;
use crate::secret::Secret;
use crate::status::{Availability, Failure};
use crate::token::Token;
use crate::vocabulary::PendingReason;

/// The session's last word. Times are of the steady clock, in milliseconds; one that never comes is `u64::MAX`.
pub(crate) struct Snapshot {
    /// Rises with every snapshot.
    pub(crate) generation: u64,
    /// When it was published.
    pub(crate) at: u64,
    pub(crate) access: Access,
    /// Whether work that may bring a token is under way.
    pub(crate) underway: bool,
    /// How long a caller waits for it between `hold_at` and `unusable_at`.
    pub(crate) wait_at_most_ms: u64,
    /// From here on a caller that is not waiting says that a token is needed.
    pub(crate) nudge_from: u64,
    /// The last token that was usable for no time at all, and the generation that brought it: it serves the callers that
    /// were waiting before, even those that wake too late to see that generation.
    pub(crate) passing: Option<(u64, Token)>,
    /// Told once the token has expired, while there is no session that could fetch another.
    pub(crate) stopped: Option<Failure>,
}

pub(crate) enum Access {
    Usable { token: Token, refresh_at: u64, hold_at: u64, unusable_at: u64 },
    Pending(PendingReason),
    Failed(Failure),
    Idle,
    Closed,
}

/// What a caller does now.
pub(crate) enum Verdict<'a> {
    /// Take it.
    Serve(&'a Token),
    /// Wait for the work under way, for a while, and then take it.
    Hold(&'a Token),
    /// Wait.
    Wait,
    /// Say that a token is needed, and wait.
    Ask,
    /// Answer with this.
    Refuse(&'a Failure),
    /// Answer that it is closed.
    Closed,
}

impl Snapshot {
    pub(crate) fn before_the_first_step() -> Self {
        Self {
            generation: 0,
            at: 0,
            access: Access::Pending(PendingReason::Discovering),
            underway: true,
            wait_at_most_ms: 0,
            nudge_from: u64::MAX,
            passing: None,
            stopped: None,
        }
    }

    /// The rules for callers' requests of `wit/session.wit`.
    #[inline]
    pub(crate) fn verdict(&self, now: u64) -> Verdict<'_> {
        match &self.access {
            Access::Usable { token, hold_at, unusable_at, .. } if now < *unusable_at => {
                if now >= *hold_at && self.underway {
                    Verdict::Hold(token)
                } else {
                    Verdict::Serve(token)
                }
            }
            Access::Usable { .. } => self.stopped.as_ref().map_or(Verdict::Ask, Verdict::Refuse),
            Access::Pending(_) => Verdict::Wait,
            Access::Failed(failure) => Verdict::Refuse(failure),
            Access::Idle => Verdict::Ask,
            Access::Closed => Verdict::Closed,
        }
    }

    /// What a caller is told at this time: the time until the next try has run on since.
    pub(crate) fn told(&self, failure: &Failure, now: u64) -> Failure {
        let age = Duration::from_millis(now.saturating_sub(self.at));
        let left = |wait: Duration| wait.saturating_sub(age);
        Failure { retry_in: failure.retry_in.map(left), rotation_in: failure.rotation_in.map(left), ..failure.clone() }
    }

    /// The token, if it may still be served.
    pub(crate) fn usable(&self, now: u64) -> Option<&Token> {
        match &self.access {
            Access::Usable { token, unusable_at, .. } if now < *unusable_at => Some(token),
            _ => None,
        }
    }

    pub(crate) fn availability(&self) -> Availability {
        match &self.access {
            Access::Usable { token, .. } => Availability::Usable { id: token.id().to_owned(), standing: token.standing() },
            Access::Pending(reason) => Availability::Pending(*reason),
            Access::Failed(failure) => Availability::Failed(failure.clone()),
            Access::Idle => Availability::Idle,
            Access::Closed => Availability::Closed,
        }
    }

    /// Whether both tell callers the same, times aside.
    pub(crate) fn tells_the_same_as(&self, other: &Self) -> bool {
        match (&self.access, &other.access) {
            (Access::Usable { token: a, .. }, Access::Usable { token: b, .. }) => {
                a.id() == b.id() && a.standing() == b.standing()
            }
            (Access::Pending(a), Access::Pending(b)) => a == b,
            (Access::Failed(a), Access::Failed(b)) => a.code == b.code && a.message == b.message,
            (Access::Idle, Access::Idle) | (Access::Closed, Access::Closed) => true,
            _ => false,
        }
    }
}

/// What the driver and the handles share.
pub(crate) struct Published {
    pub(crate) snapshot: ArcSwap<Snapshot>,
    /// The generation, for those who wait. Closed when the driver ends.
    pub(crate) generation: watch::Receiver<u64>,
    pub(crate) journal: ArcSwapOption<Secret>,
    pub(crate) clock: Arc<dyn Clock>,
    needed: AtomicBool,
    changed: AtomicBool,
    hints: Notify,
}

impl Published {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> (Arc<Self>, watch::Sender<u64>) {
        let (sender, generation) = watch::channel(0);
        let published = Self {
            snapshot: ArcSwap::from_pointee(Snapshot::before_the_first_step()),
            generation,
            journal: ArcSwapOption::empty(),
            clock,
            needed: AtomicBool::new(false),
            changed: AtomicBool::new(false),
            hints: Notify::new(),
        };
        (Arc::new(published), sender)
    }

    /// A token is needed: said by any number of callers, heard once.
    pub(crate) fn need(&self) {
        self.hint(&self.needed);
    }

    /// Something may have changed: likewise.
    pub(crate) fn change(&self) {
        self.hint(&self.changed);
    }

    fn hint(&self, flag: &AtomicBool) {
        // Read first: callers at full speed would otherwise fight for the line that it is on.
        if !flag.load(Relaxed) && !flag.swap(true, SeqCst) {
            self.hints.notify_one();
        }
    }

    /// The next hints: whether a token is needed, and whether something may have changed.
    pub(crate) async fn hints(&self) -> (bool, bool) {
        loop {
            let hints = (self.needed.swap(false, SeqCst), self.changed.swap(false, SeqCst));
            if hints.0 || hints.1 {
                return hints;
            }
            self.hints.notified().await;
        }
    }
}
