//! Any order of events, against a model that knows nothing but the invariants.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use wif_world::world::federation;
use wif_world::{Kind, Machine, Opening, jwt, kinds};

const WALL_MS: u64 = 1_790_000_000_000;

/// What may happen.
#[derive(Debug, Clone)]
enum Act {
    Pass(u64),
    Event(&'static str),
    RejectCurrent,
    RejectOther,
    StillRunning,
    /// Answers one of the open tasks.
    /// which is told by its place among them, from 0 for the oldest to `u16::MAX` for the newest.
    Answer(u16, How),
    Rotate,
    /// The source shows another workload's identity tokens from here on.
    Resettle,
    Reopen,
    /// The machine boots: the steady clock begins anew, and the session is opened from its journal.
    Reboot,
    Jump(i64),
}

#[derive(Debug, Clone)]
enum How {
    Well(u64),
    SameTokenAgain,
    Status(u16, Option<&'static str>),
    Garbage,
    Outcome(&'static str),
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        6 => prop::sample::select(vec![1, 59, 60, 261, 3_600, 86_400]).prop_map(How::Well),
        1 => Just(How::SameTokenAgain),
        3 => (
            prop::sample::select(vec![301_u16, 400, 401, 401, 403, 408, 425, 429, 500, 503]),
            prop::sample::select(vec![None, None, Some("1"), Some("77")])
        )
            .prop_map(|(status, after)| How::Status(status, after)),
        1 => Just(How::Garbage),
        3 => prop::sample::select(vec!["unsent", "maybe-sent", "failed", "denied", "absent", "unsupported", "lost"]).prop_map(How::Outcome),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => prop::sample::select(vec![1, 400, 1_100, 5_000, 15_000, 61_000, 301_000, 3_500_000]).prop_map(Act::Pass),
        4 => prop::sample::select(vec!["woken", "needed", "needed", "changed"]).prop_map(Act::Event),
        12 => (any::<u16>(), how()).prop_map(|(which, how)| Act::Answer(which, how)),
        1 => Just(Act::RejectCurrent),
        1 => Just(Act::RejectOther),
        1 => Just(Act::StillRunning),
        2 => Just(Act::Rotate),
        1 => Just(Act::Resettle),
        1 => Just(Act::Reopen),
        1 => prop::sample::select(vec![-3_600_000, 3_600_000, -40_000]).prop_map(Act::Jump),
    ]
}

/// The same, and boots.
fn act_or_boot() -> impl Strategy<Value = Act> {
    prop_oneof![30 => act(), 1 => Just(Act::Reboot)]
}

struct Open {
    number: u64,
    task: Value,
    /// Whether this identity token's outcome was in doubt when it was sent.
    in_doubt: bool,
    at_ms: u64,
    /// What the environment was when it was asked. A process does not change its variables while they are read.
    asked_in: u64,
}

/// The same session three times: natively twice and through the component; and what must hold of it.
struct Model {
    machines: Vec<Box<dyn Machine>>,
    opening: Opening,
    /// Whether a callable that is declared to mint does.
    mints: bool,
    discovers: bool,
    now_ms: u64,
    booted_ms: u64,
    jumped_ms: i64,
    may_jump: bool,
    serial: u64,
    minted: u64,
    /// Whose identity tokens the source shows, and whose it was seen to show last.
    subject: u64,
    seen: Option<u64>,
    /// By id: whose access token it is.
    subjects: HashMap<String, u64>,
    output: Value,
    journal: Option<Value>,
    journal_at_ms: u64,
    open: Vec<Open>,
    abandoned: HashSet<u64>,
    entries: HashMap<String, Value>,
    spent: HashSet<String>,
    in_doubt: HashSet<String>,
    rejected: HashSet<String>,
    last_sent_ms: Option<u64>,
    /// The last answer said that nothing had left.
    unsent: bool,
    /// By id: until when it may be served.
    ends_ms: HashMap<String, u64>,
    /// Tokens of unknown life: each serves the callers of one output.
    passing: HashSet<String>,
    /// By the id of an access token: the federation rule that it was exchanged under.
    rules: HashMap<String, String>,
    /// What the environment was when the session was opened.
    opened_in: u64,
    tokens: u64,
}

/// The credentials file beside a profile, which somebody has made.
const CREDENTIALS: &str = "file:/home/.config/anthropic/credentials/one.json";

/// A configuration that leaves all to the environment.
const DISCOVERS: usize = 7;

/// What an environment shows, by its number: a variable or a file. Some are wrong, and one is empty.
fn environment(number: u64, name: &str) -> Option<String> {
    let profile = |rule: &str| {
        json!({
            "version": "1.0",
            "organization_id": "3f2b8c1e-0000-4000-8000-1234567890ab",
            "authentication": {
                "type": "oidc_federation",
                "federation_rule_id": rule,
                "identity_token": {"source": "file", "path": "/token"}
            }
        })
        .to_string()
    };
    let found = match (number % 7, name) {
        (_, "HOME") => "/home",
        (0, "/home/.config/anthropic/active_config") => "one",
        (0, "/home/.config/anthropic/configs/one.json") => return Some(profile("fdrl_one")),
        (1, "ANTHROPIC_FEDERATION_RULE_ID") => "fdrl_two",
        (1, "ANTHROPIC_ORGANIZATION_ID") => "3f2b8c1e-0000-4000-8000-1234567890ab",
        (1, "ANTHROPIC_IDENTITY_TOKEN_FILE") => "/token",
        (2, "ANTHROPIC_API_KEY") => API_KEY,
        (3, "ANTHROPIC_PROFILE") => "missing",
        (4, "/home/.config/anthropic/active_config") => "one",
        (4, "/home/.config/anthropic/configs/one.json") => "{\"canary\": ",
        (6, "ANTHROPIC_PROFILE") => "other",
        (6, "/home/.config/anthropic/configs/other.json") => return Some(profile("fdrl_other")),
        _ => return None,
    };
    Some(found.to_owned())
}

const API_KEY: &str = "sk-ant-api03-canary";

impl Model {
    fn new(scheme: usize, seed: u64, may_jump: bool) -> Self {
        let file = json!({"source": "file", "path": "/token"});
        let mint = json!({"source": "callable", "name": "mint", "freshness": "minted"});
        let (source, can) = match scheme {
            0 => (file, vec!["read-file"]),
            1 => (file, vec!["read-file", "store"]),
            2 => (file, vec!["read-file", "owners-vanish"]),
            3 | 5 => (mint, vec!["supply-assertion"]),
            6 => (Value::Null, vec!["supply-token"]),
            DISCOVERS => (Value::Null, vec!["read-variable", "read-file"]),
            _ => (mint, vec!["supply-assertion", "cache"]),
        };
        let configuration = match scheme {
            6 => json!({"bearer": {"source": "callable", "name": "broker"}}),
            DISCOVERS => json!({}),
            _ => federation(source),
        };
        let opening = Opening {
            configuration: configuration.to_string(),
            seed,
            can: can.into_iter().map(str::to_owned).collect(),
            from: json!("fresh"),
        };
        let mut model = Self {
            machines: Vec::new(),
            mints: scheme != 5,
            discovers: scheme == DISCOVERS,
            opening,
            now_ms: 0,
            booted_ms: 0,
            jumped_ms: 0,
            may_jump,
            serial: 0,
            minted: 0,
            subject: 0,
            seen: None,
            subjects: HashMap::new(),
            output: Value::Null,
            journal: None,
            journal_at_ms: 0,
            open: Vec::new(),
            abandoned: HashSet::new(),
            entries: HashMap::from([(CREDENTIALS.to_owned(), json!({"version": "v", "value": "{}"}))]),
            spent: HashSet::new(),
            in_doubt: HashSet::new(),
            rejected: HashSet::new(),
            last_sent_ms: None,
            unsent: false,
            ends_ms: HashMap::new(),
            passing: HashSet::new(),
            rules: HashMap::new(),
            opened_in: 0,
            tokens: 0,
        };
        model.start();
        model
    }

