//! The session with all that can be done for it at once: variables, files, the entry. Requests to the token endpoint take time,
//! and are left to the driver of the world.

use std::collections::VecDeque;
use std::mem;

use wasi::random::random;
use wif_engine::Session;
use wif_engine::contract::{
    Access, Capability, ConfigurationError, Event, Failure, FailureCode, HttpRequest, NumberedTask, Outcome, PendingReason,
    Start, Status, Task, TaskResult, Usable,
};
use wif_rules::{Look, Snapshot, Waiter};

use crate::clock::{Clock, Instant, NANOS_PER_MS, instant};
use crate::directory::{self, Directory};
use crate::environment;
use crate::files;
use crate::log;

/// A caller waits no longer, in nanoseconds: longer than an exchange with the default time limit takes.
pub const LONGEST_CALL: u64 = 35_000 * NANOS_PER_MS;

/// A store that fails is tried again after five seconds; after three times nobody waits for it any longer. In nanoseconds.
const SAVING: u64 = 16_000 * NANOS_PER_MS;

/// As many tasks are answered in one turn; then it is looked at whether the caller's time is over.
const TASKS_PER_TURN: usize = 64;

const CAN: [Capability; 3] = [Capability::ReadFile, Capability::ReadVariable, Capability::Store];

/// One session, and what it wants done.
///
/// Nobody reads the journals: what outlives the instance is in the entry.
pub struct Desk {
    session: Session,
    store: Option<Directory>,
    clock: Clock,
    tasks: VecDeque<NumberedTask>,
    /// Requests that wait to be sent.
    outbox: Vec<(u32, HttpRequest)>,
    /// How many have been taken from there and have not been answered.
    out: usize,
    /// What an exchange brought is not in the store yet. It is waited for until then.
    unsaved: Option<Instant>,
    /// The session was told that it is open.
    begun: bool,
    /// The origin as a glance found it, until the session knows.
    origin: Option<String>,
    /// The newest output, as callers read it.
    published: Snapshot<Usable, Failure, PendingReason>,
    wake_at: Option<Instant>,
}

/// A call for a token.
pub struct Call {
    waiter: Waiter,
    /// Until then it waits.
    until: Instant,
    /// Before that it does not leave while its own instance's exchanges are under way.
    settled_by: Instant,
}

/// What a call does.
pub enum Next {
    /// Takes this.
    Answer(Result<Usable, Failure>),
    /// Waits for what comes next, at most until then.
    Wait(Instant),
}

impl Desk {
    /// Opens the session. Fails when the variable of the configuration holds something that can never work.
    #[inline]
    pub fn open() -> Result<Self, Failure> {
        let configuration = environment::variable(environment::CONFIGURATION);
        let configuration = configuration.as_deref().unwrap_or("{}");
        let store = Directory::from_environment();
        let can = capabilities(store.as_ref());
        let clock = Clock::default();
        let open = |start| Session::open(configuration, random::get_random_u64(), can, start).map_err(unusable_configuration);
        let mut session = open(Start::Fresh)?;
        if let Some(store) = &store {
            // Which entry it is shows when the source was read. A session that begins with its document, which is a journal as well,
            // serves a token on that the API has rejected; others adopt none of these.
            session = open(left_in(store, can)?)?;
        }
        if store.is_none() {
            log::warn(&alone());
        }
        Ok(Self {
            session,
            store,
            clock,
            tasks: VecDeque::new(),
            outbox: Vec::new(),
            out: 0,
            unsaved: None,
            begun: false,
            origin: None,
            published: Snapshot::before_the_first_step(PendingReason::Discovering),
            wake_at: None,
        })
    }

    /// Tells the session that it is open, before the first event that may start an exchange. Whoever only looks does not: what
    /// a session wants done has its time, and who looks does it not.
    #[inline]
    pub fn begin(&mut self) {
        if !mem::replace(&mut self.begun, true) {
            self.step(Event::Woken);
        }
    }

    /// Somebody calls now, and tells the session next. One that settles does not leave before its own instance's exchanges have
    /// ended.
    #[inline]
    pub fn call(&self, settles: bool) -> Call {
        let now = instant();
        let until = now.saturating_add(LONGEST_CALL);
        Call { waiter: Waiter::new(self.published.generation), until, settled_by: if settles { until } else { now } }
    }

