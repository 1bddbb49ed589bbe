//! One session behind the contract's JSON form, in two makes.

#[cfg(feature = "component")]
mod component;

use std::cell::RefCell;
use std::collections::BTreeSet;

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
}

/// The changes of state that steps have made on this thread, of the engine called as a library: from which state to which.
pub fn changes_of_state() -> BTreeSet<(String, String)> {
    STATES.take()
}

struct NativeMachine(Session);

impl NativeMachine {
    fn open(opening: &Opening) -> Result<Self, Value> {
        let can: Vec<Capability> = opening
            .can
            .iter()
            .map(|name| serde_json::from_value(name.clone().into()).expect("scenarios name real capabilities"))
            .collect();
        let from = json::start_from_json(&opening.from.to_string()).expect("scenarios start validly");
        Session::open(&opening.configuration, opening.seed, &can, from)
            .map(Self)
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
        let output = json::output_to_json(&self.0.step(clock, event));
        let after = self.state(clock);
        if before != after {
            STATES.with_borrow_mut(|states| states.insert((before, after)));
        }
        output
    }

    fn status(&mut self, clock: &Value) -> Value {
        json::status_to_json(&self.0.status(json::clock_from_json(&clock.to_string()).expect("a clock")))
    }

    fn entry_key(&mut self) -> Option<String> {
        self.0.entry_key()
    }
}
