//! The access token that is served.

use serde_json::Value;

use crate::configuration::KeyHeader;
use crate::contract::{Header, Standing};
use crate::json::{Writer, string, take};
use crate::schedule::{Random, Windows};
use crate::timeline::{Epoch, Moment, Reading};
use crate::{Secret, id_of};

/// An access token and its times.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) value: Secret,
    pub(crate) id: String,
    pub(crate) scheme: Scheme,
    pub(crate) standing: Standing,
    /// Absent if it does not expire.
    pub(crate) life: Option<Life>,
}

/// How a token is presented to the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Bearer,
    ApiKey(KeyHeader),
}

/// The times of a token that expires.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    pub(crate) lifetime: u64,
    pub(crate) expires: Moment,
    pub(crate) refresh: Moment,
    pub(crate) hold: Moment,
    pub(crate) unusable: Moment,
}

/// More access tokens than a session meets within the life of one that somebody could still offer it.
const MAX_ENDS: usize = 4;

/// When each token ends that this session has held, by id, on the session's own clock. A journal, an entry or a cache keeps that
/// end in wall time; when the wall clock goes back, the token in it would live longer, or again.
#[derive(Debug, Default)]
pub(crate) struct Ends(Vec<(String, Moment)>);

/// The same in a document, in wall time.
#[derive(Debug, Default, Clone)]
pub(crate) struct KeptEnds(Vec<(String, i64)>);

impl KeptEnds {
    /// From the document that it was written to.
    pub(crate) fn read(value: Value) -> Option<Self> {
        let Value::Array(ends) = value else { return None };
        let read = |mut end: Value| Some((string(take(&mut end, "id"))?, end["wall_ms"].as_i64()?));
        let ends = ends.into_iter().map(read).collect::<Option<Vec<_>>>()?;
        (ends.len() <= MAX_ENDS).then_some(Self(ends))
    }

    pub(crate) fn revive(self, reading: Reading) -> Ends {
        Ends(self.0.into_iter().map(|(id, wall_ms)| (id, reading.moment(wall_ms))).collect())
    }
}

impl Ends {
    /// Into the document.
    pub(crate) fn write(&self, json: &mut Writer, epoch: Epoch) {
        json.list(&self.0, |json, (id, end)| {
            json.raw(r#"{"id":"#).text(id).raw(r#","wall_ms":"#).signed(epoch.wall(*end)).raw("}");
        });
    }

    /// More than it takes in the document, in bytes.
    pub(crate) fn size(&self) -> usize {
        96 * self.0.len()
    }

    /// The end of a token that was read somewhere: no later than it is known to be.
    pub(crate) fn bound(&mut self, id: &str, expires: Moment) -> Moment {
        match self.0.iter_mut().find(|(known, _)| known == id) {
            Some((_, end)) => {
                *end = expires.min(*end);
                *end
            }
            None => {
                self.set(id, expires);
                expires
            }
        }
    }

    /// The end of a token that its issuer has just told.
    pub(crate) fn set(&mut self, id: &str, expires: Moment) {
        self.0.retain(|(known, _)| known != id);
        if self.0.len() == MAX_ENDS {
            self.0.remove(0);
        }
        self.0.push((id.to_owned(), expires));
    }
}

impl Held {
    pub(crate) fn forever(value: Secret, scheme: Scheme) -> Self {
        let id = id_of(value.reveal());
        Self { value, id, scheme, standing: Standing::Good, life: None }
    }

    /// A bearer token that was issued for `lifetime` milliseconds and expires at `expires`.
    pub(crate) fn until(value: Secret, lifetime: u64, expires: Moment, random: &mut Random) -> Self {
        let windows = Windows::of(lifetime);
        let before = |time: u64| expires.offset(-(time as i64));
        let life = Life {
            lifetime,
            expires,
            refresh: before(windows.advisory - windows.jitter(random)),
            hold: before(windows.mandatory),
            unusable: before(windows.margin),
        };
        Self { life: Some(life), ..Self::forever(value, Scheme::Bearer) }
    }

    /// Ends at this moment: all its times move with the end.
    pub(crate) fn end_at(&mut self, expires: Moment) {
        if let Some(life) = &mut self.life {
            let by = expires.since(life.expires);
            for time in [&mut life.expires, &mut life.refresh, &mut life.hold, &mut life.unusable] {
                *time = time.offset(by);
            }
        }
    }

    pub(crate) fn usable_at(&self, now: Moment) -> bool {
        self.life.is_none_or(|life| now < life.unusable)
    }

    /// Whether it serves longer than `other`.
    pub(crate) fn outlives(&self, other: &Self) -> bool {
        let end = |held: &Self| held.life.map_or(Moment::NEVER, |life| life.expires);
        end(self) > end(other)
    }

    pub(crate) fn set(&self) -> Vec<Header> {
        let (name, value) = match self.scheme {
            Scheme::Bearer | Scheme::ApiKey(KeyHeader::Authorization) => {
                ("authorization", ["Bearer ", self.value.reveal()].concat())
            }
            Scheme::ApiKey(KeyHeader::XApiKey) => ("x-api-key", self.value.reveal().to_owned()),
        };
        vec![Header { name: name.to_owned(), value: value.into() }]
    }

    /// What the API needs beside the token. Only tokens of its own OAuth dialect carry the beta.
    pub(crate) fn merge(&self) -> Vec<Header> {
        if self.scheme == Scheme::Bearer && self.value.reveal().starts_with("sk-ant-oat") {
            vec![Header { name: "anthropic-beta".to_owned(), value: "oauth-2025-04-20".into() }]
        } else {
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end that an issuer tells replaces what was known of this token alone.
    #[test]
    fn each_token_has_an_end_of_its_own_and_the_oldest_are_forgotten() {
        let at = |ms: u64| Moment::default() + ms;
        let mut ends = Ends::default();
        ends.set("a", at(10));
        ends.set("b", at(20));
        ends.set("a", at(30));
        assert_eq!((ends.bound("a", at(90)), ends.bound("b", at(90))), (at(30), at(20)));
        assert_eq!(ends.bound("a", at(5)), at(5), "what is read may shorten it");
        for id in ["c", "d", "e"] {
            ends.set(id, at(40));
        }
        assert_eq!(ends.0.len(), MAX_ENDS);
        assert_eq!((ends.bound("a", at(90)), ends.bound("b", at(90))), (at(5), at(90)));
    }

    /// E10: the beta of the API's OAuth dialect stands beside a token of that dialect alone.
    #[test]
    fn a_token_of_another_dialect_and_a_key_carry_no_beta() {
        let betas = |value: &str, scheme| Held::forever(Secret::from(value.to_owned()), scheme).merge().len();
        assert_eq!(betas("sk-ant-oat01-a", Scheme::Bearer), 1);
        assert_eq!(betas("a-gateway's", Scheme::Bearer), 0);
        assert_eq!(betas("sk-ant-oat01-a", Scheme::ApiKey(KeyHeader::Authorization)), 0);
    }
}
