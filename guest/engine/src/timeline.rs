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

    pub(crate) fn now(&self) -> Moment {
        self.now
    }

    /// The wall clock at this step, in milliseconds since 1970.
    pub(crate) fn wall_ms(&self) -> u64 {
        self.last.map_or(0, |clock| clock.wall_ms)
    }

    pub(crate) fn epoch(&self) -> Epoch {
        Epoch { now: self.now, wall_ms: self.wall_ms(), steady_ms: self.last.and_then(|clock| clock.steady_ms) }
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

/// Translates between a session's moments and the wall clock, in which the document keeps its times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epoch {
    pub(crate) now: Moment,
    pub(crate) wall_ms: u64,
    /// The reading of the steady clock, where there is one.
    pub(crate) steady_ms: Option<u64>,
}

impl Epoch {
    pub(crate) fn wall(self, moment: Moment) -> i64 {
        i64::try_from(self.wall_ms).unwrap_or(i64::MAX).saturating_add(moment.since(self.now))
    }

    pub(crate) fn moment(self, wall_ms: i64) -> Moment {
        let now = i64::try_from(self.wall_ms).unwrap_or(i64::MAX);
        self.now.offset(wall_ms.saturating_sub(now))
    }
}

/// Who wrote a document, as seen from whoever reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    /// An earlier session of this machine: its journal. The steady clock went on between the two, or began anew with a boot.
    Before,
    /// Any session that shares the store: an entry. Only the wall clock is common to both, and roughly so.
    Another,
}

/// When a document was written, by its writer's clocks. Documents of earlier versions do not say.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Written {
    pub(crate) wall_ms: Option<i64>,
    pub(crate) steady_ms: Option<u64>,
}

/// Translates the wall times of a document into moments, so that reading lengthens nothing: what was left of a pause or of a
/// life when the document was written is the most that can be left now, whatever the wall clock did since.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    epoch: Epoch,
    by: Writer,
    /// The wall clock at the writing, and how much time has passed since at least.
    since: Option<(i64, u64)>,
}

impl Reading {
    pub(crate) fn new(epoch: Epoch, written: Written, by: Writer) -> Self {
        let elapsed_ms = match (by, written.steady_ms, epoch.steady_ms) {
            // A reading below the writer's is of another boot, which began after the writing.
            (Writer::Before, Some(then), Some(now)) => now.checked_sub(then).unwrap_or(now),
            _ => 0,
        };
        Self { epoch, by, since: written.wall_ms.map(|wall_ms| (wall_ms, elapsed_ms)) }
    }

    pub(crate) fn now(self) -> Moment {
        self.epoch.now
    }

    /// The end of a pause of which none is longer than `longest_ms`; nothing if it is over. An entry is read again and again:
    /// what was left at its writing would begin anew each time, so there the wall clock counts alone. An end that is too far
    /// away was set before this clock went back, and nobody can tell when it was meant. What was over at the writing is over, whatever
    /// the clocks did since.
    pub(crate) fn end_of_pause(self, wall_ms: i64, longest_ms: u64) -> Option<Moment> {
        let left = self.moment(wall_ms);
        let end = if self.by == Writer::Before { left } else { self.epoch.moment(wall_ms) };
        (left > self.now() && end <= self.now() + longest_ms).then_some(end)
    }

    /// The end of something that lives.
    pub(crate) fn moment(self, wall_ms: i64) -> Moment {
        let by_the_wall = self.epoch.moment(wall_ms);
        match self.since {
            Some((written_ms, elapsed_ms)) => {
                let left = wall_ms.saturating_sub(written_ms).saturating_sub_unsigned(elapsed_ms);
                by_the_wall.min(self.epoch.now.offset(left))
            }
            None => by_the_wall,
        }
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

    fn reading(wall_ms: u64, steady_ms: Option<u64>, by: Writer) -> Reading {
        let epoch = Epoch { now: Moment::default(), wall_ms, steady_ms };
        Reading::new(epoch, Written { wall_ms: Some(1_000_000), steady_ms: Some(5_000) }, by)
    }

    /// D10: written with 60 s to go; whatever the wall clock did since, no more than that is left.
    #[test]
    fn reading_never_lengthens_what_was_left_at_the_writing() {
        let left = |reading: Reading| reading.moment(1_060_000).since(Moment::default());
        assert_eq!(left(reading(1_020_000, None, Writer::Another)), 40_000);
        assert_eq!(left(reading(0, None, Writer::Another)), 60_000, "the wall clock went back");
        assert_eq!(left(reading(0, Some(25_000), Writer::Before)), 40_000, "the steady clock knows better");
        assert_eq!(left(reading(1_050_000, Some(25_000), Writer::Before)), 10_000, "the wall clock went ahead");
        assert_eq!(left(reading(0, Some(2_000), Writer::Before)), 58_000, "a boot since");
        assert_eq!(left(reading(0, Some(25_000), Writer::Another)), 60_000, "another machine's steady clock says nothing");
    }

    /// D10: an entry is read again and again, and its pause ends all the same.
    #[test]
    fn a_pause_in_an_entry_does_not_begin_anew_with_each_look() {
        let pause =
            |wall_ms, by| reading(wall_ms, None, by).end_of_pause(1_060_000, 600_000).map(|end| end.since(Moment::default()));
        assert_eq!(pause(990_000, Writer::Another), Some(70_000));
        assert_eq!(pause(1_000_000, Writer::Another), Some(60_000), "ten seconds later");
        assert_eq!(pause(400_000, Writer::Another), None, "no pause is that long");
        assert_eq!(pause(400_000, Writer::Before), Some(60_000), "a journal is read once");
    }

    /// D10: the clock of whoever wrote it was ahead, and is right again.
    #[test]
    fn a_pause_that_was_over_at_the_writing_is_none_later() {
        for by in [Writer::Another, Writer::Before] {
            let end = |wall_ms| reading(500_000, None, by).end_of_pause(wall_ms, 600_000);
            assert!(end(999_000).is_none() && end(1_000_000).is_none(), "{by:?}");
            assert!(end(1_000_001).is_some(), "{by:?}");
        }
    }
}
