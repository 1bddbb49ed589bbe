//! What time it is. Everything else in this crate asks a [`Clock`], so that a test's clock governs all of it.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// A future behind a pointer, for traits that are used as objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What time it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Milliseconds since 1970-01-01T00:00:00Z. May jump.
    pub wall_ms: u64,
    /// Milliseconds since some moment. Never goes back, and counts while the machine sleeps.
    pub steady_ms: u64,
}

/// A source of time. Implement it to let a test decide what time it is.
pub trait Clock: Send + Sync + 'static {
    /// What time it is.
    fn now(&self) -> Reading;

    /// The steady time alone, in milliseconds: read by every request.
    fn steady_ms(&self) -> u64 {
        self.now().steady_ms
    }

    /// Ends when so much steady time has passed.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// The machine's own clocks: `CLOCK_BOOTTIME` on Linux, which counts through suspend, and the nearest to it elsewhere.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock(());

/// What one of the machine's clocks shows. By the C library: what watches a program (valgrind, and others that replace the kernel's page of
/// clocks) has its hand on those calls, and a call that goes past it ends the program.
#[cfg(unix)]
#[inline]
pub(crate) fn time_of(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: there is room for the answer.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Timers stand still while the machine sleeps, so none is trusted for longer than this.
const LONGEST_TIMER: Duration = Duration::from_secs(30);

#[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's clocks")]
impl Clock for SystemClock {
    fn now(&self) -> Reading {
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Reading { wall_ms: millis(wall), steady_ms: self.steady_ms() }
    }

    #[cfg(unix)]
    fn steady_ms(&self) -> u64 {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        const STEADY: libc::clockid_t = libc::CLOCK_BOOTTIME;
        // On Apple's systems this one counts while the machine sleeps.
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        const STEADY: libc::clockid_t = libc::CLOCK_MONOTONIC;
        millis(time_of(STEADY))
    }

    #[cfg(not(unix))]
    fn steady_ms(&self) -> u64 {
        static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        millis(START.get_or_init(std::time::Instant::now).elapsed())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let clock = *self;
        let end = clock.steady_ms().saturating_add(millis(duration));
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

/// A duration in whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