    /// What it does now.
    #[inline]
    pub fn next(&self, call: &mut Call) -> Next {
        let now = instant();
        // The session has been told that a token is needed.
        let (answer, until) = match call.waiter.look(&self.published, now / NANOS_PER_MS) {
            Look::Take(usable) => (Some(Ok(usable)), call.until),
            Look::Refuse(failure) => (Some(Err(failure)), call.until),
            Look::Wait { at_most_ms: Some(left), .. } => (None, now.saturating_add(left.saturating_mul(NANOS_PER_MS))),
            // The session is never closed here, and the call waits for any token.
            Look::Wait { .. } | Look::Closed | Look::NoOther => (None, call.until),
        };
        match answer {
            Some(_) if self.owes() && now < call.settled_by => Next::Wait(call.settled_by),
            Some(answer) => Next::Answer(answer.cloned().map_err(Failure::clone)),
            None if now >= call.until => Next::Answer(Err(overdue())),
            None => Next::Wait(until),
        }
    }

    /// Where credentials from here may go.
    #[inline]
    pub fn origin(&mut self) -> Result<String, Failure> {
        if self.session.entry_key().is_some() {
            return origin_of(self.session.status(self.clock.now()));
        }
        if let Some(origin) = &self.origin {
            return Ok(origin.clone());
        }
        let glance = Glance::take(self.can(), Start::Fresh)?;
        match &glance.access {
            Access::Failed(failure) if failure.code == FailureCode::Configuration => Err(failure.clone()),
            _ => {
                let origin = origin_of(glance.status())?;
                self.origin = Some(origin.clone());
                Ok(origin)
            }
        }
    }

    /// A glance.
    #[inline]
    pub fn status(&mut self) -> Status {
        let glance = if self.begun { None } else { self.glance().ok() };
        let mut status = glance.map_or_else(|| self.session.status(self.clock.now()), Glance::status);
        if self.store.is_none() {
            status.warnings.push(alone());
        }
        status
    }

    /// What this session would begin with.
    #[inline]
    fn glance(&self) -> Result<Glance, Failure> {
        let left = self.store.as_ref().map_or(Ok(Start::Fresh), |store| left_in(store, self.can()))?;
        Glance::take(self.can(), left)
    }

    #[inline]
    fn can(&self) -> &'static [Capability] {
        capabilities(self.store.as_ref())
    }

    /// Whether an exchange of this instance has not ended for the others. A host that gives an entry a place drops instances at
    /// will, and with this one the result would be lost and its identity token spent in vain.
    #[inline]
    pub fn owes(&self) -> bool {
        self.owes_entry() || self.store.is_some() && (self.out > 0 || !self.outbox.is_empty())
    }

    /// Whether what an exchange brought is not in the store yet.
    #[inline]
    pub fn owes_entry(&self) -> bool {
        self.store.is_some() && self.unsaved.is_some_and(|until| instant() < until)
    }

    /// Whether the session wants to be woken.
    #[inline]
    pub fn wake_at(&self) -> Option<Instant> {
        self.wake_at
    }

    /// Whether there is more to do at once.
    #[inline]
    pub fn is_busy(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// Requests to send. Each is answered once.
    #[inline]
    pub fn take_outbox(&mut self) -> Vec<(u32, HttpRequest)> {
        let requests = mem::take(&mut self.outbox);
        self.out += requests.len();
        requests
    }

    /// What came of a request.
    #[inline]
    pub fn answered(&mut self, number: u32, outcome: Outcome) {
        self.out = self.out.saturating_sub(1);
        self.finished(number, outcome);
        let saving = self.tasks.iter().any(|task| matches!(task.task, Task::SwapEntry(_)));
        self.unsaved = saving.then(|| instant().saturating_add(SAVING));
    }

    /// Answers tasks, as far as that goes without waiting.
    #[inline]
    pub fn work(&mut self) {
        for _ in 0..TASKS_PER_TURN {
            let Some(NumberedTask { number, task }) = self.tasks.pop_front() else { return };
            if let Some(outcome) = self.perform(number, task) {
                self.finished(number, outcome);
            }
        }
    }

    /// Performs a task; a request has no outcome yet.
    #[inline]
    fn perform(&mut self, number: u32, task: Task) -> Option<Outcome> {
        match task {
            Task::SendRequest(request) => {
                self.outbox.push((number, request));
                None
            }
            Task::ReadFile(request) => Some(files::read(&request)),
            Task::ReadVariable(name) => Some(environment::read(&name)),
            Task::LoadEntry(key) => Some(self.store.as_ref().map_or(Outcome::Unsupported, |store| store.load(&key))),
            Task::SwapEntry(swap) => {
                let outcome = self.store.as_ref().map_or(Outcome::Unsupported, |store| store.swap(&swap));
                // Otherwise the session swaps again: at once after a conflict, after a pause if the store failed.
                if matches!(outcome, Outcome::Swapped(_)) {
                    self.unsaved = None;
                }
                Some(outcome)
            }
            Task::SupplyAssertion(_) | Task::SupplyToken(_) | Task::Sign(_) => Some(Outcome::Unsupported),
        }
    }

    #[inline]
    fn finished(&mut self, number: u32, outcome: Outcome) {
        self.step(Event::Finished(TaskResult { number, outcome }));
    }

    /// Tells the session, and keeps what it wants done.
    #[inline]
    pub fn step(&mut self, event: Event) {
        let output = self.session.step(self.clock.now(), event);
        let now = instant();
        // Generations matter where a token of unknown life passes, which only an embedding program supplies.
        self.published = output.snapshot(now / NANOS_PER_MS);
        self.wake_at = output.wake_in_ms.map(|ms| now.saturating_add(u64::from(ms) * NANOS_PER_MS));
        output.notes.iter().for_each(log::note);
        // `abandon` is not obeyed: a late answer is still welcome, and nothing else takes time.
        self.tasks.extend(output.tasks);
    }
}

