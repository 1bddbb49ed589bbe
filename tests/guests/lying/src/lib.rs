//! Says what it must not: its configuration is `answer=` and how.

use wif_guest_kit::types::{
    Access, AssertionRequest, Clock, Event, Failure, FailureCode, Field, Header, HttpRequest, Note, NoteCode, NoteLevel,
    NumberedTask, Output, Progress, Purpose, Start, Task,
};
use wif_guest_kit::{Behaviour, HOUR_MS, ID, component, saying, serving, word};

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

    fn step(&mut self, _: &Clock, event: &Event) -> Output {
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
        if how == "flood" {
            output.wake_in_ms = Some(0);
            let request = request(format!("{}/v1/oauth/token", self.origin), self.origin.clone());
            output.tasks.push(NumberedTask { number: self.steps, task: Task::SendRequest(request) });
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
        "send-elsewhere" => {
            let request = request("https://evil.example/".to_owned(), "https://api.anthropic.com".to_owned());
            output.tasks.push(NumberedTask { number: 1, task: Task::SendRequest(request) });
        }
        "control" => {
            let text = "a\r\nb\u{1b}[2Jc\u{9b}d".to_owned();
            let field = Field { name: "e".to_owned(), value: text.clone() };
            let (code, level) = (NoteCode::StateIgnored, NoteLevel::Warning);
            output.notes = vec![Note { code, level, message: text.clone(), fields: vec![field] }];
            output.access = Access::Failed(Failure {
                code: FailureCode::Configuration,
                message: format!("{text}{}", "x".repeat(1 << 20)),
                action: text.clone(),
                retry_in_ms: None,
                rotation_in_ms: None,
                status: None,
                request_id: Some(text),
            });
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
        "header-nul" => usable.set[0].value.push('\0'),
        "header-case" => usable.set[0].name = "Authorization".to_owned(),
        "header-latin" => usable.set[0].value.push('é'),
        "headers-many" => usable.set = vec![usable.set[0].clone(); 65],
        "headers" => usable.set = vec![usable.set[0].clone(); 40_000],
        "origin" => usable.origin = "https://evil.example".to_owned(),
        "origin-look-alike" => usable.origin = "https://api.anthropic.com@evil.example".to_owned(),
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
