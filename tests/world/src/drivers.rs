//! What stands between a session and a host. Each driver is a page that could be written in any language; the shared part is
//! [`Core`], which every driver has, and [`Snapshot`], which callers read.

mod exact;
mod proxy_wasm;
mod ticking;
mod vanishing;

use serde_json::{Value, json};

use crate::{Kind, Machine, Opening};

pub use exact::Exact;
pub use proxy_wasm::ProxyWasm;
pub use ticking::Ticking;
pub use vanishing::Vanishing;

/// What a driver finds around it.
pub trait Host {
    /// Milliseconds on the host's own clock, for timers.
    fn now_ms(&self) -> u64;
    /// The wall clock.
    fn wall_ms(&self) -> u64;
    /// Starts a task. Its result comes later, by [`Driver::event`].
    fn start(&mut self, number: u64, task: &Value);
}

/// Steps a session when it is due.
pub trait Driver {
    /// Something happened that the session must hear: a result, a rejection, a hint.
    fn event(&mut self, host: &mut dyn Host, event: &Value);

    /// A caller comes.
    fn call(&mut self, host: &mut dyn Host) -> Advice {
        match self.seen().advice(host) {
            Advice::Serve { id, need: true } => {
                self.event(host, &"needed".into());
                Advice::Serve { id, need: false }
            }
            Advice::Ask => {
                self.event(host, &"needed".into());
                self.seen().advice(host)
            }
            advice => advice,
        }
    }

    /// When [`Driver::alarm`] is wanted.
    fn alarm_ms(&self) -> Option<u64>;

    /// The time has come.
    fn alarm(&mut self, host: &mut dyn Host);

    /// A second of a request's life has passed: it owns these tasks, or none and only waits.
    fn second(&mut self, _host: &mut dyn Host, _owned: &[u64]) {}

    /// What can be seen of it from outside.
    fn seen(&mut self) -> &mut dyn Seen;
}

/// What can be seen of a driver.
pub trait Seen {
    /// The newest output, as far as callers read it.
    fn output(&mut self) -> Value;
    /// What a caller does now.
    fn advice(&mut self, host: &dyn Host) -> Advice;
    /// The token that the newest output brings to those who were waiting for it, if any.
    fn for_waiters(&mut self, host: &dyn Host) -> Option<String>;
    /// A glance.
    fn status(&mut self, host: &dyn Host) -> Value;
    /// The newest journal, if there is one since it was last taken.
    fn take_journal(&mut self) -> Option<Value>;
    /// What was noted since this was last asked.
    fn take_notes(&mut self) -> Vec<Value>;
}

/// Makes one kind of driver.
#[derive(Debug, Clone, Copy)]
pub enum Make {
    /// Around either make of machine.
    Around(fn(Box<dyn Machine>) -> Box<dyn Driver>),
    /// With the native engine built in, whatever make is asked for.
    Whole(fn(&Opening) -> Result<Box<dyn Driver>, Value>),
}

/// What a driver is called, what it adds to the capabilities, and how it is made.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Its name.
    pub name: &'static str,
    /// A capability that it adds.
    pub adds: Option<&'static str>,
    /// How it is made.
    pub make: Make,
}

/// Every kind of driver.
pub const STYLES: [Style; 4] = [
    Style { name: "exact", adds: None, make: Make::Around(|machine| Box::new(Exact::new(machine))) },
    Style { name: "ticking", adds: None, make: Make::Around(|machine| Box::new(Ticking::new(machine))) },
    Style { name: "vanishing", adds: Some("owners-vanish"), make: Make::Around(|machine| Box::new(Vanishing::new(machine))) },
    Style { name: "proxy-wasm", adds: Some("owners-vanish"), make: Make::Whole(ProxyWasm::open) },
];

impl Style {
    /// Opens a session in a driver of this kind, or says why not: a `configuration-error`.
    ///
    /// # Errors
    ///
    /// The session's own.
    pub fn open(&self, kind: Kind, opening: &Opening) -> Result<Box<dyn Driver>, Value> {
        match self.make {
            Make::Around(make) => kind.open(opening).map(make),
            Make::Whole(open) => open(opening),
        }
    }

    /// The opening with what this driver adds.
    pub fn opening(&self, opening: &Opening) -> Opening {
        let mut opening = opening.clone();
        opening.can.extend(self.adds.map(str::to_owned));
        opening
    }
}

/// A session with its newest journal and what callers read.
pub struct Core {
    machine: Box<dyn Machine>,
    /// Whether there is a steady clock. Without one the wall clock measures everything.
    steady: bool,
    /// The newest journal.
    pub journal: Option<Value>,
    /// What callers read.
    pub snapshot: Snapshot,
    /// When to step with `woken`.
    pub wake_ms: Option<u64>,
    /// Everything that was noted.
    pub notes: Vec<Value>,
}