/// A session to look at and throw away. It discovers and reads its source, and starts nothing else.
struct Glance {
    session: Session,
    clock: Clock,
    access: Access,
}

impl Glance {
    #[inline]
    fn take(can: &[Capability], start: Start) -> Result<Self, Failure> {
        let configuration = environment::variable(environment::CONFIGURATION).unwrap_or_else(|| "{}".to_owned());
        let session = Session::open(&unhurried(&configuration), 0, can, start).map_err(unusable_configuration)?;
        let mut glance = Self { session, clock: Clock::default(), access: Access::Idle };
        glance.step(Event::Woken);
        Ok(glance)
    }

    #[inline]
    fn step(&mut self, event: Event) {
        let mut output = self.session.step(self.clock.now(), event);
        let mut tasks = VecDeque::from(output.tasks);
        while let Some(NumberedTask { number, task }) = tasks.pop_front() {
            let outcome = match task {
                Task::ReadFile(request) => files::read(&request),
                Task::ReadVariable(name) => environment::read(&name),
                _ => break,
            };
            output = self.session.step(self.clock.now(), Event::Finished(TaskResult { number, outcome }));
            tasks.extend(output.tasks);
        }
        self.access = output.access;
    }

    #[inline]
    fn status(mut self) -> Status {
        self.session.status(self.clock.now())
    }
}

/// What a session begins with, by the key that a glance has found.
#[inline]
fn left_in(store: &Directory, can: &[Capability]) -> Result<Start, Failure> {
    let mut glance = Glance::take(can, Start::Fresh)?;
    // The source is read for somebody who needs a token.
    glance.step(Event::Needed);
    match glance.session.entry_key().map(|key| store.load(&key)) {
        Some(Outcome::Entry(entry)) => Ok(Start::Resumed(entry.value)),
        _ => Ok(Start::Fresh),
    }
}

/// The same configuration for a session that exchanges nothing before somebody needs it.
#[inline]
fn unhurried(configuration: &str) -> String {
    match serde_json::from_str(configuration) {
        Ok(serde_json::Value::Object(mut fields)) => {
            fields.insert("prefetch".to_owned(), false.into());
            serde_json::Value::Object(fields).to_string()
        }
        // The engine says what is wrong.
        _ => configuration.to_owned(),
    }
}

#[inline]
fn capabilities(store: Option<&Directory>) -> &'static [Capability] {
    if store.is_some() { &CAN } else { &CAN[..2] }
}

#[inline]
fn origin_of(status: Status) -> Result<String, Failure> {
    let base_url = status.configuration.iter().find(|field| field.name == "base_url").map(|field| field.value.as_str());
    // The engine has read it already.
    wif_engine::origin_of(base_url.unwrap_or_default()).map_err(|_| overdue())
}

/// What is said where instances have nothing in common.
#[inline]
fn alone() -> String {
    format!(
        "Identity tokens that can be exchanged once are not protected: other and later instances do not learn what this one \
         has exchanged. Name a directory that they share in {}.",
        directory::VARIABLE
    )
}

#[inline]
fn unusable_configuration(error: ConfigurationError) -> Failure {
    let ConfigurationError { field, message } = error;
    let variable = environment::CONFIGURATION;
    let message = if field.is_empty() {
        format!("The document in {variable} {message}.")
    } else {
        format!("In the document in {variable}, {field} {message}.")
    };
    let action = format!("Correct the variable {variable}.");
    Failure {
        code: FailureCode::Configuration,
        message,
        action,
        retry_in_ms: None,
        rotation_in_ms: None,
        status: None,
        request_id: None,
    }
}

#[inline]
fn overdue() -> Failure {
    Failure {
        code: FailureCode::EndpointUnreachable,
        message: format!("The token endpoint has not answered within {} s.", LONGEST_CALL / NANOS_PER_MS / 1_000),
        action: "Wait: the exchange runs on, and the next call takes its result.".to_owned(),
        retry_in_ms: Some(0),
        rotation_in_ms: None,
        status: None,
        request_id: None,
    }
}
