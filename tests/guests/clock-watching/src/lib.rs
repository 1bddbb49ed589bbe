//! Asks for the time instead of being told it: `needed=instant` or `needed=date` in its configuration.

#![allow(clippy::disallowed_methods, reason = "that is what it is for")]

use std::hint::black_box;
use std::time::{Instant, SystemTime};

use wif_guest_kit::types::{Access, Clock, Event, Output, Start};
use wif_guest_kit::{Behaviour, component, name, saying, serving, word};

struct ClockWatching {
    script: String,
}

component!(ClockWatching);

impl Behaviour for ClockWatching {
    fn open(configuration: &str, _: &Start) -> Self {
        Self { script: configuration.to_owned() }
    }

    /// The id of the token is the time that it was told.
    fn step(&mut self, now: &Clock, event: &Event) -> Output {
        match word(&self.script, name(event)) {
            Some("instant") => {
                black_box(Instant::now());
            }
            Some("date") => {
                black_box(SystemTime::now());
            }
            _ => {}
        }
        saying(Access::Usable(serving(&format!("{:016x}", now.wall_ms))))
    }
}