    fn start(&mut self) {
        let open = |kind: &Kind| kind.open(&self.opening).expect("a valid configuration");
        self.opened_in = self.serial;
        self.machines = [Kind::Native].iter().chain(kinds()).map(open).collect();
        self.step(&json!("woken"));
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Pass(ms) => self.now_ms += ms,
            Act::Event(event) => self.step(&json!(event)),
            Act::RejectCurrent => {
                if let Some(id) = self.current() {
                    if self.passing.contains(&id) || self.ends_ms.get(&id).is_some_and(|end| *end > self.now_ms) {
                        self.rejected.insert(id.clone());
                    }
                    self.step(&json!({ "rejected": id }));
                }
            }
            Act::RejectOther => {
                // A token of unknown life is in one output, and not in the next.
                let before = self.current().filter(|id| !self.passing.contains(id));
                self.step(&json!({"rejected": "0123456789abcdef"}));
                assert!(
                    before.is_none() || self.current() == before || !self.output["notes"].as_array().is_none_or(Vec::is_empty)
                );
            }
            Act::StillRunning => {
                if let Some(open) = self.open.last() {
                    let number = open.number;
                    self.step(&json!({ "still-running": number }));
                }
            }
            Act::Answer(which, how) => {
                if !self.open.is_empty() {
                    let open = self.open.remove(usize::from(*which) * self.open.len() / (usize::from(u16::MAX) + 1));
                    self.answer(open, how);
                }
            }
            Act::Rotate => self.serial += 1,
            Act::Resettle => {
                self.subject = 1 - self.subject;
                self.serial += 1;
            }
            Act::Reopen => self.reopen(),
            Act::Reboot => {
                self.booted_ms = self.now_ms;
                if self.may_jump {
                    // How long the machine was off only the wall clock knows: what was left when it was written down is a bound.
                    for end in self.ends_ms.values_mut() {
                        *end = (*end).max(self.now_ms + end.saturating_sub(self.journal_at_ms));
                    }
                }
                self.reopen();
            }
            Act::Jump(ms) => self.jumped_ms += if self.may_jump { *ms } else { 0 },
        }
    }

