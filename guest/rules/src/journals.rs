//! The newest journals of sessions that read identity tokens from the same places. For drivers that hold several sessions, of
//! which one takes another's place: what was spent stays spent, under whatever configuration.

use std::collections::BTreeMap;

/// *Secret.* The newest journal for each place where identity tokens come from, in a driver's own type of secrets.
#[derive(Debug)]
pub struct Journals<Secret> {
    /// By the id of the place: what stands in a configuration may be the token itself.
    newest: BTreeMap<String, (u64, Secret)>,
    sessions: u64,
}

/// So many places are remembered: more than anybody configures in the life of a process.
const PLACES: usize = 64;

/// Where a session's journal is kept.
#[derive(Debug, Clone)]
pub struct Place {
    id: String,
    session: u64,
}

impl<Secret: Clone> Default for Journals<Secret> {
    fn default() -> Self {
        Self::new()
    }
}

impl<Secret: Clone> Journals<Secret> {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { newest: BTreeMap::new(), sessions: 0 }
    }

    /// Where another session keeps its journal, and the one that it resumes. `id`: of the place, a digest of what says where it is,
    /// for that may hold an identity token.
    pub fn open(&mut self, id: String) -> (Place, Option<Secret>) {
        self.sessions += 1;
        let place = Place { id, session: self.sessions };
        let journal = self.newest.get(&place.id).map(|(_, journal)| journal.clone());
        (place, journal)
    }

    /// Keeps a session's newest journal, unless a later one has kept its own: that one knows of what both had spent when it began,
    /// and a session that is on its way out knows nothing of it. What the earlier one spends afterwards is in the store that
    /// sessions of one identity share.
    pub fn keep(&mut self, place: &Place, journal: Secret) {
        match self.newest.get(&place.id) {
            Some((session, _)) if *session > place.session => return,
            None if self.newest.len() >= PLACES => drop(self.newest.pop_first()),
            _ => {}
        }
        self.newest.insert(place.id.clone(), (place.session, journal));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_session_goes_on_from_the_newest_journal_of_its_place() {
        let mut journals = Journals::new();
        let (place, journal) = journals.open("a".to_owned());
        assert_eq!(journal, None);
        journals.keep(&place, "first");
        journals.keep(&place, "second");
        assert_eq!(journals.open("b".to_owned()).1, None);
        assert_eq!(journals.open("a".to_owned()).1, Some("second"));
    }

    /// A6, C14: a configuration that drains beside the one that took its place.
    #[test]
    fn a_session_on_its_way_out_overwrites_nothing() {
        let mut journals = Journals::new();
        let (before, _) = journals.open("a".to_owned());
        journals.keep(&before, "before");
        let (after, _) = journals.open("a".to_owned());
        // Until the later one knows more.
        journals.keep(&before, "before, again");
        journals.keep(&after, "after");
        journals.keep(&before, "late");
        assert_eq!(journals.open("a".to_owned()).1, Some("after"));
    }

    #[test]
    fn places_are_bounded() {
        let mut journals = Journals::new();
        for number in 0..2 * PLACES {
            let (place, _) = journals.open(number.to_string());
            journals.keep(&place, "journal");
        }
        assert_eq!(journals.newest.len(), PLACES);
    }
}
