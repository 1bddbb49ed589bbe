//! Getting a token: from the identity token, over the ledger, to the endpoint, and what its answer changes.

use super::identity::OF_ANOTHER;
use super::source::Asked;
use super::tasks::Role;
use super::{POLL_MS, Plan, Session, field, only};
use crate::answer::{self, Consumption, Denial, Grant, Pause, Verdict};
use crate::configuration::{Bearer, IdentityTokenSource, Reuse};
use crate::contract::{Disposition, FailureCode, NoteCode, NoteLevel, Outcome, Standing, SuppliedToken, Task, TokenRequest};
use crate::held::{Held, Scheme};
use crate::identity_token::{About, IdentityToken, Untimely};
use crate::lint;
use crate::schedule::{MIN_INTERVAL_MS, Windows};
use crate::timeline::Moment;
use crate::{Secret, id_of};

/// More requests than can be out without an answer within the life of one.
const MAX_LATE: usize = 8;

/// What is under way to get a token.
#[derive(Debug)]
pub(super) enum Work {
    Resting,
    /// The store is asked, with an identity token in hand or before the source is read.
    Loading(Option<Box<IdentityToken>>),
    /// The source of the identity token is asked.
    Reading(Asked),
    /// The lease on this identity token is being taken.
    Leasing(Box<IdentityToken>),
    /// Another session has the lease.
    Following {
        poll_at: Moment,
    },
    /// The endpoint is asked.
    Sending(Box<Sent>),
    /// The embedding program is asked for the token itself.
    Asking,
}

/// A request to the endpoint.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) number: u32,
    pub(super) identity: IdentityToken,
    /// What was known of the identity token before.
    pub(super) prior: Disposition,
    at: Moment,
}

impl Session {
    /// Begins what will end in a token.
    pub(super) fn begin(&mut self) {
        match &self.plan {
            Plan::Bearer(Bearer::Callable(name)) => {
                let suspect = self.held.as_ref().filter(|held| held.standing == Standing::Suspect).map(|held| &held.id);
                let rejected = suspect.or(self.passed.as_ref().filter(|id| self.rejections.contains(id)));
                let request = TokenRequest { name: name.clone(), rejected: rejected.cloned() };
                self.work = Work::Asking;
                self.emit(Role::Ask, Task::SupplyToken(request));
            }
            Plan::Federation(_) if self.share.is_some() && self.identity.key().is_some() => self.load(None),
            Plan::Federation(_) => self.read_source(),
            _ => {}
        }
    }

    /// Takes an identity token from the source.
    pub(super) fn take_identity_token(&mut self, content: Secret) {
        let Some(federation) = self.federation() else { return };
        let source = federation.identity_token.describe();
        let shared = federation.identity_token.shared();
        let identity = match IdentityToken::parse(content) {
            Ok(identity) => identity,
            Err(what) => {
                let message = format!("The identity token from {source} {what}.");
                let action = "Check what the source holds: it must be the bare JWT of the workload.";
                return self.source_failed(FailureCode::IdentityTokenMalformed, message, action);
            }
        };
        self.see(&identity.about, shared);
        if self.learn(&identity.about) {
            if !self.due() {
                // An earlier session left a token.
                return self.work = Work::Resting;
            }
            if self.share.is_some() {
                return self.load(Some(Box::new(identity)));
            }
        }
        self.consider(identity);
    }

    /// Decides about an identity token of the identity that the session has.
    pub(super) fn consider(&mut self, identity: IdentityToken) {
        let Some(federation) = self.federation() else { return };
        let source = federation.identity_token.describe();
        let shared = federation.identity_token.shared();
        let single_use = self.single_use(&identity.about);
        if let Err(untimely) = identity.about.check_times(self.wall_ms) {
            return self.untimely(&source, untimely);
        }
        if shared && single_use && self.share.as_ref().is_some_and(|share| share.cache_only) {
            let message =
                format!("The identity token from {source} can be exchanged once, and the store of this host is a cache.");
            let action = "Give the host a store with compare-and-swap, or sessions of their own identity tokens.";
            return self.source_failed(FailureCode::StoreFailed, message, action);
        }
        self.decide(identity);
    }

