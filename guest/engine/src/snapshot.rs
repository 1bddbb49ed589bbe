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
