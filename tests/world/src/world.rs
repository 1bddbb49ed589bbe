//! Sessions and everything around them, in virtual time.

mod endpoint;
mod surroundings;

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};

use crate::drivers::{Advice, Driver, Host, STYLES, Style};
use crate::{Kind, Opening};

pub use endpoint::{Endpoint, Grant, Weather};
use surroundings::Happening;
pub use surroundings::{CREDENTIALS, Dawdling, Store, Surroundings, TokenFile};

/// The wall clock when a world begins.
pub const START_MS: u64 = 1_790_000_000_000;

/// How long a caller waits for a token.
const PATIENCE_MS: u64 = 60_000;

/// What a world is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The make of the sessions.
    pub kind: Kind,
    /// Who drives them.
    pub style: Style,
    /// How many.
    pub sessions: usize,
    /// Their configuration.
    pub configuration: Value,
    /// Their capabilities.
    pub can: Vec<&'static str>,
    /// The rule's token lifetime.
    pub lifetime_s: u64,
    /// The identity token's lifetime in the file.
    pub file_life_s: u64,
    /// From sending to the answer.
    pub latency_ms: u64,
}

impl Settings {
    /// One session that exchanges an identity token from a file, an hour for an hour.
    pub fn new(kind: Kind) -> Self {
        let configuration = federation(json!({"source": "file", "path": "/var/run/secrets/anthropic/token"}));
        Self {
            kind,
            style: STYLES[0],
            sessions: 1,
            configuration,
            can: vec!["read-file"],
            lifetime_s: 3600,
            file_life_s: 3600,
            latency_ms: 400,
        }
    }

    /// With identity tokens that are minted for each exchange.
    #[must_use]
    pub fn minting(mut self) -> Self {
        self.configuration = federation(json!({"source": "callable", "name": "mint", "freshness": "minted"}));
        self.can = vec!["supply-assertion"];
        self
    }

    /// With this many sessions over one store.
    #[must_use]
    pub fn sharing(mut self, sessions: usize) -> Self {
        self.sessions = sessions;
        self.can.push("store");
        self
    }

    /// With this many sessions that find a profile, in hosts without a store: they share by the credentials file of the profile. It
    /// is there, and holds nothing.
    #[must_use]
    pub fn sharing_by_profile(mut self, sessions: usize) -> Self {
        self.sessions = sessions;
        self.configuration = json!({"discover": {"config_dir": "/c", "profile": "p"}});
        self
    }

    /// With another driver.
    #[must_use]
    pub fn style(mut self, style: Style) -> Self {
        self.style = style;
        self
    }
}

/// A configuration that exchanges identity tokens from this source.
pub fn federation(source: Value) -> Value {
    json!({"federation": {
        "federation_rule_id": "fdrl_abc123",
        "organization_id": "3f2b8c1e-0000-4000-8000-1234567890ab",
        "identity_token": source,
    }})
}

/// A profile of a federation, as it stands in its file. The identity token is in the file at this path.
pub fn profile(path: &str) -> String {
    let authentication = json!({
        "type": "oidc_federation", "federation_rule_id": "fdrl_abc123", "identity_token": {"source": "file", "path": path},
    });
    json!({"organization_id": "3f2b8c1e-0000-4000-8000-1234567890ab", "authentication": authentication}).to_string()
}

/// What callers met.
#[derive(Debug, Default)]
pub struct Record {
    /// Callers that went with a token.
    pub served: u64,
    /// When the last of them went.
    pub last_served_ms: u64,
    /// How long those waited that waited.
    pub waited_ms: Vec<u64>,
    /// Callers that were answered without a token: when, and the code.
    pub failed: Vec<(u64, String)>,
    /// Callers that went with a token that the API had let expire.
    pub expired: u64,
    /// Callers to whom the API answered 401 for a token that it had revoked.
    pub unauthorized: u64,
    /// Requests with an identity token that the sender knew to be spent.
    pub spent_sent_again: u64,
    /// Steps of all sessions.
    pub steps: u64,
}

struct Waiting {
    since_ms: u64,
    until_ms: u64,
    /// The token to go with when the waiting is over.
    holding: Option<String>,
}

/// One session's place: what outlives its traps.
struct Seat {
    driver: Option<Box<dyn Driver>>,
    life: u32,
    journal: Option<Value>,
    /// Tasks that are out.
    owned: BTreeMap<u64, Option<String>>,
    waiting: Vec<Waiting>,
    notes: Vec<Value>,
    spent: HashSet<String>,
    uncertain: HashSet<String>,
}

/// Sessions and everything around them.
pub struct World {
    settings: Settings,
    /// Everything around the sessions.
    pub around: Surroundings,
    /// By how much each session's wall clock is off.
    pub skew_ms: Vec<i64>,
    /// Tokens that the API no longer accepts.
    pub revoked: HashSet<String>,
    /// What callers met.
    pub record: Record,
    seats: Vec<Seat>,
    steps_now: (u64, u64),
}

