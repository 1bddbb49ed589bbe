//! What to do when the component was stopped: how often it is started again, and what is kept from it.

use std::collections::{HashMap, VecDeque};

use crate::tasks::Kind;

/// So many restarts in a minute are made at once.
const BUDGET: usize = 5;
const MINUTE_MS: u64 = 60_000;

/// What stopped it so often is not tried again as it is.
const STRIKES: u32 = 2;

/// A strike is forgotten after this time without another.
const MEMORY_MS: u64 = 600_000;

/// The pause after an event that cannot be kept from the component stopped it again: doubled each time, up to the last.
const PAUSES_MS: (u64, u64) = (1_000, 60_000);

/// A journal that so many sessions in a row did not survive counts as lost.
const SESSIONS_ON_ONE_JOURNAL: u32 = 4;

/// What the component was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Cause {
    Opening,
    Woken,
    Needed,
    Rejected,
    Changed,
    Closing,
    Finished(Kind),
    /// Its answer broke the contract.
    Answering,
}

/// When to start it again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    Now,
    /// At this moment of the steady clock.
    At(u64),
}

#[derive(Default)]
pub(crate) struct Recovery {
    restarts: VecDeque<u64>,
    strikes: HashMap<Cause, (u32, u64)>,
    /// Stops in a row, with no step between them that ended well.
    in_a_row: u32,
}

impl Recovery {
    /// The component was stopped while it did this.
    pub(crate) fn stopped(&mut self, cause: Cause, now: u64) -> Restart {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.strikes.retain(|_, (_, last)| now.saturating_sub(*last) < MEMORY_MS);
        let (strikes, last) = self.strikes.entry(cause).or_insert((0, now));
        (*strikes, *last) = (strikes.saturating_add(1), now);
        // A result can be kept from it: see `quarantines`. Nothing else can.
        let pause = if matches!(cause, Cause::Finished(_)) || *strikes < STRIKES {
            0
        } else {
            let (first, longest) = PAUSES_MS;
            first.saturating_mul(1 << (*strikes - STRIKES).min(16)).min(longest)
        };
        self.restart(now, now.saturating_add(pause))
    }

    /// Somebody else stopped the instance that was shared.
    pub(crate) fn disturbed(&mut self, now: u64) -> Restart {
        self.restart(now, now)
    }

    /// By the budget, and no sooner than this.
    fn restart(&mut self, now: u64, no_sooner: u64) -> Restart {
        while self.restarts.front().is_some_and(|restart| now.saturating_sub(*restart) >= MINUTE_MS) {
            self.restarts.pop_front();
        }
        let by_budget = if self.restarts.len() < BUDGET { now } else { self.restarts[0] + MINUTE_MS };
        let at = by_budget.max(no_sooner);
        self.restarts.push_back(at);
        if self.restarts.len() > BUDGET {
            self.restarts.pop_front();
        }
        if at == now { Restart::Now } else { Restart::At(at) }
    }

    /// The component did this without harm.
    pub(crate) fn passed(&mut self, cause: Cause, now: u64) {
        self.in_a_row = 0;
        if !self.strikes.is_empty() && !self.quarantines(cause, now) {
            self.strikes.remove(&cause);
        }
    }

    /// Whether the newest journal is worth another session.
    pub(crate) fn trusts_journal(&self) -> bool {
        self.in_a_row < SESSIONS_ON_ONE_JOURNAL
    }

    /// Whether results of this kind are kept from the component, until the last strike is forgotten: they count as lost.
    pub(crate) fn quarantines(&self, cause: Cause, now: u64) -> bool {
        let struck_out = |(strikes, last): &(u32, u64)| *strikes >= STRIKES && now.saturating_sub(*last) < MEMORY_MS;
        matches!(cause, Cause::Finished(_)) && self.strikes.get(&cause).is_some_and(struck_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_restarts_a_minute_are_made_at_once() {
        let mut recovery = Recovery::default();
        let result = Cause::Finished(Kind::Send);
        for now in 0..5 {
            assert_eq!(recovery.stopped(result, now * 1000), Restart::Now);
        }
        assert_eq!(recovery.stopped(result, 5_000), Restart::At(60_000));
        assert_eq!(recovery.stopped(result, 60_000), Restart::At(61_000));
    }

    #[test]
    fn a_result_that_stopped_it_twice_is_quarantined_for_a_while() {
        let mut recovery = Recovery::default();
        let result = Cause::Finished(Kind::Send);
        recovery.stopped(result, 0);
        assert!(!recovery.quarantines(result, 0));
        recovery.stopped(result, 1);
        recovery.passed(result, 2);
        assert!(recovery.quarantines(result, MEMORY_MS));
        assert!(!recovery.quarantines(Cause::Finished(Kind::File), 2));
        assert!(!recovery.quarantines(result, MEMORY_MS + 1));
        // Tried once more without harm, it has a clean record.
        recovery.passed(result, MEMORY_MS + 1);
        recovery.stopped(result, MEMORY_MS + 2);
        assert!(!recovery.quarantines(result, MEMORY_MS + 2));
    }

    #[test]
    fn a_journal_that_no_session_survives_counts_as_lost() {
        let mut recovery = Recovery::default();
        for now in 0..3 {
            recovery.stopped(Cause::Opening, now);
            assert!(recovery.trusts_journal());
        }
        recovery.stopped(Cause::Woken, 3);
        assert!(!recovery.trusts_journal());
        recovery.passed(Cause::Woken, 4);
        assert!(recovery.trusts_journal());
    }

    #[test]
    fn a_wake_that_stops_it_again_and_again_is_tried_ever_more_rarely() {
        let mut recovery = Recovery::default();
        assert_eq!(recovery.stopped(Cause::Woken, 0), Restart::Now);
        assert_eq!(recovery.stopped(Cause::Woken, 0), Restart::At(1_000));
        assert_eq!(recovery.stopped(Cause::Woken, 1_000), Restart::At(3_000));
        assert_eq!(recovery.stopped(Cause::Woken, 3_000), Restart::At(7_000));
        recovery.passed(Cause::Woken, 7_000);
        assert_eq!(recovery.stopped(Cause::Woken, 100_000), Restart::Now);
    }
}
