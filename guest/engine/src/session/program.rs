//! Getting the access token from the embedding program.

use super::attempt::Trouble;
use super::{Plan, Session, only};
use crate::LOGINS;
use crate::answer::{self, Pause};
use crate::configuration::Bearer;
use crate::contract::{FailureCode, NoteCode, NoteLevel, Outcome, Standing, SuppliedToken};
use crate::id_of;
use crate::identity_token::expiry_of_jwt;
use crate::tokens::{From, Offer, Unfit};

impl Session {
    pub(super) fn token_supplied(&mut self, outcome: Outcome) {
        if LOGINS && matches!(self.plan, Plan::Bearer(Bearer::Login(_))) {
            return self.login_answered(outcome);
        }
        self.attempt.stop();
        let why = match outcome {
            Outcome::Token(token) => match self.take_supplied(token) {
                Ok(()) => return,
                Err(what) => what.to_owned(),
            },
            Outcome::Failed(why) | Outcome::Denied(why) => self.foreign(&why),
            Outcome::Absent => "it has none".to_owned(),
            Outcome::Unsupported => "this host does not call for access tokens".to_owned(),
            _ => "it did not answer".to_owned(),
        };
        self.attempt.pause(Pause::Transient, self.time.now(), &mut self.random);
        let retry_at = self.attempt.pace().retry_at;
        self.attempt.look_at(retry_at);
        let message = format!("The program's own source of the access token failed: {why}.");
        self.out.note(NoteCode::ExchangeFailed, NoteLevel::Warning, &message, Vec::new());
        let action = "Mend the callable that supplies the access token.";
        self.attempt.fail(Trouble::new(FailureCode::TokenSourceFailed, message, action, Some(retry_at)));
    }

    fn take_supplied(&mut self, token: SuppliedToken) -> Result<(), &'static str> {
        answer::check_token(token.value.reveal())?;
        let (now, wall_ms) = (self.time.now(), self.time.wall_ms());
        let id = id_of(token.value.reveal());
        match token.expires_at_ms.or_else(|| expiry_of_jwt(token.value.reveal())) {
            Some(expires) => {
                let lifetime_ms = expires.saturating_sub(wall_ms);
                let expires = now + lifetime_ms;
                let offer = Offer { value: token.value, lifetime_ms, expires, standing: Standing::Good, from: From::Program };
                self.tokens.offer(offer, self.known.rejections(), now, &mut self.random).map_err(why_not)?;
            }
            None if self.known.rejections().contains(&id) => return Err(why_not(Unfit::Rejected)),
            None => {
                // Nobody knows how long it lives: every request asks.
                self.tokens.pass(token.value);
                self.wanted = false;
            }
        }
        self.known.change();
        let message = "The program supplied an access token.";
        self.out.note(NoteCode::TokenSupplied, NoteLevel::Info, message, only("token", &id));
        self.attempt.succeeded();
        self.attempt.look_at(now);
        Ok(())
    }
}

fn why_not(unfit: Unfit) -> &'static str {
    match unfit {
        Unfit::Rejected => "it gave again the token that the API has rejected",
        Unfit::RanOut | Unfit::NoBetter => "its token has expired",
    }
}
