//! The document that outlives a session, as its journal or as the entry that sessions share. It holds the token, and is opaque
//! to hosts.

use serde::Deserialize as _;
use serde_json::Value;

use crate::Secret;
use crate::contract::{Failure, FailureCode, Standing};
use crate::held::{Ends, Held, KeptEnds};
use crate::json;
use crate::ledger::Ledger;
use crate::rejections::Rejections;
use crate::schedule::{Pace, Random};
use crate::timeline::Moment;

/// The form of the document. One of another form is ignored.
const VERSION: u32 = 1;

/// The longest pause that an answer or the schedule ever makes, in milliseconds.
const MAX_PAUSE_MS: u64 = 600_000;

/// How long a lease is good for without a sign of life, in milliseconds.
pub(crate) const LEASE_MS: u64 = 4_000;

/// Translates between a session's moments and the wall clock, in which the document keeps its times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epoch {
    pub(crate) now: Moment,
    pub(crate) wall_ms: u64,
    /// The reading of the steady clock, where there is one.
    pub(crate) steady_ms: Option<u64>,
}

impl Epoch {
    pub(crate) fn wall(self, moment: Moment) -> i64 {
        i64::try_from(self.wall_ms).unwrap_or(i64::MAX).saturating_add(moment.since(self.now))
    }

    pub(crate) fn moment(self, wall_ms: i64) -> Moment {
        let now = i64::try_from(self.wall_ms).unwrap_or(i64::MAX);
        self.now.offset(wall_ms.saturating_sub(now))
    }
}

/// Who wrote a document, as seen from whoever reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    /// An earlier session of this machine: its journal. The steady clock went on between the two, or began anew with a boot.
    Before,
    /// Any session that shares the store: an entry. Only the wall clock is common to both, and roughly so.
    Another,
}

/// When a document was written, by its writer's clocks. Documents of earlier versions do not say.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Written {
    wall_ms: Option<i64>,
    steady_ms: Option<u64>,
}

/// Translates the wall times of a document into moments, so that reading lengthens nothing: what was left of a pause or of a
/// life when the document was written is the most that can be left now, whatever the wall clock did since.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    epoch: Epoch,
    by: Writer,
    /// The wall clock at the writing, and how much time has passed since at least.
    since: Option<(i64, u64)>,
}

impl Reading {
    pub(crate) fn new(epoch: Epoch, written: Written, by: Writer) -> Self {
        let elapsed_ms = match (by, written.steady_ms, epoch.steady_ms) {
            // A reading below the writer's is of another boot, which began after the writing.
            (Writer::Before, Some(then), Some(now)) => now.checked_sub(then).unwrap_or(now),
            _ => 0,
        };
        Self { epoch, by, since: written.wall_ms.map(|wall_ms| (wall_ms, elapsed_ms)) }
    }

    pub(crate) fn now(self) -> Moment {
        self.epoch.now
    }

    /// The end of a pause of which none is longer than `longest_ms`; nothing if it is over. An entry is read again and again:
    /// what was left at its writing would begin anew each time, so there the wall clock counts alone. An end that is too far
    /// away was set before this clock went back, and nobody can tell when it was meant.
    pub(crate) fn end_of_pause(self, wall_ms: i64, longest_ms: u64) -> Option<Moment> {
        let end = match self.by {
            Writer::Before => self.moment(wall_ms),
            Writer::Another => self.epoch.moment(wall_ms),
        };
        Some(end).filter(|end| *end <= self.epoch.now + longest_ms)
    }

    /// The end of something that lives.
    pub(crate) fn moment(self, wall_ms: i64) -> Moment {
        let by_the_wall = self.epoch.moment(wall_ms);
        match self.since {
            Some((written_ms, elapsed_ms)) => {
                let left = wall_ms.saturating_sub(written_ms).saturating_sub_unsigned(elapsed_ms);
                by_the_wall.min(self.epoch.now.offset(left))
            }
            None => by_the_wall,
        }
    }
}

/// A token in the document.
#[derive(Debug)]
pub(crate) struct Kept {
    value: Secret,
    lifetime_ms: u64,
    expires_wall_ms: i64,
    suspect: bool,
}

impl Kept {
    fn read(mut value: Value) -> Option<Self> {
        Some(Self {
            value: Secret::from(string(take(&mut value, "value"))?),
            lifetime_ms: value["lifetime_ms"].as_u64()?,
            expires_wall_ms: value["expires_wall_ms"].as_i64()?,
            suspect: value["suspect"].as_bool()?,
        })
    }

