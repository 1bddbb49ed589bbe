//! The session: takes an event, decides, answers. What a step does is told in six parts: `source` gets an identity token,
//! `identity` says whose it is, `exchange` gets an access token for it, `sharing` agrees with other sessions, `tasks` keeps the
//! work that is out, `view` says what it all means for callers.

mod configuring;
mod exchange;
mod identity;
mod login;
mod recipe;
mod sharing;
mod source;
mod tasks;
mod view;

use crate::Secret;
use crate::base_url::BaseUrl;
use crate::configuration::{Bearer, Configuration, Credential, Federation};
use crate::contract::{
    Capability, Clock, ConfigurationError, Event, Failure, FailureCode, Field, Note, NoteCode, NoteLevel, NumberedTask, Output,
    Standing, Start, Status,
};
use crate::discovery::Discovery;
use crate::held::{Ends, Held};
use crate::identity_token::About;
use crate::ledger::Ledger;
use crate::lint::Warning;
use crate::rejections::Rejections;
use crate::schedule::{Pace, Random};
use crate::scrub::scrub;
use crate::state::{Epoch, Known, Lease, State};
use crate::timeline::{Moment, Timeline};

use exchange::{Sent, Work};
use identity::Identity;
use sharing::Share;
use tasks::{Role, Tasks};

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
    timeline: Timeline,
    now: Moment,
    wall_ms: u64,
    steady_ms: Option<u64>,
    random: Random,
    // What is to be done.
    plan: Plan,
    base_url: BaseUrl,
    identity: Identity,
    wanted: bool,
    closing: bool,
    // What is known. What few sessions have, or have for a moment, is boxed: a host may hold many sessions.
    resumed: Option<Box<State>>,
    lost_before: bool,
    held: Option<Held>,
    ends: Ends,
    /// A token of unknown expiry: it serves the callers that this step wakes.
    passing: Option<Box<Held>>,
    /// The id of the last token of unknown life, which was passed on and not kept.
    passed: Option<String>,
    pace: Pace,
    ledger: Ledger,
    rejections: Rejections,
    seen: Option<About>,
    waiting: Option<String>,
    failure: Option<Trouble>,
    // What is under way.
    work: Work,
    late: Vec<Sent>,
    tasks: Tasks,
    share: Option<Box<Share>>,
    // What this step answers with.
    emitted: Vec<NumberedTask>,
    abandoned: Vec<u32>,
    notes: Vec<Note>,
    changed: bool,
    // What status tells.
    warnings: Vec<Warning>,
    started: u32,
    succeeded: u32,
    clock_skew_ms: Option<i64>,
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

/// The last failure, and when the session tries again.
#[derive(Debug)]
struct Trouble {
    failure: Failure,
    /// When it is tried again.
    until: Option<Moment>,
    /// When the source is expected to rotate the identity token, where that is awaited.
    rotation: Option<Moment>,
}

