//! Says what it must not: its configuration is `answer=` and how.

use wif_guest_kit::types::{
    Access, AssertionRequest, Clock, ConfigurationError, Event, Failure, FailureCode, Field, Header, HttpRequest, Note, NoteCode,
    NoteLevel, NumberedTask, Outcome, Output, Progress, Purpose, Start, Swap, Task,
};
use wif_guest_kit::{Behaviour, HOUR_MS, ID, component, saying, serving, word};

/// A line break, an escape, a C1 code; and what turns the direction of a line, or breaks it where nobody looks.
const CONTROL: &str = "a\r\nb\u{1b}[2Jc\u{9b}d\u{202e}e\u{2066}f\u{2028}g\u{2029}h\u{85}i\u{200f}j";

struct Lying {
    how: String,
    origin: String,
    steps: u32,
    results: u32,
    told_the_truth: bool,
}

component!(Lying);

impl Behaviour for Lying {
    fn open(configuration: &str, _: &Start) -> Self {
        let word = |key| word(configuration, key).unwrap_or_default().to_owned();
        Self { how: word("answer"), origin: word("origin"), steps: 0, results: 0, told_the_truth: false }
    }

    fn refuses(configuration: &str, start: &Start) -> Option<ConfigurationError> {
        let later = word(configuration, "answer") == Some("refused-later") && matches!(start, Start::Resumed(_));
        let message = format!("{CONTROL}{}", "x".repeat(1 << 20));
        later.then(|| ConfigurationError { field: CONTROL.to_owned(), message })
    }

    fn summary(&self) -> String {
        format!("{CONTROL}{}", "x".repeat(1 << 20))
    }

    fn step(&mut self, _: &Clock, event: &Event) -> Output {
        assert!(self.how != "refused-later" || !matches!(event, Event::Changed), "as told");
        let mut output = saying(Access::Usable(serving(ID)));
        // `later-…` is honest until something changes.
        let how = match self.how.strip_prefix("later-") {
            Some(_) if !self.told_the_truth || !matches!(event, Event::Changed) => "",
            Some(how) => how,
            None => &self.how,
        };
        let how = how.to_owned();
        self.told_the_truth = true;
        self.steps += 1;
        if how == "abandon" {
            self.abandon(event, &mut output);
        }
        if how == "strange-entries" {
            self.ask_for_strange_entries(event, &mut output);
        }
        if how == "flood" {
            output.wake_in_ms = Some(0);
            let request = request(format!("{}/v1/oauth/token", self.origin), self.origin.clone());
            output.tasks.push(NumberedTask { number: self.steps, task: Task::SendRequest(request) });
        }
        if how == "floods-the-log" {
            // Each step says something new.
            output.wake_in_ms = Some(0);
            if self.steps.is_multiple_of(2) {
                output.access = Access::Failed(failure("a long line ".repeat(150)));
            }
        }
        if how == "floods-journals" {
            output.wake_in_ms = Some(0);
            output.journal = Some(format!("{} {}", self.steps, "x".repeat(1_000)));
        }
        if how == "floods-the-store" {
            output.wake_in_ms = Some(0);
            output.tasks.push(NumberedTask { number: self.steps, task: Task::LoadEntry("00ff".to_owned()) });
        }
        if how == "curious" {
            let task = Task::ReadVariable("HOME".to_owned());
            output.tasks.push(NumberedTask { number: self.steps, task });
        }
        spoil(&mut output, &how);
        output
    }
}

impl Lying {
    /// Asks for entries that are none, and for one that is. The token's id tells how many it was denied.
    fn ask_for_strange_entries(&mut self, event: &Event, output: &mut Output) {
        self.results += u32::from(matches!(event, Event::Finished(result) if matches!(result.outcome, Outcome::Denied(_))));
        if let Access::Usable(usable) = &mut output.access {
            usable.id = format!("{:016x}", self.results);
        }
        if self.steps > 1 {
            return;
        }
        let swap = |key: &str, length| Swap { key: key.to_owned(), expected: None, value: "x".repeat(length) };
        let (letters, long) = ("g".repeat(64), "0".repeat(129));
        let keys = ["", "../../etc/shadow", "00ff ", "*", "file:/etc/shadow", &letters, &long];
        let loads = keys.map(|key| Task::LoadEntry(key.to_owned()));
        let swaps = keys.map(|key| Task::SwapEntry(swap(key, 1)));
        let ours = [Task::SwapEntry(swap("00ff", (1 << 20) + 1)), Task::SwapEntry(swap("00ff", 1 << 20))];
        let tasks = loads.into_iter().chain(swaps).chain(ours);
        output.tasks = (1..).zip(tasks).map(|(number, task)| NumberedTask { number, task }).collect();
    }