    /// The token as it is now. It lives no longer than it was issued for, than was left when it was written down, and than this
    /// session once knew it to live.
    #[inline(never)]
    pub(crate) fn revive(self, reading: Reading, ends: &mut Ends, random: &mut Random) -> Held {
        let expires = reading.moment(self.expires_wall_ms).min(reading.now() + self.lifetime_ms);
        let expires = ends.bound(&self.id(), expires);
        let mut held = Held::until(self.value, self.lifetime_ms, expires, random);
        if self.suspect {
            held.standing = Standing::Suspect;
        }
        held
    }

    pub(crate) fn id(&self) -> String {
        crate::id_of(self.value.reveal())
    }
}

/// When the next try may be, in the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct KeptPace {
    failures: u32,
    refusals: u32,
    retry_wall_ms: i64,
    floor_wall_ms: i64,
}

impl KeptPace {
    fn read(value: &Value) -> Option<Self> {
        Some(Self {
            failures: small(&value["failures"])?,
            refusals: small(&value["refusals"])?,
            retry_wall_ms: value["retry_wall_ms"].as_i64()?,
            floor_wall_ms: value["floor_wall_ms"].as_i64()?,
        })
    }

    pub(crate) fn of(pace: &Pace, epoch: Epoch) -> Self {
        Self {
            failures: pace.failures,
            refusals: pace.refusals,
            retry_wall_ms: epoch.wall(pace.retry_at),
            floor_wall_ms: epoch.wall(pace.floor),
        }
    }

    /// The pace as it is now.
    #[inline(never)]
    pub(crate) fn revive(self, reading: Reading, tried: Option<String>) -> Pace {
        let until = |wall_ms: i64| reading.end_of_pause(wall_ms, MAX_PAUSE_MS).unwrap_or(reading.now());
        Pace {
            failures: self.failures,
            refusals: self.refusals,
            tried,
            retry_at: until(self.retry_wall_ms),
            floor: until(self.floor_wall_ms),
            ..Pace::default()
        }
    }
}

/// What one session leaves to the next, or shares with others.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) written: Written,
    /// A hash over the configuration of its writer. Documents of earlier versions do not say.
    pub(crate) configuration: Option<String>,
    /// The identity that everything but the ledger belongs to: the key of the entry. The ledger belongs to no one.
    pub(crate) identity: Option<String>,
    pub(crate) token: Option<Kept>,
    /// When the tokens end that its writer knew, where they could be offered to it again: by a store.
    pub(crate) ends: KeptEnds,
    pub(crate) pace: KeptPace,
    /// What the pace's pause is for.
    pub(crate) failure: Option<Failure>,
    pub(crate) tried: Option<String>,
    pub(crate) ledger: Ledger,
    pub(crate) rejections: Rejections<i64>,
    /// Only in an entry.
    pub(crate) lease: Option<Lease>,
}

/// The right to exchange one identity token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    /// Who holds it: a random number.
    pub(crate) owner: u64,
    /// The id of the identity token.
    pub(crate) identity_token: String,
    /// When that expires.
    pub(crate) expires_at_ms: u64,
    /// Counts the signs of life.
    pub(crate) beat: u32,
}

impl Lease {
    fn read(mut value: Value) -> Option<Self> {
        Some(Self {
            owner: value["owner"].as_u64()?,
            identity_token: string(take(&mut value, "identity_token"))?,
            expires_at_ms: value["expires_at_ms"].as_u64()?,
            beat: small(&value["beat"])?,
        })
    }
}

impl State {
    /// Reads the document; nothing if any part of it is not as it was written. By hand, for what derives make of it would be
    /// a tenth of the component.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut document: Value = serde_json::from_str(text).ok()?;
        if document["version"] != VERSION {
            return None;
        }
        Some(Self {
            written: Written {
                wall_ms: optional(take(&mut document, "written_wall_ms"), |value| value.as_i64())?,
                steady_ms: optional(take(&mut document, "written_steady_ms"), |value| value.as_u64())?,
            },
            configuration: optional(take(&mut document, "configuration"), string)?,
            identity: optional(take(&mut document, "identity"), string)?,
            token: optional(take(&mut document, "token"), Kept::read)?,
            ends: optional(take(&mut document, "ends"), KeptEnds::read)?.unwrap_or_default(),
            pace: KeptPace::read(&document["pace"])?,
            failure: optional(take(&mut document, "failure"), read_failure)?,
            tried: optional(take(&mut document, "tried"), string)?,
            ledger: Ledger::read(take(&mut document, "ledger"))?,
            rejections: Rejections::read(take(&mut document, "rejections"))?,
            lease: optional(take(&mut document, "lease"), Lease::read)?,
        })
    }
}

