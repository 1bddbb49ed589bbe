//! The session's own time, made from the clocks that each step brings.

use core::ops::{Add, Sub};

use crate::contract::Clock;

/// A moment in milliseconds since the session was opened. What was before, in a resumed session, is negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Moment(i64);

impl Moment {
    /// Later than every other.
    pub(crate) const NEVER: Self = Self(i64::MAX);

    /// The moment this many milliseconds after, or before, another.
    pub(crate) fn offset(self, by: i64) -> Self {
        Self(self.0.saturating_add(by))
    }

    /// Milliseconds from `other` to this, negative if this is earlier.
    pub(crate) fn since(self, other: Self) -> i64 {
        self.0.saturating_sub(other.0)
    }
}

impl Add<u64> for Moment {
    type Output = Self;

    fn add(self, milliseconds: u64) -> Self {
        self.offset(i64::try_from(milliseconds).unwrap_or(i64::MAX))
    }
}

impl Sub for Moment {
    type Output = u64;

    /// Milliseconds from `earlier` to this; zero if it is not earlier.
    fn sub(self, earlier: Self) -> u64 {
        u64::try_from(self.since(earlier)).unwrap_or(0)
    }
}

/// Turns clock readings into moments that never go back.
///
/// A steady clock counts alone where there is one. Otherwise the wall clock does: what it jumps back is ignored, and what
/// it jumps forward counts, for a token that is thrown away early costs an exchange and one that is served too long costs
/// a refused request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timeline {
    last: Option<Clock>,
    now: Moment,
}

impl Timeline {
    pub(crate) fn advance(&mut self, clock: Clock) -> Moment {
        self.now = self.at(clock);
        self.last = Some(clock);
        self.now
    }

    /// The moment of a clock reading, without taking note of it.
    pub(crate) fn at(&self, clock: Clock) -> Moment {
        let Some(last) = self.last else { return self.now };
        let elapsed = match (last.steady_ms, clock.steady_ms) {
            (Some(last), Some(steady)) => steady.saturating_sub(last),
            _ => clock.wall_ms.saturating_sub(last.wall_ms),
        };
        self.now + elapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(wall_ms: u64, steady_ms: Option<u64>) -> Clock {
        Clock { wall_ms, steady_ms }
    }

    /// D1, D3: the wall clock may jump either way; where there is a steady clock that changes nothing.
    #[test]
    fn a_jump_of_the_wall_clock_does_not_count_beside_a_steady_clock() {
        let mut timeline = Timeline::default();
        let start = timeline.advance(clock(1_000_000, Some(50)));
        assert_eq!(timeline.advance(clock(9_000_000, Some(60))) - start, 10);
        assert_eq!(timeline.advance(clock(0, Some(70))) - start, 20);
    }

    /// D3, D4: a clock that goes back stands still, and no reading overflows.
    #[test]
    fn time_never_goes_back() {
        let mut timeline = Timeline::default();
        let start = timeline.advance(clock(1_000, None));
        assert_eq!(timeline.advance(clock(500, None)) - start, 0);
        assert_eq!(timeline.advance(clock(600, None)) - start, 100);
        timeline.advance(clock(u64::MAX, None));
        timeline.advance(clock(0, None));
        timeline.advance(clock(u64::MAX, Some(u64::MAX)));
    }
}
