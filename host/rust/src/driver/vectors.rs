//! The recorded sessions in `tests/vectors`, with this host's own driver.
//!
//! A session is deterministic: another one beside it that is told the same says what the driver's must have said. The vector holds
//! the other's words against its expectations; here the driver is held to them: it has kept the same journal, published the same
//! access, started the same tasks, and wakes at the same time.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Semaphore, broadcast, mpsc};
use wif_world::vector::{Vector, folder, load};
use wif_world::{Kind as Make, Machine, Opening as Opened};

use super::{Driver, Opening, Start};
use crate::bindings::types::{self, Capability, Event, Outcome};
use crate::callables::Callables;
use crate::clock::{BoxFuture, Clock, Reading};
use crate::error::BuildError;
use crate::limits::{WAKE_AT_LEAST_MS, WAKE_AT_MOST_MS};
use crate::policy::{Grants, Policy};
use crate::secret::Secret;
use crate::session::Engine;
use crate::snapshot::{Access, Published, Words as _};
use crate::tasks::{Ended, Host, Kind, READERS, Running};
use crate::transport::{By, Transport};

/// The clock of a vector: it stands where the last step has put it.
struct Hands(Mutex<Reading>);

impl Hands {
    fn set(&self, clock: &Value) {
        let time = |name: &str| clock[name].as_u64().unwrap_or_default();
        let reading = Reading { wall_ms: time("wall-ms"), steady_ms: time("steady-ms") };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reading;
    }
}

