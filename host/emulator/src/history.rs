//! What happened, and why.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde_json::{Value, json};
use tokio::sync::watch;
use wif_federation::{Parties, Reason};

use crate::token_id::TokenId;

/// One request to the token endpoint or the Messages API. It never holds a token.
///
/// The history of the real service knows granted and denied exchanges only; the emulator also keeps malformed and
/// unprocessed ones, and requests to the API.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Counts entries from 0 without gaps.
    pub sequence: u64,
    /// When the request was decided, by the emulator's clock.
    pub time: SystemTime,
    /// The `request-id` header of the answer.
    pub request_id: String,
    /// What was asked for.
    pub kind: Kind,
    /// What the emulator decided.
    pub outcome: Outcome,
    /// Why, unless the request was granted or not processed.
    pub reason: Option<Reason>,
    /// More about the reason, for people: the field or claim that was at fault.
    pub detail: Option<String>,
    /// The [`Fault::code`](crate::Fault::code) of the fault that met the request.
    pub fault: Option<&'static str>,
    /// The identity token that was presented.
    pub assertion_id: Option<TokenId>,
    /// Its `jti`, if its signature was good.
    pub jti: Option<String>,
    /// The access token: minted by an exchange, or presented with a request.
    pub access_token_id: Option<TokenId>,
    /// The lifetime of the access token that an exchange minted, in seconds.
    pub lifetime_seconds: Option<u64>,
    /// Who was involved, as far as the emulator got.
    pub parties: Parties,
}

/// What a request asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// An exchange of an identity token for an access token.
    Exchange,
    /// A message.
    Message,
    /// The number of tokens of a message.
    CountTokens,
    /// The models, or one of them.
    Models,
    /// What other than inference needs a scope: files, the organization.
    Other,
    /// A sender followed a redirect, and showed its identity token or its access token to another origin.
    FollowedRedirect,
}

/// What the emulator decided about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// An access token was minted, or a message answered.
    Granted,
    /// The credential was refused.
    Denied,
    /// The request did not have its form, and no credential was looked at or spent.
    Malformed,
    /// A [`Fault`](crate::Fault) answered in place of the emulator: nothing was looked at or spent.
    NotProcessed,
}

/// How many requests were decided, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Requests to the token endpoint, whatever became of them.
    pub exchanges: u64,
    /// Access tokens minted.
    pub exchanges_granted: u64,
    /// Exchanges denied or malformed.
    pub exchanges_refused: u64,
    /// Requests for a message, whatever became of them.
    pub messages: u64,
    /// Messages answered.
    pub messages_granted: u64,
}

impl Kind {
    /// A name that stays the same between versions.
    pub fn code(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Message => "message",
            Self::CountTokens => "count_tokens",
            Self::Models => "models",
            Self::Other => "other",
            Self::FollowedRedirect => "followed_redirect",
        }
    }
}

impl Entry {
    /// The form of the administration API: `time_ms` counts from the epoch, and what is not known is left out.
    pub fn to_json(&self) -> Value {
        let since = self.time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut entry = json!({
            "sequence": self.sequence,
            "time_ms": u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            "request_id": self.request_id,
            "kind": self.kind.code(),
            "outcome": self.outcome.code(),
        });
        let id = |id: &Option<TokenId>| id.as_ref().map(|id| id.as_str().into());
        let text = |text: &Option<String>| text.as_deref().map(Value::from);
        let optional = [
            ("reason", self.reason.map(|reason| reason.code().into())),
            ("detail", text(&self.detail)),
            ("fault", self.fault.map(Value::from)),
            ("assertion_id", id(&self.assertion_id)),
            ("jti", text(&self.jti)),
            ("access_token_id", id(&self.access_token_id)),
            ("lifetime_seconds", self.lifetime_seconds.map(Value::from)),
            ("federation_rule_id", text(&self.parties.federation_rule_id)),
            ("organization_id", text(&self.parties.organization_id)),
            ("service_account_id", text(&self.parties.service_account_id)),
            ("workspace_id", text(&self.parties.workspace_id)),
            ("issuer", text(&self.parties.issuer)),
            ("subject", text(&self.parties.subject)),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                entry[name] = value;
            }
        }
        entry
    }
}

