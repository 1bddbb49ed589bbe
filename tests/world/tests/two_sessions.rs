//! Two sessions on one store, or beside one profile, with every operation in any order and with clocks that differ by up to an hour,
//! against a model that knows what each of them has been told.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use serde_json::{Value, json};
use wif_world::world::{START_MS, federation, profile};
use wif_world::{Kind, Machine, Opening, jwt};

/// A lease is good for so long without a sign of life, in milliseconds.
const LEASE_MS: u64 = 4_000;

/// More rejections than this are not remembered.
const REJECTIONS: usize = 8;

/// What may happen. The first number is the session's.
#[derive(Debug, Clone)]
enum Act {
    Pass(u64),
    Event(usize, &'static str),
    /// An operation of the store, or a request, takes effect. Its answer is still on its way.
    Arrive(usize, u16),
    /// An answer comes. What had no effect yet has it now.
    Answer(usize, u16, How),
    RejectCurrent(usize),
    Rotate,
    Reopen(usize),
    /// This session's wall clock moves.
    Jump(usize, i64),
}

#[derive(Debug, Clone, Copy)]
enum How {
    /// As a working host and a working endpoint answer.
    Well(u64),
    /// The endpoint answers so, and exchanges nothing.
    Status(u16),
    /// It has its effect, and the answer is lost.
    Lost,
    /// It has none, and the host says so.
    Failed,
}

fn act() -> impl Strategy<Value = Act> {
    let how = prop_oneof![
        9 => prop::sample::select(vec![60, 3_600, 3_600]).prop_map(How::Well),
        1 => prop::sample::select(vec![400, 401, 429, 503]).prop_map(How::Status),
        1 => Just(How::Lost),
        1 => Just(How::Failed),
    ];
    prop_oneof![
        4 => prop::sample::select(vec![1, 400, 600, 1_400, 5_000, 16_000, 301_000, 3_500_000]).prop_map(Act::Pass),
        6 => (0..2_usize, prop::sample::select(vec!["woken", "woken", "needed", "changed"])).prop_map(|(seat, event)| Act::Event(seat, event)),
        4 => (0..2_usize, any::<u16>()).prop_map(|(seat, which)| Act::Arrive(seat, which)),
        14 => (0..2_usize, any::<u16>(), how).prop_map(|(seat, which, how)| Act::Answer(seat, which, how)),
        1 => (0..2_usize).prop_map(Act::RejectCurrent),
        2 => Just(Act::Rotate),
        1 => (0..2_usize).prop_map(Act::Reopen),
        1 => (0..2_usize, prop::sample::select(vec![-3_600_000, 3_600_000, -40_000, 20_000])).prop_map(|(seat, by)| Act::Jump(seat, by)),
    ]
}

/// What a session has been told, by answers and by entries.
#[derive(Debug, Clone, Default)]
struct Knowledge {
    /// Identity tokens.
    spent: HashSet<String>,
    /// Ids of access tokens.
    rejected: HashSet<String>,
}

impl Knowledge {
    fn learn(&mut self, other: &Self) {
        self.spent.extend(other.spent.iter().cloned());
        self.rejected.extend(other.rejected.iter().cloned());
    }
}

struct Open {
    number: u64,
    task: Value,
    /// What its session knew when it asked.
    knew: Knowledge,
    /// The outcome, and what an entry in it tells, where it took effect already.
    effect: Option<(Value, Knowledge)>,
}

struct Seat {
    machine: Box<dyn Machine>,
    opening: Opening,
    steady_from_ms: u64,
    skew_ms: i64,
    output: Value,
    journal: Option<(Value, Knowledge)>,
    open: Vec<Open>,
    abandoned: HashSet<u64>,
    knows: Knowledge,
    /// Identity tokens whose outcome is in doubt.
    in_doubt: HashSet<String>,
    last_sent_ms: Option<u64>,
    /// The last answer said that nothing had left.
    unsent: bool,
    /// How long the entry had stood still when this session last wrote it.
    stood_still_ms: u64,
    /// An operation on the file failed: until one is done this session goes on by itself.
    alone: bool,
}

struct Entry {
    version: u64,
    value: Value,
    tells: Knowledge,
    at_ms: u64,
}

/// Where two sessions meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meeting {
    /// In the store of their hosts. Without it nothing is exchanged.
    Store,
    /// In the credentials file of a profile, where it can be used. Without it each goes on by itself.
    Profile,
}

