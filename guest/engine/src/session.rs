//! The session: takes an event, decides, answers.
//!
//! Each thing that changes has an owner, whose fields nobody else writes: the tokens, [`Tokens`]; the attempt to get one,
//! `attempt`; what is known, `known`; what goes out of a step, `outgoing`; whose tokens these are, `identity`; what is known of
//! the store, `sharing`; time, [`Timeline`]. What a step does is told in the order of things: `configuring` finds the credential,
//! `source` gets an identity token, `deciding` whether it is exchanged, `sharing` agrees with other sessions, `exchange` asks the
//! endpoint, `program` the embedding program, and `view` says what it all means for callers.

mod attempt;
mod configuring;
mod deciding;
mod exchange;
mod identity;
mod known;
mod login;
mod outgoing;
mod program;
mod recipe;
mod sharing;
mod source;
mod view;
use wif_document::BaseUrl;

use crate::Secret;
use crate::configuration::{Bearer, Configuration, Credential, Federation};
use crate::contract::{
    Capability, Clock, ConfigurationError, Event, Field, NoteCode, NoteLevel, Outcome, Output, Standing, Start, Status, Task,
};
use crate::discovery::Discovery;
use crate::ledger::Ledger;
use crate::lint::Warning;
use crate::schedule::Random;
use crate::scrub::scrub;
use crate::state::{Document, Lease, SavedState};
use crate::timeline::{Moment, Timeline};
use crate::tokens::{Rejected, Tokens};

use attempt::{Attempt, Work};
use identity::Identity;
use known::Known;
use outgoing::{Outgoing, Role};
use sharing::{Beside, Share};

/// A host's text is cut after this many characters.
const MAX_HOST_TEXT: usize = 200;

/// How often a shared source is looked at without a usable token, while an exchange waits for it. In milliseconds.
pub(crate) const POLL_MS: u64 = 5_000;

/// One identity's credential: see `wit/session.wit` for the contract.
#[derive(Debug)]
pub struct Session {
    // What was given.
    configuration: Configuration,
    can: Vec<Capability>,
    // Time and chance.
    time: Timeline,
    random: Random,
    // What is to be done.
    plan: Plan,
    base_url: BaseUrl,
    identity: Identity,
    wanted: bool,
    closing: bool,
    // What is known, and what is under way. What few sessions have is boxed: a host may hold many sessions.
    tokens: Tokens,
    known: Known,
    attempt: Attempt,
    share: Option<Box<Share>>,
    /// Where sessions share that have no store.
    beside: Option<Beside>,
    out: Outgoing,
    figures: Figures,
}

/// What the session is for.
#[derive(Debug)]
enum Plan {
    /// Nothing was done yet.
    Unopened,
    Discovering(Box<Discovery>),
    /// Discovery failed, and is repeated at this moment.
    Unconfigured(Moment),
    Federation(Federation),
    Bearer(Bearer),
}

/// What only the status tells.
#[derive(Debug, Default)]
struct Figures {
    warnings: Vec<Warning>,
    started: u32,
    succeeded: u32,
    clock_skew_ms: Option<i64>,
}

