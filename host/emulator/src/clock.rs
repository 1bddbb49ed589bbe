//! Where the emulator's time comes from.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// The emulator's two clocks: the world's, by which identity tokens are made, and the service's, which may be wrong.
pub(crate) struct Clocks {
    source: Arc<dyn Clock>,
    advanced_ms: AtomicU64,
    skew_seconds: AtomicI64,
}

impl Clocks {
    pub(crate) fn new(source: Arc<dyn Clock>) -> Self {
        Self { source, advanced_ms: AtomicU64::new(0), skew_seconds: AtomicI64::new(0) }
    }

    /// The service's time.
    pub(crate) fn service(&self) -> SystemTime {
        let skew = self.skew_seconds.load(Ordering::Relaxed);
        let by = Duration::from_secs(skew.unsigned_abs());
        let now = self.now();
        let skewed = if skew < 0 { now.checked_sub(by) } else { now.checked_add(by) };
        skewed.unwrap_or(now)
    }

    /// Puts both clocks forward.
    pub(crate) fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        // An update that always has a value cannot fail.
        let _ = self.advanced_ms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |ms| Some(ms.saturating_add(by)));
    }

    pub(crate) fn skew(&self, seconds: i64) {
        self.skew_seconds.store(seconds, Ordering::Relaxed);
    }
}

/// The world's time.
impl Clock for Clocks {
    fn now(&self) -> SystemTime {
        let now = self.source.now();
        now.checked_add(Duration::from_millis(self.advanced_ms.load(Ordering::Relaxed))).unwrap_or(now)
    }
}

/// Whole seconds since the epoch, the unit of a JWT's `NumericDate` (RFC 7519 section 2); 0 before the epoch.
pub(crate) fn unix_seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