    /// Exchanges it, unless what is known by now speaks against it.
    pub(super) fn decide(&mut self, identity: IdentityToken) {
        let shared = self.federation().is_some_and(|federation| federation.identity_token.shared());
        let single_use = self.single_use(&identity.about);
        let id = identity.about.id.clone();
        if shared && single_use && core::mem::take(&mut self.lost_before) {
            self.ledger.mark(&id, Disposition::Uncertain, identity.about.expires_at_ms);
        }
        if single_use && self.ledger.disposition(&id) == Disposition::Spent {
            return self.wait_for_rotation(&identity.about);
        }
        let same = self.pace.tried.as_deref() == Some(&id);
        if shared && !same && self.pace.tried.is_some() {
            self.forgive();
        }
        let not_before = if shared { self.pace.retry_at.max(self.pace.floor) } else { self.pace.floor };
        if self.now < not_before {
            self.sleep();
            return;
        }
        self.waiting = None;
        if self.share.as_ref().is_some_and(|share| !share.cache_only) {
            self.take_lease(identity);
        } else {
            self.send(identity);
        }
    }

    /// Another input: what was wrong with the last one says nothing about this one.
    pub(super) fn forgive(&mut self) {
        self.pace.refusals = 0;
        self.pace.retry_at = self.now;
        if self.pace.floor - self.now <= MIN_INTERVAL_MS {
            self.failure = None;
            self.waiting = None;
        }
    }

    fn see(&mut self, about: &About, shared: bool) {
        let rotated = self.seen.as_ref().is_some_and(|seen| seen.id != about.id);
        if shared && rotated {
            let fields = only("identity-token", &about.id);
            self.note(NoteCode::IdentityTokenRotated, NoteLevel::Info, "The source shows another identity token.", fields);
        }
        if self.seen.is_none() || shared && rotated {
            for warning in lint::of_identity_token(about, self.federation().map(|federation| &federation.identity_token)) {
                self.warn(warning);
            }
        }
        self.seen = Some(about.clone());
    }

    fn untimely(&mut self, source: &str, untimely: Untimely) {
        let (code, message, action) = match untimely {
            Untimely::Expired(ago) => (
                FailureCode::IdentityTokenExpired,
                format!("The identity token from {source} expired {} s ago by this machine's clock.", ago / 1000),
                "Check that its owner rotates it, and this machine's clock.",
            ),
            Untimely::NotYetValid(ahead) => (
                FailureCode::IdentityTokenNotYetValid,
                format!("The identity token from {source} is valid only in {} s by this machine's clock.", ahead / 1000),
                "Check this machine's clock and the issuer's.",
            ),
        };
        self.source_failed(code, message, action);
    }

    /// The identity token is spent, and only its owner can help.
    fn wait_for_rotation(&mut self, about: &About) {
        let rotates =
            self.federation().is_some_and(|federation| !matches!(federation.identity_token, IdentityTokenSource::Literal(_)));
        let expected = match about.rotation_expected_ms() {
            rotation if rotation > self.wall_ms => rotation,
            _ => about.expires_at_ms.max(self.wall_ms),
        };
        let source = self.federation().map(|federation| federation.identity_token.describe()).unwrap_or_default();
        let mints = self.federation().is_some_and(|federation| !federation.identity_token.shared());
        let recipe = self.federation().and_then(|federation| federation.identity_token.recipe());
        let keeper = recipe.and_then(|recipe| recipe.repeats.clone());
        let action = if mints {
            "Let the source give another identity token on each call, or configure its freshness as shared."
        } else if rotates {
            "Its owner rotates it. If that comes too late, let access tokens live longer than the time between rotations, or give \
             this process an identity token of its own."
        } else {
            "Restart with a new identity token, and better with one from a file or callable."
        };
        let message = if mints {
            format!("The identity token from {source} can be exchanged once and has been: the source gave the same one again.")
        } else {
            format!("The identity token from {source} can be exchanged once and has been: waiting for another.")
        };
        if self.waiting.as_ref() != Some(&about.id) {
            self.waiting = Some(about.id.clone());
            let mut fields = only("identity-token", &about.id);
            if rotates {
                fields.push(field("rotation-expected-in-s", &((expected - self.wall_ms) / 1000).to_string()));
            }
            self.note(NoteCode::WaitingForRotation, NoteLevel::Warning, &message, fields);
        }
        self.pace.look_at = if mints {
            self.pace.transient(self.now, &mut self.random);
            self.pace.retry_at
        } else if rotates {
            self.now + self.poll_ms()
        } else {
            Moment::NEVER
        };
        // Whoever is told to come again shall find what the next look brought.
        let until = Some(self.pace.look_at).filter(|at| *at != Moment::NEVER);
        self.fail(FailureCode::IdentityTokenSpent, message, keeper.as_deref().unwrap_or(action), until);
        let rotation = (rotates && !mints).then(|| self.now + (expected - self.wall_ms));
        if let Some(trouble) = &mut self.failure {
            trouble.rotation = rotation;
        }
        self.work = Work::Resting;
    }