struct Desk<'a> {
    around: &'a mut Surroundings,
    seat: usize,
    life: u32,
    skew_ms: i64,
    started: Vec<(u64, Option<String>)>,
}

impl Host for Desk<'_> {
    fn now_ms(&self) -> u64 {
        self.around.now_ms
    }

    fn wall_ms(&self) -> u64 {
        self.around.wall_ms().saturating_add_signed(self.skew_ms)
    }

    fn start(&mut self, number: u64, task: &Value) {
        let sent = self.around.requests.len();
        self.around.start(self.seat, self.life, number, task);
        let assertion = self.around.requests.get(sent).map(|(_, _, assertion)| assertion.clone());
        self.started.push((number, assertion));
    }
}

impl World {
    /// Opens the sessions; nothing has happened yet.
    pub fn new(settings: Settings) -> Self {
        let endpoint = Endpoint { lifetime_s: settings.lifetime_s, latency_ms: settings.latency_ms, ..Endpoint::default() };
        let seat = || Seat {
            driver: None,
            life: 0,
            journal: None,
            owned: BTreeMap::new(),
            waiting: Vec::new(),
            notes: Vec::new(),
            spent: HashSet::new(),
            uncertain: HashSet::new(),
        };
        let mut world = Self {
            around: Surroundings::new(endpoint, settings.file_life_s, START_MS),
            skew_ms: vec![0; settings.sessions],
            revoked: HashSet::new(),
            record: Record::default(),
            seats: (0..settings.sessions).map(|_| seat()).collect(),
            settings,
            steps_now: (0, 0),
        };
        if world.settings.configuration.get("discover").is_some() {
            world.around.profile = Some(profile("/token"));
            world.around.store.put(CREDENTIALS, "{}");
        }
        for seat in 0..world.seats.len() {
            world.open(seat);
        }
        world
    }

    /// Opens a session from its newest journal, with a seed that no other had.
    pub fn open(&mut self, seat: usize) {
        let from = self.seats[seat].journal.as_ref().map_or_else(|| json!("fresh"), |journal| json!({ "resumed": journal }));
        self.open_from(seat, from);
    }

    /// Opens a session from this start.
    pub fn open_from(&mut self, seat: usize, from: Value) {
        let place = &mut self.seats[seat];
        place.life += 1;
        if from == "fresh" || from == "lost" {
            place.spent.clear();
            place.uncertain.clear();
        }
        let opening = self.settings.style.opening(&Opening {
            configuration: self.settings.configuration.to_string(),
            seed: (u64::from(place.life) << 32) + seat as u64,
            can: self.settings.can.iter().map(|name| (*name).to_owned()).collect(),
            from,
        });
        let driver = self.settings.style.open(self.settings.kind, &opening);
        place.driver = Some(driver.expect("the scenario's configuration is valid"));
        let life = place.life;
        self.act(seat, |driver, host| driver.event(host, &json!("woken")));
        if self.settings.style.adds.is_some() {
            self.around.plan(1000, Happening::Second { seat, life });
        }
    }

    /// Ends a session as a trap or a kill does. Requests that had arrived at the endpoint have had their effect; with
    /// `unsent` those that had not are never sent.
    pub fn crash(&mut self, seat: usize, unsent: bool) {
        let place = &mut self.seats[seat];
        place.driver = None;
        place.waiting.clear();
        let out = std::mem::take(&mut place.owned);
        place.uncertain.extend(out.into_values().flatten());
        if unsent {
            self.around.queue.retain(|_, happening| !matches!(happening, Happening::Arrival { seat: of, .. } if *of == seat));
        }
    }

    /// The owners of a session's tasks vanish: their results come to nobody.
    pub fn vanish(&mut self, seat: usize) {
        let place = &mut self.seats[seat];
        let out = std::mem::take(&mut place.owned);
        place.uncertain.extend(out.into_values().flatten());
    }

    /// A session's configuration is replaced from the next opening on.
    pub fn configure(&mut self, configuration: Value) {
        self.settings.configuration = configuration;
    }

    /// A caller comes.
    pub fn call(&mut self, seat: usize) {
        let mut advice = None;
        self.act(seat, |driver, host| advice = Some(driver.call(host)));
        let now_ms = self.around.now_ms;
        let wait = |until_ms, holding| Waiting { since_ms: now_ms, until_ms, holding };
        match advice {
            Some(Advice::Serve { id, .. }) => self.serve(seat, &id, None),
            Some(Advice::Hold { id, at_most_ms }) => self.wait(seat, wait(now_ms + at_most_ms, Some(id))),
            Some(Advice::Wait | Advice::Ask) => self.wait(seat, wait(now_ms + PATIENCE_MS, None)),
            Some(Advice::Fail(code)) => self.record.failed.push((now_ms, code)),
            None => self.record.failed.push((now_ms, "not running".into())),
        }
    }

