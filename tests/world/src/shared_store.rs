//! A session that shares a store, stepped by hand: the test is the store and whoever else shares it.

use serde_json::{Value, json};

use crate::world::{START_MS, federation};
use crate::{Kind, Machine, Opening, jwt};

/// A session that shares a store. Whatever is not there that a test asks for ends the test with what the session said last.
pub struct Sharer {
    machine: Box<dyn Machine>,
    opening: Opening,
    /// The time since it was opened, in milliseconds, by both clocks.
    pub now_ms: u64,
    /// By how much the wall clock has been put back since.
    pub put_back_ms: u64,
    /// What it said last.
    pub output: Value,
    /// Its tasks that are not answered yet, by number.
    pub open: Vec<(u64, Value)>,
}

impl Sharer {
    /// One with an identity token in a file.
    pub fn new(kind: Kind, seed: u64) -> Self {
        Self::that_can(kind, seed, &["read-file", "store"])
    }

    /// The same in a host that can do this.
    pub fn that_can(kind: Kind, seed: u64, can: &[&str]) -> Self {
        Self::with(kind, seed, can, json!({"source": "file", "path": "/token"}))
    }

    /// One with this source, in a host that can do this.
    pub fn with(kind: Kind, seed: u64, can: &[&str], source: Value) -> Self {
        Self::open(kind, seed, can, &federation(source))
    }

    /// One that finds this profile, in a host without a store, and then an identity token: it looks into the credentials file.
    pub fn by_profile(kind: Kind, seed: u64, profile: &str) -> Self {
        Self::by_profile_that_can(kind, seed, &["read-file"], profile)
    }

    /// The same in a host that can do this.
    pub fn by_profile_that_can(kind: Kind, seed: u64, can: &[&str], profile: &str) -> Self {
        Self::discovering(kind, seed, can, &json!({"discover": {"config_dir": "/c", "profile": "p"}}), profile)
    }

    /// The same with another configuration that leads to this profile.
    pub fn discovering(kind: Kind, seed: u64, can: &[&str], configuration: &Value, profile: &str) -> Self {
        let mut session = Self::open(kind, seed, can, configuration);
        session.step(&json!("woken"));
        session.answer("read-file", &json!({ "content": profile }));
        session.answer("read-file", &identity_token("one", 0));
        session
    }

    fn open(kind: Kind, seed: u64, can: &[&str], configuration: &Value) -> Self {
        let opening = Opening {
            configuration: configuration.to_string(),
            seed,
            can: can.iter().map(|name| (*name).to_owned()).collect(),
            from: json!("fresh"),
        };
        let machine = kind.open(&opening).expect("a valid configuration");
        Self { machine, opening, now_ms: 0, put_back_ms: 0, output: Value::Null, open: Vec::new() }
    }

    /// Ends it and opens it again from its newest journal.
    pub fn restart(&mut self, kind: Kind) -> &mut Self {
        self.opening.seed += 1;
        self.machine = kind.open(&self.opening).expect("it was valid before");
        self.open.clear();
        self
    }

    /// One that found the store empty and has the first access token, for an hour; and the entry `v1` that tells of it.
    pub fn with_first(kind: Kind) -> (Self, Value) {
        let mut session = Self::new(kind, 1);
        session.begin("one", &json!("absent"));
        let entry = session.exchange("one", FIRST, 3_600, "v1");
        (session, entry)
    }

    fn clock(&self) -> Value {
        json!({"wall-ms": START_MS + self.now_ms - self.put_back_ms, "steady-ms": self.now_ms})
    }

    /// Where it stands now.
    pub fn status(&mut self) -> Value {
        let clock = self.clock();
        self.machine.status(&clock)
    }

    /// Hands it an event now.
    pub fn step(&mut self, event: &Value) -> &mut Self {
        self.output = self.machine.step(&self.clock(), event);
        if self.output["journal"].is_string() {
            self.opening.from = json!({ "resumed": self.output["journal"] });
        }
        let tasks = self.output["tasks"].as_array().into_iter().flatten();
        self.open.extend(tasks.map(|task| (task["number"].as_u64().expect("a number"), task["task"].clone())));
        self
    }

    /// Hands it an event at this time.
    pub fn at(&mut self, now_ms: u64, event: &Value) -> &mut Self {
        self.now_ms = now_ms;
        self.step(event)
    }

    /// Begins: the source shows the identity token of this name, and the store this.
    pub fn begin(&mut self, jti: &str, stored: &Value) -> &mut Self {
        self.step(&json!("woken"));
        self.answer("read-file", &identity_token(jti, self.now_ms));
        self.answer("load-entry", stored);
        self
    }

    /// Whether a task of this kind is out.
    pub fn asks(&self, kind: &str) -> bool {
        self.open.iter().any(|(_, task)| task.get(kind).is_some())
    }

    /// Answers the task of this kind, and gives what it asked.
    pub fn answer(&mut self, kind: &str, outcome: &Value) -> Value {
        let position = self.open.iter().position(|(_, task)| task.get(kind).is_some());
        let (number, task) = self.open.remove(position.unwrap_or_else(|| panic!("no {kind}: {:#}", self.output)));
        self.step(&json!({"finished": {"number": number, "outcome": outcome}}));
        task[kind].clone()
    }

    /// Exchanges the identity token of this name and gives the entry that tells of it.
    pub fn exchange(&mut self, jti: &str, access_token: &str, lifetime_s: u64, version: &str) -> Value {
        if self.asks("read-file") {
            self.answer("read-file", &identity_token(jti, self.now_ms));
        }
        self.answer("swap-entry", &json!({"swapped": format!("{version}-lease")}));
        self.answer("send-request", &grant(access_token, lifetime_s));
        self.answer("swap-entry", &json!({ "swapped": version }))["value"].clone()
    }

    /// The id and the standing of the token that it serves.
    pub fn served(&self) -> (Option<String>, Option<String>) {
        let usable = &self.output["access"]["usable"];
        let text = |name: &str| usable[name].as_str().map(str::to_owned);
        (text("id"), text("standing"))
    }
}

/// What the file shows: the identity token of this name, a day long from here.
pub fn identity_token(jti: &str, now_ms: u64) -> Value {
    identity_token_of("s", jti, now_ms)
}

/// The same, of another subject.
pub fn identity_token_of(subject: &str, jti: &str, now_ms: u64) -> Value {
    let issued = (START_MS + now_ms) / 1_000;
    json!({"content": jwt::jwt(&json!({"iss": "i", "sub": subject, "iat": issued, "exp": issued + 86_400, "jti": jti}))})
}

/// The token endpoint's answer that grants this access token.
pub fn grant(access_token: &str, lifetime_s: u64) -> Value {
    let body = json!({"access_token": access_token, "token_type": "Bearer", "expires_in": lifetime_s}).to_string();
    json!({"response": {"status": 200, "headers": [], "body": body}})
}

/// The store's answer: there is this entry.
pub fn entry(version: &str, value: &Value) -> Value {
    json!({"entry": {"version": version, "value": value}})
}

/// An access token.
pub const FIRST: &str = "sk-ant-oat01-first";
/// Another one.
pub const SECOND: &str = "sk-ant-oat01-second";

/// The token endpoint's answer that grants nothing.
pub fn refused(status: u16) -> Value {
    json!({"response": {"status": status, "headers": [], "body": "{}"}})
}
