//! A vector as a world: what its steps answer, answered to whoever asks. So another driver can run it, or a session that was
//! trapped in the middle of it.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{Names, Vector};
use crate::drivers::{Driver, Host, Style};
use crate::{Kind, Opening, jwt};

/// How long after the last step the world still turns: longer than any pause.
const AFTERMATH_MS: u64 = 700_000;

/// What callers may do at one moment of a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// `usable`, `pending`, `failed`, `idle` or `closed`.
    pub access: String,
    /// The failure's code, if it failed.
    pub code: Option<String>,
    /// The token's id, if it is usable.
    pub token: Option<String>,
}

/// How a replay went, and where it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// After each step of the vector.
    pub steps: Vec<Moment>,
    /// After all of them, and a while.
    pub last: Moment,
    /// Identity tokens that were sent though the session knew that they are spent.
    pub spent_sent_again: usize,
    /// Whether a request whose answer would have been a token was out when the trap came.
    pub lost_a_token: bool,
}

/// What happened in a straight run of the vector.
struct Past {
    at_ms: u64,
    jumped_ms: i64,
    event: Option<Value>,
    /// The task that the event answered.
    answered: Option<Value>,
    reopened: Option<Opening>,
    /// Whether the answer brought a token, as far as the session could tell.
    granted: bool,
}

struct Replay<'a> {
    vector: &'a Vector,
    past: &'a [Past],
    now_ms: u64,
    sends: usize,
    mints: usize,
    out: Vec<(u64, Value)>,
    spent: HashSet<String>,
    uncertain: HashSet<String>,
    /// What the endpoint has exchanged.
    consumed: HashSet<String>,
    entry: Option<Value>,
    journal: Option<Value>,
    spent_sent_again: usize,
    rotated: bool,
}

impl Vector {
    /// Runs the vector as a world around a driver, with a trap at the step of this number, if any.
    ///
    /// # Errors
    ///
    /// If the vector itself does not run.
    pub fn replay(&self, kind: Kind, style: Style, trap: Option<usize>) -> Result<End, String> {
        let past = self.past(kind)?;
        let mut opening = style.opening(&self.opening(&Names::new(&self.names)?)?);
        let mut world = Replay::new(self, &past);
        let mut driver = open(kind, style, &opening, &mut world);
        let (mut lost_a_token, mut traps) = (false, 0);
        let mut steps = Vec::new();
        for (index, step) in past.iter().enumerate() {
            world.pass_until(step.at_ms, driver.as_mut());
            if let Some(reopened) = &step.reopened {
                opening = style.opening(reopened);
                if reopened.from.get("resumed").is_some() {
                    opening.from = world.resumed(driver.as_mut());
                }
                world.forget(opening.from.get("resumed").is_none());
                driver = open(kind, style, &opening, &mut world);
            }
            if trap == Some(index) {
                traps += 1;
                lost_a_token = world.forget(false);
                opening.seed += 1_000 + traps;
                opening.from = world.resumed(driver.as_mut());
                driver = open(kind, style, &opening, &mut world);
                if past[..index].iter().any(|step| step.event.as_ref().is_some_and(|event| event == "closing")) {
                    // A host that is closing says so to whatever it opens.
                    driver.event(&mut world, &"closing".into());
                }
            }
            if let Some(event) =
                step.event.as_ref().filter(|event| event.get("finished").is_none() && event.get("still-running").is_none())
            {
                driver.event(&mut world, event);
            }
            world.answer(driver.as_mut());
            steps.push(Moment::of(driver.as_mut()));
        }
        let end = past.last().map_or(0, |step| step.at_ms);
        world.pass_until(end + 10_000, driver.as_mut());
        world.rotated = true;
        driver.event(&mut world, &"changed".into());
        world.answer(driver.as_mut());
        world.pass_until(end + AFTERMATH_MS, driver.as_mut());
        driver.event(&mut world, &"needed".into());
        world.answer(driver.as_mut());
        Ok(End { steps, last: Moment::of(driver.as_mut()), spent_sent_again: world.spent_sent_again, lost_a_token })
    }

    /// The straight run, as it is written.
    fn past(&self, kind: Kind) -> Result<Vec<Past>, String> {
        let open = move |opening: &Opening| kind.open(opening);
        let mut run = self.begin(&open)?;
        let mut jumped_ms = 0;
        let mut past = Vec::new();
        for step in &self.steps {
            jumped_ms += step.wall_jump_ms;
            let open = run.tasks.clone();
            let event = step.event.as_ref().map(|event| run.names.expand(event, &open)).transpose()?;
            run.take(step, &self.clock(step.at_ms, jumped_ms))?;
            let number = event.as_ref().and_then(|event| event["finished"]["number"].as_u64());
            let answered = number.and_then(|number| open.into_iter().find(|(open, _)| *open == number)).map(|(_, task)| task);
            let reopened = step.reopen.is_some().then(|| run.opening.clone());
            let granted =
                run.output["notes"].as_array().is_some_and(|notes| notes.iter().any(|note| note["code"] == "exchange-succeeded"));
            past.push(Past { at_ms: step.at_ms, jumped_ms, event, answered, reopened, granted });
            for (name, value) in step.variables.iter().flatten() {
                let outcome = json!({"content": run.names.expand(value, &[])?});
                let event = json!({"finished": {"number": 0, "outcome": outcome}});
                let answered = Some(json!({ "read-variable": name }));
                past.push(Past { at_ms: step.at_ms, jumped_ms, event: Some(event), answered, reopened: None, granted: false });
            }
        }
        Ok(past)
    }
}

