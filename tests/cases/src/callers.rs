//! What callers are told, and when. See `tests/callers/README.md`.

use serde::Deserialize;
use serde_json::{Value, json};

/// Time goes on by so many milliseconds.
pub const STEP_MS: u64 = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    says: String,
    cases: Vec<Case>,
}

/// A case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Case {
    /// A sentence.
    pub name: String,
    session: Vec<Value>,
    /// How many may wait at once.
    #[serde(default = "many")]
    pub max_waiters: usize,
    /// What else happens, in order.
    #[serde(default)]
    pub happens: Vec<Happening>,
    /// Who asks, in order.
    pub callers: Vec<Caller>,
}

/// Something that happens to the host.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Happening {
    /// When, since the session's first step.
    pub at_ms: u64,
    /// The credential is closed.
    #[serde(default)]
    pub closes: bool,
    /// The API rejects this token.
    pub rejects: Option<String>,
}

/// Somebody who asks for a token.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Caller {
    /// When, since the session's first step.
    pub at_ms: u64,
    /// For how long at most.
    pub waits_ms: Option<u64>,
    /// It reports this token as rejected, and asks for another.
    pub replaces: Option<String>,
    /// What it is told.
    pub told: Told,
}

/// What a caller is told.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", untagged)]
pub enum Told {
    /// It gets a token.
    Token {
        /// Which.
        token: String,
        /// How long after it asked.
        #[serde(rename = "after-ms")]
        after_ms: u64,
    },
    /// It gets none.
    Refusal {
        /// Why.
        code: String,
        /// When another try makes sense.
        #[serde(rename = "retry-after-s")]
        retry_after_s: u64,
        /// How long after it asked.
        #[serde(rename = "after-ms")]
        after_ms: u64,
    },
    /// There is no replacement.
    Nothing {
        /// Always.
        nothing: bool,
        /// How long after it asked.
        #[serde(rename = "after-ms")]
        after_ms: u64,
    },
}

/// The id of a token.
#[must_use]
pub fn id(token: &str) -> String {
    token.repeat(16)
}

/// All cases.
///
/// # Panics
///
/// A file is not in the format.
#[must_use]
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, file) in super::documents::<File>("callers") {
        assert!(!file.says.is_empty() && !file.cases.is_empty(), "{name}");
        cases.extend(file.cases);
    }
    cases
}

impl Case {
    /// What the scripted component is configured with.
    #[must_use]
    pub fn script(&self) -> String {
        json!({ "session": self.session }).to_string()
    }

    /// When the last caller has been told.
    #[must_use]
    pub fn ends_ms(&self) -> u64 {
        self.callers.iter().map(|caller| caller.at_ms + caller.told.after_ms()).max().unwrap_or(0)
    }

    /// All times of the case.
    #[must_use]
    pub fn times(&self) -> Vec<u64> {
        let callers = self.callers.iter().flat_map(|caller| [caller.at_ms, caller.told.after_ms(), caller.waits_ms.unwrap_or(0)]);
        let lines = self.session.iter().filter_map(|line| line["from-ms"].as_u64());
        callers.chain(self.happens.iter().map(|happening| happening.at_ms)).chain(lines).collect()
    }
}

impl Told {
    /// How long after it asked.
    #[must_use]
    pub const fn after_ms(&self) -> u64 {
        match self {
            Self::Token { after_ms, .. } | Self::Refusal { after_ms, .. } | Self::Nothing { after_ms, .. } => *after_ms,
        }
    }
}

const fn many() -> usize {
    100
}
