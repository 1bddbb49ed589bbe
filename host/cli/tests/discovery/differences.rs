//! Where this project does otherwise than the vendor's clients, and why. What is not listed here is alike, in every random
//! environment.

use super::Outcome;
use super::environments::Environment;

/// One of the vendor's clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sdk {
    Python,
    TypeScript,
}

/// A difference.
pub struct Difference {
    pub what: &'static str,
    #[expect(dead_code, reason = "it is for whoever reads this list")]
    pub why: &'static str,
    pub applies: fn(Sdk, &Environment, &Outcome, &Outcome) -> bool,
}

pub const DIFFERENCES: &[Difference] = &[];
