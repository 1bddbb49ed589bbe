//! What callers read of an output, for drivers that contain the engine: by the rules that all hosts in Rust share.

use wif_rules::Snapshot;

use crate::contract::{Access, Failure, Output, PendingReason, Progress, Standing, Usable};

impl wif_rules::Token for Usable {
    fn id(&self) -> &str {
        &self.id
    }

    fn is_good(&self) -> bool {
        self.standing == Standing::Good
    }
}

impl Output {
    /// The same for callers, at this time of the driver's clock, in milliseconds. [`Snapshot::follow`] says
    /// what comes after another.
    #[must_use]
    #[inline]
    pub fn snapshot(&self, at: u64) -> Snapshot<Usable, Failure, PendingReason> {
        let then = |in_ms: Option<u64>| in_ms.map_or(u64::MAX, |ms| at.saturating_add(ms));
        let access = match &self.access {
            Access::Usable(usable) => wif_rules::Access::Usable {
                token: usable.clone(),
                refresh_at: then(usable.refresh_in_ms),
                hold_at: then(usable.hold_in_ms),
                unusable_at: then(usable.unusable_in_ms),
            },
            Access::Pending(reason) => wif_rules::Access::Pending(*reason),
            Access::Failed(failure) => wif_rules::Access::Failed(failure.clone()),
            Access::Idle => wif_rules::Access::Idle,
            Access::Closed => wif_rules::Access::Closed,
        };
        Snapshot {
            at,
            access,
            underway: self.progress == Progress::Underway,
            wait_at_most_ms: u64::from(self.wait_at_most_ms),
            ..Snapshot::before_the_first_step(PendingReason::Discovering)
        }
    }
}

#[cfg(test)]
mod tests {
    use wif_rules::Token as _;

    use super::*;

    fn output(standing: Standing, progress: Progress) -> Output {
        let usable = Usable {
            id: "a".to_owned(),
            origin: String::new(),
            set: Vec::new(),
            merge: Vec::new(),
            refresh_in_ms: Some(10),
            hold_in_ms: Some(20),
            unusable_in_ms: None,
            standing,
        };
        Output {
            access: Access::Usable(usable),
            progress,
            wait_at_most_ms: 7,
            tasks: Vec::new(),
            abandon: Vec::new(),
            wake_in_ms: None,
            journal: None,
            notes: Vec::new(),
        }
    }

    /// An output's times begin with its step. Callers read them on the driver's clock, and what never comes, never comes there.
    #[test]
    fn callers_read_what_the_session_said() {
        let snapshot = output(Standing::Good, Progress::Underway).snapshot(1_000);
        assert_eq!((snapshot.at, snapshot.underway, snapshot.wait_at_most_ms), (1_000, true, 7));
        let wif_rules::Access::Usable { token, refresh_at, hold_at, unusable_at } = snapshot.access else {
            panic!("{:?}", snapshot.access)
        };
        assert_eq!((token.id(), token.is_good()), ("a", true));
        assert_eq!((refresh_at, hold_at, unusable_at), (1_010, 1_020, u64::MAX));
        let snapshot = output(Standing::Suspect, Progress::Resting).snapshot(0);
        assert!(!snapshot.underway);
        assert!(snapshot.usable(0).is_some_and(|token| !token.is_good()), "{:?}", snapshot.access);
    }
}
