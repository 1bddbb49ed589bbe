//! What sessions share: the file, the store, and what a task does to them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Endpoint;
use crate::jwt;

/// Where the profile stands.
const PROFILE: &str = "/c/configs/p.json";

/// The credentials file of the profile, as an entry.
pub const CREDENTIALS: &str = "file:/c/credentials/p.json";

/// An identity token's file, rotated as a kubelet does: at four fifths of its life, a minute late.
#[derive(Debug, Clone)]
pub struct TokenFile {
    /// From issue to expiry.
    pub life_s: u64,
    /// From one rotation to the next.
    pub period_s: u64,
    /// Whether it is rotated at all.
    pub rotates: bool,
    /// Reads fail while it is away.
    pub present: bool,
    issued_s: u64,
    serial: u32,
}

impl TokenFile {
    pub(crate) fn new(life_s: u64, wall_s: u64) -> Self {
        Self { life_s, period_s: life_s * 4 / 5 + 60, rotates: true, present: true, issued_s: wall_s, serial: 0 }
    }

    /// Rotates it now.
    pub fn rotate(&mut self, wall_s: u64) {
        self.issued_s = wall_s;
        self.serial += 1;
    }

    fn read(&mut self, wall_s: u64) -> Value {
        while self.rotates && wall_s >= self.issued_s + self.period_s {
            self.issued_s += self.period_s;
            self.serial += 1;
        }
        if self.present {
            json!({"content": identity_token(&format!("file-{}", self.serial), self.issued_s, self.life_s)})
        } else {
            json!("absent")
        }
    }
}

/// A store with compare-and-swap.
#[derive(Debug, Default)]
pub struct Store {
    entries: BTreeMap<String, (u64, Value)>,
    writes: u64,
    /// Every operation fails.
    pub down: bool,
    /// How long an operation takes to the store, and its answer back: up to this. Without it, a millisecond.
    pub dawdles: Option<Dawdling>,
}

/// Times that differ from one operation to the next, so that their order does.
#[derive(Debug, Clone, Copy)]
pub struct Dawdling {
    /// Where the times come from.
    pub seed: u64,
    /// The longest.
    pub at_most_ms: u64,
}

impl Store {
    /// How long the next way takes.
    pub(crate) fn way_ms(&mut self) -> u64 {
        let Some(dawdling) = &mut self.dawdles else { return 1 };
        // An odd multiplier and the high bits: enough for orders that differ.
        dawdling.seed = dawdling.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dawdling.seed >> 33) % (dawdling.at_most_ms + 1)
    }
}

impl Store {
    /// The entry under this key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.get(key).and_then(|(_, value)| value.as_str())
    }

    /// Somebody else writes this entry.
    pub fn put(&mut self, key: &str, value: &str) {
        self.writes += 1;
        self.entries.insert(key.to_owned(), (self.writes, json!(value)));
    }

    /// Takes a `load-entry` or a `swap-entry`.
    pub(crate) fn take(&mut self, task: &Value) -> Value {
        if self.down {
            return json!({"failed": "connection refused"});
        }
        let entry = |found: &(u64, Value)| json!({"version": format!("v{}", found.0), "value": found.1});
        if let Some(key) = task.get("load-entry") {
            let found = self.entries.get(key.as_str().unwrap_or_default());
            return found.map_or_else(|| json!("absent"), |found| json!({"entry": entry(found)}));
        }
        let swap = &task["swap-entry"];
        let key = swap["key"].as_str().unwrap_or_default();
        let found = self.entries.get(key);
        let version = found.map(|(version, _)| format!("v{version}"));
        if version.as_deref() != swap["expected"].as_str() {
            return json!({"conflict": found.map(entry)});
        }
        self.writes += 1;
        self.entries.insert(key.to_owned(), (self.writes, swap["value"].clone()));
        json!({"swapped": format!("v{}", self.writes)})
    }
}

