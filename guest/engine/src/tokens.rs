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