fn open(kind: Kind, style: Style, opening: &Opening, world: &mut Replay<'_>) -> Box<dyn Driver> {
    let mut driver = style.open(kind, opening).expect("the straight run opened it");
    driver.event(world, &"woken".into());
    world.answer(driver.as_mut());
    driver
}

impl Moment {
    fn of(driver: &mut dyn Driver) -> Self {
        let access = &driver.seen().output()["access"];
        let name = access.as_object().and_then(|access| access.keys().next().cloned());
        Self {
            access: name.or_else(|| access.as_str().map(str::to_owned)).unwrap_or_default(),
            code: access["failed"]["code"].as_str().map(str::to_owned),
            token: access["usable"]["id"].as_str().map(str::to_owned),
        }
    }
}

impl<'a> Replay<'a> {
    fn new(vector: &'a Vector, past: &'a [Past]) -> Self {
        Self {
            vector,
            past,
            now_ms: 0,
            sends: 0,
            mints: 0,
            out: Vec::new(),
            spent: HashSet::new(),
            uncertain: HashSet::new(),
            consumed: HashSet::new(),
            entry: None,
            journal: None,
            spent_sent_again: 0,
            rotated: false,
        }
    }

    /// The session is gone with its tasks. Whether one of them would have brought a token.
    fn forget(&mut self, everything: bool) -> bool {
        let mut lost_a_token = false;
        for (_, task) in std::mem::take(&mut self.out) {
            if let Some(assertion) = assertion_of(&task) {
                let (outcome, _) = self.scripted_send();
                if outcome["response"]["status"] == 200 {
                    lost_a_token = true;
                    self.consumed.insert(assertion.clone());
                }
                self.uncertain.insert(assertion);
            }
        }
        if everything {
            self.spent.clear();
            self.uncertain.clear();
        }
        lost_a_token
    }

    /// A start from the newest journal, whichever session wrote it.
    fn resumed(&mut self, driver: &mut dyn Driver) -> Value {
        self.journal = driver.seen().take_journal().or_else(|| self.journal.take());
        self.journal.as_ref().map_or_else(|| json!("fresh"), |journal| json!({ "resumed": journal }))
    }

    /// Lets time pass with the driver's timers.
    fn pass_until(&mut self, until_ms: u64, driver: &mut dyn Driver) {
        let mut wakes = 0;
        while let Some(alarm) = driver.alarm_ms().filter(|alarm| *alarm <= until_ms && *alarm > self.now_ms) {
            self.now_ms = alarm;
            driver.alarm(self);
            self.answer(driver);
            wakes += 1;
            assert!(wakes < 10_000, "a loop");
        }
        while driver.alarm_ms().is_none() && self.now_ms + 1_000 < until_ms {
            // Nobody but callers brings time here, one a second.
            self.now_ms += 1_000;
            driver.second(self, &[]);
            self.answer(driver);
        }
        self.now_ms = self.now_ms.max(until_ms);
    }

    /// Answers until nothing is asked.
    fn answer(&mut self, driver: &mut dyn Driver) {
        for _ in 0..64 {
            if self.out.is_empty() {
                return;
            }
            let (number, task) = self.out.remove(0);
            let outcome = self.outcome(&task);
            driver.event(self, &json!({"finished": {"number": number, "outcome": outcome}}));
        }
    }

    fn outcome(&mut self, task: &Value) -> Value {
        if let Some(assertion) = assertion_of(task) {
            let single_use = self.single_use(&assertion);
            let (scripted, granted) = self.scripted_send();
            let again = single_use && self.consumed.contains(&assertion) && scripted["response"]["status"] == 200;
            let (outcome, granted) = if again { (refusal(), false) } else { (scripted, granted) };
            let status = outcome["response"]["status"].as_u64();
            if status == Some(200) {
                self.consumed.insert(assertion.clone());
            }
            if granted && single_use || status == Some(401) && self.uncertain.contains(&assertion) {
                self.spent.insert(assertion);
            } else if !matches!(status, Some(400..=407 | 409..=499)) && outcome.get("unsent").is_none() {
                self.uncertain.insert(assertion);
            }
            return outcome;
        }
        if task.get("load-entry").is_some() {
            return self.entry.as_ref().map_or_else(|| json!("absent"), |entry| json!({ "entry": entry }));
        }
        if let Some(swap) = task.get("swap-entry") {
            let version = self.entry.as_ref().map(|entry| entry["version"].clone()).unwrap_or_default();
            if version != swap["expected"] {
                return json!({ "conflict": self.entry });
            }
            let next = format!("{}.", version.as_str().unwrap_or("w"));
            self.entry = Some(json!({"version": next, "value": swap["value"]}));
            return json!({ "swapped": next });
        }
        self.read(task)
    }