struct Pair {
    meeting: Meeting,
    seats: Vec<Seat>,
    now_ms: u64,
    /// The earliest and the latest that a wall clock was off.
    skews_ms: (i64, i64),
    entry: Option<Entry>,
    serial: u64,
    exchanged: HashSet<String>,
    tokens: u64,
    /// By id: when the endpoint's token ends.
    ends_ms: HashMap<String, u64>,
}

impl Pair {
    fn new(meeting: Meeting, seed: u64, skew_ms: i64) -> Self {
        let (configuration, can) = match meeting {
            Meeting::Store => (federation(json!({"source": "file", "path": "/token"})), vec!["read-file".into(), "store".into()]),
            Meeting::Profile => (json!({"discover": {"config_dir": "/c", "profile": "p"}}), vec!["read-file".into()]),
        };
        let seat = |number: u64| {
            let opening = Opening {
                configuration: configuration.to_string(),
                seed: seed ^ (number << 40),
                can: can.clone(),
                from: json!("fresh"),
            };
            Seat {
                machine: Kind::Native.open(&opening).expect("a valid configuration"),
                opening,
                steady_from_ms: 1_000_000 * number,
                skew_ms: if number == 1 { skew_ms } else { 0 },
                output: Value::Null,
                journal: None,
                open: Vec::new(),
                abandoned: HashSet::new(),
                knows: Knowledge::default(),
                in_doubt: HashSet::new(),
                last_sent_ms: None,
                unsent: false,
                stood_still_ms: u64::MAX,
                alone: false,
            }
        };
        let mut pair = Self {
            seats: vec![seat(0), seat(1)],
            now_ms: 0,
            skews_ms: (skew_ms.min(0), skew_ms.max(0)),
            entry: (meeting == Meeting::Profile).then(|| Entry {
                version: 0,
                value: json!("{}"),
                tells: Knowledge::default(),
                at_ms: 0,
            }),
            meeting,
            serial: 0,
            exchanged: HashSet::new(),
            tokens: 0,
            ends_ms: HashMap::new(),
        };
        (0..2).for_each(|seat| pair.step(seat, &json!("woken")));
        pair
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Pass(ms) => self.now_ms += ms,
            Act::Event(seat, event) => self.step(seat, &json!(event)),
            Act::Arrive(seat, which) => {
                if let Some(place) = place(which, self.seats[seat].open.len()) {
                    self.arrive(seat, place, How::Well(3_600));
                }
            }
            Act::Answer(seat, which, how) => {
                if let Some(place) = place(which, self.seats[seat].open.len()) {
                    self.answer(seat, place, how);
                }
            }
            Act::RejectCurrent(seat) => self.reject(seat),
            Act::Rotate => self.serial += 1,
            Act::Reopen(seat) => self.reopen(seat),
            Act::Jump(seat, by_ms) => {
                let skew_ms = &mut self.seats[seat].skew_ms;
                *skew_ms = (*skew_ms + by_ms).clamp(-3_600_000, 3_600_000);
                self.skews_ms = (self.skews_ms.0.min(*skew_ms), self.skews_ms.1.max(*skew_ms));
            }
        }
    }

    fn reject(&mut self, seat: usize) {
        let known: HashSet<&String> = self.seats.iter().flat_map(|seat| &seat.knows.rejected).collect();
        let id = self.seats[seat].output["access"]["usable"]["id"].as_str().map(str::to_owned);
        if let Some(id) = id.filter(|_| known.len() < REJECTIONS) {
            self.step(seat, &json!({ "rejected": id }));
            let notes = self.seats[seat].output["notes"].as_array().cloned().unwrap_or_default();
            if notes.iter().any(|note| note["code"] == "token-rejected") {
                self.seats[seat].knows.rejected.insert(id);
            }
        }
    }

    /// A task has its effect, if it has one outside and did not have it yet.
    fn arrive(&mut self, seat: usize, place: usize, how: How) {
        let open = &self.seats[seat].open[place];
        if open.effect.is_some() {
            return;
        }
        let (task, knew) = (open.task.clone(), open.knew.clone());
        let effect = if let Some(swap) = task.get("swap-entry") {
            self.swap(seat, swap, knew)
        } else if task.get("load-entry").is_some() {
            match &self.entry {
                Some(entry) => (json!({ "entry": shown(entry) }), entry.tells.clone()),
                None => (json!("absent"), Knowledge::default()),
            }
        } else if let Some(assertion) = assertion_of(&task) {
            (self.exchange(&assertion, how), Knowledge::default())
        } else {
            return;
        };
        self.seats[seat].open[place].effect = Some(effect);
    }

    fn swap(&mut self, seat: usize, swap: &Value, knew: Knowledge) -> (Value, Knowledge) {
        let version = self.entry.as_ref().map(|entry| format!("v{}", entry.version));
        if version.as_deref() != swap["expected"].as_str() {
            let entry = self.entry.as_ref();
            let tells = entry.map(|entry| entry.tells.clone()).unwrap_or_default();
            return (json!({ "conflict": entry.map(shown) }), tells);
        }
        let stood_still_ms = self.entry.as_ref().map_or(u64::MAX, |entry| self.now_ms - entry.at_ms);
        self.seats[seat].stood_still_ms = stood_still_ms;
        let next = self.entry.as_ref().map_or(0, |entry| entry.version) + 1;
        self.entry = Some(Entry { version: next, value: swap["value"].clone(), tells: knew, at_ms: self.now_ms });
        (json!({ "swapped": format!("v{next}") }), Knowledge::default())
    }

    fn exchange(&mut self, assertion: &str, how: How) -> Value {
        let response =
            |status: u16, body: Value| json!({"response": {"status": status, "headers": [], "body": body.to_string()}});
        match how {
            How::Failed => return json!({"unsent": "refused"}),
            How::Status(status) => return response(status, json!({"type": "error"})),
            How::Well(_) | How::Lost if !self.exchanged.insert(assertion.to_owned()) => {
                return if matches!(how, How::Lost) {
                    json!({"maybe-sent": "reset"})
                } else {
                    response(401, json!({"type": "error"}))
                };
            }
            How::Lost => return json!({"maybe-sent": "reset"}),
            How::Well(_) => {}
        }
        let How::Well(life_s) = how else { return Value::Null };
        self.tokens += 1;
        let token = format!("sk-ant-oat01-canary-{}", self.tokens);
        self.ends_ms.insert(jwt::id_of(&token), self.now_ms + life_s * 1_000);
        response(200, json!({"access_token": token, "token_type": "Bearer", "expires_in": life_s}))
    }

    fn answer(&mut self, seat: usize, place: usize, how: How) {
        let outside = ["swap-entry", "load-entry", "send-request"];
        let is_outside = outside.iter().any(|kind| self.seats[seat].open[place].task.get(kind).is_some());
        let fails = matches!(how, How::Failed) && self.seats[seat].open[place].effect.is_none();
        if is_outside && !(fails && assertion_of(&self.seats[seat].open[place].task).is_none()) {
            self.arrive(seat, place, how);
        }
        let Open { number, task, effect, .. } = self.seats[seat].open.remove(place);
        let (outcome, tells) = match (effect, how) {
            (Some((_, _)), How::Lost) if assertion_of(&task).is_some() => (json!({"maybe-sent": "reset"}), Knowledge::default()),
            (Some((_, _)), How::Lost) => self.store_fails(seat, json!("lost")),
            (Some(effect), _) => effect,
            (None, _) if is_outside => self.store_fails(seat, json!({"failed": "the store is down"})),
            (None, How::Failed) => (json!({"failed": "an I/O error"}), Knowledge::default()),
            (None, _) if task["read-file"]["path"] == "/c/configs/p.json" => {
                (json!({"content": profile("/token")}), Knowledge::default())
            }
            (None, _) => {
                let issued = START_MS / 1_000 - 8_000;
                let claims = json!({"iss": "i", "sub": "s", "iat": issued, "exp": issued + 900_000_000, "jti": format!("file-{}", self.serial)});
                (json!({"content": jwt::jwt(&claims)}), Knowledge::default())
            }
        };
        if let Some(assertion) = assertion_of(&task) {
            self.learn(seat, number, assertion, &outcome);
        }
        if !self.seats[seat].abandoned.contains(&number) {
            self.seats[seat].knows.learn(&tells);
            self.seats[seat].alone &= outcome.get("swapped").is_none();
        }
        self.step(seat, &json!({"finished": {"number": number, "outcome": outcome}}));
    }

    fn store_fails(&mut self, seat: usize, outcome: Value) -> (Value, Knowledge) {
        self.seats[seat].alone = self.meeting == Meeting::Profile;
        (outcome, Knowledge::default())
    }

    /// What the answer to a request tells its session of the identity token.
    fn learn(&mut self, seat: usize, number: u64, assertion: String, outcome: &Value) {
        let seat = &mut self.seats[seat];
        let heard = !seat.abandoned.contains(&number);
        match outcome["response"]["status"].as_u64() {
            Some(200) => drop(seat.knows.spent.insert(assertion)),
            Some(401) if heard && seat.in_doubt.contains(&assertion) => drop(seat.knows.spent.insert(assertion)),
            Some(503) => drop(seat.in_doubt.insert(assertion)),
            None if outcome.get("maybe-sent").is_some() => drop(seat.in_doubt.insert(assertion)),
            None => seat.unsent = heard,
            _ => {}
        }
    }

    fn reopen(&mut self, number: usize) {
        let seat = &mut self.seats[number];
        for open in std::mem::take(&mut seat.open) {
            seat.in_doubt.extend(assertion_of(&open.task));
        }
        seat.abandoned.clear();
        seat.last_sent_ms = None;
        seat.opening.seed += 1;
        (seat.opening.from, seat.knows) = match &seat.journal {
            Some((journal, knew)) => (json!({ "resumed": journal }), knew.clone()),
            None => (json!("fresh"), Knowledge::default()),
        };
        seat.machine = Kind::Native.open(&seat.opening).expect("a valid configuration");
        self.step(number, &json!("woken"));
    }

    fn step(&mut self, number: usize, event: &Value) {
        let seat = &mut self.seats[number];
        let wall_ms = (START_MS + self.now_ms).saturating_add_signed(seat.skew_ms);
        let clock = json!({"wall-ms": wall_ms, "steady-ms": seat.steady_from_ms + self.now_ms});
        let output = seat.machine.step(&clock, event);
        for abandoned in output["abandon"].as_array().into_iter().flatten().filter_map(Value::as_u64) {
            seat.abandoned.insert(abandoned);
            // It was not answered in its time.
            let of_the_file = |open: &Open| open.number == abandoned && open.task.get("send-request").is_none();
            seat.alone |= self.meeting == Meeting::Profile && seat.open.iter().any(of_the_file);
            let sent = seat.open.iter().find(|open| open.number == abandoned).and_then(|open| assertion_of(&open.task));
            seat.in_doubt.extend(sent);
        }
        seat.output = output.clone();
        if let Some(journal) = output.get("journal") {
            seat.journal = Some((journal.clone(), seat.knows.clone()));
        }
        for task in output["tasks"].as_array().into_iter().flatten() {
            self.started(number, task);
        }
        self.check(number);
    }

    fn started(&mut self, number: usize, task: &Value) {
        let (other, now_ms) = (&self.seats[1 - number], self.now_ms);
        let apart = other.alone;
        let assertion = assertion_of(&task["task"]);
        let theirs_is_out = other
            .open
            .iter()
            .any(|open| assertion.is_some() && assertion_of(&open.task) == assertion && !other.abandoned.contains(&open.number));
        let seat = &mut self.seats[number];
        if let Some(assertion) = assertion {
            assert!(!seat.knows.spent.contains(&assertion), "session {number} sent again what it knows to be spent");
            let gap = seat.last_sent_ms.map_or(u64::MAX, |last| now_ms - last);
            assert!(gap >= 5_000 || std::mem::take(&mut seat.unsent), "{gap} ms between two requests of session {number}");
            seat.last_sent_ms = Some(now_ms);
            let still_ms = seat.stood_still_ms;
            let apart = apart || seat.alone;
            assert!(!theirs_is_out || still_ms >= LEASE_MS || apart, "both send it, and the lease had stood for {still_ms} ms");
        }
        let open = Open {
            number: task["number"].as_u64().expect("a number"),
            task: task["task"].clone(),
            knew: seat.knows.clone(),
            effect: None,
        };
        seat.open.push(open);
        let operations = seat.open.iter().filter(|open| open.task.get("swap-entry").or(open.task.get("load-entry")).is_some());
        let abandoned = operations.filter(|open| !seat.abandoned.contains(&open.number));
        assert!(abandoned.count() <= 1, "two operations of the store at a time");
    }

    fn check(&self, number: usize) {
        let seat = &self.seats[number];
        let requests = seat.open.iter().filter(|open| open.task.get("send-request").is_some());
        assert!(requests.filter(|open| !seat.abandoned.contains(&open.number)).count() <= 1, "two exchanges of one session");
        let usable = &seat.output["access"]["usable"];
        let Some(id) = usable["id"].as_str() else { return };
        assert!(
            !seat.knows.rejected.contains(id) || usable["standing"] == "suspect",
            "session {number} knows that {id} was rejected, and calls it good"
        );
        let left = usable["unusable-in-ms"].as_u64().expect("exchanged tokens end");
        // Between machines only the wall clocks tell an end: it can be wrong by as much as they differ.
        let apart = u64::try_from(self.skews_ms.1 - self.skews_ms.0).expect("the latest is later");
        let end = self.ends_ms[id];
        assert!(self.now_ms + left <= end + apart, "served for {left} ms from {}, and it ends at {end}", self.now_ms);
    }

    /// From here on everything works: both serve within the longest pause there is.
    fn recover(&mut self) {
        self.seats.iter_mut().for_each(|seat| seat.skew_ms = 0);
        self.serial += 1;
        let until = self.now_ms + 1_300_000;
        let mut looks = 0;
        // Where clocks differed a token may end at this very moment: what comes after it has one wake.
        let serves = |pair: &Self| pair.seats.iter().all(|seat| seat.output["access"].get("usable").is_some());
        while self.now_ms < until || self.now_ms < until + 10_000 && !serves(self) {
            looks += 1;
            assert!(looks < 20_000, "without a rest: {:#} {:#}", self.seats[0].output, self.seats[1].output);
            let wakes = self.seats.iter().filter_map(|seat| seat.output["wake-in-ms"].as_u64());
            self.now_ms += wakes.min().unwrap_or(10_000).clamp(1, 10_000);
            for seat in 0..2 {
                self.step(seat, &json!("needed"));
                for _ in 0..64 {
                    if self.seats[seat].open.is_empty() {
                        break;
                    }
                    self.answer(seat, 0, How::Well(86_400));
                }
            }
        }
        for seat in &self.seats {
            assert!(seat.output["access"].get("usable").is_some(), "stuck: {:#}", seat.output);
        }
    }
}

