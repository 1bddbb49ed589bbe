//! One session behind the contract's JSON form, in two makes.

#[cfg(feature = "component")]
mod component;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::Value;
use wif_engine::contract::{Capability, Clock};
use wif_engine::{Session, json};

/// A session. Every value is in the contract's JSON form.
pub trait Machine {
    /// Takes an event and answers.
    fn step(&mut self, clock: &Value, event: &Value) -> Value;
    /// A glance that changes nothing.
    fn status(&mut self, clock: &Value) -> Value;
    /// The key of the identity's entry in a store.
    fn entry_key(&mut self) -> Option<String>;
}

/// What a session is opened with.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The JSON document.
    pub configuration: String,
    /// Feeds jitter.
    pub seed: u64,
    /// Capabilities by their WIT names.
    pub can: Vec<String>,
    /// A `start`.
    pub from: Value,
}

/// A make of machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The engine, called as a Rust library.
    Native,
    /// The component, called through wasmtime.
    #[cfg(feature = "component")]
    Component,
}

/// The makes of machine that scenarios run on. Without the feature `component` there is one: for changes of the engine that are only
/// tried, as `.ci/mutants` does, so that nothing of wasmtime is built.
pub fn kinds() -> &'static [Kind] {
    &[
        Kind::Native,
        #[cfg(feature = "component")]
        Kind::Component,
    ]
}

/// Runs a scenario on each make of machine.
#[allow(clippy::disallowed_macros, reason = "the test harness shows beside a failure which make it was")]
pub fn both(scenario: impl Fn(Kind)) {
    for &kind in kinds() {
        println!("--- {kind:?}");
        scenario(kind);
    }
}

impl Kind {
    /// Opens a session, or says why not: a `configuration-error`.
    pub fn open(self, opening: &Opening) -> Result<Box<dyn Machine>, Value> {
        match self {
            Self::Native => NativeMachine::open(opening).map(|machine| Box::new(machine) as Box<dyn Machine>),
            #[cfg(feature = "component")]
            Self::Component => component::ComponentMachine::open(opening).map(|machine| Box::new(machine) as Box<dyn Machine>),
        }
    }
}

thread_local! {
    static STATES: RefCell<BTreeSet<(String, String)>> = RefCell::default();
    static PASSED: RefCell<BTreeSet<(String, String)>> = RefCell::default();
    static ACCESSES: RefCell<BTreeSet<(String, String)>> = RefCell::default();
}

/// The changes of state that steps have made on this thread, of the engine called as a library: from which state to which.
pub fn changes_of_state() -> BTreeSet<(String, String)> {
    STATES.take()
}

/// The changes of state that time has made between these steps.
pub fn changes_between_steps() -> BTreeSet<(String, String)> {
    PASSED.take()
}

/// What these steps have said that callers may do: in which state which access.
pub fn accesses_of_states() -> BTreeSet<(String, String)> {
    ACCESSES.take()
}

/// The rows under "States" of `wit/session.wit`: from which state to which others.
pub fn drawn() -> BTreeSet<(String, String)> {
    let (_, states) = CONTRACT.split_once("## States").expect("its first part");
    let (states, _) = states.split_once("## Who calls what when").expect("its second part");
    pairs(states, "/// | `")
}

/// The rows under "Rules for callers' requests": in which state a caller meets which access.
pub fn listed() -> BTreeSet<(String, String)> {
    let (_, rules) = CONTRACT.split_once("## Rules for callers' requests").expect("its part");
    let (rules, _) = rules.split_once("## Sharing").expect("the next one");
    pairs(rules, "///    | `")
}

const CONTRACT: &str = include_str!("../../../wit/session.wit");

/// The first two names of each row.
fn pairs(part: &str, row: &str) -> BTreeSet<(String, String)> {
    let rows = part.lines().filter_map(|line| line.trim_start().strip_prefix(row));
    rows.map(|row| {
        let mut names = row.split('`').step_by(2).map(str::to_owned);
        (names.next().expect("one"), names.next().expect("another"))
    })
    .collect()
}

/// Whatever is tried, no step of the engine does what the contract does not know.
fn check(before: &str, after: &str, access: &str) {
    static DRAWN: LazyLock<BTreeSet<(String, String)>> = LazyLock::new(drawn);
    static LISTED: LazyLock<BTreeSet<(String, String)>> = LazyLock::new(listed);
    let is_drawn = before == after || after == "closed" || DRAWN.contains(&(before.to_owned(), after.to_owned()));
    assert!(is_drawn, "wit/session.wit has no arrow from {before} to {after}");
    let is_listed = LISTED.contains(&(after.to_owned(), access.to_owned()));
    assert!(is_listed, "wit/session.wit does not say what a caller does who meets {access} in {after}");
}

/// A session, and the state that its last step led to.
struct NativeMachine(Session, Option<String>);

impl NativeMachine {
    fn open(opening: &Opening) -> Result<Self, Value> {
        let can: Vec<Capability> = opening
            .can
            .iter()
            .map(|name| serde_json::from_value(name.clone().into()).expect("scenarios name real capabilities"))
            .collect();
        let from = json::start_from_json(&opening.from.to_string()).expect("scenarios start validly");
        Session::open(&opening.configuration, opening.seed, &can, from)
            .map(|session| Self(session, None))
            .map_err(|error| serde_json::to_value(error).expect("a plain record"))
    }
}

impl NativeMachine {
    fn state(&self, clock: Clock) -> String {
        json::status_to_json(&self.0.status(clock))["state"].as_str().expect("a name").to_owned()
    }
}

impl Machine for NativeMachine {
    fn step(&mut self, clock: &Value, event: &Value) -> Value {
        let clock = json::clock_from_json(&clock.to_string()).expect("a clock");
        let event = json::event_from_json(&event.to_string()).unwrap_or_else(|error| panic!("{event}: {error:?}"));
        let before = self.state(clock);
        if let Some(left) = self.1.take().filter(|left| *left != before) {
            PASSED.with_borrow_mut(|states| states.insert((left, before.clone())));
        }
        let output = json::output_to_json(&self.0.step(clock, event));
        let after = self.state(clock);
        let access = &output["access"];
        let access = access.as_str().or_else(|| access.as_object()?.keys().next().map(String::as_str)).expect("a case");
        check(&before, &after, access);
        ACCESSES.with_borrow_mut(|accesses| accesses.insert((after.clone(), access.to_owned())));
        if before != after {
            STATES.with_borrow_mut(|states| states.insert((before, after.clone())));
        }
        self.1 = Some(after);
        output
    }

    fn status(&mut self, clock: &Value) -> Value {
        json::status_to_json(&self.0.status(json::clock_from_json(&clock.to_string()).expect("a clock")))
    }

    fn entry_key(&mut self) -> Option<String> {
        self.0.entry_key()
    }
}
