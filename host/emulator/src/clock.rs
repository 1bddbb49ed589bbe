//! Where the emulator's time comes from.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use thiserror::Error;

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

/// A clock was not put where it was to be, and stays where it is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClockError {
    /// The service's clock is to be further from the world's than ten years. Choose less, in seconds.
    #[error("clock_skew_seconds: {0} is not between -{MOST_SKEW_SECONDS} and {MOST_SKEW_SECONDS}")]
    Skew(i64),
    /// The clocks were to be put forward by more than a hundred years in all. Choose less, or start anew.
    #[error("seconds: the clocks can be put forward by {MOST_ADVANCE_SECONDS} seconds in all, and have been by {advanced}")]
    Advance {
        /// By how much they have been put forward, in seconds.
        advanced: u64,
    },
}

/// Ten years.
const MOST_SKEW_SECONDS: i64 = 315_360_000;

/// A hundred years.
const MOST_ADVANCE_SECONDS: u64 = 3_153_600_000;

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
    pub(crate) fn advance(&self, by: Duration) -> Result<(), ClockError> {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        let later = |ms: u64| ms.checked_add(by).filter(|ms| *ms <= MOST_ADVANCE_SECONDS * 1000);
        let advanced = self.advanced_ms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
        advanced.map(drop).map_err(|ms| ClockError::Advance { advanced: ms / 1000 })
    }

    pub(crate) fn skew(&self, seconds: i64) -> Result<(), ClockError> {
        if !(-MOST_SKEW_SECONDS..=MOST_SKEW_SECONDS).contains(&seconds) {
            return Err(ClockError::Skew(seconds));
        }
        self.skew_seconds.store(seconds, Ordering::Relaxed);
        Ok(())
    }
}

/// The world's time.
impl Clock for Clocks {
    fn now(&self) -> SystemTime {
        let now = self.source.now();
        now.checked_add(Duration::from_millis(self.advanced_ms.load(Ordering::Relaxed))).unwrap_or(now)
    }
}
