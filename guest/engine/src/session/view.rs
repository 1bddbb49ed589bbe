//! What it all means for callers, and for people who look.

use super::attempt::{Trouble, Work};
use super::sharing::Share;
use super::{Plan, Session};
use crate::configuration::Bearer;
use crate::contract::{
    Access, Capability, Disposition, Failure, IdentityTokenStatus, Output, PendingReason, Progress, Standing, State, Status,
    TokenStatus, Usable,
};
use crate::held::Held;
use crate::timeline::Moment;

/// The longest time that an output asks a host to sleep: a day, in milliseconds.
const MAX_WAKE_MS: u64 = 86_400_000;

impl Session {
    pub(super) fn output(&mut self) -> Output {
        let access = self.access();
        self.tokens.passed_on();
        // What waits to be taken over stands in the journal that is there.
        let keeps = !self.closing && self.identity.configuration().is_some() && !self.identity.waits();
        let journal = self.known.take_change(keeps).then(|| self.state_document(self.known.ledger(), None));
        let journal = journal.or_else(|| if self.closing { None } else { self.rewritten() });
        let discovering = matches!(self.plan, Plan::Discovering(_));
        let resting = self.attempt.resting() && !discovering && !self.login_is_unsaved();
        let progress = if resting { Progress::Resting } else { Progress::Underway };
        let (tasks, abandon, notes) = self.out.take_all();
        Output {
            access,
            progress,
            wait_at_most_ms: self.configuration.wait_at_most_ms,
            tasks,
            abandon,
            wake_in_ms: self.next_wake().map(|at| u32::try_from((at - self.time.now()).min(MAX_WAKE_MS)).unwrap_or(u32::MAX)),
            journal,
            notes,
        }
    }

    fn access(&self) -> Access {
        if let Some(held) = self.tokens.held() {
            return Access::Usable(self.usable(held));
        }
        if let Some(passing) = self.tokens.passing() {
            let usable = self.usable(passing);
            return Access::Usable(Usable { refresh_in_ms: Some(0), hold_in_ms: Some(0), unusable_in_ms: Some(0), ..usable });
        }
        if self.closing {
            return Access::Closed;
        }
        if let Some(reason) = self.pending_reason() {
            return Access::Pending(reason);
        }
        match self.attempt.failure() {
            Some(trouble) => Access::Failed(failure_at(trouble, self.time.now())),
            None if !self.wanted => Access::Idle,
            // A very short life ended before the next exchange may begin: it begins within seconds.
            None => Access::Pending(PendingReason::ReadingIdentityToken),
        }
    }

    fn usable(&self, held: &Held) -> Usable {
        let until = |moment: Moment| moment - self.time.now();
        let life = held.life;
        let refresh_in_ms = self.refresh_at(held).map(until);
        let hold_in_ms = match held.standing {
            // Callers wait for what runs to replace a rejected token; with nothing running they are served at once.
            Standing::Suspect if !self.attempt.resting() => Some(0),
            _ => life.map(|life| until(life.hold)),
        };
        Usable {
            id: held.id.clone(),
            origin: self.base_url.origin().to_owned(),
            set: match &self.plan {
                Plan::Bearer(Bearer::Login(login)) => held.set().into_iter().chain(login.header()).collect(),
                _ => held.set(),
            },
            merge: held.merge(),
            refresh_in_ms,
            hold_in_ms,
            unusable_in_ms: life.map(|life| until(life.unusable)),
            standing: held.standing,
        }
    }

    /// From when on a `needed` does something.
    fn refresh_at(&self, held: &Held) -> Option<Moment> {
        if !self.wanted {
            return held.life.map(|life| life.refresh.max(self.time.now()));
        }
        let due = self.due_at();
        if due > self.time.now() {
            return (due != Moment::NEVER).then_some(due);
        }
        // A refresh is due, and runs or waits: the next thing to do is what the session would be woken for.
        self.next_action().map(|at| at.max(self.time.now() + 1))
    }

    /// What the session does next by itself, apart from letting the token run out.
    fn next_action(&self) -> Option<Moment> {
        if self.closing {
            return None;
        }
        let vanish = self.can.contains(&Capability::OwnersVanish);
        let resting = match (&self.plan, self.attempt.work()) {
            (Plan::Unconfigured(at), _) => Some(*at),
            (_, Work::Following { poll_at }) => Some(*poll_at),
            (_, Work::Resting) => Some(self.next_look()).filter(|at| *at != Moment::NEVER),
            _ => None,
        };
        let stands = self.identity.key().is_some() && !self.store_is_asked();
        let share = self.share.as_deref().filter(|_| stands).and_then(Share::next_act);
        resting.into_iter().chain(share).chain(self.out.next_end(vanish)).min()
    }

    fn next_wake(&self) -> Option<Moment> {
        let unusable = self.tokens.held().and_then(|held| held.life).map(|life| life.unusable);
        let next = self.next_action().into_iter().chain(unusable).min()?;
        // What is due now was begun in this very step, or waits for something else.
        Some(next.max(self.time.now() + 1))
    }

