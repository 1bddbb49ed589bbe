//! Which tokens the API has rejected, and whether a rejection may still force an exchange.

use serde_json::Value;

use crate::json::{Writer, string, take};
use crate::timeline::{Epoch, Moment, Reading};

/// Two different tokens rejected within this time mean that new ones do not help.
const WINDOW_MS: u64 = 600_000;

/// For how long then no exchange is forced.
const PAUSE_MS: u64 = 600_000;

const BOUND: usize = 8;

/// The rejected tokens, newest last. Their times are moments of the session; in a document they are wall clock readings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejections<T = Moment> {
    tokens: Vec<Rejected<T>>,
    stopped_until: Option<T>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rejected<T> {
    id: String,
    at: T,
}

impl Default for Rejections {
    fn default() -> Self {
        Self { tokens: Vec::new(), stopped_until: None }
    }
}

impl Rejections<i64> {
    /// From the document that it was written to.
    pub(crate) fn read(mut value: Value) -> Option<Self> {
        let Value::Array(tokens) = take(&mut value, "tokens") else { return None };
        let read = |mut token: Value| Some(Rejected { id: string(take(&mut token, "id"))?, at: token["wall_ms"].as_i64()? });
        let tokens = tokens.into_iter().map(read).collect::<Option<Vec<_>>>()?;
        let stopped_until = Some(value["stopped_until_wall_ms"].as_i64()?).filter(|wall_ms| *wall_ms != 0);
        (tokens.len() <= BOUND).then_some(Self { tokens, stopped_until })
    }

    /// As it is now. A rejection that would lie ahead was written by another clock.
    pub(crate) fn revive(self, reading: Reading) -> Rejections {
        let revive = |token: Rejected<i64>| Rejected { id: token.id, at: reading.moment(token.at).min(reading.now()) };
        Rejections {
            tokens: self.tokens.into_iter().map(revive).collect(),
            stopped_until: self.stopped_until.and_then(|wall_ms| reading.end_of_pause(wall_ms, PAUSE_MS)),
        }
    }
}

