//! A driver that runs only while requests do: whoever receives a task owns it, and may vanish without a word. There are no
//! timers between requests and no steady clock. So is a Worker.

use serde_json::{Value, json};

use super::{Core, Driver, Host, Seen, Verdict};
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
    fn call(&mut self, host: &mut dyn Host) -> Verdict {
        let verdict = self.0.verdict(host);
        if self.0.overdue(host) || matches!(verdict, Verdict::Ask | Verdict::Serve { need: true, .. }) {
            self.event(host, &"needed".into());
        }
        match (verdict, self.0.verdict(host)) {
            // Past the refresh a caller starts it and does not wait for it.
            (Verdict::Serve { id, .. }, Verdict::Hold { .. } | Verdict::Serve { .. }) => Verdict::Serve { id, need: false },
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