impl Session {
    /// Opens a session. Starts nothing: the first step does.
    ///
    /// Fails on a configuration that can never work, by the name of the field.
    pub fn open(configuration: &str, seed: u64, can: &[Capability], from: Start) -> Result<Self, ConfigurationError> {
        let configuration = Configuration::parse(configuration)?;
        check_capabilities(&configuration, can)?;
        let mut random = Random::new(seed);
        let mut out = Outgoing::default();
        let resumed = match &from {
            Start::Resumed(journal) => {
                let journal = SavedState::parse(journal.reveal());
                if journal.is_none() {
                    let message = "The journal cannot be read: what an earlier session knew is lost.";
                    out.note(NoteCode::StateIgnored, NoteLevel::Warning, message, Vec::new());
                }
                journal.map(Box::new)
            }
            Start::Fresh | Start::Lost => None,
        };
        // What was spent stays spent, whoever spent it.
        let ledger = resumed.as_ref().map(|journal| journal.ledger.clone()).unwrap_or_default();
        let shares = can.iter().any(|capability| matches!(capability, Capability::Store | Capability::Cache));
        let share = shares.then(|| Box::new(Share::new(random.next(), !can.contains(&Capability::Store), None)));
        let lost_before = matches!(from, Start::Lost) || matches!(from, Start::Resumed(_)) && resumed.is_none();
        Ok(Self {
            wanted: configuration.prefetch,
            base_url: configuration.base_url.clone().unwrap_or_default(),
            configuration,
            can: can.to_vec(),
            time: Timeline::default(),
            random,
            plan: Plan::Unopened,
            identity: Identity::after(resumed),
            closing: false,
            tokens: Tokens::default(),
            known: Known::new(ledger, lost_before),
            attempt: Attempt::default(),
            share,
            beside: None,
            out,
            figures: Figures::default(),
        })
    }

    /// The key of this identity's entry in a store; none until discovery is done and the source has shown whose identity tokens
    /// it gives.
    #[must_use]
    pub fn entry_key(&self) -> Option<String> {
        self.identity.key().map(str::to_owned)
    }

    /// Takes an event and answers.
    pub fn step(&mut self, now: Clock, event: Event) -> Output {
        self.time.advance(now);
        self.drop_unusable();
        match event {
            Event::Woken => {}
            Event::Needed => self.wanted = true,
            Event::Finished(result) if !self.closing => self.finished(result.number, result.outcome),
            Event::StillRunning(number) => self.out.heard(number, self.time.now()),
            Event::Rejected(id) => self.take_rejection(&id),
            Event::Changed => self.look_again(),
            Event::Closing => self.close(),
            Event::Finished(_) => {}
        }
        self.give_up_overdue();
        self.advance();
        self.output()
    }

    /// A glance that changes nothing.
    #[must_use]
    pub fn status(&self, now: Clock) -> Status {
        self.status_at(self.time.at(now), now.wall_ms)
    }

    /// Starts whatever is due.
    fn advance(&mut self) {
        if self.closing {
            return;
        }
        match self.plan {
            Plan::Unopened => self.configure(),
            Plan::Unconfigured(retry_at) if self.time.now() >= retry_at => self.configure(),
            _ => {}
        }
        self.ask_store();
        match *self.attempt.work() {
            Work::Following { poll_at } if self.time.now() >= poll_at => self.load(None),
            Work::Resting if self.time.now() >= self.next_look() => self.begin(),
            _ => {}
        }
        self.keep_share();
    }

    /// When the source, the store or the endpoint is to be asked next, with nothing under way.
    fn next_look(&self) -> Moment {
        if self.share.as_deref().is_some_and(Share::wants_look) && self.identity.key().is_some() {
            return self.time.now();
        }
        self.due_at().max(self.attempt.pace().look_at)
    }

    /// When another token is wanted than the one that is held.
    fn due_at(&self) -> Moment {
        let exchangeable = matches!(self.plan, Plan::Federation(_) | Plan::Bearer(Bearer::Callable(_) | Bearer::Login(_)));
        if !exchangeable {
            return Moment::NEVER;
        }
        if self.identity.key().is_none() && self.wants_identity() {
            return self.time.now();
        }
        if self.login_wants_look() {
            return self.time.now();
        }
        if !self.wanted {
            return Moment::NEVER;
        }
        let Some(held) = self.tokens.held() else { return self.time.now() };
        let refresh = held.life.map_or(Moment::NEVER, |life| life.refresh);
        match held.standing {
            Standing::Good => refresh,
            Standing::Suspect => refresh.min(self.known.rejections().stopped_until()),
        }
    }

    /// Whether it is to be known whose identity tokens the source gives, though nobody asks for a token: to serve what an earlier
    /// session left, to serve it on, or to look into the store.
    fn wants_identity(&self) -> bool {
        self.identity.waits() || self.tokens.held().is_some() || self.share.as_deref().is_some_and(Share::wants_look)
    }

