//! The access tokens of a session: which is served, and why another one is not. Nothing else replaces, suspects or drops one.

use crate::Secret;
use crate::contract::Standing;
use crate::held::{Ends, Held, Scheme};
use crate::id_of;
use crate::rejections::Rejections;
use crate::schedule::Random;
use crate::timeline::Moment;

/// The tokens that are known to be there.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    held: Option<Held>,
    ends: Ends,
    /// A token of unknown expiry: it serves the callers that this step wakes.
    passing: Option<Box<Held>>,
    /// The id of the last token of unknown life, which was passed on and not kept.
    passed: Option<String>,
}

/// A bearer token that could be served.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) value: Secret,
    pub(crate) lifetime_ms: u64,
    pub(crate) expires: Moment,
    pub(crate) standing: Standing,
    pub(crate) from: From,
}

/// Who offers a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// The token endpoint, which has just issued it.
    Endpoint,
    /// The embedding program, which gives what it has.
    Program,
    /// The entry of the sessions that share a store.
    Entry,
    /// The credentials file of a person's login.
    File,
    /// The journal of an earlier session.
    Journal,
}

/// Why an offered token is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// The API has rejected it.
    Rejected,
    RanOut,
    /// The one that is held serves as long, or it is this very one.
    NoBetter,
}

/// What a rejection is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// The token that is held.
    Held,
    /// The last token of unknown life.
    Passed,
}

