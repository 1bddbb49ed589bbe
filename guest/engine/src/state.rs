//! The document that outlives a session, as its journal or as the entry that sessions share. It holds the token, and is opaque
//! to hosts.

use serde::Deserialize as _;
use serde_json::Value;

use crate::contract::{Failure, FailureCode, Standing};
use crate::held::{Ends, Held, KeptEnds};
use crate::json::{Writer, optional, small, string, take};
use crate::ledger::Ledger;
use crate::rejections::Rejections;
use crate::schedule::Pace;
use crate::timeline::{Epoch, Reading, Written};
use crate::tokens::{From, Offer};
use crate::{Secret, id_of};

/// The form of the document. One of another form is ignored.
const VERSION: u32 = 1;

/// The longest pause that an answer or the schedule ever makes, in milliseconds.
const MAX_PAUSE_MS: u64 = 600_000;

/// How long a lease is good for without a sign of life, in milliseconds.
pub(crate) const LEASE_MS: u64 = 4_000;

/// A token in the document.
#[derive(Debug, Clone)]
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

    pub(crate) fn id(&self) -> String {
        id_of(self.value.reveal())
    }

    /// The token as it is now. It lives no longer than it was issued for, and than was left when it was written down.
    pub(crate) fn offer(self, reading: Reading, from: From) -> Offer {
        let standing = if self.suspect { Standing::Suspect } else { Standing::Good };
        let expires = reading.moment(self.expires_wall_ms).min(reading.now() + self.lifetime_ms);
        Offer { value: self.value, lifetime_ms: self.lifetime_ms, expires, standing, from }
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
pub(crate) struct SavedState {
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

impl SavedState {
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
pub(crate) struct Document<'a> {
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

impl Document<'_> {
    /// More than the document takes, in bytes: grown on the way, it would leave copies of the token behind.
    fn size(&self) -> usize {
        let token = self.held.map_or(0, |held| held.value.reveal().len());
        let failure = self.failure.map_or(0, |failure| 2 * (failure.message.len() + failure.action.len()));
        1024 + token + failure + self.ends.map_or(0, Ends::size) + self.ledger.size() + self.rejections.size()
    }

    /// *Secret.* The document. By hand, as it is read: each refresh writes it twice, and derives make hundreds of
    /// small pieces of it.
    pub(crate) fn write(&self, epoch: Epoch) -> Secret {
        let mut json = Writer::with_capacity(self.size());
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
    use crate::timeline::Moment;

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
        assert!(SavedState::parse(&document().to_string()).is_some());
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
                ignored += usize::from(SavedState::parse(&document.to_string()).is_none());
            }
        }
        assert!(ignored > paths.len() * 6, "{ignored} of {}", paths.len() * strange.len());
    }

    #[test]
    fn a_document_that_does_not_say_when_it_was_written_is_read() {
        let mut document = document();
        for name in ["written_wall_ms", "written_steady_ms", "configuration", "ends"] {
            document.as_object_mut().unwrap().remove(name);
        }
        let state = SavedState::parse(&document.to_string()).expect("an earlier version's");
        let epoch = Epoch { now: Moment::default(), wall_ms: 10, steady_ms: Some(1) };
        assert_eq!(Reading::new(epoch, state.written, crate::timeline::Writer::Before).moment(15).since(Moment::default()), 5);
    }

    #[test]
    fn the_numbers_of_a_document_are_read_as_they_are() {
        let mut document = document();
        document["pace"] = json!({"failures": 3, "refusals": 4, "retry_wall_ms": 5, "floor_wall_ms": -6});
        let state = SavedState::parse(&document.to_string()).unwrap();
        assert_eq!(state.pace, KeptPace { failures: 3, refusals: 4, retry_wall_ms: 5, floor_wall_ms: -6 });
        let epoch = Epoch { now: Moment::default(), wall_ms: 10, steady_ms: None };
        let pace = state.pace.revive(Reading::new(epoch, Written::default(), crate::timeline::Writer::Before), None);
        assert_eq!((pace.failures, pace.refusals), (3, 4));
        assert_eq!(state.lease, Some(Lease { owner: 6, identity_token: "i".into(), expires_at_ms: 7, beat: 8 }));
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
