//! What the components for tests share: the world `plugin`, and a session that serves one token for an hour. Each component
//! spoils that in its own way.

use std::cell::RefCell;

use bindings::exports::wif::credential::session::{GuestSession, Session};
pub use bindings::exports::wif::credential::types;
use types::{
    Access, Capability, Clock, ConfigurationError, Event, Header, Output, Progress, Standing, Start, State, Status, Usable,
};

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated; documented in wit/")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "plugin",
        pub_export_macro: true,
        default_bindings_module: "wif_guest_kit::bindings",
    });
}

/// An hour, in milliseconds.
pub const HOUR_MS: u64 = 3_600_000;

/// What stands in the place of a token, and must not be seen anywhere.
pub const CANARY: &str = "canary-5f1c";

/// How a component behaves.
pub trait Behaviour: 'static {
    /// A session begins.
    fn open(configuration: &str, start: &Start) -> Self;

    /// The seed of the session that has just begun.
    fn seeded(&mut self, _: u64) {}

    /// What it refuses the configuration with, if it does.
    fn refuses(_configuration: &str, _start: &Start) -> Option<ConfigurationError> {
        None
    }

    /// What its status says of it.
    fn summary(&self) -> String {
        String::new()
    }

    /// An event, and what is said to it.
    fn step(&mut self, now: &Clock, event: &Event) -> Output;
}

/// A session of a [`Behaviour`].
#[derive(Debug)]
pub struct Cell<B>(RefCell<B>);

impl<B: Behaviour> GuestSession for Cell<B> {
    fn open(configuration: String, seed: u64, _: Vec<Capability>, start: Start) -> Result<Session, ConfigurationError> {
        if let Some(error) = B::refuses(&configuration, &start) {
            return Err(error);
        }
        let mut behaviour = B::open(&configuration, &start);
        behaviour.seeded(seed);
        Ok(Session::new(Self(RefCell::new(behaviour))))
    }

    fn entry_key(&self) -> Option<String> {
        None
    }

    fn step(&self, now: Clock, event: Event) -> Output {
        self.0.borrow_mut().step(&now, &event)
    }

    fn status(&self, _: Clock) -> Status {
        Status {
            state: State::Serving,
            summary: self.0.borrow().summary(),
            configuration: Vec::new(),
            token: None,
            identity_token: None,
            next: String::new(),
            next_in_ms: None,
            failure: None,
            warnings: Vec::new(),
            exchanges_started: 0,
            exchanges_succeeded: 0,
            clock_skew_ms: None,
        }
    }
}

/// Makes the component of a [`Behaviour`].
#[macro_export]
macro_rules! component {
    ($behaviour:ty) => {
        struct Component;

        impl $crate::bindings::exports::wif::credential::session::Guest for Component {
            type Session = $crate::Cell<$behaviour>;
        }

        $crate::bindings::export!(Component with_types_in $crate::bindings);
    };
}

/// An output that does nothing but say this.
#[must_use]
pub fn saying(access: Access) -> Output {
    Output {
        access,
        progress: Progress::Resting,
        wait_at_most_ms: 1_000,
        tasks: Vec::new(),
        abandon: Vec::new(),
        wake_in_ms: None,
        journal: Some("1".to_owned()),
        notes: Vec::new(),
    }
}

/// A token that is good for an hour.
#[must_use]
pub fn serving(id: &str) -> Usable {
    Usable {
        id: id.to_owned(),
        origin: "https://api.anthropic.com".to_owned(),
        set: vec![Header { name: "authorization".to_owned(), value: format!("Bearer {CANARY}") }],
        merge: Vec::new(),
        refresh_in_ms: Some(HOUR_MS),
        hold_in_ms: Some(HOUR_MS),
        unusable_in_ms: Some(HOUR_MS),
        standing: Standing::Good,
    }
}

/// The id of the token that is served unless there is a reason for another.
pub const ID: &str = "0000000000000001";

/// What a configuration says of an event, or of anything else: it is a list of words `key=value`.
#[must_use]
pub fn word<'a>(configuration: &'a str, key: &str) -> Option<&'a str> {
    configuration.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

/// The name of an event, as in the contract.
#[must_use]
pub fn name(event: &Event) -> &'static str {
    match event {
        Event::Woken => "woken",
        Event::Needed => "needed",
        Event::Finished(_) => "finished",
        Event::StillRunning(_) => "still-running",
        Event::Rejected(_) => "rejected",
        Event::Changed => "changed",
        Event::Closing => "closing",
    }
}
