//! A session in the program itself, without a sandbox around it.
//!
//! The engine is the very one of the component, and so is its contract: the driver checks what it says as it checks a component. What
//! it cannot have here are bounds of its memory and of a step's time. A panic ends one session, and nobody else's, unless the program aborts
//! on panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::bindings::types;
use crate::session::{Refused, Trap};

wif_engine::step_types!(crate::bindings::types);

/// None after a panic, for nobody can tell what it was in the middle of.
pub(crate) struct Session(Mutex<Option<wif_engine::Session>>);

pub(crate) struct Entered<'a>(MutexGuard<'a, Option<wif_engine::Session>>);

impl Session {
    pub(crate) fn open(configuration: &str, seed: u64, can: &[types::Capability], from: &types::Start) -> Result<Self, Refused> {
        let can: Vec<_> = can.iter().map(|can| (*can).into()).collect();
        let session = contained(|| wif_engine::Session::open(configuration, seed, &can, from.clone().into()))?;
        let session = session.map_err(|error| Refused::Configuration(error.into()))?;
        Ok(Self(Mutex::new(Some(session))))
    }

    pub(crate) fn enter(&self) -> Entered<'_> {
        // The engine's panics are caught: only the host can have poisoned the lock, and it changes nothing inside.
        Entered(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Entered<'_> {
    pub(crate) fn step(&mut self, now: types::Clock, event: &types::Event) -> Result<types::Output, Trap> {
        self.within(|session| session.step(now.into(), event.clone().into()).into())
    }

    pub(crate) fn status(&mut self, now: types::Clock) -> Result<types::Status, Trap> {
        self.within(|session| session.status(now.into()).into())
    }

    pub(crate) fn stop(mut self) {
        *self.0 = None;
    }

    fn within<T>(&mut self, call: impl FnOnce(&mut wif_engine::Session) -> T) -> Result<T, Trap> {
        let session = self.0.as_mut().ok_or_else(|| Trap("it was stopped before".to_owned()))?;
        contained(|| call(session)).inspect_err(|_| *self.0 = None)
    }
}

/// What it panics with is not passed on: it may have been looking at a secret.
fn contained<T>(call: impl FnOnce() -> T) -> Result<T, Trap> {
    // After a panic nothing is used that it could have left half done.
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| Trap("the engine panicked".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_the_session_and_does_not_say_what_it_was_looking_at() {
        let configuration = r#"{"bearer": {"source": "literal", "value": "a"}}"#;
        let Ok(session) = Session::open(configuration, 1, &[], &types::Start::Fresh) else { panic!("it is a configuration") };
        let now = types::Clock { wall_ms: 0, steady_ms: Some(0) };
        assert!(session.enter().step(now, &types::Event::Woken).is_ok());
        let trap = session.enter().within(|_| -> u8 { panic!("sk-ant-oat01-secret") }).unwrap_err();
        assert_eq!(trap.to_string(), "the component was stopped: the engine panicked");
        let Err(trap) = session.enter().step(now, &types::Event::Woken) else { panic!("it is of no use any more") };
        assert_eq!(trap.to_string(), "the component was stopped: it was stopped before");
    }
}
