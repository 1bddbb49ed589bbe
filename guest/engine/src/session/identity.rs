//! Whose tokens a session keeps. The configuration says where identity tokens come from. Whose they are, their issuer and subject
//! say, and a place may show those of another workload one day. So an access token belongs to both: the configuration and the
//! subject. What an earlier session left waits until the source was read once.

use super::outgoing::Role;
use super::{Plan, Session, field, only};
use crate::contract::{NoteCode, NoteLevel};
use crate::held::Held;
use crate::identity_token::About;
use crate::state::{Document, SavedState};
use crate::timeline::{Reading, Writer};
use crate::tokens::{From, Offer};
use crate::{Secret, hash_of};

/// What is told of an access token of the subject before.
pub(super) const OF_ANOTHER: &str = "The source shows another subject's identity token: the access token is dropped.";

/// Whose tokens a session keeps, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Identity {
    /// What an earlier session left, until it is known whether its configuration was the same.
    resumed: Option<Box<SavedState>>,
    /// A hash over the configuration; none until discovery is done.
    configuration: Option<String>,
    /// The key of the entry: a hash over the configuration, the issuer and the subject. None until all are known.
    key: Option<String>,
    /// The key of the earlier session whose token is served while the source cannot be read.
    assumed: Option<String>,
    /// What an earlier session left, until it is known whose it is.
    left: Option<Box<Left>>,
}

/// What an earlier session with this configuration left.
#[derive(Debug)]
struct Left {
    state: SavedState,
    /// How its times are read: as of when the configuration was known, for nothing lives longer by waiting.
    reading: Reading,
    /// It was written before a boot, and stands so in the journal still. Once this boot has lasted as long, nobody could tell.
    of_another_boot: bool,
}

impl Identity {
    /// After an earlier session, which left this.
    pub(super) fn after(resumed: Option<Box<SavedState>>) -> Self {
        Self { resumed, ..Self::default() }
    }

    pub(super) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    pub(super) fn configuration(&self) -> Option<&str> {
        self.configuration.as_deref()
    }

    /// Whose the token is that is held.
    pub(super) fn owner(&self) -> Option<&str> {
        self.key.as_deref().or(self.assumed.as_deref())
    }

    /// Whether the earlier session's journal holds what a new one would not.
    pub(super) fn waits(&self) -> bool {
        self.left.is_some()
    }
}

impl Session {
    /// The configuration is known, by this hash. What a session with another one left is dropped.
    pub(super) fn configured(&mut self, configuration: String) {
        if let Some(state) = self.identity.resumed.take() {
            // An earlier version kept this hash alone, as the identity.
            let same = state.configuration.as_ref().or(state.identity.as_ref()) == Some(&configuration);
            let epoch = self.time.epoch();
            let reading = Reading::new(epoch, state.written, Writer::Before);
            let of_another_boot = matches!((state.written.steady_ms, epoch.steady_ms), (Some(then), Some(now)) if now < then);
            let left = Left { state: *state, reading, of_another_boot };
            if same {
                self.identity.left = Some(Box::new(left));
            } else {
                self.discard(left);
            }
        }
        let shown = self.federation().is_some_and(|federation| !federation.identity_token.names_its_subject());
        if !shown {
            self.identify(configuration.clone());
        }
        self.identity.configuration = Some(configuration);
    }

    /// The key of the identity that an identity token of the source belongs to.
    pub(super) fn key_of(&self, about: &About) -> Option<String> {
        let Plan::Federation(federation) = &self.plan else { return None };
        let configuration = self.identity.configuration()?;
        if federation.identity_token.names_its_subject() {
            return Some(configuration.to_owned());
        }
        Some(hash_of(&[Some(configuration), Some(&about.whose)]))
    }

    /// The source shows this identity token. Whether it is news whose it is.
    pub(super) fn learn(&mut self, about: &About) -> bool {
        let Some(key) = self.key_of(about).filter(|key| self.identity.key() != Some(key)) else { return false };
        self.identify(key);
        true
    }

