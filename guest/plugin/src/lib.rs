//! The engine as a WebAssembly component that imports nothing: the world `plugin` of `wit/worlds.wit`.
//!
//! Nothing is decided here.

use std::cell::RefCell;

use bindings::exports::wif::credential::session::{Guest, GuestSession, Session};
use bindings::exports::wif::credential::types::{Capability, Clock, ConfigurationError, Event, Output, Start, Status};
use wif_engine::contract;

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated; documented in wit/")]
mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "plugin" });
}

wif_engine::step_types!(crate::bindings::exports::wif::credential::types);

struct Plugin;

bindings::export!(Plugin with_types_in bindings);

impl Guest for Plugin {
    type Session = Cell;
}

/// One session. The host cannot call into an instance that is already being called, so the cell is never borrowed twice.
struct Cell(RefCell<wif_engine::Session>);

impl GuestSession for Cell {
    fn open(configuration: String, seed: u64, can: Vec<Capability>, start: Start) -> Result<Session, ConfigurationError> {
        let can: Vec<contract::Capability> = can.into_iter().map(Into::into).collect();
        let session = wif_engine::Session::open(&configuration, seed, &can, start.into())?;
        Ok(Session::new(Self(RefCell::new(session))))
    }

    fn entry_key(&self) -> Option<String> {
        self.0.borrow().entry_key()
    }

    fn step(&self, now: Clock, event: Event) -> Output {
        self.0.borrow_mut().step(now.into(), event.into()).into()
    }

    fn status(&self, now: Clock) -> Status {
        self.0.borrow().status(now.into()).into()
    }
}
