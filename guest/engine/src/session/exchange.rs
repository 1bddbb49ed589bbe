//! The exchange: the request to the endpoint, and what its answer changes.

use super::attempt::{Sent, Trouble, Work};
use super::identity::OF_ANOTHER;
use super::outgoing::Role;
use super::{Session, field, only};
use crate::answer::{self, Consumption, Denial, Grant, Pause, Verdict};
use crate::contract::{Disposition, FailureCode, NoteCode, NoteLevel, Outcome, Standing, Task};
use crate::id_of;
use crate::identity_token::IdentityToken;
use crate::lint;
use crate::tokens::{From, Offer, Unfit};

impl Session {
    /// Sends the request. Where sessions share a store this step has just seen its own lease swapped in.
    pub(super) fn send(&mut self, identity: IdentityToken) {
        let Some(federation) = self.federation() else { return };
        let request = answer::request(&self.base_url, federation, &identity, self.configuration.exchange_timeout_ms);
        let id = identity.about.id.clone();
        let prior = self.known.ledger().disposition(&id);
        if self.single_use(&identity.about) {
            self.known.sending(&identity.about);
        }
        self.attempt.sending(&id, self.time.now());
        self.figures.started = self.figures.started.saturating_add(1);
        self.known.change();
        let fields = only("identity-token", &id);
        self.out.note(NoteCode::ExchangeStarted, NoteLevel::Info, "An exchange was started.", fields);
        let number = self.emit(Role::Send, Task::SendRequest(request));
        self.attempt.begin(Work::Sending(Box::new(Sent { number, identity, prior, at: self.time.now() })));
    }

    pub(super) fn answered(&mut self, outcome: Outcome) {
        let Work::Sending(sent) = self.attempt.stop() else { return };
        self.settle_send(*sent, outcome);
    }

    /// The request's time is over. Its answer is still welcome, for the identity token may be spent.
    pub(super) fn abandon_send(&mut self) {
        let Work::Sending(sent) = self.attempt.stop() else { return };
        self.out.take(sent.number);
        let late = Sent::clone(&sent);
        self.settle_send(*sent, Outcome::Lost);
        self.attempt.expect_late(late);
    }

    /// An answer after its time: only a success changes anything.
    pub(super) fn answered_late(&mut self, sent: Sent, outcome: Outcome) {
        let Outcome::Response(response) = &outcome else { return };
        if let Verdict::Granted(_) = answer::read(response, &[], self.time.wall_ms()) {
            // What runs meanwhile with the same identity token can only be refused.
            if matches!(self.attempt.work(), Work::Sending(running) if running.identity.about.id == sent.identity.about.id) {
                self.abandon_running();
            }
            self.settle_send(sent, outcome);
        }
    }

    fn abandon_running(&mut self) {
        if let Work::Sending(sent) = self.attempt.stop() {
            self.out.take(sent.number);
            self.out.abandon(sent.number);
        }
    }

