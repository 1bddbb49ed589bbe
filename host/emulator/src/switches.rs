//! What stays as it is set until it is set otherwise.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::clock::{ClockError, Clocks};
use crate::options::ErrorShape;

/// Settings that may be changed while the emulator runs. The defaults are those of the real service.
///
/// In JSON the names are those of the fields; what is left out has its default, and an unknown name is an error.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switches {
    /// The form of refusals: `"envelope"` or `"oauth"`.
    pub error_shape: ErrorShape,
    /// How far the service's clock is ahead of the world's, in seconds; negative: behind; at most ten years of 365 days either
    /// way. Identity tokens are made by the world's clock, and what the service checks, grants and dates is by its own.
    pub clock_skew_seconds: i64,
    /// The betas that exchanges must and must not name. The real service wants none.
    pub exchange_betas: Betas,
    /// The betas that requests to the API must and must not name.
    pub api_betas: Betas,
    /// Whether the identity provider's keys can be fetched: `true` means that they cannot.
    pub jwks_down: bool,
}

/// What the `anthropic-beta` header of a request has to hold, and what it may not. Otherwise the answer is 400.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Betas {
    /// Names that must be there.
    pub require: Vec<String>,
    /// Names that must not.
    pub forbid: Vec<String>,
}

/// The settings in force.
#[derive(Default)]
pub(crate) struct Board {
    switches: Mutex<Switches>,
}

impl Board {
    pub(crate) fn get(&self) -> Switches {
        self.switches.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, switches: Switches, clocks: &Clocks) -> Result<(), ClockError> {
        clocks.skew(switches.clock_skew_seconds)?;
        *self.switches.lock().unwrap_or_else(PoisonError::into_inner) = switches;
        Ok(())
    }
}

impl Betas {
    /// The message for a sender who does not name what it must.
    pub(crate) fn objection(&self, named: &[&str]) -> Option<String> {
        let missing = self.require.iter().find(|beta| !named.contains(&beta.as_str()));
        if let Some(beta) = missing {
            return Some(format!("anthropic-beta: `{beta}` is required"));
        }
        let present = self.forbid.iter().find(|beta| named.contains(&beta.as_str()));
        present.map(|beta| format!("anthropic-beta: `{beta}` is not allowed here"))
    }
}
