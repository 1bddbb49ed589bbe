//! A driver that runs only while requests do: whoever receives a task owns it, and may vanish without a word. There are no
//! timers between requests and no steady clock. So is a Worker.

use serde_json::{Value, json};

use super::{Advice, Core, Driver, Host, Seen};
use crate::Machine;

/// Runs on its callers' time.
pub struct Vanishing(Core);

impl Vanishing {
    pub(crate) fn new(machine: Box<dyn Machine>) -> Self {
        Self(Core::new(machine, false))
    }
}

impl Driver for Vanishing {
    fn event(&mut self, host: &mut dyn Host, event: &Value) {
        self.0.step(host, event);
    }

    /// A caller brings the time for what is overdue.
    fn call(&mut self, host: &mut dyn Host) -> Advice {
        let advice = self.0.advice(host);
        if self.0.overdue(host) || matches!(advice, Advice::Ask | Advice::Serve { need: true, .. }) {
            self.event(host, &"needed".into());
        }
        match (advice, self.0.advice(host)) {
            // Past the refresh a caller starts it and does not wait for it.
            (Advice::Serve { id, .. }, Advice::Hold { .. } | Advice::Serve { .. }) => Advice::Serve { id, need: false },
            (_, now) => now,
        }
    }

    fn alarm_ms(&self) -> Option<u64> {
        None
    }

    fn alarm(&mut self, _host: &mut dyn Host) {}

    fn second(&mut self, host: &mut dyn Host, owned: &[u64]) {
        for number in owned {
            self.event(host, &json!({"still-running": number}));
        }
        if self.0.overdue(host) {
            self.event(host, &"woken".into());
        }
    }

    fn seen(&mut self) -> &mut dyn Seen {
        &mut self.0
    }
}
