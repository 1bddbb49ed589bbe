//! The driver of the session: follows the rules of `wit/session.wit`, one call at a time.

use std::collections::VecDeque;
use std::mem;

use wasi::clocks::monotonic_clock;
use wasi::io::poll::{self, Pollable};
use wasi::random::random;
use wif_engine::Session;
use wif_engine::contract::{
    Access, Capability, ConfigurationError, Event, Failure, FailureCode, NumberedTask, Outcome, Progress, Start, Status, Task,
    TaskResult, Usable,
};

use crate::clock::{Clock, Instant, NANOS_PER_MS, instant};
use crate::directory::{self, Directory};
use crate::environment;
use crate::files;
use crate::http::Exchange;
use crate::log;

/// A caller waits no longer, in nanoseconds: longer than an exchange with the default time limit takes.
const LONGEST_CALL: u64 = 35_000 * NANOS_PER_MS;

/// As many tasks are answered in one turn; then it is looked at whether the caller's time is over.
const TASKS_PER_TURN: usize = 64;

const CAN: [Capability; 3] = [Capability::ReadFile, Capability::ReadVariable, Capability::Store];

/// One session and what is under way for it.
///
/// Nobody reads the journals: what outlives the instance is in the entry.
pub(crate) struct Driver {
    session: Session,
    store: Option<Directory>,
    clock: Clock,
    tasks: VecDeque<NumberedTask>,
    exchanges: Vec<(u32, Exchange)>,
    /// What an exchange brought is not in the store yet.
    unsaved: bool,
    // The newest output.
    access: Access,
    exchanging: Progress,
    wait_at_most: u64,
    wake_at: Option<Instant>,
}

impl Driver {
    /// Opens the session. Fails when the variable of the configuration holds something that can never work.
    pub(crate) fn open() -> Result<Self, Failure> {
        let configuration = environment::variable(environment::CONFIGURATION);
        let configuration = configuration.as_deref().unwrap_or("{}");
        let store = Directory::from_environment();
        let can = if store.is_some() { &CAN[..] } else { &CAN[..2] };
        let mut clock = Clock::default();
        let open = |start| Session::open(configuration, random::get_random_u64(), can, start).map_err(unusable_configuration);
        let mut session = open(Start::Fresh)?;
        if let Some(store) = &store {
            // Which entry it is shows when discovery is done. A session that begins with its document, which is a journal as well,
            // serves a token on that the API has rejected; others adopt none of these.
            let left = entry_key(&mut session, &mut clock).map(|key| store.load(&key));
            session = open(match left {
                Some(Outcome::Entry(entry)) => Start::Resumed(entry.value),
                _ => Start::Fresh,
            })?;
        }
        if store.is_none() {
            log::warn(&alone());
        }
        let mut driver = Self {
            session,
            store,
            clock,
            tasks: VecDeque::new(),
            exchanges: Vec::new(),
            unsaved: false,
            access: Access::Idle,
            exchanging: Progress::Resting,
            wait_at_most: 0,
            wake_at: None,
        };
        driver.step(Event::Woken);
        Ok(driver)
    }

    /// A token, from memory where that is allowed.
    pub(crate) fn token(&mut self) -> Result<Usable, Failure> {
        let called = instant();
        // First what came since the last call, for it may be all that is needed.
        self.work();
        self.step(Event::Needed);
        loop {
            self.work();
            let now = instant();
            let until = match &self.access {
                Access::Usable(_) | Access::Failed(_) if self.owes() && now < called.saturating_add(LONGEST_CALL) => {
                    called.saturating_add(LONGEST_CALL)
                }
                Access::Usable(usable) => {
                    let until = called.saturating_add(self.wait_at_most);
                    if now >= until || self.exchanging == Progress::Resting || usable.hold_in_ms != Some(0) {
                        return Ok(usable.clone());
                    }
                    until
                }
                Access::Failed(failure) => return Err(failure.clone()),
                // The session is never closed here, and not idle after it was told of a caller.
                Access::Pending(_) | Access::Idle | Access::Closed => called.saturating_add(LONGEST_CALL),
            };
            if now >= until {
                return Err(overdue());
            }
            self.pass(until);
        }
    }

    /// The API answered 401 to the token with this id. What this starts is waited for only where others would miss it.
    pub(crate) fn reject(&mut self, id: String) {
        let until = instant().saturating_add(LONGEST_CALL);
        self.work();
        self.step(Event::Rejected(id));
        self.work();
        while self.owes() && instant() < until {
            self.pass(until);
        }
    }

    /// Where credentials from here may go.
    pub(crate) fn origin(&mut self) -> Result<String, Failure> {
        self.look();
        match (&self.access, self.session.entry_key()) {
            (Access::Failed(failure), None) => return Err(failure.clone()),
            (_, None) => return Err(overdue()),
            _ => {}
        }
        let fields = self.session.status(self.clock.now()).configuration;
        let base_url = fields.iter().find(|field| field.name == "base_url").map(|field| field.value.as_str());
        // The engine has read it already.
        wif_engine::origin_of(base_url.unwrap_or_default()).map_err(|_| overdue())
    }

    /// A glance.
    pub(crate) fn status(&mut self) -> Status {
        self.look();
        let mut status = self.session.status(self.clock.now());
        if self.store.is_none() {
            status.warnings.push(alone());
        }
        status
    }

    /// Whether an exchange of this instance has not ended for the others. A host that gives an entry a place drops instances at
    /// will, and with this one the result would be lost and its identity token spent in vain.
    fn owes(&self) -> bool {
        self.store.is_some() && (self.unsaved || !self.exchanges.is_empty())
    }

    /// Waits for what comes next, at most until then.
    fn pass(&mut self, until: Instant) {
        if self.tasks.is_empty() {
            self.wait(until);
            self.work();
            self.step(Event::Woken);
        } else {
            self.work();
        }
    }