impl Clock for Hands {
    fn now(&self) -> Reading {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// The driver, and the session beside it.
struct Beside {
    driver: Driver,
    published: Arc<Published>,
    clock: Arc<Hands>,
    other: Box<dyn Machine>,
    journal: Option<String>,
    kinds: HashMap<u32, Kind>,
    faults: Rc<RefCell<Vec<String>>>,
}

impl Machine for Beside {
    fn step(&mut self, clock: &Value, event: &Value) -> Value {
        self.clock.set(clock);
        let output = self.other.step(clock, event);
        // What the vector leaves unanswered stays out, and is none of this driver's business.
        self.driver.running = Running::default();
        match event_of(event) {
            Event::Finished(types::TaskResult { number, outcome }) => {
                let kind = self.kinds.remove(&number).unwrap_or(Kind::Variable);
                self.driver.finish(Ended { number, kind, outcome });
            }
            Event::Closing => {
                self.driver.step(Event::Closing);
                self.driver.close();
            }
            event => self.driver.step(event),
        }
        let fault = self.fault(clock, event, &output);
        self.faults.borrow_mut().extend(fault);
        output
    }

    fn status(&mut self, clock: &Value) -> Value {
        self.other.status(clock)
    }

    fn entry_key(&mut self) -> Option<String> {
        self.other.entry_key()
    }
}

impl Beside {
    fn open(opening: &Opened, engine: &Engine, policy: &Policy, faults: &Rc<RefCell<Vec<String>>>) -> Result<Self, Value> {
        let other = Make::Native.open(opening);
        let clock = Arc::new(Hands(Mutex::new(Reading { wall_ms: 0, steady_ms: 0 })));
        let configuration = Secret::from(opening.configuration.clone());
        let policy = Arc::new(policy.clone());
        let host = Host {
            transport: Transport::new(Arc::clone(&policy), By::Nobody, None),
            policy,
            grants: Grants::new(&configuration),
            callables: Callables::default(),
            store: None,
            clock: clock.clone(),
            journals: None,
            readers: Arc::new(Semaphore::new(READERS)),
        };
        let start = match (opening.from.as_str(), opening.from["resumed"].as_str()) {
            (_, Some(journal)) => Start::Resumed(Secret::from(journal.to_owned())),
            (Some("lost"), _) => Start::Lost,
            _ => Start::Fresh,
        };
        let can = opening.can.iter().map(|name| capability(name)).collect();
        let opening = Opening { engine: engine.clone(), pool: None, configuration, seed: opening.seed, start, can };
        let (published, generation) = Published::new(clock.clone());
        let (changes, commands) = (broadcast::channel(1).0, mpsc::unbounded_channel().1);
        let driver = Driver::new(opening, Arc::new(host), Arc::clone(&published), generation, changes, commands);
        match (driver, other) {
            (Ok(driver), Ok(other)) => {
                let (journal, kinds) = (None, HashMap::new());
                Ok(Self { driver, published, clock, other, journal, kinds, faults: Rc::clone(faults) })
            }
            (Err(BuildError::Configuration { field, message }), Err(error)) => {
                let refused = json!({ "field": field, "message": message });
                if refused != error {
                    faults.borrow_mut().push(format!("it was refused with {refused}, and not with {error}"));
                }
                Err(refused)
            }
            (driver, _) => Err(json!(format!("one of the two was refused: {:?}", driver.err()))),
        }
    }

    /// The first thing in which the driver differs from what was said.
    fn fault(&mut self, clock: &Value, event: &Value, output: &Value) -> Option<String> {
        if let Some(journal) = output["journal"].as_str() {
            self.journal = Some(journal.to_owned());
        }
        let kept = self.published.journal.load_full();
        if self.journal.is_some() && kept.as_ref().map(|kept| kept.reveal()) != self.journal.as_deref() {
            return Some("it has kept another journal".to_owned());
        }
        let (mut started, mut asked) = (self.driver.running.kinds(), HashMap::new());
        for task in output["tasks"].as_array().into_iter().flatten() {
            let number = task["number"].as_u64().and_then(|number| number.try_into().ok()).unwrap_or_default();
            let name = task["task"].as_object().and_then(|task| task.keys().next()).map(String::as_str);
            asked.insert(number, name.and_then(kind_of).unwrap_or(Kind::Variable));
        }
        if started != asked {
            return Some(format!("it has started {started:?}, and was asked for {asked:?}"));
        }
        self.kinds.extend(started.drain());
        if event == "closing" {
            return None;
        }
        let now = clock["steady-ms"].as_u64().unwrap_or_default();
        let wake_at = output["wake-in-ms"].as_u64().map(|wake| now + wake.clamp(WAKE_AT_LEAST_MS, WAKE_AT_MOST_MS));
        if self.driver.wake_at != wake_at {
            return Some(format!("it wakes at {:?}, and not at {wake_at:?}", self.driver.wake_at));
        }
        let snapshot = self.published.snapshot.load();
        let access = &output["access"];
        let said = access.as_str().or_else(|| access.as_object()?.keys().next().map(String::as_str)).unwrap_or_default();
        let same = match &snapshot.access {
            Access::Usable { token, .. } => access["usable"]["id"] == token.id(),
            // A session that is asked for a token and rests would be asked for ever.
            Access::Failed(_) if said == "idle" => event == "needed",
            Access::Failed(failure) => access["failed"]["code"] == failure.code.as_str(),
            Access::Pending(reason) => access["pending"] == reason.as_str(),
            Access::Idle => said == "idle",
            Access::Closed => said == "closed",
        };
        let underway = output["progress"] == "underway";
        (!same || snapshot.underway != underway).then(|| format!("it has published {:?} for {access}", snapshot.availability()))
    }
}

fn capability(name: &str) -> Capability {
    match name {
        "read-file" => Capability::ReadFile,
        "read-variable" => Capability::ReadVariable,
        "supply-assertion" => Capability::SupplyAssertion,
        "supply-token" => Capability::SupplyToken,
        "sign" => Capability::Sign,
        "store" => Capability::Store,
        "cache" => Capability::Cache,
        "owners-vanish" => Capability::OwnersVanish,
        _ => panic!("no capability: {name}"),
    }
}

fn kind_of(name: &str) -> Option<Kind> {
    Some(match name {
        "send-request" => Kind::Send,
        "read-file" => Kind::File,
        "read-variable" => Kind::Variable,
        "supply-assertion" => Kind::Assertion,
        "supply-token" => Kind::Token,
        "sign" => Kind::Sign,
        "load-entry" => Kind::Load,
        "swap-entry" => Kind::Swap,
        _ => return None,
    })
}

/// From the contract's JSON form.
fn event_of(event: &Value) -> Event {
    if let Some(finished) = event.get("finished") {
        let number = finished["number"].as_u64().and_then(|number| number.try_into().ok()).unwrap_or_default();
        return Event::Finished(types::TaskResult { number, outcome: outcome_of(&finished["outcome"]) });
    }
    if let Some(id) = event["rejected"].as_str() {
        return Event::Rejected(id.to_owned());
    }
    if let Some(number) = event["still-running"].as_u64() {
        return Event::StillRunning(number.try_into().unwrap_or_default());
    }
    match event.as_str() {
        Some("woken") => Event::Woken,
        Some("needed") => Event::Needed,
        Some("changed") => Event::Changed,
        Some("closing") => Event::Closing,
        _ => panic!("no event: {event}"),
    }
}

fn outcome_of(outcome: &Value) -> Outcome {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let entry = |value: &Value| types::Entry { version: text(&value["version"]), value: text(&value["value"]) };
    let Some((name, value)) = outcome.as_object().and_then(|outcome| outcome.iter().next()) else {
        return match outcome.as_str() {
            Some("absent") => Outcome::Absent,
            Some("unsupported") => Outcome::Unsupported,
            Some("lost") => Outcome::Lost,
            Some("conflict") => Outcome::Conflict(None),
            _ => panic!("no outcome: {outcome}"),
        };
    };
    match name.as_str() {
        "response" => {
            let header = |header: &Value| types::Header { name: text(&header["name"]), value: text(&header["value"]) };
            Outcome::Response(types::Response {
                status: value["status"].as_u64().and_then(|status| status.try_into().ok()).unwrap_or_default(),
                headers: value["headers"].as_array().into_iter().flatten().map(header).collect(),
                body: text(&value["body"]),
            })
        }
        "content" => Outcome::Content(text(value)),
        "token" => {
            Outcome::Token(types::SuppliedToken { value: text(&value["value"]), expires_at_ms: value["expires-at-ms"].as_u64() })
        }
        "entry" => Outcome::Entry(entry(value)),
        "swapped" => Outcome::Swapped(text(value)),
        "conflict" => Outcome::Conflict((!value.is_null()).then(|| entry(value))),
        "denied" => Outcome::Denied(text(value)),
        "unsent" => Outcome::Unsent(text(value)),
        "maybe-sent" => Outcome::MaybeSent(text(value)),
        "failed" => Outcome::Failed(text(value)),
        "unkept" => Outcome::Unkept(text(value)),
        _ => panic!("no outcome: {outcome}"),
    }
}

/// Every origin that a vector names: which of them may be used is a matter of policies, and vectors know none.
fn policy_for(vector: &Vector) -> Policy {
    let text = format!("{} {} {}", vector.configuration, json!(vector.names), steps_of(vector));
    let mut policy = Policy::default();
    for part in text.split("http").skip(1) {
        let url = format!("http{}", part.split(['"', '\\', ' ', '?', '#']).next().unwrap_or_default());
        let Ok(url) = url::Url::parse(&url) else { continue };
        policy = policy.clone().allow_private_origin(&url.origin().ascii_serialization()).unwrap_or(policy);
    }
    policy
}

fn steps_of(vector: &Vector) -> String {
    let step = |step: &wif_world::vector::Step| {
        let reopened = step.reopen.as_ref().and_then(|reopen| reopen.configuration.clone());
        format!("{} {} {}", json!(step.event), json!(step.variables), json!(reopened))
    };
    vector.steps.iter().map(step).collect()
}

#[test]
fn every_vector_holds() {
    hold(&Engine::built_in().unwrap());
}

#[cfg(feature = "native")]
#[test]
fn every_vector_holds_without_a_sandbox() {
    hold(&Engine::Native);
}

fn hold(engine: &Engine) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Nothing runs: what the driver starts is answered by the vector.
    let _inside = runtime.enter();
    let (mut ran, mut failed) = (0, Vec::new());
    for (name, vector) in load(&folder()) {
        // This host always has a steady clock.
        if vector.steady_ms.is_none() {
            continue;
        }
        ran += 1;
        let (faults, policy) = (Rc::default(), policy_for(&vector));
        let open =
            |opening: &Opened| Beside::open(opening, engine, &policy, &faults).map(|beside| Box::new(beside) as Box<dyn Machine>);
        let held = vector.run_by(&open);
        if name.starts_with("wrong/") {
            // A suite that cannot fail proves nothing.
            assert!(held.is_err(), "{name} should fail");
        } else {
            failed.extend(held.err().into_iter().chain(faults.take()).map(|fault| format!("{name}: {fault}")));
        }
    }
    assert!(failed.is_empty(), "{} faults in {ran} vectors:\n{}", failed.len(), failed.join("\n"));
    assert!(ran >= 160, "only {ran} vectors were run");
}