impl Core {
    pub(crate) fn new(machine: Box<dyn Machine>, steady: bool) -> Self {
        let snapshot = Snapshot { at_ms: 0, output: Value::Null };
        Self { machine, steady, journal: None, snapshot, wake_ms: None, notes: Vec::new() }
    }

    /// Whether the wake's time has come.
    pub(crate) fn overdue(&self, host: &dyn Host) -> bool {
        self.wake_ms.is_some_and(|wake| wake <= self.time(host))
    }

    /// The time by which this driver measures.
    pub fn time(&self, host: &dyn Host) -> u64 {
        if self.steady { host.now_ms() } else { host.wall_ms() }
    }

    /// One step: keep the journal, publish, and only then start tasks.
    pub(crate) fn step(&mut self, host: &mut dyn Host, event: &Value) {
        let now_ms = self.time(host);
        let output = self.machine.step(&self.clock(host), event);
        if let Some(journal) = output.get("journal") {
            self.journal = Some(journal.clone());
        }
        self.wake_ms = output["wake-in-ms"].as_u64().map(|wake| now_ms + wake);
        self.notes.extend(output["notes"].as_array().into_iter().flatten().cloned());
        let tasks = output["tasks"].as_array().cloned().unwrap_or_default();
        self.snapshot = Snapshot { at_ms: now_ms, output };
        for task in &tasks {
            host.start(task["number"].as_u64().unwrap_or_default(), &task["task"]);
        }
    }

    fn clock(&self, host: &dyn Host) -> Value {
        match self.steady {
            true => json!({"wall-ms": host.wall_ms(), "steady-ms": host.now_ms()}),
            false => json!({"wall-ms": host.wall_ms()}),
        }
    }
}

impl Seen for Core {
    fn output(&mut self) -> Value {
        self.snapshot.output.clone()
    }

    fn advice(&mut self, host: &dyn Host) -> Advice {
        self.snapshot.advice(self.time(host))
    }

    fn for_waiters(&mut self, host: &dyn Host) -> Option<String> {
        self.snapshot.for_waiters(self.time(host))
    }

    fn status(&mut self, host: &dyn Host) -> Value {
        self.machine.status(&self.clock(host))
    }

    fn take_journal(&mut self) -> Option<Value> {
        self.journal.take()
    }

    fn take_notes(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.notes)
    }
}

/// The last output and when it came: all that a caller looks at.
#[derive(Debug, Clone)]
pub struct Snapshot {
    at_ms: u64,
    /// The output.
    pub output: Value,
}

/// What a caller does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advice {
    /// Go with this token; `need`: and let the session know.
    Serve {
        /// The token's id.
        id: String,
        /// Whether the token is past its refresh.
        need: bool,
    },
    /// Wait for the next output at most until then, then go with this token.
    Hold {
        /// The token's id.
        id: String,
        /// For how long at most.
        at_most_ms: u64,
    },
    /// Wait.
    Wait,
    /// Say `needed`, and look again.
    Ask,
    /// Answer at once, with this code.
    Fail(String),
}

impl Snapshot {
    /// What a caller does now: the rules for callers' requests.
    pub fn advice(&self, now_ms: u64) -> Advice {
        let access = &self.output["access"];
        if let Some(failure) = access.get("failed") {
            return Advice::Fail(failure["code"].as_str().unwrap_or_default().to_owned());
        }
        let Some(usable) = access.get("usable") else {
            return match access.as_str() {
                Some("closed") => Advice::Fail("closed".into()),
                Some("idle") | None if access.get("pending").is_none() => Advice::Ask,
                _ => Advice::Wait,
            };
        };
        let age = now_ms.saturating_sub(self.at_ms);
        let past = |time: &str| usable[time].as_u64().is_some_and(|time| age >= time);
        let id = usable["id"].as_str().unwrap_or_default().to_owned();
        if past("unusable-in-ms") {
            Advice::Ask
        } else if past("hold-in-ms") && self.output["progress"] == "underway" {
            Advice::Hold { id, at_most_ms: self.output["wait-at-most-ms"].as_u64().unwrap_or_default() }
        } else {
            Advice::Serve { id, need: past("refresh-in-ms") }
        }
    }

    /// The token that this output brings to those who were waiting for it, if any.
    pub fn for_waiters(&self, now_ms: u64) -> Option<String> {
        let usable = self.output["access"].get("usable")?;
        let fresh =
            self.at_ms == now_ms || usable["unusable-in-ms"].as_u64().is_none_or(|end| now_ms.saturating_sub(self.at_ms) < end);
        fresh.then(|| usable["id"].as_str().unwrap_or_default().to_owned())
    }
}
