//! What is known: which identity tokens were sent, which tokens the API has rejected, and what the source showed last. With the
//! token and the pace it is what the journal holds, so it also knows when that is due.

use crate::contract::Disposition;
use crate::identity_token::About;
use crate::ledger::Ledger;
use crate::rejections::Rejections;
use crate::timeline::Moment;

/// Nothing else changes the ledger and the rejections.
#[derive(Debug, Default)]
pub(super) struct Known {
    ledger: Ledger,
    rejections: Rejections,
    /// The identity token that the source showed last.
    seen: Option<About>,
    /// There was an earlier session, and nothing is left of what it knew.
    lost_before: bool,
    /// The journal is older than what is known.
    changed: bool,
}

/// An identity token, beside those that were seen before it.
pub(super) struct Sight {
    pub(super) first: bool,
    pub(super) rotated: bool,
}

impl Known {
    pub(super) fn new(ledger: Ledger, lost_before: bool) -> Self {
        Self { ledger, lost_before, ..Self::default() }
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(super) fn rejections(&self) -> &Rejections {
        &self.rejections
    }

    pub(super) fn seen(&self) -> Option<&About> {
        self.seen.as_ref()
    }

    /// A shared identity token that can be exchanged once. Where an earlier session is forgotten, it may have sent the first one.
    pub(super) fn doubt(&mut self, about: &About) {
        if core::mem::take(&mut self.lost_before) {
            self.mark(&about.id, Disposition::Uncertain, about.expires_at_ms);
        }
    }

    pub(super) fn mark(&mut self, id: &str, disposition: Disposition, expires_at_ms: u64) {
        self.ledger.mark(id, disposition, expires_at_ms);
    }

    /// From here until an answer says otherwise nobody knows whether it was exchanged; the journal must say so, too.
    pub(super) fn sending(&mut self, about: &About) {
        self.ledger.forget_expired(about.issued_at_ms);
        self.mark(&about.id, Disposition::Uncertain, about.expires_at_ms);
    }

    /// Notes what the source shows.
    pub(super) fn record(&mut self, about: &About) -> Sight {
        let before = self.seen.replace(about.clone());
        Sight { first: before.is_none(), rotated: before.is_some_and(|seen| seen.id != about.id) }
    }

    /// Notes a rejection. Whether forced exchanges stop with it.
    pub(super) fn reject(&mut self, id: &str, now: Moment) -> bool {
        self.changed = true;
        self.rejections.add(id, now)
    }

    /// What is known of the tokens of one identity stops no exchange for another.
    pub(super) fn lift_the_stop(&mut self) {
        self.rejections.lift_the_stop();
    }

    /// Takes over what an earlier session knew of rejections.
    pub(super) fn resume(&mut self, rejections: Rejections) {
        self.rejections = rejections;
    }

    /// Takes over what another session knows.
    pub(super) fn merge(&mut self, ledger: &Ledger, rejections: Rejections) {
        let news = self.ledger.merge(ledger);
        self.changed |= self.rejections.merge(rejections) || news;
    }

    /// Something that the journal holds has changed.
    pub(super) fn change(&mut self) {
        self.changed = true;
    }

    /// Whether the journal is due, where one can be kept. Then it is written now.
    pub(super) fn take_change(&mut self, keeps: bool) -> bool {
        let due = self.changed && keeps;
        self.changed &= !due;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The journal is due with the first word of either, and with nothing that was known.
    #[test]
    fn what_another_session_knows_of_either_kind_is_written_once() {
        let (mut ledger, mut rejections) = (Ledger::default(), Rejections::default());
        ledger.mark("identity", Disposition::Spent, 10);
        rejections.add("token", Moment::default());
        let mut known = Known::default();
        known.merge(&ledger, Rejections::default());
        assert!(known.take_change(true), "of an identity token");
        known.merge(&ledger, rejections.clone());
        assert!(known.take_change(true), "of a rejection");
        known.merge(&ledger, rejections.clone());
        assert!(!known.take_change(true), "nothing is new");
        known.change();
        known.merge(&ledger, rejections);
        assert!(known.take_change(true), "what is due stays due");
    }
}
