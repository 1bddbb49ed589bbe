//! The driver of the session, by the rules of `wit/session.wit`: for a host with ticks and callbacks and nothing else. It has no
//! timers and no steady clock, and whoever performs a task may vanish.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use wif_engine::contract::{
    Access, Capability, Clock, ConfigurationError, Event, Failure, Note, NumberedTask, Outcome, Output, PendingReason, Standing,
    Start, Task, TaskResult, Usable,
};
use wif_engine::{Secret, Session};
use wif_rules::{Advice as Rule, Look, Snapshot, Waiter};

/// How often a task that is performed shows that it lives, in milliseconds.
const BEAT_MS: u64 = 1_000;

/// How often callers can have the session entered, in milliseconds: once has the effect of many.
const ASKING_MS: u64 = 100;

/// So many tasks are answered in one turn.
const TASKS_PER_TURN: usize = 64;

/// What a driver finds around it.
pub trait Host {
    /// The wall clock, in milliseconds of Unix time.
    fn wall_ms(&self) -> u64;
    /// Starts a task. Some outcomes are there at once; of the others [`Driver::finished`] is told later.
    fn start(&mut self, number: u32, task: Task) -> Option<Outcome>;
    /// Something changed: for logs and metrics.
    fn note(&mut self, note: &Note);
}

/// What is driven: the engine's session, and in tests what plays one.
///
/// Nothing here but what the filter needs: whatever a trait object has is linked, called or not.
pub trait Machine {
    /// Takes an event and answers.
    fn step(&mut self, now: Clock, event: Event) -> Output;
    /// Under which key a store has its entry.
    fn entry_key(&self) -> Option<String>;
    /// The engine's session, where it is one.
    fn as_session(&self) -> Option<&Session> {
        None
    }
}

impl fmt::Debug for dyn Machine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Machine")
    }
}

impl Machine for Session {
    fn step(&mut self, now: Clock, event: Event) -> Output {
        Self::step(self, now, event)
    }

    fn entry_key(&self) -> Option<String> {
        Self::entry_key(self)
    }

    fn as_session(&self) -> Option<&Session> {
        Some(self)
    }
}

/// Opens what is driven, from a document, a seed, capabilities and what came before.
pub type Open = fn(&str, u64, &[Capability], Start) -> Result<Box<dyn Machine>, ConfigurationError>;

/// Opens the engine's session.
///
/// # Errors
///
/// The document can never work here; the error names its field.
pub fn open_session(
    configuration: &str,
    seed: u64,
    can: &[Capability],
    from: Start,
) -> Result<Box<dyn Machine>, ConfigurationError> {
    Ok(Box::new(Session::open(configuration, seed, can, from)?))
}

/// One session, what callers may read of it, and what is under way for it.
#[derive(Debug)]
pub struct Driver {
    session: Box<dyn Machine>,
    /// The wall clock as last seen, and the milliseconds that it went forward since the driver was made. What it goes back does
    /// not count.
    wall_ms: u64,
    elapsed_ms: u64,
    published: Snapshot<Usable, Failure, PendingReason>,
    /// The newest output's access, as the session said it.
    access: Access,
    wake_at_ms: Option<u64>,
    /// The tasks that are performed, and when they last showed that they live.
    running: BTreeMap<u32, u64>,
    queue: VecDeque<NumberedTask>,
    journal: Option<Secret>,
    /// The token that a caller saw rejected, until the session has heard of it.
    unheard_rejection: Option<String>,
    needed: bool,
    asked_at_ms: Option<u64>,
}

/// What a caller does that has just come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advice {
    /// Go, with [`Driver::usable`].
    Serve,
    /// Wait for the next output for this many milliseconds at most, then go.
    Hold(u64),
    /// Wait for the next output.
    Wait,
    /// There is none, and waiting would not help.
    Fail(Failure),
    /// The session is closing.
    Closed,
}

/// What a caller does that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Goes with this one.
    Takes(Usable),
    /// There is no other than the rejected one.
    HasNoOther,
    /// Waits on.
    Waits,
    /// There is none, and waiting would not help.
    Fails(Failure),
    /// The session is closing.
    Closed,
}

/// A failure so long after it was said.
fn told(failure: &Failure, age_ms: u64) -> Failure {
    let left = |wait: u64| wait.saturating_sub(age_ms);
    let (retry_in_ms, rotation_in_ms) = (failure.retry_in_ms.map(left), failure.rotation_in_ms.map(left));
    Failure { retry_in_ms, rotation_in_ms, ..failure.clone() }
}