    fn identify(&mut self, key: String) {
        match self.identity.left.take() {
            // An earlier version did not say whose its token was.
            Some(left) if left.state.configuration.is_none() || left.state.identity.as_ref() == Some(&key) => {
                self.take_over(left);
            }
            Some(left) => {
                // What the endpoint asked for, it asked of everybody.
                self.resume_pace(&left);
                self.discard(*left);
                self.attempt.forgive(self.time.now());
            }
            None => match self.identity.key.take().or(self.identity.assumed.take()) {
                Some(before) if before != key => self.leave_identity(),
                // The source can be read again.
                Some(_) if self.attempt.retry_at() <= self.time.now() => self.attempt.recovered(),
                _ => {}
            },
        }
        self.identity.assumed = None;
        self.identity.key = Some(key);
    }

    /// The source cannot be read. What an earlier session left is served until it shows whose identity tokens it has.
    pub(super) fn assume(&mut self) {
        if let Some(left) = self.identity.left.take() {
            if left.state.configuration.is_some() {
                self.identity.assumed.clone_from(&left.state.identity);
            }
            self.take_over(left);
        }
    }

    #[inline(never)]
    fn resume_pace(&mut self, left: &Left) {
        let Left { state, reading, .. } = left;
        let pace = state.pace.revive(*reading, state.tried.clone());
        self.attempt.resume(pace, state.failure.clone(), self.time.now());
    }

    #[inline(never)]
    fn take_over(&mut self, left: Box<Left>) {
        self.resume_pace(&left);
        let Left { state, reading, of_another_boot } = *left;
        if of_another_boot {
            self.known.change();
        }
        self.tokens.resume(state.ends.revive(reading));
        self.known.resume(state.rejections.revive(reading));
        if let Some(token) = state.token {
            let offer = token.offer(reading, From::Journal);
            // One that has run out is as good as none.
            let _ = self.tokens.offer(offer, self.known.rejections(), self.time.now(), &mut self.random);
        }
        let token = self.tokens.held().map(|held| field("token", &held.id));
        let message = "The state of an earlier session was taken over.";
        self.out.note(NoteCode::Resumed, NoteLevel::Info, message, token.into_iter().collect());
    }

    /// *Secret.* What waits to be taken over, as a journal of this boot; nothing if it stands in one.
    pub(super) fn rewritten(&mut self) -> Option<Secret> {
        let left = self.identity.left.as_mut().filter(|left| left.of_another_boot)?;
        left.of_another_boot = false;
        let Left { state, reading, .. } = &**left;
        let held = state.token.clone().map(|token| {
            let Offer { value, lifetime_ms, expires, standing, .. } = token.offer(*reading, From::Journal);
            Held { standing, ..Held::until(value, lifetime_ms, expires, &mut self.random.clone()) }
        });
        let document = Document {
            configuration: state.configuration.as_deref(),
            identity: state.identity.as_deref(),
            held: held.as_ref(),
            ends: Some(&state.ends.clone().revive(*reading)),
            pace: &state.pace.revive(*reading, state.tried.clone()),
            failure: state.failure.as_ref(),
            ledger: self.known.ledger(),
            rejections: &state.rejections.clone().revive(*reading),
            lease: None,
        };
        Some(document.write(self.time.epoch()))
    }

    fn discard(&mut self, left: Left) {
        let Left { state, reading, .. } = left;
        // The first identity may come back, and find its token in a store: it ends when it ends.
        self.tokens.resume(state.ends.revive(reading));
        // What was rejected stays rejected, for its token may be given out again. A token that a
        // program or a person brings may be good at another origin than the one that rejected it.
        if matches!(self.plan, Plan::Federation(_)) {
            self.known.resume(state.rejections.revive(reading));
            self.known.lift_the_stop();
        }
        let message = "The earlier session had another identity: its token is dropped, and what it spent stays spent.";
        self.out.note(NoteCode::Resumed, NoteLevel::Info, message, Vec::new());
        self.known.change();
    }

    /// The source shows the identity tokens of somebody else. What is held and what went wrong was of the one before; the ledger
    /// is everybody's.
    fn leave_identity(&mut self) {
        if let Some(id) = self.tokens.discard() {
            self.out.note(NoteCode::TokenUnusable, NoteLevel::Warning, OF_ANOTHER, only("token", &id));
        }
        self.known.lift_the_stop();
        self.attempt.forgive(self.time.now());
        self.out.forget(|role| matches!(role, Role::Load | Role::Lease | Role::Write));
        if let Some(share) = &mut self.share {
            share.leave();
        }
        self.known.change();
    }
}
