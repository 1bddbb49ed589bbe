//! Ticks that end a call which does not end by itself.
//!
//! One thread for the process, which ends a second after the last call: a program that rests is not woken for nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// The length of a tick in milliseconds.
pub(super) const TICK_MS: u64 = 20;

/// So many ticks without a call, and the thread ends.
const REST_TICKS: u32 = 50;

static TICKING: AtomicBool = AtomicBool::new(false);
static CALLS: AtomicU64 = AtomicU64::new(0);
static RUNNING: AtomicU64 = AtomicU64::new(0);

/// Where orders of threads are tried, real time decides nothing.
#[cfg(test)]
pub(crate) static STANDS: AtomicBool = AtomicBool::new(false);

/// A call that is running.
#[must_use]
pub(super) struct Running(());

/// Counts a call, and sees to it that there are ticks.
pub(super) fn enter() -> Running {
    RUNNING.fetch_add(1, SeqCst);
    CALLS.fetch_add(1, SeqCst);
    if !TICKING.load(SeqCst) && !TICKING.swap(true, SeqCst) {
        let thread = std::thread::Builder::new().name("wif-ticker".to_owned()).spawn(tick);
        // Without a thread there are no ticks until the next call tries again; all other limits hold.
        if thread.is_err() {
            TICKING.store(false, SeqCst);
        }
    }
    Running(())
}

/// The thread and the calls of the process that was forked are not here.
pub(super) fn forked() {
    RUNNING.store(0, SeqCst);
    TICKING.store(false, SeqCst);
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, SeqCst);
    }
}

#[allow(clippy::disallowed_methods, reason = "it limits how long native code runs, which no test's clock governs")]
fn tick() {
    let (mut seen, mut resting) = (0, 0);
    loop {
        std::thread::sleep(Duration::from_millis(TICK_MS));
        #[cfg(test)]
        if STANDS.load(SeqCst) {
            continue;
        }
        super::engine().increment_epoch();
        let calls = CALLS.load(SeqCst);
        if calls != seen || RUNNING.load(SeqCst) > 0 {
            (seen, resting) = (calls, 0);
            continue;
        }
        resting += 1;
        if resting < REST_TICKS {
            continue;
        }
        TICKING.store(false, SeqCst);
        // A call that came in between saw ticks where there are none any more: go on, unless it has started another thread.
        if CALLS.load(SeqCst) == seen || TICKING.swap(true, SeqCst) {
            return;
        }
    }
}