    /// Begins a request and a call, and abandons both when something changes. The token's id tells how many results came.
    fn abandon(&mut self, event: &Event, output: &mut Output) {
        self.results += u32::from(matches!(event, Event::Finished(_)));
        if let Access::Usable(usable) = &mut output.access {
            usable.id = format!("{:016x}", self.results);
        }
        match event {
            Event::Woken if self.steps == 1 => {
                let request = request(format!("{}/v1/oauth/token", self.origin), self.origin.clone());
                output.tasks.push(NumberedTask { number: 1, task: Task::SendRequest(request) });
                let call = AssertionRequest { name: "slow".to_owned(), audience: String::new() };
                output.tasks.push(NumberedTask { number: 2, task: Task::SupplyAssertion(call) });
            }
            Event::Changed => output.abandon = vec![1, 2],
            _ => {}
        }
    }
}

fn request(url: String, origin: String) -> HttpRequest {
    HttpRequest {
        purpose: Purpose::Exchange,
        method: "POST".to_owned(),
        url,
        origin,
        headers: Vec::new(),
        body: String::new(),
        timeout_ms: 1_000,
        max_response_bytes: 1_000,
    }
}

fn failure(message: String) -> Failure {
    Failure {
        code: FailureCode::Configuration,
        message,
        action: String::new(),
        retry_in_ms: None,
        rotation_in_ms: None,
        status: None,
        request_id: None,
    }
}

fn note(message: &str, fields: usize) -> Note {
    let field = Field { name: "a".to_owned(), value: "b".to_owned() };
    Note { code: NoteCode::Configured, level: NoteLevel::Info, message: message.to_owned(), fields: vec![field; fields] }
}

