//! Whose tokens a session keeps. The configuration says where identity tokens come from. Whose they are, their issuer and subject
//! say, and a place may show those of another workload one day. So an access token belongs to both: the configuration and the
//! subject. What an earlier session left waits until the source was read once.

use super::tasks::Role;
use super::{Plan, Session, Trouble, field, only};
use crate::contract::{NoteCode, NoteLevel, Standing};
use crate::hash_of;
use crate::identity_token::About;
use crate::state::{Reading, State, Writer};

/// What is told of an access token of the subject before.
pub(super) const OF_ANOTHER: &str = "The source shows another subject's identity token: the access token is dropped.";

/// Whose tokens a session keeps, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Identity {
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
    state: State,
    /// How its times are read: as of when the configuration was known, for nothing lives longer by waiting.
    reading: Reading,
}

impl Identity {
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

    /// Whether the earlier session's journal holds something that a new one would not.
    pub(super) fn waits(&self) -> bool {
        self.left.is_some()
    }
}

impl Session {
    /// The configuration is known, by this hash. What a session with another one left is dropped.
    pub(super) fn configured(&mut self, configuration: String) {
        if let Some(state) = self.resumed.take() {
            // An earlier version kept this hash alone, as the identity.
            if state.configuration.as_ref().or(state.identity.as_ref()) == Some(&configuration) {
                let reading = Reading::new(self.epoch(), state.written, Writer::Before);
                self.identity.left = Some(Box::new(Left { state: *state, reading }));
            } else {
                self.discard_left();
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
                self.discard_left();
                // What the endpoint asked for, it asked of everybody.
                self.resume_pace(&left);
                self.forgive();
            }
            None => match self.identity.key.take().or(self.identity.assumed.take()) {
                Some(before) if before != key => self.leave_identity(),
                // The source can be read again.
                Some(_) if self.pace.retry_at.max(self.pace.floor) <= self.now => self.failure = None,
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
        let Left { state, reading } = left;
        self.pace = state.pace.revive(*reading, state.tried.clone());
        // Callers are answered at once during a pause that an earlier session began, and told why.
        let until = self.pace.retry_at.max(self.pace.floor);
        let failure = state.failure.clone().filter(|_| until > self.now);
        self.failure = failure.map(|failure| Trouble { failure, until: Some(until), rotation: None });
    }

    #[inline(never)]
    fn take_over(&mut self, left: Box<Left>) {
        self.resume_pace(&left);
        let Left { state, reading } = *left;
        self.ends = state.ends.revive(reading);
        self.rejections = state.rejections.revive(reading);
        let held = state.token.map(|token| token.revive(reading, &mut self.ends, &mut self.random));
        self.held = held.filter(|held| held.usable_at(self.now));
        if let Some(held) = self.held.as_mut().filter(|held| self.rejections.contains(&held.id)) {
            held.standing = Standing::Suspect;
        }
        let token = self.held.as_ref().map(|held| field("token", &held.id));
        let message = "The state of an earlier session was taken over.";
        self.note(NoteCode::Resumed, NoteLevel::Info, message, token.into_iter().collect());
    }

    fn discard_left(&mut self) {
        let message = "The earlier session had another identity: its token is dropped, and what it spent stays spent.";
        self.note(NoteCode::Resumed, NoteLevel::Info, message, Vec::new());
        self.changed = true;
    }

    /// The source shows the identity tokens of somebody else. What is held and what went wrong was of the one before; the ledger
    /// is everybody's.
    fn leave_identity(&mut self) {
        if let Some(held) = self.held.take() {
            self.note(NoteCode::TokenUnusable, NoteLevel::Warning, OF_ANOTHER, only("token", &held.id));
        }
        self.rejections.lift_the_stop();
        self.forgive();
        self.abandoned.extend(self.tasks.forget(|role| matches!(role, Role::Load | Role::Lease | Role::Write)));
        if let Some(share) = &mut self.share {
            share.leave();
        }
        self.changed = true;
    }
}