    /// Sends the request. Where sessions share a store this step has just seen its own lease swapped in.
    pub(super) fn send(&mut self, identity: IdentityToken) {
        let Some(federation) = self.federation() else { return };
        let request = answer::request(&self.base_url, federation, &identity, self.configuration.exchange_timeout_ms);
        let id = identity.about.id.clone();
        let prior = self.ledger.disposition(&id);
        // From here until an answer says otherwise nobody knows whether it was exchanged; the journal must say so, too.
        if self.single_use(&identity.about) {
            self.ledger.forget_expired(identity.about.issued_at_ms);
            self.ledger.mark(&id, Disposition::Uncertain, identity.about.expires_at_ms);
        }
        self.pace.tried = Some(id.clone());
        self.pace.floor = self.now + MIN_INTERVAL_MS;
        self.started = self.started.saturating_add(1);
        self.changed = true;
        let fields = only("identity-token", &id);
        self.note(NoteCode::ExchangeStarted, NoteLevel::Info, "An exchange was started.", fields);
        let number = self.emit(Role::Send, Task::SendRequest(request));
        self.work = Work::Sending(Box::new(Sent { number, identity, prior, at: self.now }));
    }

    /// Whether this identity token can be exchanged once, so that the ledger keeps it: whatever its source is said to be, for
    /// some that are said to mint give the same one again.
    fn single_use(&self, about: &About) -> bool {
        self.federation().is_some_and(|federation| match federation.reuse {
            Reuse::Auto => about.has_jti,
            Reuse::Allow => false,
            Reuse::Deny => true,
        })
    }

    pub(super) fn answered(&mut self, outcome: Outcome) {
        let Work::Sending(sent) = core::mem::replace(&mut self.work, Work::Resting) else { return };
        self.settle_send(*sent, outcome);
    }

    /// The request's time is over. Its answer is still welcome, for the identity token may be spent.
    pub(super) fn abandon_send(&mut self) {
        let Work::Sending(sent) = core::mem::replace(&mut self.work, Work::Resting) else { return };
        self.tasks.take(sent.number);
        let number = sent.number;
        let kept = Sent { number, identity: sent.identity.clone(), prior: sent.prior, at: sent.at };
        self.settle_send(*sent, Outcome::Lost);
        if self.late.len() == MAX_LATE {
            self.late.remove(0);
        }
        self.late.push(kept);
    }

    /// An answer after its time: only a success changes anything.
    pub(super) fn answered_late(&mut self, sent: Sent, outcome: Outcome) {
        let Outcome::Response(response) = &outcome else { return };
        if let Verdict::Granted(_) = answer::read(response, &[], self.wall_ms) {
            // What runs meanwhile with the same identity token can only be refused.
            if matches!(&self.work, Work::Sending(running) if running.identity.about.id == sent.identity.about.id) {
                self.abandon_running();
            }
            self.settle_send(sent, outcome);
        }
    }

    fn abandon_running(&mut self) {
        if let Work::Sending(sent) = core::mem::replace(&mut self.work, Work::Resting) {
            self.tasks.take(sent.number);
            self.abandoned.push(sent.number);
        }
    }