    fn due(&self) -> bool {
        self.due_at() <= self.time.now()
    }

    fn drop_unusable(&mut self) {
        if let Some(id) = self.tokens.expire(self.time.now()) {
            self.known.change();
            let message = "The access token has run out and is no longer served.";
            self.out.note(NoteCode::TokenUnusable, NoteLevel::Error, message, only("token", &id));
        }
    }

    fn take_rejection(&mut self, id: &str) {
        let now = self.time.now();
        let Some(rejected) = self.tokens.reject(id, self.known.rejections()) else { return };
        let stopped = self.known.reject(id, now);
        let fields = only("token", id);
        if rejected == Rejected::Passed {
            // Every request asks for such a token anyway; the program must learn that this one is of no use.
            let message = "The API answered 401 to the access token that the program supplied.";
            return self.out.note(NoteCode::TokenRejected, NoteLevel::Warning, message, fields);
        }
        // Whoever saw the rejection wants another token, though the first caller may have come before this session had one.
        self.wanted = true;
        if let (Some(share), Plan::Federation(_)) = (&mut self.share, &self.plan) {
            share.want_write(now);
        }
        self.out.note(NoteCode::TokenRejected, NoteLevel::Warning, "The API answered 401 to the current access token.", fields);
        if stopped {
            let message = "Two access tokens were rejected within ten minutes, so that new ones do not help: no exchange is forced \
                           for ten minutes, and the API's own answer reaches the callers.";
            self.out.note(NoteCode::ForcedExchangesStopped, NoteLevel::Error, message, Vec::new());
            return;
        }
        self.attempt.wake(now);
    }

    /// Something may have changed outside: looks at the source again where a look costs nothing.
    fn look_again(&mut self) {
        if let Plan::Unconfigured(retry_at) = &mut self.plan {
            *retry_at = self.time.now();
        }
        self.look_at_login_again();
        let Plan::Federation(federation) = &self.plan else { return };
        if let Some(share) = &mut self.share {
            share.want_look();
        }
        self.attempt.look_soon(self.time.now(), federation.identity_token.shared());
    }

    fn close(&mut self) {
        if self.closing {
            return;
        }
        self.closing = true;
        self.attempt.close();
        self.out.forget(|_| true);
        self.out.note(NoteCode::Closing, NoteLevel::Info, "The session is closing.", Vec::new());
    }

    fn finished(&mut self, number: u32, outcome: Outcome) {
        if let Some(sent) = self.attempt.take_late(number) {
            return self.answered_late(sent, outcome);
        }
        if let Some((credentials, sent)) = self.take_late_login(number) {
            return self.login_answered_late(&credentials, sent, &outcome);
        }
        let Some(role) = self.out.take(number) else { return };
        match role {
            Role::Variable(name) => self.variable_read(name, outcome),
            Role::ProfileFile => self.profile_read(outcome),
            Role::Read => self.source_answered(outcome),
            Role::Ask => self.token_supplied(outcome),
            Role::Send => self.answered(outcome),
            Role::Load => self.loaded(outcome),
            Role::Lease => self.lease_answered(outcome),
            Role::Write => self.written(outcome),
        }
    }

    /// Treats tasks of which nothing was heard for too long as lost. A request may yet be answered.
    fn give_up_overdue(&mut self) {
        let vanish = self.can.contains(&Capability::OwnersVanish);
        for (number, role, vanished) in self.out.overdue(self.time.now(), vanish) {
            self.out.abandon(number);
            let fields = only("task", &number.to_string());
            self.out.note(NoteCode::TaskLost, NoteLevel::Warning, "A task did not end in its time: treated as lost.", fields);
            let compares = self.share.as_ref().is_some_and(|share| !share.cache_only);
            if role == Role::Send {
                self.abandon_send();
            } else if vanished && role == Role::Load && compares && !self.closing {
                // Nothing is wrong with the store either.
                self.out.take(number);
                self.ask_store();
            } else {
                self.finished(number, Outcome::Lost);
                self.expect_late_login(number);
            }
            let shared = self.federation().is_none_or(|federation| federation.identity_token.shared());
            if vanished && (role == Role::Read || role == Role::Send && !shared) {
                // Nothing is wrong with what was asked, and a source that mints has another identity token: whoever waits now
                // asks anew, at once.
                self.attempt.ask_anew(self.time.now());
            }
        }
    }