    /// Answers tasks and takes results, as far as that goes without waiting.
    fn work(&mut self) {
        self.collect();
        for _ in 0..TASKS_PER_TURN {
            let Some(NumberedTask { number, task }) = self.tasks.pop_front() else { return };
            if let Some(outcome) = self.perform(number, task) {
                self.finished(number, outcome);
            }
        }
    }

    /// Takes the results that are there.
    fn collect(&mut self) {
        for (number, exchange) in mem::take(&mut self.exchanges) {
            match exchange.look(instant()) {
                Ok(outcome) => {
                    self.finished(number, outcome);
                    self.unsaved = self.tasks.iter().any(|task| matches!(task.task, Task::SwapEntry(_)));
                }
                Err(running) => self.exchanges.push((number, running)),
            }
        }
    }

    /// Learns what there is to learn without a trace: discovery is done, and no exchange is begun that nobody would wait for.
    fn look(&mut self) {
        self.collect();
        while let Some(NumberedTask { number, task }) = self.tasks.front() {
            let (number, outcome) = match task {
                Task::ReadFile(request) => (*number, files::read(request)),
                Task::ReadVariable(name) => (*number, environment::read(name)),
                _ => return,
            };
            self.tasks.pop_front();
            self.finished(number, outcome);
        }
    }

    /// Performs a task; a request that takes its time has no outcome yet.
    fn perform(&mut self, number: u32, task: Task) -> Option<Outcome> {
        match task {
            Task::SendRequest(request) => {
                let started = Exchange::start(request, instant()).and_then(|exchange| match exchange.look(instant()) {
                    Ok(outcome) => Err(outcome),
                    Err(running) => Ok(running),
                });
                match started {
                    Ok(running) => {
                        self.exchanges.push((number, running));
                        None
                    }
                    Err(outcome) => Some(outcome),
                }
            }
            Task::ReadFile(request) => Some(files::read(&request)),
            Task::ReadVariable(name) => Some(environment::read(&name)),
            Task::LoadEntry(key) => Some(self.store.as_ref().map_or(Outcome::Unsupported, |store| store.load(&key))),
            Task::SwapEntry(swap) => {
                let outcome = self.store.as_ref().map_or(Outcome::Unsupported, |store| store.swap(&swap));
                // After a conflict the session swaps again.
                self.unsaved &= matches!(outcome, Outcome::Conflict(_));
                Some(outcome)
            }
            Task::SupplyAssertion(_) | Task::SupplyToken(_) | Task::Sign(_) => Some(Outcome::Unsupported),
        }
    }

    fn finished(&mut self, number: u32, outcome: Outcome) {
        self.step(Event::Finished(TaskResult { number, outcome }));
    }

    fn step(&mut self, event: Event) {
        let output = self.session.step(self.clock.now(), event);
        let later = |ms: u64| ms.saturating_mul(NANOS_PER_MS);
        self.access = output.access;
        self.exchanging = output.exchanging;
        self.wait_at_most = later(u64::from(output.wait_at_most_ms));
        self.wake_at = output.wake_in_ms.map(|ms| instant().saturating_add(later(u64::from(ms))));
        output.notes.iter().for_each(log::note);
        // `abandon` is not obeyed: a late answer is still welcome, and nothing else takes time.
        self.tasks.extend(output.tasks);
    }

    /// Sleeps until something comes in, the session wants to be woken, or `until`.
    fn wait(&self, until: Instant) {
        let ends = self.exchanges.iter().map(|(_, exchange)| exchange.deadline()).chain(self.wake_at);
        let timer = monotonic_clock::subscribe_instant(ends.fold(until, Instant::min));
        let mut pollables: Vec<Pollable> = self.exchanges.iter().map(|(_, exchange)| exchange.subscribe()).collect();
        pollables.push(timer);
        poll::poll(&pollables.iter().collect::<Vec<_>>());
    }
}

/// Discovers far enough to know under which key the entry is.
fn entry_key(session: &mut Session, clock: &mut Clock) -> Option<String> {
    let mut tasks = VecDeque::from(session.step(clock.now(), Event::Woken).tasks);
    loop {
        if let Some(key) = session.entry_key() {
            return Some(key);
        }
        let NumberedTask { number, task } = tasks.pop_front()?;
        let outcome = match task {
            Task::ReadFile(request) => files::read(&request),
            Task::ReadVariable(name) => environment::read(&name),
            _ => return None,
        };
        tasks.extend(session.step(clock.now(), Event::Finished(TaskResult { number, outcome })).tasks);
    }
}

/// What is said where instances have nothing in common.
fn alone() -> String {
    format!(
        "Identity tokens that can be exchanged once are not protected: other instances, and later ones, do not learn what this \
         one has exchanged. Name a directory that they share in {}.",
        directory::VARIABLE
    )
}

fn unusable_configuration(error: ConfigurationError) -> Failure {
    let ConfigurationError { field, message } = error;
    let variable = environment::CONFIGURATION;
    let message = if field.is_empty() {
        format!("The document in {variable} {message}.")
    } else {
        format!("In the document in {variable}, {field} {message}.")
    };
    let action = format!("Correct the variable {variable}.");
    Failure { code: FailureCode::Configuration, message, action, retry_in_ms: None, status: None, request_id: None }
}

fn overdue() -> Failure {
    Failure {
        code: FailureCode::EndpointUnreachable,
        message: format!("The token endpoint has not answered within {} s.", LONGEST_CALL / NANOS_PER_MS / 1_000),
        action: "Nothing needs to be done: the exchange runs on, and the next call waits for it.".to_owned(),
        retry_in_ms: Some(0),
        status: None,
        request_id: None,
    }
}