    fn single_use(&self, assertion: &str) -> bool {
        match self.vector.configuration["federation"]["assertion_reuse"].as_str() {
            Some("allow") => false,
            Some("deny") => true,
            _ => jwt::claims(assertion).is_none_or(|claims| claims.get("jti").is_some()),
        }
    }

    /// What a source shows now: by the last step that answered for it, or the first one that will.
    fn read(&mut self, task: &Value) -> Value {
        let key = |task: &Value| match task.get("read-file") {
            Some(file) => file["path"].to_string(),
            None => task.get("read-variable").unwrap_or(&Value::Null).to_string(),
        };
        let same = |step: &&Past| step.answered.as_ref().is_some_and(|of| kind_of(of) == kind_of(task) && key(of) == key(task));
        let outcome = |step: &Past| step.event.as_ref().map(|event| event["finished"]["outcome"].clone());
        if self.vector.configuration["federation"]["identity_token"]["freshness"] == "minted"
            && task.get("supply-assertion").is_some()
        {
            self.mints += 1;
            let mut scripted = self.past.iter().filter(same).take(self.mints).filter_map(outcome);
            if let Some(outcome) = scripted.nth(self.mints - 1) {
                return outcome;
            }
            let last =
                self.past.iter().filter(same).filter_map(outcome).filter_map(|outcome| self.claims_of(&outcome)).next_back();
            let last = last.unwrap_or_else(|| json!({"iss": "i", "sub": "s"}));
            return json!({"content": self.fresh_identity_token(&last, self.mints)});
        }
        let before = self.past.iter().filter(same).take_while(|step| step.at_ms <= self.now_ms).last();
        let found = before.or_else(|| self.past.iter().find(same)).and_then(outcome);
        let found = found.unwrap_or_else(|| json!("absent"));
        match self.claims_of(&found) {
            Some(claims) if self.rotated => json!({"content": self.fresh_identity_token(&claims, 0)}),
            _ => found,
        }
    }

    fn claims_of(&self, outcome: &Value) -> Option<Value> {
        jwt::claims(outcome["content"].as_str()?.trim())
    }

    /// Another identity token of the same issuer and subject.
    fn fresh_identity_token(&self, like: &Value, serial: usize) -> String {
        // The same text for as long as it is the same token.
        let started_s = self.vector.wall_ms / 1000;
        jwt::jwt(&json!({
            "iss": like["iss"], "sub": like["sub"],
            "iat": started_s, "exp": started_s + 86_400, "jti": format!("fresh-{serial}"),
        }))
    }

    /// The answer to the next request: what the vector says, and after that what a server says.
    fn scripted_send(&mut self) -> (Value, bool) {
        let scripted = |step: &&Past| step.answered.as_ref().is_some_and(|of| kind_of(of) == "send-request");
        let step = self.past.iter().filter(scripted).nth(self.sends);
        self.sends += 1;
        let answer = step.and_then(|step| Some((step.event.as_ref()?["finished"]["outcome"].clone(), step.granted)));
        answer.unwrap_or_else(|| (fresh_grant(), true))
    }
}

impl Host for Replay<'_> {
    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn wall_ms(&self) -> u64 {
        let jumped_ms = self.past.iter().take_while(|step| step.at_ms <= self.now_ms).last().map_or(0, |step| step.jumped_ms);
        (self.vector.wall_ms + self.now_ms).saturating_add_signed(jumped_ms)
    }

    fn start(&mut self, number: u64, task: &Value) {
        self.spent_sent_again += usize::from(assertion_of(task).is_some_and(|assertion| self.spent.contains(&assertion)));
        self.out.push((number, task.clone()));
    }
}

fn kind_of(task: &Value) -> &str {
    task.as_object().and_then(|task| task.keys().next()).map_or("", String::as_str)
}

fn assertion_of(task: &Value) -> Option<String> {
    let body: Value = serde_json::from_str(task.get("send-request")?["body"].as_str()?).ok()?;
    Some(body["assertion"].as_str()?.to_owned())
}

fn refusal() -> Value {
    json!({"response": {"status": 401, "headers": [], "body": ""}})
}

fn fresh_grant() -> Value {
    let body = json!({"access_token": "sk-ant-oat01-fresh", "token_type": "Bearer", "expires_in": 86_400});
    json!({"response": {"status": 200, "headers": [], "body": body.to_string()}})
}