    /// *Secret.* All that is known, as a journal or, with the lease that is to stand in it, as an entry.
    fn state_document(&self, ledger: &Ledger, lease: Option<&Lease>) -> Secret {
        let document = Document {
            configuration: self.identity.configuration(),
            identity: self.identity.owner(),
            held: self.tokens.held(),
            ends: (self.share.is_some() || self.beside.is_some()).then_some(self.tokens.ends()),
            pace: self.attempt.pace(),
            failure: self.attempt.failure().map(|trouble| &trouble.failure),
            ledger,
            rejections: self.known.rejections(),
            lease,
        };
        document.write(self.time.epoch())
    }

    fn federation(&self) -> Option<&Federation> {
        match &self.plan {
            Plan::Federation(federation) => Some(federation),
            _ => None,
        }
    }

    fn warn(&mut self, warning: Warning) {
        match self.figures.warnings.iter_mut().find(|known| known.kind == warning.kind) {
            Some(known) => known.text = warning.text,
            None => {
                self.out.note(NoteCode::LifetimesConflict, NoteLevel::Warning, &warning.text, Vec::new());
                self.figures.warnings.push(warning);
            }
        }
    }

    /// What is secret and at hand.
    fn secrets(&self) -> Vec<&str> {
        self.tokens.secrets().chain(self.attempt.secrets()).collect()
    }

    /// A text from outside, fit to be shown. All of the host's pass here; the endpoint's pass through `answer`.
    fn foreign(&self, text: &str) -> String {
        self.foreign_beside(text, &[])
    }

    /// The same, where more secrets are at hand.
    fn foreign_beside(&self, text: &str, more: &[&str]) -> String {
        let mut secrets = self.secrets();
        secrets.extend(more);
        scrub(text, &secrets).chars().take(MAX_HOST_TEXT).collect()
    }

    /// Ends a sentence, with the host's own words where it gave a reason; `more`: secrets that are at hand.
    fn explain(&self, message: &mut String, why: Option<&String>, more: &[&str]) {
        if let Some(why) = why {
            message.push_str(": ");
            message.push_str(&self.foreign_beside(why, more));
        }
        message.push('.');
    }

    /// Hands a task to the host.
    fn emit(&mut self, role: Role, task: Task) -> u32 {
        self.out.emit(self.time.now(), role, task)
    }
}

fn check_capabilities(configuration: &Configuration, can: &[Capability]) -> Result<(), ConfigurationError> {
    let (missing, field) = match &configuration.credential {
        Credential::Discover(_) => (None, ""),
        Credential::Bearer(Bearer::Callable(_)) => {
            let missing = Some("call for an access token").filter(|_| !can.contains(&Capability::SupplyToken));
            (missing, "bearer.source")
        }
        Credential::Bearer(_) => (None, ""),
        Credential::Federation(federation) => {
            (source::missing(&federation.identity_token, can), "federation.identity_token.source")
        }
    };
    match missing {
        None => Ok(()),
        Some(what) => Err(ConfigurationError {
            field: field.to_owned(),
            message: format!("cannot be used here: this program does not {what}"),
        }),
    }
}

fn field(name: &str, value: &str) -> Field {
    crate::configuration::field(name, value)
}

/// The one detail of a note.
#[inline(never)]
fn only(name: &str, value: &str) -> Vec<Field> {
    vec![field(name, value)]
}

fn secret_content(outcome: Outcome) -> Result<Secret, Outcome> {
    match outcome {
        Outcome::Content(content) => Ok(content),
        other => Err(other),
    }
}
