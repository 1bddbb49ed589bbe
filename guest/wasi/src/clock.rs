//! What time it is.

use wasi::clocks::{monotonic_clock, wall_clock};
use wif_engine::contract;

/// Nanoseconds in a millisecond.
pub const NANOS_PER_MS: u64 = 1_000_000;

/// WASI's monotonic clock need not count while the machine sleeps, and on Linux does not. A wall clock that ran further ahead
/// than this, in nanoseconds, tells of a sleep, or was set: then it is believed, for a token that is thrown away early costs
/// an exchange and one that is served too long costs a refused request.
const SLEPT: u64 = 1_000 * NANOS_PER_MS;

/// Nanoseconds of WASI's monotonic clock: for deadlines of what is waited for, not for lifetimes.
pub type Instant = monotonic_clock::Instant;

/// Now.
pub fn instant() -> Instant {
    monotonic_clock::now()
}

/// Makes one steady clock out of WASI's two.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    last: Option<Reading>,
    steady: u64,
}

/// Both clocks in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Reading {
    wall: u64,
    monotonic: u64,
}

impl Clock {
    pub(crate) fn now(&mut self) -> contract::Clock {
        let wall = wall_clock::now();
        let wall = wall.seconds.saturating_mul(1_000 * NANOS_PER_MS).saturating_add(u64::from(wall.nanoseconds));
        self.advance(Reading { wall, monotonic: monotonic_clock::now() })
    }

    fn advance(&mut self, reading: Reading) -> contract::Clock {
        if let Some(last) = self.last.replace(reading) {
            let wall = reading.wall.saturating_sub(last.wall);
            let monotonic = reading.monotonic.saturating_sub(last.monotonic);
            let slept = wall.saturating_sub(monotonic) > SLEPT;
            self.steady = self.steady.saturating_add(if slept { wall } else { monotonic });
        }
        contract::Clock { wall_ms: reading.wall / NANOS_PER_MS, steady_ms: Some(self.steady / NANOS_PER_MS) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steady_after(wall_ms: i64, monotonic_ms: u64) -> u64 {
        let mut clock = Clock::default();
        let start = Reading { wall: 1_000_000_000_000_000_000, monotonic: 5 };
        clock.advance(start);
        let wall = start.wall.saturating_add_signed(wall_ms * 1_000_000);
        clock.advance(Reading { wall, monotonic: start.monotonic + monotonic_ms * NANOS_PER_MS }).steady_ms.unwrap()
    }

    #[test]
    fn the_monotonic_clock_counts() {
        assert_eq!(steady_after(10_020, 10_000), 10_000);
    }

    #[test]
    fn a_sleep_of_the_machine_counts() {
        assert_eq!(steady_after(7_200_000, 40), 7_200_000);
    }

    #[test]
    fn a_wall_clock_that_goes_back_does_not_count() {
        assert_eq!(steady_after(-3_600_000, 250), 250);
    }
}