impl Tokens {
    /// The token that is served.
    pub(crate) fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }

    /// The token for the callers of this step alone.
    pub(crate) fn passing(&self) -> Option<&Held> {
        self.passing.as_deref()
    }

    pub(crate) fn ends(&self) -> &Ends {
        &self.ends
    }

    /// The values that nobody may read in a text.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.held.iter().chain(self.passing.as_deref()).map(|held| held.value.reveal())
    }

    /// The token that whoever supplies one must not give again, by id.
    pub(crate) fn id_of_rejected<'a>(&'a self, rejections: &Rejections) -> Option<&'a String> {
        let suspect = self.held.as_ref().filter(|held| held.standing == Standing::Suspect).map(|held| &held.id);
        suspect.or(self.passed.as_ref().filter(|id| rejections.contains(id)))
    }

    /// Serves this token from here on, or says why not.
    pub(crate) fn offer(
        &mut self,
        offer: Offer,
        rejections: &Rejections,
        now: Moment,
        random: &mut Random,
    ) -> Result<&Held, Unfit> {
        let Offer { value, lifetime_ms, expires, standing, from } = offer;
        let rejected = rejections.contains(&id_of(value.reveal()));
        // Of two that are of no use, the one that is there stays.
        if rejected && (matches!(from, From::Program | From::File) || from == From::Entry && self.held.is_some()) {
            return Err(Unfit::Rejected);
        }
        let mut new = Held::until(value, lifetime_ms, expires, random);
        new.standing = standing;
        match from {
            From::Endpoint | From::Program => self.ends.set(&new.id, expires),
            // What is read never lengthens what is known.
            From::Entry | From::File | From::Journal => new.end_at(self.ends.bound(&new.id, expires)),
        }
        match from {
            // Whoever has no other is served on with it, so that the API's own answer reaches the caller. Of sessions that share a
            // store, the one that came last does as the others do.
            From::Journal | From::Entry if rejected => new.standing = Standing::Suspect,
            From::Endpoint if rejected => {
                if let Some(held) = self.held.as_mut().filter(|held| held.id == new.id && new.usable_at(now)) {
                    // It is no better than before, and lives as long as its issuer says.
                    held.life = new.life;
                }
                return Err(Unfit::Rejected);
            }
            _ => {}
        }
        if !new.usable_at(now) {
            return Err(Unfit::RanOut);
        }
        let better = match (&self.held, from) {
            (None, _) | (_, From::Program | From::Journal) => true,
            (Some(held), From::Endpoint) => held.id == new.id || held.standing == Standing::Suspect || !held.outlives(&new),
            // The file is the truth: another person may have logged in.
            (Some(held), From::File) => held.id != new.id,
            (Some(held), From::Entry) => held.id != new.id && (held.standing == Standing::Suspect || new.outlives(held)),
        };
        if !better {
            return Err(Unfit::NoBetter);
        }
        Ok(self.held.insert(new))
    }

    /// Serves a token of the configuration, which does not expire.
    pub(crate) fn fix(&mut self, value: Secret, scheme: Scheme) {
        self.held = Some(Held::forever(value, scheme));
    }

    /// Serves a token of unknown life to the callers of this step. It is newer than the one that was held.
    pub(crate) fn pass(&mut self, value: Secret) {
        let passing = Held::forever(value, Scheme::Bearer);
        self.passed = Some(passing.id.clone());
        self.passing = Some(Box::new(passing));
        self.held = None;
    }

    /// The callers of this step were served.
    pub(crate) fn passed_on(&mut self) {
        self.passing = None;
    }

    /// The API rejected the token with this id. Which one that is; none, if it is no longer served or was told before.
    pub(crate) fn reject(&mut self, id: &str, rejections: &Rejections) -> Option<Rejected> {
        match &mut self.held {
            Some(held) if held.id == id && held.standing == Standing::Good => {
                held.standing = Standing::Suspect;
                Some(Rejected::Held)
            }
            None if self.passed.as_deref() == Some(id) && !rejections.contains(id) => Some(Rejected::Passed),
            _ => None,
        }
    }

    /// What another session has heard of counts for the token that is held.
    pub(crate) fn heed(&mut self, rejections: &Rejections) {
        if let Some(held) = self.held.as_mut().filter(|held| rejections.contains(&held.id)) {
            held.standing = Standing::Suspect;
        }
    }

    /// Drops the token that is held if it has run out, and says which one that was.
    pub(crate) fn expire(&mut self, now: Moment) -> Option<String> {
        self.held.take_if(|held| !held.usable_at(now)).map(|held| held.id)
    }

    /// Drops the token that is held, and says which one that was.
    pub(crate) fn discard(&mut self) -> Option<String> {
        self.held.take().map(|held| held.id)
    }

    /// Takes over what an earlier session knew of the ends of tokens.
    pub(crate) fn resume(&mut self, ends: Ends) {
        self.ends = ends;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    fn at(ms: u64) -> Moment {
        Moment::default() + ms
    }

    /// A good token of this value, issued for an hour at this moment.
    fn offer(value: &str, issued_ms: u64, from: From) -> Offer {
        let (value, expires) = (Secret::from(value.to_owned()), at(issued_ms + HOUR_MS));
        Offer { value, lifetime_ms: HOUR_MS, expires, standing: Standing::Good, from }
    }

    fn offered(tokens: &mut Tokens, offer: Offer, rejections: &Rejections, now_ms: u64) -> Result<String, Unfit> {
        tokens.offer(offer, rejections, at(now_ms), &mut Random::new(1)).map(|held| held.value.reveal().to_owned())
    }

    fn rejected(value: &str) -> Rejections {
        let mut rejections = Rejections::default();
        rejections.add(&id_of(value), at(0));
        rejections
    }

    #[test]
    fn of_two_that_end_together_the_issuers_is_served_and_the_stores_is_not() {
        let (mut tokens, none) = (Tokens::default(), Rejections::default());
        offered(&mut tokens, offer("first", 0, From::Endpoint), &none, 0).unwrap();
        assert_eq!(offered(&mut tokens, offer("second", 0, From::Entry), &none, 0), Err(Unfit::NoBetter));
        assert_eq!(offered(&mut tokens, offer("second", 0, From::Endpoint), &none, 0), Ok("second".to_owned()));
    }

    /// C8: what the endpoint gives again though the API rejected it says nothing of the token that is held, unless it is that one.
    #[test]
    fn a_rejected_token_that_is_issued_again_lengthens_no_other_and_ends_none() {
        let (mut tokens, rejections) = (Tokens::default(), rejected("first"));
        offered(&mut tokens, offer("second", 0, From::Endpoint), &rejections, 0).unwrap();
        let ends = |tokens: &Tokens| tokens.held().and_then(|held| held.life).map(|life| life.expires);
        assert_eq!(offered(&mut tokens, offer("first", 1_000, From::Endpoint), &rejections, 1_000), Err(Unfit::Rejected));
        assert_eq!(ends(&tokens), Some(at(HOUR_MS)), "it is another's end");
        let rejections = rejected("second");
        let now_ms = HOUR_MS / 2;
        assert_eq!(offered(&mut tokens, offer("second", now_ms, From::Endpoint), &rejections, now_ms), Err(Unfit::Rejected));
        assert_eq!(ends(&tokens), Some(at(now_ms + HOUR_MS)), "its issuer says how long it lives");
        let mut dead = offer("second", 0, From::Endpoint);
        dead.expires = at(now_ms);
        assert_eq!(offered(&mut tokens, dead, &rejections, now_ms), Err(Unfit::Rejected));
        assert_eq!(ends(&tokens), Some(at(now_ms + HOUR_MS)), "one that has run out ends nothing");
    }

    /// C6: with no token held, a rejection is about the one that was passed on last, and it is heard once.
    #[test]
    fn a_rejection_without_a_token_is_of_the_one_that_was_passed_on() {
        let mut tokens = Tokens::default();
        assert_eq!(tokens.reject(&id_of("first"), &Rejections::default()), None);
        tokens.pass(Secret::from("first".to_owned()));
        assert_eq!(tokens.reject(&id_of("another"), &Rejections::default()), None);
        assert_eq!(tokens.reject(&id_of("first"), &Rejections::default()), Some(Rejected::Passed));
        assert_eq!(tokens.reject(&id_of("first"), &rejected("first")), None, "it was told before");
    }
}
