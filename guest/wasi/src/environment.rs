//! Variables.

use wasi::cli::environment;
use wif_engine::contract::Outcome;

/// The configuration document.
pub(crate) const CONFIGURATION: &str = "WIF_CONFIGURATION";

pub(crate) fn variable(name: &str) -> Option<String> {
    environment::get_environment().into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

pub(crate) fn read(name: &str) -> Outcome {
    variable(name).map_or(Outcome::Absent, |value| Outcome::Content(value.into()))
}
