//! The proxy-wasm filter's own driver, as it ships, with this world in the place of the proxy.

use serde_json::{Value, json};
use wif_engine::contract::{Clock, Event, Note, Outcome, Task};
use wif_engine::{Secret, json as form};
use wif_proxy_wasm::driver;
use wif_rules::{Snapshot, Waiter};

use super::{Advice, Driver, Host, Seen};
use crate::Opening;

/// How often the filter ticks with nobody waiting.
const TICK_MS: u64 = 250;

/// The filter's driver.
pub struct ProxyWasm {
    driver: driver::Driver,
    notes: Vec<Value>,
    next_tick_ms: u64,
}

impl ProxyWasm {
    pub(crate) fn open(opening: &Opening) -> Result<Box<dyn Driver>, Value> {
        let can: Vec<_> = opening
            .can
            .iter()
            .map(|name| serde_json::from_value(name.clone().into()).expect("scenarios name real capabilities"))
            .collect();
        let from = form::start_from_json(&opening.from.to_string()).expect("scenarios start validly");
        let session = driver::open_session(&opening.configuration, opening.seed, &can, from);
        let session = session.map_err(|error| serde_json::to_value(error).expect("a plain record"))?;
        Ok(Box::new(Self { driver: driver::Driver::new(session), notes: Vec::new(), next_tick_ms: 0 }))
    }

    fn tick(&mut self, host: &mut dyn Host) {
        self.driver.tick(&mut Proxy { host, notes: &mut self.notes }, false);
        let next_ms = self.driver.next_tick_in_ms().unwrap_or(TICK_MS).clamp(1, TICK_MS);
        self.next_tick_ms = host.now_ms() + next_ms;
    }

    fn translate(&self, advice: driver::Advice) -> Advice {
        let id = || self.driver.usable().map(|usable| usable.id.clone()).unwrap_or_default();
        match advice {
            driver::Advice::Serve => Advice::Serve { id: id(), need: false },
            driver::Advice::Hold(at_most_ms) => Advice::Hold { id: id(), at_most_ms },
            driver::Advice::Wait => Advice::Wait,
            driver::Advice::Fail(failure) => {
                let code = serde_json::to_value(failure.code).expect("a name");
                Advice::Fail(code.as_str().unwrap_or_default().to_owned())
            }
            driver::Advice::Closed => Advice::Fail("closed".into()),
        }
    }
}

impl Driver for ProxyWasm {
    fn event(&mut self, host: &mut dyn Host, event: &Value) {
        let event = form::event_from_json(&event.to_string()).unwrap_or_else(|error| panic!("{event}: {error:?}"));
        let mut proxy = Proxy { host, notes: &mut self.notes };
        match event {
            Event::Finished(result) => self.driver.finished(&mut proxy, result.number, result.outcome),
            Event::Rejected(id) => {
                self.driver.report_rejection(&id);
                self.tick(host);
            }
            event => self.driver.happened(&mut proxy, event),
        }
    }

    /// The filter has itself ticked as soon as a caller needs it.
    fn call(&mut self, host: &mut dyn Host) -> Advice {
        let advice = self.driver.advice(host.wall_ms());
        let first = self.translate(advice);
        if self.driver.is_needed() {
            self.tick(host);
        }
        match first {
            Advice::Serve { .. } => first,
            _ => self.advice(host),
        }
    }

    fn alarm_ms(&self) -> Option<u64> {
        Some(self.next_tick_ms)
    }

    fn alarm(&mut self, host: &mut dyn Host) {
        self.tick(host);
    }

    fn seen(&mut self) -> &mut dyn Seen {
        self
    }
}

impl Seen for ProxyWasm {
    fn output(&mut self) -> Value {
        json!({ "access": form::access_to_json(self.driver.access()) })
    }

    fn advice(&mut self, host: &dyn Host) -> Advice {
        let advice = self.driver.advice(host.wall_ms());
        self.translate(advice)
    }

    fn for_waiters(&mut self, host: &dyn Host) -> Option<String> {
        let elapsed_ms = self.driver.elapsed_ms(host.wall_ms());
        let Snapshot { generation, at, .. } = self.driver.published();
        // Who has been waiting has not seen what was said just now.
        let mut waiter = Waiter::new(generation - u64::from(*at == elapsed_ms && *generation > 0));
        match self.driver.look(&mut waiter, host.wall_ms()) {
            driver::Turn::Takes(usable) => Some(usable.id),
            _ => None,
        }
    }

    fn status(&mut self, host: &dyn Host) -> Value {
        let session = self.driver.session().expect("it is the engine's");
        form::status_to_json(&session.status(Clock { wall_ms: host.wall_ms(), steady_ms: None }))
    }

    fn take_journal(&mut self) -> Option<Value> {
        self.driver.take_journal().map(Secret::into_revealed).map(Value::from)
    }

    fn take_notes(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.notes)
    }
}

/// This world, as the filter's driver sees it.
struct Proxy<'a> {
    host: &'a mut dyn Host,
    notes: &'a mut Vec<Value>,
}

impl driver::Host for Proxy<'_> {
    fn wall_ms(&self) -> u64 {
        self.host.wall_ms()
    }

    fn start(&mut self, number: u32, task: Task) -> Option<Outcome> {
        self.host.start(number.into(), &form::task_to_json(&task));
        None
    }

    fn note(&mut self, note: &Note) {
        self.notes.push(json!(note));
    }
}