impl Rejections {
    /// Into the document.
    pub(crate) fn write(&self, json: &mut Writer, epoch: Epoch) {
        json.raw(r#"{"tokens":"#).list(&self.tokens, |json, token| {
            json.raw(r#"{"id":"#).text(&token.id).raw(r#","wall_ms":"#).signed(epoch.wall(token.at)).raw("}");
        });
        let stopped_until = self.stopped_until.map_or(0, |until| epoch.wall(until));
        json.raw(r#","stopped_until_wall_ms":"#).signed(stopped_until).raw("}");
    }

    /// More than it takes in the document, in bytes.
    pub(crate) fn size(&self) -> usize {
        96 * self.tokens.len()
    }

    pub(crate) fn contains(&self, id: &str) -> bool {
        self.tokens.iter().any(|token| token.id == id)
    }

    /// Notes a rejection. Whether forced exchanges stop with it.
    pub(crate) fn add(&mut self, id: &str, now: Moment) -> bool {
        if self.contains(id) {
            return false;
        }
        let again = self.tokens.last().is_some_and(|last| now - last.at < WINDOW_MS);
        self.tokens.push(Rejected { id: id.to_owned(), at: now });
        if self.tokens.len() > BOUND {
            self.tokens.remove(0);
        }
        if again {
            self.stopped_until = Some(now + PAUSE_MS);
        }
        again
    }

    /// Until when no exchange is forced.
    pub(crate) fn stopped_until(&self) -> Moment {
        self.stopped_until.unwrap_or_default()
    }

    /// What is known of the tokens of one identity stops no exchange for another.
    pub(crate) fn lift_the_stop(&mut self) {
        self.stopped_until = None;
    }

    /// Takes over what another session knows. Whether that was news.
    pub(crate) fn merge(&mut self, other: Self) -> bool {
        let mut news = false;
        for token in other.tokens {
            if !self.contains(&token.id) {
                let position = self.tokens.iter().position(|known| known.at > token.at);
                self.tokens.insert(position.unwrap_or(self.tokens.len()), token);
                news = true;
            }
        }
        let excess = self.tokens.len().saturating_sub(BOUND);
        self.tokens.drain(..excess);
        if other.stopped_until > self.stopped_until {
            self.stopped_until = other.stopped_until;
            news = true;
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::default() + ms
    }

    fn through_a_document(rejections: &Rejections, written: Epoch, read: Epoch) -> Rejections {
        let mut json = Writer::with_capacity(64);
        rejections.write(&mut json, written);
        let value = serde_json::from_str(json.end().reveal()).unwrap();
        Rejections::read(value).unwrap().revive(Reading::new(read, Default::default(), crate::timeline::Writer::Another))
    }

    #[test]
    fn two_tokens_within_ten_minutes_stop_forced_exchanges_for_ten_minutes() {
        let mut rejections = Rejections::default();
        assert!(!rejections.add("a", at(0)));
        assert!(!rejections.add("a", at(1)), "the same again is no second one");
        assert!(!rejections.add("b", at(600_000)), "ten minutes have passed");
        assert!(rejections.add("c", at(1_199_999)));
        assert_eq!(rejections.stopped_until(), at(1_799_999));
    }

    /// C13: a document that holds more is not read.
    #[test]
    fn the_last_eight_are_known() {
        let mut rejections = Rejections::default();
        let known = |rejections: &Rejections| (0..12_u32).filter(|number| rejections.contains(&number.to_string())).count();
        for number in 0..12_u32 {
            rejections.add(&number.to_string(), at(0));
            assert_eq!(known(&rejections), BOUND.min(number as usize + 1));
        }
        assert!(rejections.contains("11") && !rejections.contains("3"));
    }

    #[test]
    fn a_stop_that_is_lifted_is_over() {
        let mut rejections = Rejections::default();
        rejections.add("a", at(0));
        assert!(rejections.add("b", at(0)));
        rejections.lift_the_stop();
        assert_eq!(rejections.stopped_until(), Moment::default());
    }

    #[test]
    fn what_another_session_knows_is_taken_over_in_the_order_of_time() {
        let (mut mine, mut theirs) = (Rejections::default(), Rejections::default());
        mine.add("mine", at(700_000));
        theirs.add("first", at(0));
        assert!(theirs.add("second", at(1_000)));
        assert!(mine.merge(theirs.clone()));
        assert!(!mine.merge(theirs), "it is no news any more");
        assert!(mine.contains("first") && mine.contains("second"));
        assert_eq!(mine.stopped_until(), at(601_000), "a stop holds for all");
        assert!(mine.add("next", at(800_000)), "the last one is mine, not the one that came last");
    }

    /// D10: a stop is as long as stops are, whatever the wall clock did.
    #[test]
    fn a_stop_that_would_last_longer_than_any_is_over() {
        let mut rejections = Rejections::default();
        rejections.add("a", at(0));
        rejections.add("b", at(0));
        let epoch = |wall_ms| Epoch { now: at(0), wall_ms, steady_ms: None };
        assert_eq!(through_a_document(&rejections, epoch(10_000_000), epoch(10_000_000)), rejections);
        let later = through_a_document(&rejections, epoch(10_000_000), epoch(10_000_000 + 1_000));
        assert_eq!(later.stopped_until(), at(599_000));
        let back = through_a_document(&rejections, epoch(10_000_000), epoch(10_000_000 - 1_000));
        assert_eq!(back.stopped_until(), Moment::default());
        assert!(back.contains("a") && back.contains("b"), "a rejected token stays rejected");
    }

    /// D10: a rejection that another clock dated ahead counts as one of now. It would stop forced exchanges until that time came.
    #[test]
    fn a_rejection_that_lies_ahead_happened_now() {
        let mut rejections = Rejections::default();
        rejections.add("a", at(0));
        let epoch = |wall_ms| Epoch { now: at(0), wall_ms, steady_ms: None };
        let mut read = through_a_document(&rejections, epoch(13_600_000), epoch(10_000_000));
        assert!(!read.clone().add("b", at(600_000)), "ten minutes have passed");
        assert!(read.add("b", at(599_999)));
    }
}