impl Session {
    /// Opens a session. Starts nothing: the first step does.
    ///
    /// Fails on a configuration that can never work, by the name of the field.
    pub fn open(configuration: &str, seed: u64, can: &[Capability], from: Start) -> Result<Self, ConfigurationError> {
        let configuration = Configuration::parse(configuration)?;
        check_capabilities(&configuration, can)?;
        let mut random = Random::new(seed);
        let mut notes = Vec::new();
        let resumed = match &from {
            Start::Resumed(journal) => {
                let journal = State::parse(journal.reveal());
                if journal.is_none() {
                    let message = "The journal cannot be read: what an earlier session knew is lost.".to_owned();
                    notes.push(Note { code: NoteCode::StateIgnored, level: NoteLevel::Warning, message, fields: Vec::new() });
                }
                journal.map(Box::new)
            }
            Start::Fresh | Start::Lost => None,
        };
        // What was spent stays spent, whoever spent it.
        let ledger = resumed.as_ref().map(|journal| journal.ledger.clone()).unwrap_or_default();
        let shares = can.iter().any(|capability| matches!(capability, Capability::Store | Capability::Cache));
        let share = shares.then(|| Box::new(Share::new(random.next(), !can.contains(&Capability::Store))));
        Ok(Self {
            lost_before: matches!(from, Start::Lost) || matches!(from, Start::Resumed(_)) && resumed.is_none(),
            wanted: configuration.prefetch,
            base_url: configuration.base_url.clone().unwrap_or_default(),
            configuration,
            can: can.to_vec(),
            timeline: Timeline::default(),
            now: Moment::default(),
            wall_ms: 0,
            steady_ms: None,
            random,
            plan: Plan::Unopened,
            identity: Identity::default(),
            closing: false,
            resumed,
            held: None,
            ends: Ends::default(),
            passing: None,
            passed: None,
            pace: Pace::default(),
            ledger,
            rejections: Rejections::default(),
            seen: None,
            waiting: None,
            failure: None,
            work: Work::Resting,
            late: Vec::new(),
            tasks: Tasks::default(),
            share,
            emitted: Vec::new(),
            abandoned: Vec::new(),
            notes,
            changed: false,
            warnings: Vec::new(),
            started: 0,
            succeeded: 0,
            clock_skew_ms: None,
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
        self.now = self.timeline.advance(now);
        self.wall_ms = now.wall_ms;
        self.steady_ms = now.steady_ms;
        self.drop_unusable();
        match event {
            Event::Woken => {}
            Event::Needed => self.wanted = true,
            Event::Finished(result) if !self.closing => self.finished(result.number, result.outcome),
            Event::StillRunning(number) => self.tasks.heard(number, self.now),
            Event::Rejected(id) => self.rejected(&id),
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
        self.status_at(self.timeline.at(now), now.wall_ms)
    }

    /// Starts whatever is due.
    fn advance(&mut self) {
        if self.closing {
            return;
        }
        match self.plan {
            Plan::Unopened => self.configure(),
            Plan::Unconfigured(retry_at) if self.now >= retry_at => self.configure(),
            _ => {}
        }
        self.ask_store();
        match self.work {
            Work::Following { poll_at } if self.now >= poll_at => self.load(None),
            Work::Resting if self.now >= self.next_look() => self.begin(),
            _ => {}
        }
        self.keep_share();
    }

    /// When the source, the store or the endpoint is to be asked next, with nothing under way.
    fn next_look(&self) -> Moment {
        if self.share.as_deref().is_some_and(Share::wants_look) && self.identity.key().is_some() {
            return self.now;
        }
        self.due_at().max(self.pace.look_at)
    }

    /// When another token is wanted than the one that is held.
    fn due_at(&self) -> Moment {
        let exchangeable = matches!(self.plan, Plan::Federation(_) | Plan::Bearer(Bearer::Callable(_) | Bearer::Login(_)));
        if !exchangeable {
            return Moment::NEVER;
        }
        if self.identity.key().is_none() && self.wants_identity() {
            return self.now;
        }
        if self.login_is_unsaved() {
            return self.now;
        }
        if !self.wanted {
            return Moment::NEVER;
        }
        let Some(held) = &self.held else { return self.now };
        let refresh = held.life.map_or(Moment::NEVER, |life| life.refresh);
        match held.standing {
            Standing::Good => refresh,
            Standing::Suspect => refresh.min(self.rejections.stopped_until()),
        }
    }

    /// Whether it is to be known whose identity tokens the source gives, though nobody asks for a token: to serve what an earlier
    /// session left, to serve it on, or to look into the store.
    fn wants_identity(&self) -> bool {
        self.identity.waits() || self.held.is_some() || self.share.as_deref().is_some_and(Share::wants_look)
    }

    fn due(&self) -> bool {
        self.due_at() <= self.now
    }

    fn drop_unusable(&mut self) {
        if let Some(held) = self.held.take_if(|held| !held.usable_at(self.now)) {
            self.changed = true;
            let fields = only("token", &held.id);
            self.note(NoteCode::TokenUnusable, NoteLevel::Error, "The access token has run out and is no longer served.", fields);
        }
    }

    fn rejected(&mut self, id: &str) {
        if self.held.is_none() && self.passed.as_deref() == Some(id) && !self.rejections.contains(id) {
            // Every request asks for such a token anyway; the program must learn that this one is of no use.
            self.rejections.add(id, self.now);
            self.changed = true;
            let fields = only("token", id);
            let message = "The API answered 401 to the access token that the program supplied.";
            return self.note(NoteCode::TokenRejected, NoteLevel::Warning, message, fields);
        }
        let Some(held) = self.held.as_mut().filter(|held| held.id == id && held.standing == Standing::Good) else { return };
        held.standing = Standing::Suspect;
        // Whoever saw the rejection wants another token, though the first caller may have come before this session had one.
        self.wanted = true;
        let fields = only("token", id);
        let stopped = self.rejections.add(id, self.now);
        self.changed = true;
        if let (Some(share), Plan::Federation(_)) = (&mut self.share, &self.plan) {
            share.want_write(self.now);
        }
        self.note(NoteCode::TokenRejected, NoteLevel::Warning, "The API answered 401 to the current access token.", fields);
        if stopped {
            let message = "Two access tokens were rejected within ten minutes, so that new ones do not help: no exchange is forced \
                           for ten minutes, and the API's own answer reaches the callers.";
            self.note(NoteCode::ForcedExchangesStopped, NoteLevel::Error, message, Vec::new());
            return;
        }
        // The situation has changed: what slept out a backoff is woken.
        self.pace.retry_at = self.pace.retry_at.min(self.now);
        self.pace.look_at = self.pace.floor;
    }

    /// Something may have changed outside: looks at the source again where a look costs nothing.
    fn look_again(&mut self) {
        if let Plan::Unconfigured(retry_at) = &mut self.plan {
            *retry_at = self.now;
        }
        let Plan::Federation(federation) = &self.plan else { return };
        if let Some(share) = &mut self.share {
            share.want_look();
        }
        if let Work::Following { poll_at } = &mut self.work {
            *poll_at = self.now;
        }
        if federation.identity_token.shared() {
            self.pace.look_at = self.pace.look_at.min(self.now.max(self.pace.floor));
        }
    }

    fn close(&mut self) {
        if self.closing {
            return;
        }
        self.closing = true;
        self.work = Work::Resting;
        self.late.clear();
        self.abandoned.extend(self.tasks.forget(|_| true));
        self.note(NoteCode::Closing, NoteLevel::Info, "The session is closing.", Vec::new());
    }

    fn finished(&mut self, number: u32, outcome: crate::contract::Outcome) {
        if let Some(position) = self.late.iter().position(|sent| sent.number == number) {
            let sent = self.late.remove(position);
            self.answered_late(sent, outcome);
            return;
        }
        let Some(role) = self.tasks.take(number) else { return };
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
        for (number, role, vanished) in self.tasks.overdue(self.now, vanish) {
            self.abandoned.push(number);
            let fields = only("task", &number.to_string());
            self.note(NoteCode::TaskLost, NoteLevel::Warning, "A task did not end in its time: treated as lost.", fields);
            let compares = self.share.as_ref().is_some_and(|share| !share.cache_only);
            if role == Role::Send {
                self.abandon_send();
            } else if vanished && role == Role::Load && compares && !self.closing {
                // Nothing is wrong with the store either.
                self.tasks.take(number);
                self.ask_store();
            } else {
                self.finished(number, crate::contract::Outcome::Lost);
            }
            let shared = self.federation().is_none_or(|federation| federation.identity_token.shared());
            if vanished && (role == Role::Read || role == Role::Send && !shared) {
                // Nothing is wrong with what was asked, and a source that mints has another identity token: whoever waits now
                // asks anew, at once.
                self.failure = None;
                self.pace.retry_at = self.now;
                self.pace.look_at = self.pace.floor;
            }
        }
    }

    fn epoch(&self) -> Epoch {
        Epoch { now: self.now, wall_ms: self.wall_ms, steady_ms: self.steady_ms }
    }

    /// *Secret.* All that is known, as a journal or, with the lease that is to stand in it, as an entry.
    fn state_document(&self, ledger: &Ledger, lease: Option<&Lease>) -> Secret {
        let known = Known {
            configuration: self.identity.configuration(),
            identity: self.identity.owner(),
            held: self.held.as_ref(),
            ends: self.share.is_some().then_some(&self.ends),
            pace: &self.pace,
            failure: self.failure.as_ref().map(|trouble| &trouble.failure),
            ledger,
            rejections: &self.rejections,
            lease,
        };
        known.write(self.epoch())
    }

    fn federation(&self) -> Option<&Federation> {
        match &self.plan {
            Plan::Federation(federation) => Some(federation),
            _ => None,
        }
    }

    fn note(&mut self, code: NoteCode, level: NoteLevel, message: &str, fields: Vec<Field>) {
        // A step that notes more than this is in a state that nobody will read about.
        if self.notes.len() < 32 {
            self.notes.push(Note { code, level, message: message.to_owned(), fields });
        }
    }

    fn warn(&mut self, warning: Warning) {
        match self.warnings.iter_mut().find(|known| known.kind == warning.kind) {
            Some(known) => known.text = warning.text,
            None => {
                self.note(NoteCode::LifetimesConflict, NoteLevel::Warning, &warning.text, Vec::new());
                self.warnings.push(warning);
            }
        }
    }

    /// What is secret and at hand.
    fn secrets(&self) -> Vec<&str> {
        let held = self.held.iter().chain(self.passing.as_deref()).map(|held| &held.value);
        let sent = self.late.iter().map(|sent| &sent.identity.value);
        held.chain(sent).map(Secret::reveal).collect()
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

    fn fail(&mut self, code: FailureCode, message: String, action: &str, until: Option<Moment>) {
        let failure = Failure {
            code,
            message,
            action: action.to_owned(),
            retry_in_ms: None,
            rotation_in_ms: None,
            status: None,
            request_id: None,
        };
        self.failure = Some(Trouble { failure, until, rotation: None });
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
        Some(what) => {
            Err(ConfigurationError { field: field.to_owned(), message: format!("cannot work in this host: it does not {what}") })
        }
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

fn secret_content(outcome: crate::contract::Outcome) -> Result<Secret, crate::contract::Outcome> {
    match outcome {
        crate::contract::Outcome::Content(content) => Ok(content),
        other => Err(other),
    }
}
