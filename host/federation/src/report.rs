//! What was looked at to decide about an exchange, in order.

use serde_json::Value;

use crate::reason::Reason;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Check {
    /// What: a name that stays the same between versions, such as `signature` or `match.subject_prefix`.
    pub name: String,
    /// Whether it passed; if not, why. `jti` passes when the token could still be exchanged.
    pub failure: Option<Reason>,
    /// What had to be there.
    pub expected: Option<Value>,
    /// What was there. Long values are shortened.
    pub found: Option<Value>,
    /// More, for people.
    pub detail: Option<String>,
}

/// The checks of one exchange.
pub(crate) struct Report {
    pub(crate) checks: Vec<Check>,
    to_the_end: bool,
}

/// A check failed, and the rest need not be looked at.
pub(crate) struct Stop;

impl Report {
    /// Of an exchange: it ends at the first failure.
    pub(crate) fn of_exchange() -> Self {
        Self { checks: Vec::new(), to_the_end: false }
    }

    /// Of a trial: every check is made that can be.
    pub(crate) fn of_trial() -> Self {
        Self { checks: Vec::new(), to_the_end: true }
    }

    pub(crate) fn pass(&mut self, name: &str, expected: Option<Value>, found: Option<Value>) {
        self.checks.push(Check { name: name.to_owned(), failure: None, expected, found: found.map(shortened), detail: None });
    }

    pub(crate) fn fail(
        &mut self,
        name: &str,
        reason: Reason,
        expected: Option<Value>,
        found: Option<Value>,
        detail: Option<String>,
    ) -> Result<(), Stop> {
        let found = found.map(shortened);
        self.checks.push(Check { name: name.to_owned(), failure: Some(reason), expected, found, detail });
        if self.to_the_end { Ok(()) } else { Err(Stop) }
    }

    /// Passes or fails by `passes`.
    pub(crate) fn check(
        &mut self,
        name: &str,
        passes: bool,
        reason: Reason,
        expected: impl Into<Value>,
        found: Option<Value>,
    ) -> Result<(), Stop> {
        let expected = Some(expected.into());
        match passes {
            true => {
                self.pass(name, expected, found);
                Ok(())
            }
            false => self.fail(name, reason, expected, found, None),
        }
    }

    pub(crate) fn first_failure(&self) -> Option<(Reason, &Check)> {
        self.checks.iter().find_map(|check| Some((check.failure?, check)))
    }
}

impl Check {
    /// The failure on a line, for the history.
    pub(crate) fn explanation(&self) -> Option<String> {
        let explanation = match (&self.detail, &self.expected, &self.found) {
            (Some(detail), _, _) => detail.clone(),
            (None, Some(expected), Some(found)) => format!("{}: expected {expected}, found {found}", self.name),
            (None, Some(expected), None) => format!("{}: expected {expected}, found nothing", self.name),
            (None, None, _) => return None,
        };
        // Lists of keys and conditions may be long, and a history is.
        Some(explanation.chars().take(MOST_CHARACTERS_OF_AN_EXPLANATION).collect())
    }
}

/// Values of claims come from outside: what is kept of one is bounded.
fn shortened(value: Value) -> Value {
    let text = match &value {
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => value.to_string(),
        _ => return value,
    };
    match text.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => Value::String(format!("{}…", &text[..end])),
        None => value,
    }
}

const MOST_CHARACTERS: usize = 256;

const MOST_CHARACTERS_OF_AN_EXPLANATION: usize = 1024;
