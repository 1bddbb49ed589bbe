//! Which tokens the API has rejected, and whether a rejection may still force an exchange.

use serde_json::Value;

use crate::json::Writer;
use crate::state::{Epoch, string, take};
use crate::timeline::Moment;

/// Two different tokens rejected within this time mean that new ones do not help.
const WINDOW_MS: u64 = 600_000;

/// For how long then no exchange is forced.
const PAUSE_MS: u64 = 600_000;

const BOUND: usize = 8;

/// The rejected tokens, newest last. Times are wall clock readings, so that sessions can share them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rejections {
    tokens: Vec<Rejected>,
    stopped_until_wall_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rejected {
    id: String,
    wall_ms: i64,
}

impl Rejections {
    /// From the document that it was written to.
    pub(crate) fn read(mut value: Value) -> Option<Self> {
        let Value::Array(tokens) = take(&mut value, "tokens") else { return None };
        let read = |mut token: Value| Some(Rejected { id: string(take(&mut token, "id"))?, wall_ms: token["wall_ms"].as_i64()? });
        let tokens = tokens.into_iter().map(read).collect::<Option<Vec<Rejected>>>()?;
        let stopped_until_wall_ms = value["stopped_until_wall_ms"].as_i64()?;
        (tokens.len() <= BOUND).then_some(Self { tokens, stopped_until_wall_ms })
    }

    /// Into the document.
    pub(crate) fn write(&self, json: &mut Writer) {
        json.raw(r#"{"tokens":"#).list(&self.tokens, |json, token| {
            json.raw(r#"{"id":"#).text(&token.id).raw(r#","wall_ms":"#).signed(token.wall_ms).raw("}");
        });
        json.raw(r#","stopped_until_wall_ms":"#).signed(self.stopped_until_wall_ms).raw("}");
    }

    /// More than it takes in the document, in bytes.
    pub(crate) fn size(&self) -> usize {
        96 * self.tokens.len()
    }

    pub(crate) fn contains(&self, id: &str) -> bool {
        self.tokens.iter().any(|token| token.id == id)
    }

    /// Notes a rejection. Whether forced exchanges stop with it.
    pub(crate) fn add(&mut self, id: &str, epoch: Epoch) -> bool {
        if self.contains(id) {
            return false;
        }
        let wall_ms = epoch.wall(epoch.now);
        let again = self.tokens.last().is_some_and(|last| wall_ms.abs_diff(last.wall_ms) < WINDOW_MS);
        self.tokens.push(Rejected { id: id.to_owned(), wall_ms });
        if self.tokens.len() > BOUND {
            self.tokens.remove(0);
        }
        if again {
            self.stopped_until_wall_ms = wall_ms.saturating_add(PAUSE_MS as i64);
        }
        again
    }

    /// Until when no exchange is forced. An end that is further away than any pause was set by another clock, or before this
    /// one went back: nobody can tell when it was meant, and it is over.
    pub(crate) fn stopped_until(&self, epoch: Epoch) -> Moment {
        let end = epoch.moment(self.stopped_until_wall_ms);
        if end > epoch.now + PAUSE_MS { epoch.now } else { end }
    }

    /// Takes over what another session knows.
    pub(crate) fn merge(&mut self, other: &Self) {
        for token in &other.tokens {
            if !self.contains(&token.id) {
                let position = self.tokens.iter().position(|known| known.wall_ms > token.wall_ms);
                self.tokens.insert(position.unwrap_or(self.tokens.len()), token.clone());
            }
        }
        let excess = self.tokens.len().saturating_sub(BOUND);
        self.tokens.drain(..excess);
        self.stopped_until_wall_ms = self.stopped_until_wall_ms.max(other.stopped_until_wall_ms);
    }
}
