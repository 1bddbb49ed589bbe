//! The one JSON form of events and outputs: the mechanical mapping of the WIT's values.
//!
//! A record is an object under the WIT's own names; an absent option is left out; an enum and a case without a payload are
//! their name; a case with a payload is an object with one key; a list is an array. What leaves a session may hold
//! secrets, so it is turned into JSON here, by a call, and not by a trait that anybody's logger could find.

use serde::Deserialize;
use serde_json::error::Category;
use serde_json::{Map, Value, json};
use zeroize::Zeroize as _;

use crate::contract::{
    Access, Capability, Clock, ConfigurationError, Event, Header, HttpRequest, Output, Start, Status, Swap, Task, Usable,
};
use crate::{Secret, Session};

/// The parameters of the contract's `open`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// May hold a literal token.
    configuration: Secret,
    seed: u64,
    can: Vec<Capability>,
    from: Start,
}

impl Opening {
    /// Opens the session.
    ///
    /// # Errors
    ///
    /// The configuration can never work.
    pub fn open(self) -> Result<Session, ConfigurationError> {
        Session::open(self.configuration.reveal(), self.seed, &self.can, self.from)
    }
}

/// The parameters of `open` from JSON.
pub fn opening_from_json(text: &str) -> Result<Opening, serde_json::Error> {
    serde_json::from_str(text)
}

/// What is wrong with an argument of this name, and where. The argument may be secret, so nothing of it is in these words.
#[must_use]
pub fn fault(name: &str, error: &serde_json::Error) -> String {
    let wrong = match error.classify() {
        Category::Data => "is not of the contract's form",
        Category::Eof => "ends too early",
        Category::Syntax | Category::Io => "is no JSON",
    };
    format!("the {name} {wrong}: line {}, column {}", error.line(), error.column())
}

/// A clock from JSON.
pub fn clock_from_json(text: &str) -> Result<Clock, serde_json::Error> {
    serde_json::from_str(text)
}

/// What a session begins from.
pub fn start_from_json(text: &str) -> Result<Start, serde_json::Error> {
    serde_json::from_str(text)
}

/// An event from JSON.
pub fn event_from_json(text: &str) -> Result<Event, serde_json::Error> {
    serde_json::from_str(text)
}

/// Wipes the texts of a document, for they may be secrets.
pub fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        _ => {}
    }
}

/// *Secret.* An output as JSON.
#[must_use]
pub fn output_to_json(output: &Output) -> Value {
    let tasks: Vec<Value> =
        output.tasks.iter().map(|task| json!({ "number": task.number, "task": task_to_json(&task.task) })).collect();
    object([
        ("access", Some(access_to_json(&output.access))),
        ("progress", Some(json!(output.progress))),
        ("wait-at-most-ms", Some(json!(output.wait_at_most_ms))),
        ("tasks", Some(Value::Array(tasks))),
        ("abandon", Some(json!(output.abandon))),
        ("wake-in-ms", output.wake_in_ms.map(Value::from)),
        ("journal", output.journal.as_ref().map(revealed)),
        ("notes", Some(json!(output.notes))),
    ])
}

/// A status as JSON.
#[must_use]
pub fn status_to_json(status: &Status) -> Value {
    json!(status)
}

/// *Secret.* An access as JSON, for drivers that hand it on.
#[must_use]
pub fn access_to_json(access: &Access) -> Value {
    match access {
        Access::Usable(usable) => json!({ "usable": usable_to_json(usable) }),
        Access::Pending(reason) => json!({ "pending": reason }),
        Access::Failed(failure) => json!({ "failed": failure }),
        Access::Idle => json!("idle"),
        Access::Closed => json!("closed"),
    }
}

fn usable_to_json(usable: &Usable) -> Value {
    object([
        ("id", Some(json!(usable.id))),
        ("origin", Some(json!(usable.origin))),
        ("set", Some(headers_to_json(&usable.set))),
        ("merge", Some(headers_to_json(&usable.merge))),
        ("refresh-in-ms", usable.refresh_in_ms.map(Value::from)),
        ("hold-in-ms", usable.hold_in_ms.map(Value::from)),
        ("unusable-in-ms", usable.unusable_in_ms.map(Value::from)),
        ("standing", Some(json!(usable.standing))),
    ])
}

/// *Secret.* A task as JSON, for drivers that hand it on.
#[must_use]
pub fn task_to_json(task: &Task) -> Value {
    match task {
        Task::SendRequest(request) => json!({ "send-request": request_to_json(request) }),
        Task::ReadFile(request) => json!({ "read-file": request }),
        Task::ReadVariable(name) => json!({ "read-variable": name }),
        Task::SupplyAssertion(request) => json!({ "supply-assertion": request }),
        Task::SupplyToken(request) => json!({ "supply-token": request }),
        Task::Sign(request) => json!({ "sign": request }),
        Task::LoadEntry(key) => json!({ "load-entry": key }),
        Task::SwapEntry(swap) => json!({ "swap-entry": swap_to_json(swap) }),
    }
}

fn request_to_json(request: &HttpRequest) -> Value {
    json!({
        "purpose": request.purpose,
        "method": request.method,
        "url": request.url,
        "origin": request.origin,
        "headers": headers_to_json(&request.headers),
        "body": revealed(&request.body),
        "timeout-ms": request.timeout_ms,
        "max-response-bytes": request.max_response_bytes,
    })
}

fn swap_to_json(swap: &Swap) -> Value {
    object([
        ("key", Some(json!(swap.key))),
        ("expected", swap.expected.as_deref().map(Value::from)),
        ("value", Some(revealed(&swap.value))),
    ])
}

