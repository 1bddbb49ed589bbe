//! Where the emulator's time comes from.

use std::time::{SystemTime, UNIX_EPOCH};

/// A source of wall-clock time, so that a test can move it.
///
/// Any `Fn() -> SystemTime` that may be shared between threads is one.
pub trait Clock: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> SystemTime;
}

impl<F: Fn() -> SystemTime + Send + Sync + 'static> Clock for F {
    fn now(&self) -> SystemTime {
        self()
    }
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place where the emulator reads an ambient clock")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// Whole seconds since the epoch, the unit of a JWT's `NumericDate` (RFC 7519 section 2); 0 before the epoch.
pub(crate) fn unix_seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
