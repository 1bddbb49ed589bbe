//! Requests that wait for a token.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;
use wif::{Error, Token};

use crate::abi::Scheduler;

/// What a request waits for: a token, or the reason why there is none.
pub(crate) type Waited = Result<Token, Error>;

/// The request's side. When it is dropped the request waits no more, and nobody touches its stream any more.
pub(crate) struct Place {
    slot: Arc<Slot>,
    task: Option<AbortHandle>,
}

/// The side of whoever brings the token. When it is dropped unanswered the request learns that, so that none waits for ever.
pub(crate) struct Promise(Arc<Slot>);

/// Where they meet. The lock is held while the stream is woken, so the stream cannot be destroyed meanwhile.
struct Slot(Mutex<Inside>);

struct Inside {
    scheduler: Option<Scheduler>,
    waited: Option<Waited>,
}

/// A place, and the promise that belongs to it.
pub(crate) fn wait(scheduler: Scheduler) -> (Place, Promise) {
    let slot = Arc::new(Slot(Mutex::new(Inside { scheduler: Some(scheduler), waited: None })));
    (Place { slot: Arc::clone(&slot), task: None }, Promise(slot))
}

impl Place {
    /// The task that keeps the promise ends with the place.
    pub(crate) fn held_by(mut self, task: AbortHandle) -> Self {
        self.task = Some(task);
        self
    }

    /// What was promised, once the stream was woken.
    pub(crate) fn take(&self) -> Option<Waited> {
        self.slot.inside().waited.take()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let scheduler = self.slot.inside().scheduler.take();
        drop(scheduler);
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Promise {
    /// Wakes the stream, if it is still there.
    pub(crate) fn keep(self, waited: Waited) {
        self.0.wake(waited);
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.0.wake(Err(Error::Closed));
    }
}

impl Slot {
    /// The first word counts.
    fn wake(&self, waited: Waited) {
        let mut inside = self.inside();
        if let Some(scheduler) = inside.scheduler.take() {
            inside.waited = Some(waited);
            scheduler.commit();
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        // Every change is complete before anything can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
