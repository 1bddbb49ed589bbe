//! The open sessions, and how arguments are read.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::error::Category;
use wif_engine::contract::{Capability, ConfigurationError, Start};
use wif_engine::{Secret, Session};

/// The parameters of the contract's `open`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Opening {
    /// May hold a literal token.
    configuration: Secret,
    seed: u64,
    can: Vec<Capability>,
    from: Start,
}

/// By number.
pub(crate) struct Sessions {
    open: BTreeMap<u32, Session>,
    /// The highest number so far. No number is given twice, so that a stale one is an error and not another's session.
    last: u32,
}

impl Sessions {
    pub(crate) const fn none() -> Self {
        Self { open: BTreeMap::new(), last: 0 }
    }

    /// The number of a new session.
    pub(crate) fn open(&mut self, opening: Opening) -> Result<u32, ConfigurationError> {
        let Opening { configuration, seed, can, from } = opening;
        let session = Session::open(configuration.reveal(), seed, &can, from)?;
        self.last = self.last.checked_add(1).expect("numbers are left");
        self.open.insert(self.last, session);
        Ok(self.last)
    }

    /// The session of this number, or that there is none.
    pub(crate) fn of(&mut self, number: u32) -> Result<&mut Session, String> {
        self.open.get_mut(&number).ok_or_else(|| format!("no session {number} is open"))
    }

    pub(crate) fn close(&mut self, number: u32) {
        self.open.remove(&number);
    }
}

/// What an argument says, or what is wrong with it and where. It may be secret, so what it says is not repeated, and the text is gone
/// when this returns.
pub(crate) fn read<T>(
    name: &str,
    text: Box<[u8]>,
    parse: impl FnOnce(&str) -> Result<T, serde_json::Error>,
) -> Result<T, String> {
    let text = str::from_utf8(&text).map_err(|error| format!("the {name} is not UTF-8 from byte {} on", error.valid_up_to()))?;
    parse(text).map_err(|error| {
        let wrong = match error.classify() {
            Category::Data => "is not of the contract's form",
            Category::Eof => "ends too early",
            Category::Syntax | Category::Io => "is no JSON",
        };
        format!("the {name} {wrong}: line {}, column {}", error.line(), error.column())
    })
}