/// Something that will happen.
#[derive(Debug, Clone)]
pub(crate) enum Happening {
    /// A request reaches the endpoint.
    Arrival { seat: usize, life: u32, number: u64, request: Value },
    /// A store operation reaches the store.
    Storing { seat: usize, life: u32, number: u64, task: Value },
    /// A result reaches a driver.
    Result { seat: usize, life: u32, number: u64, outcome: Value, assertion: Option<String> },
    /// A caller comes, and another after this pause.
    Call { seat: usize, again_ms: Option<u64> },
    /// Callers that wait look again.
    Settle { seat: usize },
    /// A second has passed for those who run on their callers' time.
    Second { seat: usize, life: u32 },
}

/// Everything around the sessions.
pub struct Surroundings {
    /// Since the world began.
    pub now_ms: u64,
    /// The wall clock at the beginning, and moved since.
    pub wall_at_start_ms: i64,
    /// The token endpoint.
    pub endpoint: Endpoint,
    /// The identity token's file.
    pub file: TokenFile,
    /// The store.
    pub store: Store,
    /// The profile of the sessions that share by its credentials file.
    pub profile: Option<String>,
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
    pub(crate) queue: BTreeMap<(u64, u64), Happening>,
    pub(crate) minted: u32,
    /// Requests as they leave: when, from which seat, and the identity token.
    pub requests: Vec<(u64, usize, String)>,
    happened: u64,
}

impl Surroundings {
    pub(crate) fn new(endpoint: Endpoint, file_life_s: u64, wall_ms: u64) -> Self {
        Self {
            now_ms: 0,
            wall_at_start_ms: wall_ms.cast_signed(),
            endpoint,
            file: TokenFile::new(file_life_s, wall_ms / 1000),
            store: Store::default(),
            profile: None,
            variables: BTreeMap::new(),
            queue: BTreeMap::new(),
            minted: 0,
            requests: Vec::new(),
            happened: 0,
        }
    }

    /// The wall clock.
    pub fn wall_ms(&self) -> u64 {
        self.now_ms.saturating_add_signed(self.wall_at_start_ms)
    }

    pub(crate) fn plan(&mut self, in_ms: u64, happening: Happening) {
        self.happened += 1;
        self.queue.insert((self.now_ms + in_ms, self.happened), happening);
    }

    pub(crate) fn start(&mut self, seat: usize, life: u32, number: u64, task: &Value) {
        let wall_s = self.wall_ms() / 1000;
        if let Some(request) = task.get("send-request") {
            let body: Value = serde_json::from_str(request["body"].as_str().unwrap_or_default()).unwrap_or_default();
            let assertion = body["assertion"].as_str().unwrap_or_default().to_owned();
            self.requests.push((self.now_ms, seat, assertion));
            return self.plan(self.endpoint.latency_ms / 2, Happening::Arrival { seat, life, number, request: request.clone() });
        }
        if task.get("load-entry").is_some() || task.get("swap-entry").is_some() {
            let way_ms = self.store.way_ms();
            return self.plan(way_ms, Happening::Storing { seat, life, number, task: task.clone() });
        }
        let outcome = if let Some(request) = task.get("read-file") {
            match self.profile.as_ref().filter(|_| request["path"] == PROFILE) {
                Some(profile) => json!({"content": profile}),
                None => self.file.read(wall_s),
            }
        } else if let Some(name) = task.get("read-variable") {
            let value = self.variables.get(name.as_str().unwrap_or_default());
            value.map_or_else(|| json!("absent"), |value| json!({"content": value}))
        } else if task.get("supply-assertion").is_some() {
            self.minted += 1;
            json!({"content": identity_token(&format!("minted-{}", self.minted), wall_s, 3600)})
        } else {
            json!("unsupported")
        };
        self.plan(0, Happening::Result { seat, life, number, outcome, assertion: None });
    }
}

fn identity_token(jti: &str, issued_s: u64, life_s: u64) -> String {
    jwt::jwt(&json!({
        "iss": "https://issuer.example", "sub": "system:serviceaccount:app:web", "aud": "https://api.anthropic.com",
        "iat": issued_s, "exp": issued_s + life_s, "jti": jti,
    }))
}