    /// Callers come from now on, one in so many milliseconds.
    pub fn traffic(&mut self, seat: usize, every_ms: u64) {
        self.around.plan(0, Happening::Call { seat, again_ms: Some(every_ms) });
    }

    /// A session hears of something.
    pub fn tell(&mut self, seat: usize, event: &Value) {
        self.act(seat, |driver, host| driver.event(host, event));
    }

    /// Lets time pass.
    pub fn run(&mut self, for_ms: u64) {
        let end = self.around.now_ms + for_ms;
        loop {
            let alarm =
                self.seats.iter().enumerate().filter_map(|(seat, place)| Some((place.driver.as_ref()?.alarm_ms()?, seat))).min();
            let happening = self.around.queue.keys().next().copied();
            match (alarm, happening) {
                (Some((at, seat)), next) if at <= end && next.is_none_or(|(planned, _)| at < planned) => {
                    self.around.now_ms = at.max(self.around.now_ms);
                    self.act(seat, |driver, host| driver.alarm(host));
                }
                (_, Some(key)) if key.0 <= end => {
                    self.around.now_ms = key.0.max(self.around.now_ms);
                    if let Some(happening) = self.around.queue.remove(&key) {
                        self.happen(happening);
                    }
                }
                _ => break,
            }
        }
        self.around.now_ms = end;
    }

    /// The output that callers of a session read.
    pub fn output(&mut self, seat: usize) -> Value {
        self.seats[seat].driver.as_mut().map_or(Value::Null, |driver| driver.seen().output())
    }

    /// A session's status.
    pub fn status(&mut self, seat: usize) -> Value {
        let place = &mut self.seats[seat];
        let desk = Desk { around: &mut self.around, seat, life: place.life, skew_ms: self.skew_ms[seat], started: Vec::new() };
        place.driver.as_mut().map_or(Value::Null, |driver| driver.seen().status(&desk))
    }

    /// The token that callers of a session are served now.
    pub fn token(&mut self, seat: usize) -> Option<String> {
        let output = self.output(seat);
        output["access"]["usable"]["id"].as_str().map(str::to_owned)
    }

    /// How often something was noted, by all sessions since the beginning.
    pub fn noted(&self, code: &str) -> usize {
        self.seats.iter().flat_map(|seat| &seat.notes).filter(|note| note["code"] == code).count()
    }

    /// The least time between two requests to the endpoint.
    pub fn least_gap_ms(&self) -> u64 {
        let times: Vec<u64> = self.around.requests.iter().map(|(at, ..)| *at).collect();
        times.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or(u64::MAX)
    }

