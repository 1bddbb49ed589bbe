//! `fork`: it waits until no thread of ours holds anything, and the child knows that it is one.
//!
//! Only the thread that calls `fork` is in the child. Whatever lock another thread held is locked there for ever, so the threads of
//! ours say when they are at work, and `fork` waits for them. They never call the program meanwhile, which may hold locks of its own
//! while it forks (an interpreter's, say); and it waits for a second at most.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

/// Raised in each child.
static GENERATION: AtomicU32 = AtomicU32::new(0);
/// How many threads of ours are at work.
static BUSY: Mutex<usize> = Mutex::new(0);
static RESTS: Condvar = Condvar::new();

/// A step takes microseconds; one in the sandbox ends after a tenth of this.
const AT_MOST: Duration = Duration::from_secs(1);

thread_local! {
    /// Held while the process is forked.
    static HELD: RefCell<Option<MutexGuard<'static, usize>>> = const { RefCell::new(None) };
}

/// Which process this is, counted from the first.
#[inline]
pub(crate) fn generation() -> u32 {
    GENERATION.load(Relaxed)
}

/// Sees to it that forks are noticed from here on.
pub(crate) fn watch() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // SAFETY: the functions are there for as long as the library is, and that is for ever.
        unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
    });
}

/// A thread of ours is at work.
#[must_use]
pub(crate) struct Busy(u32);

pub(crate) fn busy() -> Busy {
    begin();
    Busy(generation())
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0 == generation() {
            end();
        }
    }
}

/// This thread begins to work.
pub(crate) fn begin() {
    *count() += 1;
}

/// This thread rests.
pub(crate) fn end() {
    let mut busy = count();
    *busy = busy.saturating_sub(1);
    drop(busy);
    RESTS.notify_all();
}

fn count() -> MutexGuard<'static, usize> {
    BUSY.lock().unwrap_or_else(PoisonError::into_inner)
}

extern "C" fn before() {
    let waited = RESTS.wait_timeout_while(count(), AT_MOST, |busy| *busy > 0);
    let (busy, _) = waited.unwrap_or_else(PoisonError::into_inner);
    let _ = HELD.try_with(|held| *held.borrow_mut() = Some(busy));
}

extern "C" fn in_parent() {
    let _ = HELD.try_with(|held| held.borrow_mut().take());
}

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Relaxed);
    #[cfg(feature = "sandbox")]
    wif::component::forked();
    let _ = HELD.try_with(|held| {
        if let Some(mut busy) = held.borrow_mut().take() {
            *busy = 0;
        }
    });
}
