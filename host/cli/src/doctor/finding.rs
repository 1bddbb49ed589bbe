//! What the doctor says: one thing, what was expected and found, and what to change.

use serde_json::{Value, json};

/// One thing that is wrong, or may be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finding {
    /// A name that stays the same.
    pub(crate) code: String,
    pub(crate) certainty: Certainty,
    /// Findings of one certainty stand in this order.
    pub(crate) rank: u8,
    /// One sentence.
    pub(crate) what: String,
    pub(crate) expected: Option<String>,
    pub(crate) found: Option<String>,
    /// What to change, and where.
    pub(crate) change: String,
}

/// How sure the doctor is that an exchange, or a run, fails for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Certainty {
    /// It is refused for this.
    Refused,
    /// It is refused for this unless a setting that was not given says otherwise.
    Likely,
    /// An exchange goes well, and requests fail later for this.
    Later,
    /// It can be this.
    Possible,
    /// Nothing fails for it.
    Advice,
}

impl Certainty {
    /// A name that stays the same.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Likely => "likely",
            Self::Later => "later",
            Self::Possible => "possible",
            Self::Advice => "advice",
        }
    }
}

impl Finding {
    pub(crate) fn new(code: impl Into<String>, certainty: Certainty, rank: u8, what: impl Into<String>) -> Self {
        let (code, what) = (code.into(), what.into());
        Self { code, certainty, rank, what, expected: None, found: None, change: String::new() }
    }

    #[must_use]
    pub(crate) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    #[must_use]
    pub(crate) fn found(mut self, found: impl Into<String>) -> Self {
        self.found = Some(found.into());
        self
    }

    #[must_use]
    pub(crate) fn change(mut self, change: impl Into<String>) -> Self {
        self.change = change.into();
        self
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "code": self.code,
            "certainty": self.certainty.as_str(),
            "what": self.what,
            "expected": self.expected,
            "found": self.found,
            "change": self.change,
        })
    }

    pub(crate) fn to_lines(&self, number: usize) -> Vec<String> {
        let mut lines = vec![format!("{number}. {} ({}): {}", self.code, self.certainty.as_str(), self.what)];
        let row = |name: &str, text: &String| format!("   {name:<10}{text}");
        lines.extend(self.expected.as_ref().map(|text| row("expected", text)));
        lines.extend(self.found.as_ref().map(|text| row("found", text)));
        lines.push(row("change", &self.change));
        lines
    }
}