    fn answer(&mut self, open: Open, how: &How) {
        let outcome = if open.task.get("send-request").is_some() {
            self.endpoint(&open, how)
        } else if open.task.get("supply-token").is_some() {
            self.supplied(how)
        } else {
            self.other(&open, how)
        };
        let shown = outcome["content"].as_str().and_then(jwt::claims);
        if let Some(shown) = shown.filter(|_| Self::asks_the_source(&open) && !self.abandoned.contains(&open.number)) {
            self.seen = shown["sub"].as_str().and_then(|subject| subject.parse().ok());
        }
        self.step(&json!({"finished": {"number": open.number, "outcome": outcome}}));
    }

    /// An answer of the endpoint, and what the session must know after it.
    fn endpoint(&mut self, open: &Open, how: &How) -> Value {
        let assertion = assertion_of(&open.task).expect("a request");
        let listened_to = !self.abandoned.contains(&open.number);
        match how {
            How::Well(_) | How::SameTokenAgain => {
                let life_s = if let How::Well(life_s) = how { *life_s } else { 3_600 };
                self.tokens += u64::from(matches!(how, How::Well(_)));
                let token = format!("sk-ant-oat01-canary-{}", self.tokens);
                let (sent_ms, life_ms) = (open.at_ms, life_s * 1_000);
                let end = sent_ms + life_ms - (life_ms / 12).min(5_000);
                let claims = jwt::claims(&assertion).expect("a JWT");
                // An issuer gives nobody the token of somebody else.
                let token = format!("{token}-{}", claims["sub"].as_str().expect("a subject"));
                let subject = claims["sub"].as_str().and_then(|subject| subject.parse().ok()).expect("a subject");
                self.subjects.insert(jwt::id_of(&token), subject);
                self.ends_ms.entry(jwt::id_of(&token)).and_modify(|known| *known = end.max(*known)).or_insert(end);
                self.spent.insert(assertion);
                self.rules.insert(jwt::id_of(&token), rule_of(&open.task));
                let body = json!({"access_token": token, "token_type": "Bearer", "expires_in": life_s});
                json!({"response": {"status": 200, "headers": [], "body": body.to_string()}})
            }
            How::Status(status, after) => {
                if listened_to && *status == 401 && open.in_doubt {
                    self.spent.insert(assertion.clone());
                } else if matches!(status, 301 | 408 | 500..=599) {
                    self.in_doubt.insert(assertion.clone());
                }
                let headers: Vec<Value> = after.iter().map(|after| json!({"name": "retry-after", "value": after})).collect();
                let echo = json!({"error": {"type": "canary", "message": format!("no: {assertion}")}});
                let body = if *status == 301 { String::new() } else { echo.to_string().replace("\"canary\"", "\"invalid\"") };
                json!({"response": {"status": status, "headers": headers, "body": body}})
            }
            How::Garbage => {
                self.in_doubt.insert(assertion);
                json!({"response": {"status": 200, "headers": [], "body": "<html>canary</html>"}})
            }
            How::Outcome("unsent") => {
                self.unsent = listened_to;
                json!({"unsent": "refused"})
            }
            How::Outcome("denied") => json!({"denied": "policy"}),
            How::Outcome("unsupported") => json!("unsupported"),
            How::Outcome(name) => {
                self.in_doubt.insert(assertion);
                if *name == "lost" || *name == "absent" { json!("lost") } else { json!({"maybe-sent": "reset"}) }
            }
        }
    }