/// One of so many, from 0 for the oldest to `u16::MAX` for the newest.
fn place(which: u16, of: usize) -> Option<usize> {
    (of > 0).then(|| usize::from(which) * of / (usize::from(u16::MAX) + 1))
}

fn shown(entry: &Entry) -> Value {
    json!({"version": format!("v{}", entry.version), "value": entry.value})
}

fn assertion_of(task: &Value) -> Option<String> {
    let body: Value = serde_json::from_str(task.get("send-request")?["body"].as_str()?).ok()?;
    Some(body["assertion"].as_str()?.to_owned())
}

fn config() -> ProptestConfig {
    let kept = FileFailurePersistence::Direct("tests/two_sessions.regressions");
    ProptestConfig { max_shrink_iters: 4_000, failure_persistence: Some(Box::new(kept)), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    /// A6, A8, C5, C6, D10: no session sends what it knows to be spent, by itself or from the store; no rejected token is good to
    /// whoever has heard of it; no two exchange one identity token while a lease stands; no token is served past its end by more
    /// than the clocks differ; and neither is ever stuck.
    #[test]
    fn whatever_happens_to_both(seed in any::<u32>(), skew in -3_600_000..3_600_000_i64, acts in prop::collection::vec(act(), 1..90)) {
        let mut pair = Pair::new(Meeting::Store, seed.into(), skew);
        acts.iter().for_each(|act| pair.act(act));
        pair.recover();
    }

    /// The same with clocks that agree: no token is served past its end.
    #[test]
    fn whatever_happens_to_both_at_one_time(seed in any::<u32>(), acts in prop::collection::vec(act(), 1..90)) {
        let mut pair = Pair::new(Meeting::Store, seed.into(), 0);
        acts.iter().filter(|act| !matches!(act, Act::Jump(..))).for_each(|act| pair.act(act));
        pair.recover();
    }

    /// The same for two that found one profile, and share by its credentials file.
    #[test]
    fn whatever_happens_to_both_beside_a_profile(seed in any::<u32>(), skew in -3_600_000..3_600_000_i64, acts in prop::collection::vec(act(), 1..90)) {
        let mut pair = Pair::new(Meeting::Profile, seed.into(), skew);
        acts.iter().for_each(|act| pair.act(act));
        pair.recover();
    }
}

/// A6: a request's time is over, and a swap of the lease for the next try is out, when its answer comes after all: the identity token
/// is spent, and the lease that is then taken is of no use.
#[test]
fn a_late_answer_is_heard_while_the_lease_for_the_next_try_is_taken() {
    let mut pair = Pair::new(Meeting::Store, 0, 0);
    let all = |pair: &mut Pair, tasks: usize| (0..tasks).for_each(|_| pair.act(&Act::Answer(1, u16::MAX, How::Well(60))));
    // The source, the entry, the lease: then the request is out.
    all(&mut pair, 3);
    pair.act(&Act::Pass(301_000));
    pair.act(&Act::Event(1, "woken"));
    all(&mut pair, 1);
    pair.act(&Act::Pass(5_000));
    pair.act(&Act::Event(1, "needed"));
    while pair.seats[1]
        .open
        .last()
        .is_some_and(|open| open.task["swap-entry"]["value"].as_str().is_none_or(|value| value.contains("\"lease\":null")))
    {
        all(&mut pair, 1);
    }
    pair.act(&Act::Answer(1, 0, How::Well(3_600)));
    assert!(pair.seats[1].output["access"].get("usable").is_some(), "{:#}", pair.seats[1].output);
    all(&mut pair, 1);
    pair.recover();
}