impl Driver {
    /// Around a session that was opened. Nothing happens before the first [`tick`](Self::tick).
    #[must_use]
    pub fn new(session: Box<dyn Machine>) -> Self {
        Self {
            session,
            wall_ms: 0,
            elapsed_ms: 0,
            published: Snapshot {
                access: wif_rules::Access::Idle,
                underway: false,
                ..Snapshot::before_the_first_step(PendingReason::Discovering)
            },
            access: Access::Idle,
            wake_at_ms: Some(0),
            running: BTreeMap::new(),
            queue: VecDeque::new(),
            journal: None,
            unheard_rejection: None,
            needed: false,
            asked_at_ms: None,
        }
    }

    /// What a caller does at this time of the wall clock. Does not enter the session; says by [`is_needed`](Self::is_needed) when it
    /// should be entered.
    pub fn advice(&mut self, wall_ms: u64) -> Advice {
        self.record_time(wall_ms);
        let (now, published) = (self.elapsed_ms, &self.published);
        let past_refresh = now >= published.nudge_from;
        let (advice, needed) = match published.advice(now) {
            // Its rejection has not been heard of yet: a moment later all is clear.
            Rule::Serve(usable) | Rule::Hold(usable) if self.unheard_rejection.as_ref() == Some(&usable.id) => {
                (Advice::Wait, true)
            }
            Rule::Serve(_) => (Advice::Serve, past_refresh),
            Rule::Hold(_) => (Advice::Hold(published.wait_at_most_ms), past_refresh),
            Rule::Wait => (Advice::Wait, false),
            Rule::Ask => (Advice::Wait, true),
            Rule::Refuse(failure) => (Advice::Fail(told(failure, now - published.at)), false),
            Rule::Closed => (Advice::Closed, false),
        };
        self.need(needed);
        advice
    }

    /// What somebody who waits does at this time of the wall clock. As [`advice`](Self::advice), it does not enter the session.
    pub fn look(&mut self, waiter: &mut Waiter, wall_ms: u64) -> Turn {
        self.record_time(wall_ms);
        let (now, published) = (self.elapsed_ms, &self.published);
        let unheard = matches!((&published.access, &self.unheard_rejection),
            (wif_rules::Access::Usable { token, .. }, Some(id)) if token.id == *id);
        let (turn, needed) = match waiter.look(published, now) {
            _ if unheard => (Turn::Waits, true),
            Look::Take(usable) => (Turn::Takes(usable.clone()), false),
            Look::NoOther => (Turn::HasNoOther, false),
            Look::Refuse(failure) => (Turn::Fails(told(failure, now - published.at)), false),
            Look::Closed => (Turn::Closed, false),
            Look::Wait { asks, .. } => (Turn::Waits, asks),
        };
        self.need(needed);
        turn
    }

    /// Once has the effect of many, for a while.
    fn need(&mut self, needed: bool) {
        let asked = self.asked_at_ms.is_some_and(|asked| self.elapsed_ms < asked + ASKING_MS);
        self.needed |= needed && !asked;
    }

    /// What callers read.
    #[must_use]
    pub fn published(&self) -> &Snapshot<Usable, Failure, PendingReason> {
        &self.published
    }

    /// The driver's own time at this time of the wall clock, in milliseconds: for how long something has lasted.
    pub fn elapsed_ms(&mut self, wall_ms: u64) -> u64 {
        self.record_time(wall_ms);
        self.elapsed_ms
    }