    /// An answer of the program's own source of access tokens. They tell their end themselves, or in a claim, or not at all.
    fn supplied(&mut self, how: &How) -> Value {
        let wall_ms = self.clock()["wall-ms"].as_u64().expect("a number");
        let life_ms = match how {
            How::Well(life_s) => life_s * 1_000,
            How::SameTokenAgain => 3_600_000,
            How::Garbage => return json!({"token": {"value": "canary, and no token\n"}}),
            How::Status(..) => return json!({"failed": "no"}),
            How::Outcome(name @ ("absent" | "unsupported" | "lost")) => return json!(name),
            How::Outcome(_) => return json!({"denied": "no"}),
        };
        self.tokens += u64::from(matches!(how, How::Well(_)));
        let (tokens, end_ms) = (self.tokens, wall_ms + life_ms);
        let (value, expires_at_ms, life_ms) = match tokens % 3 {
            0 => (format!("sk-ant-oat01-canary-{tokens}"), json!(end_ms), life_ms),
            // In whole seconds, as claims are.
            1 => {
                let exp = end_ms / 1_000;
                let claims = json!({"sub": "canary", "exp": exp, "jti": tokens});
                (jwt::jwt(&claims), Value::Null, (exp * 1_000).saturating_sub(wall_ms))
            }
            _ => {
                let value = format!("canary-{tokens}");
                self.passing.insert(jwt::id_of(&value));
                return json!({"token": {"value": value}});
            }
        };
        let end = self.now_ms + life_ms - (life_ms / 12).min(5_000);
        self.ends_ms.entry(jwt::id_of(&value)).and_modify(|known| *known = end.max(*known)).or_insert(end);
        match expires_at_ms {
            Value::Null => json!({"token": {"value": value}}),
            at => json!({"token": {"value": value, "expires-at-ms": at}}),
        }
    }

    fn other(&mut self, open: &Open, how: &How) -> Value {
        let task = &open.task;
        if let (true, Some(name)) = (self.discovers, task["read-variable"].as_str()) {
            return match how {
                How::Outcome("denied") => json!({"denied": "no"}),
                _ => environment(open.asked_in, name).map_or_else(|| json!("absent"), |value| json!({ "content": value })),
            };
        }
        match how {
            How::Garbage => json!({"content": "canary, and no JWT"}),
            How::Outcome(name @ ("absent" | "unsupported" | "lost")) => json!(name),
            How::Outcome(name @ ("failed" | "denied")) => json!({ *name: "no" }),
            _ => self.well(task),
        }
    }

    /// Whether it asks the source of identity tokens.
    fn asks_the_source(open: &Open) -> bool {
        open.task.get("read-file").or(open.task.get("supply-assertion")).is_some()
    }

