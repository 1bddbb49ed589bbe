//! The straightforward driver: timers that fire on time, a steady clock, owners that live.

use serde_json::Value;

use super::{Core, Driver, Host, Seen};
use crate::Machine;

/// Steps when its timer fires.
pub struct Exact(Core);

impl Exact {
    pub(crate) fn new(machine: Box<dyn Machine>) -> Self {
        Self(Core::new(machine, true))
    }
}

impl Driver for Exact {
    fn event(&mut self, host: &mut dyn Host, event: &Value) {
        self.0.step(host, event);
    }

    fn alarm_ms(&self) -> Option<u64> {
        self.0.wake_ms
    }

    fn alarm(&mut self, host: &mut dyn Host) {
        self.event(host, &"woken".into());
    }

    fn seen(&mut self) -> &mut dyn Seen {
        &mut self.0
    }
}