    fn settle_send(&mut self, sent: Sent, outcome: Outcome) {
        self.changed = true;
        let assertion = &sent.identity.value;
        if let Outcome::Response(response) = outcome {
            let mut secrets = self.secrets();
            secrets.push(assertion.reveal());
            let verdict = answer::read(&response, &secrets, self.wall_ms);
            if let Verdict::Granted(grant) = &verdict {
                secrets.push(grant.token.reveal());
            }
            let request_id = answer::request_id(&response, &secrets);
            self.measure_skew(answer::clock_skew(&response, self.wall_ms));
            match verdict {
                Verdict::Granted(grant) => self.granted(&sent, grant, request_id),
                Verdict::Denied(denial) => self.denied(&sent, denial, request_id),
            }
            return self.share_result();
        }
        let (code, what, why, action, pause) = match &outcome {
            Outcome::Unsent(why) => (
                FailureCode::EndpointUnreachable,
                "The token endpoint cannot be reached",
                Some(why),
                "Check the network, the name and the certificate of the base_url, and the host's proxy settings.",
                Pause::Transient,
            ),
            Outcome::Denied(why) => (
                FailureCode::DeniedByHost,
                "The host does not let the request out",
                Some(why),
                "Allow the origin of base_url in the host's policy, or change base_url.",
                Pause::Terminal,
            ),
            Outcome::Unkept(why) => (
                FailureCode::StoreFailed,
                "Nothing was sent, for the host could not keep the journal before",
                Some(why),
                "Mend the place where the host keeps journals: its permissions, its space.",
                Pause::Transient,
            ),
            Outcome::Unsupported => (
                FailureCode::UnsupportedByHost,
                "The host cannot send requests",
                None,
                "Use a host that can, or a bearer token of the embedding program.",
                Pause::Terminal,
            ),
            Outcome::MaybeSent(why) | Outcome::Failed(why) => (
                FailureCode::EndpointUnreachable,
                "The token endpoint's answer did not arrive",
                Some(why),
                UNCERTAIN,
                Pause::Transient,
            ),
            _ => (
                FailureCode::EndpointUnreachable,
                "The token endpoint's answer did not arrive in time",
                None,
                UNCERTAIN,
                Pause::Transient,
            ),
        };
        let mut message = what.to_owned();
        self.explain(&mut message, why, &[assertion.reveal()]);
        if action != UNCERTAIN {
            // Nothing left.
            self.mark(&sent, sent.prior);
        }
        if matches!(outcome, Outcome::Unsent(_)) && !self.pace.repeated_unsent {
            // So nothing can have been spent: once, at once.
            self.pace.repeated_unsent = true;
            self.pace.floor = self.now;
            self.pace.retry_at = self.now;
            self.pace.look_at = self.now;
            return self.exchange_failed(code, message, "", None, None);
        }
        self.pause(pause);
        self.sleep();
        let until = self.pace.retry_at.max(self.pace.floor);
        self.exchange_failed(code, message, action, Some(until), None);
        self.share_result();
    }