    fn settle_send(&mut self, sent: Sent, outcome: Outcome) {
        self.known.change();
        let assertion = &sent.identity.value;
        if let Outcome::Response(response) = outcome {
            let mut secrets = self.secrets();
            secrets.push(assertion.reveal());
            let verdict = answer::read(&response, &secrets, self.time.wall_ms());
            if let Verdict::Granted(grant) = &verdict {
                secrets.push(grant.token.reveal());
            }
            let request_id = answer::request_id(&response, &secrets);
            self.measure_skew(answer::clock_skew(&response, self.time.wall_ms()));
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
                "The policy refuses the request",
                Some(why),
                "Allow the origin of base_url in the policy, or change base_url.",
                Pause::Terminal,
            ),
            Outcome::Unkept(why) => (
                FailureCode::StoreFailed,
                "Nothing was sent, because the journal could not be kept first",
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
        if matches!(outcome, Outcome::Unsent(_)) && self.attempt.repeats_unsent(self.time.now()) {
            self.exchange_failed(Trouble::new(code, message, "", None));
        } else {
            self.attempt.pause(pause, self.time.now(), &mut self.random);
            self.sleep();
            let until = self.attempt.retry_at();
            self.exchange_failed(Trouble::new(code, message, action, Some(until)));
        }
        // The lease is given back, whatever the next try finds.
        self.share_result();
    }

    fn granted(&mut self, sent: &Sent, grant: Grant, request_id: Option<String>) {
        self.mark(sent, Disposition::Spent);
        if self.key_of(&sent.identity.about).as_deref() != self.identity.key() {
            // The answer was late.
            return self.out.note(NoteCode::TokenUnusable, NoteLevel::Warning, OF_ANOTHER, Vec::new());
        }
        let id = id_of(grant.token.reveal());
        let offer = Offer {
            value: grant.token,
            lifetime_ms: grant.lifetime_ms,
            expires: sent.at + grant.lifetime_ms,
            standing: Standing::Good,
            from: From::Endpoint,
        };
        let offered = self.tokens.offer(offer, self.known.rejections(), self.time.now(), &mut self.random).map(|_| ());
        let problem = match offered {
            Err(Unfit::Rejected) => "The token endpoint issued again an access token that the API has rejected.",
            Err(Unfit::RanOut) => "The token endpoint's answer took longer than its access token lives.",
            Err(Unfit::NoBetter) | Ok(()) => "",
        };
        if !problem.is_empty() {
            if !self.attempt.resting() {
                // The answer was late, and what is under way goes on.
                return self.out.note(NoteCode::ExchangeFailed, NoteLevel::Warning, problem, Vec::new());
            }
            self.attempt.pause(Pause::Transient, self.time.now(), &mut self.random);
            self.sleep();
            let until = Some(self.attempt.pace().retry_at);
            let action = "Check the endpoint and the federation rule's token lifetime.";
            return self.exchange_failed(Trouble::new(FailureCode::AnswerUnusable, problem.to_owned(), action, until));
        }
        let mut fields = vec![field("token", &id), field("lifetime-s", &(grant.lifetime_ms / 1000).to_string())];
        fields.extend(request_id.map(|id| field("request-id", &id)));
        self.figures.succeeded = self.figures.succeeded.saturating_add(1);
        self.out.note(NoteCode::ExchangeSucceeded, NoteLevel::Info, "The exchange brought an access token.", fields);
        for unusual in grant.unusual {
            self.out.note(NoteCode::AnswerUnusual, NoteLevel::Warning, &format!("The answer is unusual: {unusual}."), Vec::new());
        }
        let waits = self.federation().is_some_and(|federation| federation.identity_token.shared());
        if let Some(warning) = lint::of_lifetimes(
            waits && self.single_use(&sent.identity.about),
            &sent.identity.about,
            grant.lifetime_ms,
            self.time.wall_ms(),
        ) {
            self.warn(warning);
        }
        if offered.is_ok() {
            if let Some(share) = &mut self.share {
                share.has_news();
            }
            self.attempt.succeeded();
            self.attempt.look_at(self.attempt.pace().floor);
        } else {
            // A new token that dies before the old one: asking again at once would bring no better one.
            self.attempt.recovered();
            self.attempt.pause(Pause::Transient, self.time.now(), &mut self.random);
            self.attempt.look_at(self.attempt.pace().retry_at);
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
        if class.consumption == Consumption::Refused && self.known.ledger().disposition(id) == Disposition::Spent {
            // The refusal answers the question that the lost answer left open.
            self.out.note(
                NoteCode::ExchangeFailed,
                NoteLevel::Warning,
                "The identity token was exchanged by a request whose answer was lost.",
                Vec::new(),
            );
            let about = sent.identity.about.clone();
            return self.wait_for_rotation(&about);
        }
        self.attempt.pause(class.pause, self.time.now(), &mut self.random);
        if let Some(pause) = retry_after_ms {
            self.attempt.not_before(self.time.now() + pause);
        }
        if class.consumption == Consumption::Refused {
            message.push_str(&self.diagnosis());
        }
        self.sleep();
        let until = self.attempt.retry_at();
        let mut trouble = Trouble::new(class.code, message, class.action, Some(until));
        trouble.failure.status = Some(status);
        trouble.failure.request_id = request_id;
        self.exchange_failed(trouble);
    }

    /// What this side can tell about an opaque 401.
    fn diagnosis(&self) -> String {
        let mut hints = String::new();
        if self.federation().is_some_and(|federation| federation.workspace.is_none()) {
            hints.push_str(" No workspace_id is configured.");
        }
        if let Some(skew) = self.figures.clock_skew_ms.filter(|skew| skew.unsigned_abs() > 30_000) {
            hints.push_str(&format!(" The endpoint's clock and this machine's differ by {} s.", skew / 1000));
        }
        hints
    }

    /// Whoever reads the log alone finds in it what the failure says to callers.
    fn exchange_failed(&mut self, trouble: Trouble) {
        let failure = &trouble.failure;
        let mut fields = Vec::new();
        if let Some(until) = trouble.until {
            fields.push(field("retry-in-ms", &(until - self.time.now()).to_string()));
        }
        for (name, value) in [("request-id", failure.request_id.as_deref().unwrap_or_default()), ("action", &failure.action)] {
            if !value.is_empty() {
                fields.push(field(name, value));
            }
        }
        self.out.note(NoteCode::ExchangeFailed, NoteLevel::Warning, &failure.message, fields);
        self.attempt.fail(trouble);
    }

    fn mark(&mut self, sent: &Sent, disposition: Disposition) {
        if self.single_use(&sent.identity.about) {
            self.known.mark(&sent.identity.about.id, disposition, sent.identity.about.expires_at_ms);
        }
    }

    fn measure_skew(&mut self, skew: Option<i64>) {
        let Some(skew) = skew else { return };
        let large = |skew: i64| skew.unsigned_abs() > 30_000;
        if large(skew) && !self.figures.clock_skew_ms.is_some_and(large) {
            let fields = only("skew-s", &(skew / 1000).to_string());
            let message = "The endpoint's clock and this machine's differ by more than the allowed 30 s.";
            self.out.note(NoteCode::ClockSkewed, NoteLevel::Warning, message, fields);
        }
        self.figures.clock_skew_ms = Some(skew);
    }
}

const UNCERTAIN: &str = "It tries again by itself. If the first request arrived after all, the second is refused, and it waits for the next identity token.";
