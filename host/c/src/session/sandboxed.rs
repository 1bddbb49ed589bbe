//! The component's. A call may start the thread that ends calls which take too long: it leaves signals alone as all others do.

use serde_json::Value;
use wif::component::{Component, json};

use crate::signals::blocked;
use crate::words::Problem;

#[derive(Debug)]
pub(super) struct Session(json::Session);

impl Session {
    pub(super) fn open(opening: &str) -> Result<Self, Problem> {
        let opening = document("opening", opening)?;
        Ok(Self(blocked(|| json::Session::open(Component::builtin(), &opening))?))
    }

    pub(super) fn step(&mut self, clock: &str, event: &str) -> Result<Value, Problem> {
        let (clock, event) = (document("clock", clock)?, document("event", event)?);
        Ok(blocked(|| self.0.step(&clock, &event))?)
    }

    pub(super) fn status(&mut self, clock: &str) -> Result<Value, Problem> {
        let clock = document("clock", clock)?;
        Ok(blocked(|| self.0.status(&clock))?)
    }

    pub(super) fn entry_key(&mut self) -> Result<Value, Problem> {
        Ok(blocked(|| self.0.entry_key())?)
    }
}

fn document(name: &str, given: &str) -> Result<Value, Problem> {
    serde_json::from_str(given).map_err(|error| Problem::invalid(&wif_engine::json::fault(name, &error)))
}

impl From<json::SessionError> for Problem {
    fn from(error: json::SessionError) -> Self {
        match error {
            json::SessionError::Refused(refusal) => {
                let part = |name: &str| refusal[name].as_str().unwrap_or_default().to_owned();
                Self::configuration(&part("field"), &part("message"))
            }
            json::SessionError::Form(what) => Self::invalid(&what),
            json::SessionError::Trapped(trap) => Self::stopped(&trap.to_string()),
            _ => Self::internal("an error of an unknown kind"),
        }
    }
}
