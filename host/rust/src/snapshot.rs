//! What callers read: the session's last word, immutable, behind one pointer.

use std::sync::Arc;
use std::sync::atomic::{Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use crate::clock::Clock;
use crate::secret::Secret;
use crate::shared::{ArcSwap, ArcSwapOption, AtomicBool, Notify, watch};
use crate::status::{Availability, Failure};
use crate::token::Token;
use crate::vocabulary::{PendingReason, Standing};

/// The session's last word.
pub(crate) type Snapshot = wif_rules::Snapshot<Token, Failure, PendingReason>;

/// What callers may do.
pub(crate) type Access = wif_rules::Access<Token, Failure, PendingReason>;

/// What is asked of a snapshot here alone.
pub(crate) trait Words {
    /// What a caller is told at this time: the time until the next try has run on since.
    fn told(&self, failure: &Failure, now: u64) -> Failure;
    /// What listeners are told.
    fn availability(&self) -> Availability;
    /// Whether both tell callers the same, times aside.
    fn tells_the_same_as(&self, other: &Self) -> bool;
}

impl Words for Snapshot {
    fn told(&self, failure: &Failure, now: u64) -> Failure {
        let age = Duration::from_millis(now.saturating_sub(self.at));
        let left = |wait: Duration| wait.saturating_sub(age);
        Failure { retry_in: failure.retry_in.map(left), rotation_in: failure.rotation_in.map(left), ..failure.clone() }
    }

    fn availability(&self) -> Availability {
        match &self.access {
            Access::Usable { token, .. } => Availability::Usable { id: token.id().to_owned(), standing: token.standing() },
            Access::Pending(reason) => Availability::Pending(*reason),
            Access::Failed(failure) => Availability::Failed(failure.clone()),
            Access::Idle => Availability::Idle,
            Access::Closed => Availability::Closed,
        }
    }

    fn tells_the_same_as(&self, other: &Self) -> bool {
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

/// Before the session has said anything.
pub(crate) const fn before_the_first_step() -> Snapshot {
    Snapshot::before_the_first_step(PendingReason::Discovering)
}

impl wif_rules::Token for Token {
    fn id(&self) -> &str {
        self.id()
    }

    fn is_good(&self) -> bool {
        self.standing() == Standing::Good
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
            snapshot: ArcSwap::from_pointee(before_the_first_step()),
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
