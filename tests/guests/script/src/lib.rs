//! The script of a case in `tests/callers`, whose README has the format: which line holds when.

use serde_json::Value;

/// Lines, one of which holds.
#[derive(Debug)]
pub struct Script {
    lines: Vec<Value>,
    /// Which line holds, and since when.
    at: usize,
    since_ms: u64,
    begun_ms: Option<u64>,
}

/// The line that holds.
#[derive(Debug)]
pub struct Line<'a> {
    /// What it says.
    pub says: &'a Value,
    /// For how long it holds already.
    pub age_ms: u64,
    /// In how many milliseconds the next one begins, where that is known.
    pub next_in_ms: Option<u32>,
}

impl Script {
    /// From the document of a case.
    ///
    /// # Panics
    ///
    /// It is none.
    #[must_use]
    pub fn read(document: &str) -> Self {
        let script: Value = serde_json::from_str(document).expect("a script");
        let lines = script["session"].as_array().expect("a list of lines").clone();
        Self { lines, at: 0, since_ms: 0, begun_ms: None }
    }

    /// The line that holds at this time, after an event of this name.
    pub fn line(&mut self, now_ms: u64, event: &str) -> Line<'_> {
        let now_ms = now_ms - *self.begun_ms.get_or_insert(now_ms);
        while let Some(next) = self.lines.get(self.at + 1) {
            match next["from-ms"].as_u64() {
                Some(from_ms) if from_ms <= now_ms => self.since_ms = from_ms,
                None if next["on"] == event && self.since_ms <= now_ms => self.since_ms = now_ms,
                _ => break,
            }
            self.at += 1;
            // An event has one effect.
            if next["on"].is_string() {
                break;
            }
        }
        let next = self.lines.get(self.at + 1).and_then(|next| next["from-ms"].as_u64());
        let next_in_ms = next.and_then(|next| next.saturating_sub(now_ms).try_into().ok());
        Line { says: &self.lines[self.at], age_ms: now_ms - self.since_ms, next_in_ms }
    }
}

impl Line<'_> {
    /// A time of this name in a part of the line, from now on.
    #[must_use]
    pub fn time(&self, part: &Value, name: &str) -> Option<u64> {
        part[name].as_u64().map(|time| time.saturating_sub(self.age_ms))
    }

    /// How long callers hold.
    #[must_use]
    pub fn wait_at_most_ms(&self) -> u32 {
        self.says["wait-at-most-ms"].as_u64().and_then(|wait| wait.try_into().ok()).unwrap_or(1_000)
    }

    /// Whether work is under way.
    #[must_use]
    pub fn is_underway(&self) -> bool {
        self.says["progress"] == "underway"
    }
}