    /// What a working host answers.
    fn well(&mut self, task: &Value) -> Value {
        if let Some(key) = task.get("load-entry") {
            return self
                .entries
                .get(key.as_str().expect("a key"))
                .map_or_else(|| json!("absent"), |entry| json!({ "entry": entry }));
        }
        if let Some(swap) = task.get("swap-entry") {
            let cache = self.opening.can.iter().any(|can| can == "cache");
            let key = swap["key"].as_str().expect("a key");
            let found = self.entries.get(key).cloned();
            let version = found.as_ref().map_or(Value::Null, |entry| entry["version"].clone());
            if !cache && version != swap["expected"] {
                return json!({ "conflict": found });
            }
            let next = format!("{}+", version.as_str().unwrap_or("v"));
            self.entries.insert(key.to_owned(), json!({"version": next, "value": swap["value"]}));
            return json!({ "swapped": next });
        }
        if let (true, Some(path)) = (self.discovers, task["read-file"]["path"].as_str())
            && path != "/token"
        {
            return environment(self.serial, path).map_or_else(|| json!("absent"), |content| json!({ "content": content }));
        }
        let serial = if task.get("supply-assertion").is_some() && self.mints {
            self.minted += 1;
            format!("minted-{}", self.minted)
        } else {
            format!("file-{}", self.serial)
        };
        // Valid whatever the wall clock did.
        let issued = WALL_MS / 1_000 - 8_000;
        json!({"content": jwt::jwt(&json!({
            "iss": "i", "sub": self.subject.to_string(), "iat": issued, "exp": issued + 900_000_000, "jti": serial,
        }))})
    }

    fn reopen(&mut self) {
        let before = self.output["access"]["usable"].clone();
        // A wall clock that went ahead between two sessions may cost the token. One that went back gains nothing.
        let served =
            !self.may_jump && before["id"].as_str().and_then(|id| self.ends_ms.get(id)).is_some_and(|end| *end > self.now_ms);
        let served = served && !(self.discovers && self.opened_in != self.serial);
        if self.may_jump || self.discovers {
            // Another identity has a pace of its own.
            self.last_sent_ms = None;
        }
        for open in std::mem::take(&mut self.open) {
            self.in_doubt.extend(assertion_of(&open.task));
        }
        self.abandoned.clear();
        self.opening.seed += 1;
        self.opening.from = self.journal.as_ref().map_or_else(|| json!("fresh"), |journal| json!({ "resumed": journal }));
        self.seen = None;
        self.start();
        // Whose identity tokens the source gives, it shows before an earlier session's token is served.
        if served && let Some(position) = self.open.iter().position(Self::asks_the_source) {
            assert_eq!(self.current(), None);
            let open = self.open.remove(position);
            self.answer(open, &How::Well(0));
        }
        let same = before["id"].as_str().and_then(|id| self.subjects.get(id)) == Some(&self.subject);
        if served && same {
            let after = &self.output["access"]["usable"];
            assert_eq!((&after["id"], &after["standing"]), (&before["id"], &before["standing"]), "the token is served on");
        }
    }

    fn current(&self) -> Option<String> {
        self.output["access"]["usable"]["id"].as_str().map(str::to_owned)
    }

    fn clock(&self) -> Value {
        json!({"wall-ms": (WALL_MS + self.now_ms).saturating_add_signed(self.jumped_ms), "steady-ms": self.now_ms - self.booted_ms})
    }

    fn step(&mut self, event: &Value) {
        let clock = self.clock();
        let outputs: Vec<Value> = self.machines.iter_mut().map(|machine| machine.step(&clock, event)).collect();
        let statuses: Vec<Value> = self.machines.iter_mut().map(|machine| machine.status(&clock)).collect();
        assert!(outputs.windows(2).all(|pair| pair[0] == pair[1]), "the same inputs gave other outputs: {outputs:#?}");
        assert!(statuses.windows(2).all(|pair| pair[0] == pair[1]), "the same inputs gave another status: {statuses:#?}");
        self.output = outputs.into_iter().next().expect("at least two");
        if let Some(journal) = self.output.get("journal") {
            self.journal = Some(journal.clone());
            self.journal_at_ms = self.now_ms;
        }
        self.check(&statuses[0]);
    }