fn headers_to_json(headers: &[Header]) -> Value {
    headers.iter().map(|header| json!({ "name": header.name, "value": revealed(&header.value) })).collect()
}

fn revealed(secret: &Secret) -> Value {
    Value::from(secret.reveal())
}

/// *Secret.* JSON that is written once, where it stays: no part of it is copied on the way, for a copy would not be wiped.
///
/// Its functions stay functions: each is called in some fifty places, and in each of them would weigh more than the call.
pub(crate) struct Writer(String);

impl Writer {
    /// For a document of at most so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    /// JSON as it is, or a part of a text that needs no escape.
    #[inline(never)]
    pub(crate) fn raw(&mut self, json: &str) -> &mut Self {
        self.0.push_str(json);
        self
    }

    #[inline(never)]
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
            self.raw("\"").raw(text).raw("\"")
        } else {
            self.raw(&Value::from(text).to_string())
        }
    }

    pub(crate) fn optional(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.text(text),
            None => self.raw("null"),
        }
    }

    #[inline(never)]
    pub(crate) fn signed(&mut self, number: i64) -> &mut Self {
        if number < 0 {
            self.0.push('-');
        }
        self.unsigned(number.unsigned_abs())
    }

    pub(crate) fn unsigned(&mut self, number: u64) -> &mut Self {
        if number > 9 {
            self.unsigned(number / 10);
        }
        self.0.push(char::from(b'0' + (number % 10) as u8));
        self
    }

    /// A list, each member by this.
    pub(crate) fn list<T>(&mut self, list: &[T], mut write: impl FnMut(&mut Self, &T)) -> &mut Self {
        self.raw("[");
        for (position, member) in list.iter().enumerate() {
            if position > 0 {
                self.raw(",");
            }
            write(self, member);
        }
        self.raw("]")
    }

    pub(crate) fn end(self) -> Secret {
        Secret::from(self.0)
    }
}

/// What may be missing, but not malformed.
pub(crate) fn optional<T>(value: Value, read: impl FnOnce(Value) -> Option<T>) -> Option<Option<T>> {
    if value.is_null() { Some(None) } else { read(value).map(Some) }
}

/// Moves a member out, so that no copy of a secret stays behind; nothing, if it is not there or this is no object.
pub(crate) fn take(value: &mut Value, member: &str) -> Value {
    value.get_mut(member).map_or(Value::Null, Value::take)
}

pub(crate) fn string(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

pub(crate) fn small(value: &Value) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok()
}

/// An object of the members that are there.
pub(crate) fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let mut object = Map::new();
    for (name, value) in members {
        if let Some(value) = value {
            object.insert(name.to_owned(), value);
        }
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opening_opens_a_session_and_has_no_other_parameters() {
        let opening = r#"{"configuration": "{\"bearer\": {\"source\": \"literal\", \"value\": \"a\"}}", "seed": 1, "can": ["store"], "from": "lost"}"#;
        assert!(opening_from_json(opening).unwrap().open().is_ok());
        let refused = opening_from_json(r#"{"configuration": "[]", "seed": 1, "can": [], "from": "fresh"}"#).unwrap().open();
        assert!(refused.is_err());
        for wrong in [
            r#"{"configuration": "{}", "seed": 1, "can": [], "from": "fresh", "more": 1}"#,
            r#"{"seed": 1, "can": [], "from": "fresh"}"#,
        ] {
            assert!(opening_from_json(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn wherever_a_text_stands_it_is_wiped() {
        let mut document = json!({"a": "secret", "b": [1, "secret", {"c": "secret"}], "d": null});
        wipe(&mut document);
        assert_eq!(document, json!({"a": "", "b": [1, "", {"c": ""}], "d": null}));
    }

    #[test]
    fn what_is_wrong_with_an_argument_is_said_without_its_content() {
        for (text, wrong) in [
            (r#""sk-ant-secret""#, "the event is not of the contract's form: line 1, column 15"),
            ("\n{", "the event ends too early: line 2, column 1"),
            ("sk-ant-secret", "the event is no JSON: line 1, column 1"),
        ] {
            assert_eq!(fault("event", &event_from_json(text).unwrap_err()), wrong);
        }
    }

    #[test]
    fn what_is_written_is_what_the_library_reads() {
        let odd = "a\"b\\c\nd\u{1}é";
        let mut writer = Writer::with_capacity(64);
        writer.raw("[").text("plain").raw(",").text(odd).raw(",").optional(None).raw(",").optional(Some("there"));
        writer.raw(",").signed(i64::MIN).raw(",").signed(i64::MAX).raw(",").unsigned(0).raw(",").unsigned(u64::MAX);
        writer.raw(",").list(&[1, 20], |writer, number| {
            writer.unsigned(*number);
        });
        writer.raw("]");
        let read: Value = serde_json::from_str(writer.end().reveal()).unwrap();
        assert_eq!(read, json!(["plain", odd, null, "there", i64::MIN, i64::MAX, 0, u64::MAX, [1, 20]]));
    }

    /// Each by itself: what needs an escape is not written as it is, whatever stands beside it.
    #[test]
    fn texts_are_written_as_the_library_writes_them() {
        for text in ["", "plain", "\"", "\\", "\n", "a\"b", "a\\b", "a\nb", "\"\"", "\\\\", "\u{0}\u{1f}", "é"] {
            let mut writer = Writer::with_capacity(8);
            writer.text(text);
            assert_eq!(writer.end().reveal(), Value::from(text).to_string());
        }
    }
}