    /// Whether [`tick`](Self::tick) is wanted now, for a caller's sake.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.needed || self.unheard_rejection.is_some()
    }

    /// What the newest output says that callers may do.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// The token that may go, by the newest output. Whether it may, [`advice`](Self::advice) says.
    #[must_use]
    pub fn usable(&self) -> Option<&Usable> {
        match &self.access {
            Access::Usable(usable) => Some(usable),
            _ => None,
        }
    }

    /// Whether the API has rejected the token that is held.
    #[must_use]
    pub fn holds_a_rejected_token(&self) -> bool {
        let rejected =
            |usable: &Usable| usable.standing == Standing::Suspect || self.unheard_rejection.as_ref() == Some(&usable.id);
        self.usable().is_some_and(rejected)
    }

    /// The API answered 401 to the token with this id. Whether that is news, the session knows; it hears of it with the next
    /// [`tick`](Self::tick), and callers wait for that.
    pub fn report_rejection(&mut self, id: &str) {
        if self.usable().is_some_and(|usable| usable.id == id) {
            self.unheard_rejection = Some(id.to_owned());
        }
    }

    /// Time has passed, or somebody is waiting. `changed`: and the store was written since.
    pub fn tick(&mut self, host: &mut impl Host, changed: bool) {
        self.record_time(host.wall_ms());
        if let Some(id) = self.unheard_rejection.take() {
            self.event(host, Event::Rejected(id));
        }
        if changed {
            self.event(host, Event::Changed);
        }
        if std::mem::take(&mut self.needed) {
            self.asked_at_ms = Some(self.elapsed_ms);
            self.event(host, Event::Needed);
        } else if self.wake_at_ms.is_some_and(|wake| wake <= self.elapsed_ms) {
            self.event(host, Event::Woken);
        }
        let beating: Vec<u32> = self
            .running
            .iter_mut()
            .filter_map(|(number, beat)| {
                let due = self.elapsed_ms >= *beat + BEAT_MS;
                due.then(|| {
                    *beat = self.elapsed_ms;
                    *number
                })
            })
            .collect();
        for number in beating {
            self.event(host, Event::StillRunning(number));
        }
        self.work(host);
    }

    /// A task ended.
    pub fn finished(&mut self, host: &mut impl Host, number: u32, outcome: Outcome) {
        self.record_time(host.wall_ms());
        self.running.remove(&number);
        self.event(host, Event::Finished(TaskResult { number, outcome }));
        self.work(host);
    }

    /// Something else happened.
    pub fn happened(&mut self, host: &mut impl Host, event: Event) {
        self.record_time(host.wall_ms());
        self.event(host, event);
        self.work(host);
    }

    /// In how many milliseconds the next [`tick`](Self::tick) is wanted for the session's own sake; `None`: not at all.
    #[must_use]
    pub fn next_tick_in_ms(&self) -> Option<u64> {
        let beat = self.running.values().min().map(|beat| beat + BEAT_MS);
        let next = self.wake_at_ms.into_iter().chain(beat).min()?;
        Some(if self.queue.is_empty() { next.saturating_sub(self.elapsed_ms) } else { 0 })
    }

    /// Under which key the store has the entry that this session shares; none until discovery is done.
    #[must_use]
    pub fn entry_key(&self) -> Option<String> {
        self.session.entry_key()
    }

    /// *Secret.* What another session goes on from.
    pub fn take_journal(&mut self) -> Option<Secret> {
        self.journal.take()
    }

    /// The engine's session, for a glance.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.session.as_session()
    }

    fn record_time(&mut self, wall_ms: u64) {
        if self.wall_ms > 0 {
            self.elapsed_ms += wall_ms.saturating_sub(self.wall_ms);
        }
        self.wall_ms = wall_ms;
    }

    fn event(&mut self, host: &mut impl Host, event: Event) {
        let clock = Clock { wall_ms: self.wall_ms, steady_ms: None };
        let output = self.session.step(clock, event);
        let mut snapshot = output.snapshot(self.elapsed_ms);
        if let wif_rules::Access::Usable { refresh_at, .. } = &snapshot.access {
            snapshot.nudge_from = *refresh_at;
        }
        snapshot.follow(&self.published);
        self.published = snapshot;
        let Output { access, tasks, wake_in_ms, journal, notes, .. } = output;
        // `abandon` is not obeyed: a late answer is still welcome.
        if journal.is_some() {
            self.journal = journal;
        }
        self.access = access;
        self.wake_at_ms = wake_in_ms.map(|wake| self.elapsed_ms + u64::from(wake));
        self.queue.extend(tasks);
        for note in &notes {
            host.note(note);
        }
    }

    fn work(&mut self, host: &mut impl Host) {
        for _ in 0..TASKS_PER_TURN {
            let Some(NumberedTask { number, task }) = self.queue.pop_front() else { return };
            match host.start(number, task) {
                Some(outcome) => self.event(host, Event::Finished(TaskResult { number, outcome })),
                None => {
                    self.running.insert(number, self.elapsed_ms);
                }
            }
        }
    }
}
