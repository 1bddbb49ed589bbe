//! Drives one session by the rules for drivers of `wit/session.wit`: steps it, publishes what it says, does what it asks for.
//!
//! One task owns the session, so that steps are serial; nothing else ever enters the component.

mod checked;
mod notes;
#[cfg(test)]
mod orders;
mod pace;
mod recovery;
#[cfg(test)]
mod vectors;

use std::sync::Arc;

use tokio::sync::{broadcast, mpsc, oneshot};

use crate::bindings::types::{self, Event};
use crate::error::{BuildError, Error};
use crate::limits;
use crate::pool::Pool;
use crate::secret::Secret;
use crate::session::{Engine, Refused, Session, Stopped};
use crate::shared::watch;
use crate::snapshot::{Access, Published, Snapshot, Words as _, before_the_first_step};
use crate::status::{Change, Failure, Note, Status, shown};
use crate::tasks::{Ended, Host, Kind, Running};
use checked::Checked;
use pace::Pace;
use recovery::{Cause, Recovery, Restart};

/// What a handle asks of the driver.
pub(crate) enum Command {
    Rejected(String),
    Status(oneshot::Sender<Result<Status, Error>>),
    Settle(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

/// What a session is opened with, each time.
pub(crate) struct Opening {
    pub(crate) engine: Engine,
    /// Whose instances it may share. None for one of its own.
    pub(crate) pool: Option<Pool>,
    pub(crate) configuration: Secret,
    pub(crate) seed: u64,
    pub(crate) start: Start,
    /// What the session may ask for.
    pub(crate) can: Vec<types::Capability>,
}

/// What a session begins from.
#[derive(Debug, Clone, Default)]
pub enum Start {
    /// Nothing came before: the first start of this workload.
    #[default]
    Fresh,
    /// The newest journal of an earlier credential with the same or another configuration.
    Resumed(Secret),
    /// An earlier credential ran and its journal is lost. An identity token that is shared between reads may already have
    /// been exchanged, so the first one seen counts as uncertain.
    Lost,
}

pub(crate) struct Driver {
    opening: Opening,
    /// None while it may not be started again.
    session: Option<Session>,
    /// A new session after another one, which has not had its say yet: the last snapshot is served on.
    recovering: bool,
    recovery: Recovery,
    pace: Pace,
    host: Arc<Host>,
    running: Running,
    wake_at: Option<u64>,
    /// The newest journal was not handed to the program yet: there were too many.
    owes_journal: bool,
    published: Arc<Published>,
    generation: watch::Sender<u64>,
    changes: broadcast::Sender<Arc<Change>>,
    commands: mpsc::UnboundedReceiver<Command>,
    /// Who waits for the end of exchanges.
    settling: Vec<oneshot::Sender<()>>,
    /// What listeners heard last.
    told: Arc<Snapshot>,
}

impl Driver {
    pub(crate) fn new(
        opening: Opening,
        host: Arc<Host>,
        published: Arc<Published>,
        generation: watch::Sender<u64>,
        changes: broadcast::Sender<Arc<Change>>,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> Result<Self, BuildError> {
        let mut driver = Self {
            opening,
            session: None,
            recovering: false,
            recovery: Recovery::default(),
            pace: Pace::default(),
            host,
            running: Running::default(),
            wake_at: None,
            owes_journal: false,
            published,
            generation,
            changes,
            commands,
            settling: Vec::new(),
            told: Arc::new(before_the_first_step()),
        };
        if let Start::Resumed(journal) = &driver.opening.start {
            // The newest until a step brings another, which a session that finds all as it was does not.
            driver.published.journal.store(Some(Arc::new(journal.clone())));
        }
        let session = driver.open().map_err(|refused| match refused {
            Refused::Configuration(error) => {
                BuildError::Configuration { field: shown(error.field), message: shown(error.message) }
            }
            Refused::Stopped(stopped) => BuildError::Component(stopped.to_string()),
        })?;
        driver.session = Some(session);
        Ok(driver)
    }

    /// Until it is closed, or the last handle is dropped.
    pub(crate) async fn run(mut self) {
        self.step(Event::Woken);
        loop {
            // Whatever has happened waits, too: callers read the snapshot.
            sleep_until(&self.host, Some(self.pace.rests_until())).await;
            tokio::select! {
                command = self.commands.recv() => match command {
                    None => return,
                    Some(Command::Rejected(id)) => self.step(Event::Rejected(id)),
                    Some(Command::Status(asker)) => {
                        // Who asked may have gone.
                        let _ = asker.send(self.status());
                    }
                    Some(Command::Settle(asker)) => self.settling.push(asker),
                    Some(Command::Close(asker)) => {
                        self.step(Event::Closing);
                        self.close();
                        let _ = asker.send(());
                        return;
                    }
                },
                (needed, changed) = self.published.hints() => {
                    if needed {
                        self.step(Event::Needed);
                    }
                    if changed {
                        self.step(Event::Changed);
                    }
                }
                ended = self.running.next() => self.finish(ended),
                () = sleep_until(&self.host, self.wake_at) => self.wake(),
            }
            if !self.running.may_spend() && !self.published.snapshot.load().underway {
                for asker in self.settling.drain(..) {
                    // Who asked may have gone.
                    let _ = asker.send(());
                }
            }
        }
    }

    fn wake(&mut self) {
        self.wake_at = None;
        if self.session.is_some() {
            self.step(Event::Woken);
        } else {
            self.reopen();
        }
    }

    fn finish(&mut self, ended: Ended) {
        let Ended { number, kind, outcome } = ended;
        let now = self.host.clock.steady_ms();
        let outcome = if self.recovery.quarantines(Cause::Finished(kind), now) { types::Outcome::Lost } else { outcome };
        self.step_because(Event::Finished(types::TaskResult { number, outcome }), Cause::Finished(kind));
    }

    fn step(&mut self, event: Event) {
        let cause = match &event {
            Event::Needed => Cause::Needed,
            Event::Rejected(_) => Cause::Rejected,
            Event::Changed => Cause::Changed,
            Event::Closing => Cause::Closing,
            Event::Woken | Event::StillRunning(_) | Event::Finished(_) => Cause::Woken,
        };
        self.step_because(event, cause);
    }

    fn step_because(&mut self, mut event: Event, cause: Cause) {
        let Some(session) = &self.session else { return };
        // The time in which others are in the same instance is not this one's.
        let mut entered = session.enter();
        let now = self.host.clock.now();
        let stepped = entered.step(types::Clock { wall_ms: now.wall_ms, steady_ms: Some(now.steady_ms) }, &event);
        drop(entered);
        let ended = self.host.clock.steady_ms();
        self.pace.stepped(now.steady_ms, ended);
        if matches!(cause, Cause::Finished(_)) {
            self.pace.handed_over(ended);
        }
        if matches!(stepped, Err(Stopped::ByAnother)) {
            self.move_on(event, cause, now.steady_ms);
            return;
        }
        checked::wipe(&mut event);
        match stepped.map(|output| Checked::check(output, now.steady_ms, ended, &self.host.policy, &self.host.grants)) {
            Ok(Ok(checked)) => {
                self.recovery.passed(cause, now.steady_ms);
                self.accept(checked, cause, now.steady_ms);
            }
            Ok(Err(breach)) => {
                let breach = format!("it broke the contract: {breach}");
                self.recover(&breach, Cause::Answering, now.steady_ms);
            }
            Err(stopped) => self.recover(&stopped.to_string(), cause, now.steady_ms),
        }
    }

    /// The instance that it shared is gone, through no fault of its own. The event has not been heard.
    fn move_on(&mut self, mut event: Event, cause: Cause, now: u64) {
        tracing::warn!(target: "wif", code = "component-stopped", "{}", Stopped::ByAnother);
        self.session = None;
        self.running = Running::default();
        match self.recovery.disturbed(now) {
            Restart::Now => self.reopen(),
            Restart::At(at) => self.rest(&Stopped::ByAnother.to_string(), at, now),
        }
        match cause {
            // The new session wakes first of all.
            Cause::Woken | Cause::Opening | Cause::Answering => {}
            // It never asked for that.
            Cause::Finished(_) => checked::wipe(&mut event),
            Cause::Needed | Cause::Rejected | Cause::Changed | Cause::Closing => self.step_because(event, cause),
        }
    }

    /// Publishes, keeps the journal, and only then starts tasks.
    fn accept(&mut self, checked: Checked, cause: Cause, now: u64) {
        let Checked { mut snapshot, origin_denied, tasks, abandon, wake_at, journal, notes } = checked;
        if origin_denied && self.published.snapshot.load().usable(now).is_some() {
            // An origin comes with the configuration: it does not change while there is a token.
            self.recover("it broke the contract: the token's origin has changed", Cause::Answering, now);
            return;
        }
        self.wake_at = wake_at;
        if let Err(breach) = self.allow(&tasks, now) {
            self.recover(&format!("it broke the contract: {breach}"), Cause::Answering, now);
            return;
        }
        let kept = self.keep(journal, tasks.iter().any(tells), now);
        if matches!(snapshot.access, Access::Idle) && cause == Cause::Needed && !snapshot.underway {
            // Whoever asks now would ask for ever. It is asked again later.
            let later = now.saturating_add(checked::NUDGE_AGAIN_MS);
            self.wake_at = Some(self.wake_at.map_or(later, |wake_at| wake_at.min(later)));
            let message = "The component was asked for a token and did nothing.".to_owned();
            snapshot.access = Access::Failed(Failure::component_stopped(message, None));
        }
        self.publish(snapshot, notes, now);
        for number in abandon {
            self.running.abandon(number);
        }
        for task in tasks {
            match &kept {
                // A journal that is not kept must not be contradicted by what others see.
                Err(reason) if tells(&task) => {
                    self.running.refuse(task, reason);
                }
                _ => self.running.start(task, &self.host),
            }
        }
    }

    /// Whether these tasks may be started. An `Err` says what they break.
    fn allow(&mut self, tasks: &[types::NumberedTask], now: u64) -> Result<(), &'static str> {
        if self.running.len() + tasks.len() > limits::TASKS {
            return Err("too many tasks");
        }
        let twice = |(at, task): (usize, &types::NumberedTask)| {
            self.running.has(task.number) || tasks[..at].iter().any(|earlier| earlier.number == task.number)
        };
        if tasks.iter().enumerate().any(twice) {
            return Err("the number of a task is used twice");
        }
        if !tasks.iter().all(|task| self.pace.allows(Kind::of(&task.task), now)) {
            return Err("too many requests");
        }
        Ok(())
    }

    /// Hands the journal to the program before a task starts that it must not be contradicted by. Of a flood of others the program gets
    /// some, and the newest in the end.
    fn keep(&mut self, journal: Option<Secret>, before_a_task: bool, now: u64) -> Result<(), String> {
        if let Some(journal) = journal {
            self.published.journal.store(Some(Arc::new(journal)));
            self.owes_journal = true;
        }
        if !self.owes_journal {
            return Ok(());
        }
        if !self.pace.journal(now) && !before_a_task {
            let soon = now.saturating_add(limits::ENTRY_EVERY_MS);
            self.wake_at = Some(self.wake_at.map_or(soon, |wake_at| wake_at.min(soon)));
            return Ok(());
        }
        self.owes_journal = false;
        match self.published.journal.load_full() {
            Some(journal) => self.host.keep(&journal),
            None => Ok(()),
        }
    }

    fn publish(&mut self, mut snapshot: Snapshot, notes: Vec<Note>, now: u64) {
        let last = self.published.snapshot.load_full();
        snapshot.at = now;
        if self.recovering {
            match (&snapshot.access, &last.access) {
                (
                    Access::Pending(_) | Access::Idle | Access::Failed(_),
                    Access::Usable { token, refresh_at, hold_at, unusable_at },
                ) if now < *unusable_at => {
                    // What a new session fails with may be news since the last one began, and says nothing about the token.
                    if let Access::Failed(failure) = &snapshot.access {
                        snapshot.stopped = Some(failure.clone());
                    }
                    let (token, refresh_at, hold_at, unusable_at) = (token.clone(), *refresh_at, *hold_at, *unusable_at);
                    snapshot.access = Access::Usable { token, refresh_at, hold_at, unusable_at };
                }
                _ => self.recovering = false,
            }
        }
        snapshot.follow(&last);
        let generation = snapshot.generation;
        // To look at a source or a store again, as every few seconds while there is no token, is no news before something comes of it.
        let looks = matches!((&snapshot.access, &self.told.access), (Access::Pending(_), Access::Pending(_) | Access::Failed(_)));
        let news = !looks && !snapshot.tells_the_same_as(&self.told);
        // What is new is a line of the log, too. What there is no room for now is still news with the next step.
        let room = self.pace.notes(notes.len() + usize::from(news), now);
        let news = news && room > 0;
        let availability = (room > 0).then(|| snapshot.availability());
        let snapshot = Arc::new(snapshot);
        if news {
            self.told = Arc::clone(&snapshot);
        }
        self.published.snapshot.store(snapshot);
        self.generation.send_replace(generation);
        if let Some(availability) = availability {
            notes::log(&availability, &notes[..notes.len().min(room - usize::from(news))], news);
            // Nobody may be listening.
            let _ = self.changes.send(Arc::new(Change { availability, notes }));
        }
    }

    /// The component was stopped: its store goes, with the tasks that it had asked for, and another session is opened from the
    /// newest journal, at once or later.
    fn recover(&mut self, why: &str, cause: Cause, now: u64) {
        // The names in a trap's words, and a refusal's words, are the component's.
        let words = shown(why.to_owned());
        tracing::error!(target: "wif", code = "component-stopped", ?cause, "the component was stopped: {words}");
        if let Some(session) = self.session.take() {
            session.enter().stop();
        }
        // It stops nobody else a second time.
        self.opening.pool = None;
        self.running = Running::default();
        if cause == Cause::Closing {
            return;
        }
        match self.recovery.stopped(cause, now) {
            Restart::Now => self.reopen(),
            Restart::At(at) => self.rest(why, at, now),
        }
    }

    fn reopen(&mut self) {
        let now = self.host.clock.steady_ms();
        match self.open() {
            Ok(session) => {
                self.session = Some(session);
                self.recovering = true;
                self.step(Event::Woken);
            }
            Err(Refused::Stopped(Stopped::Trapped(trap))) => self.recover(trap.why(), Cause::Opening, now),
            Err(Refused::Stopped(Stopped::ByAnother)) => self.move_on(Event::Woken, Cause::Opening, now),
            Err(Refused::Configuration(error)) => {
                // It was accepted before: the component is not itself.
                let why = format!("it refused the configuration: {}", error.message);
                self.recover(&why, Cause::Opening, now);
            }
        }
    }

    /// Serves the last token on, and after it a failure.
    fn rest(&mut self, why: &str, until: u64, now: u64) {
        self.wake_at = Some(until);
        let retry_in = std::time::Duration::from_millis(until.saturating_sub(now));
        let failure = Failure::component_stopped(format!("The component was stopped: {why}."), Some(retry_in));
        let last = self.published.snapshot.load_full();
        let access = match &last.access {
            usable @ Access::Usable { unusable_at, .. } if now < *unusable_at => usable.clone(),
            _ => Access::Failed(failure.clone()),
        };
        // Before the first step nobody says that a token is needed, and now nobody would hear it.
        let snapshot = Snapshot { access, underway: false, stopped: Some(failure), ..before_the_first_step() };
        self.publish(snapshot, Vec::new(), now);
    }

    fn open(&mut self) -> Result<Session, Refused> {
        let Opening { engine, pool, configuration, seed, start, can } = &mut self.opening;
        let this_seed = *seed;
        // Another one for the next session: the constant is the one of the generator SplitMix64.
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let start = match (self.published.journal.load_full(), &*start) {
            (Some(_), _) | (None, Start::Resumed(_)) if !self.recovery.trusts_journal() => types::Start::Lost,
            (Some(journal), _) => types::Start::Resumed(journal.reveal().to_owned()),
            (None, Start::Fresh) => types::Start::Fresh,
            (None, Start::Resumed(journal)) => types::Start::Resumed(journal.reveal().to_owned()),
            (None, Start::Lost) => types::Start::Lost,
        };
        let opened = engine.open(pool.as_ref(), configuration.reveal(), this_seed, can, &start);
        if let types::Start::Resumed(journal) = start {
            drop(Secret::from(journal));
        }
        opened
    }

    fn status(&mut self) -> Result<Status, Error> {
        let stopped =
            |why: &str| Error::Unavailable(Failure::component_stopped(format!("The component was stopped: {why}"), None));
        let Some(session) = &self.session else { return Err(stopped("It is started again later.")) };
        let mut entered = session.enter();
        let now = self.host.clock.now();
        let told = entered.status(types::Clock { wall_ms: now.wall_ms, steady_ms: Some(now.steady_ms) });
        drop(entered);
        match told {
            Ok(status) => Ok(status.into()),
            Err(Stopped::ByAnother) => {
                self.move_on(Event::Woken, Cause::Woken, now.steady_ms);
                Err(stopped(&format!("{}.", Stopped::ByAnother)))
            }
            Err(Stopped::Trapped(trap)) => {
                self.recover(trap.why(), Cause::Answering, now.steady_ms);
                Err(stopped(&format!("{}.", trap.why())))
            }
        }
    }

    /// Nothing is served after the last token's time, and nobody waits.
    fn close(&mut self) {
        let now = self.host.clock.steady_ms();
        if self.published.snapshot.load().usable(now).is_none() {
            let snapshot = Snapshot { access: Access::Closed, underway: false, ..before_the_first_step() };
            self.publish(snapshot, Vec::new(), now);
        }
    }
}

/// Whether others learn by this task what the journal of the same output says.
fn tells(task: &types::NumberedTask) -> bool {
    matches!(task.task, types::Task::SendRequest(_) | types::Task::SwapEntry(_))
}

async fn sleep_until(host: &Host, at: Option<u64>) {
    let Some(at) = at else { return std::future::pending().await };
    let left = at.saturating_sub(host.clock.steady_ms());
    if left == 0 {
        return;
    }
    host.clock.sleep(std::time::Duration::from_millis(left)).await;
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::Semaphore;

    use super::*;
    use crate::callables::Callables;
    use crate::clock::SystemClock;
    use crate::policy::Grants;
    use crate::tasks::{Keep, READERS};
    use crate::transport::{By, Transport};

    fn driver(engine: Engine, journals: Option<Keep>) -> Driver {
        let configuration = Secret::from(r#"{"bearer": {"source": "literal", "value": "a"}}"#);
        let clock = Arc::new(SystemClock::default());
        let host = Host {
            policy: Arc::default(),
            grants: Grants::new(&configuration),
            transport: Transport::new(Arc::default(), By::Nobody, None),
            callables: Callables::default(),
            store: None,
            clock: clock.clone(),
            journals,
            readers: Arc::new(Semaphore::new(READERS)),
        };
        let can = host.capabilities();
        let opening = Opening { engine, pool: None, configuration, seed: 1, start: Start::Fresh, can };
        let (published, generation) = Published::new(clock);
        let (changes, commands) = (broadcast::channel(1).0, mpsc::unbounded_channel().1);
        Driver::new(opening, Arc::new(host), published, generation, changes, commands).unwrap()
    }

    /// What a panic does to a session that has no sandbox around it.
    #[cfg(feature = "native")]
    #[tokio::test]
    async fn a_native_session_that_was_stopped_is_opened_again() {
        let mut driver = driver(Engine::Native, None);
        driver.step(Event::Woken);
        let usable = |driver: &Driver| {
            let now = driver.host.clock.steady_ms();
            driver.published.snapshot.load().usable(now).map(|token| token.id().to_owned())
        };
        let before = usable(&driver).expect("a literal is there at once");
        driver.session.as_ref().unwrap().enter().stop();
        driver.step(Event::Changed);
        assert_eq!(usable(&driver), Some(before), "the token is served on");
        let session = driver.session.as_ref().expect("there is another session");
        let now = types::Clock { wall_ms: 0, steady_ms: Some(0) };
        assert!(session.enter().status(now).is_ok());
    }

    /// A7, F12: of a flood of journals a few are kept, and the one that comes with a task that others learn from is kept all the same.
    #[test]
    fn the_journal_before_a_task_is_kept_however_many_came_before() {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keeping = Arc::clone(&kept);
        let journals: Keep = Arc::new(move |journal| {
            keeping.lock().unwrap().push(journal.reveal().to_owned());
            Ok(())
        });
        let mut driver = driver(Engine::built_in().unwrap(), Some(journals));
        let told = || kept.lock().unwrap().clone();
        for number in 0..1_000 {
            assert_eq!(driver.keep(Some(Secret::from(number.to_string())), false, 5_000), Ok(()));
        }
        assert_eq!((told().len(), told().last().map(String::as_str)), (256, Some("255")));
        assert_eq!(driver.wake_at, Some(5_000 + limits::ENTRY_EVERY_MS), "then the newest is");
        assert_eq!(driver.keep(Some(Secret::from("before a task")), true, 5_000), Ok(()));
        assert_eq!(told().last().map(String::as_str), Some("before a task"));
        assert_eq!(driver.keep(None, true, 5_000), Ok(()));
        assert_eq!(told().len(), 257, "it is kept once");
    }
}