    fn granted(&mut self, sent: &Sent, grant: Grant, request_id: Option<String>) {
        self.mark(sent, Disposition::Spent);
        if self.key_of(&sent.identity.about).as_deref() != self.identity.key() {
            // The answer was late.
            return self.note(NoteCode::TokenUnusable, NoteLevel::Warning, OF_ANOTHER, Vec::new());
        }
        let new = Held::until(grant.token, grant.lifetime_ms, sent.at + grant.lifetime_ms, &mut self.random);
        let id = new.id.clone();
        self.ends.set(&id, sent.at + grant.lifetime_ms);
        let problem = if self.rejections.contains(&id) {
            if let Some(held) = self.held.as_mut().filter(|held| held.id == id && new.usable_at(self.now)) {
                // It is no better than before, and lives as long as its issuer says.
                held.life = new.life;
            }
            Some("The token endpoint issued again an access token that the API has rejected.")
        } else if !new.usable_at(self.now) {
            Some("The token endpoint's answer took longer than its access token lives.")
        } else {
            None
        };
        if let Some(message) = problem {
            self.pace.transient(self.now, &mut self.random);
            self.sleep();
            let until = self.pace.retry_at;
            let action = "Check the endpoint and the federation rule's token lifetime.";
            return self.exchange_failed(FailureCode::AnswerUnusable, message.to_owned(), action, Some(until), None);
        }
        let mut fields = vec![field("token", &id), field("lifetime-s", &(grant.lifetime_ms / 1000).to_string())];
        fields.extend(request_id.map(|id| field("request-id", &id)));
        self.succeeded = self.succeeded.saturating_add(1);
        self.note(NoteCode::ExchangeSucceeded, NoteLevel::Info, "The exchange brought an access token.", fields);
        for unusual in grant.unusual {
            self.note(NoteCode::AnswerUnusual, NoteLevel::Warning, &format!("The answer is unusual: {unusual}."), Vec::new());
        }
        let waits = self.federation().is_some_and(|federation| federation.identity_token.shared());
        if let Some(warning) = lint::of_lifetimes(
            waits && self.single_use(&sent.identity.about),
            &sent.identity.about,
            grant.lifetime_ms,
            self.wall_ms,
        ) {
            self.warn(warning);
        }
        self.failure = None;
        self.waiting = None;
        let keep =
            self.held.as_ref().is_some_and(|held| held.standing == Standing::Good && held.outlives(&new) && held.id != new.id);
        if keep {
            // A new token that dies before the old one: asking again at once would bring no better one.
            self.pace.transient(self.now, &mut self.random);
            self.pace.look_at = self.pace.retry_at;
        } else {
            self.held = Some(new);
            self.pace.succeeded();
            self.pace.look_at = self.pace.floor;
        }
    }

    fn denied(&mut self, sent: &Sent, denial: Denial, request_id: Option<String>) {
        let Denial { class, mut message, status, retry_after_ms } = denial;
        let id = &sent.identity.about.id;
        match class.consumption {
            Consumption::Unspent => self.mark(sent, sent.prior),
            Consumption::Uncertain => {}
            Consumption::Refused if sent.prior == Disposition::Uncertain => self.mark(sent, Disposition::Spent),
            Consumption::Refused => self.mark(sent, sent.prior),
        }
        if class.consumption == Consumption::Refused && self.ledger.disposition(id) == Disposition::Spent {
            // The refusal answers the question that the lost answer left open.
            self.note(
                NoteCode::ExchangeFailed,
                NoteLevel::Warning,
                "The identity token was exchanged by a request whose answer was lost.",
                Vec::new(),
            );
            let about = sent.identity.about.clone();
            return self.wait_for_rotation(&about);
        }
        self.pause(class.pause);
        if let Some(pause) = retry_after_ms {
            self.pace.not_before(self.now + pause);
        }
        if class.consumption == Consumption::Refused {
            message.push_str(&self.diagnosis());
        }
        self.sleep();
        let until = self.pace.retry_at.max(self.pace.floor);
        self.exchange_failed(class.code, message, class.action, Some(until), request_id.as_deref());
        if let Some(trouble) = &mut self.failure {
            trouble.failure.status = Some(status);
            trouble.failure.request_id = request_id;
        }
    }

    fn pause(&mut self, pause: Pause) {
        match pause {
            Pause::Transient => self.pace.transient(self.now, &mut self.random),
            Pause::Refusal => self.pace.refused(self.now),
            Pause::Terminal => self.pace.terminal(self.now, &mut self.random),
        }
    }

    /// What this side can tell about an opaque 401.
    fn diagnosis(&self) -> String {
        let mut hints = String::new();
        if self.federation().is_some_and(|federation| federation.workspace.is_none()) {
            hints.push_str(" No workspace_id is configured.");
        }
        if let Some(skew) = self.clock_skew_ms.filter(|skew| skew.unsigned_abs() > 30_000) {
            hints.push_str(&format!(" The endpoint's clock and this machine's differ by {} s.", skew / 1000));
        }
        hints
    }

    /// Whoever reads the log alone finds in it what the failure says to callers.
    fn exchange_failed(
        &mut self,
        code: FailureCode,
        message: String,
        action: &str,
        until: Option<Moment>,
        request_id: Option<&str>,
    ) {
        let mut fields = Vec::new();
        if let Some(until) = until {
            fields.push(field("retry-in-ms", &(until - self.now).to_string()));
        }
        for (name, value) in [("request-id", request_id.unwrap_or_default()), ("action", action)] {
            if !value.is_empty() {
                fields.push(field(name, value));
            }
        }
        self.note(NoteCode::ExchangeFailed, NoteLevel::Warning, &message, fields);
        self.fail(code, message, action, until);
    }