    fn pending_reason(&self) -> Option<PendingReason> {
        if matches!(self.plan, Plan::Unopened | Plan::Discovering(_)) {
            return Some(PendingReason::Discovering);
        }
        match self.attempt.work() {
            Work::Resting => None,
            Work::Loading(_) | Work::Leasing(_) => Some(PendingReason::ReadingStore),
            Work::Reading(_) => Some(PendingReason::ReadingIdentityToken),
            Work::Following { .. } => Some(PendingReason::WaitingForLease),
            Work::Sending(_) => Some(PendingReason::Exchanging),
            Work::Asking => Some(PendingReason::AskingForToken),
        }
    }

    pub(super) fn status_at(&self, now: Moment, wall_ms: u64) -> Status {
        let held = self.tokens.held().filter(|held| held.usable_at(now));
        let (state, summary) = self.state(held.is_some());
        let (next, next_at) = self.next(held, now);
        Status {
            state,
            summary: summary.to_owned(),
            configuration: self.describe(),
            token: held.map(|held| TokenStatus {
                id: held.id.clone(),
                origin: self.base_url.origin().to_owned(),
                standing: held.standing,
                lifetime_ms: held.life.map(|life| life.lifetime),
                refresh_in_ms: held.life.map(|life| life.refresh - now),
                unusable_in_ms: held.life.map(|life| life.unusable - now),
            }),
            identity_token: self.identity_token_status(wall_ms),
            next: next.to_owned(),
            next_in_ms: next_at.map(|at| at - now),
            failure: self.attempt.failure().map(|trouble| failure_at(trouble, now)),
            warnings: self.figures.warnings.iter().map(|warning| warning.text.clone()).collect(),
            exchanges_started: self.figures.started,
            exchanges_succeeded: self.figures.succeeded,
            clock_skew_ms: self.figures.clock_skew_ms,
        }
    }

    fn state(&self, usable: bool) -> (State, &'static str) {
        if self.closing {
            return (State::Closed, "The session is closing.");
        }
        if matches!(self.plan, Plan::Unopened | Plan::Discovering(_)) {
            return (State::Discovering, "Variables and profiles are being read.");
        }
        match (usable, self.attempt.resting(), self.attempt.failure()) {
            (true, false, _) => (State::Refreshing, "There is an access token, and the next one is being fetched."),
            (false, false, _) => (State::Starting, "There is no access token yet, and one is being fetched."),
            (_, true, Some(_)) if self.attempt.waits() => (
                State::WaitingForRotation,
                "The identity token was exchanged and can be exchanged once: its owner must rotate it.",
            ),
            (true, true, Some(_)) => (State::Retrying, "There is an access token; the last refresh failed and is repeated."),
            (false, true, Some(_)) => (State::Failed, "There is no access token, and the last try failed."),
            (true, true, None) => (State::Serving, "There is an access token."),
            (false, true, None) if self.wanted => {
                (State::Starting, "There is no access token yet; the next exchange begins within seconds.")
            }
            (false, true, None) => (State::Idle, "Nobody has asked for an access token yet."),
        }
    }

    fn next(&self, held: Option<&Held>, now: Moment) -> (&'static str, Option<Moment>) {
        let at = self.next_action().map(|at| at.max(now));
        match (&self.plan, self.attempt.work()) {
            _ if self.closing => ("nothing", None),
            (Plan::Unopened, _) => ("the configuration is looked for", Some(now)),
            (Plan::Discovering(_), _) => ("the variables and profiles arrive", None),
            (Plan::Unconfigured(at), _) => ("the configuration is looked for again", Some(*at)),
            (Plan::Bearer(Bearer::Literal(_) | Bearer::LongLived(_) | Bearer::ApiKey { .. }), _) => {
                ("nothing: it is served as it is", None)
            }
            (_, Work::Sending(_)) => ("the token endpoint answers", None),
            (_, Work::Following { .. }) => ("the store is looked at again", at),
            (_, Work::Resting) if !self.wanted => ("the first caller asks", None),
            (_, Work::Resting) if self.attempt.waits() => ("the source of the identity token is looked at again", at),
            (_, Work::Resting) if self.attempt.failure().is_some() => ("it is tried again", at),
            (_, Work::Resting) if held.is_some() => ("the access token is refreshed", at),
            (_, Work::Resting) => ("an access token is fetched", at),
            _ => ("the source answers", None),
        }
    }

    fn identity_token_status(&self, wall_ms: u64) -> Option<IdentityTokenStatus> {
        let seen = self.known.seen()?;
        let known = self.known.ledger().disposition(&seen.id);
        let reusable = known == Disposition::Unspent && !seen.has_jti;
        Some(IdentityTokenStatus {
            id: seen.id.clone(),
            issuer: seen.issuer.clone(),
            subject: seen.subject.clone(),
            audience: seen.audience.clone(),
            expires_in_ms: seen.expires_at_ms.checked_sub(wall_ms).filter(|left| *left > 0),
            disposition: if reusable { Disposition::Reusable } else { known },
        })
    }
}

fn failure_at(trouble: &Trouble, now: Moment) -> Failure {
    let until = |moment: Moment| moment - now;
    Failure { retry_in_ms: trouble.until.map(until), rotation_in_ms: trouble.rotation.map(until), ..trouble.failure.clone() }
}
