//! The open sessions, and how arguments are read.

use std::collections::BTreeMap;

use wif_engine::Session;
use wif_engine::contract::ConfigurationError;
use wif_engine::json::{Opening, fault};

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
        let session = opening.open()?;
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
    parse(text).map_err(|error| fault(name, &error))
}
