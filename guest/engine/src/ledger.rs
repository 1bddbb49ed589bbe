//! What is known of the identity tokens that were sent, whatever source they came from: which can still be exchanged.

use serde_json::Value;

use crate::contract::Disposition;
use crate::identity_token::LEEWAY_MS;
use crate::json::{Writer, string, take};

/// More identity tokens than a source shows within the longest life of one.
const BOUND: usize = 32;

/// A bounded list of identity tokens by id. Only those that were sent are in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger(Vec<Line>);

#[derive(Debug, Clone)]
struct Line {
    id: String,
    disposition: Disposition,
    expires_at_ms: u64,
}

impl Ledger {
    /// From the document that it was written to.
    pub(crate) fn read(value: Value) -> Option<Self> {
        let Value::Array(lines) = value else { return None };
        let read = |mut line: Value| {
            let disposition = match line["disposition"].as_str()? {
                "spent" => Disposition::Spent,
                "uncertain" => Disposition::Uncertain,
                _ => return None,
            };
            Some(Line { id: string(take(&mut line, "id"))?, disposition, expires_at_ms: line["expires_at_ms"].as_u64()? })
        };
        let lines = lines.into_iter().map(read).collect::<Option<Vec<Line>>>()?;
        (lines.len() <= BOUND).then_some(Self(lines))
    }

    /// Into the document.
    pub(crate) fn write(&self, json: &mut Writer) {
        json.list(&self.0, |json, line| {
            json.raw(r#"{"id":"#).text(&line.id);
            // There are no others.
            json.raw(if line.disposition == Disposition::Spent {
                r#","disposition":"spent""#
            } else {
                r#","disposition":"uncertain""#
            });
            json.raw(r#","expires_at_ms":"#).unsigned(line.expires_at_ms).raw("}");
        });
    }

    /// More than it takes in the document, in bytes.
    pub(crate) fn size(&self) -> usize {
        128 * self.0.len()
    }

    pub(crate) fn disposition(&self, id: &str) -> Disposition {
        self.0.iter().find(|line| line.id == id).map_or(Disposition::Unspent, |line| line.disposition)
    }

    /// Notes what became of an identity token. What is spent stays spent.
    pub(crate) fn mark(&mut self, id: &str, disposition: Disposition, expires_at_ms: u64) {
        if let Some(position) = self.0.iter().position(|line| line.id == id) {
            if self.0[position].disposition == Disposition::Spent {
                return;
            }
            self.0.remove(position);
        }
        if matches!(disposition, Disposition::Unspent | Disposition::Reusable) {
            return;
        }
        // What has expired can no longer do harm; so the line that expires first makes room.
        if self.0.len() >= BOUND {
            let first = self.0.iter().enumerate().min_by_key(|(_, line)| line.expires_at_ms);
            if let Some((position, _)) = first {
                self.0.remove(position);
            }
        }
        self.0.push(Line { id: id.to_owned(), disposition, expires_at_ms });
    }

    /// Forgets what had expired when another identity token was issued: by the issuers' clocks, which do not jump when this
    /// machine's does. Whatever comes of an expired one, it cannot be exchanged.
    pub(crate) fn forget_expired(&mut self, issued_at_ms: u64) {
        self.0.retain(|line| line.expires_at_ms.saturating_add(LEEWAY_MS) > issued_at_ms);
    }

    /// Takes over what another session knows. Whether that was news.
    pub(crate) fn merge(&mut self, other: &Self) -> bool {
        let mut news = false;
        for line in &other.0 {
            let known = self.disposition(&line.id);
            if known == Disposition::Unspent || known == Disposition::Uncertain && line.disposition == Disposition::Spent {
                self.mark(&line.id, line.disposition, line.expires_at_ms);
                news = true;
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_stays_spent() {
        let mut ledger = Ledger::default();
        ledger.mark("a", Disposition::Uncertain, 10);
        ledger.mark("a", Disposition::Unspent, 10);
        assert_eq!(ledger.disposition("a"), Disposition::Unspent);
        ledger.mark("a", Disposition::Spent, 10);
        ledger.mark("a", Disposition::Unspent, 10);
        assert_eq!(ledger.disposition("a"), Disposition::Spent);
    }

    /// A journal that grew with every rotation would be written and read in full at each.
    #[test]
    fn what_had_expired_when_another_token_was_issued_is_forgotten() {
        let mut ledger = Ledger::default();
        ledger.mark("old", Disposition::Spent, 100_000);
        ledger.mark("last", Disposition::Spent, 200_000);
        ledger.forget_expired(100_000 + LEEWAY_MS - 1);
        assert_eq!(ledger.disposition("old"), Disposition::Spent, "within the leeway the endpoint may still take it");
        ledger.forget_expired(100_000 + LEEWAY_MS);
        assert_eq!(ledger.disposition("old"), Disposition::Unspent);
        assert_eq!(ledger.disposition("last"), Disposition::Spent);
    }

    /// What is told again with each look into a store is no reason to write a journal.
    #[test]
    fn what_another_session_knows_is_news_once() {
        for (mine, theirs, news) in [
            (Disposition::Unspent, Disposition::Uncertain, true),
            (Disposition::Unspent, Disposition::Spent, true),
            (Disposition::Uncertain, Disposition::Spent, true),
            (Disposition::Uncertain, Disposition::Uncertain, false),
            (Disposition::Spent, Disposition::Spent, false),
            (Disposition::Spent, Disposition::Uncertain, false),
        ] {
            let (mut ledger, mut other) = (Ledger::default(), Ledger::default());
            ledger.mark("a", mine, 10);
            other.mark("a", theirs, 10);
            assert_eq!(ledger.merge(&other), news, "{mine:?}, {theirs:?}");
            assert!(!ledger.merge(&other), "{mine:?}, {theirs:?}");
        }
    }

    #[test]
    fn the_line_that_expires_first_makes_room() {
        let mut ledger = Ledger::default();
        for number in 0..=BOUND {
            ledger.mark(&number.to_string(), Disposition::Spent, 1_000 + number as u64);
        }
        assert_eq!(ledger.disposition("0"), Disposition::Unspent);
        assert_eq!(ledger.disposition("1"), Disposition::Spent);
        assert_eq!(ledger.0.len(), BOUND);
    }
}