fn spoil(output: &mut Output, how: &str) {
    match how {
        "busy" => output.wake_in_ms = Some(0),
        "tasks" => {
            let task = |number| NumberedTask { number, task: Task::ReadVariable("HOME".to_owned()) };
            output.tasks = (0..10_000).map(task).collect();
        }
        "number-twice" => {
            let task = || NumberedTask { number: 7, task: Task::ReadVariable("HOME".to_owned()) };
            output.tasks = vec![task(), task()];
        }
        "send-elsewhere" => {
            let request = request("https://evil.example/".to_owned(), "https://api.anthropic.com".to_owned());
            output.tasks.push(NumberedTask { number: 1, task: Task::SendRequest(request) });
        }
        "control" => {
            let text = CONTROL.to_owned();
            let field = Field { name: "e".to_owned(), value: text.clone() };
            let (code, level) = (NoteCode::StateIgnored, NoteLevel::Warning);
            output.notes = vec![Note { code, level, message: text.clone(), fields: vec![field] }];
            output.access = Access::Failed(Failure {
                action: text.clone(),
                request_id: Some(text.clone()),
                ..failure(format!("{text}{}", "x".repeat(1 << 20)))
            });
        }
        "fails-for-ever" => {
            let never = Some(u64::MAX);
            output.access = Access::Failed(Failure { retry_in_ms: never, rotation_in_ms: never, ..failure("never".to_owned()) });
        }
        "notes-many" => output.notes = vec![note("many", 0); 65],
        "note-long" => output.notes = vec![note(&"long".repeat(1_100), 0)],
        "note-control" => output.notes = vec![note("forged\r\nERROR wif: a line\u{1b}[2J", 0)],
        "note-wide" => output.notes = vec![note("wide", 65)],
        "idle" => output.access = Access::Idle,
        "journal" => output.journal = Some("x".repeat(4 << 20)),
        "holds" => {
            output.progress = Progress::Underway;
            output.wait_at_most_ms = u32::MAX;
        }
        _ => {}
    }
    let Access::Usable(usable) = &mut output.access else { return };
    match how {
        "header-injection" => usable.set[0].value.push_str("\r\nx-injected: 1"),
        "header-name" => usable.set[0].name = "x y".to_owned(),
        "header-host" => usable.set.push(Header { name: "host".to_owned(), value: "evil.example".to_owned() }),
        "header-of-another" => usable.set.push(Header { name: "cookie".to_owned(), value: "a=b".to_owned() }),
        "merge-of-another" => usable.merge.push(Header { name: "connection".to_owned(), value: "x-api-key".to_owned() }),
        "header-twice" => usable.set.push(usable.set[0].clone()),
        "header-and-key" => {
            usable.set.push(Header { name: "x-api-key".to_owned(), value: "sk-ant-api03-of-the-attacker".to_owned() });
        }
        "header-none" => usable.set.clear(),
        "header-empty" => usable.set[0].value.clear(),
        "header-workspace-alone" => usable.set[0].name = "anthropic-workspace-id".to_owned(),
        "header-name-space" => usable.set[0].name.push(' '),
        "header-name-colon" => usable.set[0].name.push(':'),
        "header-name-empty" => usable.set[0].name.clear(),
        "header-name-underscore" => usable.set[0].name = "x_api_key".to_owned(),
        "header-name-pseudo" => usable.set[0].name = ":authority".to_owned(),
        "header-name-joined" => usable.set[0].name = "authorization\r\nhost".to_owned(),
        "header-space" => usable.set[0].value.push(' '),
        "header-long" => usable.set[0].value.push_str(&"x".repeat(20_000)),
        "header-fold" => usable.set[0].value.push_str("\r\n x-injected: 1"),
        "merge-control" => usable.merge.push(Header { name: "anthropic-beta".to_owned(), value: "a\nx-api-key: b".to_owned() }),
        "merge-twice" => usable.merge = vec![Header { name: "anthropic-beta".to_owned(), value: "a".to_owned() }; 2],
        "merge-key" => usable.merge.push(Header { name: "x-api-key".to_owned(), value: "b".to_owned() }),
        "header-nul" => usable.set[0].value.push('\0'),
        "header-case" => usable.set[0].name = "Authorization".to_owned(),
        "header-latin" => usable.set[0].value.push('é'),
        "headers-many" => usable.set = vec![usable.set[0].clone(); 65],
        "headers" => usable.set = vec![usable.set[0].clone(); 40_000],
        "origin" => usable.origin = "https://evil.example".to_owned(),
        "origin-look-alike" => usable.origin = "https://api.anthropic.com@evil.example".to_owned(),
        "origin-dot" => usable.origin.push('.'),
        "origin-port" => usable.origin.push_str(":444"),
        "origin-path" => usable.origin.push_str("/v1"),
        "origin-query" => usable.origin.push('?'),
        "origin-user" => usable.origin = "https://user@api.anthropic.com".to_owned(),
        "origin-plain" => usable.origin = "http://api.anthropic.com".to_owned(),
        "origin-goes-on" => usable.origin.push_str(".evil.example"),
        "origin-alphabet" => usable.origin = "https://\u{430}pi.anthropic.com".to_owned(),
        "origin-empty" => usable.origin.clear(),
        "origin-capitals" => usable.origin = "HTTPS://API.Anthropic.com:443".to_owned(),
        "id-capitals" => usable.id = "0123456789ABCDEF".to_owned(),
        "id-line" => usable.id.push('\n'),
        "id-digits" => usable.id = "\u{661}".repeat(8),
        "id-short" => usable.id = "0123456789abcde".to_owned(),
        "id" => usable.id = "a token could be here".to_owned(),
        // SAFETY: there is none. The boundary has to notice, for text is what the contract says.
        "no-text" => usable.origin = unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe, 0xc0]) },
        "past" => {
            usable.refresh_in_ms = Some(0);
            usable.hold_in_ms = Some(0);
            usable.unusable_in_ms = Some(HOUR_MS);
        }
        "holds" => usable.hold_in_ms = Some(0),
        "times-out-of-order" => {
            usable.refresh_in_ms = Some(u64::MAX - 1);
            usable.hold_in_ms = Some(1);
            usable.unusable_in_ms = Some(1 << 63);
        }
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