    fn check(&mut self, status: &Value) {
        let output = self.output.clone();
        let abandoned = output["abandon"].as_array().into_iter().flatten().filter_map(Value::as_u64);
        for number in abandoned {
            self.abandoned.insert(number);
            let sent = self.open.iter().find(|open| open.number == number).and_then(|open| assertion_of(&open.task));
            self.in_doubt.extend(sent);
        }
        for task in output["tasks"].as_array().into_iter().flatten() {
            self.started(task["number"].as_u64().expect("a number"), &task["task"]);
        }
        let running = |open: &&Open| open.task.get("send-request").is_some() && !self.abandoned.contains(&open.number);
        assert!(self.open.iter().filter(running).count() <= 1, "two exchanges at a time");
        if let Some(usable) = output["access"].get("usable") {
            let id = usable["id"].as_str().expect("an id");
            assert!(!self.rejected.contains(id) || usable["standing"] == "suspect", "{id} was rejected, and is good again");
            if self.passing.contains(id) {
                assert_eq!(usable["unusable-in-ms"], 0, "nobody knows how long it lives");
                return self.check_what_is_shown(&output, status);
            }
            let whose = self.subjects.get(id).copied();
            assert!(
                self.seen.is_none() || whose.is_none() || self.seen == whose,
                "a token of subject {whose:?}, and the source shows {:?}",
                self.seen
            );
            if self.discovers {
                let configured = status["configuration"].as_array().into_iter().flatten();
                let rule = configured.filter(|field| field["name"] == "federation_rule_id").map(|field| &field["value"]).next();
                assert_eq!(
                    self.rules.get(id).map(String::as_str),
                    rule.and_then(Value::as_str),
                    "the token is another identity's"
                );
                if id == jwt::id_of(API_KEY) {
                    return self.check_what_is_shown(&output, status);
                }
            }
            let left = usable["unusable-in-ms"].as_u64().expect("exchanged tokens end");
            let end = self.ends_ms[id];
            assert!(0 < left && self.now_ms + left <= end, "served for {left} ms from {}, and it ends at {end}", self.now_ms);
            assert!(
                usable["refresh-in-ms"].as_u64().is_none_or(|refresh| refresh > 0),
                "a `needed` would do something at once: {output:#}"
            );
        }
        self.check_what_is_shown(&output, status);
    }

    fn check_what_is_shown(&self, output: &Value, status: &Value) {
        assert!(output["wake-in-ms"].as_u64().is_none_or(|wake| wake > 0), "a wake at once is a loop");
        let public = format!("{}{}{status}", output["notes"], output["access"]["failed"]);
        assert!(!public.contains("canary") && !public.contains("eyJhbGci"), "a secret shows: {public}");
    }

    fn started(&mut self, number: u64, task: &Value) {
        let kind = task.as_object().and_then(|task| task.keys().next()).expect("a task");
        let capability = match kind.as_str() {
            "load-entry" | "swap-entry" => "store",
            other => other,
        };
        let can = |name: &str| self.opening.can.iter().any(|can| can == name);
        let beside_a_profile = self.discovers && (task["load-entry"] == CREDENTIALS || task["swap-entry"]["key"] == CREDENTIALS);
        let may = can(capability) || capability == "store" && can("cache") || beside_a_profile;
        assert!(kind == "send-request" || may, "asked for {task}");
        let assertion = assertion_of(task);
        let in_doubt = assertion.as_ref().is_some_and(|assertion| self.in_doubt.contains(assertion));
        if let Some(assertion) = &assertion {
            assert!(!self.spent.contains(assertion), "an identity token that is spent was sent again");
            let gap = self.last_sent_ms.map_or(u64::MAX, |last| self.now_ms - last);
            assert!(gap >= 5_000 || std::mem::take(&mut self.unsent), "{gap} ms between two requests");
            self.last_sent_ms = Some(self.now_ms);
        }
        self.open.push(Open { number, task: task.clone(), in_doubt, at_ms: self.now_ms, asked_in: self.serial });
    }

