//! A driver with ticks and callbacks and nothing else: no timers, no steady clock. So is a proxy-wasm filter.

use serde_json::Value;

use super::{Core, Driver, Host, Seen};
use crate::Machine;

const TICK_MS: u64 = 500;

/// Looks at each tick whether a wake is due.
pub struct Ticking {
    core: Core,
    next_tick_ms: u64,
}

impl Ticking {
    pub(crate) fn new(machine: Box<dyn Machine>) -> Self {
        Self { core: Core::new(machine, false), next_tick_ms: 0 }
    }
}

impl Driver for Ticking {
    fn event(&mut self, host: &mut dyn Host, event: &Value) {
        self.core.step(host, event);
    }

    fn alarm_ms(&self) -> Option<u64> {
        Some(self.next_tick_ms)
    }

    fn alarm(&mut self, host: &mut dyn Host) {
        self.next_tick_ms = host.now_ms() + TICK_MS;
        if self.core.overdue(host) {
            self.event(host, &"woken".into());
        }
    }

    fn seen(&mut self) -> &mut dyn Seen {
        &mut self.core
    }
}
