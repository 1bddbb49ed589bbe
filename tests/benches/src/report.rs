//! A number as the file keeps it.

use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::sampler::Samples;

/// The numbers of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    /// What they were taken on.
    pub machine: Machine,
    /// In the order of the table.
    pub numbers: Vec<Number>,
}

/// What was measured, what it was compared with, and what it should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Number {
    /// Names it for programs.
    pub id: String,
    /// Names it for people.
    pub what: String,
    /// The unit of everything measured here.
    pub unit: Unit,
    /// The median. None where it could not be measured here.
    pub measured: Option<f64>,
    /// The first and the third quartile, of what was measured more than once.
    pub quartiles: Option<[f64; 2]>,
    /// What was measured beside it.
    pub baseline: Option<Baseline>,
    /// What was measured, divided by the baseline.
    pub ratio: Option<f64>,
    /// What it should be.
    pub target: Option<String>,
    /// Whether it is. None without a target or a measurement.
    pub met: Option<bool>,
    /// What else should be known: for what is missed, why.
    pub remark: Option<String>,
    /// The same for other sizes of what was measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curve: Vec<Point>,
    /// Whether it stands in the file alone, and not in the README.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub detail: bool,
}

/// What was measured for one size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The size: how many there were.
    pub at: u32,
    /// What was measured for it.
    pub measured: f64,
}

/// What a number is compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// What it is.
    pub what: String,
    /// The median.
    pub measured: f64,
}

/// A unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Time, shown in the unit that suits it.
    Nanoseconds,
    /// Memory or size, likewise.
    Bytes,
    /// How many.
    Count,
    /// How many times another.
    Times,
}

impl Number {
    pub(crate) fn new(id: &str, what: &str, unit: Unit) -> Self {
        Self {
            id: id.to_owned(),
            what: what.to_owned(),
            unit,
            measured: None,
            quartiles: None,
            baseline: None,
            ratio: None,
            target: None,
            met: None,
            remark: None,
            curve: Vec::new(),
            detail: false,
        }
    }

    /// Whether `.ci/build-cost.py` measured it, and not this program.
    pub(crate) fn is_of_a_build(&self) -> bool {
        self.id.starts_with("build.")
    }

    pub(crate) fn samples(mut self, samples: &Samples) -> Self {
        self.quartiles = Some(samples.quartiles().map(round));
        self.value(samples.median())
    }

    pub(crate) fn value(mut self, value: f64) -> Self {
        self.measured = Some(round(value));
        self
    }

    /// After the measured value.
    pub(crate) fn beside(mut self, what: &str, measured: f64) -> Self {
        self.ratio = self.measured.map(|value| round(value / measured));
        self.baseline = Some(Baseline { what: what.to_owned(), measured: round(measured) });
        self
    }

    /// After everything measured.
    pub(crate) fn target(mut self, target: &str, met: impl FnOnce(&Self) -> Option<bool>) -> Self {
        self.target = Some(target.to_owned());
        self.met = self.measured.and_then(|_| met(&self));
        self
    }

    pub(crate) fn at_most(self, target: &str, limit: f64) -> Self {
        self.target(target, |number| number.measured.map(|measured| measured <= limit))
    }

    /// So many times what was measured beside it.
    pub(crate) fn at_most_times(self, times: f64) -> Self {
        self.target(&format!("≤ {times} ×"), |number| number.ratio.map(|ratio| ratio <= times))
    }

    pub(crate) fn remark(mut self, remark: impl Into<String>) -> Self {
        self.remark = Some(remark.into());
        self
    }

    pub(crate) fn curve(mut self, points: impl IntoIterator<Item = (u32, f64)>) -> Self {
        self.curve = points.into_iter().map(|(at, measured)| Point { at, measured: round(measured) }).collect();
        self
    }

    pub(crate) fn detail(mut self) -> Self {
        self.detail = true;
        self
    }
}

/// To a thousandth: what is behind it is noise.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