    /// From here on everything works: whatever came before, callers are served within the longest pause there is.
    fn recover(&mut self) {
        self.jumped_ms = 0;
        self.serial += 1;
        if self.discovers {
            // The next environment in which there is a credential to be found.
            self.serial = self.serial.next_multiple_of(7) + 1;
        }
        let until = self.now_ms + 1_300_000;
        while self.now_ms < until {
            let wake = self.output["wake-in-ms"].as_u64().unwrap_or(10_000).min(10_000);
            self.now_ms += wake;
            self.step(&json!("needed"));
            for _ in 0..64 {
                let Some(open) = self.open.pop() else { break };
                self.answer(open, &How::Well(86_400));
            }
        }
        assert!(self.current().is_some(), "stuck: {:#}", self.output);
    }
}

fn assertion_of(task: &Value) -> Option<String> {
    let body: Value = serde_json::from_str(task.get("send-request")?["body"].as_str()?).ok()?;
    Some(body["assertion"].as_str()?.to_owned())
}

fn rule_of(task: &Value) -> String {
    let body: Value = serde_json::from_str(task["send-request"]["body"].as_str().unwrap_or_default()).unwrap_or_default();
    body["federation_rule_id"].as_str().unwrap_or_default().to_owned()
}

/// H5, C6-C8, C12, A6, A7, B9-B11, B13, D1, D10, G1: one exchange at a time; five seconds between two requests; no token past its
/// end; no rejected token as good; no token of another subject than the source shows; no spent identity token; no secret in what is
/// shown; the same outputs natively, again, and through
/// the component; a journal that goes on where the session was; and never stuck.
fn holds(scheme: usize, seed: u32, may_jump: bool, acts: &[Act]) {
    let mut model = Model::new(scheme, seed.into(), may_jump);
    for act in acts {
        model.act(act);
    }
    model.recover();
}

fn config() -> ProptestConfig {
    // Failures are kept beside the tests and tried first from then on.
    let kept = FileFailurePersistence::Direct("tests/properties.regressions");
    ProptestConfig { max_shrink_iters: 2_000, failure_persistence: Some(Box::new(kept)), ..ProptestConfig::default() }
}

fn whatever() -> impl Strategy<Value = (usize, u32, bool, Vec<Act>)> {
    (0..6_usize, any::<u32>(), any::<bool>(), prop::collection::vec(act(), 1..60))
}

/// Boots, tokens that the program supplies, and credentials that are found in variables and files, which change.
fn whatever_else() -> impl Strategy<Value = (usize, u32, bool, Vec<Act>)> {
    (
        prop_oneof![2 => 0..6_usize, 3 => Just(6_usize), 3 => Just(DISCOVERS)],
        any::<u32>(),
        any::<bool>(),
        prop::collection::vec(act_or_boot(), 1..60),
    )
}

proptest! {
    #![proptest_config(config())]

    /// New cases in each run. `PROPTEST_CASES=20000` makes it a search of some ten minutes: see CONTRIBUTING.md.
    #[test]
    fn whatever_happens((scheme, seed, may_jump, acts) in whatever()) {
        holds(scheme, seed, may_jump, &acts);
    }

    /// A8b, D10: likewise.
    #[test]
    fn whatever_else_happens((scheme, seed, may_jump, acts) in whatever_else()) {
        holds(scheme, seed, may_jump, &acts);
    }
}

/// The same cases in each run.
#[test]
fn whatever_happened_before() {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    // However many cases a search asks for.
    let mut runner = TestRunner::new_with_rng(ProptestConfig { cases: 256, ..config() }, rng);
    let held = runner.run(&whatever(), |(scheme, seed, may_jump, acts)| {
        holds(scheme, seed, may_jump, &acts);
        Ok(())
    });
    held.unwrap_or_else(|failure| panic!("{failure}"));
}

const OLDEST: u16 = 0;
const NEWEST: u16 = u16::MAX;

fn answer(which: u16, how: How) -> Act {
    Act::Answer(which, how)
}

/// D10: the wall clock goes back by 40 s, and late in its life the token is met again in a cache.
#[test]
fn a_token_in_a_cache_lives_no_longer_than_it_is_known_to() {
    let mut acts = vec![
        answer(OLDEST, How::Well(3_600)),
        answer(OLDEST, How::Well(3_600)),
        answer(OLDEST, How::SameTokenAgain),
        Act::Jump(-40_000),
        Act::Pass(3_500_000),
        Act::Pass(61_000),
        Act::Event("woken"),
        answer(NEWEST, How::Well(3_600)),
        answer(NEWEST, How::Well(3_600)),
        Act::Event("changed"),
    ];
    acts.extend(std::iter::repeat_n(answer(NEWEST, How::Well(59)), 6));
    holds(4, 1_842_688_097, true, &acts);
}

/// D10: the wall clock goes back by an hour, and a token that has run out is met again in a cache.
#[test]
fn a_token_that_ran_out_is_not_taken_from_a_cache() {
    let mut acts = vec![answer(OLDEST, How::Well(1)); 4];
    acts.extend([Act::Pass(5_004), Act::Event("woken")]);
    acts.extend(vec![answer(OLDEST, How::Well(1)); 3]);
    acts.extend([Act::Jump(-3_600_000), Act::Pass(5_000), Act::RejectCurrent]);
    acts.extend(vec![answer(NEWEST, How::Well(1)); 4]);
    holds(4, 0, true, &acts);
}

/// C8: the endpoint gives the rejected token once more, with a longer life: what is served and what the journal holds agree.
#[test]
fn a_rejected_token_that_is_given_again_survives_a_reopening() {
    let mut acts = vec![
        answer(OLDEST, How::Well(3_600)),
        answer(OLDEST, How::Well(3_600)),
        answer(OLDEST, How::Well(59)),
        answer(OLDEST, How::Well(3_600)),
        Act::RejectCurrent,
        answer(OLDEST, How::Well(3_600)),
        Act::Event("changed"),
        Act::Pass(5_000),
        Act::Event("woken"),
        answer(NEWEST, How::Well(3_600)),
        answer(NEWEST, How::SameTokenAgain),
        Act::Event("woken"),
        Act::Pass(61_001),
    ];
    acts.push(Act::Reopen);
    holds(4, 0, false, &acts);
}

/// D10: a boot, then the wall clock goes back, and the session is opened again once the boot has lasted as long as the one before.
#[test]
fn a_journal_from_before_a_boot_does_not_lengthen_a_life() {
    let acts = [Act::Pass(1), answer(OLDEST, How::Well(59)), Act::Reboot, Act::Jump(-3_600_000), Act::Pass(1), Act::Reopen];
    holds(6, 0, true, &acts);
}

/// D10: a session that was opened from another boot's journal is opened anew before it has read its source, and the wall clock has gone
/// back meanwhile.
#[test]
fn a_token_lives_no_longer_after_a_restart_right_after_a_boot() {
    let mut acts = vec![Act::Pass(1)];
    acts.extend(vec![answer(OLDEST, How::Well(1)); 3]);
    acts.extend([answer(OLDEST, How::Well(261)), Act::Reboot, Act::Pass(1), Act::Jump(-40_000), Act::Reopen, Act::Pass(1)]);
    holds(1, 0, true, &acts);
}

/// D10: the source shows another identity over a restart and then the first one again, whose token is still in the cache. Meanwhile
/// the wall clock has gone back.
#[test]
fn a_token_in_a_cache_lives_no_longer_after_another_identity() {
    let mut acts = vec![Act::Jump(3_600_000)];
    acts.extend(vec![answer(OLDEST, How::Well(1)); 4]);
    acts.extend([
        Act::Resettle,
        Act::Reopen,
        answer(OLDEST, How::Outcome("unsent")),
        answer(OLDEST, How::Well(1)),
        Act::Resettle,
    ]);
    holds(4, 0, true, &acts);
}

/// A6: a callable that is declared to mint gives the same identity token again and again.
#[test]
fn a_source_that_only_claims_to_mint_is_found_out() {
    let mut acts = vec![answer(OLDEST, How::Well(60)); 2];
    for _ in 0..20 {
        acts.extend([Act::Pass(15_000), Act::Event("needed"), answer(NEWEST, How::Well(60)), answer(NEWEST, How::Well(60))]);
    }
    holds(5, 1, false, &acts);
}

/// C8, B10: the source shows another identity over a restart, and then the first one again, for which the endpoint gives the token once
/// more that the API has rejected.
#[test]
fn a_rejected_token_stays_rejected_through_another_identity() {
    let acts = vec![
        answer(OLDEST, How::Well(1)),
        answer(OLDEST, How::Well(1)),
        Act::RejectCurrent,
        Act::Resettle,
        Act::Pass(1),
        Act::Reopen,
        Act::Pass(1),
        Act::Resettle,
        Act::Pass(1),
        Act::Pass(5_000),
        Act::Event("woken"),
        answer(OLDEST, How::Well(1)),
        answer(OLDEST, How::SameTokenAgain),
    ];
    holds(2, 0, false, &acts);
}