/// What may be missing, but not malformed.
fn optional<T>(value: Value, read: impl FnOnce(Value) -> Option<T>) -> Option<Option<T>> {
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

fn small(value: &Value) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok()
}

fn read_failure(mut value: Value) -> Option<Failure> {
    let status = optional(take(&mut value, "status"), |value| u16::try_from(value.as_u64()?).ok())?;
    Some(Failure {
        code: FailureCode::deserialize(take(&mut value, "code")).ok()?,
        message: string(take(&mut value, "message"))?,
        action: string(take(&mut value, "action"))?,
        retry_in_ms: None,
        rotation_in_ms: None,
        status,
        request_id: optional(take(&mut value, "request-id"), string)?,
    })
}

/// What a session knows, to be written down.
pub(crate) struct Known<'a> {
    pub(crate) configuration: Option<&'a str>,
    pub(crate) identity: Option<&'a str>,
    pub(crate) held: Option<&'a Held>,
    pub(crate) ends: Option<&'a Ends>,
    pub(crate) pace: &'a Pace,
    pub(crate) failure: Option<&'a Failure>,
    pub(crate) ledger: &'a Ledger,
    pub(crate) rejections: &'a Rejections,
    pub(crate) lease: Option<&'a Lease>,
}

impl Known<'_> {
    /// More than the document takes, in bytes: grown on the way, it would leave copies of the token behind.
    fn size(&self) -> usize {
        let token = self.held.map_or(0, |held| held.value.reveal().len());
        let failure = self.failure.map_or(0, |failure| 2 * (failure.message.len() + failure.action.len()));
        1024 + token + failure + self.ends.map_or(0, Ends::size) + self.ledger.size() + self.rejections.size()
    }

    /// *Secret.* The document. By hand, as it is read: each refresh writes it twice, and derives make hundreds of
    /// small pieces of it.
    pub(crate) fn write(&self, epoch: Epoch) -> Secret {
        let mut json = json::Writer::with_capacity(self.size());
        json.raw(r#"{"version":"#).unsigned(VERSION.into());
        json.raw(r#","written_wall_ms":"#).signed(epoch.wall(epoch.now));
        if let Some(steady_ms) = epoch.steady_ms {
            json.raw(r#","written_steady_ms":"#).unsigned(steady_ms);
        }
        json.raw(r#","configuration":"#).optional(self.configuration);
        json.raw(r#","identity":"#).optional(self.identity);
        json.raw(r#","token":"#);
        match self.held.and_then(|held| Some((held, held.life?))) {
            Some((held, life)) => {
                json.raw(r#"{"value":"#).text(held.value.reveal());
                json.raw(r#","lifetime_ms":"#).unsigned(life.lifetime);
                json.raw(r#","expires_wall_ms":"#).signed(epoch.wall(life.expires));
                json.raw(if held.standing == Standing::Suspect { r#","suspect":true}"# } else { r#","suspect":false}"# });
            }
            None => {
                json.raw("null");
            }
        }
        if let Some(ends) = self.ends {
            json.raw(r#","ends":"#);
            ends.write(&mut json, epoch);
        }
        let pace = KeptPace::of(self.pace, epoch);
        json.raw(r#","pace":{"failures":"#).unsigned(pace.failures.into());
        json.raw(r#","refusals":"#).unsigned(pace.refusals.into());
        json.raw(r#","retry_wall_ms":"#).signed(pace.retry_wall_ms);
        json.raw(r#","floor_wall_ms":"#).signed(pace.floor_wall_ms);
        json.raw(r#"},"failure":"#);
        // Strings and numbers always serialise.
        let failure = self.failure.and_then(|failure| serde_json::to_string(failure).ok());
        json.raw(failure.as_deref().unwrap_or("null"));
        json.raw(r#","tried":"#).optional(self.pace.tried.as_deref());
        json.raw(r#","ledger":"#);
        self.ledger.write(&mut json);
        json.raw(r#","rejections":"#);
        self.rejections.write(&mut json, epoch);
        json.raw(r#","lease":"#);
        match self.lease {
            Some(lease) => {
                json.raw(r#"{"owner":"#).unsigned(lease.owner);
                json.raw(r#","identity_token":"#).text(&lease.identity_token);
                json.raw(r#","expires_at_ms":"#).unsigned(lease.expires_at_ms);
                json.raw(r#","beat":"#).unsigned(lease.beat.into()).raw("}");
            }
            None => {
                json.raw("null");
            }
        }
        json.raw("}");
        json.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({
            "version": VERSION,
            "written_wall_ms": 1,
            "written_steady_ms": 1,
            "configuration": "c",
            "identity": "a",
            "token": {"value": "t", "lifetime_ms": 1, "expires_wall_ms": 2, "suspect": false},
            "ends": [{"id": "t", "wall_ms": 2}],
            "pace": {"failures": 0, "refusals": 0, "retry_wall_ms": 0, "floor_wall_ms": 0},
            "failure": {"code": "refused", "message": "m", "action": "a", "status": 401, "request-id": "r"},
            "tried": "i",
            "ledger": [{"id": "i", "disposition": "spent", "expires_at_ms": 3}],
            "rejections": {"tokens": [{"id": "t", "wall_ms": 4}], "stopped_until_wall_ms": 5},
            "lease": {"owner": 6, "identity_token": "i", "expires_at_ms": 7, "beat": 8},
        })
    }

    /// C16: whatever stands where in the document, it is read or ignored.
    #[test]
    fn a_document_of_any_shape_is_read_or_ignored() {
        assert!(State::parse(&document().to_string()).is_some());
        let strange =
            [json!(null), json!(true), json!(5), json!(-1.5), json!("x"), json!([]), json!([5]), json!({}), json!({"a": 1})];
        let mut paths = Vec::new();
        gather(&document(), String::new(), &mut paths);
        assert!(paths.len() > 30, "{paths:?}");
        let mut ignored = 0;
        for path in &paths {
            for value in &strange {
                let mut document = document();
                *document.pointer_mut(path).unwrap() = value.clone();
                ignored += usize::from(State::parse(&document.to_string()).is_none());
            }
        }
        assert!(ignored > paths.len() * 6, "{ignored} of {}", paths.len() * strange.len());
    }

    fn reading(wall_ms: u64, steady_ms: Option<u64>, by: Writer) -> Reading {
        let epoch = Epoch { now: Moment::default(), wall_ms, steady_ms };
        Reading::new(epoch, Written { wall_ms: Some(1_000_000), steady_ms: Some(5_000) }, by)
    }

    /// D10: written with 60 s to go; whatever the wall clock did since, no more than that is left.
    #[test]
    fn reading_never_lengthens_what_was_left_at_the_writing() {
        let left = |reading: Reading| reading.moment(1_060_000).since(Moment::default());
        assert_eq!(left(reading(1_020_000, None, Writer::Another)), 40_000);
        assert_eq!(left(reading(0, None, Writer::Another)), 60_000, "the wall clock went back");
        assert_eq!(left(reading(0, Some(25_000), Writer::Before)), 40_000, "the steady clock knows better");
        assert_eq!(left(reading(1_050_000, Some(25_000), Writer::Before)), 10_000, "the wall clock went ahead");
        assert_eq!(left(reading(0, Some(2_000), Writer::Before)), 58_000, "a boot since");
        assert_eq!(left(reading(0, Some(25_000), Writer::Another)), 60_000, "another machine's steady clock says nothing");
    }

    /// D10: an entry is read again and again, and its pause ends all the same.
    #[test]
    fn a_pause_in_an_entry_does_not_begin_anew_with_each_look() {
        let pause =
            |wall_ms, by| reading(wall_ms, None, by).end_of_pause(1_060_000, 600_000).map(|end| end.since(Moment::default()));
        assert_eq!(pause(990_000, Writer::Another), Some(70_000));
        assert_eq!(pause(1_000_000, Writer::Another), Some(60_000), "ten seconds later");
        assert_eq!(pause(400_000, Writer::Another), None, "no pause is that long");
        assert_eq!(pause(400_000, Writer::Before), Some(60_000), "a journal is read once");
    }

    #[test]
    fn a_document_that_does_not_say_when_it_was_written_is_read() {
        let mut document = document();
        for name in ["written_wall_ms", "written_steady_ms", "configuration", "ends"] {
            document.as_object_mut().unwrap().remove(name);
        }
        let state = State::parse(&document.to_string()).expect("an earlier version's");
        let epoch = Epoch { now: Moment::default(), wall_ms: 10, steady_ms: Some(1) };
        assert_eq!(Reading::new(epoch, state.written, Writer::Before).moment(15).since(Moment::default()), 5);
    }

    fn gather(value: &Value, path: String, paths: &mut Vec<String>) {
        let members: Vec<(String, &Value)> = match value {
            Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), value)).collect(),
            Value::Array(items) => items.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
            _ => Vec::new(),
        };
        for (name, value) in members {
            gather(value, format!("{path}/{name}"), paths);
        }
        paths.push(path);
    }
}
