//! What is never exceeded, whatever the component says: the limits of `wit/authority.json`.

/// A request's body is no larger, in bytes.
pub(crate) const REQUEST_BYTES: usize = 256 << 10;

/// A request has no more header fields than this.
pub(crate) const REQUEST_HEADERS: usize = 32;

/// An answer's body is no larger, in bytes.
pub(crate) const RESPONSE_BYTES: usize = 256 << 10;

/// No file is larger, in bytes, and nothing that the program supplies.
pub(crate) const CONTENT_BYTES: usize = 1 << 20;

/// So many tasks of a session may be out.
pub(crate) const TASKS: usize = 64;

/// An output has no more notes or header fields than this, and a note no more fields.
pub(crate) const LIST: usize = 64;

/// A note is no longer, in bytes.
pub(crate) const NOTE_BYTES: usize = 4 << 10;

/// No value of a header field of a credential is longer, in bytes: every request of a caller carries it.
pub(crate) const FIELD_BYTES: usize = 16 << 10;

/// No journal is longer, in bytes, and no value of an entry that is swapped in.
pub(crate) const JOURNAL_BYTES: usize = 1 << 20;

/// Other texts for people are cut after so many bytes: this host's own.
pub(crate) const TEXT_BYTES: usize = 8 << 10;

/// The soonest wake that is obeyed, in milliseconds: a component cannot keep the driver busy.
pub(crate) const WAKE_AT_LEAST_MS: u64 = 5;

/// The latest wake that is obeyed, in milliseconds: no delay overflows.
pub(crate) const WAKE_AT_MOST_MS: u64 = 86_400_000;

/// No caller is held up for longer, in milliseconds.
pub(crate) const WAIT_AT_MOST_MS: u64 = 30_000;

/// A step that took so long is followed by a rest, in milliseconds.
pub(crate) const LONG_STEP_MS: u64 = 5;

/// The rest is so many times as long as the step.
pub(crate) const REST: u64 = 4;

/// So many notes are logged at once, and then one for each pause.
pub(crate) const NOTES_AT_ONCE: u64 = 256;

/// The pause between two notes, in milliseconds.
pub(crate) const NOTE_EVERY_MS: u64 = 250;

/// So many requests go out at once, and then one for each pause; so many identity tokens and signatures are asked for, of each. A
/// session sends one in five seconds.
pub(crate) const REQUESTS_AT_ONCE: u64 = 32;

/// The pause between two requests, in milliseconds.
pub(crate) const REQUEST_EVERY_MS: u64 = 1_000;

/// So many entries are loaded from the store at once, swapped in it, and journals kept, of each, and then one for each pause.
pub(crate) const ENTRIES_AT_ONCE: u64 = 256;

/// The pause between two of them, in milliseconds.
pub(crate) const ENTRY_EVERY_MS: u64 = 250;

/// No rest is longer, in milliseconds: the machine may have slept in the middle of a step. This host's own.
pub(crate) const LONGEST_REST_MS: u64 = 60_000;

/// Steps may take so much time at once, in milliseconds, and then the fifth that a rest leaves them: this host's own.
pub(crate) const TIME_AT_ONCE_MS: u64 = 500;

/// So many results of tasks are handed over at once, and then one for each pause: this host's own. A session asks for a dozen
/// things in an hour.
pub(crate) const RESULTS_AT_ONCE: u64 = 2_500;

/// The pause between two results, in milliseconds.
pub(crate) const RESULT_EVERY_MS: u64 = 1;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::component::{MEMORY_LIMIT_BYTES, STEP_LIMIT_MS};

    #[test]
    fn the_limits_are_those_of_the_contract() {
        let authority: Value = serde_json::from_str(include_str!("../../../wit/authority.json")).unwrap();
        let mut limits = authority["limits"].clone();
        limits.as_object_mut().unwrap().remove("$comment");
        let ours = json!({
            "request-bytes": REQUEST_BYTES,
            "request-headers": REQUEST_HEADERS,
            "response-bytes": RESPONSE_BYTES,
            "content-bytes": CONTENT_BYTES,
            "tasks": TASKS,
            "list": LIST,
            "note-bytes": NOTE_BYTES,
            "field-bytes": FIELD_BYTES,
            "journal-bytes": JOURNAL_BYTES,
            "wake-at-least-ms": WAKE_AT_LEAST_MS,
            "wake-at-most-ms": WAKE_AT_MOST_MS,
            "wait-at-most-ms": WAIT_AT_MOST_MS,
            "step-ms": STEP_LIMIT_MS,
            "long-step-ms": LONG_STEP_MS,
            "rest": REST,
            "notes-at-once": NOTES_AT_ONCE,
            "note-every-ms": NOTE_EVERY_MS,
            "requests-at-once": REQUESTS_AT_ONCE,
            "request-every-ms": REQUEST_EVERY_MS,
            "entries-at-once": ENTRIES_AT_ONCE,
            "entry-every-ms": ENTRY_EVERY_MS,
            "memory-bytes": MEMORY_LIMIT_BYTES,
        });
        assert_eq!(limits, ours);
    }
}
