//! The engine's own.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Value, json};
use wif_engine::json;

use crate::words::Problem;

/// None after a panic, for nobody can tell what it was in the middle of.
pub(super) struct Session(Option<wif_engine::Session>);

impl Session {
    pub(super) fn open(opening: &str) -> Result<Self, Problem> {
        let opening = read("opening", opening, json::opening_from_json)?;
        let opened = catch_unwind(AssertUnwindSafe(|| opening.open())).map_err(|_| panicked())?;
        Ok(Self(Some(opened.map_err(|error| Problem::configuration(&error.field, &error.message))?)))
    }

    pub(super) fn step(&mut self, clock: &str, event: &str) -> Result<Value, Problem> {
        let (clock, event) = (read("clock", clock, json::clock_from_json)?, read("event", event, json::event_from_json)?);
        self.within(|session| json::output_to_json(&session.step(clock, event)))
    }

    pub(super) fn status(&mut self, clock: &str) -> Result<Value, Problem> {
        let clock = read("clock", clock, json::clock_from_json)?;
        self.within(|session| json::status_to_json(&session.status(clock)))
    }

    pub(super) fn entry_key(&mut self) -> Result<Value, Problem> {
        self.within(|session| json!(session.entry_key()))
    }

    fn within(&mut self, call: impl FnOnce(&mut wif_engine::Session) -> Value) -> Result<Value, Problem> {
        let session = self.0.as_mut().ok_or_else(panicked)?;
        catch_unwind(AssertUnwindSafe(|| call(session))).map_err(|_| {
            self.0 = None;
            panicked()
        })
    }
}

fn read<T>(name: &str, given: &str, parse: impl FnOnce(&str) -> Result<T, serde_json::Error>) -> Result<T, Problem> {
    parse(given).map_err(|error| Problem::invalid(&json::fault(name, &error)))
}

fn panicked() -> Problem {
    Problem::stopped("the component was stopped: the engine panicked")
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Session").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_panic_the_session_is_of_no_use() {
        let opening = r#"{"configuration": "{\"bearer\": {\"source\": \"literal\", \"value\": \"a\"}}", "seed": 1, "can": [], "from": "fresh"}"#;
        let mut session = Session::open(opening).expect("it is of the contract");
        assert!(session.status(r#"{"wall-ms": 0, "steady-ms": 0}"#).is_ok());
        assert!(session.within(|_| panic!("sk-ant-oat01-secret")).is_err());
        let problem = session.status(r#"{"wall-ms": 0, "steady-ms": 0}"#).expect_err("it panicked before").to_json();
        assert_eq!(problem["code"], "component-stopped", "{problem}");
        assert!(!problem.to_string().contains("secret"), "{problem}");
    }
}
