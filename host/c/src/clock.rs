//! The machine's clocks, by the C library: what watches a program (valgrind, and others that replace the kernel's page of clocks) has its
//! hand on those calls, and not on ones that go past it.

use std::time::Duration;

use wif::{BoxFuture, Clock, Reading};

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LibraryClock;

/// Timers stand still while the machine sleeps, so none is trusted for longer than this.
const LONGEST_TIMER: Duration = Duration::from_secs(30);

/// Counts while the machine sleeps.
#[cfg(any(target_os = "linux", target_os = "android"))]
const STEADY: libc::clockid_t = libc::CLOCK_BOOTTIME;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const STEADY: libc::clockid_t = libc::CLOCK_MONOTONIC;

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: there is room for the answer.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec).unwrap_or(0), u64::try_from(time.tv_nsec).unwrap_or(0));
    seconds.saturating_mul(1000).saturating_add(nanoseconds / 1_000_000)
}

impl Clock for LibraryClock {
    fn now(&self) -> Reading {
        Reading { wall_ms: read(libc::CLOCK_REALTIME), steady_ms: self.steady_ms() }
    }

    #[inline]
    fn steady_ms(&self) -> u64 {
        read(STEADY)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let clock = *self;
        let end = clock.steady_ms().saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        Box::pin(async move {
            loop {
                let left = end.saturating_sub(clock.steady_ms());
                if left == 0 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(left).min(LONGEST_TIMER)).await;
            }
        })
    }
}