impl Outcome {
    /// A name that stays the same between versions.
    pub fn code(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Denied => "denied",
            Self::Malformed => "malformed",
            Self::NotProcessed => "not_processed",
        }
    }
}

/// An entry before it has its place.
pub(crate) struct Record {
    pub(crate) time: SystemTime,
    pub(crate) request_id: String,
    pub(crate) kind: Kind,
    pub(crate) outcome: Outcome,
    pub(crate) reason: Option<Reason>,
    pub(crate) detail: Option<String>,
    pub(crate) fault: Option<&'static str>,
    pub(crate) assertion_id: Option<TokenId>,
    pub(crate) jti: Option<String>,
    pub(crate) access_token_id: Option<TokenId>,
    pub(crate) lifetime_seconds: Option<u64>,
    pub(crate) parties: Parties,
}

impl Record {
    pub(crate) fn new(time: SystemTime, request_id: &str, kind: Kind, outcome: Outcome) -> Self {
        Self {
            time,
            request_id: request_id.to_owned(),
            kind,
            outcome,
            reason: None,
            detail: None,
            fault: None,
            assertion_id: None,
            jti: None,
            access_token_id: None,
            lifetime_seconds: None,
            parties: Parties::default(),
        }
    }
}

/// The newest entries, the counts since the start, and who waits for more.
pub(crate) struct History {
    kept: Mutex<Kept>,
    recorded: watch::Sender<u64>,
}

#[derive(Default)]
struct Kept {
    entries: VecDeque<Entry>,
    next: u64,
    counts: Counts,
}

/// An emulator that runs for days under load must not grow.
const MOST_ENTRIES: usize = 10_000;

impl History {
    pub(crate) fn new() -> Self {
        Self { kept: Mutex::default(), recorded: watch::Sender::new(0) }
    }

    pub(crate) fn record(&self, record: Record) {
        // The number is sent under the lock, so that waiters never see it go back.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.counts.count(&record);
        let sequence = kept.next;
        kept.next += 1;
        if kept.entries.len() == MOST_ENTRIES {
            kept.entries.pop_front();
        }
        kept.entries.push_back(Entry {
            sequence,
            time: record.time,
            request_id: record.request_id,
            kind: record.kind,
            outcome: record.outcome,
            reason: record.reason,
            detail: record.detail,
            fault: record.fault,
            assertion_id: record.assertion_id,
            jti: record.jti,
            access_token_id: record.access_token_id,
            lifetime_seconds: record.lifetime_seconds,
            parties: record.parties,
        });
        self.recorded.send_replace(kept.next);
    }

    pub(crate) fn since(&self, sequence: u64) -> Vec<Entry> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.entries.iter().filter(|entry| entry.sequence >= sequence).cloned().collect()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).counts
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.recorded.subscribe()
    }
}

impl Counts {
    fn count(&mut self, record: &Record) {
        match (record.kind, record.outcome) {
            (Kind::Exchange, outcome) => {
                self.exchanges += 1;
                match outcome {
                    Outcome::Granted => self.exchanges_granted += 1,
                    Outcome::Denied | Outcome::Malformed => self.exchanges_refused += 1,
                    Outcome::NotProcessed => {}
                }
            }
            (Kind::Message, outcome) => {
                self.messages += 1;
                if outcome == Outcome::Granted {
                    self.messages_granted += 1;
                }
            }
            (Kind::CountTokens | Kind::Models | Kind::Other | Kind::FollowedRedirect, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entries_go_and_the_counts_and_numbers_stay() {
        let history = History::new();
        let record = || Record::new(SystemTime::UNIX_EPOCH, "req_01", Kind::Exchange, Outcome::Denied);
        (0..MOST_ENTRIES + 3).for_each(|_| history.record(record()));
        let entries = history.since(0);
        assert_eq!(entries.len(), MOST_ENTRIES);
        assert_eq!(entries[0].sequence, 3);
        assert_eq!(history.counts().exchanges_refused, MOST_ENTRIES as u64 + 3);
        assert_eq!(*history.subscribe().borrow(), MOST_ENTRIES as u64 + 3);
    }
}
