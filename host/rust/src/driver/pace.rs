//! How much of the host's time, log and network a component may take. One that is well takes a thousandth of it.

/// After a step that took so long or longer, in milliseconds, the component rests.
const LONG_MS: u64 = 5;

/// It rests so many times as long as the step took: it has the thread, which callers may share, for a fifth of the time.
const REST: u64 = 4;

/// So many notes are logged at once, and then one for each pause.
const NOTES: Allowance = Allowance { at_once: 256, pause_ms: 250 };

/// So many requests go out at once, and then one for each pause. A session sends one in five seconds.
const REQUESTS: Allowance = Allowance { at_once: 32, pause_ms: 1_000 };

/// What a driver keeps account of. All times are of the steady clock, in milliseconds.
pub(super) struct Pace {
    rests_until: u64,
    notes: Account,
    requests: Account,
}

impl Default for Pace {
    fn default() -> Self {
        Self { rests_until: 0, notes: Account::new(NOTES), requests: Account::new(REQUESTS) }
    }
}

impl Pace {
    /// A step began and ended.
    pub(super) fn stepped(&mut self, began: u64, ended: u64) {
        let took = ended.saturating_sub(began);
        if took >= LONG_MS {
            self.rests_until = ended.saturating_add(took.saturating_mul(REST));
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

    /// Whether another request may go out.
    pub(super) fn request(&mut self, now: u64) -> bool {
        self.requests.spend(now)
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
    fn a_flood_of_requests_ends_after_a_few_and_one_more_goes_out_each_second() {
        let mut pace = Pace::default();
        assert_eq!((0..1_000).filter(|_| pace.request(5_000)).count(), 32);
        assert_eq!((0..1_000).filter(|_| pace.request(5_999)).count(), 0);
        assert_eq!((0..1_000).filter(|_| pace.request(6_000)).count(), 1);
        assert_eq!((0..1_000).filter(|_| pace.request(600_000)).count(), 32);
    }

    #[test]
    fn of_a_flood_of_notes_a_few_are_logged() {
        let mut pace = Pace::default();
        assert_eq!(pace.notes(64, 0), 64);
        assert_eq!(pace.notes(1_000, 0), 192);
        assert_eq!(pace.notes(10, 500), 2);
    }
}