    fn mark(&mut self, sent: &Sent, disposition: Disposition) {
        if self.single_use(&sent.identity.about) {
            self.ledger.mark(&sent.identity.about.id, disposition, sent.identity.about.expires_at_ms);
        }
    }

    fn measure_skew(&mut self, skew: Option<i64>) {
        let Some(skew) = skew else { return };
        let large = |skew: i64| skew.unsigned_abs() > 30_000;
        if large(skew) && !self.clock_skew_ms.is_some_and(large) {
            let fields = only("skew-s", &(skew / 1000).to_string());
            let message = "The endpoint's clock and this machine's differ by more than the allowed 30 s.";
            self.note(NoteCode::ClockSkewed, NoteLevel::Warning, message, fields);
        }
        self.clock_skew_ms = Some(skew);
    }

    /// Rests until something can be done: a retry, or another identity token in a source that is cheap to look at.
    pub(super) fn sleep(&mut self) {
        self.work = Work::Resting;
        let retry_at = self.pace.retry_at.max(self.pace.floor);
        let looks = match self.federation().map(|federation| &federation.identity_token) {
            Some(IdentityTokenSource::Literal(_)) | None => false,
            Some(source) => source.shared() || self.share.is_some(),
        };
        let look_at = if looks { retry_at.min(self.now + self.poll_ms()) } else { retry_at };
        self.pace.look_at = look_at.max(self.pace.floor);
    }

    /// How often a shared source is looked at while a refresh is due and cannot go on.
    pub(super) fn poll_ms(&self) -> u64 {
        match self.held.as_ref().and_then(|held| held.life) {
            // Four looks before callers would have to wait, for tokens that live long enough.
            Some(life) => (Windows::of(life.lifetime).advisory / 4).clamp(1_000, 10_000),
            None => POLL_MS,
        }
    }

    pub(super) fn token_supplied(&mut self, outcome: Outcome) {
        self.work = Work::Resting;
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
        self.pace.transient(self.now, &mut self.random);
        self.pace.look_at = self.pace.retry_at;
        let until = self.pace.retry_at;
        let message = format!("The program's own source of the access token failed: {why}.");
        self.note(NoteCode::ExchangeFailed, NoteLevel::Warning, &message, Vec::new());
        self.fail(FailureCode::TokenSourceFailed, message, "Mend the callable that supplies the access token.", Some(until));
    }

    fn take_supplied(&mut self, token: SuppliedToken) -> Result<(), &'static str> {
        answer::check_token(token.value.reveal())?;
        let id = id_of(token.value.reveal());
        if self.rejections.contains(&id) {
            return Err("it gave again the token that the API has rejected");
        }
        let expires_at_ms = token.expires_at_ms.or_else(|| crate::identity_token::expiry_of_jwt(token.value.reveal()));
        match expires_at_ms {
            Some(expires) if expires <= self.wall_ms => return Err("its token has expired"),
            Some(expires) => {
                let lifetime = expires - self.wall_ms;
                self.ends.set(&id, self.now + lifetime);
                self.held = Some(Held::until(token.value, lifetime, self.now + lifetime, &mut self.random));
                self.changed = true;
            }
            None => {
                self.passing = Some(Box::new(Held::forever(token.value, Scheme::Bearer)));
                self.passed = Some(id.clone());
                // It is newer than the one that was held, and nobody knows how long it lives: every request asks.
                self.held = None;
                self.wanted = false;
                self.changed = true;
            }
        }
        let message = "The program supplied an access token.";
        self.note(NoteCode::TokenSupplied, NoteLevel::Info, message, only("token", &id));
        self.failure = None;
        self.pace.succeeded();
        self.pace.look_at = self.now;
        Ok(())
    }
}

const UNCERTAIN: &str =
    "The exchange is repeated by itself. If the identity token was exchanged, the repeat is refused and its rotation awaited.";
