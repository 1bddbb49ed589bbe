//! The time that a component is given.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

/// The machine's time, put forward.
#[derive(Clone)]
pub struct Clock {
    started: Instant,
    forward_ms: Arc<AtomicU64>,
}

#[allow(clippy::disallowed_methods, reason = "the host's own time, which the component is given")]
impl Clock {
    /// As the machine's.
    #[must_use]
    pub fn start() -> Self {
        Self { started: Instant::now(), forward_ms: Arc::default() }
    }

    /// Puts both clocks forward.
    ///
    /// # Panics
    ///
    /// By longer than anybody lives.
    pub fn forward(&self, by: Duration) {
        self.forward_ms.fetch_add(u64::try_from(by.as_millis()).expect("a sensible time"), Ordering::SeqCst);
    }

    fn ahead(&self) -> Duration {
        Duration::from_millis(self.forward_ms.load(Ordering::SeqCst))
    }

    /// Since 1970.
    ///
    /// # Panics
    ///
    /// The machine's clock stands before that.
    #[must_use]
    pub fn wall(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).expect("later than 1970") + self.ahead()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed() + self.ahead()
    }
}

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        self.wall()
    }
}

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        u64::try_from(self.monotonic().as_nanos()).expect("not for 500 years")
    }
}
