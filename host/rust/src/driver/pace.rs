//! How much of the host's time, log and network a component may take. One that is well takes a thousandth of it.

use std::collections::HashMap;

use crate::limits::{
    ENTRIES_AT_ONCE, ENTRY_EVERY_MS, LONG_STEP_MS, LONGEST_REST_MS, NOTE_EVERY_MS, NOTES_AT_ONCE, REQUEST_EVERY_MS,
    REQUESTS_AT_ONCE, REST, RESULT_EVERY_MS, RESULTS_AT_ONCE, TIME_AT_ONCE_MS,
};
use crate::tasks::Kind;

const NOTES: Allowance = Allowance { at_once: NOTES_AT_ONCE, pause_ms: NOTE_EVERY_MS };
const REQUESTS: Allowance = Allowance { at_once: REQUESTS_AT_ONCE, pause_ms: REQUEST_EVERY_MS };
const ENTRIES: Allowance = Allowance { at_once: ENTRIES_AT_ONCE, pause_ms: ENTRY_EVERY_MS };
const RESULTS: Allowance = Allowance { at_once: RESULTS_AT_ONCE, pause_ms: RESULT_EVERY_MS };

/// What a driver keeps account of. All times are of the steady clock, in milliseconds.
pub(super) struct Pace {
    rests_until: u64,
    /// The time that steps took, each millisecond for as many as it and its rest are. It is a moment, as in an account.
    busy_until: u64,
    notes: Account,
    /// Of each kind of task that leaves the process, or may.
    tasks: HashMap<Kind, Account>,
    journals: Account,
    results: Account,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            rests_until: 0,
            busy_until: 0,
            notes: Account::new(NOTES),
            tasks: HashMap::new(),
            journals: Account::new(ENTRIES),
            results: Account::new(RESULTS),
        }
    }
}

impl Pace {
    /// A step began and ended.
    pub(super) fn stepped(&mut self, began: u64, ended: u64) {
        let took = ended.saturating_sub(began);
        if took >= LONG_STEP_MS {
            self.rests_until = ended.saturating_add(took.saturating_mul(REST));
        }
        // Short ones count together. What the clock shows of each is rounded, and their sum is not.
        let at_once = TIME_AT_ONCE_MS * (1 + REST);
        let latest = ended.saturating_add(LONGEST_REST_MS);
        self.busy_until = self.busy_until.max(began).saturating_add(took.saturating_mul(1 + REST)).min(latest + at_once);
        self.rests_until = self.rests_until.max(self.busy_until.saturating_sub(at_once)).min(latest);
    }

    /// The result of a task was handed over. However quick its steps are, a component that asks for one thing after another, none of
    /// which takes any time, would never rest.
    pub(super) fn handed_over(&mut self, now: u64) {
        if !self.results.spend(now) {
            self.rests_until = self.rests_until.max(now.saturating_add(RESULTS.pause_ms));
        }
    }

    /// When the next step may begin.
    pub(super) fn rests_until(&self) -> u64 {
        self.rests_until
    }

    /// How many of these notes are logged.
    pub(super) fn notes(&mut self, wanted: usize, now: u64) -> usize {
        (0..wanted).take_while(|_| self.notes.spend(now)).count()
    }

    /// Whether another task of this kind may be started. What is read on this machine costs time alone; and a program's access token
    /// may serve one caller, so that each caller asks for another.
    pub(super) fn allows(&mut self, kind: Kind, now: u64) -> bool {
        let allowance = match kind {
            Kind::Send | Kind::Assertion | Kind::Sign => REQUESTS,
            Kind::Load | Kind::Swap => ENTRIES,
            Kind::File | Kind::Variable | Kind::Token => return true,
        };
        self.tasks.entry(kind).or_insert_with(|| Account::new(allowance)).spend(now)
    }

    /// Whether another journal may be kept.
    pub(super) fn journal(&mut self, now: u64) -> bool {
        self.journals.spend(now)
    }
}

#[derive(Clone, Copy)]
struct Allowance {
    at_once: u64,
    pause_ms: u64,
}

/// An allowance and what of it was used. It is a moment: the later it lies ahead, the less is left.
struct Account {
    allowance: Allowance,
    used_until: u64,
}

impl Account {
    fn new(allowance: Allowance) -> Self {
        Self { allowance, used_until: 0 }
    }

    fn spend(&mut self, now: u64) -> bool {
        let Allowance { at_once, pause_ms } = self.allowance;
        let next = self.used_until.max(now).saturating_add(pause_ms);
        let fits = next <= now.saturating_add(at_once * pause_ms);
        if fits {
            self.used_until = next;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_that_takes_long_rests_four_times_as_long() {
        let mut pace = Pace::default();
        pace.stepped(1_000, 1_004);
        assert_eq!(pace.rests_until(), 0, "that was quick");
        pace.stepped(1_000, 1_090);
        assert_eq!(pace.rests_until(), 1_090 + 360);
    }

    #[test]
    fn no_rest_is_longer_than_a_minute() {
        let mut pace = Pace::default();
        // The machine slept in the middle of a step.
        pace.stepped(1_000, 7_200_000);
        assert_eq!(pace.rests_until(), 7_260_000);
        pace.stepped(7_260_000, 7_260_001);
        assert!(pace.rests_until() <= 7_260_010, "{}", pace.rests_until());
    }

    #[test]
    fn steps_that_are_never_long_have_a_fifth_of_the_time_together() {
        let (mut pace, mut now, mut busy) = (Pace::default(), 1_000, 0);
        while now < 61_000 {
            let began = now.max(pace.rests_until());
            now = began + 4;
            busy += 4;
            pace.stepped(began, now);
        }
        assert!((12_000..=12_600).contains(&busy), "{busy} of 60000 ms");
    }

    #[test]
    fn a_flood_of_requests_ends_after_a_few_and_one_more_goes_out_each_second() {
        let mut pace = Pace::default();
        for kind in [Kind::Send, Kind::Assertion, Kind::Sign] {
            let mut allowed = |now| (0..1_000).filter(|_| pace.allows(kind, now)).count();
            assert_eq!([5_000, 5_999, 6_000, 600_000].map(&mut allowed), [32, 0, 1, 32], "{kind:?}");
        }
    }

    #[test]
    fn a_flood_at_the_store_and_of_journals_ends_and_four_more_are_taken_each_second() {
        let mut pace = Pace::default();
        for kind in [Kind::Load, Kind::Swap] {
            let mut allowed = |now| (0..1_000).filter(|_| pace.allows(kind, now)).count();
            assert_eq!([5_000, 5_249, 6_000, 600_000].map(&mut allowed), [256, 0, 4, 256], "{kind:?}");
        }
        let mut kept = |now| (0..1_000).filter(|_| pace.journal(now)).count();
        assert_eq!([5_000, 5_249, 6_000, 600_000].map(&mut kept), [256, 0, 4, 256]);
    }

    #[test]
    fn a_component_that_asks_for_one_thing_after_another_rests_in_between() {
        let mut pace = Pace::default();
        let quick = (0..10_000).take_while(|_| {
            pace.handed_over(5_000);
            pace.rests_until() <= 5_000
        });
        assert_eq!(quick.count(), 2_500);
        assert_eq!(pace.rests_until(), 5_001);
    }

    #[test]
    fn of_a_flood_of_notes_a_few_are_logged() {
        let mut pace = Pace::default();
        assert_eq!(pace.notes(64, 0), 64);
        assert_eq!(pace.notes(1_000, 0), 192);
        assert_eq!(pace.notes(10, 500), 2);
    }
}