    /// How many requests left since a moment.
    pub fn requests_since(&self, since_ms: u64) -> usize {
        self.around.requests.iter().filter(|(at, ..)| *at >= since_ms).count()
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrival { seat, life, number, request } => {
                let (now_ms, wall_s) = (self.around.now_ms, self.around.wall_ms() / 1000);
                let silent =
                    matches!(self.around.endpoint.next.front().or(self.around.endpoint.weather.as_ref()), Some(Weather::Silent));
                let outcome = self.around.endpoint.take(now_ms, wall_s, seat, &request);
                let body: Value = serde_json::from_str(request["body"].as_str().unwrap_or_default()).unwrap_or_default();
                let assertion = body["assertion"].as_str().map(str::to_owned);
                let timeout = request["timeout-ms"].as_u64().unwrap_or_default();
                let after = if silent { timeout } else { self.around.endpoint.latency_ms.div_ceil(2) };
                self.around.plan(after, Happening::Result { seat, life, number, outcome, assertion });
            }
            Happening::Storing { seat, life, number, task } => {
                let outcome = self.around.store.take(&task);
                let way_ms = self.around.store.way_ms();
                self.around.plan(way_ms, Happening::Result { seat, life, number, outcome, assertion: None });
            }
            Happening::Result { seat, life, number, outcome, assertion } => {
                if self.seats[seat].life != life || self.seats[seat].owned.remove(&number).is_none() {
                    return;
                }
                if let Some(assertion) = assertion {
                    self.learn(seat, &outcome, assertion);
                }
                let event = json!({"finished": {"number": number, "outcome": outcome}});
                self.act(seat, |driver, host| driver.event(host, &event));
            }
            Happening::Call { seat, again_ms } => {
                if let Some(again_ms) = again_ms {
                    self.around.plan(again_ms, Happening::Call { seat, again_ms: Some(again_ms) });
                }
                self.call(seat);
            }
            Happening::Settle { seat } => self.settle(seat),
            Happening::Second { seat, life } => {
                let place = &self.seats[seat];
                if place.life == life && place.driver.is_some() {
                    let owned: Vec<u64> = place.owned.keys().copied().collect();
                    if !owned.is_empty() || !place.waiting.is_empty() {
                        self.act(seat, |driver, host| driver.second(host, &owned));
                    }
                    self.around.plan(1000, Happening::Second { seat, life });
                }
            }
        }
    }

    /// What a session knows of an identity token after this outcome.
    fn learn(&mut self, seat: usize, outcome: &Value, assertion: String) {
        let place = &mut self.seats[seat];
        let answer = &outcome["response"];
        let granted = answer["body"].as_str().is_some_and(|body| body.contains("access_token"));
        match answer["status"].as_u64() {
            Some(200) if granted => drop(place.spent.insert(assertion)),
            Some(401) if place.uncertain.contains(&assertion) => drop(place.spent.insert(assertion)),
            Some(200 | 408 | 500..=599) => drop(place.uncertain.insert(assertion)),
            None if outcome.get("maybe-sent").is_some() => drop(place.uncertain.insert(assertion)),
            _ => {}
        }
    }

    /// One turn of a session's driver, and what follows from it for whoever waits.
    fn act(&mut self, seat: usize, turn: impl FnOnce(&mut dyn Driver, &mut dyn Host)) {
        let place = &mut self.seats[seat];
        let Some(driver) = place.driver.as_mut() else { return };
        let mut desk =
            Desk { around: &mut self.around, seat, life: place.life, skew_ms: self.skew_ms[seat], started: Vec::new() };
        turn(driver.as_mut(), &mut desk);
        let started = desk.started;
        let seen = driver.seen();
        place.journal = seen.take_journal().or_else(|| place.journal.take());
        place.notes.extend(seen.take_notes());
        let known = |assertion: &Option<String>| assertion.as_ref().is_some_and(|assertion| place.spent.contains(assertion));
        self.record.spent_sent_again += started.iter().filter(|(_, assertion)| known(assertion)).count() as u64;
        place.owned.extend(started);
        self.record.steps += 1;
        let now_ms = self.around.now_ms;
        self.steps_now = if self.steps_now.0 == now_ms { (now_ms, self.steps_now.1 + 1) } else { (now_ms, 0) };
        assert!(self.steps_now.1 < 20_000, "a loop: 20000 turns at {now_ms} ms");
        self.settle(seat);
    }

    fn wait(&mut self, seat: usize, waiting: Waiting) {
        let in_ms = waiting.until_ms - self.around.now_ms;
        self.seats[seat].waiting.push(waiting);
        self.around.plan(in_ms, Happening::Settle { seat });
    }

    /// Whoever waits looks at the newest snapshot.
    fn settle(&mut self, seat: usize) {
        let now_ms = self.around.now_ms;
        let place = &mut self.seats[seat];
        if place.waiting.is_empty() {
            return;
        }
        let Some(driver) = place.driver.as_mut() else { return };
        let desk = Desk { around: &mut self.around, seat, life: place.life, skew_ms: self.skew_ms[seat], started: Vec::new() };
        let advice = driver.seen().advice(&desk);
        let for_waiters = driver.seen().for_waiters(&desk);
        let waiting = std::mem::take(&mut place.waiting);
        for waiter in waiting {
            let since = Some(waiter.since_ms);
            match (&advice, &waiter.holding) {
                (Advice::Hold { id, .. }, Some(held)) if id == held && now_ms < waiter.until_ms => {
                    self.seats[seat].waiting.push(waiter);
                }
                (Advice::Serve { id, .. } | Advice::Hold { id, .. }, _) => self.serve(seat, id, since),
                (Advice::Fail(code), _) => self.record.failed.push((now_ms, code.clone())),
                (Advice::Wait | Advice::Ask, _) => match &for_waiters {
                    Some(id) => self.serve(seat, id, since),
                    None if now_ms < waiter.until_ms => self.seats[seat].waiting.push(waiter),
                    None => self.record.failed.push((now_ms, "timed out".into())),
                },
            }
        }
    }

    fn serve(&mut self, seat: usize, id: &str, since_ms: Option<u64>) {
        let now_ms = self.around.now_ms;
        self.record.served += 1;
        self.record.last_served_ms = now_ms;
        self.record.waited_ms.extend(since_ms.map(|since| now_ms - since));
        self.record.expired += u64::from(self.around.endpoint.expiries.get(id).is_some_and(|expiry| now_ms >= *expiry));
        if self.revoked.contains(id) {
            self.record.unauthorized += 1;
            let event = json!({ "rejected": id });
            self.act(seat, |driver, host| driver.event(host, &event));
        }
    }
}
